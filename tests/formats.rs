//! Lines with known answers: the project's own edge cases, the goldens of the original Lambda, and public samples where
//! `ELBOW_SAMPLES` names their folder.

#[path = "support/same.rs"]
mod same;

use std::path::Path;

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
use same::same;
use serde_json::Value;

/// The bare document of a line, or the word of its reject.
fn parse(line: &str, schema: Schema) -> Result<String, &'static str> {
    parse_as(line, &StylePlan::plain(schema))
}

fn parse_as(line: &str, plan: &StylePlan<'_>) -> Result<String, &'static str> {
    let chunk = line.as_bytes();
    let Some((start, end)) = trim(chunk, 0, chunk.len()) else { return Err("empty_line") };
    let style = Style::new(plan);
    let context = Context { style: &style, only: None, envelope: None, tags: Tags::NONE, treatment: Treatment::default() };
    let mut parser = Parser::default();
    let mut out = BatchBuilder::default();
    match parser.document(chunk, start, end, &context, &mut out) {
        Ok(_) => Ok(String::from_utf8(out.documents().to_vec()).expect("a document is UTF-8")),
        Err(Failure::Rejected(reject)) => Err(reject.reason.label()),
        Err(Failure::InvalidUtf8) => panic!("a case is UTF-8"),
        Err(Failure::Unknown) => Err(parser.unknown(chunk, start, end).reason.label()),
    }
}

fn cases(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a case is one JSON object per line")).collect()
}

/// Checks every case in the `aws` schema and returns how many there were.
fn check_aws(path: &Path) -> usize {
    let cases = cases(path);
    for (at, case) in cases.iter().enumerate() {
        let place = format!("{}:{} {}", path.display(), at + 1, case["why"]);
        let got = parse(case["line"].as_str().expect("a case has a line"), Schema::Aws);
        match (&got, case.get("expect"), case.get("error")) {
            (Ok(document), Some(want), None) => {
                let document: Value = serde_json::from_str(document).expect("a document is JSON");
                assert!(same(&document, want), "{place}\n got {document}\nwant {want}");
            }
            (Err(reason), None, Some(want)) => assert_eq!(reason, want, "{place}"),
            _ => panic!("{place}\n got {got:?}\nwant {case}"),
        }
    }
    cases.len()
}

/// Checks every case in the `ecs` schema, whose members the cases name with dots, and returns how many there were.
fn check_ecs(path: &Path) -> usize {
    let plan = StylePlan { keep_original: true, ..StylePlan::plain(Schema::Ecs) };
    let mut checked = 0;
    for (at, case) in cases(path).iter().enumerate() {
        let got = parse_as(case["line"].as_str().expect("a case has a line"), &plan);
        match (&got, case.get("ecs"), case.get("error")) {
            (Ok(document), Some(want), None) => {
                checked += 1;
                let document = flat(serde_json::from_str(document).expect("a document is JSON"));
                let place = format!("{}:{}", path.display(), at + 1);
                assert!(same(&document, want), "{place}\n got {document}\nwant {want}");
            }
            (Err(reason), None, Some(want)) => assert_eq!(reason, want),
            _ => panic!("got {got:?}\nwant {case}"),
        }
    }
    checked
}

/// A document with its objects taken apart: names with dots.
fn flat(document: Value) -> Value {
    fn take(prefix: &str, value: Value, into: &mut serde_json::Map<String, Value>) {
        match value {
            Value::Object(members) => {
                assert!(!members.is_empty(), "{prefix} is an object of nothing");
                for (name, value) in members {
                    take(&if prefix.is_empty() { name } else { format!("{prefix}.{name}") }, value, into);
                }
            }
            value => assert!(into.insert(prefix.to_owned(), value).is_none(), "{prefix} stands there twice"),
        }
    }
    let mut members = serde_json::Map::new();
    take("", document, &mut members);
    Value::Object(members)
}

/// Checks every golden byte for byte and returns how many there were.
fn check_classic(path: &Path) -> usize {
    let mut checked = 0;
    for case in cases(path) {
        let Some(want) = case.get("wanted_output") else { continue };
        checked += 1;
        let got = parse(case["line"].as_str().expect("a golden has a line"), Schema::Classic);
        assert_eq!(got.as_deref().map(str::trim_end), Ok(want.as_str().expect("a golden is text")), "{}", case["id"]);
    }
    checked
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn every_edge_case_gives_its_document_or_its_reason() {
    assert_eq!(check_aws(&data("edge-cases.jsonl")), 81);
}

/// A quote in the wrong place is a damaged line of its kind, whichever way the line is cut into tokens.
#[test]
fn quotes_around_the_name_do_not_hide_the_kind() {
    for gap in [" ", "  "] {
        let classic = format!("2026-03-01T10:20:30Z \"my-lb\"{gap}- - -1 -1 -1 503 0 0 0 \"- - - \" \"-\" - -");
        assert_eq!(parse(&classic, Schema::Aws), Err("misaligned_fields"), "{classic}");
        let alb = format!("h2 2026-03-01T10:20:30Z \"app/a/1\"{gap}- - -1 -1 -1 503 - 0 0 \"- - - \" \"-\" - -");
        assert_eq!(parse(&alb, Schema::Aws), Err("misaligned_fields"), "{alb}");
    }
}

/// What a line starts with is looked at before the shape of its tokens, whichever way it is cut into them.
#[test]
fn json_and_control_messages_come_before_every_kind() {
    for gap in [" ", "  "] {
        for bracket in ["{", "["] {
            let alb = format!("{bracket}h2 2026-03-01T10:20:30Z app/a/1{gap}- - -1 -1 -1 503 - 0 0 \"- - - \" \"-\" - -");
            assert_eq!(parse(&alb, Schema::Aws), Err("json"), "{alb}");
        }
        let control = format!("Enable 2026-03-01T10:20:30Z{gap}app/a/1 for ELB: - - -1 -1 -1 503 - 0 \"- - - \" \"-\" - -");
        assert_eq!(parse(&control, Schema::Aws), Err("control_message"), "{control}");
    }
}

/// The list of protocols keeps its quotes, but a `-` is no list.
#[test]
fn a_dash_in_quotes_is_no_list_of_protocols() {
    let nlb = |list: &str| {
        let line = format!("tls 2.0 2026-03-01T10:20:30 net/a/1 x 1.2.3.4:5 1.2.3.4:6 1 1 1 1 - - - - - - - - - {list}");
        let document: Value = serde_json::from_str(&parse(&line, Schema::Aws).expect("a line")).expect("JSON");
        document["alpn_client_preference_list"].clone()
    };
    assert_eq!([nlb("-"), nlb("\"-\"")], [Value::Null, Value::Null]);
    assert_eq!([nlb("h2"), nlb("\"h2\""), nlb("\"\"")], ["h2", "\"h2\"", "\"\""]);
}

#[test]
fn every_golden_comes_out_byte_for_byte() {
    assert_eq!(check_classic(&data("classic-goldens.jsonl")), 61);
}

#[test]
fn public_samples_agree() {
    let Some(samples) = std::env::var_os("ELBOW_SAMPLES") else {
        eprintln!("ELBOW_SAMPLES is not set: the public samples were not read");
        return;
    };
    let samples = Path::new(&samples);
    assert!(check_aws(&samples.join("expected.jsonl")) > 0);
    assert!(check_ecs(&samples.join("expected.jsonl")) > 0);
    assert!(check_classic(&samples.join("classic-goldens.jsonl")) > 0);
}
