//! A server at the limit of its memory: it says 429 to whole requests and to single documents, and nothing is lost by it.

use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;

use crate::Server;
use crate::support::lines::albs;
use crate::support::relay::Relay;
use crate::support::sender::send;
use crate::support::wait_so_long;

const LINES: u64 = 60_000;

/// How often a node has refused whole requests for their bytes, and parts of them because too many waited to be written.
fn refused(server: &Server) -> (u64, u64) {
    let stats = server.tell("GET", "/_nodes/stats/indexing_pressure,thread_pool", &Value::Null);
    let node = stats["nodes"].as_object().and_then(|nodes| nodes.values().next()).expect("a node").clone();
    let number = |value: &Value| value.as_u64().expect("a number");
    let pressure = &node["indexing_pressure"]["memory"]["total"];
    (number(&pressure["coordinating_rejections"]), number(&node["thread_pool"]["write"]["rejected"]))
}

#[test]
#[ignore = "needs a small Elasticsearch at ELBOW_ELASTICSEARCH_SMALL: tests/servers/start.sh elasticsearch-small"]
fn a_node_at_the_limit_of_its_memory_gets_every_document_once() {
    let Some(server) = Server::named("ELBOW_ELASTICSEARCH_SMALL") else { return };
    let index = "servers-small";
    server.ask("DELETE", &format!("/{index}"), "");
    // More shards than the node writes to at once and lets wait: some of a request's documents are refused and others not.
    let settings = json!({ "index.number_of_shards": 5, "index.number_of_replicas": 0 });
    server.tell("PUT", &format!("/{index}"), &json!({ "settings": settings }));
    let before = refused(&server);
    let directory = tempfile::tempdir().expect("a directory");
    // Requests are of 5 MiB unless told otherwise, and each alone is more than the node takes.
    let settings = format!("hosts = [\"http://{}\"]\nindex = \"{index}\"", server.address);
    let relay = Relay::to_sink("search", "elasticsearch", &settings).in_directory(directory.path()).buffer("256MiB").start();
    let began = Instant::now();
    send(relay.lines, albs(0..LINES));
    let all = || Some(relay.metrics()).filter(|metrics| metrics.delivered("search") == LINES);
    let metrics = wait_so_long(Duration::from_secs(180), all, || format!("{}\n{}", relay.metrics(), relay.log_text()));
    let took = began.elapsed();
    let after = refused(&server);
    let (whole, parts) = (after.0 - before.0, after.1 - before.1);
    let failures = metrics.sum("sink_failures_total");
    let retried = metrics.sum("sink_retried_events_total");
    eprintln!(
        "{took:?}: the node refused {whole} requests and {parts} parts; the sink counted {failures} failures, {retried} documents again"
    );
    // A smaller request is tried after the third refusal of a larger one.
    assert!(whole >= 3 && parts >= 5, "it refused {whole} requests and {parts} parts: that shows nothing");
    assert!(failures >= 10 && retried > 0, "{failures} failures, {retried} documents sent again");
    assert_eq!((metrics.sum("sink_refused_events_total"), metrics.sum("sink_dropped_events_total")), (0, 0));
    let log = relay.log_text();
    assert!(log.contains("answers 429"), "{log}");
    relay.stop().cleanly();
    server.holds_once(index, 0..LINES);
    server.ask("DELETE", &format!("/{index}"), "");
}
