//! What `elbow setup elasticsearch` installs, held to real servers: templates load, a second run changes nothing, documents of
//! every schema are indexed with the types that the field tables say, and what the relay delivers twice is there once. Real
//! servers that say no: for want of memory, to a password, to a document.
//!
//! Ignored unless asked for, because it needs servers: `tests/servers/start.sh` gets and starts them and says by which variables
//! `cargo test --test servers -- --ignored` finds them.

#[allow(dead_code, reason = "the stories of e2e.rs use the rest")]
mod support;

#[path = "servers/mapping.rs"]
mod mapping;
#[path = "servers/secure.rs"]
mod secure;
#[path = "servers/small.rs"]
mod small;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use elbow::cli::run::SAMPLE_LINE as SAMPLE;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::StreamOwned;
use rustls_pki_types::ServerName;
use serde_json::Value;
use serde_json::json;

use crate::support::lines::id_of;

const SCHEMAS: [&str; 3] = ["aws", "classic", "ecs"];

#[test]
#[ignore = "needs OpenSearch at ELBOW_OPENSEARCH: tests/servers/start.sh opensearch"]
fn opensearch_takes_templates_and_documents() {
    let Some(server) = Server::named("ELBOW_OPENSEARCH") else { return };
    server.takes_templates_and_documents(true);
}

#[test]
#[ignore = "needs OpenSearch 3 at ELBOW_OPENSEARCH_3: tests/servers/start.sh opensearch-3"]
fn opensearch_3_takes_templates_and_documents() {
    let Some(server) = Server::named_if_to_be_had("ELBOW_OPENSEARCH_3") else { return };
    server.takes_templates_and_documents(true);
}

#[test]
#[ignore = "needs Elasticsearch at ELBOW_ELASTICSEARCH: tests/servers/start.sh elasticsearch"]
fn elasticsearch_takes_templates_and_documents() {
    let Some(server) = Server::named("ELBOW_ELASTICSEARCH") else { return };
    server.takes_templates_and_documents(false);
}

#[test]
#[ignore = "needs OpenSearch at ELBOW_OPENSEARCH: tests/servers/start.sh opensearch"]
fn opensearch_has_each_event_once_however_often_it_is_sent() {
    let Some(server) = Server::named("ELBOW_OPENSEARCH") else { return };
    server.has_each_event_once();
}

#[test]
#[ignore = "needs OpenSearch 3 at ELBOW_OPENSEARCH_3: tests/servers/start.sh opensearch-3"]
fn opensearch_3_has_each_event_once_however_often_it_is_sent() {
    let Some(server) = Server::named_if_to_be_had("ELBOW_OPENSEARCH_3") else { return };
    server.has_each_event_once();
}

#[test]
#[ignore = "needs Elasticsearch at ELBOW_ELASTICSEARCH: tests/servers/start.sh elasticsearch"]
fn elasticsearch_has_each_event_once_however_often_it_is_sent() {
    let Some(server) = Server::named("ELBOW_ELASTICSEARCH") else { return };
    server.has_each_event_once();
}

#[test]
#[ignore = "needs OpenSearch at ELBOW_OPENSEARCH: tests/servers/start.sh opensearch"]
fn what_somebody_else_has_made_is_left_alone() {
    let Some(server) = Server::named("ELBOW_OPENSEARCH") else { return };
    let (name, foreign) = ("elbow-servers-foreign", json!({ "index_patterns": ["servers-foreign-*"], "priority": 1 }));
    let put = server.ask("PUT", &format!("/_index_template/{name}"), &foreign.to_string());
    assert_eq!(put.0, 200, "{}", put.1);
    let said = server.setup("aws", "servers-foreign-%Y", &[]);
    assert_eq!(said.status, Some(1), "{}", said.err);
    assert!(said.err.contains("Elbow has not made it"), "{}", said.err);
    let has = server.ask("GET", &format!("/_index_template/{name}"), "").1;
    assert_eq!(has["index_templates"][0]["index_template"]["priority"], 1, "{has}");
    server.ask("DELETE", &format!("/_index_template/{name}"), "");
}

/// What a command said and how it ended.
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

fn elbow(args: &[&str], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbow"));
    without_variables(&mut command);
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let (mut stdin, input) = (child.stdin.take().expect("it is piped"), input.to_owned());
    let writing = thread::spawn(move || {
        // Who does not read its input may end before it is written.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("writing does not fail");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// What is set where the tests run must not decide what the command does.
fn without_variables(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ELBOW_")) {
        command.env_remove(name);
    }
}

struct Server {
    address: String,
    /// How it is spoken to in secret, where it is.
    tls: Option<Arc<ClientConfig>>,
}

impl Server {
    /// The server that a variable names; none where it is not set, which is said, and a fault in CI.
    fn named(variable: &str) -> Option<Self> {
        let address = env::var(variable).ok();
        if address.is_none() {
            assert!(env::var_os("CI").is_none(), "{variable} is not set: there is no server to test with");
            eprintln!("{variable} is not set: nothing is tested");
        }
        address.map(|address| Self { address, tls: None })
    }

    /// The same for one that is not to be had everywhere.
    fn named_if_to_be_had(variable: &str) -> Option<Self> {
        if env::var_os(variable).is_none() {
            eprintln!("{variable} is not set: nothing is tested");
            return None;
        }
        Self::named(variable)
    }

    /// Asks, and the answer has to be a good one.
    #[track_caller]
    fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.ask(method, path, &body);
        assert!(matches!(status, 200 | 201), "{method} {path}: {status} {answer}");
        answer
    }

    fn takes_templates_and_documents(&self, has_streams: bool) {
        for schema in SCHEMAS {
            self.holds_documents(schema, &format!("servers-{schema}-%Y.%m.%d"), &format!("servers-{schema}-2026.11.22"), &[]);
            if has_streams {
                let stream = format!("servers-stream-{schema}");
                self.holds_documents(schema, &stream, &stream, &["--data-stream", "--no-lifecycle"]);
                let streams = self.ask("GET", &format!("/_data_stream/{stream}"), "").1;
                assert_eq!(streams["data_streams"][0]["template"], format!("elbow-{stream}"), "{streams}");
                self.forget(&stream, &stream);
            }
        }
    }

    /// The numbers of the lines whose documents are in these indices, and how often each is there.
    #[track_caller]
    fn numbers(&self, indices: &str) -> BTreeMap<u64, usize> {
        let mut numbers = BTreeMap::new();
        self.tell("POST", &format!("/{indices}/_refresh"), &Value::Null);
        let query = json!({ "size": 10_000, "sort": ["_doc"], "_source": ["trace_id", "message"] });
        let mut page = self.tell("POST", &format!("/{indices}/_search?scroll=1m"), &query);
        loop {
            let hits = page["hits"]["hits"].as_array().expect("hits");
            if hits.is_empty() {
                break;
            }
            for hit in hits {
                let number = id_of(hit["_source"].to_string().as_bytes()).expect("a document of one of the lines");
                *numbers.entry(number).or_insert(0) += 1;
            }
            page = self.tell("POST", "/_search/scroll", &json!({ "scroll": "1m", "scroll_id": page["_scroll_id"] }));
        }
        self.tell("DELETE", "/_search/scroll", &json!({ "scroll_id": page["_scroll_id"] }));
        numbers
    }

    /// Checks that documents of exactly these lines are there, each once.
    #[track_caller]
    fn holds_once(&self, indices: &str, lines: std::ops::Range<u64>) {
        let numbers = self.numbers(indices);
        let more: Vec<_> = numbers.iter().filter(|(number, times)| **times > 1 || !lines.contains(number)).take(10).collect();
        let missing: Vec<u64> = lines.filter(|number| !numbers.contains_key(number)).take(10).collect();
        assert!(more.is_empty() && missing.is_empty(), "too often or not of ours: {more:?}…, missing: {missing:?}…");
    }

    fn setup(&self, schema: &str, index: &str, more: &[&str]) -> Said {
        let to = format!("elasticsearch://{}/{index}", self.address);
        elbow(&[&["setup", "elasticsearch", "--to", &to, "--schema", schema], more].concat(), "")
    }

    /// Sets an index up and has it take a document of every kind.
    fn holds_documents(&self, schema: &str, index: &str, name: &str, more: &[&str]) {
        self.forget(index, name);
        let dry = self.setup(schema, index, &[more, &["--dry-run"]].concat());
        assert_eq!(dry.status, Some(0), "{}", dry.err);
        let requests: Vec<&str> = dry.out.split("\n\n").filter(|request| !request.is_empty()).collect();
        assert_eq!(requests.len(), 3, "{}", dry.out);
        for request in requests {
            let (head, body) = request.split_once('\n').expect("a line, and a body");
            let path = head.strip_prefix("PUT ").expect("something is put");
            assert_eq!(self.ask("GET", path, "").0, 404, "a dry run changes nothing");
            assert!(serde_json::from_str::<Value>(body).is_ok_and(|body| body.is_object()), "{request}");
        }
        let first = self.setup(schema, index, more);
        assert_eq!((first.status, first.out.as_str()), (Some(0), ""), "{}", first.err);
        assert_eq!(first.err.matches("\ncreated ").count(), 3, "{}", first.err);
        let second = self.setup(schema, index, more);
        assert_eq!(second.status, Some(0), "{}", second.err);
        assert!(second.err.ends_with("nothing to change\n"), "{}", second.err);
        assert_eq!(second.err.matches("\nunchanged ").count(), 3, "{}", second.err);
        // Another schema is another mapping: what differs is put, and put back.
        let other = if schema == "ecs" { "aws" } else { "ecs" };
        for schema in [other, schema] {
            let changed = self.setup(schema, index, more);
            assert!(changed.status == Some(0) && changed.err.contains("\nupdated    component template"), "{}", changed.err);
        }
        let documents = documents(schema);
        self.index(name, &documents);
        self.has_types(name, schema);
    }

    /// Has the relay deliver lines of logs twice, into indices by the time of the event.
    fn has_each_event_once(&self) {
        let (index, all) = ("servers-relay-%Y.%m.%d", "servers-relay-*");
        let found = self.ask("GET", &format!("/_cat/indices/{all}?h=index&format=json"), "").1;
        for name in found.as_array().into_iter().flatten().filter_map(|row| row["index"].as_str()) {
            self.forget(index, name);
        }
        let said = self.setup("ecs", index, &[]);
        assert_eq!(said.status, Some(0), "{}", said.err);
        // Each a second later than the one before, across midnight of the last day of a year.
        let line = |number: i64| {
            let time = jiff::Timestamp::from_second(1_798_761_600 - 1_500 + number).expect("a time");
            SAMPLE.replace("2026-03-01T10:20:30.123456Z", &format!("{time:.6}"))
        };
        let lines: String = (0..3_000).map(|number| line(number) + "\n").collect();
        for _ in 0..2 {
            self.relay(index, &lines);
            self.ask("POST", &format!("/{all}/_refresh"), "");
            let count = self.ask("GET", &format!("/{all}/_count"), "").1;
            assert_eq!(count["count"], 3_000, "{count}");
        }
        for (name, half) in [("servers-relay-2026.12.31", 1_500), ("servers-relay-2027.01.01", 1_500)] {
            assert_eq!(self.ask("GET", &format!("/{name}/_count"), "").1["count"], half, "{name}");
            self.forget(index, name);
        }
    }

    /// Runs the relay until it has delivered these lines.
    fn relay(&self, index: &str, lines: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let to = format!("elasticsearch://{}/{index}", self.address);
        let mut command = Command::new(env!("CARGO_BIN_EXE_elbow"));
        without_variables(&mut command);
        let args = ["run", "--listen", &address.to_string(), "--to", &to, "--admin", "off", "--schema", "ecs"];
        let command = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut relay = command.spawn().expect("it starts");
        let began = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(_) if began.elapsed() < Duration::from_secs(30) => thread::sleep(Duration::from_millis(20)),
                Err(error) => panic!("the relay does not listen: {error}"),
            }
        };
        stream.write_all(lines.as_bytes()).and_then(|()| stream.shutdown(Shutdown::Write)).expect("it takes the lines");
        // Its clean end of the connection: everything is read.
        let _ = stream.read_to_end(&mut Vec::new());
        let pid = rustix::process::Pid::from_child(&relay);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let mut log = String::new();
        relay.stderr.take().expect("it is piped").read_to_string(&mut log).expect("text");
        let status = relay.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "{log}");
    }

    fn index(&self, name: &str, documents: &[String]) {
        for chunk in documents.chunks(100) {
            let line = |document: &String| format!("{{\"create\":{{\"_index\":\"{name}\"}}}}\n{document}\n");
            let body: String = chunk.iter().map(line).collect();
            let (status, answer) = self.ask("POST", "/_bulk?refresh=true", &body);
            assert_eq!(status, 200, "{answer}");
            let items = answer["items"].as_array().expect("items");
            assert_eq!(items.len(), chunk.len());
            for (item, document) in items.iter().zip(chunk) {
                assert_eq!(item["create"]["status"], 201, "{item}\n{document}");
            }
        }
    }

    /// Whether fields have the types of the field tables, and not those that a server guesses.
    fn has_types(&self, name: &str, schema: &str) {
        let mapping = self.ask("GET", &format!("/{name}/_mapping"), "").1;
        let mapping = mapping.as_object().and_then(|all| all.values().next()).expect("an index");
        let ip = if schema == "ecs" { "source.ip" } else { "client_ip" };
        for (field, kind) in [("@timestamp", "date"), (ip, "ip"), ("tags", "keyword"), ("elbow.at", "long")] {
            let mut at = &mapping["mappings"];
            for part in field.split('.') {
                at = &at["properties"][part];
            }
            assert_eq!(at["type"], kind, "{field} in {schema}");
        }
    }

    /// Removes what an earlier run has left.
    fn forget(&self, index: &str, name: &str) {
        let stem = index.split("-%").next().expect("a name");
        for path in [format!("/_data_stream/{name}"), format!("/{name}"), format!("/_index_template/elbow-{stem}")] {
            self.ask("DELETE", &path, "");
        }
        for part in ["mappings", "settings"] {
            self.ask("DELETE", &format!("/_component_template/elbow-{stem}-{part}"), "");
        }
    }

    /// One request on a connection of its own: its status, and its body where that is JSON.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is a socket");
        let (host, bytes) = (&self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{body}"
        );
        let mut answer = String::new();
        let asked = match &self.tls {
            None => stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)),
            Some(config) => {
                let name = ServerName::try_from("127.0.0.1").expect("an address");
                let connection = ClientConnection::new(config.clone(), name).expect("a good configuration");
                let mut stream = StreamOwned::new(connection, stream);
                stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer))
            }
        };
        asked.unwrap_or_else(|error| panic!("{method} {path} at {host}: {error}\n{answer}"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}

/// Documents of a schema: of every edge case, of what no parser takes, of a letter, and with what lookups add.
fn documents(schema: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/edge-cases.jsonl");
    let cases = fs::read_to_string(path).expect("the edge cases are there");
    let line = |case: &str| serde_json::from_str::<Value>(case).expect("JSON")["line"].as_str().expect("a line").to_owned();
    let mut lines: Vec<String> = cases.lines().map(line).collect();
    lines.push("neither a log nor JSON".to_owned());
    lines.push(r#"{"message":"of a sender of JSON","level":"info","took":1.5,"at":"2026-11-22T10:00:00Z"}"#.to_owned());
    let mut args = vec!["parse", "--schema", schema, "--keep-original"];
    args.extend((schema == "classic").then_some("--classic-extra"));
    let said = elbow(&args, &(lines.join("\n") + "\n"));
    // Some edge cases are rejects.
    assert_eq!(said.status, Some(1), "{}", said.err);
    let mut documents: Vec<String> = said.out.lines().map(str::to_owned).collect();
    assert!(documents.len() > 60, "{}", documents.len());
    let geo = json!({
        "continent_code": "EU", "country_iso_code": "IS", "country_name": "Iceland", "city_name": "Hafnarfjörður",
        "location": { "lat": 64.06, "lon": -21.95 }, "timezone": "Atlantic/Reykjavik",
    });
    let system = json!({ "number": 64_500, "organization": { "name": "Example" } });
    let agent = json!({ "name": "curl", "version": "8.5.0", "os": { "name": "Linux" }, "device": { "name": "Other" } });
    let time = "2026-11-22T10:00:00.123456Z";
    documents.push(
        match schema {
            "ecs" => json!({ "@timestamp": time, "source": { "geo": geo, "as": system }, "user_agent": agent }),
            _ => json!({ "@timestamp": time, "client_geo": geo, "client_as": system, "user_agent_details": agent }),
        }
        .to_string(),
    );
    // As a sink makes it of a document that a destination has refused for its types.
    let refused = json!({ "@timestamp": "no time", "client_ip": { "a": 1 }, "tags": { "b": [{}] }, "elbow": 7 });
    let about =
        json!({ "reason": "refused", "sink": "search", "status": 400, "error": "mapper_parsing_exception", "words": "…" });
    let letter =
        json!({ "@timestamp": time, "elbow": about, "event": { "id": "0" }, "tags": ["_elbow_refused"], "document": refused });
    documents.push(letter.to_string());
    documents
}
