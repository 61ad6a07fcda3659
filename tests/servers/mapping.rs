//! Documents that a real server refuses for what is in them: they become dead letters with its reason, all others arrive, and
//! once the index is mended they are replayed.

use std::process::Output;

use serde_json::Value;
use serde_json::json;

use crate::Server;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::relay::elbow;
use crate::support::sender::send;

const LINES: u64 = 3_000;

/// Every so manieth line has a text where the index has a number.
const EACH: u64 = 30;

#[test]
#[ignore = "needs OpenSearch at ELBOW_OPENSEARCH: tests/servers/start.sh opensearch"]
fn opensearch_gets_what_it_refused_once_the_index_is_mended() {
    let Some(server) = Server::named("ELBOW_OPENSEARCH") else { return };
    refused_and_replayed(&server);
}

#[test]
#[ignore = "needs OpenSearch 3 at ELBOW_OPENSEARCH_3: tests/servers/start.sh opensearch-3"]
fn opensearch_3_gets_what_it_refused_once_the_index_is_mended() {
    let Some(server) = Server::named_if_to_be_had("ELBOW_OPENSEARCH_3") else { return };
    refused_and_replayed(&server);
}

#[test]
#[ignore = "needs Elasticsearch at ELBOW_ELASTICSEARCH: tests/servers/start.sh elasticsearch"]
fn elasticsearch_gets_what_it_refused_once_the_index_is_mended() {
    let Some(server) = Server::named("ELBOW_ELASTICSEARCH") else { return };
    refused_and_replayed(&server);
}

/// A line of JSON with the number in it.
fn line(number: u64) -> String {
    let took = if number.is_multiple_of(EACH) { json!(format!("quite long {number}")) } else { json!(number) };
    json!({ "message": format!("Root=1-65f00000-{number:024x}"), "took": took }).to_string() + "\n"
}

#[track_caller]
fn refused_and_replayed(server: &Server) {
    let index = "servers-mapping-2026";
    let template = |took: Value| {
        let mappings = json!({ "properties": { "took": took, "message": { "type": "keyword" } } });
        server.tell(
            "PUT",
            "/_index_template/servers-mapping",
            &json!({
                "index_patterns": ["servers-mapping-*"], "template": { "mappings": mappings },
            }),
        );
        mappings
    };
    server.ask("DELETE", &format!("/{index}"), "");
    template(json!({ "type": "integer" }));
    let directory = tempfile::tempdir().expect("a directory");
    let settings = format!("hosts = [\"http://{}\"]\nindex = \"{index}\"", server.address);
    let setup = || -> Setup {
        Relay::to_sink("search", "elasticsearch", &settings)
            .in_directory(directory.path())
            .buffer("64MiB")
            .source("format = \"json\"")
    };
    let letters = |words: &[&str]| -> Output {
        let config = directory.path().join("elbow.toml");
        let mut command = elbow();
        let output = command.arg("dead-letters").arg(words[0]).arg("-c").arg(config).args(&words[1..]).output();
        output.expect("it runs")
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");

    let relay = setup().start();
    send(relay.lines, (0..LINES).map(line).collect::<String>());
    let bad = LINES / EACH;
    let metrics = relay.until(|metrics| metrics.delivered("search") + metrics.sum("sink_refused_events_total") == LINES);
    assert_eq!((metrics.sum("sink_refused_events_total"), metrics.sum("sink_dropped_events_total")), (bad, 0));
    relay.stop().cleanly();
    let there = server.numbers(index);
    assert!(there.keys().all(|number| !number.is_multiple_of(EACH)) && there.values().all(|times| *times == 1));
    assert_eq!(there.len() as u64, LINES - bad);

    let exported = text(&letters(&["export"]).stdout);
    let kept: Vec<Value> = exported.lines().map(|letter| serde_json::from_str(letter).expect("a letter is JSON")).collect();
    assert_eq!(kept.len() as u64, bad);
    for letter in &kept {
        let about = &letter["elbow"];
        assert_eq!(
            (&about["reason"], &about["sink"], &about["status"]),
            (&json!("refused"), &json!("search"), &json!(400)),
            "{letter}"
        );
        assert_eq!(about["error"], "mapper_parsing_exception", "{letter}");
        let words = about["words"].as_str().unwrap_or_default();
        assert!(words.contains("[took]") && words.contains("[integer]"), "the server's reason: {letter}");
        assert!(!about.to_string().contains("quite long"), "what was refused stands in its place only: {letter}");
        assert!(letter["document"]["took"].as_str().is_some_and(|took| took.starts_with("quite long")), "{letter}");
    }

    // Without a change it would all be refused again. What is mended is the index that is there, and the template for the next.
    let mended = template(json!({ "type": "integer", "ignore_malformed": true }));
    server.tell("PUT", &format!("/{index}/_mapping"), &mended);
    let replayed = letters(&["replay"]);
    assert_eq!(replayed.status.code(), Some(0), "{}", text(&replayed.stderr));
    assert!(text(&replayed.stdout).starts_with(&format!("{bad} letters replayed\n")), "{}", text(&replayed.stdout));
    let relay = setup().start();
    relay.until(|metrics| metrics.delivered("search") == bad);
    relay.stop().cleanly();
    server.holds_once(index, 0..LINES);
    assert_eq!(text(&letters(&["export"]).stdout), "", "no letter is left");
    for path in [format!("/{index}"), "/_index_template/servers-mapping".to_owned()] {
        server.ask("DELETE", &path, "");
    }
}
