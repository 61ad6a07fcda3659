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
pub mod classic;
mod classic_schema;
pub mod detect;
mod ecs_program;
mod ecs_schema;
pub mod enrichment;
pub mod field_at;
pub mod format;
pub mod nlb;
pub mod object_key;
pub mod reject;
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
use crate::batch::Micros;
use crate::enrich::url;
use crate::json::envelope::Envelope;
use crate::json::envelope::Tags;
use crate::json::writer::Key;
use crate::json::writer::SLACK;
use crate::json::writer::Writer;
use crate::redact::Finding;
use crate::redact::Redactor;
use enrichment::Enrichment;
use enrichment::Found;
use field_at::FieldAt;
use field_at::Part;
use format::Format;
use format::Kind;
use format::Shape;
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
    redacted: Vec<u8>,
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
        if self.redacted.capacity() > KEPT_BYTES_MAX {
            self.redacted = Vec::new();
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
        let escapes = tokens.escapes() != 0;
        let line = Line { chunk, start, end, tokens, format, escapes };
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
        let line = Line { chunk, start, end, tokens, format, escapes };
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
        out.finish(at, context.envelope.map_or(EventId([0; 16]), |envelope| envelope.id), written.time);
        parsed.bad_time = written.bad_time;
        Ok(parsed)
    }
}

/// Most memory for lines with replaced secrets that is kept between reads: those of nearly all lines.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Copies a line with its secrets replaced and has the tokens follow; gives where it stands now.
#[cold]
fn replace_secrets<'r>(
    redactor: &Redactor,
    secrets: &[Finding],
    chunk: &[u8],
    start: usize,
    end: usize,
    tokens: &mut Tokens,
    redacted: &'r mut Vec<u8>,
) -> (&'r [u8], usize, usize) {
    redacted.clear();
    let mut moved = Vec::with_capacity(secrets.len());
    let mut copied = start;
    for secret in secrets {
        redacted.extend_from_slice(&chunk[copied..secret.start]);
        redactor.replace(&chunk[secret.start..secret.end], redacted);
        copied = secret.end;
        // Both are lengths of lines, far below the limit of either type.
        moved.push((secret.end, redacted.len() as isize - (secret.end - start) as isize));
    }
    redacted.extend_from_slice(&chunk[copied..end]);
    tokens.follow(start, 0, &moved);
    let end = redacted.len();
    // So that texts at the end of the line, too, are read in steps.
    redacted.resize(end + SLACK, b' ');
    (redacted, 0, end)
}

/// How a document is written: what is the same for all lines of a read, and what was found out about this one.
struct Writing<'a> {
    style: &'a Style,
    envelope: Option<Envelope>,
    tags: Tags,
    extras: Extras<'a>,
}

/// A line cut into tokens under a format that it seems to have.
struct Line<'a> {
    chunk: &'a [u8],
    start: usize,
    end: usize,
    tokens: &'a Tokens,
    format: &'static Format,
    /// Whether a text of the line may need escapes.
    escapes: bool,
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
        value::Token { chunk: self.chunk, start, end, escapes: self.escapes }
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

    /// Whether there are enough tokens, and quotes only where they may be and wherever they must be.
    #[inline(always)]
    fn check_quoting(&self) -> Result<(), Reject> {
        let format = self.format;
        if self.tokens.len() < format.tokens_min {
            let field = format.fields.get(self.tokens.len()).map(format::Field::name);
            return Err(Reject { at: self.end - self.start, reason: RejectReason::TooFewFields, field });
        }
        let present = self.present();
        let bare = !self.tokens.quoted() & present;
        let mut wrong = (self.tokens.quoted() & format.bare) | (bare & format.quoted);
        let mut dashes = bare & format.quoted_or_dash;
        while dashes != 0 {
            let place = dashes.trailing_zeros() as usize;
            if !self.token(place).is_dash() {
                wrong |= 1 << place;
            }
            dashes &= dashes - 1;
        }
        if wrong == 0 { Ok(()) } else { Err(self.misaligned(wrong.trailing_zeros() as usize)) }
    }

    /// One bit for each place that has a token.
    #[inline(always)]
    fn present(&self) -> u64 {
        if self.tokens.len() >= 64 { u64::MAX } else { (1 << self.tokens.len()) - 1 }
    }

    /// Whether every field is what its place demands, those included that a schema leaves out.
    #[inline(always)]
    fn check(&self) -> Result<(), Reject> {
        let mut left = self.format.checked & self.present();
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let token = self.token(place);
            let good = match self.format.fields[place].shape {
                Shape::Text | Shape::Ip | Shape::WordList | Shape::LooseTime | Shape::Request { .. } => true,
                Shape::Integer => value::is_integer(token),
                Shape::Number => value::is_decimal(token),
                Shape::Time => value::is_time(token),
                Shape::PassOrFail => value::is_pass_or_fail(token),
                Shape::Endpoint { .. } => value::is_endpoint(token),
            };
            if !good {
                return Err(self.misaligned(place));
            }
        }
        Ok(())
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

    /// Appends the secrets in the fields that may carry some, and in those that have no name yet.
    #[inline(always)]
    fn find_secrets(&self, redactor: &Redactor, secrets: &mut Vec<Finding>) {
        let mut left = self.format.sensitive & self.present();
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let (start, end) = self.tokens.span(place);
            redactor.find(self.chunk, start, end, secrets);
        }
        if self.known() < self.tokens.len() {
            for token in self.unknown_tokens(self.known()) {
                redactor.find(self.chunk, token.start, token.end, secrets);
            }
        }
    }

    /// The text of a field or a part of it; `-` where the line has none.
    fn value(&self, at: FieldAt) -> &'a [u8] {
        let place = usize::from(at.place);
        if place >= self.known() {
            return b"-";
        }
        let token = self.token(place);
        let endpoint = || value::endpoint_parts(token);
        let token = match at.part {
            Part::Whole => token,
            Part::Ip => endpoint().map_or(token, |(ip, _)| ip),
            Part::Port => endpoint().map_or(token, |(_, port)| port),
            Part::Verb => value::request_parts(token).verb,
            Part::Url => value::request_parts(token).url,
            Part::Path => {
                let url = value::request_parts(token).url;
                match url::split(self.chunk, url.start, url.end).and_then(|url| url.path) {
                    Some((start, end)) => token.part(start, end),
                    None => return b"-",
                }
            }
            Part::Proto => value::request_parts(token).proto,
        };
        if token.start == token.end { b"-" } else { token.bytes() }
    }

    /// Opens the document with the relay's members and says what time the event has. Without an envelope nothing is
    /// written: the first member's comma is turned into the brace at the end.
    #[inline(always)]
    fn open(&self, context: &Writing<'_>, time: value::Token<'_>, out: &mut Writer<'_>) -> Written {
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
    fn close(&self, context: &Writing<'_>, base: usize, written: &Written, out: &mut Writer<'_>) {
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
