//! Lines to documents: a function that runs on the connection's own task, once per read.
//!
//! It decides what a line is, calls the one parser for it, and keeps what no parser takes. It opens nothing, waits for
//! nothing and counts into a [`Tally`] that its caller empties once per read.

mod again;
mod json;
mod request;

use std::sync::Arc;

use super::handling::CachedEnrichment;
use super::ids::Ids;
use super::look::Look;
use super::look::Looks;
use super::plan::Format;
use super::plan::Identity;
use super::plan::OnReject;
use super::plan::ParsePlan;
use super::preamble;
use super::preamble::Whose;
use super::text;
use super::text::Why;
use crate::batch::BatchBuilder;
use crate::batch::EventId;
use crate::batch::Origin;
use crate::elb::Context;
use crate::elb::Failure;
use crate::elb::Parser;
use crate::elb::Treatment;
use crate::elb::detect;
use crate::elb::detect::Shape;
use crate::elb::reject::RejectReason;
use crate::elb::trim;
use crate::framing::lines::Whole;
use crate::json::envelope::Envelope;
use crate::json::envelope::Received;
use crate::json::envelope::Tag;
use crate::json::envelope::Tags;
use crate::json::scan::Scan;
use crate::peer::Peer;
use crate::redact::Finding;
use crate::tally::Tally;
use crate::tenant::TenantRef;
use crate::tenant::Visit;
pub use again::Again;
pub(super) use again::Before;

/// Why a line was rejected, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReject {
    /// The word for it.
    pub reason: &'static str,
    /// Offset into the line, in bytes from zero.
    pub at: usize,
    /// The field expected there, where there is one.
    pub field: Option<&'static str>,
}

/// The lines of one connection or file become documents here.
pub struct LineParser {
    format: Format,
    on_reject: OnReject,
    bare: bool,
    look: Arc<Look>,
    elb: Parser,
    json: Scan,
    /// For the objects inside an array, whose places `json` holds meanwhile.
    element: Scan,
    ids: Ids,
    identity: Identity,
    /// Whether the lines come from a load balancer's log, so that one of no known kind is a failure and no mere text.
    is_log: bool,
    /// Which element of an array is being made an event of.
    element_at: u32,
    /// The id of a line whose bytes are being repaired, computed from what they were.
    raw_id: Option<EventId>,
    enrichment: CachedEnrichment,
    /// Secrets of a line that is kept as text, and the line without them.
    secrets: Vec<Finding>,
    redacted: Vec<u8>,
    /// Whether no line has come yet, so that the next may be a preamble.
    first: bool,
    /// Whose the lines are, where the first may say that.
    whose: Option<Whose>,
    /// Whether the first line has shown that the sender may not send.
    refused: bool,
    /// Whose the lines are now, where the first has said that; the caller takes it.
    pub(super) moved_to: Option<TenantRef>,
    /// An event without the members that its tenant has fields for.
    cut: Vec<u8>,
    /// Rejected lines as documents, where they are kept apart; the caller takes them.
    pub letters: BatchBuilder,
    /// What became of the lines so far; the caller takes it.
    pub tally: Tally,
    /// The last reject, for whoever shows it to a person: word, offset into the line, and field.
    pub last_reject: Option<LastReject>,
}

impl LineParser {
    /// A parser for one connection. `look` is the source's; a preamble replaces it for this connection.
    pub fn new(plan: &ParsePlan, look: Arc<Look>, ids: Ids) -> Self {
        Self {
            format: plan.format,
            on_reject: plan.on_reject,
            bare: plan.bare,
            enrichment: CachedEnrichment::new(look.handling.enrichment.clone()),
            look,
            elb: Parser::default(),
            json: Scan::new(),
            element: Scan::new(),
            ids,
            identity: plan.identity,
            is_log: false,
            raw_id: None,
            element_at: 0,
            secrets: Vec::new(),
            redacted: Vec::new(),
            first: true,
            whose: None,
            refused: false,
            moved_to: None,
            cut: Vec::new(),
            letters: BatchBuilder::default(),
            tally: Tally::default(),
            last_reject: None,
        }
    }

    /// The same for lines of the tenant of this name, whose look it has been given.
    pub(super) fn of_tenant(mut self, tenant: &str) -> Self {
        self.ids.belong_to(tenant);
        self
    }

    /// The same where the first line may say whose the lines are.
    pub(super) fn with_visit(self, visit: Visit, looks: Arc<Looks>, peer: Peer) -> Self {
        Self { whose: Some(Whose { visit, looks, peer }), ..self }
    }

    /// Whether the first line has shown that the sender may not send: what became of it and of all behind it does not count.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// A parser for a file, or for senders that do not know it is lines they send: no line is a preamble.
    pub fn offline(plan: &ParsePlan, look: Arc<Look>, ids: Ids) -> Self {
        Self { first: false, ..Self::new(plan, look, ids) }
    }

    /// Gives back what lines of very many parts have taken: nobody admitted that memory, and a connection may idle now.
    pub fn forget(&mut self) {
        self.elb.forget();
        self.json.forget();
        self.element.forget();
        self.secrets.clear();
        self.secrets.shrink_to(KEPT_SECRETS_MAX);
        self.redacted.clear();
        self.redacted.shrink_to(KEPT_BYTES_MAX);
        self.cut.clear();
        self.cut.shrink_to(KEPT_BYTES_MAX);
    }

    /// Bytes of every document that are the relay's and not the line's, fields included; a little more than less.
    ///
    /// Before the first line has come it may be a preamble, whose fields the lines behind it in the same read have too.
    pub fn bytes_per_event(&self) -> usize {
        EVENT_BYTES + self.look.fields.tail().len() + if self.first { preamble::BYTES_MAX_PER_EVENT } else { 0 }
    }

    /// Whether documents hold more than the fields of their lines in the shortest schema.
    pub fn writes_more(&self) -> bool {
        self.look.style.writes_more() || !self.look.handling.taken.is_empty()
    }

    /// Appends what becomes of the line `chunk[start..end]`: one document, several for a JSON array, or none.
    #[inline]
    pub fn line(&mut self, chunk: &[u8], start: usize, end: usize, whole: Whole, received: Received, out: &mut BatchBuilder) {
        let first = std::mem::take(&mut self.first);
        self.ids.count_line();
        let tags = match whole {
            Whole::Yes => Tags::NONE,
            Whole::Unterminated => Tags::NONE.with(Tag::Unterminated),
            Whole::Cut => {
                if first {
                    self.begin();
                }
                return self.cut(&chunk[start..end], received, out);
            }
        };
        let Some((from, to)) = trim(chunk, start, end) else {
            self.first = first;
            self.tally.blank += 1;
            return;
        };
        if first {
            if chunk[from] == b'{' && self.preamble(&chunk[from..to]) {
                return;
            }
            self.begin();
        }
        self.parse(chunk, from, to, tags, received, out);
    }

    /// Appends the beginning of what is too long, as text: a part of a line may look like a whole one of another kind.
    fn cut(&mut self, beginning: &[u8], received: Received, out: &mut BatchBuilder) {
        self.tally.cut += 1;
        self.tally.event(Origin::Text);
        self.text(beginning, Tags::NONE.with(Tag::Truncated), None, received, out);
    }

    #[inline]
    fn parse(&mut self, chunk: &[u8], start: usize, end: usize, tags: Tags, received: Received, out: &mut BatchBuilder) {
        if let Some(masked) = preamble::masked(&chunk[start..end]) {
            return self.parse(&masked, 0, masked.len(), tags, received, out);
        }
        match self.format {
            Format::Auto | Format::Elb if matches!(chunk[start], b'{' | b'[') => {
                self.json(chunk, start, end, tags, received, out)
            }
            Format::Auto
            | Format::Elb
            | Format::Alb
            | Format::Classic
            | Format::Nlb
            | Format::AlbConnection
            | Format::AlbHealthCheck => self.elb(chunk, start, end, tags, received, out),
            Format::Json => self.json(chunk, start, end, tags, received, out),
            Format::Text => self.plain(chunk, start, end, tags, received, out),
        }
    }

    #[inline(always)]
    fn elb(&mut self, chunk: &[u8], start: usize, end: usize, tags: Tags, received: Received, out: &mut BatchBuilder) {
        let line = &chunk[start..end];
        let id = if self.bare { None } else { Some(self.raw_id.unwrap_or_else(|| self.ids.of_elb(self.identity, line))) };
        let handling = &*self.look.handling;
        let treatment = Treatment {
            redactor: handling.redactor.as_ref(),
            rules: handling.rules.as_ref(),
            enrichment: Some(&**self.enrichment.load()).filter(|enrichment| !enrichment.is_empty()),
        };
        let envelope = id.map(|id| Envelope { received, id });
        let context = Context { style: &self.look.style, only: self.format.only(), envelope, tags, treatment };
        match self.elb.document(chunk, start, end, &context, out) {
            Ok(parsed) => {
                self.tally.event(parsed.kind.origin());
                if let Some(rule) = parsed.dropped_by {
                    self.tally.dropped_by(rule);
                }
                if !self.elb.secrets().is_empty() {
                    self.tally.redacted(self.elb.secrets());
                }
                if parsed.unknown_fields > 0 {
                    self.tally.longer(parsed.kind, parsed.unknown_fields);
                }
                self.tally.bad_times += u64::from(parsed.bad_time);
            }
            Err(failure) => self.no_elb(failure, id, chunk, start, end, tags, received, out),
        }
    }

    #[cold]
    #[expect(clippy::too_many_arguments, reason = "the arguments of `elb` and how it failed")]
    fn no_elb(
        &mut self,
        failure: Failure,
        id: Option<EventId>,
        chunk: &[u8],
        start: usize,
        end: usize,
        tags: Tags,
        received: Received,
        out: &mut BatchBuilder,
    ) {
        let reject = match failure {
            Failure::InvalidUtf8 => {
                self.raw_id = id;
                self.repair(&chunk[start..end], tags, received, out);
                self.raw_id = None;
                return;
            }
            Failure::Rejected(reject) => {
                // What looks like a load-balancer line is one event however often it comes, good or bad.
                self.raw_id = id;
                reject
            }
            Failure::Unknown if detect::shape(&chunk[start..end]) == Shape::Control => {
                self.tally.control += 1;
                return;
            }
            Failure::Unknown if self.format == Format::Auto && !self.is_log => {
                self.keep_content_id(id);
                self.plain(chunk, start, end, tags, received, out);
                self.raw_id = None;
                return;
            }
            Failure::Unknown => {
                self.keep_content_id(id);
                self.elb.unknown(chunk, start, end)
            }
        };
        // A line of JSON where only one kind of log line is allowed is just another unknown line.
        let reason = if reject.reason == RejectReason::Json { RejectReason::UnrecognisedFormat } else { reject.reason };
        self.last_reject = Some(LastReject { reason: reason.label(), at: reject.at, field: reject.field });
        let why = Why { reason: reason.label(), at: reject.at };
        self.reject(&chunk[start..end], tags.with(Tag::ElbParseFailure), why, received, out);
        self.raw_id = None;
    }

    /// Keeps the id of a line that is none of a load balancer's where it would get the same again: copies of a content are
    /// counted, and this one has been.
    fn keep_content_id(&mut self, id: Option<EventId>) {
        if self.identity == Identity::Content {
            self.raw_id = id;
        }
    }

    fn plain(&mut self, chunk: &[u8], start: usize, end: usize, tags: Tags, received: Received, out: &mut BatchBuilder) {
        self.tally.event(Origin::Text);
        self.text(&chunk[start..end], tags, None, received, out);
    }

    /// Keeps a line that no parser takes, or drops it where the source says so.
    fn reject(&mut self, line: &[u8], tags: Tags, why: Why, received: Received, out: &mut BatchBuilder) {
        self.tally.event(Origin::Reject);
        self.tally.reject(why.reason);
        match self.on_reject {
            OnReject::Tag => self.text(line, tags, Some(why), received, out),
            OnReject::DeadLetter => {
                let mut letters = std::mem::take(&mut self.letters);
                self.text(line, tags, Some(why), received, &mut letters);
                self.letters = letters;
            }
            OnReject::Drop => self.tally.dropped += 1,
        }
    }

    fn text(&mut self, line: &[u8], tags: Tags, why: Option<Why>, received: Received, out: &mut BatchBuilder) {
        let id = self.raw_id.or_else(|| (!self.bare).then(|| self.ids.of_other(self.identity, line, self.element_at)));
        let (envelope, Look { handling, text_tail, .. }) = (id.map(|id| Envelope { received, id }), &*self.look);
        let line = match &handling.redactor {
            // One of tomorrow's kinds may have URLs in it: it is searched from end to end.
            Some(redactor) => text::without_secrets(redactor, line, &mut self.secrets, &mut self.redacted),
            None => line,
        };
        self.tally.redacted(&self.secrets);
        match std::str::from_utf8(line) {
            Ok(_) => text::document(line, tags, why, text_tail, envelope.as_ref(), out),
            Err(_) => {
                let line = String::from_utf8_lossy(line);
                text::document(line.as_bytes(), tags.with(Tag::InvalidUtf8), why, text_tail, envelope.as_ref(), out);
                self.tally.invalid_utf8 += 1;
            }
        }
    }

    /// Parses a line again with each invalid sequence replaced by U+FFFD.
    #[cold]
    fn repair(&mut self, line: &[u8], tags: Tags, received: Received, out: &mut BatchBuilder) {
        self.tally.invalid_utf8 += 1;
        let line = String::from_utf8_lossy(line);
        self.parse(line.as_bytes(), 0, line.len(), tags.with(Tag::InvalidUtf8), received, out);
    }

    /// Takes a preamble; `false`: the line is none.
    #[cold]
    fn preamble(&mut self, line: &[u8]) -> bool {
        let Some(taken) = preamble::take(line, &self.look, &mut self.ids, self.whose.as_ref()) else { return false };
        self.tally.preambles += 1;
        self.tally.preamble_members_ignored += taken.ignored;
        self.tally.overridden += taken.overridden;
        self.is_log = taken.is_log;
        self.look = taken.look;
        self.moved_to = taken.tenant;
        self.refused = taken.refused;
        true
    }

    /// Begins with a first line that is no preamble, which a sender that has to say a token must not.
    #[cold]
    fn begin(&mut self) {
        if let Some(Whose { visit, .. }) = self.whose.as_ref().filter(|whose| whose.visit.owes_proof()) {
            visit.is_unproved();
            self.refused = true;
        }
    }
}

/// Places of secrets, and bytes of a text without them, that stay allocated from read to read.
const KEPT_SECRETS_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 4096;

/// What the smallest event costs without fields: its envelope, and the mark beside it.
const EVENT_BYTES: usize = 192;

#[cfg(test)]
mod tests;
