//! The whole way from text to plan, and from mistakes to complaints.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::buffer::BufferPlan;
use crate::config::overrides::Given;
use crate::elb::Schema;
use crate::event_id::IdKey;
use crate::pipeline::plan::Format;
use crate::pipeline::plan::OnReject;
use crate::pipeline::relay::SourceKind;
use crate::pipeline::relay::SourcePlan;
use crate::sink::DialPlan;
use crate::sink::FilePlan;
use crate::sink::LogstashTcpPlan;
use crate::sink::Release;
use crate::sink::SinkKind;
use crate::source::tcp::Confirm;

mod aws;
mod handling;
mod listener;
mod lumberjack;
mod sinks_tls;
mod tenants;
mod tls;
mod when;
mod when_full;

fn variables(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("logs.example".to_owned()),
        "MANY" => Some("many".to_owned()),
        "FEW" => Some("7".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn try_load(text: &str, overrides: &Overrides) -> Result<Plan, Complaints> {
    load(&Text { name: "elbow.toml", text, built_in: false }, overrides, &variables)
}

fn confirm(source: &SourcePlan) -> Confirm {
    let SourceKind::Tcp(plan) = &source.kind else { panic!("{:?}", source.kind) };
    plan.confirm
}

#[track_caller]
fn plan(text: &str) -> Plan {
    try_load(text, &Overrides::default()).unwrap_or_else(|complaints| panic!("{complaints}"))
}

/// One source and one sink without mistakes, put behind what a test is about.
const GOOD: &str = "
[[source]]
name = 'in'
type = 'tcp'
address = '127.0.0.1:5000'
[[sink]]
name = 'out'
type = 'stdout'
";

/// Line and column, and key, of each complaint.
fn listed(complaints: &Complaints) -> Vec<(Option<(usize, usize)>, &str)> {
    complaints.iter().map(|one| (complaints.position(one), one.key.as_str())).collect()
}

/// A file with exactly one mistake gives exactly this complaint, and shows these words about it.
#[track_caller]
fn check(text: &str, at: (usize, usize), key: &str, words: &str) {
    let complaints = try_load(text, &Overrides::default()).expect_err("a mistake is found");
    let list = listed(&complaints);
    assert_eq!(list, [(Some(at), key)], "{complaints}");
    assert!(complaints.to_string().contains(words), "{complaints}");
}

/// The same for a mistake in the top part of an otherwise good file.
#[track_caller]
fn check_top(text: &str, at: (usize, usize), key: &str, words: &str) {
    check(&format!("{text}{GOOD}"), at, key, words);
}

/// The same for one line, the sixth of the file, in a TCP source.
#[track_caller]
fn check_source(line: &str, column: usize, key: &str, words: &str) {
    let text = "[[sink]]\nname='out'\ntype='stdout'\n[[source]]\nname='in'\n";
    let rest = "type='tcp'\naddress='127.0.0.1:5000'\n";
    let rest = rest.lines().filter(|one| one.split('=').next() != line.split('=').next().map(str::trim));
    let rest: Vec<&str> = rest.collect();
    check(&format!("{text}{line}\n{}", rest.join("\n")), (6, column), key, words);
}

/// The same for one line, the ninth of the file, in a sink of this type.
#[track_caller]
fn check_sink(kind: &str, line: &str, column: usize, key: &str, words: &str) {
    let must = match kind {
        "file" => "path='/x'",
        "logstash_tcp" => "hosts=['a:1']",
        "elasticsearch" | "http" | "logstash_http" => "hosts=['http://a']",
        _ => "",
    };
    let must = if line.split('=').next().map(str::trim) == must.split('=').next() { "" } else { must };
    let text = format!("[[source]]\nname='in'\ntype='tcp'\naddress='127.0.0.1:5000'\n[[sink]]\nname='out'\ntype='{kind}'\n");
    let behind = if kind == "elasticsearch" && !line.starts_with("index") { "index='x'" } else { "" };
    check(&format!("{text}{must}\n{line}\n{behind}\n"), (9, column), key, words);
}

fn given(value: &str, by: &str) -> Given {
    Given { value: value.to_owned(), by: by.to_owned() }
}

#[test]
fn the_built_in_text_listens_on_this_machine_and_writes_to_stdout() {
    let plan = load(&BUILT_IN, &Overrides::default(), &|_| None).unwrap();
    assert_eq!(plan.relay.memory_bytes_max, 256 << 20);
    assert_eq!(plan.relay.buffer.bytes_max(), 192 << 20);
    assert_eq!(plan.relay.admin.as_ref().unwrap().address, "127.0.0.1:9600");
    assert_eq!(plan.relay.id_key, IdKey::PUBLISHED);
    let source = &plan.relay.sources[0];
    assert_eq!(source.door.name, "tcp");
    assert_eq!(source.door.address, "127.0.0.1:5000");
    assert_eq!(source.parse.line_bytes_max, 1 << 20);
    assert_eq!(source.door.connections_max, 10_000);
    assert_eq!(source.door.idle_timeout, Duration::from_secs(360));
    assert_eq!((source.parse.format, source.parse.schema), (Format::Auto, Schema::Aws));
    assert_eq!(source.parse.on_reject, OnReject::Tag);
    assert!(source.parse.fields.is_empty() && !source.parse.bare);
    let http = &plan.relay.sources[1];
    assert_eq!((http.door.name.as_str(), http.door.address.as_str()), ("http", "127.0.0.1:8080"));
    let SourceKind::Http(asked) = &http.kind else { panic!("{:?}", http.kind) };
    assert_eq!((asked.limits.packed, asked.limits.unpacked), (64 << 20, 1 << 30));
    assert_eq!((asked.ack_timeout, asked.line_bytes_max), (Duration::from_secs(4), 1 << 20));
    assert_eq!(plan.relay.sources.len(), 2);
    assert_eq!(plan.relay.sinks.len(), 1);
    assert_eq!(plan.relay.sinks[0].kind, SinkKind::Stdout);
    assert!(!plan.to_string().contains("line "), "{plan}");
}

#[test]
fn the_example_file_gives_a_plan() {
    let text = include_str!("../../deploy/elbow.example.toml");
    let plan = load(&Text { name: "elbow.example.toml", text, built_in: false }, &Overrides::default(), &|_| None);
    let plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
    assert!(!plan.relay.sources.is_empty() && plan.report.warnings().is_empty(), "{plan}");
}

#[test]
fn every_commented_setting_of_the_example_file_is_a_default() {
    let text = include_str!("../../deploy/elbow.example.toml");
    // Prose begins with `# `, a setting that is switched off with `#` alone.
    let on: Vec<&str> =
        text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)).collect();
    let on = on.join("\n");
    let parse = |text| load(&Text { name: "example", text, built_in: false }, &Overrides::default(), &|_| None);
    let same = |plan: Result<Plan, Complaints>| {
        let mut plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
        plan.report = Report::default();
        plan
    };
    assert_ne!(on, text);
    assert_eq!(same(parse(&on)), same(parse(text)));
}

#[test]
fn every_commented_table_of_the_example_file_is_good() {
    let text = include_str!("../../deploy/elbow.example.toml");
    // A table that is switched off begins with its heading and ends where its indentation does.
    let mut is_on = false;
    let on: Vec<&str> = text
        .lines()
        .map(|line| {
            let rest = line.strip_prefix("#     ");
            is_on = rest.is_some_and(|rest| is_on || rest.starts_with('['));
            rest.filter(|_| is_on).unwrap_or(line)
        })
        .collect();
    let on = on.join("\n");
    let lookup = |name: &str| ["ELASTICSEARCH_PASSWORD", "COLLECTOR_KEY"].contains(&name).then(|| "secret".to_owned());
    let load = load(&Text { name: "example", text: &on, built_in: false }, &Overrides::default(), &lookup);
    let plan = load.unwrap_or_else(|complaints| panic!("{complaints}"));
    for kind in ["stdout", "file", "logstash_tcp", "lumberjack", "elasticsearch", "logstash_http", "http", "tcp", "beats"] {
        assert!(on.contains(&format!("type = \"{kind}\"")), "no {kind}");
    }
    let sinks = &plan.relay.sinks;
    assert!(sinks.iter().any(|sink| sink.when.is_some()) && sinks.iter().any(|sink| sink.fallback.is_some()), "{plan}");
    assert!(!plan.relay.tenants.tenants.is_empty(), "{plan}");
}

#[test]
fn a_key_of_another_type_of_sink_names_all_that_have_it() {
    for (settings, words) in [
        ("hosts = ['a:1']", "sink.hosts: belongs to sinks of type \"logstash_tcp\", \"lumberjack\", \"elasticsearch\""),
        ("user_timeout = '10s'", "\"http\" or \"logstash_http\""),
        ("compression = 'gzip'", "belongs to sinks of type \"lumberjack\", \"elasticsearch\", \"http\""),
        ("path = '/x'", "belongs to sinks of type \"file\", \"http\" or \"logstash_http\""),
    ] {
        let text = GOOD.replace("type = 'stdout'", &format!("type = 'stdout'\n{settings}"));
        let complaints = try_load(&text, &Overrides::default()).expect_err(settings).to_string();
        assert!(complaints.contains(words), "{complaints}");
    }
}

#[test]
fn a_url_where_an_address_belongs_is_known_for_one() {
    let text = GOOD.replace("type = 'stdout'", "type = 'logstash_tcp'\nhosts = ['http://h:5000', 'tcp://h']");
    let complaints = try_load(&text, &Overrides::default()).expect_err("they are URLs").to_string();
    for words in ["sink.hosts: is a URL", "= leave out http://", "= leave out tcp://"] {
        assert!(complaints.contains(words), "{complaints}");
    }
}

#[test]
fn a_file_is_read_as_it_says() {
    let plan = plan(
        r#"
        id_key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        [memory]
        max_bytes = "128MiB"
        [buffer]
        kind = "memory"
        max_bytes = 67108864
        [admin]
        address = "off"
        [[source]]
        name = "alb"
        type = "tcp"
        address = "[::]:5001"
        format = "elb"
        schema = "classic"
        on_reject = "drop"
        confirm = "line"
        max_line_bytes = "64KiB"
        max_connections = "${FEW}"
        idle_timeout = "5min"
        fields = { Environment = "ci", Application = "${HOST}", Component = "$$", n = 1, x = 1.5, on = true }
        [[sink]]
        name = "one"
        type = "logstash_tcp"
        hosts = ["${HOST}:5000", "[::1]:5000"]
        settle = "3s"
        [[sink]]
        name = "two"
        type = "file"
        path = "/var/log/documents.json"
        rotate_interval = "off"
        keep = 3
        "#,
    );
    assert_eq!(plan.relay.memory_bytes_max, 128 << 20);
    assert_eq!(plan.relay.buffer.bytes_max(), 64 << 20);
    assert_eq!(plan.relay.admin, None);
    assert!(plan.relay.id_key != IdKey::PUBLISHED);
    let source = &plan.relay.sources[0];
    assert_eq!(source.door.connections_max, 7);
    assert_eq!((source.door.idle_timeout, confirm(source)), (Duration::from_secs(300), Confirm::Line));
    assert_eq!((source.parse.format, source.parse.on_reject), (Format::Elb, OnReject::Drop));
    let fields: Vec<_> = source.parse.fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let want = [
        ("Environment", json!("ci")),
        ("Application", json!("logs.example")),
        ("Component", json!("$")),
        ("n", json!(1)),
        ("x", json!(1.5)),
        ("on", json!(true)),
    ];
    assert_eq!(fields, want);
    let SinkKind::LogstashTcp(logstash) = &plan.relay.sinks[0].kind else { panic!("{:?}", plan.relay.sinks) };
    let want = LogstashTcpPlan {
        hosts: vec!["logs.example:5000".to_owned(), "[::1]:5000".to_owned()],
        dial: DialPlan { connect_timeout: Duration::from_secs(10), user_timeout: Duration::from_secs(300), tls: None },
        release: Release::Socket { settle: Duration::from_secs(3), resend_bytes: 32 << 20 },
    };
    assert_eq!(*logstash, want);
    let want =
        FilePlan { path: PathBuf::from("/var/log/documents.json"), rotate_bytes: 100 << 20, rotate_interval: None, keep: 3 };
    assert_eq!(plan.relay.sinks[1].kind, SinkKind::File(want));
}

#[test]
fn the_plan_says_where_each_value_came_from_and_hides_the_key() {
    let plan = plan(&format!("id_key = \"{}\"\n[memory]\nmax_bytes = '128MiB'{GOOD}", "ab".repeat(32)));
    let shown = plan.to_string();
    for words in ["128MiB", "line 3", "96MiB", "default: three quarters of memory.max_bytes", "[[source]] in", "***"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("abab") && !format!("{plan:?}").contains("abab"));
}

#[test]
fn a_classic_source_without_its_fields_is_a_warning() {
    let plan = plan(&GOOD.replace("[[sink]]", "schema = 'classic'\nfields.Environment = 'ci'\n[[sink]]"));
    let want = "source \"in\": schema \"classic\" without the fields Component, Application: documents will say COMPONENT, \
                APPLICATION, as those of the original sender did";
    assert_eq!(plan.report.warnings(), [want]);
}

#[test]
fn a_small_budget_gives_small_defaults() {
    let text = GOOD.replace("type = 'stdout'", "type = 'logstash_tcp'\nhosts = ['a:1']");
    let plan = plan(&format!("[memory]\nmax_bytes = '16MiB'{text}"));
    let SinkKind::LogstashTcp(logstash) = &plan.relay.sinks[0].kind else { panic!("{:?}", plan.relay.sinks) };
    assert_eq!(logstash.release, Release::Socket { settle: Duration::from_secs(2), resend_bytes: 12 << 20 });
    assert_eq!(plan.relay.buffer.bytes_max(), 12 << 20);
}

#[test]
fn flags_win_over_the_file() {
    let overrides = Overrides {
        listen: Some(given("0.0.0.0:6000", "--listen")),
        to: vec![given("logstash://a:1,b:2", "--to"), given("logstash://c:3", "--to"), given("file:/x", "ELBOW_TO")],
        admin: Some(given("off", "ELBOW_ADMIN")),
        schema: Some(given("classic", "--schema")),
        fields: vec![given("Environment=prod=1", "--field"), given("Extra=", "--field")],
        data_dir: Some(given("/var/lib/elbow", "--data-dir")),
        forget: vec!["old".to_owned()],
        is_running: false,
    };
    let text = GOOD.replace("[[sink]]", "fields = { Environment = 'ci', Team = 'ops' }\n[[sink]]");
    let plan = try_load(&text, &overrides).unwrap();
    assert_eq!(plan.relay.admin, None);
    let BufferPlan::Disk(buffer) = &plan.relay.buffer else { panic!("{:?}", plan.relay.buffer) };
    assert_eq!((buffer.path.as_path(), &buffer.forget[..]), (Path::new("/var/lib/elbow/buffer"), &["old".to_owned()][..]));
    assert_eq!(plan.relay.sources[0].door.address, "0.0.0.0:6000");
    assert_eq!(plan.relay.sources[0].parse.schema, Schema::Classic);
    let fields = &plan.relay.sources[0].parse.fields;
    assert_eq!(fields[0], ("Environment".to_owned(), json!("prod=1")));
    assert_eq!(fields[1], ("Team".to_owned(), json!("ops")));
    assert_eq!(fields[2], ("Extra".to_owned(), json!("")));
    let sinks: Vec<_> = plan.relay.sinks.iter().map(|sink| (sink.name.as_str(), sink.kind.label())).collect();
    assert_eq!(sinks, [("logstash", "logstash_tcp"), ("logstash-2", "logstash_tcp"), ("file", "file")]);
    let shown = plan.to_string();
    assert!(shown.contains("--listen") && shown.contains("ELBOW_TO") && !shown.contains("[[sink]] out"), "{shown}");
}

#[test]
fn flags_alone_are_enough() {
    let overrides =
        Overrides { listen: Some(given("127.0.0.1:0", "--listen")), to: vec![given("-", "--to")], ..Overrides::default() };
    let plan = try_load("", &overrides).unwrap();
    assert_eq!((plan.relay.sources[0].door.name.as_str(), plan.relay.sinks[0].name.as_str()), ("tcp", "stdout"));
}

#[test]
fn mistakes_in_flags_name_the_flag() {
    let overrides = Overrides {
        listen: Some(given("5000", "--listen")),
        to: vec![given("ftp://a", "--to"), given("logstash://a", "ELBOW_TO"), given("file:", "--to")],
        admin: Some(given("0.0.0.0:1", "--admin")),
        schema: Some(given("asw", "--schema")),
        fields: vec![given("tags=x", "--field"), given("x", "--field")],
        ..Overrides::default()
    };
    let shown = load(&built_in(&overrides), &overrides, &|_| None).unwrap_err().to_string();
    for words in [
        "--listen: \"5000\": is a port without a host",
        "--to: \"ftp://a\" is nowhere documents can go",
        "ELBOW_TO: \"a\": has no port",
        "--to: \"\": not the path of a file",
        "--admin: \"0.0.0.0:1\": the admin listener has neither",
        "--schema: \"asw\": unknown schema \"asw\"",
        "did you mean \"aws\"?",
        "--field: \"tags=x\": \"tags\" is written by the relay itself",
        "--field: \"x\": not a field",
        "\n8 mistakes",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn listen_does_not_choose_between_sources() {
    let second = GOOD.replace("'in'", "'in2'").replace("5000", "5001").replace("'out'", "'out2'");
    let overrides = Overrides { listen: Some(given("127.0.0.1:6000", "--listen")), ..Overrides::default() };
    let shown = try_load(&format!("{GOOD}{second}"), &overrides).unwrap_err().to_string();
    assert!(shown.starts_with("--listen: which of the 2 sources"), "{shown}");
}

#[test]
fn mistakes_at_the_top() {
    check_top("data_dir = ''\n", (1, 12), "data_dir", "names no directory");
    check_top("[dead_letters]\n", (1, 1), "dead_letters", "there is no data_dir");
    check_top("data_dir = '/x'\n[dead_letters]\nwhen_full = 'drop'\n", (3, 13), "dead_letters.when_full", "\"drop_oldest\"");
    check_top("data_dir = '/x'\n[dead_letters]\nmax_bytes = '1MiB'\n", (3, 13), "dead_letters.max_bytes", "allowed: 16MiB");
    check_top("data_dir = '/x'\n[buffer]\nmax_bytes = '1MiB'\n", (3, 13), "buffer.max_bytes", "allowed: 16MiB to 1024TiB");
    check_top("data_dir = '/x'\n[buffer]\ndurability = 'dsk'\n", (3, 14), "buffer.durability", "did you mean \"disk\"?");
    check_top("[memroy]\n", (1, 2), "memroy", "did you mean memory?");
    check_top("memory = 5\n", (1, 10), "memory", "expected a table, found a whole number");
    check_top("[memory]\nmax_bytes = '1KiB'\n", (2, 13), "memory.max_bytes", "allowed: 16MiB to 1TiB");
    check_top("[memory]\nmax_bytes = '1 gig'\n", (2, 13), "memory.max_bytes", "unknown unit; expected one of B, KiB");
    check_top("[memory]\nmax_bytes = true\n", (2, 13), "memory.max_bytes", "expected a string, found true or false");
    check_top("[memory]\nmax_byte = '64MiB'\n", (2, 1), "memory.max_byte", "did you mean max_bytes?");
    check_top("[memory]\nmax_bytes = '64MiB'\nlimit = 1\n", (3, 1), "memory.limit", "known here: max_bytes");
    check_top("[buffer]\nkind = 'disk'\n", (2, 8), "buffer.kind", "needs a directory");
    check_top("[buffer]\nkind = 'ram'\n", (2, 8), "buffer.kind", "allowed: \"disk\" or \"memory\"");
    check_top("[buffer]\ndurability = 'os'\n", (2, 14), "buffer.durability", "this one is in memory");
    check_top("[buffer]\nmin_free_bytes = '1GiB'\n", (2, 18), "buffer.min_free_bytes", "this one is in memory");
    check_top("[buffer]\nmax_bytes = '257MiB'\n", (2, 13), "buffer.max_bytes", "larger than the memory");
    check_top("[admin]\naddress = '0.0.0.0:9600'\n", (2, 11), "admin.address", "loopback only");
    check_top("[admin]\naddress = 'ops.example:9600'\n", (2, 11), "admin.address", "\"127.0.0.1:9600\"");
    check_top("[admin]\naddress = '9600'\n", (2, 11), "admin.address", "is a port without a host");
    check_top("[admin]\naddress = ''\n", (2, 11), "admin.address", "has no port");
    check_top("[admin]\nhealth_address = '::1'\n", (2, 18), "admin.health_address", "an IPv6 address needs brackets");
    check_top("[admin]\nhealth_address = '127.0.0.1:9600'\n", (2, 18), "admin.health_address", "the admin listener already");
    check_top("[admin]\nhealth_proxy_from = ['10.0.0.0/8']\n", (2, 21), "admin.health_proxy_from", "that there is not");
    check_top("[admin]\naddress = '127.0.0.1:5000'\n", (7, 11), "source.address", "the admin listener already listens there");
    check_top("id_key = 'abc'\n", (1, 10), "id_key", "not a key: 3 characters");
    check_top("id_key = 5\n", (1, 10), "id_key", "expected a string");
}

#[test]
fn mistakes_in_a_source() {
    check_source("max_line_bytes = 5", 18, "source.max_line_bytes", "too small");
    check_source("max_line_bytes = '17MiB'", 18, "source.max_line_bytes", "allowed: 1KiB to 16MiB");
    check_source("max_connections = 0", 19, "source.max_connections", "allowed: 1 to 1000000");
    check_source("max_connections = 99999999999999999999", 19, "source.max_connections", "too large");
    check_source("max_connections = '5'", 19, "source.max_connections", "expected a whole number, found a string");
    check_source("max_connections = '${MANY}'", 19, "source.max_connections", "(it reads \"many\")");
    check_source("idle_timeout = 5", 16, "source.idle_timeout", "a duration needs a unit");
    check_source("idle_timeout = '1ms'", 16, "source.idle_timeout", "allowed: 1s to 1d");
    check_source("format = 'abl'", 10, "source.format", "did you mean \"alb\"?");
    check_source("schema = 'esc'", 10, "source.schema", "did you mean \"ecs\"?");
    check_source("confirm = 'lines'", 11, "source.confirm", "did you mean \"line\"?");
    check_source("long_lines = 'cut'", 14, "source.long_lines", "remove it");
    check_source("confirm = true", 11, "source.confirm", "expected a string");
    check_source("on_reject = 'letter'", 13, "source.on_reject", "allowed: \"tag\", \"dead_letter\" or \"drop\"");
    check_source("on_reject = 'dead_letter'", 13, "source.on_reject", "there is no data_dir");
    check_source("type = 'udp'", 8, "source.type", "allowed: \"tcp\"");
    check_source("address = 'localhost'", 11, "source.address", "has no port");
    check_source("address = '::1:5000'", 11, "source.address", "an IPv6 address needs brackets");
    check_source("address = '${NOWHERE}:1'", 11, "source.address", "the variable NOWHERE is not set");
    check_source("adress2 = 1", 1, "source.adress2", "did you mean address?");
    check_source("fields = { '@timestamp' = 'x' }", 27, "source.fields.@timestamp", "written by the relay itself");
    check_source("fields = { 'event.id' = 'x' }", 25, "source.fields.event.id", "written by the relay itself");
    check_source("fields.event.id = 'x'", 8, "source.fields.event", "written by the relay itself");
    check_source("fields = { a = [1] }", 16, "source.fields.a", "not a field value");
    check_source("fields = { a = nan }", 16, "source.fields.a", "not a field value");
    check_source("fields = { a = 1979-05-27 }", 16, "source.fields.a", "not a field value");
    check_source("fields = { a = 99999999999999999999 }", 16, "source.fields.a", "not a field value");
    check_source("fields = { '' = 1 }", 17, "source.fields.", "not a field name");
    check_source("fields = 'x'", 10, "source.fields", "expected a table");
    check(&GOOD.replace("name = 'in'", "name = 'In!'"), (3, 8), "source.name", "1 to 64 of a-z");
    check(&GOOD.replace("name = 'in'\n", ""), (2, 1), "source.name", "add name = \"elb\"");
    check(&GOOD.replace("[[source]]", "[source]"), (2, 1), "source", "write [[source]] with two brackets");
    let twice = format!("{GOOD}[[source]]\nname='in'\ntype='tcp'\naddress='127.0.0.1:5001'\n");
    check(&twice, (10, 6), "source.name", "the name \"in\" is taken");
    let twice = format!("{GOOD}[[source]]\nname='b'\ntype='tcp'\naddress='127.0.0.1:5000'\n");
    check(&twice, (12, 9), "source.address", "source \"in\" already listens there");
    check("[[sink]]\nname='out'\ntype='stdout'\n", (1, 1), "source", "address = \"0.0.0.0:5000\"");
    let long = GOOD.replace("[[sink]]", "max_line_bytes = '16MiB'\n[[sink]]");
    check(&format!("[memory]\nmax_bytes='64MiB'{long}"), (7, 18), "source.max_line_bytes", "the whole buffer");
}

#[test]
fn mistakes_in_a_sink() {
    check_sink("stdout", "path = '/x'", 1, "sink.path", "belongs to sinks of type \"file\"");
    check_sink("file", "settle = '2s'", 1, "sink.settle", "belongs to sinks of type \"logstash_tcp\"");
    check_sink("file", "path = '/x/'", 8, "sink.path", "not the path of a file");
    check_sink("file", "keep = 0", 8, "sink.keep", "too small");
    check_sink("file", "rotate_bytes = '1KiB'", 16, "sink.rotate_bytes", "allowed: 1MiB to 1TiB");
    check_sink("file", "rotate_interval = 'never'", 19, "sink.rotate_interval", "or \"off\"");
    check_sink("logstash_tcp", "hosts = []", 9, "sink.hosts", "between 1 and 64");
    check_sink("logstash_tcp", "hosts = 'a:1'", 9, "sink.hosts", "expected a list of strings");
    check_sink("logstash_tcp", "hosts = ['a:1', 'b']", 17, "sink.hosts", "has no port");
    check_sink("logstash_tcp", "hosts = ['a:1', 2]", 17, "sink.hosts", "expected a string");
    check_sink("logstash_tcp", "hosts = ['a:1', 'a:1']", 17, "sink.hosts", "named twice");
    check_sink("logstash_tcp", "hosts = ['a:0']", 10, "sink.hosts", "the port");
    check_sink("logstash_tcp", "settle = '1h'", 10, "sink.settle", "allowed: 100ms to 1m");
    check_sink("logstash_tcp", "resend_bytes = '200MiB'", 16, "sink.resend_bytes", "more than the buffer holds");
    check_sink("logstash_tcp", "release = 'rotat'", 11, "sink.release", "did you mean \"rotate\"?");
    check_sink("logstash_tcp", "batch_bytes = '1MiB'", 1, "sink.batch_bytes", "belongs to release = \"rotate\"");
    check_sink("logstash_tcp", "batch_bytes = '1KiB'\nrelease = 'rotate'", 15, "sink.batch_bytes", "allowed: 64KiB to 1GiB");
    check_sink("logstash_tcp", "settle = '2s'\nrelease = 'rotate'", 1, "sink.settle", "belongs to release = \"socket\"");
    check_sink("logstash_tcp", "tls = true", 7, "sink.tls", "expected a table");
    check_sink("stdout", "tls = {}", 1, "sink.tls", "belongs to sinks that connect to somebody");
    check_sink("logstash_tcp", "user_timout = '5m'", 1, "sink.user_timout", "did you mean user_timeout?");
    check(&GOOD.replace("'stdout'", "'elasticsearch'\nindex = 'x'"), (6, 1), "sink.hosts", "add hosts = [");
    check_sink("elasticsearch", "index = 'X'", 9, "sink.index", "lower case");
    check_sink("elasticsearch", "compression = 'zstd'", 15, "sink.compression", "\"none\" or \"gzip\"");
    check_sink("elasticsearch", "request_bytes = '1KiB'", 17, "sink.request_bytes", "allowed: 64KiB to 100MiB");
    check_sink("elasticsearch", "concurrency = 0", 15, "sink.concurrency", "allowed: 1 to 64");
    check_sink("elasticsearch", "user = 'a'", 8, "sink.user", "has no password");
    check_sink("elasticsearch", "api_key = \"a\\nb\"", 11, "sink.api_key", "cannot stand in a header");
    check_sink("elasticsearch", "token_file = '/nowhere'", 14, "sink.token_file", "cannot be read");
    check_sink("elasticsearch", "settle = '2s'", 1, "sink.settle", "belongs to sinks of type \"logstash_tcp\"");
    check_sink("stdout", "index = 'x'", 1, "sink.index", "belongs to sinks of type \"elasticsearch\"");
    check_sink("http", "path = 'x'", 8, "sink.path", "begins with a slash");
    check_sink("http", "method = 'GET'", 10, "sink.method", "\"POST\" or \"PUT\"");
    check_sink("http", "body = 'json'", 8, "sink.body", "\"array\" or \"lines\"");
    check_sink("logstash_http", "request_events = 0", 18, "sink.request_events", "allowed: 1 to 20000");
    check_sink("logstash_http", "headers = { Host = 'a' }", 20, "sink.headers.Host", "written by the relay");
    check_sink("http", "headers = { X-A = \"a\\nb\" }", 19, "sink.headers.X-A", "cannot stand in a header");
    check_sink("http", "headers = { X-A = 1 }", 19, "sink.headers.X-A", "expected a string");
    check_sink("http", "headers = { X-A = { file = '/nowhere' } }", 19, "sink.headers.X-A", "cannot be read");
    check_sink("http", "headers = { X-A = { path = '/x' } }", 19, "sink.headers.X-A", "needs a file");
    check_sink("http", "headers = { 'X A' = 'a' }", 21, "sink.headers.X A", "not a header's name");
    check_sink("stdout", "body = 'lines'", 1, "sink.body", "belongs to sinks of type \"http\"");
    check(&GOOD.replace("'stdout'", "'logstash'"), (8, 8), "sink.type", "did you mean \"logstash_tcp\"?");
    check(&GOOD.replace("'stdout'", "'file'"), (6, 1), "sink.path", "is missing");
    check(&GOOD.replace("'stdout'", "'logstash_tcp'"), (6, 1), "sink.hosts", "add hosts = [");
    check(&GOOD.replace("[[sink]]\nname = 'out'\ntype = 'stdout'\n", ""), (1, 1), "sink", "[[sink]]\n");
}

#[test]
fn all_mistakes_come_at_once_and_in_order() {
    let text = "[memory]\nmax_bytes = 1\nmax = 2\n[[source]]\nname = 'X'\ntype = 'tcp'\nformat = 'x'\n[[sink]]\ntype = 'file'\n";
    let complaints = try_load(text, &Overrides::default()).unwrap_err();
    let keys: Vec<_> = listed(&complaints).into_iter().map(|(at, key)| (at.unwrap().0, key)).collect();
    let want = [
        (2, "memory.max_bytes"),
        (3, "memory.max"),
        (4, "source.address"),
        (5, "source.name"),
        (7, "source.format"),
        (8, "sink.name"),
        (8, "sink.path"),
    ];
    assert_eq!(keys, want);
}

#[test]
fn broken_toml_is_shown_once_beside_real_mistakes() {
    let text = format!("[memory]\nmax_bytes = = 5\n[admin]\naddress = 'x'\n{GOOD}");
    let complaints = try_load(&text, &Overrides::default()).unwrap_err();
    let lines: Vec<_> = complaints.iter().map(|one| complaints.position(one).unwrap().0).collect();
    assert_eq!(lines, [2, 4], "{complaints}");
    assert!(complaints.to_string().contains("not TOML: "), "{complaints}");
}

#[test]
fn a_secret_from_a_variable_is_not_shown() {
    let text = format!("id_key = '${{SECRET}}'{GOOD}");
    let complaints = try_load(&text, &Overrides::default()).unwrap_err();
    assert!(!complaints.to_string().contains("hunter2"), "{complaints}");
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("elbow.toml");
    assert!(read(&path).unwrap_err().to_string().starts_with("cannot read the configuration "));
    std::fs::write(&path, [0xff]).unwrap();
    assert!(matches!(read(&path), Err(ReadError::Encoding { .. })));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(matches!(read(&path), Err(ReadError::Large { .. })));
    std::fs::write(&path, vec![b'#'; 1 << 20]).unwrap();
    assert_eq!(read(&path).unwrap().len(), 1 << 20);
}

/// Pieces of configurations, so that random texts get past the first line.
const PIECES: [&str; 24] = [
    "[memory]",
    "[buffer]",
    "[admin]",
    "[[source]]",
    "[[sink]]",
    "[source.fields]",
    "name",
    "type",
    "address",
    "max_bytes",
    "hosts",
    "fields",
    "id_key",
    " = ",
    "'tcp'",
    "'file'",
    "'logstash_tcp'",
    "'${HOST}'",
    "\"127.0.0.1:1\"",
    "\n",
    "{",
    "[",
    "]",
    "5",
];

proptest! {
    #[test]
    fn any_text_gives_a_plan_or_complaints(text: String) {
        if let Err(complaints) = try_load(&text, &Overrides::default()) {
            prop_assert!(complaints.iter().count() > 0);
            let _ = complaints.to_string();
        }
    }

    #[test]
    fn any_pieces_of_a_configuration_give_a_plan_or_complaints(pieces in prop::collection::vec(0..PIECES.len() * 2, 0..60)) {
        // Every other piece is followed by a line of its own, or hardly any text would be TOML.
        let text: String = pieces.iter().map(|at| {
            let end = if at % 2 == 0 { "\n" } else { "" };
            format!("{}{end}", PIECES[at / 2])
        }).collect();
        if let Err(complaints) = try_load(&text, &Overrides::default()) {
            prop_assert!(complaints.iter().count() > 0);
            let _ = complaints.to_string();
        }
    }

    #[test]
    fn one_changed_byte_gives_a_plan_or_complaints(at in 0..2_000_usize, byte in 0_u8..128) {
        let mut text = include_str!("../../deploy/elbow.example.toml").to_owned().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(text) = String::from_utf8(text) {
            let _ = try_load(&text, &Overrides::default()).map_err(|complaints| complaints.to_string());
        }
    }
}
