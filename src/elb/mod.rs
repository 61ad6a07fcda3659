//! Load-balancer log lines: from the bytes of a line straight to its finished document.
//!
//! ```text
//! tokens (four ways to read quotes) -> detect (shape of the first) -> rules -> redact -> enrichment -> aws_schema
//!   format: one table per kind of log (alb, classic, nlb, …)                                          | classic_schema
//!                                                                                                     | ecs_schema
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
pub mod enrichment;
pub mod field_at;
pub mod format;
mod line;
pub mod mapping;
pub mod nlb;
pub mod object_key;
pub mod reject;
mod request;
pub mod rules;
mod style;
pub mod tokens;
mod value;

pub use style::Schema;
pub use style::Style;
pub use style::StylePlan;
pub(crate) use style::render as render_fields;

use crate::batch::BatchBuilder;
use crate::batch::EventId;
use crate::json::envelope::Envelope;
use crate::json::envelope::Tags;
use crate::json::writer::SLACK;
use crate::redact;
use crate::redact::Finding;
use crate::redact::Redactor;
use enrichment::Enrichment;
use enrichment::Found;
use format::Format;
use format::Kind;
use line::Line;
use line::Writing;
use reject::Reject;
use reject::RejectReason;
use rules::Rules;
use rules::Verdict;
use tokens::Attempt;
use tokens::Tokens;

/// Turns lines into documents; keeps its tokens' memory from line to line.
#[derive(Debug, Default)]
pub struct Parser {
    tokens: Tokens,
    /// Secrets of the line that was parsed last.
    secrets: Vec<Finding>,
    /// That line with its secrets replaced, where it had some.
    redacted: Redacted,
    /// What enrichment knows of it.
    found: Found,
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
    /// The rule by which no document was made of it.
    pub dropped_by: Option<usize>,
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
    /// What is done with the line before it is written.
    pub treatment: Treatment<'a>,
}

/// What is done with a line between parsing and writing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Treatment<'a> {
    /// Replaces secrets.
    pub redactor: Option<&'a Redactor>,
    /// Drops what nobody wants.
    pub rules: Option<&'a Rules>,
    /// Looks things up.
    pub enrichment: Option<&'a Enrichment>,
}

/// What enrichment found out about a line: members as `,"name":value…`, or nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Extras<'a> {
    /// Members of the document.
    document: &'a [u8],
    /// Members of the object that is about the client; in the `ecs` schema alone.
    client: &'a [u8],
    /// Members of the object that is about the user agent; in the `ecs` schema alone.
    user_agent: &'a [u8],
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
        if self.redacted.line.capacity() > KEPT_BYTES_MAX {
            self.redacted = Redacted::default();
        }
        self.secrets.clear();
        self.secrets.shrink_to(tokens::PLACES);
    }

    /// The secrets of the line that [`document`](Self::document) has just turned into one, as places in the chunk.
    pub fn secrets(&self) -> &[Finding] {
        &self.secrets
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
        self.secrets.clear();
        if self.tokens.cut_plain(chunk, start, end) {
            let Some(format) = self.format(chunk, start, end).filter(|format| context.allows(format.kind)) else {
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
    fn format(&self, chunk: &[u8], start: usize, end: usize) -> Option<&'static Format> {
        // JSON and control messages come first, whatever stands behind; no type, and no time, starts like them.
        if matches!(chunk[start], b'{' | b'[' | b'E') {
            return detect::shape(&chunk[start..end]).kind().map(Kind::format);
        }
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
        &mut self,
        chunk: &[u8],
        start: usize,
        end: usize,
        format: &'static Format,
        context: &Context<'_>,
        out: &mut BatchBuilder,
    ) -> Result<Parsed, Reject> {
        let Self { tokens, secrets, redacted, found } = self;
        let line = Line { chunk, start, end, tokens, format };
        line.check_quoting()?;
        let Treatment { redactor, rules, enrichment } = context.treatment;
        let mut parsed = Parsed { kind: format.kind, unknown_fields: line.unknown_fields(), bad_time: false, dropped_by: None };
        if let Some(redactor) = redactor {
            secrets.clear();
            line.find_secrets(redactor, secrets);
        }
        if rules.is_some() || !secrets.is_empty() {
            line.check()?;
        }
        if let Some(rules) = rules {
            let id = context.envelope.map_or(EventId([0; 16]), |envelope| envelope.id);
            if let Verdict::Drop { rule } = rules.decide(format.kind as usize, id, |at| line.value(at)) {
                secrets.clear();
                return Ok(Parsed { dropped_by: Some(rule), ..parsed });
            }
        }
        let (chunk, start, end) = match redactor.filter(|_| !secrets.is_empty()) {
            Some(redactor) => replace_secrets(redactor, secrets, chunk, start, end, tokens, redacted),
            None => (chunk, start, end),
        };
        let line = Line { chunk, start, end, tokens, format };
        let extras = match enrichment {
            Some(enrichment) => {
                enrichment.run(context.style.schema(), format.kind, |at| line.value(at), found);
                found.extras()
            }
            None => Extras::default(),
        };
        let context = &Writing { style: context.style, envelope: context.envelope, tags: context.tags, extras };
        let bound = context.style.document_bound(format.kind, end - start, tokens.escapes()) + extras.bytes();
        let mut writer = out.writer(bound);
        let written = match context.style.schema() {
            Schema::Aws => aws_schema::write(&line, context, &mut writer),
            Schema::Classic => classic_schema::write(&line, context, &mut writer),
            Schema::Ecs => ecs_schema::write(&line, context, &mut writer),
        }?;
        let at = writer.at();
        let origin = Some(format.kind.origin());
        out.finish(at, context.envelope.map_or(EventId([0; 16]), |envelope| envelope.id), written.time, origin);
        parsed.bad_time = written.bad_time;
        Ok(parsed)
    }
}

/// Most memory for lines with replaced secrets that is kept between reads: those of nearly all lines.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A line with its secrets replaced; its memory is kept from line to line.
#[derive(Debug, Default)]
struct Redacted {
    line: Vec<u8>,
    /// Where each secret ended, and by how much what is behind it stands further on.
    moved: Vec<(usize, isize)>,
}

/// Copies a line with its secrets replaced and has the tokens follow; gives where it stands now.
#[cold]
fn replace_secrets<'r>(
    redactor: &Redactor,
    secrets: &[Finding],
    chunk: &[u8],
    start: usize,
    end: usize,
    tokens: &mut Tokens,
    redacted: &'r mut Redacted,
) -> (&'r [u8], usize, usize) {
    let Redacted { line, moved } = redacted;
    line.clear();
    moved.clear();
    redact::apply(redactor, chunk, start, end, secrets, line, |ended, ends| {
        // Both are lengths of lines, far below the limit of either type.
        moved.push((ended, ends as isize - (ended - start) as isize));
    });
    tokens.follow(start, 0, moved);
    let end = line.len();
    // So that texts at the end of the line, too, are read in steps.
    line.resize(end + SLACK, b' ');
    (line, 0, end)
}
