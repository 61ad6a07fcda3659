//! The whole of it against a server that keeps what it is given and answers as the real ones do.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::cli::args::Lifecycle;
use crate::config::Text;

/// What the server has: path and body.
type Kept = Arc<Mutex<BTreeMap<String, Value>>>;

/// Starts a server that says this of itself, and gives its address and what it keeps.
fn start(about: Value) -> (String, Kept) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let kept = Kept::default();
    let all = kept.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &about, &all);
        }
    });
    (address, kept)
}

fn serve(stream: TcpStream, about: &Value, kept: &Kept) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, answer) = answer(&method, &target, &body, about, &mut kept.lock().unwrap());
    let answer = answer.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
    reader.get_mut().write_all((head + &answer).as_bytes()).unwrap();
}

fn answer(method: &str, target: &str, body: &[u8], about: &Value, kept: &mut BTreeMap<String, Value>) -> (u16, Value) {
    if target == "/" {
        return (about["status"].as_u64().map_or(200, |status| u16::try_from(status).unwrap()), about.clone());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name = path.rsplit('/').next().unwrap().to_owned();
    let has = kept.get(path).cloned();
    if method == "PUT" {
        // OpenSearch replaces a policy only for whoever has seen the last one.
        if path.starts_with("/_plugins") && has.is_some() && query != "if_seq_no=7&if_primary_term=1" {
            return (
                409,
                json!({ "error": { "type": "version_conflict_engine_exception", "reason": "conflict" }, "status": 409 }),
            );
        }
        kept.insert(path.to_owned(), serde_json::from_slice(body).unwrap());
        return (200, json!({ "acknowledged": true }));
    }
    let Some(mut has) = has else {
        return (404, json!({ "error": { "type": "resource_not_found_exception", "reason": "not found" }, "status": 404 }));
    };
    let answer = match path.split('/').nth(1).unwrap() {
        "_ilm" => {
            has["version"] = json!(2);
            has["policy"]["phases"]["delete"]["actions"]["delete"]["delete_searchable_snapshot"] = json!(true);
            json!({ name: has })
        }
        "_plugins" => {
            has["policy"]["schema_version"] = json!(21);
            has["_seq_no"] = json!(7);
            has["_primary_term"] = json!(1);
            has
        }
        "_component_template" => json!({ "component_templates": [{ "name": name, "component_template": has }] }),
        _ => json!({ "index_templates": [{ "name": name, "index_template": has }] }),
    };
    (200, answer)
}

fn command(address: &str, lifecycle: Lifecycle) -> SetupElasticsearch {
    let to = Given { value: format!("elasticsearch://{address}/elb-%Y.%m.%d"), by: "--to".to_owned() };
    let overrides = Overrides { to: vec![to], ..Overrides::default() };
    SetupElasticsearch { config: None, overrides, sink: None, data_stream: false, lifecycle, dry_run: false }
}

/// What it prints, or why it was broken off.
fn run(command: &SetupElasticsearch) -> Result<String, String> {
    let plan = load(None, &command.overrides).unwrap();
    let (sink, _) = sink(&plan, command.sink.as_deref())?;
    let (is_stream, lifecycle) = (command.data_stream, command.lifecycle);
    let wanted = Wanted { target: &sink.target, schema: Schema::Aws, is_stream, lifecycle };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut out = Vec::new();
    match runtime.block_on(install(&Managed::new(sink).unwrap(), &wanted, command.dry_run, &mut out)) {
        Ok(()) => Ok(String::from_utf8(out).unwrap()),
        Err(Trouble::Server(text) | Trouble::Mistake(text)) => Err(text),
        Err(Trouble::Output(error)) => Err(error.to_string()),
    }
}

fn keep(days: u64) -> Lifecycle {
    Lifecycle { delete_after: Some(Duration::from_secs(days * 86_400)), ..Lifecycle::default() }
}

#[track_caller]
fn check_story(about: Value, policy: &str) {
    let (address, kept) = start(about);
    let dry = SetupElasticsearch { dry_run: true, ..command(&address, keep(30)) };
    let requests = run(&dry).unwrap();
    assert_eq!(requests.matches("PUT /").count(), 4, "{requests}");
    assert!(requests.starts_with(&format!("PUT {policy}\n{{\n")), "{requests}");
    assert_eq!(*kept.lock().unwrap(), BTreeMap::new(), "a dry run changes nothing");
    run(&command(&address, keep(30))).unwrap();
    let first = kept.lock().unwrap().clone();
    assert_eq!(first.len(), 4);
    assert_eq!(run(&dry).unwrap(), "", "a second run would change nothing");
    // Another span is another policy, and nothing else.
    let dry = SetupElasticsearch { dry_run: true, ..command(&address, keep(60)) };
    let requests = run(&dry).unwrap();
    assert!(requests.matches("PUT /").count() == 1 && requests.starts_with(&format!("PUT {policy}")), "{requests}");
    run(&command(&address, keep(60))).unwrap();
    let mut second = kept.lock().unwrap().clone();
    assert_ne!(first, second);
    second.insert(policy.to_owned(), first[policy].clone());
    assert_eq!(first, second);
}

#[test]
fn elasticsearch_is_set_up_once() {
    let about = json!({ "version": { "number": "8.19.0" }, "tagline": "You Know, for Search" });
    check_story(about, "/_ilm/policy/elbow-elb");
}

#[test]
fn opensearch_is_set_up_once() {
    let about = json!({ "version": { "number": "2.19.1", "distribution": "opensearch" } });
    check_story(about, "/_plugins/_ism/policies/elbow-elb");
}

#[test]
fn a_template_of_somebody_else_is_left_alone() {
    let (address, kept) = start(json!({ "version": { "number": "2.19.1", "distribution": "opensearch" } }));
    let path = "/_index_template/elbow-elb".to_owned();
    kept.lock().unwrap().insert(path.clone(), json!({ "priority": 1 }));
    let error = run(&command(&address, keep(30))).unwrap_err();
    assert!(error.contains("Elbow has not made it: index template elbow-elb"), "{error}");
    // It is looked at last, and nothing has been put before it.
    assert_eq!(*kept.lock().unwrap(), BTreeMap::from([(path, json!({ "priority": 1 }))]));
}

#[test]
fn rights_that_are_missing_are_named() {
    let (address, _) = start(json!({ "error": { "type": "security_exception", "reason": "no permissions" }, "status": 403 }));
    let error = run(&command(&address, Lifecycle::default())).unwrap_err();
    for right in ["cluster:monitor/main", "cluster_manage_index_templates", "monitor", "manage_ilm"] {
        assert!(error.contains(right), "{right}: {error}");
    }
}

/// The plan of two sources of these schemas and a sink with this in its table.
fn two_sources(first: &str, second: &str, of_sink: &str) -> Plan {
    let source = |name: &str, port: u16, more: &str| {
        format!("[[source]]\nname = \"{name}\"\ntype = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n{more}\n")
    };
    let (first, second) = (source("first", 5000, first), source("second", 5001, second));
    let text = format!("{first}{second}[[sink]]\nname = \"s\"\ntype = \"elasticsearch\"\nhosts = [\"http://h\"]\n{of_sink}\n");
    let text = Text { name: "x.toml", text: &text, built_in: false };
    crate::config::load(&text, &Overrides::default(), &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn only_sources_that_a_sink_may_get_documents_of_say_its_schema() {
    let (classic, ecs) = ("schema = \"classic\"\nclassic_extra = true", "schema = \"ecs\"");
    let of = |when: &str| {
        let plan = two_sources(classic, ecs, &format!("index = \"i\"\n{when}"));
        let (_, when) = sink(&plan, None).unwrap();
        schema(&plan, when)
    };
    assert_eq!(of("when = [{ source = \"second\" }]"), Ok(Schema::Ecs));
    assert_eq!(of("when = [{ source = \"second\", not = true }]"), Ok(Schema::Classic));
    assert_eq!(of("when = [{ source = [\"first\", \"second\"] }, { source = \"first\", not = true }]"), Ok(Schema::Ecs));
    assert!(of("when = [{ format = \"alb\" }]").unwrap_err().contains("--schema"));
    assert!(of("").unwrap_err().contains("--schema"));
    assert!(of("when = [{ source = \"first\" }, { source = \"second\" }]").unwrap_err().contains("no source"));
}

#[test]
fn a_schema_that_is_given_changes_no_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("elbow.toml");
    let (address, kept) = start(json!({ "version": { "number": "2.19.1", "distribution": "opensearch" } }));
    let source = "[[source]]\nname = \"a\"\ntype = \"tcp\"\naddress = \"127.0.0.1:0\"\nschema = \"classic\"\nclassic_extra = true\n\
                  [source.fields]\nComponent = \"c\"\nEnvironment = \"e\"\nApplication = \"a\"\n";
    let sink = format!("[[sink]]\nname = \"s\"\ntype = \"elasticsearch\"\nhosts = [\"http://{address}\"]\nindex = \"elb-%Y\"\n");
    std::fs::write(&path, format!("{source}{sink}")).unwrap();
    let with = |schema: &str| {
        let schema = Some(Given { value: schema.to_owned(), by: "--schema".to_owned() });
        let overrides = Overrides { schema, ..Overrides::default() };
        let lifecycle = Lifecycle::default();
        elasticsearch(&SetupElasticsearch {
            config: Some(path.clone()),
            overrides,
            sink: None,
            data_stream: false,
            lifecycle,
            dry_run: false,
        })
    };
    assert!(with("ecs").is_ok());
    assert!(
        kept.lock().unwrap()["/_component_template/elbow-elb-mappings"]["template"]["mappings"]["properties"]["ecs"].is_object()
    );
    assert!(matches!(with("esc"), Err(Trouble::Mistake(text)) if text.contains("--schema: unknown schema \"esc\"")));
}

#[test]
fn a_sink_that_stands_in_for_another_is_found() {
    let fallback = "index = \"i\"\nwhen = [{ source = \"second\" }]\nfallback = \"t\"\n\
                    [[sink]]\nname = \"t\"\ntype = \"elasticsearch\"\nhosts = [\"http://t\"]\nindex = \"j\"";
    let plan = two_sources("", "schema = \"ecs\"", fallback);
    let (found, when) = sink(&plan, Some("t")).unwrap();
    assert_eq!((found.target.as_str(), schema(&plan, when)), ("j", Ok(Schema::Ecs)));
}

#[test]
fn a_stranger_is_not_asked_for_more() {
    let (address, kept) = start(json!({ "name": "somebody" }));
    let error = run(&command(&address, Lifecycle::default())).unwrap_err();
    assert!(error.contains("neither Elasticsearch nor OpenSearch") && error.contains("remedy: "), "{error}");
    assert_eq!(*kept.lock().unwrap(), BTreeMap::new());
}

#[test]
fn the_sink_that_is_meant_has_to_be_clear() {
    let mut two = command("127.0.0.1:1", Lifecycle::default());
    assert_eq!(two.overrides.to.len(), 1);
    two.overrides.to.push(Given { value: "elasticsearch://127.0.0.1:2".to_owned(), by: "--to".to_owned() });
    assert_eq!(
        run(&two),
        Err("there are several sinks of type \"elasticsearch\": say with --sink which of elasticsearch, elasticsearch-2"
            .to_owned())
    );
    two.sink = Some("other".to_owned());
    assert_eq!(
        run(&two),
        Err("no sink of type \"elasticsearch\" is called \"other\"; there are elasticsearch, elasticsearch-2".to_owned())
    );
    two.overrides.to = vec![Given { value: "-".to_owned(), by: "--to".to_owned() }];
    assert!(run(&two).unwrap_err().starts_with("there is no sink of type \"elasticsearch\""));
}

#[test]
fn a_url_of_http_is_a_server_to_set_up() {
    for (url, host, index) in [
        ("http://a.example:9200/elb-%Y", "a.example:9200", "elb-%Y"),
        ("http://a.example", "a.example:9200", "elb-%Y.%m.%d"),
        ("https://a.example:1/x", "a.example:1", "x"),
        ("elasticsearch://a.example:9200/x", "a.example:9200", "x"),
        ("elasticsearch://https://a.example:9200/x", "a.example:9200", "x"),
        ("elasticsearch://https://a.example", "a.example:9200", "elb-%Y.%m.%d"),
        ("elasticsearch://http://a.example/es/x", "a.example:9200", "x"),
    ] {
        let to = vec![Given { value: url.to_owned(), by: "--to".to_owned() }];
        let plan = load(None, &meant(&Overrides { to, ..Overrides::default() })).unwrap_or_else(|error| panic!("{url}: {error}"));
        let (sink, _) = sink(&plan, None).unwrap();
        assert_eq!((sink.http.hosts[0].address.as_str(), sink.target.as_str()), (host, index), "{url}");
        assert_eq!(sink.http.dial.tls.is_some(), url.contains("https"), "{url}");
    }
}

#[test]
fn a_server_without_lifecycles_is_known_by_its_answer() {
    let reply = |status: u16, body: Value| Reply { status, body, reason: String::new(), peer: String::new() };
    // Elasticsearch without Elastic's extensions takes the path for an index; OpenSearch without the plugin knows nothing there.
    assert!(is_without(&reply(404, json!({ "error": { "type": "index_not_found_exception", "index": "_ilm" }, "status": 404 }))));
    assert!(is_without(&reply(400, json!({ "error": "no handler found for uri [/_plugins/_ism/policies/x] and method [GET]" }))));
    // One that has no policy yet.
    assert!(!is_without(&reply(404, json!({ "error": { "type": "resource_not_found_exception" } }))));
    assert!(!is_without(&reply(
        404,
        json!({ "error": { "type": "index_not_found_exception", "index": ".opendistro-ism-config" } })
    )));
    assert!(!is_without(&reply(404, Value::Null)));
}
