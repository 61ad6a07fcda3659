//! Documents in the `ecs` schema: the Elastic Common Schema with `aws.elb.*` beside it, as Elastic's own integration makes
//! them from the same lines, nested. A member without a value is left out.

use super::ecs_program::DEPTH_MAX;
use super::ecs_program::Own;
use super::ecs_program::Step;
use super::format::Form;
use super::line::Line;
use super::line::Writing;
use super::line::Written;
use super::reject::Reject;
use super::value;
use super::value::RequestParts;
use super::value::Token;
use crate::batch::Micros;
use crate::enrich::url;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::time::format_millis;
use crate::time::has_shape;
use crate::time::parse_shaped;

/// Writes the document, newline included.
#[inline(always)]
pub(super) fn write(line: &Line<'_>, context: &Writing<'_>, out: &mut Writer<'_>) -> Result<Written, Reject> {
    const TIMESTAMP: Key = Key::new("@timestamp");
    line.check()?;
    let base = out.at();
    let token = line.token(line.format.time);
    let own = parse_shaped(token.bytes());
    let received = context.envelope.map(|envelope| envelope.received.micros);
    let mut text = [0; 32];
    if let Some(time) = own.or(received) {
        text = millis_text(token.bytes(), own, time);
        out.short_text(&TIMESTAMP, &text, MILLIS_BYTES);
    }
    if context.envelope.is_some() {
        out.raw(b",\"@version\":\"1\"");
    }
    let http = line.format.status.is_some_and(|place| !line.token(place).is_dash());
    let request = line.format.request.map(|place| value::request_parts(line.token(place)));
    let time = own.map(|_| text);
    Walk { line, context, request, time, endpoint_at: usize::MAX, endpoint: None, depth: 0, opened: [(0, 0); DEPTH_MAX] }
        .run(context.style.steps(line.format.kind, http), out);
    let written = Written { time: own.or(received).unwrap_or(0), bad_time: own.is_none() };
    line.close(context, base, &written, out);
    Ok(written)
}

/// One line on its way through the steps.
struct Walk<'a> {
    line: &'a Line<'a>,
    context: &'a Writing<'a>,
    request: Option<RequestParts<'a>>,
    /// The event's own time in milliseconds, in a step of the writer; `None` where it has none.
    time: Option<[u8; 32]>,
    /// The endpoint that was split last, and its parts.
    endpoint_at: usize,
    endpoint: Option<(Token<'a>, Token<'a>)>,
    depth: usize,
    /// Where each open object began, and where its first member did.
    opened: [(usize, usize); DEPTH_MAX],
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn run(&mut self, steps: &[Step], out: &mut Writer<'_>) {
        let known = self.line.known();
        for step in steps {
            match step {
                Step::Open(key) => {
                    let before = out.at();
                    out.bare_key(key);
                    self.opened[self.depth] = (before, out.at());
                    self.depth += 1;
                }
                Step::Close => {
                    self.depth -= 1;
                    let (before, first) = self.opened[self.depth];
                    if out.at() == first {
                        out.rewind(before);
                    } else {
                        out.patch(first, b'{');
                        out.byte(b'}');
                    }
                }
                Step::Constant { text, len } => out.copy(text, 0, *len),
                Step::Member { key, place, form, closes } => {
                    if *place < known {
                        let before = out.at();
                        self.member(key, *form, *place, out);
                        if out.at() != before {
                            out.short(b"}}}}}}}}                        ", usize::from(*closes));
                        }
                    }
                }
                Step::MemberOr { key, place, form, otherwise } => {
                    let before = out.at();
                    if *place < known {
                        self.member(key, *form, *place, out);
                    }
                    if out.at() == before {
                        out.raw(otherwise);
                    }
                }
                Step::Own(own) => self.own(*own, known, out),
            }
        }
    }

    #[inline(always)]
    fn member(&mut self, key: &Key, form: Form, place: usize, out: &mut Writer<'_>) {
        let token = self.line.token(place);
        match form {
            Form::Text | Form::Ip | Form::DateVerbatim => text(out, key, token),
            Form::Verbatim => value::string(out, key, token),
            Form::Integer if !token.is_dash() => _ = value::integer(out, key, token),
            Form::Number if !token.is_dash() => _ = value::decimal(out, key, token),
            Form::Seconds if !is_negative(token) => _ = value::decimal(out, key, token),
            Form::NaturalText if !is_negative(token) => text(out, key, token),
            Form::EndpointIp => {
                if let Some((ip, _)) = self.endpoint(place) {
                    text(out, key, ip);
                }
            }
            Form::EndpointPort => {
                if let Some((_, port)) = self.endpoint(place).filter(|(_, port)| is_digits(port.bytes())) {
                    let _ = value::integer(out, key, port);
                }
            }
            Form::EndpointPortText => {
                if let Some((_, port)) = self.endpoint(place).filter(|(_, port)| is_digits(port.bytes())) {
                    text(out, key, port);
                }
            }
            Form::Verb => {
                if let Some(request) = &self.request {
                    text(out, key, request.verb);
                }
            }
            Form::Version => {
                let http = self.request.as_ref().filter(|request| request.proto.bytes().starts_with(b"HTTP/"));
                if let Some(request) = http {
                    text(out, key, request.proto.part(request.proto.start + 5, request.proto.end));
                }
            }
            Form::Url => {
                if let Some(request) = &self.request {
                    url(out, key, request.url);
                }
            }
            Form::Outcome => outcome(out, key, token),
            Form::CommaList => list(out, key, token, b','),
            Form::SpaceList => list(out, key, token, b' '),
            Form::EventTime => {
                if let Some(time) = &self.time {
                    out.short_text(key, time, MILLIS_BYTES);
                }
            }
            Form::Date => date(out, key, token),
            Form::NotBefore => validity(out, key, token, b"NotBefore="),
            Form::NotAfter => validity(out, key, token, b"NotAfter="),
            Form::ProtocolVersion => protocol_version(out, key, token),
            Form::ProtocolName => protocol_name(out, key, token),
            Form::BeforeColon => text(out, key, token.part(token.start, colon(token).unwrap_or(token.end))),
            Form::BehindColon => {
                if let Some(at) = colon(token) {
                    text(out, key, token.part(at + 1, token.end));
                }
            }
            Form::Integer | Form::Number | Form::Seconds | Form::NaturalText => {}
        }
    }

    /// The parts of an endpoint, of which several members are made.
    #[inline(always)]
    fn endpoint(&mut self, place: usize) -> Option<(Token<'a>, Token<'a>)> {
        if self.endpoint_at != place {
            self.endpoint_at = place;
            self.endpoint = value::endpoint_parts(self.line.token(place));
        }
        self.endpoint
    }

    #[inline(always)]
    fn own(&self, own: Own, known: usize, out: &mut Writer<'_>) {
        const ID: Key = Key::new("id");
        const ORIGINAL: Key = Key::new("original");
        match own {
            Own::Id => {
                if let Some(envelope) = &self.context.envelope {
                    out.short_text(&ID, &envelope.id.hex(), 32);
                }
            }
            Own::Original => self.line.original(&ORIGINAL, out),
            // A place that AWS is preparing is a `-` until it is filled: nothing to tell.
            Own::UnknownFields if known == self.line.tokens.len() => {}
            Own::UnknownFields if self.line.unknown_tokens(known).any(|token| !token.is_dash()) => {
                self.line.write_unknown_fields(known, out);
            }
            Own::UnknownFields => {}
            Own::Client if !self.context.extras.client.is_empty() => out.raw(self.context.extras.client),
            Own::UserAgent if !self.context.extras.user_agent.is_empty() => out.raw(self.context.extras.user_agent),
            Own::Client | Own::UserAgent => {}
        }
    }
}

/// Writes a text that is something.
#[inline(always)]
fn text(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if token.start < token.end && !token.is_dash() {
        value::string(out, key, token);
    }
}

/// Whether a number starts with a minus; `-` alone, which is none, does as well.
#[inline(always)]
fn is_negative(token: Token<'_>) -> bool {
    token.bytes().first() == Some(&b'-')
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Where the first colon of a token stands in its chunk.
fn colon(token: Token<'_>) -> Option<usize> {
    memchr::memchr(b':', token.bytes()).map(|at| token.start + at)
}

/// Writes what a status, which is a number, says of the request.
#[inline(always)]
fn outcome(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    let success = match *token.bytes() {
        [hundreds, _, _] => hundreds < b'4',
        ref status => value::integer_text(status).is_some_and(|status| status.to_f64() < 400.0),
    };
    out.key(key);
    out.raw(if success { b"success\"" } else { b"failure\"" });
}

/// Writes the parts of a list as texts; empty parts are none.
fn list(out: &mut Writer<'_>, key: &Key, token: Token<'_>, divider: u8) {
    if token.start == token.end || token.is_dash() {
        return;
    }
    if let Some((bytes, len)) = token.short().filter(|_| !token.escapes)
        && !bytes[..len].contains(&divider)
    {
        out.bare_key(key);
        out.raw(b"[\"");
        out.short(bytes, len);
        return out.raw(b"\"]");
    }
    let before = out.at();
    out.bare_key(key);
    let first = out.at();
    let mut start = token.start;
    for end in memchr::memchr_iter(divider, token.bytes()).map(|at| token.start + at).chain([token.end]) {
        if start < end {
            out.raw(b",\"");
            value::verbatim(out, token.part(start, end));
            out.byte(b'"');
        }
        start = end + 1;
    }
    if out.at() == first {
        out.rewind(before);
    } else {
        out.patch(first, b'[');
        out.byte(b']');
    }
}

/// Writes a time cut to milliseconds; what is no time is left out.
fn date(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if !has_shape(token.bytes()) {
        return;
    }
    if let Some(time) = parse_shaped(token.bytes()) {
        out.short_text(key, &millis_text(token.bytes(), Some(time), time), MILLIS_BYTES);
    }
}

/// Bytes of a time in milliseconds.
const MILLIS_BYTES: usize = 24;

/// The time `written` names, where `own` says that it names one, cut to milliseconds; the text of `time` otherwise.
#[inline(always)]
fn millis_text(written: &[u8], own: Option<Micros>, time: Micros) -> [u8; 32] {
    let mut text = [0; 32];
    match written.first_chunk::<23>() {
        // The digits are there already. A 60th second is not: it is the first of the next minute.
        Some(digits)
            if own.is_some() && digits[19] == b'.' && digits[21..].iter().all(u8::is_ascii_digit) && digits[17] != b'6' =>
        {
            text[..23].copy_from_slice(digits);
            text[23] = b'Z';
        }
        _ => text[..MILLIS_BYTES].copy_from_slice(&format_millis(time)),
    }
    text
}

/// Writes one of the times of `NotBefore=…;NotAfter=…`.
fn validity(out: &mut Writer<'_>, key: &Key, token: Token<'_>, name: &[u8]) {
    let Some(at) = memchr::memmem::find(token.bytes(), name) else { return };
    let start = token.start + at + name.len();
    let end = memchr::memchr(b';', &token.chunk[start..token.end]).map_or(token.end, |length| start + length);
    date(out, key, token.part(start, end));
}

/// The name and the number of a protocol such as `TLSv1.2` or `tlsv12`.
fn protocol(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digit = text.iter().position(u8::is_ascii_digit)?;
    let (name, number) = text.split_at(digit);
    let name = name.strip_suffix(b"v").or_else(|| name.strip_suffix(b"V"))?;
    (!name.is_empty() && name.iter().all(u8::is_ascii_alphabetic)).then_some((name, number))
}

fn protocol_version(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if let b"TLSv1.2" | b"TLSv1.3" = token.bytes() {
        out.key(key);
        out.raw(if token.chunk[token.end - 1] == b'2' { b"1.2\"" } else { b"1.3\"" });
        return;
    }
    let Some((_, number)) = protocol(token.bytes()) else { return };
    let text = match *number {
        [major] if major.is_ascii_digit() => [major, b'.', b'0'],
        [major, minor] if minor.is_ascii_digit() => [major, b'.', minor],
        [major, b'.', minor] if minor.is_ascii_digit() => [major, b'.', minor],
        _ => return,
    };
    out.key(key);
    out.raw(&text);
    out.byte(b'"');
}

fn protocol_name(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if token.is_dash() {
        return;
    }
    if token.bytes().starts_with(b"TLSv1.") {
        out.key(key);
        return out.raw(b"tls\"");
    }
    let Some((name, _)) = protocol(token.bytes()) else { return };
    out.key(key);
    for byte in name {
        out.byte(byte.to_ascii_lowercase());
    }
    out.byte(b'"');
}

/// Writes a URL as it stands and its parts beside it. One that cannot be split is kept whole.
#[inline(always)]
fn url(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    const SCHEME: Key = Key::new("scheme");
    const USERNAME: Key = Key::new("username");
    const PASSWORD: Key = Key::new("password");
    const DOMAIN: Key = Key::new("domain");
    const PORT: Key = Key::new("port");
    const PATH: Key = Key::new("path");
    const QUERY: Key = Key::new("query");
    const FRAGMENT: Key = Key::new("fragment");
    const EXTENSION: Key = Key::new("extension");
    if token.start >= token.end || token.is_dash() {
        return;
    }
    value::string(out, key, token);
    let Some(url) = url::split(token.chunk, token.start, token.end) else { return };
    let part = |(start, end): url::Span| token.part(start, end);
    value::string(out, &SCHEME, part(url.scheme));
    if let Some((start, end)) = url.user_info {
        let colon = memchr::memchr(b':', &token.chunk[start..end]).map(|at| start + at);
        text(out, &USERNAME, part((start, colon.unwrap_or(end))));
        if let Some(colon) = colon {
            text(out, &PASSWORD, part((colon + 1, end)));
        }
    }
    value::string(out, &DOMAIN, part(url.domain));
    if let Some(port) = url.port {
        let _ = value::integer(out, &PORT, part(port));
    }
    for (key, span) in [(&PATH, url.path), (&QUERY, url.query), (&FRAGMENT, url.fragment), (&EXTENSION, url.extension)] {
        if let Some(span) = span.filter(|(start, end)| start < end) {
            value::string(out, key, part(span));
        }
    }
}
