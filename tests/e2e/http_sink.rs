//! Sinks that post over HTTP, and servers that do to them whatever servers do: nothing is lost, and what is sent again has its id.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::support::http;
use crate::support::http_server::HttpServer;
use crate::support::http_server::Reply;
use crate::support::http_server::Request;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::lines::all_arrived;
use crate::support::lines::id_of;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::sender::send;
use crate::support::stays;
use crate::support::wait_for;

/// The numbers of documents.
fn numbers(documents: &[Value]) -> Vec<u64> {
    documents.iter().map(|document| id_of(document.to_string().as_bytes()).expect("a number")).collect()
}

/// The id of a document.
fn id(document: &Value) -> String {
    let id = document["event"]["id"].as_str().or_else(|| document["event.id"].as_str());
    id.unwrap_or_else(|| panic!("no id in {document}")).to_owned()
}

/// A relay that posts to these.
fn posting(kind: &str, servers: &[&HttpServer], settings: &str) -> Setup {
    let hosts: Vec<String> = servers.iter().map(|server| format!("\"http://{}\"", server.address())).collect();
    Relay::to_sink("out", kind, &format!("hosts = [{}]\n{settings}", hosts.join(", ")))
}

/// Sends a line at a time, so that each is a request of its own.
fn send_apart(relay: &Relay, server: &HttpServer, lines: std::ops::Range<u64>) {
    for line in lines {
        let before = server.requests().len();
        send(relay.lines, alb(line));
        server.is_asked(before + 1);
    }
}

#[test]
fn bodies_are_arrays_for_logstash_and_lines_for_others() {
    for (kind, settings, content_type) in [
        ("logstash_http", "", "application/json"),
        ("http", "", "application/x-ndjson"),
        ("http", "body = \"array\"\nmethod = \"PUT\"", "application/json"),
        ("logstash_http", "body = \"lines\"\ncompression = \"gzip\"", "application/x-ndjson"),
    ] {
        let server = HttpServer::scripted([]);
        let relay = posting(kind, &[&server], &format!("{settings}\nrequest_events = 7")).start();
        send(relay.lines, albs(0..100));
        assert_eq!(numbers(&server.receives(100)), (0..100).collect::<Vec<_>>(), "in order, one request at a time");
        for request in server.requests() {
            assert_eq!(request.header("content-type"), Some(content_type));
            assert_eq!((&*request.target, request.documents().len() <= 7), ("/", true));
            assert_eq!(request.method, if settings.contains("PUT") { "PUT" } else { "POST" });
            assert_eq!(request.header("content-encoding").is_some(), settings.contains("gzip"));
            assert_eq!(request.packed < request.body.len(), settings.contains("gzip"));
        }
        relay.until(|metrics| metrics.delivered("out") == 100 && metrics.sum("sink_failures_total") == 0);
        relay.stop().cleanly();
    }
}

#[test]
fn a_request_has_its_path_headers_and_credentials_and_none_are_shown() {
    let server = HttpServer::scripted([]);
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "hidden-in-a-file\n").expect("ours");
    let settings = format!(
        "path = \"/in/?key=hidden-query\"\nuser = \"me\"\npassword = \"hidden-password\"\n\
         headers = {{ X-Team = \"hidden-value\", X-Token = {{ file = \"{}\" }} }}",
        token.path().display()
    );
    let relay = posting("http", &[&server], &settings).start();
    send(relay.lines, alb(1));
    let request = server.is_asked(1).remove(0);
    assert_eq!(request.target, "/in/?key=hidden-query");
    assert_eq!(request.header("x-team"), Some("hidden-value"));
    assert_eq!(request.header("x-token"), Some("hidden-in-a-file"));
    assert_eq!(request.header("authorization"), Some("Basic bWU6aGlkZGVuLXBhc3N3b3Jk"));
    server.answer(|_| Reply::status(401));
    send(relay.lines, alb(2));
    relay.says("check the sink's credentials");
    let pages = relay.page("/ready").1;
    let log = relay.log_text();
    drop(relay);
    assert!(!pages.contains("hidden") && !log.contains("hidden"), "{pages}\n{log}");
}

/// Sends documents while the server answers these first, and gives the requests until all have arrived.
#[track_caller]
fn meets(replies: Vec<Reply>) -> Vec<Request> {
    let server = HttpServer::scripted([]);
    let relay = posting("http", &[&server], "request_timeout = \"1s\"").start();
    server.next(replies);
    send(relay.lines, albs(0..20));
    let documents = server.receives(20);
    assert_eq!(numbers(&documents), (0..20).collect::<Vec<_>>(), "in order and once");
    let requests = server.requests();
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    for document in requests.iter().flat_map(Request::documents) {
        let number = numbers(std::slice::from_ref(&document))[0];
        assert_eq!(ids.entry(number).or_insert_with(|| id(&document)), &id(&document), "what is sent again has its id");
    }
    relay.until(|metrics| metrics.delivered("out") == 20);
    let metrics = relay.metrics();
    assert_eq!((metrics.sum("sink_refused_events_total"), metrics.buffered("out")), (0, 0));
    relay.stop().cleanly();
    requests
}

#[test]
fn what_may_pass_is_sent_again() {
    for status in [408, 425, 429, 500, 502, 503, 504, 418] {
        let requests = meets(vec![Reply::status(status)]);
        assert!(requests.len() >= 2, "{status}");
    }
}

#[test]
fn what_is_no_whole_answer_of_2xx_is_sent_again() {
    for reply in [
        Reply::close(),
        Reply::reset(),
        Reply::stall(),
        Reply::raw("no HTTP at all\r\n\r\n"),
        Reply::status(200).body("accepted").cut(30),
        Reply::status(200).body("accepted").cut(48),
    ] {
        assert!(meets(vec![reply.clone()]).len() >= 2, "{reply:?}");
    }
}

#[test]
fn an_answer_that_comes_too_late_is_none() {
    let server = HttpServer::scripted([Reply::status(200).after(Duration::from_secs(2))]);
    let relay = posting("http", &[&server], "request_timeout = \"1s\"").start();
    send(relay.lines, alb(0));
    relay.until(|metrics| metrics.delivered("out") == 1);
    let requests = server.is_asked(2);
    assert_eq!(requests[0].body, requests[1].body);
    assert_ne!(requests[0].connection, requests[1].connection, "what comes late is nobody's answer");
    assert_eq!(relay.metrics().sum("sink_failures_total"), 1);
    relay.stop().cleanly();
}

#[test]
fn any_status_of_2xx_is_delivered_whatever_the_body_says() {
    let large = vec![b'x'; 2 << 20];
    for reply in
        [Reply::status(201), Reply::status(204), Reply::status(202).body("{\"error\":1}"), Reply::status(200).body(large)]
    {
        let requests = meets(vec![reply.clone()]);
        assert!(requests.iter().all(|request| request.connection == 0), "the connection is kept");
        let sent: usize = requests.iter().map(|request| request.documents().len()).sum();
        assert_eq!(sent, 20, "none twice");
    }
}

#[test]
fn retry_after_is_honoured() {
    let server =
        HttpServer::scripted([Reply::status(429).header("Retry-After", "3"), Reply::status(503).header("Retry-After", "2")]);
    let relay = posting("http", &[&server], "").start();
    send(relay.lines, alb(0));
    let requests = server.is_asked(3);
    let waits = [requests[1].at - requests[0].at, requests[2].at - requests[1].at];
    assert!(waits[0] >= Duration::from_secs(3) && waits[1] >= Duration::from_secs(2), "{waits:?}");
    relay.until(|metrics| metrics.delivered("out") == 1);
    relay.stop().cleanly();
}

#[test]
fn what_somebody_has_to_mend_pauses_the_sink() {
    for status in [301, 307, 401, 403, 404] {
        let server = HttpServer::answering(move |_| Reply::status(status));
        let relay = posting("http", &[&server], "").start();
        send(relay.lines, alb(0));
        server.is_asked(1);
        wait_for(|| relay.page("/ready").1.contains("paused").then_some(()), || format!("{status}: {}", relay.page("/ready").1));
        server.answer(|_| Reply::status(200));
        assert_eq!(numbers(&server.receives(1)), [0]);
        relay.until(|metrics| metrics.delivered("out") == 1);
        relay.stop().cleanly();
    }
}

#[test]
fn what_is_too_large_or_refused_goes_in_halves_in_order_and_then_to_the_dead_letters() {
    for status in [400, 413] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = HttpServer::answering(move |request| {
            let bad = numbers(&request.documents()).contains(&13);
            Reply::status(if bad { status } else { 200 })
        });
        let relay = posting("http", &[&server], "").in_directory(directory.path()).start();
        send(relay.lines, albs(0..50));
        let delivered = numbers(&server.receives(49));
        assert_eq!(delivered, (0..50).filter(|number| *number != 13).collect::<Vec<_>>(), "the order is kept");
        let metrics = relay.until(|metrics| metrics.delivered("out") == 49 && metrics.buffered("out") == 0);
        assert_eq!((metrics.sum("sink_refused_events_total"), metrics.sum("dead_letters_events")), (1, 1));
        relay.stop().cleanly();
    }
}

#[test]
fn a_server_that_refuses_large_bodies_before_reading_them_gets_smaller_ones() {
    let server = HttpServer::scripted([]);
    server.body_max(200_000);
    let relay = posting("http", &[&server], "request_bytes = \"4MiB\"").start();
    send(relay.lines, albs(0..10_000));
    let delivered = numbers(&server.receives(10_000));
    assert_eq!(all_arrived(0..10_000, &delivered), 0);
    relay.until(|metrics| metrics.delivered("out") == 10_000);
    relay.stop().cleanly();
}

#[test]
fn several_hosts_stand_in_for_one_another() {
    let (mut first, second) = (HttpServer::scripted([]), HttpServer::scripted([]));
    let relay = posting("http", &[&first, &second], "request_events = 10").start();
    send(relay.lines, albs(0..100));
    wait_for(|| (first.documents().len() + second.documents().len() == 100).then_some(()), || "100 documents".to_owned());
    let of_first = numbers(&first.documents());
    first.vanish();
    send(relay.lines, albs(100..200));
    wait_for(|| (of_first.len() + second.documents().len() >= 200).then_some(()), || relay.log_text());
    relay.until(|metrics| metrics.delivered("out") == 200);
    relay.stop().cleanly();
    all_arrived(0..200, &[of_first, numbers(&second.documents())].concat());
}

#[test]
fn a_server_that_closes_idle_connections_costs_nothing() {
    let server = HttpServer::scripted([]);
    server.idle(Duration::from_millis(100));
    let relay = posting("http", &[&server], "").start();
    for line in 0..6 {
        send_apart(&relay, &server, line..line + 1);
        if line % 2 == 1 {
            wait_for(|| (server.open() == 0).then_some(()), || "an idle connection stays open".to_owned());
        }
    }
    assert_eq!(numbers(&server.receives(6)), (0..6).collect::<Vec<_>>());
    let metrics = relay.until(|metrics| metrics.delivered("out") == 6);
    assert_eq!(metrics.sum("sink_failures_total") + metrics.sum("sink_retried_events_total"), 0);
    relay.stop().cleanly();
}

#[test]
fn connections_are_kept() {
    let server = HttpServer::scripted([]);
    let relay = posting("http", &[&server], "").start();
    send_apart(&relay, &server, 0..20);
    relay.until(|metrics| metrics.delivered("out") == 20);
    assert_eq!(server.connections(), 1);
    relay.stop().cleanly();
}

#[test]
fn a_relay_killed_during_a_request_sends_the_same_ids_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = HttpServer::answering(|_| Reply::stall());
    let setup = posting("http", &[&server], "").and_http("").in_directory(directory.path());
    let relay = setup.clone().start();
    // Only what was answered is promised.
    http::post(relay.web(), &[], albs(0..30)).took(30, 0);
    let under_way = server.is_asked(1).remove(0).documents();
    relay.kill();
    relay.ended();
    server.answer(|_| Reply::status(200));
    let relay = setup.start();
    let documents = server.receives(30);
    assert_eq!(all_arrived(0..30, &numbers(&documents)), 0);
    let ids: BTreeMap<u64, String> =
        documents.iter().map(|document| (numbers(std::slice::from_ref(document))[0], id(document))).collect();
    assert!(!under_way.is_empty());
    for document in &under_way {
        assert_eq!(ids[&numbers(std::slice::from_ref(document))[0]], id(document));
    }
    relay.until(|metrics| metrics.delivered("out") > 0 && metrics.buffered("out") == 0);
    relay.stop().cleanly();
}

#[test]
fn from_relay_to_relay_all_arrive_under_their_ids() {
    for (kind, settings) in
        [("http", ""), ("logstash_http", "compression = \"gzip\""), ("http", "body = \"array\"\nconcurrency = 4")]
    {
        let last = HttpServer::scripted([]);
        let second = posting("http", &[&last], "").and_http("").start();
        let between = format!("hosts = [\"http://{}/behind/\"]\n{settings}\nrequest_events = 100", second.web());
        let first = Relay::to_sink("out", kind, &between).and_http("").start();
        send(first.lines, albs(0..500));
        let json = "{\"event.id\":\"0123456789abcdef0123456789abcdef\",\"text\":\"Root=1-65f00000-0000000000000000000001f4\"}\n";
        http::post(first.web(), &[("Content-Type", "application/x-ndjson")], json).took(1, 0);
        let arrived = last.receives(501);
        assert_eq!(all_arrived(0..=500, &numbers(&arrived)), 0);
        first.until(|metrics| metrics.delivered("out") == 501);
        first.stop().cleanly();
        second.until(|metrics| metrics.delivered("out") == 501);
        second.stop().cleanly();
        let again: BTreeMap<u64, String> = arrived.iter().map(|one| (numbers(std::slice::from_ref(one))[0], id(one))).collect();
        assert_eq!(again[&500], "0123456789abcdef0123456789abcdef");
        assert!(arrived.iter().all(|one| one.to_string().matches("\"id\":").count() <= 1), "one id each");
    }
}

#[test]
fn at_the_end_what_is_under_way_is_waited_for() {
    let server = HttpServer::answering(|_| Reply::status(200).after(Duration::from_millis(500)));
    let relay = posting("http", &[&server], "").start();
    send(relay.lines, alb(0));
    server.is_asked(1);
    stays(Duration::from_millis(50), || assert_eq!(relay.metrics().delivered("out"), 0));
    let begun = Instant::now();
    relay.stop().cleanly();
    assert!(begun.elapsed() >= Duration::from_millis(200), "it waits for the answer");
    assert_eq!(server.requests().len(), 1);
}
