//! Load-balancer log lines: from the bytes of a line straight to its finished document.
//!
//! ```text
//! detect (shape of the first tokens) -> tokens (four ways to read quotes) -> aws_schema | classic_schema | ecs_schema
//!                                          format: one table per kind of log (alb, classic, nlb, …)
//! ```
//!
//! Any bytes give a document or a [`Reject`]; a line whose fields would be shifted is never a document. There is no I/O
//! here, no clock and no configuration: the [`Style`] says how documents look.

pub mod alb;
pub mod alb_connection;
pub mod alb_health_check;
mod aws_schema;
mod block;
mod check;
pub mod classic;
mod classic_schema;
pub mod detect;
mod ecs_cache;
mod ecs_compile;
mod ecs_program;
mod ecs_run;
mod ecs_schema;
mod ecs_value;
pub mod format;
pub mod nlb;
pub mod reject;
mod request;
mod style;
pub mod tokens;
mod value;

pub use style::Schema;
pub use style::Style;
pub use style::StylePlan;
pub(crate) use style::render as render_fields;

use crate::batch::BatchBuilder;
use crate::batch::EventId;
use crate::batch::Micros;
use crate::json::envelope::Envelope;
use crate::json::envelope::Tags;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use format::Format;
use format::Kind;
use reject::Reject;
use reject::RejectReason;
use tokens::Attempt;
use tokens::Tokens;

/// Turns lines into documents; keeps its tokens' memory from line to line.
#[derive(Debug, Default)]
pub struct Parser {
    tokens: Tokens,
}

/// A line that became a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Its kind.
    pub kind: Kind,
    /// Tokens AWS has not told us about.
    pub unknown_fields: usize,
    /// Whether its time passed the shape test but names no day, so that the receive time stands in.
    pub bad_time: bool,
}

/// A line that became none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It does not even look like one, or is of another kind than the one that is allowed.
    Unknown,
    /// It has bytes that are no UTF-8.
    InvalidUtf8,
    /// It looks like one and fails its checks.
    Rejected(Reject),
}

/// What is the same for all lines of a read, and what is known of this one before it is parsed.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// How documents look.
    pub style: &'a Style,
    /// The one kind of line that is allowed; `None` allows all.
    pub only: Option<Kind>,
    /// What the relay adds; `None` leaves the bare object.
    pub envelope: Option<Envelope>,
    /// Tags the line has earned already.
    pub tags: Tags,
    /// What enrichment adds.
    pub extras: Extras<'a>,
}

/// What enrichment found out about a line: members as `,"name":value…`, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Members of the document.
    pub document: &'a [u8],
    /// Members of the object that is about the client; in the `ecs` schema alone.
    pub client: &'a [u8],
    /// Members of the object that is about the user agent; in the `ecs` schema alone.
    pub user_agent: &'a [u8],
}

impl Extras<'_> {
    fn bytes(&self) -> usize {
        self.document.len() + self.client.len() + self.user_agent.len()
    }
}

impl Context<'_> {
    #[inline(always)]
    fn allows(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}

/// A line without BOM, line end and nothing-but-spaces: the part that is parsed. `None` for a blank line.
#[inline(always)]
pub fn trim(chunk: &[u8], mut start: usize, mut end: usize) -> Option<(usize, usize)> {
    if chunk[start..end].starts_with(b"\xef\xbb\xbf") {
        start += 3;
    }
    while start < end && matches!(chunk[end - 1], b'\r' | b'\n') {
        end -= 1;
    }
    if start == end || chunk[start] == b' ' && chunk[start..end].iter().all(|&byte| byte == b' ') {
        None
    } else {
        Some((start, end))
    }
}

impl Parser {
    /// Keeps no more memory than an ordinary line needs.
    pub fn forget(&mut self) {
        self.tokens.forget();
    }

    /// Appends the document of the line `chunk[start..end]`, which [`trim`] has trimmed.
    ///
    /// Bytes of the chunk behind the line are read ahead but never looked at.
    ///
    /// # Errors
    /// When the line is no load-balancer log line; then nothing is appended.
    #[inline]
    pub fn document(
        &mut self,
        chunk: &[u8],
        start: usize,
        end: usize,
        context: &Context<'_>,
        out: &mut BatchBuilder,
    ) -> Result<Parsed, Failure> {
        if self.tokens.cut_plain(chunk, start, end) {
            let Some(format) = self.format(chunk).filter(|format| context.allows(format.kind)) else {
                return Err(Failure::Unknown);
            };
            if self.tokens.has_high() && std::str::from_utf8(&chunk[start..end]).is_err() {
                return Err(Failure::InvalidUtf8);
            }
            match self.write(chunk, start, end, format, context, out) {
                Ok(parsed) => Ok(parsed),
                Err(reject) => self.retry(chunk, start, end, format, context, out, Some(reject)),
            }
        } else {
            let Some(kind) = detect::shape(&chunk[start..end]).kind().filter(|&kind| context.allows(kind)) else {
                return Err(Failure::Unknown);
            };
            if std::str::from_utf8(&chunk[start..end]).is_err() {
                return Err(Failure::InvalidUtf8);
            }
            self.retry(chunk, start, end, kind.format(), context, out, None)
        }
    }

    /// Why a line that looks like nothing known is rejected where only load-balancer lines are allowed.
    pub fn unknown(&mut self, chunk: &[u8], start: usize, end: usize) -> Reject {
        match detect::shape(&chunk[start..end]) {
            detect::Shape::Control => Reject::new(RejectReason::ControlMessage, 0),
            detect::Shape::Json => Reject::new(RejectReason::Json, 0),
            detect::Shape::Elb(_) | detect::Shape::Unknown => match self.tokens.cut(chunk, start, end, Attempt::ALL[0]) {
                Err(reject) => reject,
                Ok(()) if self.tokens.is_empty() => Reject::new(RejectReason::EmptyLine, 0),
                Ok(()) => Reject::new(RejectReason::UnrecognisedFormat, 0),
            },
        }
    }

    #[inline(always)]
    fn format(&self, chunk: &[u8]) -> Option<&'static Format> {
        // With its opening quote, as `detect::shape` sees it: what stands in quotes is never what a kind is known by.
        let token = |place| {
            if place >= self.tokens.len() {
                return &[][..];
            }
            let (start, end) = self.tokens.span(place);
            &chunk[start - (self.tokens.quoted() >> place & 1) as usize..end]
        };
        detect::kind([token(0), token(1), token(2), token(3)]).map(Kind::format)
    }

    /// Reads the line in every other way; the first that passes the checks counts, and if none does, the first reason.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "the arguments of `document` and what is known of the first attempt")]
    fn retry(
        &mut self,
        chunk: &[u8],
        start: usize,
        end: usize,
        format: &'static Format,
        context: &Context<'_>,
        out: &mut BatchBuilder,
        mut first: Option<Reject>,
    ) -> Result<Parsed, Failure> {
        for attempt in Attempt::ALL {
            let cut = self.tokens.cut(chunk, start, end, attempt);
            match cut.and_then(|()| self.write(chunk, start, end, format, context, out)) {
                Ok(parsed) => return Ok(parsed),
                Err(reject) => first = first.or(Some(reject)),
            }
        }
        Err(Failure::Rejected(first.expect("an attempt was made")))
    }

    #[inline(always)]
    fn write(
        &self,
        chunk: &[u8],
        start: usize,
        end: usize,
        format: &'static Format,
        context: &Context<'_>,
        out: &mut BatchBuilder,
    ) -> Result<Parsed, Reject> {
        let line = Line { chunk, start, end, tokens: &self.tokens, format };
        line.check_quoting()?;
        let bound = context.style.document_bound(format.kind, end - start, self.tokens.escapes()) + context.extras.bytes();
        let mut writer = out.writer(bound);
        let written = match context.style.schema() {
            Schema::Aws => aws_schema::write(&line, context, &mut writer),
            Schema::Classic => classic_schema::write(&line, context, &mut writer),
            Schema::Ecs => ecs_schema::write(&line, context, &mut writer),
        }?;
        let at = writer.at();
        out.finish(at, context.envelope.map_or(EventId([0; 16]), |envelope| envelope.id), written.time);
        Ok(Parsed { kind: format.kind, unknown_fields: line.unknown_fields(), bad_time: written.bad_time })
    }
}

/// A line cut into tokens under a format that it seems to have.
struct Line<'a> {
    chunk: &'a [u8],
    start: usize,
    end: usize,
    tokens: &'a Tokens,
    format: &'static Format,
}

/// What a schema's writer found out on the way.
struct Written {
    time: Micros,
    bad_time: bool,
}

impl<'a> Line<'a> {
    /// Number of tokens that have a name.
    #[inline(always)]
    fn known(&self) -> usize {
        self.tokens.len().min(self.format.fields.len())
    }

    /// Number of tokens that have none.
    fn unknown_fields(&self) -> usize {
        self.tokens.len() - self.known() + self.tokens.rest().len()
    }

    #[inline(always)]
    fn token(&self, place: usize) -> value::Token<'a> {
        let (start, end) = self.tokens.span(place);
        value::Token { chunk: self.chunk, start, end, escapes: self.tokens.needs_escape(place) }
    }

    #[inline(always)]
    fn is_quoted(&self, place: usize) -> bool {
        self.tokens.quoted() >> place & 1 == 1
    }

    /// A reject at a token, its opening quote included.
    #[cold]
    fn misaligned(&self, place: usize) -> Reject {
        let (start, _) = self.tokens.span(place);
        let quote = (self.tokens.quoted() >> place & 1) as usize;
        let field = self.format.fields.get(place).map(format::Field::name);
        Reject { at: start - quote - self.start, reason: RejectReason::MisalignedFields, field }
    }

    /// The tokens AWS has not told us about, in order.
    fn unknown_tokens(&self, known: usize) -> impl Iterator<Item = value::Token<'a>> {
        let named = (known..self.tokens.len()).map(|place| self.token(place));
        let token = self.token(0);
        let rest = self.tokens.rest().iter();
        named.chain(rest.map(move |&(start, end)| token.part(start as usize, end as usize)))
    }

    /// Writes the tokens AWS has not told us about, as texts in order.
    #[inline(always)]
    fn write_unknown_fields(&self, known: usize, out: &mut Writer<'_>) {
        if known == self.tokens.len() {
            return;
        }
        out.raw(b",\"unknown_fields\":[");
        for (at, token) in self.unknown_tokens(known).enumerate() {
            if at > 0 {
                out.byte(b',');
            }
            out.byte(b'"');
            value::verbatim(out, token);
            out.byte(b'"');
        }
        out.byte(b']');
    }

    /// Writes the line as it came.
    fn original(&self, key: &Key, out: &mut Writer<'_>) {
        out.key(key);
        out.escaped(self.chunk, self.start, self.end);
        out.byte(b'"');
    }

    /// Opens the document with the relay's members and says what time the event has. Without an envelope nothing is
    /// written: the first member's comma is turned into the brace at the end.
    #[inline(always)]
    fn open(&self, context: &Context<'_>, time: value::Token<'_>, out: &mut Writer<'_>) -> Written {
        let own = crate::time::parse_shaped(time.bytes());
        match (context.envelope, own) {
            (Some(envelope), Some(own)) => {
                envelope.open_with(out, self.chunk, time.start, time.end);
                Written { time: own, bad_time: false }
            }
            (Some(envelope), None) => {
                envelope.open(out);
                Written { time: envelope.received.micros, bad_time: true }
            }
            (None, own) => Written { time: own.unwrap_or(0), bad_time: own.is_none() },
        }
    }

    /// Closes the document that started at `base`.
    #[inline(always)]
    fn close(&self, context: &Context<'_>, base: usize, written: &Written, out: &mut Writer<'_>) {
        let tags = if written.bad_time && context.envelope.is_some() {
            context.tags.with(crate::json::envelope::Tag::TimestampParseFailure)
        } else {
            context.tags
        };
        tags.write_member(out);
        if context.style.keeps_message() {
            const MESSAGE: Key = Key::new("message");
            self.original(&MESSAGE, out);
        }
        out.raw(context.extras.document);
        out.raw(context.style.tail(self.format.kind));
        out.raw(b"}\n");
        out.patch(base, b'{');
    }
}
