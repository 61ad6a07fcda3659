//! Tests of what becomes of whole connections: preambles, ids, secrets and rules together.

use serde_json::Value;

use super::*;
use crate::batch::SourceId;
use crate::elb::Schema;
use crate::elb::rules::Action;
use crate::elb::rules::ConditionPlan;
use crate::elb::rules::RulePlan;
use crate::elb::rules::Test;
use crate::event_id::IdKey;
use crate::pipeline::look::look;
use crate::pipeline::lookups::Lookups;
use crate::pipeline::plan::Redact;

const CLASSIC: &str = "2026-03-01T10:20:30.123456Z my-lb 192.0.2.20:51234 10.0.0.1:80 0.1 0.2 0.3 200 200 0 9 \
                       \"GET http://a.example:80/x?token=abc&n=1 HTTP/1.1\" \"curl/8\" - -";

const OBJECT: &str = "s3://logs/AWSLogs/123456789012/elasticloadbalancing/eu-west-1/2026/03/01/\
                      123456789012_elasticloadbalancing_eu-west-1_app.web.0123456789abcdef_20260301T1025Z_192.0.2.1_0a1b2c3d.log.gz";

/// The documents of one connection's lines, and the parser as they left it.
fn connection(plan: &ParsePlan, number: u64, lines: &[&str]) -> (Vec<Value>, LineParser) {
    let look = look(plan, IdKey::PUBLISHED, &Lookups::load(&[]).expect("nothing to load")).expect("a look");
    let mut parser = LineParser::new(plan, Arc::new(look), Ids::new(IdKey::PUBLISHED, [7; 12], SourceId(0), number));
    let mut out = BatchBuilder::default();
    let received = Received::at(1_772_360_430_000_000);
    for line in lines {
        parser.line(line.as_bytes(), 0, line.len(), Whole::Yes, received, &mut out);
    }
    let documents = String::from_utf8(out.documents().to_vec()).expect("UTF-8");
    (documents.lines().map(|document| serde_json::from_str(document).expect("JSON")).collect(), parser)
}

fn documents(plan: &ParsePlan, number: u64, lines: &[&str]) -> Vec<Value> {
    connection(plan, number, lines).0
}

fn preamble(line: u64) -> String {
    format!(r#"{{"@elbow":{{"object":"{OBJECT}","etag":"\"e7a6\"","line":{line}}}}}"#)
}

fn auto(schema: Schema) -> ParsePlan {
    ParsePlan::plain(Format::Auto, schema)
}

#[test]
fn lines_of_a_named_object_keep_their_ids_wherever_a_sender_begins() {
    let plan = auto(Schema::Aws);
    let json = r#"[{"a":1},{"a":2}]"#;
    let all = documents(&plan, 1, &[&preamble(1), CLASSIC, "", CLASSIC, json]);
    let rest = documents(&plan, 2, &[&preamble(3), CLASSIC, json]);
    assert_eq!(all.len(), 4);
    let ids = |documents: &[Value]| -> Vec<Value> {
        documents.iter().map(|document| document.get("event.id").unwrap_or(&document["event"]["id"]).clone()).collect()
    };
    let ids_of_all = ids(&all);
    assert_eq!(ids_of_all[1..], ids(&rest)[..]);
    let different: std::collections::HashSet<&str> = ids_of_all.iter().filter_map(Value::as_str).collect();
    assert_eq!(different.len(), 4);
}

#[test]
fn an_object_says_whose_lines_it_holds() {
    let aws = &documents(&auto(Schema::Aws), 1, &[&preamble(1), CLASSIC])[0];
    assert_eq!(aws["aws_account"], "123456789012");
    assert_eq!(aws["aws_region"], "eu-west-1");
    assert_eq!(aws["load_balancer"], "app/web/0123456789abcdef");
    assert_eq!(aws["log_kind"], "alb");
    assert_eq!(aws["log_interval_end"], "2026-03-01T10:25:00Z");
    assert_eq!(aws["s3_bucket"], "logs");
    assert_eq!(aws["elb"], "my-lb", "what the line says of itself counts more");

    let unnamed = "2026-03-01T10:20:29.9Z 192.0.2.10 40001 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.021 \"-\" - - Success";
    let ecs = &documents(&auto(Schema::Ecs), 1, &[&preamble(1), CLASSIC, unnamed, r#"{"cloud":{"provider":"x"}}"#]);
    assert_eq!(ecs[0]["cloud"], serde_json::json!({"provider": "aws", "account": {"id": "123456789012"}, "region": "eu-west-1"}));
    assert_eq!(ecs[0]["aws"]["elb"]["name"], "my-lb");
    assert_eq!(ecs[0]["aws"]["elb"]["log"]["kind"], "alb");
    assert_eq!(ecs[0]["aws"]["s3"]["bucket"]["name"], "logs");
    assert_eq!(ecs[1]["aws"]["elb"]["name"], "app/web/0123456789abcdef", "a line that names none has the object's");
    assert_eq!(ecs[2]["cloud"], serde_json::json!({"provider": "x"}), "JSON passes as it is");
    assert_eq!(ecs[2]["aws"]["s3"]["bucket"]["name"], "logs");
}

#[test]
fn a_line_of_a_log_that_is_of_no_kind_is_a_failure() {
    let plan = auto(Schema::Aws);
    let text = &documents(&plan, 1, &["hello world"])[0];
    assert_eq!(text.get("tags"), None);
    let failed = &documents(&plan, 1, &[&preamble(1), "hello world"])[0];
    assert_eq!(failed["tags"], serde_json::json!(["_elbparsefailure"]));
    assert_eq!(failed["elbow"]["reason"], "unrecognised_format");
}

#[test]
fn an_object_that_is_none_is_ignored_and_counted() {
    let line = r#"{"@elbow":{"object":"https://example.com/x"}}"#;
    let (found, parser) = connection(&auto(Schema::Aws), 1, &[line, CLASSIC]);
    assert_eq!((found.len(), parser.tally.preamble_members_ignored), (1, 1));
}

/// The document, the message and the id of a line, with and without redaction.
#[test]
fn secrets_are_replaced_wherever_the_line_ends_up_and_ids_stay() {
    let shifted = CLASSIC.replace(" 200 200 ", " 200 oops ");
    let text = "see http://u:p@h.example/?password=geheim";
    let plan = ParsePlan { redact: Redact::Mask, keep_original: true, ..auto(Schema::Aws) };
    let (found, parser) = connection(&plan, 1, &[CLASSIC, &shifted, text]);
    let all = serde_json::to_string(&found).expect("JSON");
    for secret in ["abc", "u:p", "geheim"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    assert_eq!(found[0]["request_url"], "http://a.example:80/x?token=REDACTED&n=1");
    assert_eq!(found[0]["request_proto"], "HTTP/1.1");
    assert_eq!((&found[0]["user_agent"], &found[0]["ssl_protocol"]), (&Value::from("curl/8"), &Value::Null));
    assert_eq!(found[0]["message"], CLASSIC.replace("abc", "REDACTED"));
    assert_eq!(found[1]["elbow"]["reason"], "misaligned_fields");
    assert_eq!(found[1]["message"], shifted.replace("abc", "REDACTED"));
    assert_eq!(found[2]["message"], "see http://REDACTED@h.example/?password=REDACTED");
    assert_eq!(parser.tally.redactions.iter().sum::<u64>(), 4);

    let open = documents(&ParsePlan { redact: Redact::Off, ..plan }, 1, &[CLASSIC, &shifted, text]);
    assert_eq!(open[0]["message"], CLASSIC);
    assert_eq!(open[2]["message"], text);
    for (open, redacted) in open.iter().zip(&found) {
        assert_eq!(open["event"]["id"], redacted["event"]["id"], "an id is computed from what came");
    }
}

#[test]
fn a_hash_tells_equal_secrets() {
    let plan = ParsePlan { redact: Redact::Hash, ..auto(Schema::Ecs) };
    let found = documents(&plan, 1, &[CLASSIC, CLASSIC, &CLASSIC.replace("abc", "abd")]);
    let query = |at: usize| found[at]["url"]["query"].as_str().expect("a query").to_owned();
    assert_eq!(query(0), query(1));
    assert_ne!(query(0), query(2));
    assert!(query(0).starts_with("token=h:") && query(0).ends_with("&n=1"), "{}", query(0));
}

#[test]
fn what_a_rule_drops_is_received_and_counted_and_nothing_else() {
    let when = ConditionPlan { field: "client_ip".to_owned(), test: Test::Equals(vec!["192.0.2.20".to_owned()]), negate: false };
    let rules = vec![RulePlan { name: "one".to_owned(), conditions: vec![when], action: Action::Drop }];
    let plan = ParsePlan { rules, redact: Redact::Mask, ..auto(Schema::Aws) };
    let (found, parser) = connection(&plan, 1, &[CLASSIC, &CLASSIC.replace("192.0.2.20", "192.0.2.21"), "192.0.2.20"]);
    assert_eq!(found.len(), 2);
    assert_eq!(parser.tally.dropped_by, [1]);
    assert_eq!(parser.tally.received(), 3);
    assert_eq!(parser.tally.redactions.iter().sum::<u64>(), 1, "a dropped line's secrets are nobody's");
}

#[test]
fn the_id_of_a_line_is_that_of_its_bytes_before_they_are_repaired() {
    let plan = auto(Schema::Aws);
    let look = look(&plan, IdKey::PUBLISHED, &Lookups::load(&[]).expect("nothing to load")).expect("a look");
    let mut parser = LineParser::new(&plan, Arc::new(look), Ids::new(IdKey::PUBLISHED, [7; 12], SourceId(0), 1));
    let mut out = BatchBuilder::default();
    for bytes in [&b"\xff"[..], b"\xfe", b"\xff"] {
        let line = [&CLASSIC.as_bytes()[..CLASSIC.len() - 11], bytes, &CLASSIC.as_bytes()[CLASSIC.len() - 11..]].concat();
        parser.line(&line, 0, line.len(), Whole::Yes, Received::at(0), &mut out);
    }
    let ids: Vec<EventId> = out.marks().iter().map(|mark| mark.id).collect();
    assert!(ids[0] == ids[2] && ids[0] != ids[1], "{ids:?}");
    assert_eq!(parser.tally.invalid_utf8, 3);
}

#[test]
fn a_line_of_a_request_has_the_id_its_content_has_anywhere() {
    let plan = ParsePlan { identity: Identity::Content, ..auto(Schema::Aws) };
    let look = Arc::new(look(&plan, IdKey::PUBLISHED, &Lookups::load(&[]).expect("nothing to load")).expect("a look"));
    let ids = |is_request: bool| -> Vec<Value> {
        let mut parser = LineParser::new(&plan, look.clone(), Ids::new(IdKey::PUBLISHED, [7; 12], SourceId(0), 1));
        if is_request {
            parser.begin_request(None);
        }
        let mut out = BatchBuilder::default();
        for line in ["text", CLASSIC, "{\"a\":1}", "{broken", "http no line of a load balancer"] {
            parser.line(line.as_bytes(), 0, line.len(), Whole::Yes, Received::at(1), &mut out);
        }
        let documents = String::from_utf8(out.documents().to_vec()).expect("UTF-8");
        let documents = documents.lines().map(|document| serde_json::from_str::<Value>(document).expect("JSON"));
        documents.map(|document| document.get("event.id").unwrap_or(&document["event"]["id"]).clone()).collect()
    };
    assert_eq!(ids(true), ids(false));
}
