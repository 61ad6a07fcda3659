//! The parser against a second reading of the written rules, on lines that are good, nearly good and bad, and the three
//! schemas against each other.
//!
//! Lines come from a fixed seed, which a failure names together with the line.

#[path = "support/draw.rs"]
mod draw;
#[path = "support/model.rs"]
mod model;
#[path = "support/mutants.rs"]
mod mutants;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeMap;

use draw::Draw;
use elbow::batch::BatchBuilder;
use elbow::elb::Context;
use elbow::elb::Failure;
use elbow::elb::Parser;
use elbow::elb::Schema;
use elbow::elb::Style;
use elbow::elb::StylePlan;
use elbow::elb::Treatment;
use elbow::elb::trim;
use elbow::json::envelope::Tags;
use serde::de::IgnoredAny;
use tree::Tree;

/// A reading: the kind and the document, or the word for why there is none.
type Reading = Result<(&'static str, Tree), &'static str>;

/// What reads lines, kept from line to line as a source keeps it.
struct Reader {
    parser: Parser,
    styles: [Style; 5],
    out: BatchBuilder,
}

impl Reader {
    fn new() -> Self {
        let plain = StylePlan::plain;
        let styles = [
            plain(Schema::Aws),
            plain(Schema::Classic),
            plain(Schema::Ecs),
            StylePlan { classic_extra: true, keep_original: true, ..plain(Schema::Classic) },
            StylePlan { keep_original: true, ..plain(Schema::Ecs) },
        ];
        let styles = styles.map(|plan| Style::new(&plan));
        Self { parser: Parser::default(), styles, out: BatchBuilder::default() }
    }

    /// The document of the line `chunk[start..end]` in one of the styles.
    fn read(&mut self, style: usize, chunk: &[u8], start: usize, end: usize) -> Reading {
        match trim(chunk, start, end) {
            Some((from, to)) => self.read_trimmed(style, chunk, from, to),
            None => Err("empty_line"),
        }
    }

    /// The same of a line that has been trimmed; one that is no UTF-8 is repaired first.
    fn read_trimmed(&mut self, style: usize, chunk: &[u8], from: usize, to: usize) -> Reading {
        let context =
            Context { style: &self.styles[style], only: None, envelope: None, tags: Tags::NONE, treatment: Treatment::default() };
        self.out.clear();
        match self.parser.document(chunk, from, to, &context, &mut self.out) {
            Ok(parsed) => {
                let text = std::str::from_utf8(self.out.documents()).expect("a document is UTF-8");
                assert!(text.ends_with("}\n"), "{text}");
                let _: IgnoredAny = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                let document = tree::read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                Ok((parsed.kind.label(), document))
            }
            Err(Failure::Rejected(reject)) => {
                assert!(reject.at <= to - from, "{reject} at {}", reject.at);
                Err(reject.reason.label())
            }
            Err(Failure::InvalidUtf8) => {
                let line = &chunk[from..to];
                assert!(std::str::from_utf8(line).is_err(), "a line that is UTF-8 is taken as it is");
                let line = String::from_utf8_lossy(line).into_owned();
                self.read_trimmed(style, line.as_bytes(), 0, line.len())
            }
            Err(Failure::Unknown) => Err(self.parser.unknown(chunk, from, to).reason.label()),
        }
    }
}

/// How often each kind and each word came out.
type Counts = BTreeMap<&'static str, usize>;

/// Reads one line in every way and compares.
fn compare(reader: &mut Reader, line: &[u8], around: &[u8]) -> Result<&'static str, String> {
    let wanted = model::read(&String::from_utf8_lossy(line));
    let chunk = [around, line, around].concat();
    let (start, end) = (around.len(), around.len() + line.len());
    let [aws, classic, ecs] = [0, 1, 2].map(|schema| reader.read(schema, &chunk, start, end));
    if aws != wanted {
        return Err(format!("   got {aws:?}\nwanted {wanted:?}"));
    }
    match (aws, classic, ecs) {
        (Ok((kind, aws)), Ok((_, classic)), Ok((_, ecs))) => {
            agree_classic(kind, &aws, &classic).map_err(|what| format!("classic: {what}\n{aws:?}\n{classic:?}"))?;
            agree_ecs(kind, &aws, &ecs).map_err(|what| format!("ecs: {what}\n{aws:?}\n{ecs:?}"))?;
            Ok(kind)
        }
        (Err(aws), Err(classic), Err(ecs)) if aws == classic && aws == ecs => Ok(aws),
        (aws, classic, ecs) => Err(format!("    aws {aws:?}\nclassic {classic:?}\n    ecs {ecs:?}")),
    }
}

/// Reads one line with all that a document can have of it and compares with the documents that have less.
fn compare_full(reader: &mut Reader, line: &[u8]) -> Result<(), String> {
    let [aws, classic, ecs, full, original] = [0, 1, 2, 3, 4].map(|style| reader.read(style, line, 0, line.len()));
    let word = aws.as_ref().err();
    for other in [&full, &original] {
        same("the word", other.as_ref().err(), word)?;
    }
    let (Ok((kind, aws)), Ok((_, classic)), Ok((_, ecs)), Ok((_, full)), Ok((_, original))) = (aws, classic, ecs, full, original)
    else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(line);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\r', '\n']);
    same("event.original", original.at("event.original").and_then(Tree::text), Some(text))?;
    same("message", full.get("message").and_then(Tree::text), Some(text))?;
    same("the rest", without_original(original), ecs)?;
    let (Tree::Object(aws), Tree::Object(classic), Tree::Object(full)) = (aws, classic, full) else {
        return Err("no object".to_owned());
    };
    let extra = &full[classic.len()..full.len() - 1];
    same("the classic part", &full[..classic.len()], &classic[..])?;
    if matches!(kind, "alb-connection" | "alb-health-check") {
        return same("what is added", extra, &[]);
    }
    let wanted: Vec<_> = aws.into_iter().filter(|(name, _)| !HAS_COLUMN.contains(&name.as_str())).collect();
    // Where a time has no column of its own in every line, it is there as well.
    let no_time = |members: &[(String, Tree)]| members.iter().filter(|(name, _)| name != "time").cloned().collect::<Vec<_>>();
    same("what is added", no_time(extra), no_time(&wanted))
}

fn without_original(document: Tree) -> Tree {
    let Tree::Object(mut members) = document else { return document };
    for (_, value) in members.iter_mut().filter(|(name, _)| name == "event") {
        if let Tree::Object(event) = value {
            event.retain(|(name, _)| name != "original");
        }
    }
    Tree::Object(members)
}

/// Members of the `aws` schema that have a column in the `classic` schema.
const HAS_COLUMN: [&str; 23] = [
    "elb",
    "client_ip",
    "client_port",
    "backend_ip",
    "backend_port",
    "target_ip",
    "target_port",
    "destination_ip",
    "destination_port",
    "request_processing_time",
    "backend_processing_time",
    "target_processing_time",
    "response_processing_time",
    "connection_time",
    "elb_status_code",
    "backend_status_code",
    "target_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "request_verb",
    "request_url",
    "request_proto",
];

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what} is {got:?} and should be {wanted:?}")) }
}

/// The value of a number as a double has it; `None` where it is null or none a double has.
fn double(value: Option<&Tree>) -> Option<f64> {
    value?.number()?.parse().ok().filter(|number: &f64| number.is_finite())
}

const CONSTANTS: [&str; 5] = ["Component", "SourceModuleName", "Environment", "Application", "Type"];

/// Whether a document of the `classic` schema says what that of the `aws` schema says.
fn agree_classic(kind: &str, aws: &Tree, classic: &Tree) -> Result<(), String> {
    let (Tree::Object(members), Tree::Object(own)) = (classic, aws) else { return Err("no object".to_owned()) };
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    if matches!(kind, "alb-connection" | "alb-health-check") {
        same("the length", members.len(), own.len() + CONSTANTS.len())?;
        same("the line's part", &members[..own.len()], &own[..])?;
        return same("the rest", &names[own.len()..], &CONSTANTS[..]);
    }
    let order = [
        "EventReceivedTime",
        "LoadBalancerName",
        "PublicIpAndPort",
        "InternalIpAndPort",
        "TimeToForwardRequest",
        "TimeTaken",
        "TimeToForwardResponse",
        "Status",
        "BackendStatus",
        "BytesUploadedFromClient",
        "BytesDownloadedByClient",
        "FullRequest",
    ];
    same("the order", &names[..], &[&order[..], &CONSTANTS[..]].concat()[..])?;
    let text = |name: &str| aws.get(name).and_then(Tree::text).unwrap_or("-");
    let created = |name: &str| aws.get(name).and_then(Tree::text).filter(|text| model::is_timestamp(text));
    let backend = match kind {
        "classic" => "backend",
        "alb" => "target",
        _ => "destination",
    };
    let time = match kind {
        "classic" => text("time").to_owned(),
        "alb" => created("request_creation_time").unwrap_or(text("time")).to_owned(),
        _ => format!("{}Z", created("tls_connection_creation_time").unwrap_or(text("time")).trim_end_matches('Z')),
    };
    let is_text = |name: &str, wanted: &str| same(name, classic.get(name).and_then(Tree::text), Some(wanted));
    is_text("EventReceivedTime", &time)?;
    is_text("LoadBalancerName", text("elb"))?;
    for (name, which) in [("PublicIpAndPort", "client"), ("InternalIpAndPort", backend)] {
        let written = classic.get(name).and_then(Tree::text).unwrap_or_default();
        let ip = aws.get(&format!("{which}_ip")).and_then(Tree::text);
        let port = aws.get(&format!("{which}_port")).and_then(Tree::number);
        same(name, written == "-", ip.is_none())?;
        same(name, written.contains(ip.unwrap_or_default()) && written.ends_with(port.unwrap_or_default()), true)?;
    }
    let scaled =
        |name: &str| double(aws.get(name)).map(|seconds| seconds * 1000.0).filter(|milliseconds| milliseconds.is_finite());
    let times = match kind {
        "classic" => ["request", "backend", "response"].map(|part| scaled(&format!("{part}_processing_time"))),
        "alb" => ["request", "target", "response"].map(|part| scaled(&format!("{part}_processing_time"))),
        _ => [None, double(aws.get("connection_time")), None],
    };
    for (name, wanted) in ["TimeToForwardRequest", "TimeTaken", "TimeToForwardResponse"].into_iter().zip(times) {
        same(name, double(classic.get(name)), wanted)?;
    }
    for (name, wanted) in [("BytesUploadedFromClient", "received_bytes"), ("BytesDownloadedByClient", "sent_bytes")] {
        same(name, double(classic.get(name)), double(aws.get(wanted)))?;
    }
    for (name, of) in [("Status", "elb_status_code"), ("BackendStatus", &*format!("{backend}_status_code"))] {
        let written = classic.get(name).and_then(Tree::text).unwrap_or_default();
        let number = aws.get(of).and_then(Tree::number);
        same(name, written.parse().ok(), number.and_then(|number| number.parse::<f64>().ok()))?;
        same(name, written == "-", number.is_none())?;
    }
    let request = if kind == "nlb" { "- - - " } else { text("request") };
    is_text("FullRequest", &format!("\"{request}\""))
}

/// The same texts under their names in the `ecs` schema and in the `aws` schema; those with a mark keep a `-`.
const TEXTS: &[(&str, &str, &str, bool)] = &[
    ("classic alb nlb", "source.ip", "client_ip", false),
    ("classic alb nlb", "source.address", "client_ip", false),
    ("alb-connection", "client.ip", "client_ip", false),
    ("classic", "aws.elb.backend.ip", "backend_ip", false),
    ("alb", "aws.elb.backend.ip", "target_ip", false),
    ("nlb", "aws.elb.backend.ip", "destination_ip", false),
    ("classic alb nlb alb-connection alb-health-check", "aws.elb.name", "elb", false),
    ("alb nlb", "aws.elb.type", "type", false),
    ("classic alb", "http.request.method", "request_verb", false),
    ("classic alb", "url.original", "request_url", false),
    ("classic alb", "user_agent.original", "user_agent", true),
    ("classic alb", "aws.elb.ssl_cipher", "ssl_cipher", false),
    ("classic alb", "aws.elb.ssl_protocol", "ssl_protocol", false),
    ("alb", "aws.elb.target_group.arn", "target_group_arn", true),
    ("alb", "aws.elb.trace_id", "trace_id", true),
    ("alb", "trace.id", "trace_id", true),
    ("alb", "destination.domain", "domain_name", false),
    ("alb nlb", "aws.elb.chosen_cert.arn", "chosen_cert_arn", false),
    ("alb", "event.start", "request_creation_time", false),
    ("alb", "aws.elb.redirect_url", "redirect_url", false),
    ("alb", "aws.elb.error.reason", "error_reason", false),
    ("alb", "aws.elb.classification", "classification", false),
    ("alb alb-connection", "aws.elb.conn_trace_id", "conn_trace_id", false),
    ("alb", "aws.elb.transformed_host", "transformed_host", false),
    ("nlb", "aws.elb.listener", "listener", false),
    ("alb-connection", "aws.elb.leaf_client_cert_subject", "leaf_client_cert_subject", true),
    ("alb-connection", "aws.elb.leaf_client_cert_serial_number", "leaf_client_cert_serial_number", false),
    ("alb-health-check", "aws.elb.health_check.target_addr", "target_addr", false),
    ("alb-health-check", "aws.elb.health_check.status", "status", false),
];

/// The same numbers under both names; those with a mark are left out where they are negative.
const NUMBERS: &[(&str, &str, &str, bool)] = &[
    ("classic alb nlb", "source.port", "client_port", false),
    ("alb-connection", "client.port", "client_port", false),
    ("classic alb", "http.response.status_code", "elb_status_code", false),
    ("classic", "aws.elb.backend.http.response.status_code", "backend_status_code", false),
    ("alb", "aws.elb.backend.http.response.status_code", "target_status_code", false),
    ("classic alb", "aws.elb.request_processing_time.sec", "request_processing_time", true),
    ("classic", "aws.elb.backend_processing_time.sec", "backend_processing_time", true),
    ("alb", "aws.elb.backend_processing_time.sec", "target_processing_time", true),
    ("classic alb", "aws.elb.response_processing_time.sec", "response_processing_time", true),
    ("nlb", "source.bytes", "received_bytes", false),
    ("nlb", "destination.bytes", "sent_bytes", false),
    ("nlb", "aws.elb.connection_time.ms", "connection_time", false),
    ("nlb", "aws.elb.tls_handshake_time.ms", "tls_handshake_time", false),
    ("alb-connection", "aws.elb.tls_handshake_latency", "tls_handshake_latency", false),
    ("alb-health-check", "aws.elb.health_check.latency", "latency", false),
    ("alb-health-check", "aws.elb.health_check.status_code", "status_code", false),
];

/// Lists under both names, and what divides their items.
const LISTS: &[(&str, &str, &str, char)] = &[
    ("alb", "aws.elb.action_executed", "actions_executed", ','),
    ("alb", "aws.elb.target_port", "target_port_list", ' '),
    ("alb", "aws.elb.target_status_code", "target_status_code_list", ' '),
];

/// Protocols as they are written, and their versions.
const TLS_VERSIONS: &[(&str, &str)] =
    &[("TLSv1", "1.0"), ("TLSv1.1", "1.1"), ("TLSv1.2", "1.2"), ("TLSv1.3", "1.3"), ("tlsv12", "1.2"), ("tlsv13", "1.3")];

/// Whether a document of the `ecs` schema says what that of the `aws` schema says.
fn agree_ecs(kind: &str, aws: &Tree, ecs: &Tree) -> Result<(), String> {
    let of_kind = |kinds: &str| kinds.split(' ').any(|other| other == kind);
    let http = aws.get("elb_status_code").is_some_and(|status| *status != Tree::Null);
    for &(kinds, path, name, keeps_dash) in TEXTS.iter().filter(|(kinds, ..)| of_kind(kinds)) {
        // Elastic does not read the user agent of a connection that is no HTTP: it is always a `-`.
        let keeps_dash = keeps_dash && (http || name != "user_agent");
        let wanted = match aws.get(name) {
            Some(Tree::Text(text)) if text.is_empty() => continue,
            Some(Tree::Null) if keeps_dash => Some("-"),
            Some(Tree::Text(text)) if text == "-" => None,
            value => value.and_then(Tree::text),
        };
        same(&format!("{path} of {kinds}"), ecs.at(path).and_then(Tree::text), wanted)?;
    }
    for &(_, path, name, natural) in NUMBERS.iter().filter(|(kinds, ..)| of_kind(kinds)) {
        let wanted = aws.get(name).and_then(Tree::number).filter(|number| !natural || !number.starts_with('-'));
        same(path, ecs.at(path).and_then(Tree::number), wanted)?;
    }
    if matches!(kind, "classic" | "alb") {
        let [there, elsewhere] = [["http.request.body.bytes", "http.response.body.bytes"], ["source.bytes", "destination.bytes"]];
        let (there, elsewhere) = if http { (there, elsewhere) } else { (elsewhere, there) };
        for (at, name) in ["received_bytes", "sent_bytes"].into_iter().enumerate() {
            same(there[at], ecs.at(there[at]), aws.get(name).filter(|value| **value != Tree::Null))?;
            same(elsewhere[at], ecs.at(elsewhere[at]), None)?;
        }
        same("protocol", ecs.at("aws.elb.protocol").and_then(Tree::text), Some(if http { "http" } else { "tcp" }))?;
        let status = double(aws.get("elb_status_code"));
        let outcome = status.map(|status| if status < 400.0 { "success" } else { "failure" });
        same("the outcome", ecs.at("event.outcome").and_then(Tree::text), outcome)?;
    }
    for &(kinds, path, name, divider) in LISTS.iter().filter(|(kinds, ..)| of_kind(kinds)) {
        let items = aws.get(name).and_then(Tree::text).into_iter().flat_map(|list| list.split(divider));
        let items: Vec<Tree> = items.filter(|item| !item.is_empty()).map(|item| Tree::Text(item.to_owned())).collect();
        let wanted = (!items.is_empty()).then_some(Tree::List(items));
        same(&format!("{path} of {kinds}"), ecs.at(path), wanted.as_ref())?;
    }
    if kind == "alb" {
        let priority = ecs.at("aws.elb.matched_rule_priority").and_then(Tree::text).map(|text| text.parse::<f64>().ok());
        let wanted = aws.get("matched_rule_priority").and_then(Tree::number).filter(|number| !number.starts_with('-'));
        same("the priority", priority, wanted.map(|number| number.parse().ok()))?;
    }
    let version = aws.get("request_proto").and_then(Tree::text).and_then(|protocol| protocol.strip_prefix("HTTP/"));
    same("http.version", ecs.at("http.version").and_then(Tree::text), version)?;
    let cipher = if matches!(kind, "classic" | "alb") { "ssl_cipher" } else { "tls_cipher" };
    same(
        "tls.cipher",
        ecs.at("tls.cipher").and_then(Tree::text),
        aws.get(cipher).and_then(Tree::text).filter(|text| !text.is_empty()),
    )?;
    let protocol = ["ssl_protocol", "tls_protocol", "tls_protocol_version"].into_iter().find_map(|name| aws.get(name)?.text());
    if let Some((_, version)) = TLS_VERSIONS.iter().find(|(written, _)| Some(*written) == protocol) {
        same("tls.version", ecs.at("tls.version").and_then(Tree::text), Some(*version))?;
        same("tls.version_protocol", ecs.at("tls.version_protocol").and_then(Tree::text), Some("tls"))?;
    } else if protocol.is_none() {
        same("tls.version", ecs.at("tls.version"), None)?;
    }
    if let Some(wanted) = milliseconds(aws.get("time").and_then(Tree::text).unwrap_or_default()) {
        same("@timestamp", ecs.get("@timestamp").and_then(Tree::text), wanted.as_deref())?;
        same("event.end", ecs.at("event.end").and_then(Tree::text), wanted.as_deref())?;
    }
    let unknown = aws.get("unknown_fields").filter(|fields| match fields {
        Tree::List(fields) => fields.iter().any(|field| field.text() != Some("-")),
        _ => true,
    });
    same("the unknown fields", ecs.at("aws.elb.unknown_fields"), unknown)
}

/// A time cut to milliseconds; nothing where there is no such moment. `None` for a leap second, which is written as the
/// moment behind it.
fn milliseconds(text: &str) -> Option<Option<String>> {
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().expect("a time has digits there");
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let is_leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => 0,
    };
    let exists = (1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60;
    let fraction = text[19..].trim_start_matches('.').trim_end_matches('Z');
    match number(17, 19) {
        60 if exists => None,
        second => Some((exists && second < 60).then(|| format!("{}.{fraction:0<3.3}Z", &text[..19]))),
    }
}

/// Compares so many lines and says how many of what came out.
fn compare_many(count: usize, seed: u64) -> Counts {
    let cases: Vec<String> = include_str!("data/edge-cases.jsonl")
        .lines()
        .map(|case| tree::read(case).expect("a case is JSON").get("line").and_then(Tree::text).expect("it has a line").to_owned())
        .collect();
    let mut draw = Draw::new(seed);
    let mut reader = Reader::new();
    let mut counts = Counts::new();
    for at in 0..count {
        let mut line =
            if draw.below(4) == 0 { cases[draw.below(cases.len())].clone() } else { mutants::line(&mut draw) }.into_bytes();
        if draw.below(8) > 0 {
            mutants::damage(&mut draw, &mut line);
        }
        let around =
            draw.one_of(&[&b""[..], b"\" -\\", b"                                                                      "]);
        let compared = compare(&mut reader, &line, around);
        let full = if at % 8 == 0 { compare_full(&mut reader, &line) } else { Ok(()) };
        match full.and(compared) {
            Ok(what) => *counts.entry(what).or_default() += 1,
            Err(what) => panic!("seed {seed}, line {at}: {:?}\n{what}", String::from_utf8_lossy(&line)),
        }
    }
    counts
}

/// That each kind and each word came out so often.
#[track_caller]
fn check_counts(counts: &Counts, least: usize) {
    for what in model::KINDS.iter().chain(&model::WORDS) {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what} came out {count} times: {counts:?}");
    }
}

/// The model itself on what is known: without this, two readings could be wrong in the same way and nobody would see.
#[test]
fn the_second_reading_knows_every_edge_case() {
    for case in include_str!("data/edge-cases.jsonl").lines() {
        let case = tree::read(case).expect("a case is JSON");
        let line = case.get("line").and_then(Tree::text).expect("a case has a line");
        match (model::read(line), case.get("expect")) {
            (Ok((kind, document)), Some(wanted)) => {
                assert_eq!(Some(kind), case.get("format").and_then(Tree::text), "{line}");
                assert_eq!(values(&document), values(wanted), "{line}");
            }
            (Err(word), None) => assert_eq!(Some(word), case.get("error").and_then(Tree::text), "{line}"),
            (got, wanted) => panic!("{line}\n   got {got:?}\nwanted {wanted:?}"),
        }
    }
}

/// The members of a document in the order of their names, numbers by their value.
fn values(document: &Tree) -> BTreeMap<&str, String> {
    let Tree::Object(members) = document else { panic!("a document is an object") };
    let value = |value: &Tree| match value {
        Tree::Number(number) => format!("{:?}", number.parse::<f64>()),
        other => format!("{other:?}"),
    };
    members.iter().map(|(name, member)| (name.as_str(), value(member))).collect()
}

#[test]
fn two_readings_and_three_schemas_agree() {
    check_counts(&compare_many(40_000, 20_260_301), 20);
}

#[test]
#[ignore = "takes a minute: `cargo test --release -- --ignored`"]
fn two_readings_and_three_schemas_agree_on_millions_of_lines() {
    const LINES: usize = 2_000_000;
    let counts = compare_many(LINES, 7);
    println!("{LINES} lines compared: {counts:?}");
    check_counts(&counts, LINES / 1000);
}
