//! Each server that the Elasticsearch sink knows, in its own words: what it says of itself, and of a document that it has already,
//! refuses, or has no time for. `tests/data/search-servers.jsonl` has the words, and says whether they were recorded.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::json;

use crate::support::http_server::HttpServer;
use crate::support::http_server::Reply;
use crate::support::http_server::Request;
use crate::support::lines::albs;
use crate::support::lines::id_of;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::relay::elbow;
use crate::support::sender::send;

/// What a server says to a parameter it does not know, about a request as a whole.
const UNRECOGNIZED: &str = "request [/_bulk] contains unrecognized parameter: [include_source_on_error]";

const LINES: u64 = 400;

/// Whether a bulk request asks for errors that do not quote documents.
fn is_quiet(request: &Request) -> bool {
    request.target.contains("include_source_on_error=false")
}

fn setup(server: &HttpServer) -> Setup {
    let host = format!("hosts = [\"http://{}\"]\nindex = \"elb-%Y.%m.%d\"", server.address());
    Relay::to_sink("elasticsearch", "elasticsearch", &host)
}

/// A server of these words. Of four documents it creates one, has one already, refuses one and creates one at the second try.
fn speaking(words: Value, knows_quiet: bool) -> HttpServer {
    let mut tried = BTreeSet::new();
    HttpServer::answering(move |request| {
        if request.method == "GET" {
            return Reply::status(200).json(&words["about"]);
        }
        if is_quiet(request) && !knows_quiet {
            let error = json!({ "type": "illegal_argument_exception", "reason": UNRECOGNIZED });
            let body =
                json!({ "error": { "root_cause": [error], "type": error["type"], "reason": UNRECOGNIZED }, "status": 400 });
            return Reply::status(400).json(&body);
        }
        let item = |(id, document): (String, Value)| {
            let number = id_of(document.to_string().as_bytes()).expect("one of ours");
            let (status, error) = match number % 4 {
                1 => (409, words["there"].clone()),
                2 => (400, words["refused"].clone()),
                3 if tried.insert(number) => (429, words["busy"].clone()),
                _ => (201, Value::Null),
            };
            let mut item = json!({ "_index": "elb-2026.03.01", "_id": id, "status": status });
            if status == 201 {
                let shards = json!({ "total": 2, "successful": 1, "failed": 0 });
                item["result"] = json!("created");
                (item["_version"], item["_shards"], item["_seq_no"], item["_primary_term"]) =
                    (json!(1), shards, json!(7), json!(1));
            } else {
                item["error"] = serde_json::from_str(&error.to_string().replace("{ID}", &id)).expect("JSON");
            }
            if let (400, store @ Value::String(_)) = (status, &words["failure_store"]) {
                item["failure_store"] = store.clone();
            }
            json!({ "create": item })
        };
        let items: Vec<Value> = request.bulk_ids().into_iter().zip(request.documents()).map(item).collect();
        Reply::status(200)
            .json(&json!({ "took": 3, "errors": true, "items": items }))
            .header("X-elastic-product", "Elasticsearch")
    })
}

/// The servers.
fn known() -> Vec<Value> {
    let rows = include_str!("../data/search-servers.jsonl").lines();
    rows.map(|row| serde_json::from_str(row).expect("each row is JSON")).collect()
}

/// Sends lines to a server and checks what became of each, and what was kept of its reasons. Gives the bulk requests.
#[track_caller]
fn each_by_what_is_said_of_it(name: &str, server: &HttpServer) -> Vec<Request> {
    let directory = tempfile::tempdir().expect("a directory");
    let relay = setup(server).in_directory(directory.path()).start();
    send(relay.lines, albs(0..LINES));
    let metrics = relay.until(|metrics| {
        metrics.delivered("elasticsearch") + metrics.sum("sink_refused_events_total") == LINES
            && metrics.buffered("elasticsearch") == 0
    });
    assert_eq!(metrics.delivered("elasticsearch"), LINES / 4 * 3, "{name}");
    relay.stop().cleanly();
    let done = elbow().args(["dead-letters", "export", "-c"]).arg(directory.path().join("elbow.toml")).output().expect("it runs");
    let letters: Vec<Value> =
        String::from_utf8_lossy(&done.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(letters.len() as u64, LINES / 4, "{name}");
    for letter in letters {
        let words = letter["elbow"]["words"].as_str().expect("the server's words");
        assert!(words.contains("[took]") && !words.contains("secret"), "{name}: {words}");
    }
    server.requests().into_iter().filter(|request| request.method != "GET").collect()
}

#[test]
fn every_version_is_understood_and_asked_for_what_it_knows() {
    let servers = known();
    assert_eq!(servers.len(), 6);
    for words in servers {
        let (name, quiet) = (words["server"].to_string(), words["quiet"] == true);
        let requests = each_by_what_is_said_of_it(&name, &speaking(words, quiet));
        assert!(requests.iter().all(|request| is_quiet(request) == quiet), "{name}");
    }
}

#[test]
fn an_older_server_behind_the_same_address_costs_no_document() {
    let newer = known().into_iter().find(|words| words["quiet"] == true).expect("there is one");
    let requests = each_by_what_is_said_of_it("a mixed cluster", &speaking(newer, false));
    assert!(is_quiet(&requests[0]) && !is_quiet(&requests[1]), "it was asked, and asked again as an older one");
    let is_old = |request: &&Request| request.at >= requests[1].at;
    assert!(requests.iter().filter(is_old).all(|request| !is_quiet(request)), "and not asked any more");
}
