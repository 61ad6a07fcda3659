//! Documents in the `ecs` schema: the Elastic Common Schema with `aws.elb.*` beside it, as Elastic's own integration makes
//! them from the same lines, nested. A member without a value is left out.

use super::ecs_program::DEPTH_MAX;
use super::ecs_program::Own;
use super::ecs_program::Step;
use super::ecs_run;
use super::ecs_value::MILLIS_BYTES;
use super::ecs_value::colon;
use super::ecs_value::date;
use super::ecs_value::is_digits;
use super::ecs_value::is_negative;
use super::ecs_value::list;
use super::ecs_value::millis_text;
use super::ecs_value::outcome;
use super::ecs_value::protocol_name;
use super::ecs_value::protocol_version;
use super::ecs_value::text;
use super::ecs_value::url;
use super::ecs_value::validity;
use super::format::Form;
use super::line::Line;
use super::line::Writing;
use super::line::Written;
use super::reject::Reject;
use super::request::RequestParts;
use super::request::request_parts;
use super::value;
use super::value::Token;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::time::parse_shaped;

/// Writes the document, newline included.
// Apart from the others, so that what its loop needs stays in registers.
#[inline(never)]
pub(super) fn write(line: &Line<'_>, context: &Writing<'_>, out: &mut Writer<'_>) -> Result<Written, Reject> {
    const TIMESTAMP: Key = Key::new("@timestamp");
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
    let mut walk = Walk::new(line, context, own.map(|_| text));
    let first = out.at();
    let program = ecs_run::presence(line, context).and_then(|presence| context.style.program(&presence));
    if !program.is_some_and(|program| walk.run_compiled(program, out)) {
        out.rewind(first);
        line.check()?;
        walk.run(context.style.steps(line.format.kind, http), out);
    }
    let written = Written { time: own.or(received).unwrap_or(0), bad_time: own.is_none() };
    line.close(context, base, &written, out);
    Ok(written)
}

/// One line on its way through the steps.
pub(super) struct Walk<'a> {
    pub(super) line: &'a Line<'a>,
    pub(super) context: &'a Writing<'a>,
    pub(super) request: Option<RequestParts<'a>>,
    /// The event's own time in milliseconds, in a step of the writer; `None` where it has none.
    pub(super) time: Option<[u8; 32]>,
    /// The endpoint that was split last, and its parts.
    endpoint_at: usize,
    endpoint: Option<(Token<'a>, Token<'a>)>,
}

impl<'a> Walk<'a> {
    #[inline(always)]
    pub(super) fn new(line: &'a Line<'a>, context: &'a Writing<'a>, time: Option<[u8; 32]>) -> Self {
        let request = line.format.request.map(|place| request_parts(line.token(place)));
        Self { line, context, request, time, endpoint_at: usize::MAX, endpoint: None }
    }

    #[inline(never)]
    fn run(&mut self, steps: &[Step], out: &mut Writer<'_>) {
        let known = self.line.known();
        let mut depth = 0;
        // Where each open object began, and where its first member did.
        let mut opened = [(0, 0); DEPTH_MAX];
        for step in steps {
            match step {
                Step::Open(key) => {
                    let before = out.at();
                    out.bare_key(key);
                    opened[depth] = (before, out.at());
                    depth += 1;
                }
                Step::Close => {
                    depth -= 1;
                    let (before, first) = opened[depth];
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
    pub(super) fn member(&mut self, key: &Key, form: Form, place: usize, out: &mut Writer<'_>) {
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
                if let Some(version) = self.version() {
                    text(out, key, version);
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
    pub(super) fn endpoint(&mut self, place: usize) -> Option<(Token<'a>, Token<'a>)> {
        if self.endpoint_at != place {
            self.endpoint_at = place;
            self.endpoint = value::endpoint_parts(self.line.token(place));
        }
        self.endpoint
    }

    /// What follows `HTTP/` in the request.
    #[inline(always)]
    pub(super) fn version(&self) -> Option<Token<'a>> {
        let proto = self.request.as_ref()?.proto;
        proto.bytes().starts_with(b"HTTP/").then(|| proto.part(proto.start + 5, proto.end))
    }

    #[inline(always)]
    pub(super) fn own(&self, own: Own, known: usize, out: &mut Writer<'_>) {
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
