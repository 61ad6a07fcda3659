//! Writes a line by its compiled program, or gives up on a line that is not as nearly all are.
//!
//! Every branch of an operation that finds something unusual returns `false`; the caller then rewinds and walks. So this
//! file decides nothing: it copies what it knows to come out unchanged.

use memchr::memchr;

use super::ecs_compile::Compiled;
use super::ecs_compile::How;
use super::ecs_compile::Op;
use super::ecs_compile::Presence;
use super::ecs_program::Own;
use super::ecs_schema::Walk;
use super::ecs_value::MILLIS_BYTES;
use super::ecs_value::is_success;
use super::ecs_value::protocol;
use super::ecs_value::protocol_number;
use super::ecs_value::url_parts;
use super::line::Line;
use super::line::Writing;
use super::value;
use super::value::Token;
use crate::json::writer::BLOCK;
use crate::json::writer::Writer;
use crate::time::has_shape;

/// What the line and its surroundings have; `None` for a line with a token of no bytes.
#[inline(always)]
pub(super) fn presence(line: &Line<'_>, context: &Writing<'_>) -> Option<Presence> {
    let (empty, dashes) = line.tokens.without_value(line.chunk);
    if empty != 0 {
        return None;
    }
    let known = line.known();
    let mut absent = dashes;
    let mut natural = context.style.natural(line.format.kind) & !dashes & line.present();
    while natural != 0 {
        let place = natural.trailing_zeros() as usize;
        natural &= natural - 1;
        let (start, _) = line.tokens.span(place);
        absent |= u64::from(line.chunk[start] == b'-') << place;
    }
    if let Some(request) = line.format.request {
        // What Classic writes of a connection that is no HTTP.
        absent |= u64::from(matches!(line.token(request).bytes(), b"- - -" | b"- - - ")) << request;
    }
    let has_unknown = known < line.tokens.len() && line.unknown_tokens(known).any(|token| !token.is_dash());
    let own = [
        (Own::Id, context.envelope.is_some()),
        (Own::Original, true),
        (Own::UnknownFields, has_unknown),
        (Own::Client, !context.extras.client.is_empty()),
        (Own::UserAgent, !context.extras.user_agent.is_empty()),
    ];
    let own = own.into_iter().fold(0, |bits, (own, there)| bits | u8::from(there) << own as u8);
    Some(Presence { kind: line.format.kind, known: known as u8, own, absent })
}

impl<'a> Walk<'a> {
    /// Writes all members by a program; `false`: the line is not for it, and what has been written does not count.
    // Apart from the rest, so that what its loop needs stays in registers.
    #[inline(never)]
    pub(super) fn run_compiled(&mut self, program: &Compiled, out: &mut Writer<'_>) -> bool {
        let (chunk, tokens, format) = (self.line.chunk, self.line.tokens, self.line.format);
        let token = |place: u8| {
            let (start, end) = tokens.span(usize::from(place));
            Token { chunk, start, end, escapes: tokens.needs_escape(usize::from(place)) }
        };
        let Some(time) = &self.time.filter(|_| has_shape(token(format.time as u8).bytes())) else { return false };
        for op in &program.ops {
            let (before, len) = block(program, op);
            let good = match op.how {
                How::Text => put(out, before, len, token(op.place), 1),
                How::Whole { quote } => {
                    let token = token(op.place);
                    value::is_plain_integer(token) && put(out, before, len, token, quote)
                }
                How::Decimal => {
                    let token = token(op.place);
                    value::is_plain_decimal(token) && put(out, before, len, token, 0)
                }
                How::EndpointIp => match self.endpoint(usize::from(op.place)) {
                    Some((ip, _)) => something(ip) && put(out, before, len, ip, 1),
                    None => false,
                },
                How::EndpointPort { quote } => match self.endpoint(usize::from(op.place)) {
                    Some((_, port)) => value::is_plain_integer(port) && put(out, before, len, port, quote),
                    None => false,
                },
                How::Constant => {
                    let start = usize::from(op.before);
                    out.copy(&program.text, start, start.wrapping_add(usize::from(op.len)));
                    true
                }
                How::List { divider } => list(out, before, len, token(op.place), divider),
                How::Time => {
                    let token = token(op.place);
                    has_shape(token.bytes()) && put(out, before, len, token, 1)
                }
                How::Verb => match &self.request {
                    Some(request) => something(request.verb) && put(out, before, len, request.verb, 1),
                    None => false,
                },
                How::Version => match self.version() {
                    Some(version) => something(version) && put(out, before, len, version, 1),
                    None => false,
                },
                How::Url => match &self.request {
                    Some(request) if something(request.url) => {
                        put(out, before, len, request.url, 1);
                        url_parts(out, request.url);
                        true
                    }
                    _ => false,
                },
                How::Outcome => {
                    let outcome = if is_success(token(op.place).bytes()) { SUCCESS } else { FAILURE };
                    out.block_and_short(before, len, outcome, 7, 1);
                    true
                }
                How::ProtocolVersion => match protocol_number(token(op.place).bytes()) {
                    Some([major, point, minor]) => {
                        let mut text = [0; 32];
                        text[..3].copy_from_slice(&[major, point, minor]);
                        out.block_and_short(before, len, &text, 3, 1);
                        true
                    }
                    None => false,
                },
                How::ProtocolName => protocol_name(out, before, len, token(op.place)),
                How::EventTime => {
                    out.block_and_short(before, len, time, MILLIS_BYTES, 1);
                    true
                }
                How::Id => match &self.context.envelope {
                    Some(envelope) => {
                        out.block_and_short(before, len, &envelope.id.hex(), 32, 1);
                        true
                    }
                    None => false,
                },
                How::Member(_) | How::Optional(_) | How::Own(_) => self.run_member(program, op, out),
                How::Check => self.line.check_place(usize::from(op.place)),
            };
            if !good {
                return false;
            }
        }
        true
    }

    /// Writes a member as the walk does; its comma is the last byte of its constant.
    #[inline(never)]
    fn run_member(&mut self, program: &Compiled, op: &Op, out: &mut Writer<'_>) -> bool {
        let (before, len) = block(program, op);
        let base = out.at();
        out.block(before, len);
        let first = out.at().wrapping_sub(1);
        let mark = before[len.wrapping_sub(1) % BLOCK];
        out.rewind(first);
        match op.how {
            How::Member(at) | How::Optional(at) => {
                let (key, form) = &program.members[usize::from(at)];
                self.member(key, *form, usize::from(op.place), out);
            }
            How::Own(own) => self.own(own, self.line.known(), out),
            _ => {}
        }
        if out.at() == first {
            out.rewind(base);
            return matches!(op.how, How::Optional(_));
        }
        out.patch(first, mark);
        true
    }
}

const SUCCESS: &[u8; 32] = b"success                         ";
const FAILURE: &[u8; 32] = b"failure                         ";
const TLS: &[u8; 32] = b"tls                             ";

/// The constant of an operation, in a block.
#[inline(always)]
fn block<'a>(program: &'a Compiled, op: &Op) -> (&'a [u8; BLOCK], usize) {
    let start = usize::from(op.before);
    let block = program.text.get(start..start.wrapping_add(BLOCK)).expect("a block of room is behind the last constant");
    (block.try_into().expect("the range is one block long"), usize::from(op.len))
}

/// Writes constant, text and quotes.
#[inline(always)]
fn put(out: &mut Writer<'_>, before: &[u8; BLOCK], len: usize, token: Token<'_>, quotes: u8) -> bool {
    if let Some((bytes, text_len)) = token.short()
        && !token.escapes
    {
        out.block_and_short(before, len, bytes, text_len, usize::from(quotes));
    } else {
        out.block(before, len);
        value::verbatim(out, token);
        if quotes > 0 {
            out.byte(b'"');
        }
    }
    true
}

/// Writes the parts of a list with quotes and commas between them; `false`: one of them is empty.
#[inline(never)]
fn list(out: &mut Writer<'_>, before: &[u8; BLOCK], len: usize, token: Token<'_>, divider: u8) -> bool {
    let Some(mut end) = memchr(divider, token.bytes()).map(|at| token.start + at) else {
        return put(out, before, len, token, 1);
    };
    out.block(before, len);
    let mut start = token.start;
    while start < end {
        value::verbatim(out, token.part(start, end));
        if end == token.end {
            out.byte(b'"');
            return true;
        }
        out.raw(b"\",\"");
        start = end + 1;
        end = memchr(divider, &token.chunk[start..token.end]).map_or(token.end, |at| start + at);
    }
    false
}

#[inline(always)]
fn protocol_name(out: &mut Writer<'_>, before: &[u8; BLOCK], len: usize, token: Token<'_>) -> bool {
    if token.bytes().starts_with(b"TLSv1.") {
        out.block_and_short(before, len, TLS, 3, 1);
        return true;
    }
    let Some((name, _)) = protocol(token.bytes()) else { return false };
    out.block(before, len);
    for byte in name {
        out.byte(byte.to_ascii_lowercase());
    }
    out.byte(b'"');
    true
}

/// Whether a text is a value.
#[inline(always)]
fn something(token: Token<'_>) -> bool {
    token.start < token.end && !token.is_dash()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use proptest::sample::select;
    use serde_json::Value;
    use serde_json::json;

    use std::sync::Arc;

    use super::super::Context;
    use super::super::Extras;
    use super::super::Parser;
    use super::super::Treatment;
    use super::super::enrichment::Enrichment;
    use super::super::enrichment::Step;
    use super::super::format::Kind;
    use super::super::style::Schema;
    use super::super::style::Style;
    use super::super::style::StylePlan;
    use super::super::tokens::Tokens;
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::batch::EventId;
    use crate::enrich::agent::Agents;
    use crate::enrich::geo::Geo;
    use crate::enrich::geo::mmdb;
    use crate::json::envelope::Envelope;
    use crate::json::envelope::Received;
    use crate::json::envelope::Tags;

    /// Lines of every kind and generation.
    fn known_lines() -> Vec<String> {
        let cases = include_str!("../../tests/data/edge-cases.jsonl").lines();
        let cases = cases.map(|case| serde_json::from_str::<Value>(case).expect("a case is JSON"));
        cases.map(|case| case["line"].as_str().expect("a case has a line").to_owned()).collect()
    }

    /// Known lines with texts of other kinds at some places, cut short or with more behind them.
    fn near_lines() -> impl Strategy<Value = String> {
        const TEXTS: [&str; 32] = [
            "-",
            "\"-\"",
            "\"\"",
            "-1",
            "-1.5",
            "-x",
            "0",
            "007",
            "200",
            "404",
            "99999",
            "123456789012",
            "0.000",
            "12.0004",
            "01.5",
            "a",
            "\"a,b\"",
            "\",\"",
            "\"a b\"",
            "\" \"",
            "1.2.3.4:80",
            "[::1]:080",
            ":5",
            "x:",
            "10.0.0.1:-",
            "TLSv1.2",
            "tlsv13",
            "Failed:Why",
            "Failed:",
            r#""a\x22b""#,
            "2026-03-01T10:20:60.9Z",
            "2026-02-30T10:20:30Z",
        ];
        const REQUESTS: [&str; 6] = [
            "\"GET http://a:80/b.c?d=1#e HTTP/1.1\"",
            "\"GET http://u:p@a:80/\u{e4}\" ",
            "\"- http://a:80- -\"",
            "\"- - - \"",
            "\"GET nothing HTTP/2.0\"",
            "\"GET https://a/ HTTP/\"",
        ];
        const LONG: &str = "\"NotBefore=2026-03-01T10:20:30Z;NotAfter=2027-03-01T10:20:30Z; and more than a step of text\"";
        let text = prop_oneof![8 => select(TEXTS.to_vec()), 2 => select(REQUESTS.to_vec()), 1 => Just(LONG)];
        let changes = vec((any::<Index>(), text.clone()), 0..4);
        (select(known_lines()), changes, vec(text, 0..3), prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)])
            .prop_map(|(line, changes, more, cut)| {
                let mut tokens = tokens_of(&line);
                for (at, text) in changes {
                    let at = at.index(tokens.len() + 1);
                    if at < tokens.len() {
                        tokens[at] = text.to_owned();
                    }
                }
                if let Some(cut) = cut {
                    tokens.truncate(cut.index(tokens.len() + 1));
                }
                tokens.extend(more.into_iter().map(str::to_owned));
                tokens.join(" ")
            })
    }

    /// A line's tokens with their quotes.
    fn tokens_of(line: &str) -> Vec<String> {
        let mut quoted = false;
        let inside = |letter: char| {
            quoted ^= letter == '"';
            letter == ' ' && !quoted
        };
        line.split(inside).map(str::to_owned).collect()
    }

    fn styles() -> Vec<Style> {
        let fields = [
            ("Environment".to_owned(), json!("test")),
            ("source".to_owned(), json!({"geo": {"name": "here"}, "bytes": 7, "mac": "-"})),
            ("aws".to_owned(), json!({"elb": {"name": "else", "error": {"reason": "none"}, "x": [1]}})),
            ("user_agent".to_owned(), json!({"original": "nobody"})),
        ];
        let plain = StylePlan::plain(Schema::Ecs);
        let enriched = StylePlan { enriched: true, ..plain };
        let full = StylePlan { fields: &fields, keep_original: true, ..enriched };
        [plain, enriched, full].iter().map(Style::new).collect()
    }

    /// The documents of lines, and what was said of each of them.
    fn documents(style: &Style, lines: &[String], bare: bool, enrichment: Option<&Enrichment>) -> (String, Vec<String>) {
        let mut parser = Parser::default();
        let mut out = BatchBuilder::default();
        let mut said = Vec::new();
        let envelope = (!bare).then(|| Envelope { received: Received::at(1_709_251_200_000_000), id: EventId([0xab; 16]) });
        let treatment = Treatment { enrichment, ..Treatment::default() };
        let context = Context { style, only: None, envelope, tags: Tags::NONE, treatment };
        for line in lines {
            said.push(format!("{:?}", parser.document(line.as_bytes(), 0, line.len(), &context, &mut out)));
        }
        (String::from_utf8(out.documents().to_vec()).expect("UTF-8"), said)
    }

    /// What is looked up adds members to both objects that have room for some.
    fn enrichment() -> Enrichment {
        const RULES: &str = r#"{"user_agent_parsers":[{"regex":"([a-zA-Z]+)/([0-9]+)"}],"os_parsers":[],"device_parsers":[]}"#;
        let field = |name: &str| Kind::ALL.map(|kind| kind.format().find(name));
        let agents = Arc::new(Agents::from_rules(RULES).expect("rules"));
        let place = mmdb::database(
            "GeoLite2-City",
            &[("0.0.0.0", 0, mmdb::Data::named("", vec![("continent", mmdb::Data::named("Atlantis", Vec::new()))]))],
        );
        let geo = Arc::new(Geo::from_bytes(place).expect("a database"));
        Enrichment::new(vec![Step::Agent { field: field("user_agent"), agents }, Step::Geo { field: field("client_ip"), geo }])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_program_writes_what_the_walk_writes(lines in vec(near_lines(), 1..8), bare: bool, enriched: bool) {
            let enrichment = enrichment();
            let enrichment = enriched.then_some(&enrichment);
            for style in styles() {
                let walked = documents(&style.clone().walking(), &lines, bare, enrichment);
                prop_assert_eq!(documents(&style, &lines, bare, enrichment), walked);
            }
        }
    }

    /// Whether a program takes a line to its end.
    fn has_program(line: &str) -> bool {
        let mut tokens = Tokens::default();
        assert!(tokens.cut_plain(line.as_bytes(), 0, line.len()), "{line}");
        let kind = super::super::detect::shape(line.as_bytes()).kind().expect("a known line");
        let line = Line { chunk: line.as_bytes(), start: 0, end: line.len(), tokens: &tokens, format: kind.format() };
        let style = Style::new(&StylePlan::plain(Schema::Ecs));
        let context = Writing { style: &style, envelope: None, tags: Tags::NONE, extras: Extras::default() };
        let Some(presence) = presence(&line, &context) else { return false };
        let mut buf = vec![0; 1 << 16];
        let mut out = Writer::new(&mut buf, 0);
        let mut walk = Walk::new(&line, &context, Some([b'0'; 32]));
        style.program(&presence).is_some_and(|program| walk.run_compiled(program, &mut out))
    }

    #[test]
    fn ordinary_lines_need_no_walk() {
        for line in [
            "https 2026-03-01T10:20:30.123456Z app/a/1 192.0.2.1:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 \"GET https://www.example.com:443/a.js?b HTTP/1.1\" \"curl/7.46.0\" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x \"Root=1-58337281-1d84f3d73c47ec4e58577259\" \"www.example.com\" \"arn:aws:acm\" 1 2026-03-01T10:20:30.100000Z \"authenticate,forward\" \"-\" \"-\" \"10.0.0.1:80 10.0.0.2:80\" \"200 200\" \"-\" \"-\" TID_1",
            "http 2026-03-01T10:20:30.123456Z app/a/1 192.0.2.1:2817 - -1 -1 -1 503 - 34 366 \"GET http://www.example.com:80/ HTTP/1.1\" \"-\" - - arn:aws:x \"Root=1-58337281\" \"-\" \"-\" 0 2026-03-01T10:20:30.100000Z \"forward\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\"",
            "2026-03-01T10:20:30.123456Z my-lb 192.0.2.1:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.38.0\" - -",
            "2026-03-01T10:20:30.123456Z my-lb 192.0.2.1:2817 10.0.0.1:80 0.000073 0.001048 0.000057 - - 0 29 \"- - - \" \"-\" - -",
            "tls 2.0 2026-03-01T10:20:30 net/a/1 g3d4b5e8bb8464cd 72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - arn:aws:acm - ECDHE-RSA-AES128-SHA tlsv12 - my-network-loadbalancer.example.com - - - 2026-03-01T10:20:30",
            "2026-03-01T10:20:30.123456Z 192.0.2.1 44244 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 1.036 \"CN=a,O=b\" NotBefore=2026-03-01T10:20:30Z;NotAfter=2027-03-01T10:20:30Z 7FB5 Success TID_1",
            "http 2026-03-01T10:20:30.123456Z 0.000123 10.0.0.1:80 a/b PASS 200 -",
        ] {
            assert!(has_program(line), "{line}");
        }
        assert!(!has_program(
            "2026-03-01T10:20:30Z my-lb 192.0.2.1:2817 - -1 -1 -1 503 0 0 007 \"GET nothing HTTP/1.1\" \"-\" - -"
        ));
    }
}
