//! Requests that could be understood in two ways, and content that tries to be more than data.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;

use serde_json::Value;

use crate::support::http::Http;
use crate::support::http::post;
use crate::support::http::request;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;

#[test]
fn a_doubtful_request_is_refused_and_the_one_behind_it_is_not_served() {
    let relay = Relay::to_stdout().and_http("").start();
    let head = "POST / HTTP/1.1\r\nHost: h\r\n";
    let smuggled = request("/", &[], b"smuggled");
    let doubtful = [
        format!("{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
        format!("{head}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        format!("{head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        format!("{head}Content-Length: 3, 3\r\n\r\nabc"),
        format!("{head}Content-Length: +5\r\n\r\nabcde"),
        format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        format!("{head}X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc"),
        format!("{head}Content-Length: 3\n\r\nabc"),
        "POST / HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc".to_owned(),
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        format!("{head}Content-Length : 3\r\n\r\nabc"),
    ];
    for doubtful in &doubtful {
        let mut http = Http::connect(relay.web());
        http.send([doubtful.as_bytes(), &smuggled].concat());
        let answer = http.answer();
        answer.refused(400, "bad_framing");
        assert_eq!(answer.header("connection"), Some("close"), "{doubtful:?}");
        http.ends();
        // Behind a good one as well, which is answered.
        let mut http = Http::connect(relay.web());
        http.send([&request("/", &[], b"good"), doubtful.as_bytes(), &smuggled].concat());
        http.answer().took(1, 0);
        http.answer().refused(400, "bad_framing");
        http.ends();
    }
    // Chunks that do not end where they say: what came before is stored, nothing behind is looked at.
    let mut http = Http::connect(relay.web());
    let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\ngood\n\r\n3\r\nabcd\r\n0\r\n\r\n");
    http.send([chunks.as_bytes(), &smuggled].concat());
    assert_eq!(http.answer().refused(400, "truncated")["stored"], 1);
    http.ends();
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum_where("http_requests_total", "status=\"400\""), 2 * doubtful.len() as u64 + 1);
    let ended = relay.stop().cleanly();
    assert_eq!(ended.documents.len(), doubtful.len() + 1);
    assert!(ended.documents.iter().all(|document| document["message"] == "good"));
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let relay = Relay::to_stdout().and_http("").start();
    let large = "x".repeat(40_000);
    let mut http = Http::connect(relay.web());
    http.send(request("/", &[("X", &large)], b"x"));
    http.answer().refused(431, "head_too_large");
    http.ends();
    let fields: Vec<_> = (0..100).map(|_| ("X", "y")).collect();
    let mut http = Http::connect(relay.web());
    http.send(request("/", &fields, b"x"));
    http.answer().refused(431, "head_too_large");
}

#[test]
fn tls_where_none_is_spoken_is_no_event_and_is_counted() {
    let relay = Relay::to_stdout().and_http("").start();
    let mut stream = TcpStream::connect(relay.web()).expect("the relay listens");
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("a clean end");
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"unexpected_tls\""), 1, "{metrics}");
    assert!(relay.stop().cleanly().documents.is_empty());
}

#[test]
fn whatever_bytes_come_are_kept_as_far_as_they_are_text() {
    let relay = Relay::to_stdout().and_http("").start();
    let lines: [(&[u8], &str, bool); 7] = [
        (b"a\xffb", "a\u{fffd}b", true),
        (b"nul\0nul", "nul\0nul", false),
        (b"cr\rcr", "cr\rcr", false),
        (b"\xef\xbb\xbfbom", "bom", false),
        ("line\u{2028}separator".as_bytes(), "line\u{2028}separator", false),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m", false),
        (b"{\"a\":\"\xf0\x28\"}", "", true),
    ];
    for (line, ..) in lines {
        post(relay.web(), &[("Content-Type", "text/plain")], line).took(1, 0);
    }
    let documents = relay.writes(lines.len());
    for (document, (line, want, is_invalid)) in documents.iter().zip(lines) {
        let tags = document["tags"].to_string();
        assert_eq!(tags.contains("_invalid_utf8"), is_invalid, "{}: {document}", line.escape_ascii());
        match want {
            "" => assert_eq!(document["a"], "\u{fffd}("),
            want => assert_eq!(document["message"], want),
        }
    }
    assert!(!relay.log_text().contains('\x1b'));
}

#[test]
fn json_is_taken_as_it_is_or_kept_as_text_and_never_changed() {
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).and_http("max_line_bytes = \"4MiB\"").start();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(199), "]".repeat(199));
    let long = format!("{{\"n\":1{}}}", "0".repeat(2_000_000));
    let keys = (0..10_000).map(|key| format!("\"k{key}\":{key}")).collect::<Vec<_>>().join(",");
    let objects = [
        "{\"n\":1e400,\"m\":-0.0,\"o\":1.10}".to_owned(),
        "{\"a\":1,\"a\":2,\"b\":{\"c\":1,\"c\":2}}".to_owned(),
        long,
        format!("{{{keys}}}"),
    ];
    for object in &objects {
        for body in [object.clone(), format!("[{object}]"), format!("[\n{object}\n,{object}]")] {
            let events = 1 + u64::from(body.starts_with("[\n"));
            post(relay.web(), &[("Content-Type", "application/json")], body).took(events, 0);
        }
    }
    post(relay.web(), &[("Content-Type", "application/json")], &deep).took(0, 1);
    post(relay.web(), &[("Content-Type", "application/json")], format!("[{{}},{deep}]")).took(1, 1);
    relay.until(|metrics| metrics.buffered("logstash") == 0);
    relay.stop().cleanly();
    let text = logstash.texts();
    for object in &objects {
        let inner = &object[1..object.len() - 1];
        assert_eq!(text.iter().filter(|document| document.contains(inner)).count(), 4, "{}", &inner[..inner.len().min(100)]);
    }
    let kept: Vec<Value> =
        text.iter().filter(|text| text.contains("too_deep")).map(|text| serde_json::from_str(text).expect("JSON")).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.iter().all(|document| document["message"].as_str().is_some_and(|message| message.starts_with(&deep))));
}

#[test]
fn what_an_event_calls_itself_is_data() {
    let relay = Relay::to_stdout().and_http("").start();
    let event = r#"{"_index":"other","_id":"1","tenant":"t","@metadata":{"x":1},"m":"a\n{\"index\":{\"_index\":\"evil\"}}\nb"}"#;
    post(relay.web(), &[("Content-Type", "application/json")], event).took(1, 0);
    post(relay.web(), &[], "text\r{\"index\":{}}\rtext").took(1, 0);
    let documents = relay.writes(2);
    assert_eq!(documents.len(), 2);
    let sent: Value = serde_json::from_str(event).expect("JSON");
    for (name, value) in sent.as_object().expect("an object") {
        assert_eq!(&documents[0][name], value);
    }
    assert_eq!(relay.stop().cleanly().documents.len(), 2);
}
