//! Requests over HTTP: what bodies may be, how they may be packed, what they say of themselves, and what is answered when.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::support::http::Http;
use crate::support::http::gzip;
use crate::support::http::post;
use crate::support::http::request;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::Setup;

pub(crate) fn web(setup: Setup) -> Setup {
    setup.and_http("")
}

fn messages(documents: &[Value]) -> Vec<&str> {
    documents.iter().map(|document| document["message"].as_str().expect("text")).collect()
}

fn ids(documents: &[Value]) -> Vec<String> {
    documents
        .iter()
        .map(|document| document["event"]["id"].as_str().or(document["event.id"].as_str()).expect("an id").to_owned())
        .collect()
}

#[test]
fn bodies_are_lines_objects_or_arrays() {
    let relay = web(Relay::to_stdout()).start();
    let json = [("Content-Type", "application/json")];
    let lines = [("Content-Type", "application/x-ndjson")];
    for (headers, body, accepted, rejected) in [
        (&[][..], "one\ntwo\r\n\nthree", 3, 0),
        (&[], &alb(1), 1, 0),
        (&lines, "{\"n\":1}\n{\"n\":2}", 2, 0),
        (&json, "{\n \"n\": 3\n}", 1, 0),
        (&json, "[{\"n\":4},\n{\"n\":5}]", 2, 0),
        (&[], "[{\"n\":6}]", 1, 0),
        (&json, "{\"n\":7}{\"n\":8} {\"n\":9}", 3, 0),
        (&json, "text all the same", 1, 0),
        (&[], "", 0, 0),
        (&[], "  \n ", 0, 0),
        // What is no JSON is kept as it is.
        (&lines, "{\"n\":", 0, 1),
        (&json, "[{\"n\":10},{oh}]", 1, 1),
        (&json, "[{\"n\":11}, 12]", 1, 1),
    ] {
        post(relay.web(), headers, body).took(accepted, rejected);
    }
    let documents = relay.writes(19);
    let numbers: BTreeSet<u64> = documents.iter().filter_map(|document| document["n"].as_u64()).collect();
    assert_eq!(numbers, (1..=11).collect());
    let rejects: Vec<_> = documents.iter().filter(|document| document["tags"][0] == "_jsonparsefailure").collect();
    let kept: BTreeSet<&str> = rejects.iter().filter_map(|document| document["message"].as_str()).collect();
    assert_eq!(kept, BTreeSet::from(["{\"n\":", "{oh}]", "12"]));
    let tagged = documents.iter().filter(|document| !document["tags"].is_null()).count();
    assert_eq!(tagged, rejects.len(), "a body says where it ends, so that its last line is whole");
    assert_eq!(relay.stop().cleanly().documents.len(), 19);
}

#[test]
fn behind_json_that_was_cut_short_lines_are_what_they_are() {
    let relay = Relay::to_stdout().and_http("on_reject = \"drop\"").start();
    for (behind, accepted) in [
        (alb(1), 1),
        ("plain text\n".to_owned(), 1),
        ("{\"n\":1}\n{\"n\":2}\n".to_owned(), 2),
        ("[{\"n\":3},{\"n\":4}]\n".to_owned(), 2),
        ("[{\"n\":5},{\"n\":6}]\nplain text\n{\"n\":7}\n".to_owned() + &alb(2), 5),
    ] {
        for short in ["{\"broken\":\n", "{\"cut short\":\"abc\n"] {
            post(relay.web(), &[], short.to_owned() + &behind).took(accepted, 1);
            let lines = [("Content-Type", "text/plain")];
            post(relay.web(), &lines, short.to_owned() + &behind).took(accepted, 1);
        }
    }
    assert_eq!(relay.writes(4 * 11).len(), 4 * 11);
    relay.stop().cleanly();
}

#[test]
fn bodies_may_be_packed() {
    let relay = web(Relay::to_stdout()).start();
    let text = albs(0..500);
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(text.as_bytes()).expect("memory takes everything");
        encoder.finish().expect("memory takes everything")
    };
    let deflate = {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(text.as_bytes()).expect("memory takes everything");
        encoder.finish().expect("memory takes everything")
    };
    let zstd = zstd::encode_all(text.as_bytes(), 3).expect("memory takes everything");
    let (first, second) = text.split_at(text.len() / 3);
    let members = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    let frames = [first, second].map(|part| zstd::encode_all(part.as_bytes(), 3).expect("memory takes everything")).concat();
    for (coding, body) in [
        ("gzip", gzip(text.as_bytes())),
        ("x-gzip", members.clone()),
        ("GZIP", members.clone()),
        ("deflate", zlib),
        ("deflate", deflate),
        ("zstd", zstd),
        ("zstd", frames.clone()),
        ("identity", text.clone().into_bytes()),
        // A log object may well be sent as it is stored, and nobody says what it is.
        ("", members),
        ("", frames),
    ] {
        let headers = [("Content-Encoding", coding)];
        let headers = if coding.is_empty() { &[][..] } else { &headers };
        post(relay.web(), headers, &body).took(500, 0);
        // The same in chunks that end anywhere.
        let mut http = Http::connect(relay.web());
        let named = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
        http.send(format!("PUT /some/where?x=y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{named}\r\n"));
        for chunk in body.chunks(997) {
            http.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        http.send("0\r\n\r\n");
        http.answer().took(500, 0);
    }
    assert_eq!(relay.stop().cleanly().documents.len(), 500 * 20);
}

#[test]
fn the_answer_comes_when_everything_is_in_the_buffer() {
    let dead = FakeLogstash::absent();
    let folder = tempfile::tempdir().expect("a folder");
    for (setup, durability) in
        [(Relay::to(dead.address()), "memory"), (Relay::to(dead.address()).in_directory(folder.path()), "disk")]
    {
        let relay = web(setup).start();
        let answer = post(relay.web(), &[], albs(0..1_000));
        answer.took(1_000, 0);
        assert_eq!(answer.json()["durability"], durability);
        assert_eq!(relay.metrics().appended(), 1_000);
    }
}

#[test]
fn what_a_preamble_says_comes_in_headers_or_parameters() {
    let relay = web(Relay::to_stdout()).start();
    let fields = r#"{"Environment":"ci"}"#;
    let object =
        [("X-Elbow-Fields", fields), ("X-Elbow-Object", "s3://logs/a/b.log"), ("X-Elbow-ETag", "e"), ("X-Elbow-Line", "7")];
    post(relay.web(), &object, "one\ntwo\n").took(2, 0);
    let query = "/?object=s3%3A%2F%2Flogs%2Fa%2Fb.log&etag=e&line=7&fields=%7B%22Environment%22%3A%22ci%22%7D";
    Http::connect(relay.web()).post(query, &[], "one\ntwo\n").took(2, 0);
    let mut sender = relay.sender();
    sender.send(format!(
        "{{\"@elbow\":{{\"fields\":{fields},\"object\":\"s3://logs/a/b.log\",\"etag\":\"e\",\"line\":7}}}}\none\ntwo\n"
    ));
    sender.finish();
    let documents = relay.writes(6);
    let all = ids(&documents);
    assert_eq!((&all[..2], &all[..2]), (&all[2..4], &all[4..]), "the same lines of the same object");
    for document in &documents {
        assert_eq!((&document["Environment"], &document["s3_key"]), (&"ci".into(), &"a/b.log".into()), "{document}");
    }
    for bad in [("X-Elbow-Fields", "ci"), ("X-Elbow-Line", "one")] {
        post(relay.web(), &[bad], "x").refused(400, "bad_parameter");
    }
}

/// The ids of the events of one request.
#[track_caller]
fn ids_of(relay: &Relay, headers: &[(&str, &str)], body: impl AsRef<[u8]>, events: usize) -> Vec<String> {
    let before = relay.documents().len();
    post(relay.web(), headers, body).took(events as u64, 0);
    ids(&relay.writes(before + events)[before..])
}

#[test]
fn the_same_object_has_the_same_ids_however_often_and_however_it_comes() {
    let relay = web(Relay::to_stdout()).start();
    let object = [("X-Elbow-Object", "s3://logs/a.log"), ("X-Elbow-ETag", "\"e\"")];
    // Equal lines of one object are several events.
    let text = albs([1, 2, 2, 3]) + "text\ntext\n";
    let want = ids_of(&relay, &object, &text, 6);
    assert_eq!(want.iter().collect::<BTreeSet<_>>().len(), 6);
    assert_eq!(ids_of(&relay, &object, gzip(text.as_bytes()), 6), want);
    // One that is cut off: what came of it has the same ids, and then all of it comes again.
    let before = relay.documents().len();
    let mut cut = Http::connect(relay.web());
    let whole = request("/", &object, text.as_bytes());
    cut.send(&whole[..whole.len() - 3]);
    cut.half_close();
    assert_eq!(cut.answer().refused(400, "truncated")["stored"], 5);
    assert_eq!(ids(&relay.writes(before + 5)[before..]), want[..5]);
    // The rest of it, from some line on.
    let rest = [object[0], object[1], ("X-Elbow-Line", "3")];
    assert_eq!(ids_of(&relay, &rest, albs([2, 3]) + "text\ntext\n", 4), want[2..]);
    // JSON over several lines, and the same on one.
    let array = ids_of(&relay, &object, "[\n{\"a\":1},\n{\"a\":1}\n]", 2);
    assert_eq!(ids_of(&relay, &object, "[{\"a\":1},{\"a\":1}]", 2), array);
    assert_ne!(array[0], array[1]);
    relay.stop().cleanly();
}

#[test]
fn without_an_object_equal_lines_of_a_request_are_told_apart_and_a_repeat_is_not() {
    let relay = Relay::to_stdout().and_http("identity = \"content\"").start();
    let text = "a\nb\na\na\n";
    let first = ids_of(&relay, &[], text, 4);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(ids_of(&relay, &[], gzip(text.as_bytes()), 4), first);
    assert_eq!(ids_of(&relay, &[], "a\n", 1), first[..1], "the first of each content is that of any request");
    // However many different ones there are.
    let many: String = (0..20_000).chain(19_990..20_000).map(|number| format!("line {number}\n")).collect();
    let all = ids_of(&relay, &[], &many, 20_010);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 20_010);
    assert_eq!(ids_of(&relay, &[], gzip(many.as_bytes()), 20_010), all);
    assert_eq!(ids_of(&relay, &[], "line 19999\n", 1), all[19_999..20_000]);
    drop(relay);
    let relay = Relay::to_stdout().and_http("identity = \"arrival\"").start();
    let all = [ids_of(&relay, &[], "a\na\n", 2), ids_of(&relay, &[], "a\na\n", 2)].concat();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "equal events that arrive stay separate");
}

#[test]
fn a_connection_serves_many_requests() {
    let relay = web(Relay::to_stdout()).start();
    let mut http = Http::connect(relay.web());
    for number in 0..50 {
        http.post("/", &[], format!("line {number}")).took(1, 0);
    }
    http.send([request("/", &[], b"in a"), request("/", &[], b"row")].concat());
    http.answer().took(1, 0);
    http.answer().took(1, 0);
    http.send("GET /lines HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = http.answer();
    answer.refused(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST, PUT"));
    http.post("/", &[("Connection", "close")], "last").took(1, 0);
    http.ends();
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum_where("http_requests_total", "status=\"200\""), 53);
    assert_eq!(metrics.sum_where("http_requests_total", "status=\"405\""), 1);
    assert_eq!((metrics.sum("http_requests_in_flight"), metrics.sum("http_answer_seconds_count")), (0, 53));
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"closed\""), 1);
    relay.stop().cleanly();
}

#[test]
fn a_body_that_is_asked_for_is_sent_and_one_that_is_refused_is_not() {
    let relay = Relay::to_stdout().and_http("max_body_bytes = \"1KiB\"").start();
    let mut http = Http::connect(relay.web());
    http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(http.answer().status, 100);
    http.send("abc");
    http.answer().took(1, 0);
    http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(http.answer().refused(413, "body_too_large")["limit"], 1_024);
}

#[test]
fn a_sender_may_half_close_and_still_be_answered() {
    let relay = web(Relay::to_stdout()).start();
    let mut http = Http::connect(relay.web());
    http.send(request("/", &[], b"one\ntwo"));
    http.half_close();
    http.answer().took(2, 0);
    http.ends();
}

#[test]
fn a_sender_that_is_gone_before_the_answer_has_its_events_stored() {
    let relay = web(Relay::to_stdout()).start();
    for number in 0..20 {
        let mut http = Http::connect(relay.web());
        http.send(request("/", &[], format!("line {number}\n").as_bytes()));
        drop(http);
    }
    let documents = relay.writes(20);
    assert_eq!(messages(&documents).into_iter().collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn http_2_is_spoken_without_being_asked_for() {
    let relay = web(Relay::to_stdout()).start();
    let address = relay.web();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("the relay listens");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let requests = (0..40).map(|number| {
            let mut sender = sender.clone();
            async move {
                let body = Full::new(Bytes::from(gzip(albs(number * 1_000..number * 1_000 + 300).as_bytes())));
                let request = hyper::Request::put(format!("http://{address}/x")).header("content-encoding", "gzip").body(body);
                let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
                assert_eq!(answer.status(), 200);
                let body = answer.into_body().collect().await.expect("a body").to_bytes();
                let answer: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(answer["accepted"], 300, "{answer}");
            }
        });
        let mut all = tokio::task::JoinSet::new();
        for request in requests {
            all.spawn(request);
        }
        while let Some(done) = all.join_next().await {
            done.expect("it is answered");
        }
    });
    relay.until(|metrics| metrics.appended() == 40 * 300);
    relay.stop().cleanly();
}

#[test]
fn a_stop_answers_what_is_under_way_and_ends_what_is_not() {
    let relay = web(Relay::to_stdout()).start();
    let (mut idle, mut slow, mut stuck) = (Http::connect(relay.web()), Http::connect(relay.web()), Http::connect(relay.web()));
    idle.post("/", &[], "first").took(1, 0);
    slow.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\none\n");
    stuck.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\ntwo\n");
    relay.until(|metrics| metrics.sum("http_requests_in_flight") == 2);
    relay.terminate();
    relay.says("no new connections");
    thread::sleep(Duration::from_millis(500));
    slow.send("six\n");
    let answer = slow.answer();
    answer.took(2, 0);
    assert_eq!(answer.header("connection"), Some("close"));
    slow.ends();
    idle.ends();
    let refused = stuck.answer();
    assert_eq!(refused.refused(503, "stopping")["stored"], 1);
    let ended = relay.ended().cleanly().within(Duration::from_secs(9));
    assert_eq!(messages(&ended.documents).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["first", "one", "six", "two"]));
}

/// The commands of docs/http.md and what it says they print; none where there is no curl.
#[test]
fn the_page_shows_what_curl_prints() {
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let relay = web(Relay::to_stdout()).start();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("access.log.gz"), gzip(albs(0..3).as_bytes())).expect("the folder is ours");
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http.md")).expect("the page is there");
    let mut ran = 0;
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().expect("an end");
        for example in block.split("$ ").skip(1) {
            let (command, shown) = example.split_once('\n').expect("a command");
            let command = command.replace("127.0.0.1:8080", &relay.web().to_string()).replacen("curl ", "curl -s ", 1);
            let output = Command::new("sh").args(["-c", &command]).current_dir(&folder).output().expect("it runs");
            assert_eq!(String::from_utf8(output.stdout).expect("text"), shown, "{command}");
            ran += 1;
        }
    }
    assert!(ran > 5, "there are commands in docs/http.md");
    relay.stop().cleanly();
}
