//! The answer of Elasticsearch or OpenSearch to a `_bulk` request: what became of each document sent.
//!
//! An answer counts only if all of it is plausible: whole JSON, an item for each document sent, in order, with its id, and none that is
//! stored and has an error. Of one that is not, nothing is told. The flag `errors` and whatever else is beside the items are never
//! believed in their place.
//! It knows only `create` with ids of ours, and does not decide what a status means for a document: that is the sink's.

mod implausible;
mod plain;
mod reason;

use std::borrow::Cow;

use crate::batch::EventId;
use crate::json::cursor::Cursor;
use crate::json::escape::unescape;
use crate::json::reject::JsonReject;
use crate::json::reject::JsonRejectReason;

pub use implausible::Implausible;
pub use implausible::ItemFault;
pub use reason::ErrorReason;
pub use reason::REASON_CHARS_MAX;
pub use reason::clean_reason;
pub use reason::clean_type;
pub use reason::error_reason;

/// What the server said of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its status, as HTTP numbers them: 100 to 599.
    pub status: u16,
    /// The kind of error; only of items that were neither stored now (200, 201) nor before (409). Of a 409 it is told where it is not
    /// that a document of that id is there.
    pub error_type: Option<Cow<'a, str>>,
    /// What the server says of the error, of the same items. Both may quote the document, and be of any length: [`clean_type`] and
    /// [`clean_reason`] before they are shown.
    pub reason: Option<Cow<'a, str>>,
}

/// Reads an answer to `create` actions whose ids are given in order, and then calls `each` with every place and item.
///
/// One pass over the body. It takes two bytes of memory for each document, and some more for each that was not stored.
///
/// # Errors
/// When the answer does not count. `each` has not been called then.
pub fn read<'a>(
    body: &'a [u8],
    ids: impl ExactSizeIterator<Item = EventId>,
    mut each: impl FnMut(usize, Item<'a>),
) -> Result<(), Implausible> {
    // Checked at once, which costs next to nothing, so that every string in it is text.
    let body = match std::str::from_utf8(body) {
        Ok(_) => body,
        Err(error) => {
            let at = error.valid_up_to();
            return Err(Implausible::NotJson(JsonReject { at, reason: JsonRejectReason::InvalidUtf8 }));
        }
    };
    let sent = ids.len();
    let mut reader =
        Reader { body, cursor: Cursor::new(body, 0, body.len()), statuses: Vec::with_capacity(sent), told: Vec::new() };
    match reader.answer(ids, sent) {
        Ok(()) => {}
        Err(Fault::Json(reason)) => return Err(Implausible::NotJson(JsonReject { at: reader.cursor.at, reason })),
        Err(Fault::Said(implausible)) => return Err(implausible),
    }
    let mut told = reader.told.into_iter().peekable();
    for (position, status) in reader.statuses.into_iter().enumerate() {
        let told = told.next_if(|told| told.position == position);
        each(position, told.map_or_else(|| Item::stored(status), |told| told.into_item(status)));
    }
    Ok(())
}

/// Why reading stops.
enum Fault {
    Json(JsonRejectReason),
    Said(Implausible),
}

impl From<JsonRejectReason> for Fault {
    #[cold]
    fn from(reason: JsonRejectReason) -> Self {
        Self::Json(reason)
    }
}

impl From<Implausible> for Fault {
    #[cold]
    fn from(implausible: Implausible) -> Self {
        Self::Said(implausible)
    }
}

/// A part of the body, by offsets.
type Span = (usize, usize);

/// What is known of an item beside its status.
struct Told<'a> {
    position: usize,
    error_type: Option<Cow<'a, str>>,
    reason: Option<Cow<'a, str>>,
}

impl<'a> Told<'a> {
    fn into_item(self, status: u16) -> Item<'a> {
        Item { status, error_type: self.error_type, reason: self.reason }
    }
}

impl Item<'_> {
    fn stored(status: u16) -> Self {
        Self { status, error_type: None, reason: None }
    }
}

struct Reader<'a> {
    body: &'a [u8],
    cursor: Cursor<'a>,
    /// The status of every item read so far.
    statuses: Vec<u16>,
    /// The items of which more than a status is told, in order.
    told: Vec<Told<'a>>,
}

/// What an item's members have said so far.
#[derive(Default)]
struct Said {
    is_same_id: Option<bool>,
    status: Option<u16>,
    error: Option<Span>,
    is_in_failure_store: Option<bool>,
}

impl<'a> Reader<'a> {
    fn answer(&mut self, ids: impl Iterator<Item = EventId>, sent: usize) -> Result<(), Fault> {
        let mut ids = Some(ids);
        let first = self.cursor.token()?;
        if first != b'{' {
            self.cursor.value(first)?;
            self.end()?;
            return Err(Implausible::NotAnObject.into());
        }
        self.cursor.at += 1;
        let mut is_refused = false;
        let mut next = self.first_member()?;
        while let Some(key) = next {
            let first = self.cursor.token()?;
            if !self.is(key, b"items") {
                let start = self.cursor.at;
                self.cursor.value(first)?;
                is_refused |= self.is(key, b"error") && self.is_error((start, self.cursor.at));
            } else if first != b'[' {
                return Err(Implausible::NoItems.into());
            } else {
                self.items(ids.take().ok_or(Implausible::ItemsTwice)?, sent)?;
            }
            next = self.next_member()?;
        }
        self.end()?;
        match (ids, is_refused) {
            (Some(_), _) => Err(Implausible::NoItems.into()),
            (None, true) => Err(Implausible::Refused.into()),
            (None, false) => Ok(()),
        }
    }

    /// Goes to the text's end, behind which there may only be white space.
    fn end(&mut self) -> Result<(), Fault> {
        match self.cursor.token() {
            Err(JsonRejectReason::UnexpectedEnd) => Ok(()),
            _ => Err(JsonRejectReason::TrailingBytes.into()),
        }
    }

    /// The array of items, from its bracket to behind its other one.
    fn items(&mut self, mut ids: impl Iterator<Item = EventId>, sent: usize) -> Result<(), Fault> {
        self.cursor.at += 1;
        if self.cursor.token()? == b']' {
            self.cursor.at += 1;
        } else {
            loop {
                let id = ids.next().ok_or(Implausible::TooMany { sent })?;
                self.item(id)?;
                let behind = self.cursor.token()?;
                self.cursor.at += 1;
                match behind {
                    b',' => _ = self.cursor.token()?,
                    b']' => break,
                    _ => return self.unexpected(),
                }
            }
        }
        let items = self.statuses.len();
        if items < sent { Err(Implausible::TooFew { items, sent }.into()) } else { Ok(()) }
    }

    /// One item, from its brace to behind its other one.
    #[inline(always)]
    fn item(&mut self, id: EventId) -> Result<(), Fault> {
        let first = self.cursor.token()?;
        if plain::is_first(&self.body[self.cursor.at..], id) {
            self.cursor.at += plain::BYTES;
            self.statuses.push(201);
            return Ok(());
        }
        if first != b'{' {
            self.cursor.value(first)?;
            return Err(self.fault(ItemFault::Shape));
        }
        self.cursor.at += 1;
        let Some(action) = self.first_member()? else { return Err(self.fault(ItemFault::Shape)) };
        if !self.is(action, b"create") {
            return Err(self.fault(ItemFault::Action));
        }
        if self.cursor.token()? != b'{' {
            return Err(self.fault(ItemFault::Shape));
        }
        self.cursor.at += 1;
        let said = self.details(id)?;
        if self.next_member()?.is_some() {
            return Err(self.fault(ItemFault::Shape));
        }
        self.take(said)
    }

    /// The members of what an item says of its action, and the brace behind them.
    #[inline(always)]
    fn details(&mut self, id: EventId) -> Result<Said, Fault> {
        let mut said = Said::default();
        let mut next = self.first_member()?;
        while let Some(key) = next {
            let first = self.cursor.token()?;
            let start = self.cursor.at;
            // Members that say nothing here are most of an answer: told apart by length before anything is compared.
            let is_again = if self.is(key, b"_id") {
                if first != b'"' {
                    return Err(self.fault(ItemFault::NoId));
                }
                let text = self.string()?;
                said.is_same_id.replace(self.is(text, &id.hex())).is_some()
            } else if self.is(key, b"status") {
                self.cursor.value(first)?;
                let status = status(&self.body[start..self.cursor.at]);
                said.status.replace(status.ok_or_else(|| self.fault(ItemFault::Status))?).is_some()
            } else if self.is(key, b"error") {
                self.cursor.value(first)?;
                said.error.replace((start, self.cursor.at)).is_some()
            } else if self.is(key, b"failure_store") {
                self.cursor.value(first)?;
                said.is_in_failure_store.replace(&self.body[start..self.cursor.at] == b"\"used\"").is_some()
            } else {
                self.cursor.value(first)?;
                false
            };
            if is_again {
                return Err(self.fault(ItemFault::Twice));
            }
            next = self.next_member()?;
        }
        Ok(said)
    }

    #[inline(always)]
    fn take(&mut self, said: Said) -> Result<(), Fault> {
        let status = said.status.ok_or_else(|| self.fault(ItemFault::Status))?;
        let is_stored = matches!(status, 200 | 201);
        // Elasticsearch writes what an index refuses to the failure store under an id of its own making.
        match said.is_same_id {
            Some(true) => {}
            Some(false) if is_stored && said.is_in_failure_store == Some(true) => {}
            Some(false) => return Err(self.fault(ItemFault::OtherId)),
            None => return Err(self.fault(ItemFault::NoId)),
        }
        let error = said.error.filter(|error| self.is_error(*error));
        if is_stored && error.is_some() {
            return Err(self.fault(ItemFault::Contradiction));
        }
        let is_there = is_stored || status == 409 && self.is_there_already(error);
        if !is_there {
            self.tell(error);
        }
        self.statuses.push(status);
        Ok(())
    }

    /// Whether a value says that something went wrong: an object, or a text.
    fn is_error(&self, (start, end): Span) -> bool {
        match self.body[start] {
            b'{' => true,
            b'"' => end - start > b"\"\"".len(),
            _ => false,
        }
    }

    /// Whether the error beside a 409 is that a document of that id is there, and none of the other ones that servers have names for.
    #[cold]
    fn is_there_already(&self, error: Option<Span>) -> bool {
        let kind = error.and_then(|(start, end)| reason::type_and_reason(&self.body[start..end]).0);
        kind.is_none_or(|kind| !kind.ends_with("_exception") || ["conflict", "exists"].iter().any(|word| kind.contains(word)))
    }

    /// Remembers what is said of an item's error.
    #[cold]
    fn tell(&mut self, error: Option<Span>) {
        let (error_type, reason) = error.map_or((None, None), |(start, end)| reason::type_and_reason(&self.body[start..end]));
        self.told.push(Told { position: self.statuses.len(), error_type, reason });
    }

    /// Goes behind an object's first key and its colon, or behind its brace if it has none.
    #[inline(always)]
    fn first_member(&mut self) -> Result<Option<Text>, Fault> {
        if self.cursor.token()? == b'}' {
            self.cursor.at += 1;
            return Ok(None);
        }
        self.key().map(Some)
    }

    /// Goes from behind a value to behind the next key and its colon, or behind the object's brace.
    #[inline(always)]
    fn next_member(&mut self) -> Result<Option<Text>, Fault> {
        match self.cursor.token()? {
            b',' => {
                self.cursor.at += 1;
                self.cursor.token()?;
                self.key().map(Some)
            }
            b'}' => {
                self.cursor.at += 1;
                Ok(None)
            }
            _ => Err(JsonRejectReason::UnexpectedByte.into()),
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Result<Text, Fault> {
        let key = self.string()?;
        self.cursor.colon()?;
        Ok(key)
    }

    /// Goes behind the string that starts here.
    #[inline(always)]
    fn string(&mut self) -> Result<Text, Fault> {
        self.cursor.expect(b'"')?;
        let start = self.cursor.at;
        let is_escaped = self.cursor.string()?;
        Ok(Text { start, end: self.cursor.at - 1, is_escaped })
    }

    /// Whether a string says this, however it is written.
    #[inline(always)]
    fn is(&self, text: Text, what: &[u8]) -> bool {
        let inside = &self.body[text.start..text.end];
        if text.is_escaped { is_when_read(inside, what) } else { inside == what }
    }

    #[cold]
    fn fault(&self, fault: ItemFault) -> Fault {
        Fault::Said(Implausible::Item { position: self.statuses.len(), fault })
    }

    /// The byte before this one cannot stand there.
    #[cold]
    fn unexpected(&mut self) -> Result<(), Fault> {
        self.cursor.at -= 1;
        Err(JsonRejectReason::UnexpectedByte.into())
    }
}

/// The inside of a string in the body.
#[derive(Clone, Copy)]
struct Text {
    start: usize,
    end: usize,
    is_escaped: bool,
}

/// As long as the longest text that is compared with: an id.
const COMPARED_BYTES_MAX: usize = 32;

#[cold]
fn is_when_read(inside: &[u8], what: &[u8]) -> bool {
    unescape(inside, &mut [0; COMPARED_BYTES_MAX]) == Some(what)
}

/// A status written as a whole number.
#[inline(always)]
fn status(text: &[u8]) -> Option<u16> {
    let digits: [u8; 3] = text.try_into().ok()?;
    let [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] = digits else { return None };
    Some(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
