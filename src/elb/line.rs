//! A line under its table: its tokens by place, their checks, and the members that all schemas write alike.

use super::Extras;
use super::field_at::FieldAt;
use super::field_at::Part;
use super::format::Field;
use super::format::Format;
use super::format::Shape;
use super::reject::Reject;
use super::reject::RejectReason;
use super::style::Style;
use super::tokens::Tokens;
use super::value;
use super::value::Token;
use crate::batch::Micros;
use crate::enrich::url;
use crate::json::envelope::Envelope;
use crate::json::envelope::Tag;
use crate::json::envelope::Tags;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::redact::Finding;
use crate::redact::Redactor;

/// A line cut into tokens under a format that it seems to have.
pub(super) struct Line<'a> {
    pub(super) chunk: &'a [u8],
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) tokens: &'a Tokens,
    pub(super) format: &'static Format,
    /// Whether a text of the line may need escapes.
    pub(super) escapes: bool,
}

/// What a schema's writer found out on the way.
pub(super) struct Written {
    pub(super) time: Micros,
    pub(super) bad_time: bool,
}

/// How a document is written: what is the same for all lines of a read, and what was found out about this one.
pub(super) struct Writing<'a> {
    pub(super) style: &'a Style,
    pub(super) envelope: Option<Envelope>,
    pub(super) tags: Tags,
    pub(super) extras: Extras<'a>,
}

impl<'a> Line<'a> {
    /// Number of tokens that have a name.
    #[inline(always)]
    pub(super) fn known(&self) -> usize {
        self.tokens.len().min(self.format.fields.len())
    }

    /// Number of tokens that have none.
    pub(super) fn unknown_fields(&self) -> usize {
        self.tokens.len() - self.known() + self.tokens.rest().len()
    }

    #[inline(always)]
    pub(super) fn token(&self, place: usize) -> Token<'a> {
        let (start, end) = self.tokens.span(place);
        Token { chunk: self.chunk, start, end, escapes: self.escapes }
    }

    #[inline(always)]
    pub(super) fn is_quoted(&self, place: usize) -> bool {
        self.tokens.quoted() >> place & 1 == 1
    }

    /// A reject at a token, its opening quote included.
    #[cold]
    pub(super) fn misaligned(&self, place: usize) -> Reject {
        let (start, _) = self.tokens.span(place);
        let quote = (self.tokens.quoted() >> place & 1) as usize;
        let field = self.format.fields.get(place).map(Field::name);
        Reject { at: start - quote - self.start, reason: RejectReason::MisalignedFields, field }
    }

    /// Whether there are enough tokens, and quotes only where they may be and wherever they must be.
    #[inline(always)]
    pub(super) fn check_quoting(&self) -> Result<(), Reject> {
        let format = self.format;
        if self.tokens.len() < format.tokens_min {
            let field = format.fields.get(self.tokens.len()).map(Field::name);
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
    pub(super) fn present(&self) -> u64 {
        if self.tokens.len() >= 64 { u64::MAX } else { (1 << self.tokens.len()) - 1 }
    }

    /// Whether every field is what its place demands, those included that a schema leaves out.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Reject> {
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
    pub(super) fn unknown_tokens(&self, known: usize) -> impl Iterator<Item = Token<'a>> {
        let named = (known..self.tokens.len()).map(|place| self.token(place));
        let token = self.token(0);
        let rest = self.tokens.rest().iter();
        named.chain(rest.map(move |&(start, end)| token.part(start as usize, end as usize)))
    }

    /// Writes the tokens AWS has not told us about, as texts in order.
    #[inline(always)]
    pub(super) fn write_unknown_fields(&self, known: usize, out: &mut Writer<'_>) {
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
    pub(super) fn original(&self, key: &Key, out: &mut Writer<'_>) {
        out.key(key);
        out.escaped(self.chunk, self.start, self.end);
        out.byte(b'"');
    }

    /// Appends the secrets in the fields that may carry some, and in those that have no name yet.
    #[inline(always)]
    pub(super) fn find_secrets(&self, redactor: &Redactor, secrets: &mut Vec<Finding>) {
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
    pub(super) fn value(&self, at: FieldAt) -> &'a [u8] {
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
    pub(super) fn open(&self, context: &Writing<'_>, time: Token<'_>, out: &mut Writer<'_>) -> Written {
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
    pub(super) fn close(&self, context: &Writing<'_>, base: usize, written: &Written, out: &mut Writer<'_>) {
        let tags = if written.bad_time && context.envelope.is_some() {
            context.tags.with(Tag::TimestampParseFailure)
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
