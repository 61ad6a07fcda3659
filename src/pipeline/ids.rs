//! The id of each event of one connection: by its object and line, by its content, or by its arrival.
//!
//! What the sender says of its object decides, then the source's `identity`, then what the line is. An id is given once,
//! before the line is parsed, so that nothing that happens to the line later changes it.

mod copies;

use std::sync::Arc;

use super::plan::Identity;
use crate::batch::EventId;
use crate::batch::SourceId;
use crate::event_id::ArrivalIds;
use crate::event_id::ContentIds;
use crate::event_id::IdKey;
use crate::event_id::MemberIds;
use crate::event_id::SourceIds;
use copies::Copies;

/// The tenant of a source that has none.
const NO_TENANT: &str = "";

/// What is known of an event beside its line.
#[derive(Clone)]
enum Known {
    Nothing,
    /// The object the lines come from, which the sender has named.
    Object(SourceIds),
    /// The id itself: the event has been here before.
    Id(EventId),
}

/// The ids of one connection's events.
#[derive(Clone)]
pub struct Ids {
    key: IdKey,
    /// Whose they are, unless they are nobody's.
    tenant: Option<Arc<str>>,
    arrival: ArrivalIds,
    content: ContentIds,
    /// Made when it is first needed.
    members: Option<MemberIds>,
    known: Known,
    /// Lines since the object's first one here; that line's successor while it is handled.
    lines: u64,
    /// Place among the events of that line, where it is known beforehand.
    element: u32,
    /// Where equal contents are told apart.
    copies: Option<Copies>,
}

impl Ids {
    /// The ids of one connection. `nonce` is drawn once by the process, which counts its connections.
    pub fn new(key: IdKey, nonce: [u8; 12], source: SourceId, connection: u64) -> Self {
        let arrival = ArrivalIds::new(key, nonce, source, connection);
        let content = ContentIds::new(key, NO_TENANT);
        Self { key, tenant: None, arrival, content, members: None, known: Known::Nothing, lines: 0, element: 0, copies: None }
    }

    /// From here on events are those of this tenant: its equal lines, and its objects, are no other tenant's.
    pub(super) fn belong_to(&mut self, tenant: &str) {
        if self.tenant() != tenant {
            self.tenant = Some(tenant.into());
            self.content = ContentIds::new(self.key, tenant);
            self.members = None;
        }
    }

    fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or(NO_TENANT)
    }

    /// From here on lines are those of this object; the next has this number.
    pub(super) fn begin_object(&mut self, bucket: &str, object_key: &str, etag: &str, line: u64) {
        self.known = Known::Object(SourceIds::new(self.key, self.tenant(), bucket, object_key, etag, line));
        self.lines = 0;
    }

    /// From here on events have this id. Where a line becomes several, the first has it, and those of the others follow from it.
    pub(super) fn keep(&mut self, id: EventId) {
        self.known = Known::Id(id);
    }

    /// From here on the second of two equal contents is another event than the first: they come in one request, and a sender
    /// that repeats it repeats both.
    pub(super) fn tell_copies_apart(&mut self) {
        self.copies = Some(Copies::default());
    }

    /// Bytes of memory held to tell copies apart, or some more.
    pub(super) fn held_bytes(&self) -> usize {
        self.copies.as_ref().map_or(0, Copies::held_bytes)
    }

    #[inline(always)]
    fn of_content(&mut self, content: &[u8]) -> EventId {
        let ids = &self.content;
        told_apart(&mut self.copies, |copy| ids.id(content, copy))
    }

    fn of_members(&mut self, object: &[u8]) -> EventId {
        let tenant = self.tenant.as_deref().unwrap_or(NO_TENANT);
        let ids = self.members.get_or_insert_with(|| MemberIds::new(self.key, tenant));
        told_apart(&mut self.copies, |copy| ids.id(object, copy))
    }

    /// Counts a line, whatever becomes of it: a sender counts newlines.
    #[inline(always)]
    pub(super) fn count_line(&mut self) {
        self.lines = self.lines.wrapping_add(1);
    }

    /// The next event is the one at this place, counted from zero, of the line behind so many.
    pub(super) fn place(&mut self, lines: u64, element: u32) {
        self.lines = lines.wrapping_add(1);
        self.element = element;
    }

    /// The id of the event a load-balancer line is.
    #[inline(always)]
    pub(super) fn of_elb(&mut self, identity: Identity, line: &[u8]) -> EventId {
        match (&self.known, identity) {
            (Known::Object(object), _) => object.id(self.lines.wrapping_sub(1), self.element),
            (Known::Id(id), _) => *id,
            (Known::Nothing, Identity::Auto | Identity::Content) => self.of_content(line),
            (Known::Nothing, Identity::Arrival) => self.arrival.draw(),
        }
    }

    /// The id of a JSON object; `element` is its place in the array its line is.
    #[inline(always)]
    pub(super) fn of_object(&mut self, identity: Identity, object: &[u8], element: u32) -> EventId {
        match (&self.known, identity) {
            (Known::Nothing, Identity::Content) => self.of_members(object),
            _ => self.of_other(identity, object, element),
        }
    }

    /// The id of any other event; `element` is its place in the array its line is.
    #[inline(always)]
    pub(super) fn of_other(&mut self, identity: Identity, event: &[u8], element: u32) -> EventId {
        match (&self.known, identity) {
            (Known::Object(object), _) => object.id(self.lines.wrapping_sub(1), self.element.wrapping_add(element)),
            (Known::Id(id), _) if element == 0 => *id,
            (Known::Id(id), _) => self.content.id(&id.0, element),
            (Known::Nothing, Identity::Content) => self.of_content(event),
            (Known::Nothing, Identity::Auto | Identity::Arrival) => self.arrival.draw(),
        }
    }
}

/// The id that `id` gives to a copy where copies are told apart; to the first otherwise.
#[inline(always)]
fn told_apart(copies: &mut Option<Copies>, id: impl Fn(u32) -> EventId) -> EventId {
    let first = id(0);
    let Some(copies) = copies else { return first };
    match copies.next(first.0) {
        0 => first,
        copy => id(copy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(connection: u64) -> Ids {
        Ids::new(IdKey::PUBLISHED, [1; 12], SourceId(0), connection)
    }

    #[test]
    fn equal_load_balancer_lines_are_one_event_and_others_are_not() {
        let (mut one, mut two) = (ids(1), ids(2));
        assert_eq!(one.of_elb(Identity::Auto, b"line"), two.of_elb(Identity::Auto, b"line"));
        assert_ne!(one.of_elb(Identity::Auto, b"line"), one.of_elb(Identity::Auto, b"lime"));
        assert_ne!(one.of_other(Identity::Auto, b"text", 0), one.of_other(Identity::Auto, b"text", 0));
        assert_ne!(one.of_elb(Identity::Arrival, b"line"), one.of_elb(Identity::Arrival, b"line"));
        assert_eq!(one.of_other(Identity::Content, b"text", 0), two.of_other(Identity::Content, b"text", 0));
    }

    #[test]
    fn lines_of_an_object_have_the_ids_of_their_numbers_wherever_the_sender_begins() {
        let (mut whole, mut rest) = (ids(1), ids(2));
        whole.begin_object("bucket", "key", "etag", 1);
        rest.begin_object("bucket", "key", "\"etag\"", 3);
        let mut of_whole = Vec::new();
        for line in [&b"a"[..], b"b", b"c", b"c"] {
            whole.count_line();
            of_whole.push(whole.of_elb(Identity::Auto, line));
        }
        for want in &of_whole[2..] {
            rest.count_line();
            assert_eq!(rest.of_other(Identity::Arrival, b"whatever", 0), *want);
        }
        assert_ne!(of_whole[2], of_whole[3]);
        assert_ne!(rest.of_other(Identity::Auto, b"", 1), of_whole[3]);
    }

    #[test]
    fn one_tenant_s_lines_and_objects_are_no_other_s() {
        let (mut nobody, mut one, mut two) = (ids(1), ids(2), ids(3));
        one.belong_to("one");
        two.belong_to("two");
        let all = [&mut nobody, &mut one, &mut two];
        let content = all.map(|ids| ids.of_elb(Identity::Auto, b"line"));
        let all = [&mut nobody, &mut one, &mut two];
        let of_object = all.map(|ids| {
            ids.begin_object("bucket", "key", "etag", 1);
            ids.count_line();
            ids.of_elb(Identity::Auto, b"line")
        });
        for ids in [content, of_object] {
            assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
        }
        let mut again = ids(9);
        again.belong_to("one");
        assert_eq!(again.of_elb(Identity::Auto, b"line"), content[1]);
    }

    #[test]
    fn an_event_that_has_been_here_before_keeps_its_id() {
        let mut ids = ids(1);
        let id = ids.of_other(Identity::Arrival, b"once", 0);
        ids.keep(id);
        assert_eq!(ids.of_elb(Identity::Auto, b"line"), id);
        assert_eq!(ids.of_other(Identity::Content, b"text", 0), id);
        let second = ids.of_other(Identity::Auto, b"text", 1);
        assert_ne!(second, id);
        assert_eq!(ids.of_other(Identity::Auto, b"other", 1), second);
        assert_ne!(ids.of_other(Identity::Auto, b"other", 2), second);
    }
}
