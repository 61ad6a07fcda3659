//! Lines to documents: a function that runs on the connection's own task, once per read.
//!
//! It decides what a line is, calls the one parser for it, and keeps what no parser takes. It opens nothing, waits for
//! nothing and counts into a [`Tally`] that its caller empties once per read.

use std::sync::Arc;

use serde_json::Value;

use super::preamble;
use super::preamble::Preamble;
use super::text;
use super::text::Why;
use crate::batch::BatchBuilder;
use crate::elb::Context;
use crate::elb::Failure;
use crate::elb::Parser;
use crate::elb::Schema;
use crate::elb::Style;
use crate::elb::detect;
use crate::elb::detect::Shape;
use crate::elb::format::Kind;
use crate::elb::reject::RejectReason;
use crate::elb::trim;
use crate::event_id::ArrivalIds;
use crate::framing::lines::Whole;
use crate::json::envelope::Envelope;
use crate::json::envelope::Received;
use crate::json::envelope::Tag;
use crate::json::envelope::Tags;
use crate::tally::Origin;
use crate::tally::Tally;

/// How a source's lines become documents, as decided.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsePlan {
    /// What the lines are.
    pub format: Format,
    /// What the documents look like.
    pub schema: Schema,
    /// What becomes of a line no parser takes.
    pub on_reject: OnReject,
    /// Static fields in the order they were written, each name once; values are strings, numbers and booleans.
    pub fields: Vec<(String, Value)>,
    /// Longest line that is parsed.
    pub line_bytes_max: usize,
    /// Leave out what the relay adds: `@timestamp`, `@version`, `event.id`.
    pub bare: bool,
}

/// What a source's lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Decided per line: JSON, a known ELB shape, or text.
    Auto,
    /// Any ELB kind, or JSON; everything else is a reject.
    Elb,
    /// ALB access logs.
    Alb,
    /// Classic Load Balancer access logs.
    Classic,
    /// JSON objects, or arrays of them.
    Json,
    /// Text as it is.
    Text,
}

impl Format {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 6] = [Self::Auto, Self::Elb, Self::Alb, Self::Classic, Self::Json, Self::Text];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Elb => "elb",
            Self::Alb => "alb",
            Self::Classic => "classic",
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    /// The format a word stands for.
    pub fn from_label(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.label() == word)
    }

    const fn only(self) -> Option<Kind> {
        match self {
            Self::Alb => Some(Kind::Alb),
            Self::Classic => Some(Kind::Classic),
            Self::Auto | Self::Elb | Self::Json | Self::Text => None,
        }
    }
}

/// What becomes of a line no parser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReject {
    /// It becomes a document with the raw line in `message` and a tag.
    Tag,
    /// It is dropped and counted.
    Drop,
}

impl OnReject {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 2] = [Self::Tag, Self::Drop];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Drop => "drop",
        }
    }

    /// The choice a word stands for.
    pub fn from_label(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.label() == word)
    }
}

/// How documents of one source or connection look, rendered once.
#[derive(Debug)]
pub struct Look {
    style: Style,
    text_tail: Vec<u8>,
    fields: Vec<(String, Value)>,
}

impl Look {
    /// The look of a source's documents.
    pub fn new(schema: Schema, fields: &[(String, Value)]) -> Self {
        Self { style: Style::new(schema, fields), text_tail: text::tail(fields), fields: fields.to_vec() }
    }

    /// The same with more fields; of two fields of one name the new one counts.
    fn with(&self, more: Vec<(String, Value)>) -> Self {
        let mut fields = self.fields.clone();
        for (name, value) in more {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some(field) => field.1 = value,
                None => fields.push((name, value)),
            }
        }
        Self::new(self.style.schema(), &fields)
    }
}

/// The lines of one connection or file become documents here.
pub struct LineParser {
    format: Format,
    on_reject: OnReject,
    bare: bool,
    look: Arc<Look>,
    elb: Parser,
    ids: ArrivalIds,
    /// Whether no line has come yet, so that the next may be a preamble.
    first: bool,
    /// What became of the lines so far; the caller takes it.
    pub tally: Tally,
    /// The last reject, for whoever shows it to a person: word, offset into the line, and field.
    pub last_reject: Option<(&'static str, usize, Option<&'static str>)>,
}

impl LineParser {
    /// A parser for one connection. `look` is the source's; a preamble replaces it for this connection.
    pub fn new(plan: &ParsePlan, look: Arc<Look>, ids: ArrivalIds) -> Self {
        Self {
            format: plan.format,
            on_reject: plan.on_reject,
            bare: plan.bare,
            look,
            elb: Parser::default(),
            ids,
            first: true,
            tally: Tally::default(),
            last_reject: None,
        }
    }

    /// Appends what becomes of the line `chunk[start..end]`: one document, several for a JSON array, or none.
    #[inline]
    pub fn line(&mut self, chunk: &[u8], start: usize, end: usize, whole: Whole, received: Received, out: &mut BatchBuilder) {
        let first = std::mem::take(&mut self.first);
        let tags = match whole {
            Whole::Yes => Tags::NONE,
            Whole::Unterminated => Tags::NONE.with(Tag::Unterminated),
            Whole::Cut => {
                self.tally.cut += 1;
                self.tally.event(Origin::Text);
                return self.text(&chunk[start..end], Tags::NONE.with(Tag::Truncated), None, received, out);
            }
        };
        let Some((from, to)) = trim(chunk, start, end) else {
            self.first = first;
            self.tally.blank += 1;
            return;
        };
        if first && chunk[from] == b'{' && self.preamble(&chunk[from..to]) {
            return;
        }
        self.parse(chunk, from, to, tags, received, out);
    }

    #[inline]
    fn parse(&mut self, chunk: &[u8], start: usize, end: usize, tags: Tags, received: Received, out: &mut BatchBuilder) {
        match self.format {
            Format::Auto | Format::Elb if matches!(chunk[start], b'{' | b'[') => {
                self.json(chunk, start, end, tags, received, out)
            }
            Format::Auto | Format::Elb | Format::Alb | Format::Classic => self.elb(chunk, start, end, tags, received, out),
            Format::Json => self.json(chunk, start, end, tags, received, out),
            Format::Text => self.plain(chunk, start, end, tags, received, out),
        }
    }

    #[inline(always)]
    fn elb(&mut self, chunk: &[u8], start: usize, end: usize, tags: Tags, received: Received, out: &mut BatchBuilder) {
        let envelope = self.envelope(received);
        let context = Context { style: &self.look.style, only: self.format.only(), envelope, tags };
        match self.elb.document(chunk, start, end, &context, out) {
            Ok(parsed) => {
                self.tally.event(Origin::of(parsed.kind));
                self.tally.unknown_fields += u64::from(parsed.unknown_fields > 0);
                self.tally.bad_times += u64::from(parsed.bad_time);
            }
            Err(failure) => self.no_elb(failure, chunk, start, end, tags, received, out),
        }
    }

    #[cold]
    #[expect(clippy::too_many_arguments, reason = "the arguments of `elb` and how it failed")]
    fn no_elb(
        &mut self,
        failure: Failure,
        chunk: &[u8],
        start: usize,
        end: usize,
        tags: Tags,
        received: Received,
        out: &mut BatchBuilder,
    ) {
        let reject = match failure {
            Failure::InvalidUtf8 => return self.repair(&chunk[start..end], tags, received, out),
            Failure::Rejected(reject) => reject,
            Failure::Unknown if detect::shape(&chunk[start..end]) == Shape::Control => {
                self.tally.control += 1;
                return;
            }
            Failure::Unknown if self.format == Format::Auto => return self.plain(chunk, start, end, tags, received, out),
            Failure::Unknown => self.elb.unknown(chunk, start, end),
        };
        // A line of JSON where only one kind of log line is allowed is just another unknown line.
        let reason = if reject.reason == RejectReason::Json { RejectReason::UnrecognisedFormat } else { reject.reason };
        self.last_reject = Some((reason.label(), reject.at, reject.field));
        let why = Why { reason: reason.label(), at: reject.at };
        self.reject(&chunk[start..end], tags.with(Tag::ElbParseFailure), why, received, out);
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
            OnReject::Drop => self.tally.dropped += 1,
        }
    }

    fn text(&mut self, line: &[u8], tags: Tags, why: Option<Why>, received: Received, out: &mut BatchBuilder) {
        let envelope = self.envelope(received);
        match std::str::from_utf8(line) {
            Ok(_) => text::document(line, tags, why, &self.look.text_tail, envelope.as_ref(), out),
            Err(_) => {
                self.tally.invalid_utf8 += 1;
                let line = String::from_utf8_lossy(line);
                text::document(line.as_bytes(), tags.with(Tag::InvalidUtf8), why, &self.look.text_tail, envelope.as_ref(), out);
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

    #[inline(always)]
    fn envelope(&mut self, received: Received) -> Option<Envelope> {
        if self.bare { None } else { Some(Envelope { received, id: self.ids.next() }) }
    }

    /// Takes a preamble; `false`: the line is none.
    #[cold]
    fn preamble(&mut self, line: &[u8]) -> bool {
        let Some(Preamble { fields, ignored }) = preamble::read(line) else { return false };
        self.tally.preambles += 1;
        self.tally.preamble_members_ignored += ignored.len() as u64;
        if !ignored.is_empty() {
            tracing::warn!(members = ?ignored, "a connection's preamble has members that are unknown or of the wrong type; they are ignored");
        }
        if !fields.is_empty() {
            self.look = Arc::new(self.look.with(fields));
        }
        true
    }

    fn json(&mut self, chunk: &[u8], start: usize, end: usize, tags: Tags, received: Received, out: &mut BatchBuilder) {
        self.plain(chunk, start, end, tags, received, out);
    }
}
