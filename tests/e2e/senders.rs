//! Senders that exist already: their requests as they are recorded, and what they are told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::http::Answer;
use crate::support::http::Http;
use crate::support::http::gzip;
use crate::support::http::post;
use crate::support::relay::Relay;

const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/senders")
}

fn bulk(relay: &Relay, body: &str) -> Answer {
    Http::connect(relay.web()).post("/lines/_bulk", &[NDJSON], body)
}

/// Statuses of the items of an answer.
#[track_caller]
fn statuses(answer: &Answer) -> Vec<u64> {
    assert_eq!((answer.status, answer.header("x-elastic-product")), (200, Some("Elasticsearch")), "{answer:?}");
    let json = answer.json();
    let items = json["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    let status = |item: &Value| item.as_object().and_then(|item| item.values().next()?["status"].as_u64()).expect("a status");
    let statuses: Vec<u64> = items.iter().map(status).collect();
    assert_eq!(json["errors"], statuses.iter().any(|status| *status != 201), "{answer:?}");
    statuses
}

/// Plays a recording and checks that so many events come of it; gives the answer.
#[track_caller]
fn play(name: &str, events: usize) -> Answer {
    let relay = Relay::to_stdout().and_http("").start();
    let mut http = Http::connect(relay.web());
    http.send(fs::read(recordings().join(name)).unwrap_or_else(|error| panic!("{name}: {error}")));
    let answer = if name.contains("http-health") { http.bodiless_answer() } else { http.answer() };
    assert_eq!(answer.status, 200, "{name}: {answer:?}");
    let documents = relay.stop().cleanly().documents;
    let said: BTreeSet<&str> =
        documents.iter().filter_map(|document| document["message"].as_str().or(document["log"].as_str())).collect();
    let wanted: Vec<String> = (1..=events).map(|number| format!("event {number}")).collect();
    assert_eq!(said, wanted.iter().map(String::as_str).collect(), "{name}: {documents:?}");
    assert_eq!(documents.len(), events, "{name}: {documents:?}");
    assert!(documents.iter().all(|document| document["tags"].is_null()), "{name}: {documents:?}");
    answer
}

#[test]
fn recorded_requests_are_taken() {
    let mut left: BTreeSet<String> = fs::read_dir(recordings())
        .expect("recordings")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name.ends_with(".request"))
        .collect();
    let mut played = |name: &str, events: usize| {
        assert!(left.remove(name), "{name}");
        play(name, events)
    };
    played("logstash-json.request", 1).took(1, 0);
    played("logstash-json_batch.request", 3).took(3, 0);
    played("logstash-message.request", 1).took(1, 0);
    played("forwarder-put.request", 2).took(2, 0);
    played("vector-http-ndjson.request", 2).took(2, 0);
    played("vector-http-json.request", 2).took(2, 0);
    played("vector-http-health.request", 0);
    assert_eq!(played("vector-elasticsearch-health.request", 0).json()["status"], "green");
    assert_eq!(statuses(&played("vector-elasticsearch-bulk.request", 2)), [201, 201]);
    played("fluent-bit-http-json_lines.request", 2).took(2, 0);
    played("fluent-bit-http-json.request", 2).took(2, 0);
    played("fluent-bit-http-json_stream.request", 2).took(2, 0);
    assert_eq!(statuses(&played("fluent-bit-es-bulk.request", 2)), [201, 201]);
    for name in ["firehose-plain.request", "firehose-gzip.request"] {
        let answer = played(name, 3);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json()["requestId"], "ed4acda5-034f-9f42-bba1-f29aea6d7d8f");
        assert!(answer.json()["timestamp"].as_u64() > Some(1_500_000_000_000), "{answer:?}");
        assert!(answer.json()["errorMessage"].is_null(), "{answer:?}");
    }
    assert!(left.is_empty(), "nobody plays {left:?}");
}

#[test]
fn each_action_has_its_answer() {
    let relay = Relay::to_stdout().and_http("max_line_bytes = \"1KiB\"").start();
    let long = "x".repeat(1025);
    let body = format!(
        "{{\"index\":{{\"_index\":\"a\",\"_id\":\"7\"}}}}\n{{\"n\":1}}\n\
         {{\"create\":{{}}}}\nno JSON\n\
         {{\"update\":{{\"_id\":\"7\"}}}}\n{{\"doc\":{{\"n\":2}}}}\n\
         {{\"delete\":{{\"_id\":\"7\"}}}}\n\
         {{\"index\":{{}}}}\n{long}\n\
         {{\"index\":{{}}}}\n\n\
         {{\"index\":{{}}}}\n{{\"n\":3}}"
    );
    let answer = bulk(&relay, &body);
    assert_eq!(statuses(&answer), [201, 201, 400, 400, 413, 400, 201]);
    let items = &answer.json()["items"];
    assert_eq!((&items[0]["index"]["_index"], &items[1]["create"]["_index"]), (&"a".into(), &"lines".into()));
    assert_eq!(items[4]["index"]["error"]["type"], "document_too_large");
    assert_eq!(statuses(&bulk(&relay, "")), [0; 0]);
    assert_eq!(relay.metrics().sum("http_actions_refused_total"), 4);
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len(), 3);
    assert_eq!((&documents[0]["n"], &documents[1]["message"], &documents[2]["n"]), (&1.into(), &"no JSON".into(), &3.into()));
}

#[test]
fn where_long_lines_are_cut_no_sender_is_refused_for_one() {
    let relay = Relay::to_stdout().and_http("max_line_bytes = \"1KiB\"\nlong_lines = \"cut\"").start();
    let object = |number: u64, bytes: usize| format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(bytes));
    let (short, long) = (object(1, 9), object(2, 5_000));
    // Lines, a body of JSON values and an array in it, as the forwarder sends them, and a bulk request.
    post(relay.web(), &[], format!("one\n{}\nthree\n", "y".repeat(1_025))).took(3, 0);
    post(relay.web(), &[], format!("{short}\n{long}\n{short}\n")).took(3, 0);
    post(relay.web(), &[], gzip(format!("[{short},{long},{short}]").as_bytes())).took(3, 0);
    let body = format!("{{\"index\":{{}}}}\n{short}\n{{\"index\":{{}}}}\n{long}\n{{\"index\":{{}}}}\n{short}\n");
    assert_eq!(statuses(&bulk(&relay, &body)), [201, 201, 201]);
    let metrics = relay.metrics();
    assert_eq!(metrics.sum("source_cut_lines_total"), 4);
    assert_eq!(metrics.sum("source_skipped_bytes_total"), 1 + 3 * (long.len() as u64 - 1_024));
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len(), 12);
    for (at, document) in documents.iter().enumerate() {
        if at % 3 != 1 {
            assert_eq!(document["tags"], Value::Null, "{document}");
            continue;
        }
        assert_eq!(document["tags"], serde_json::json!(["_elbow_truncated"]));
        let beginning = if at == 1 { "y".repeat(1_024) } else { long[..1_024].to_owned() };
        assert_eq!(document["message"], beginning.as_str(), "a part of a document is text");
    }
}

#[test]
fn what_looks_like_control_in_a_document_is_data() {
    let relay = Relay::to_stdout().and_http("identity = \"content\"").start();
    let document = r#"{"_index":"i","_id":"1","tenant":"t","@metadata":{"_id":"2"},"message":"a\n{\"index\":{}}\n{}"}"#;
    let body = format!("{{\"index\":{{\"_index\":\"../x\",\"pipeline\":\"p\"}}}}\n{document}\n").repeat(2);
    assert_eq!(statuses(&bulk(&relay, &body)), [201, 201]);
    assert_eq!(statuses(&bulk(&relay, &body)), [201, 201]);
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len(), 4, "no extra documents");
    let wanted: Value = serde_json::from_str(document).expect("JSON");
    let mut ids = BTreeSet::new();
    for mut document in documents {
        let members = document.as_object_mut().expect("an object");
        ids.insert(members.remove("event.id").expect("it has an id").to_string());
        members.retain(|name, _| wanted.get(name).is_some());
        assert_eq!(document, wanted);
    }
    assert_eq!(ids.len(), 2, "the same request has the same ids, and two events of it are two");
}

#[test]
fn a_body_that_is_no_bulk_request_is_refused_with_what_is_stored() {
    let relay = Relay::to_stdout().and_http("").start();
    let answer = bulk(&relay, "{\"index\":{}}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/json")), "{answer:?}");
    let json = answer.json();
    assert_eq!((&json["status"], &json["stored"], &json["cause"]), (&400.into(), &1.into(), &"bad_body".into()));
    assert_eq!(json["error"]["type"], "bad_body");
    assert_eq!(json["error"]["reason"], "line 3 of the bulk request: this is no action");
    assert_eq!(relay.stop().cleanly().documents.len(), 1);
}

#[test]
fn a_large_bulk_request_is_answered_item_by_item() {
    const ITEMS: usize = 50_000;
    let relay = Relay::to_stdout().and_http("").start();
    let body = "{\"create\":{}}\n{\"n\":1}\n".repeat(ITEMS);
    let mut http = Http::connect(relay.web());
    let head = "POST /_bulk HTTP/1.1\r\nHost: relay\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
    http.send(head);
    for chunk in gzip(body.as_bytes()).chunks(700) {
        http.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    http.send("0\r\n\r\n");
    let answer = http.chunked_answer();
    let statuses = statuses(&answer);
    assert_eq!((statuses.len(), statuses.iter().all(|status| *status == 201)), (ITEMS, true));
    assert_eq!(relay.stop().cleanly().documents.len(), ITEMS);
}

#[test]
fn questions_before_the_first_event_are_answered_and_keep_nothing() {
    let relay = Relay::to_stdout().and_http("").start();
    let mut http = Http::connect(relay.web());
    for (request, member) in [
        ("GET /", "tagline"),
        ("GET /_license?human=false", "license"),
        ("GET /_xpack", "features"),
        ("GET /_cluster/health", "status"),
        ("GET /_ilm/policy/filebeat", ""),
        ("PUT /_index_template/filebeat", "acknowledged"),
        ("DELETE /_ingest/pipeline/p", "acknowledged"),
    ] {
        let body = if request.starts_with("GET") { "" } else { "{\"settings\":{}}" };
        http.send(format!("{request} HTTP/1.1\r\nHost: relay\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let answer = http.answer();
        assert_eq!((answer.status, answer.header("x-elastic-product")), (200, Some("Elasticsearch")), "{request}: {answer:?}");
        assert_eq!(member.is_empty(), answer.json().get(member).is_none(), "{request}: {answer:?}");
    }
    http.send("GET /lines/_search HTTP/1.1\r\nHost: relay\r\n\r\n");
    http.answer().refused(405, "method_not_allowed");
    assert_eq!(relay.stop().cleanly().documents.len(), 0);
}

#[test]
fn firehose_is_told_why_in_its_words() {
    let relay = Relay::to_stdout().and_http("").start();
    let mut http = Http::connect(relay.web());
    let id = ("X-Amz-Firehose-Request-Id", "r-1");
    for (attributes, body) in [
        ("{\"commonAttributes\":{}}", "{\"records\":[{\"data\":\"YQ==\"},{\"data\":\"!\"}]}"),
        ("{\"commonAttributes\":{}}", "{\"records\":["),
        ("no JSON", "{\"records\":[]}"),
    ] {
        let answer = http.post("/", &[id, ("X-Amz-Firehose-Common-Attributes", attributes)], body);
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/json")), "{answer:?}");
        assert_eq!(answer.json()["requestId"], "r-1");
        assert!(answer.json()["errorMessage"].is_string() && answer.json()["timestamp"].is_u64(), "{answer:?}");
    }
    let fields = ("X-Amz-Firehose-Common-Attributes", "{\"commonAttributes\":{\"Environment\":\"ci\"}}");
    let answer = http.post("/", &[id, fields], "{\"records\":[{\"data\":\"eyJuIjoxfXsibiI6Mn0=\"}]}");
    assert_eq!((answer.status, &answer.json()["requestId"]), (200, &"r-1".into()), "{answer:?}");
    let documents = relay.stop().cleanly().documents;
    let with_fields = documents.iter().filter(|document| document["Environment"] == "ci").count();
    assert_eq!((documents.len(), with_fields), (3, 2), "{documents:?}");
}
