//! What becomes of lines on their way through a real socket.

use serde_json::Value;
use serde_json::json;

use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::lines::id_of;
use crate::support::relay::Relay;
use crate::support::sender::send;

/// Everything but what differs each time: ids, and receive times.
fn settled(mut document: Value) -> Value {
    let object = document.as_object_mut().expect("a document is an object");
    if let Some(event) = object.remove("event") {
        assert_eq!(event["id"].as_str().map(str::len), Some(32), "an id has 128 bits");
    }
    if let Some(id) = object.remove("event.id") {
        assert_eq!(id.as_str().map(str::len), Some(32), "an id has 128 bits");
    }
    if !object.contains_key("time") {
        object.remove("@timestamp");
    }
    document
}

#[track_caller]
fn tags(document: &Value) -> Vec<&str> {
    document["tags"].as_array().map_or(Vec::new(), |tags| tags.iter().map(|tag| tag.as_str().expect("a tag")).collect())
}

#[test]
fn a_pasted_line_comes_out_as_its_document() {
    let relay = Relay::to_stdout().start();
    send(relay.lines, alb(7));
    let document = &relay.writes(1)[0];
    assert_eq!(document["@timestamp"], "2026-03-01T10:20:30.123456Z");
    assert_eq!(document["@version"], "1");
    assert_eq!(document["client_ip"], "192.0.2.10");
    assert_eq!(document["elb_status_code"], 200);
    assert_eq!(id_of(document["trace_id"].as_str().expect("a trace id").as_bytes()), Some(7));
    let ended = relay.stop().cleanly();
    assert_eq!(ended.documents.len(), 1, "and nothing else");
    assert_eq!(ended.entry("everything is delivered")["delivered"], 1);
}

#[test]
fn each_kind_of_line_becomes_what_it_is() {
    let relay = Relay::to_stdout().start();
    let text = "just some text\r\n\n   \n{\"a\":1,\"b\":12345678901234567890}\n[{\"a\":2},{\"a\":3}]\n{\"a\":\nlast words";
    send(relay.lines, text);
    let documents: Vec<Value> = relay.writes(6).into_iter().map(settled).collect();
    assert_eq!(documents[0], json!({"@version": "1", "message": "just some text"}));
    assert_eq!(documents[1], json!({"@version": "1", "a": 1, "b": 12345678901234567890_u64}));
    assert_eq!(documents[2], json!({"@version": "1", "a": 2}));
    assert_eq!(documents[3], json!({"@version": "1", "a": 3}));
    assert_eq!((documents[4]["message"].as_str(), tags(&documents[4])), (Some("{\"a\":"), vec!["_jsonparsefailure"]));
    assert_eq!(documents[4]["elbow"]["reason"], "unexpected_end");
    assert_eq!(documents[5], json!({"@version": "1", "message": "last words", "tags": ["unterminated"]}));
    relay.stop().cleanly();
}

#[test]
fn a_preamble_sets_fields_for_its_connection_and_no_other() {
    let relay = Relay::to_stdout().source("fields = { Environment = \"production\", Team = \"web\" }").start();
    send(
        relay.lines,
        format!("{{\"@elbow\":{{\"fields\":{{\"Environment\":\"ci\"}}}}}}\n{}plain\n{{\"Team\":\"own\"}}\n", alb(1)),
    );
    let documents = relay.writes(3);
    for document in &documents {
        assert_eq!(document["Environment"], "ci");
    }
    assert_eq!(
        (&documents[0]["Team"], &documents[1]["Team"], &documents[2]["Team"]),
        (&json!("web"), &json!("web"), &json!("own"))
    );
    send(relay.lines, "other\n");
    assert_eq!(relay.writes(4)[3]["Environment"], "production");
    assert_eq!(relay.metrics().sum("source_preambles_total"), 1);
    relay.stop().cleanly();
}

#[test]
fn a_line_over_the_limit_is_cut_and_the_next_one_is_fine() {
    let relay = Relay::to_stdout().source("max_line_bytes = \"1KiB\"").start();
    let long = alb(1).trim_end().to_owned() + &"y".repeat(100_000);
    send(relay.lines, format!("{}\n{}{}\n{}\n", long, alb(2), "z".repeat(1_024), "z".repeat(1_025)));
    let documents = relay.writes(4);
    assert_eq!(documents[0]["message"], long[..1_024]);
    assert_eq!(tags(&documents[0]), ["_elbow_truncated"]);
    assert_eq!(documents[1]["elb_status_code"], 200, "the following line is itself again");
    assert_eq!((&documents[2]["message"], tags(&documents[2])), (&json!("z".repeat(1_024)), Vec::new()), "the limit itself fits");
    assert_eq!((&documents[3]["message"], tags(&documents[3])), (&json!("z".repeat(1_024)), vec!["_elbow_truncated"]));
    let metrics = relay.metrics();
    assert_eq!(metrics.sum("source_cut_lines_total"), 2);
    assert_eq!(metrics.sum("source_skipped_bytes_total"), long.len() as u64 - 1_024 + 1);
    relay.stop().cleanly();
}

#[test]
fn a_control_message_is_quiet() {
    let relay = Relay::to_stdout().start();
    let control = control_line();
    send(relay.lines, format!("{control}\nafter\n"));
    assert_eq!(relay.writes(1)[0]["message"], "after");
    let metrics = relay.metrics();
    assert_eq!((metrics.sum("source_control_lines_total"), metrics.received()), (1, 1));
    assert_eq!(relay.stop().cleanly().documents.len(), 1);
}

/// A control message from the project's own cases.
fn control_line() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/edge-cases.jsonl");
    let cases = std::fs::read_to_string(path).expect("the cases are there");
    let mut cases = cases.lines().map(|case| serde_json::from_str::<Value>(case).expect("a case"));
    let case = cases.find(|case| case["error"] == "control_message").expect("a control message");
    case["line"].as_str().expect("a line").to_owned()
}

/// Lines of every kind, the last one unterminated.
fn medley() -> String {
    format!(
        "{{\"@elbow\":{{\"fields\":{{\"x\":1}}}}}}\n{}\r\n\n{{\"k\":\"\u{e4}\u{20ac}\"}}\n[{{\"n\":1}},2]\ntext \u{1f600}\n{{broken\n{}{}\nend",
        alb(1).trim_end(),
        alb(2),
        "w".repeat(3_000)
    )
}

#[test]
fn how_a_stream_is_cut_into_writes_changes_nothing() {
    let through = |write: usize| {
        let relay = Relay::to_stdout().source("max_line_bytes = \"2KiB\"").start();
        let mut sender = relay.sender();
        for piece in medley().as_bytes().chunks(write) {
            sender.send(piece);
        }
        sender.finish();
        let documents: Vec<Value> = relay.stop().cleanly().documents.into_iter().map(settled).collect();
        assert_eq!(documents.len(), 9, "{documents:#?}");
        documents
    };
    let whole = through(usize::MAX);
    assert_eq!(through(1), whole);
    assert_eq!(through(7), whole);
}

/// A short line; only all of it is a JSON document.
const SHORT: &str = "{\"id\":\"abc\",\"n\":1}";

#[test]
fn a_line_cut_short_by_a_clean_end_is_an_event_at_every_offset() {
    let relay = Relay::to_stdout().start();
    for offset in 0..=SHORT.len() {
        send(relay.lines, &SHORT[..offset]);
    }
    let documents = relay.writes(SHORT.len());
    for (document, offset) in documents.iter().zip(1..) {
        assert!(tags(document).contains(&"unterminated"), "{document}");
        if offset == SHORT.len() {
            assert_eq!((&document["id"], &document["n"]), (&json!("abc"), &json!(1)));
        } else {
            assert_eq!(document["message"], SHORT[..offset], "a piece of a line is never taken for a document");
            assert_eq!(document.get("n"), None);
        }
    }
    let metrics = relay.metrics();
    assert_eq!((metrics.received(), metrics.sum("source_unfinished_bytes_total")), (SHORT.len() as u64, 0));
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"closed\""), SHORT.len() as u64 + 1);
    assert_eq!(relay.stop().cleanly().documents.len(), SHORT.len());
}

#[test]
fn a_line_cut_short_by_a_reset_is_no_event_at_any_offset() {
    let relay = Relay::to_stdout().start();
    let (mut read, mut unfinished) = (0, 0);
    for offset in 0..=SHORT.len() {
        let mut sender = relay.sender();
        sender.send("before\n");
        sender.send(&SHORT[..offset]);
        // A reset takes with it what has not been read yet.
        read += 7 + offset as u64;
        relay.until(|metrics| metrics.sum("source_received_bytes_total") == read);
        sender.reset();
        unfinished += offset as u64;
    }
    let connections = SHORT.len() as u64 + 1;
    let reset = "reason=\"reset\"";
    let metrics = relay.until(|metrics| metrics.sum_where("source_connections_ended_total", reset) == connections);
    assert_eq!(metrics.sum("source_unfinished_bytes_total"), unfinished);
    assert_eq!(metrics.received(), connections);
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len() as u64, connections);
    assert!(documents.iter().all(|document| document["message"] == "before"), "{documents:#?}");
}

#[test]
fn a_half_closed_sender_is_read_to_its_end_and_answered_with_a_clean_one() {
    let relay = Relay::to_stdout().start();
    let mut sender = relay.sender();
    sender.send(albs(0..1_000));
    sender.finish();
    assert_eq!(relay.writes(1_000).len(), 1_000);
    relay.stop().cleanly();
}
