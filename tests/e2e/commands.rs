//! The commands a person types, and errors a person can act on.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::lines::alb;
use crate::support::relay::Relay;
use crate::support::relay::elbow;
use crate::support::same::same;

/// What a command said and how it ended.
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

fn run(command: &mut Command, input: &str) -> Said {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
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

fn parse(args: &[&str], input: &str) -> Said {
    run(elbow().arg("parse").args(args), input)
}

#[test]
fn a_taken_port_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let ended = Relay::to_stdout().listening_on(&address).spawn().ended().with(1);
    for part in ["source in", &address, "another process listens there", "choose another address"] {
        assert!(ended.log_text.contains(part), "{part} in {}", ended.log_text);
    }
}

#[test]
fn an_unknown_host_is_named_with_a_remedy() {
    let ended = Relay::to_stdout().listening_on("no-such-host.invalid:5000").spawn().ended().with(1);
    for part in ["source in", "no-such-host.invalid:5000", "host is unknown", "give an IP address"] {
        assert!(ended.log_text.contains(part), "{part} in {}", ended.log_text);
    }
}

#[test]
fn an_unreadable_configuration_is_named() {
    for command in ["run", "check"] {
        let said = run(elbow().args([command, "-c", "/no/such/elbow.toml"]), "");
        assert_eq!(said.status, Some(2));
        assert!(said.err.contains("cannot read the configuration /no/such/elbow.toml"), "{}", said.err);
        assert!(said.err.contains("No such file"), "{}", said.err);
    }
}

#[test]
fn every_mistake_is_shown_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("elbow.toml");
    let text = "[memory]\nmax_bytes = \"1KiB\"\n\n[[source]]\nname = \"in\"\ntype = \"tcp\"\nadress = \"127.0.0.1:5000\"\n\n\
                [[sink]]\nname = \"out\"\ntype = \"logstash_tcp\"\nhosts = [\"logstash\"]\nsettle = \"1ms\"\n";
    fs::write(&path, text).expect("the file is ours");
    let said = run(elbow().arg("check").arg("-c").arg(&path), "");
    assert_eq!((said.status, said.out.as_str()), (Some(2), ""));
    let file = path.display();
    for place in
        ["2:13: memory.max_bytes", "7:1: source.adress", "4:1: source.address", "12:10: sink.hosts", "13:10: sink.settle"]
    {
        assert!(said.err.contains(&format!("{file}:{place}")), "{place} in\n{}", said.err);
    }
    assert!(said.err.contains("5 mistakes") && said.err.contains("did you mean"), "{}", said.err);
    // `run` says the same and opens nothing.
    assert_eq!(run(elbow().arg("run").arg("-c").arg(&path), "").status, Some(2));
}

#[test]
fn the_help_names_every_destination() {
    let first = run(elbow().arg("--help"), "").out;
    for name in ["Elasticsearch", "OpenSearch", "Logstash", "JSON over HTTP"] {
        assert!(first.split("\n\n").next().is_some_and(|sentence| sentence.contains(name)), "{name} in\n{first}");
    }
    let help = run(elbow().args(["run", "--help"]), "").out;
    let refused = run(elbow().args(["check", "--to", "nowhere"]), "").err;
    for target in [
        "logstash://",
        "lumberjack",
        "logstash-http",
        "elasticsearch://",
        "elasticsearch://https://",
        "http://",
        "https://",
        "file:",
    ] {
        assert!(help.contains(target) && refused.contains(target), "{target} in\n{help}\n{refused}");
    }
}

/// Kinds this version parses.
const KINDS: [&str; 5] = ["classic", "alb", "nlb", "alb-connection", "alb-health-check"];

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let text = fs::read_to_string(path).expect("the cases are there");
    text.lines().map(|case| serde_json::from_str(case).expect("a case is JSON")).collect()
}

/// Lines and what is wanted of them under this key, for the kinds this version parses.
fn wanted(name: &str, key: &str) -> (String, Vec<Value>) {
    let mut lines = String::new();
    let mut wants = Vec::new();
    for case in cases(name) {
        let kind = case["format"].as_str().expect("a format");
        let line = case["line"].as_str().expect("a line");
        // A line over several lines is for those who can hand over one line at a time.
        if let Some(want) = case.get(key).filter(|_| KINDS.contains(&kind) && !line.contains('\n')) {
            lines += line;
            lines.push('\n');
            wants.push(want.clone());
        }
    }
    (lines, wants)
}

#[test]
fn parse_gives_the_goldens_of_the_original_byte_for_byte() {
    let (lines, wants) = wanted("classic-goldens.jsonl", "wanted_output");
    assert!(wants.len() >= 50, "{}", wants.len());
    let said = parse(&["--schema", "classic", "--bare", "-"], &lines);
    assert_eq!(said.status, Some(0), "{}", said.err);
    let got: Vec<&str> = said.out.lines().collect();
    let wants: Vec<&str> = wants.iter().map(|want| want.as_str().expect("text")).collect();
    assert_eq!(got, wants);
    assert!(said.err.contains(&format!("{0} lines: {0} documents, 0 of them rejects", wants.len())), "{}", said.err);
}

fn compressed(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    let mut file = GzEncoder::new(fs::File::create(&path).expect("the file is ours"), Compression::fast());
    file.write_all(text.as_bytes()).expect("the disk has room");
    file.finish().expect("the disk has room");
    path
}

#[test]
fn parse_gives_every_edge_case_its_document_plain_and_compressed() {
    let (lines, wants) = wanted("edge-cases.jsonl", "expect");
    assert!(wants.len() >= 40, "{}", wants.len());
    let directory = tempfile::tempdir().expect("a directory");
    let plain = directory.path().join("plain.log");
    fs::write(&plain, &lines).expect("the file is ours");
    let packed = compressed(directory.path(), "packed.log.gz", &lines);
    let said = run(elbow().args(["parse", "--bare"]).args([&plain, &packed]), "");
    assert_eq!(said.status, Some(0), "{}", said.err);
    let got: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(got.len(), 2 * wants.len());
    for (got, want) in got.iter().zip(wants.iter().chain(&wants)) {
        assert!(same(got, want), "\n got {got}\nwant {want}");
    }
}

#[test]
fn parse_names_the_place_of_every_reject() {
    let case = cases("edge-cases.jsonl").into_iter().find(|case| case["error"] == "misaligned_fields").expect("one is there");
    let misaligned = case["line"].as_str().expect("a line").to_owned();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("some.log");
    let broken = "{\"a\": tru}";
    fs::write(&path, format!("{}\n{misaligned}\n{broken}\nwhat is this\n{}", alb(1), alb(2))).expect("the file is ours");
    let said = run(elbow().arg("parse").arg(&path), "");
    assert_eq!(said.status, Some(1), "{}", said.err);
    let documents: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let tags: Vec<&str> = documents.iter().map(|document| document["tags"][0].as_str().unwrap_or("")).collect();
    assert_eq!(tags, ["", "_elbparsefailure", "_jsonparsefailure", "_elbparsefailure", ""]);
    let places: Vec<&str> = said.err.lines().collect();
    let file = path.display().to_string();
    // Line 2 is blank. The column counts bytes from 1 and says the same as the document, which counts from 0.
    for (place, (line, document)) in places.iter().zip([(3, 1), (4, 2), (5, 3)]) {
        let column = documents[document]["elbow"]["at"].as_u64().expect("a place") + 1;
        let reason = documents[document]["elbow"]["reason"].as_str().expect("a reason");
        assert!(place.starts_with(&format!("{file}:{line}:{column}: {reason}")), "{place}");
    }
    assert!(places[1].ends_with(":4:10: unexpected_byte"), "{}", places[1]);
    assert_eq!(places[3..], ["6 lines: 5 documents, 3 of them rejects; 1 blank lines and control messages"]);
}

#[test]
fn parse_says_which_file_it_cannot_read_and_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let torn = compressed(directory.path(), "torn.gz", &alb(1).repeat(1_000));
    let bytes = fs::read(&torn).expect("it is there");
    fs::write(&torn, &bytes[..bytes.len() - 9]).expect("the file is ours");
    let said = run(elbow().args(["parse", "/no/such.log"]).arg(&torn).arg("-"), &alb(7));
    assert_eq!(said.status, Some(2), "{}", said.err);
    assert!(said.err.contains("/no/such.log cannot be read: No such file"), "{}", said.err);
    assert!(said.err.contains("torn.gz cannot be read"), "{}", said.err);
    assert!(said.out.lines().last().expect("a document").contains(&format!("{:024x}", 7)), "standard input is read all the same");
    assert_eq!(parse(&["--format", "nonsense"], "").status, Some(2));
}

/// The goldens keep these documents as they are; that such documents agree with Elastic's is what `formats.rs` asks of the public
/// samples.
#[test]
fn parse_gives_the_goldens_of_the_ecs_schema_byte_for_byte() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ecs-goldens.jsonl");
    let goldens = fs::read_to_string(path).expect("the goldens are there");
    let mut tried = 0;
    for golden in goldens.lines().map(|golden| serde_json::from_str::<Value>(golden).expect("a golden is JSON")) {
        let line = golden["line"].as_str().expect("a line");
        let said = parse(&["--schema", "ecs", "--bare", "--keep-original"], line);
        assert_eq!(
            (said.status, said.out.trim_end()),
            (Some(0), golden["wanted_output"].as_str().expect("text")),
            "{}",
            said.err
        );
        tried += 1;
    }
    assert!(tried > 1, "{tried}");
}

#[test]
fn parse_keeps_the_line_and_fills_the_classic_schema_up() {
    let line = alb(1);
    let document = |args: &[&str]| -> Value {
        let said = parse(args, &line);
        assert_eq!(said.status, Some(0), "{}", said.err);
        serde_json::from_str(&said.out).expect("JSON")
    };
    assert_eq!(document(&["--keep-original"])["message"], line.trim_end());
    assert_eq!(document(&["--schema", "ecs", "--keep-original"])["event"]["original"], line.trim_end());
    assert_eq!(document(&["--schema", "classic"]).get("domain_name"), None);
    let full = document(&["--schema", "classic", "--classic-extra"]);
    assert_eq!((&full["domain_name"], &full["Status"]), (&"www.example.com".into(), &"200".into()));
    let said = parse(&["--classic-extra"], &line);
    assert_eq!((said.status, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("add --schema classic"), "{}", said.err);
}

#[test]
fn parse_does_what_the_first_source_of_a_file_does_and_nothing_without_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, table) = (folder.path().join("elbow.toml"), folder.path().join("teams.csv"));
    let text = format!(
        "[[source]]\nname = 'a'\ntype = 'tcp'\naddress = '127.0.0.1:1'\n[[source]]\nname = 'b'\ntype = 'tcp'\naddress = '127.0.0.1:2'\n\
         redact = false\n[[sink]]\nname = 'out'\ntype = 'stdout'\n[[rule]]\nname = 'js'\naction = 'drop'\n\
         when = [ {{ field = 'request_path', suffix = '.js' }} ]\n[[lookup]]\nname = 'teams'\ntype = 'table'\nsources = ['a']\n\
         path = '{}'\nfield = 'elb'\nkey_column = 'lb'\n",
        table.display()
    );
    fs::write(&config, text).expect("the file is ours");
    fs::write(&table, "lb,team\napp/web/0123456789abcdef,red\n").expect("the file is ours");
    let line = |path: &str| alb(1).replace("/index.html?a=", path);
    let lines = format!("{}{}{} - - - - new\n", line("/a.js?"), line("/?token=hunter2"), line("/").trim_end());
    let config = config.to_str().expect("text");
    let said = parse(&["--bare", "-c", config], &lines);
    assert_eq!(said.status, Some(0), "{}", said.err);
    let documents: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(documents.len(), 2, "{}", said.out);
    assert_eq!(documents[0]["request_url"], "https://www.example.com:443/?token=REDACTED");
    assert_eq!((&documents[0]["team"], &documents[1]["team"]), (&"red".into(), &"red".into()));
    let want = [
        "3 lines: 2 documents, 0 of them rejects; 0 blank lines and control messages; 1 dropped by rules",
        "1 alb lines have 35 fields, of which 34 are known",
    ];
    assert_eq!(said.err.lines().collect::<Vec<_>>(), want);
    let said = parse(&["--bare"], &lines);
    assert!(said.out.contains("token=hunter2") && said.out.lines().count() == 3, "{}", said.out);
    fs::remove_file(&table).expect("it is there");
    let said = parse(&["-c", config], &lines);
    assert_eq!((said.status, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("teams.csv cannot be read: No such file"), "{}", said.err);
}
