//! Holds the pages to the program: what they show is what it prints, what they list is what there is.
//!
//! Console blocks of the README are run as they stand; tables are compared with a real plan and a real scrape. It refuses to
//! judge prose.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use elbow::batch::Origin;
use elbow::buffer::format::segment_name;
use elbow::config;
use elbow::config::Text;
use elbow::config::overrides::Overrides;
use elbow::elb::format::Kind;
use elbow::metrics::Figures;
use elbow::metrics::Metrics;
use elbow::metrics::SinkFigures;
use elbow::redact;
use elbow::source::http::answer::Cause;
use elbow::tally::Tally;
use elbow::wire::lumberjack::Fault;

fn page(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the page is there")
}

/// A fenced block: what stands behind the fence, the file it is said to be, and its lines.
struct Block {
    info: String,
    file: Option<String>,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut file = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            file = Some(name.to_owned());
        }
        if let Some(info) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push(Block { info: info.to_owned(), file: file.take(), text });
        }
    }
    blocks
}

fn elbow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbow"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ELBOW_")) {
        command.env_remove(name);
    }
    command
}

#[test]
fn the_readme_shows_the_line_of_the_banner_and_its_document() {
    let readme = page("README.md");
    let blocks = blocks(&readme);
    let line = blocks.iter().find(|block| block.info == "text").expect("a line to paste");
    assert_eq!(line.text.trim_end(), elbow::cli::run::SAMPLE_LINE);
    let shown = blocks.iter().find(|block| block.info == "json").expect("its document");
    let mut child =
        elbow().arg("parse").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    child.stdin.take().expect("a pipe").write_all(line.text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(shown.text, String::from_utf8(output.stdout).expect("text"));
}

#[test]
fn the_readme_shows_what_commands_print() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ran = 0;
    for block in blocks(&page("README.md")) {
        if let Some(file) = block.file {
            fs::write(folder.path().join(file), block.text).expect("it can be written");
        } else if block.info == "console" {
            let (command, shown) = block.text.split_once('\n').expect("a command");
            let words = command.strip_prefix("$ elbow ").expect("an elbow command").split(' ');
            let output = elbow().args(words).current_dir(&folder).output().expect("it runs");
            let printed = [output.stdout, output.stderr].concat();
            assert_eq!(String::from_utf8(printed).expect("text"), shown, "{command}");
            ran += 1;
        }
    }
    assert!(ran > 2, "there are commands in the README");
}

#[test]
fn the_page_on_the_buffer_shows_what_commands_print_and_draws_every_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/buffer-v1");
    for name in ["data", "damaged"] {
        let to = folder.path().join(name).join("buffer");
        fs::create_dir_all(&to).expect("it can be made");
        for file in fs::read_dir(&golden).expect("the golden buffer").map(|file| file.expect("a file")) {
            let mut bytes = fs::read(file.path()).expect("it can be read");
            if name == "damaged" && file.file_name() == *segment_name(2) {
                // In the payload of its second frame.
                bytes[8292] ^= 1;
            }
            fs::write(to.join(file.file_name()), bytes).expect("it can be written");
        }
    }
    let page = page("docs/buffer.md");
    let mut ran = 0;
    for block in blocks(&page).into_iter().filter(|block| block.info == "console") {
        let (command, shown) = block.text.split_once('\n').expect("a command");
        let words = command.strip_prefix("$ elbow ").expect("an elbow command").split(' ');
        let output = elbow().args(words).current_dir(&folder).output().expect("it runs");
        let printed = [output.stdout, output.stderr].concat();
        assert_eq!(String::from_utf8(printed).expect("text"), shown, "{command}");
        ran += 1;
    }
    assert!(ran > 4, "there are commands in docs/buffer.md");
    let module = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/buffer/format.rs")).expect("it is there");
    let comment: String = module
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let drawn = |text: &str| blocks(text).into_iter().find(|block| block.info == "text").expect("a drawing").text;
    assert_eq!(drawn(&page), drawn(&comment), "docs/buffer.md on the left, src/buffer/format.rs on the right");
}

/// The rows of all tables of so many columns below each heading, cells without their backticks.
fn tables(page: &str, columns: usize) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut tables: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let mut heading = String::new();
    for line in page.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().replace('`', "");
        } else if let Some(row) = line.strip_prefix("| `").and_then(|row| row.strip_suffix('|')) {
            let cells: Vec<String> = row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            if cells.len() == columns {
                tables.entry(heading.clone()).or_default().push(cells);
            }
        }
    }
    tables
}

/// Every kind of source, sink and lookup with only what it must have, and what has no default.
const LEAST: &str = "
[admin]
health_address = '0.0.0.0:9601'
health_proxy_from = ['10.0.0.0/8']
[[source]]
name = 'elb'
type = 'tcp'
address = '0.0.0.0:5000'
redact_names = ['order_no']
proxy_protocol = 'v2'
proxy_from = ['10.0.0.0/8']
[source.fields]
Component = 'web'
[source.tls]
certificate = '/etc/elbow/relay.pem'
key = '/etc/elbow/relay.key'
[[source]]
name = 'web'
type = 'http'
address = '0.0.0.0:8080'
[[source]]
name = 'shippers'
type = 'beats'
address = '0.0.0.0:5044'
[[sink]]
name = 'logstash'
type = 'logstash_tcp'
hosts = ['logstash.example:5000']
[sink.tls]
[[sink]]
name = 'turns'
type = 'logstash_tcp'
release = 'rotate'
hosts = ['logstash.example:5000']
[[sink]]
name = 'central'
type = 'lumberjack'
hosts = ['logstash.example:5044']
[[sink]]
name = 'archive'
type = 'file'
path = '/var/lib/elbow/documents.json'
[[sink]]
name = 'screen'
type = 'stdout'
when = [ { tenant = 'pay' } ]
fallback = 'spare'
[[sink]]
name = 'spare'
type = 'stdout'
[[sink]]
name = 'search'
type = 'elasticsearch'
hosts = ['http://search.example']
index = 'elb-%Y.%m.%d'
api_key = 'x'
[[sink]]
name = 'basic'
type = 'elasticsearch'
hosts = ['http://search.example']
index = 'elb-%Y.%m.%d'
user = 'elbow'
password = 'x'
[[sink]]
name = 'domain'
type = 'elasticsearch'
hosts = ['http://search.example']
index = 'elb-%Y.%m.%d'
aws_region = 'eu-west-1'
aws_access_key_id = 'x'
aws_secret_access_key = 'x'
[[sink]]
name = 'collector'
type = 'http'
hosts = ['http://collector.example']
path = '/in'
user = 'elbow'
password = 'x'
headers = { X-Team = 'web' }
[[sink]]
name = 'bearer'
type = 'http'
hosts = ['http://collector.example']
token = 'x'
[[rule]]
name = 'noise'
action = 'sample'
keep_one_in = 100
when = [ { field = 'elb', equals = 'a' } ]
[[lookup]]
name = 'teams'
type = 'table'
path = '/etc/elbow/teams.csv'
field = 'elb'
key_column = 'lb'
columns = { team = 'team' }
numbers = ['team']
[[lookup]]
name = 'places'
type = 'geoip'
path = '/var/lib/places.mmdb'
[[lookup]]
name = 'agents'
type = 'user_agent'
[[tenant]]
name = 'pay'
endpoints = ['vpce-1']
certificate_names = ['pay.example']
networks = ['10.0.0.0/8']
token_file = '/run/secrets/pay'
[tenant.fields]
team = 'pay'
";

/// Where the configuration page tells of a section of the report.
fn heading_of(section: &str, on_disk: bool) -> &str {
    match section {
        "event ids" | "data" => "Top of the file",
        "[buffer]" if on_disk => "[buffer] of kind \"disk\"",
        "[buffer]" => "[buffer] of kind \"memory\"",
        "[[source]] elb" => "[[source]]",
        "[sink.tls] of logstash" => "[sink.tls]",
        "[source.tls] of elb" => "[source.tls]",
        "[[source]] web" => "[[source]] of type \"http\"",
        "[[source]] shippers" => "[[source]] of type \"beats\"",
        "[[sink]] logstash" | "[[sink]] turns" => "[[sink]] of type \"logstash_tcp\"",
        "[[sink]] central" => "[[sink]] of type \"lumberjack\"",
        "[[sink]] archive" => "[[sink]] of type \"file\"",
        "[[sink]] screen" | "[[sink]] spare" => "[[sink]]",
        "[[sink]] search" | "[[sink]] basic" | "[[sink]] domain" => "[[sink]] of type \"elasticsearch\"",
        "[[sink]] collector" | "[[sink]] bearer" => "[[sink]] of type \"http\"",
        "[[rule]] noise" => "[[rule]]",
        "[[tenant]] pay" => "[[tenant]]",
        "[[lookup]] teams" => "[[lookup]] of type \"table\"",
        "[[lookup]] places" | "[[lookup]] agents" => "[[lookup]]",
        table => table,
    }
}

#[test]
fn the_configuration_page_lists_every_key_with_its_default() {
    let mut rows = Rows::new();
    for (heading, table) in tables(&page("docs/configuration.md"), 5) {
        for row in table {
            rows.insert((heading.clone(), row[0].clone()), row[2].clone());
        }
    }
    let mut told = rows.clone();
    for on_disk in [false, true] {
        let text = format!("{}{LEAST}", if on_disk { DATA_DIR } else { "" });
        let text = Text { name: "least", text: &text, built_in: false };
        let plan = config::load(&text, &Overrides::default(), &|_| None).expect("a good configuration");
        check_defaults(&plan.to_string(), on_disk, &rows, &mut told);
    }
    // A table's name is its title in the report.
    told.retain(|(_, key), _| key != "name");
    assert!(told.is_empty(), "docs/configuration.md has keys that nobody reads: {told:?}");
}

type Rows = BTreeMap<(String, String), String>;

/// Checks the settings of a plan as it is printed, and takes them out of what the page tells of.
fn check_defaults(plan: &str, on_disk: bool, rows: &Rows, told: &mut Rows) {
    let mut heading = "";
    for line in plan.lines() {
        let Some(setting) = line.strip_prefix("  ") else {
            heading = heading_of(line, on_disk);
            continue;
        };
        let mut words = setting.split_whitespace();
        let key = words.next().expect("a key");
        let key = key.split('.').next().unwrap_or(key);
        // What every sink or lookup has stands below the heading for all of them; each type of lookup has its own field.
        let at = [heading, heading.split(" of ").next().unwrap_or(heading)]
            .map(|heading| (heading.to_owned(), key.to_owned()))
            .into_iter()
            .find(|at| rows.contains_key(at));
        let at = at.unwrap_or_else(|| panic!("{key} of {heading} is not in docs/configuration.md"));
        let is_default = line.contains("  default") && !(heading.starts_with("[buffer]") && key == "kind");
        if is_default && key != "id_key" && !setting.contains(" user_agent ") {
            let (_, rest) = setting.trim_start().split_once(' ').expect("a value");
            let value = rest.trim_start().split("  ").next();
            assert_eq!(rows[&at].split(',').next(), value, "the default of {key} in docs/configuration.md");
        }
        told.remove(&at);
    }
}

const DATA_DIR: &str = "data_dir = '/var/lib/elbow'\n";

#[test]
fn the_configuration_page_gives_the_ranges_that_are_enforced() {
    let mut tried = 0;
    for (heading, table) in tables(&page("docs/configuration.md"), 5) {
        for row in
            table.iter().filter(|row| row[3].contains(" to ") && matches!(row[1].as_str(), "size" | "time span" | "number"))
        {
            let (key, range) = (&row[0], row[3].split(',').next().unwrap_or_default());
            let nothing = match row[1].as_str() {
                "size" => "'0B'",
                "time span" => "'0s'",
                _ => "0",
            };
            let text = with_setting(&heading, &format!("{key} = {nothing}"));
            let complaints = config::load(&Text { name: "t", text: &text, built_in: false }, &Overrides::default(), &|_| None);
            let complaints = complaints.expect_err("nothing is too little");
            // A key may be out of place in another sink of the same type.
            let mut about = complaints.iter().filter(|one| one.key.ends_with(key.as_str()));
            let allowed = about.find_map(|one| one.allowed.as_deref());
            let allowed = allowed.unwrap_or_default().split(',').next();
            assert_eq!(allowed, Some(range), "the range of {key} in docs/configuration.md");
            tried += 1;
        }
    }
    assert!(tried > 8, "there are ranges in docs/configuration.md: {tried}");
}

/// The least configuration with one more setting in the table of this heading.
fn with_setting(heading: &str, setting: &str) -> String {
    let type_line = match heading {
        "[[source]]" => "type = 'tcp'",
        "[[tenant]]" => "endpoints = ['vpce-1']",
        "[[source]] of type \"http\"" => "type = 'http'",
        "[[source]] of type \"beats\"" => "type = 'beats'",
        "[[sink]] of type \"logstash_tcp\"" => "type = 'logstash_tcp'",
        "[[sink]] of type \"lumberjack\"" => "type = 'lumberjack'",
        "[[sink]] of type \"file\"" => "type = 'file'",
        "[sink.tls]" => return LEAST.replace("[sink.tls]\n", &format!("[sink.tls]\n{setting}\n")),
        "[[sink]] of type \"elasticsearch\"" => "index = 'elb-%Y.%m.%d'",
        "[[sink]] of type \"http\"" => "token = 'x'",
        "[source.tls]" => return LEAST.replace("[source.tls]\n", &format!("[source.tls]\n{setting}\n")),
        "[[rule]]" => return LEAST.replace("keep_one_in = 100", setting),
        "[buffer] of kind \"memory\"" => return format!("[buffer]\n{setting}\n{LEAST}"),
        "[buffer] of kind \"disk\"" => return format!("{DATA_DIR}[buffer]\n{setting}\n{LEAST}"),
        "[dead_letters]" => return format!("{DATA_DIR}[dead_letters]\n{setting}\n{LEAST}"),
        table => return format!("{table}\n{setting}\n{LEAST}"),
    };
    LEAST.replace(type_line, &format!("{type_line}\n{setting}"))
}

/// The cells of all rows of the table behind this line, without the marks around what is code.
fn rows_behind<'p>(page: &'p str, line: &str) -> Vec<Vec<&'p str>> {
    let (_, behind) = page.split_once(line).unwrap_or_else(|| panic!("no {line} in docs/configuration.md"));
    let table =
        behind.lines().skip_while(|line| line.is_empty() || line.starts_with("|---")).take_while(|line| line.starts_with('|'));
    table.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_configuration_page_lists_every_name_of_a_secret() {
    let mut real: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (rule, name) in redact::names::all() {
        real.entry(rule.label()).or_default().push(name);
    }
    let page = page("docs/configuration.md");
    let code = |text: &str| text.trim_matches('`').to_owned();
    let told: BTreeMap<String, Vec<String>> =
        rows_behind(&page, "| rule | names |").iter().map(|row| (code(row[0]), row[1].split(", ").map(code).collect())).collect();
    let real = real.into_iter().map(|(rule, names)| (rule.to_owned(), names.into_iter().map(str::to_owned).collect()));
    assert_eq!(
        told,
        real.collect::<BTreeMap<String, Vec<String>>>(),
        "docs/configuration.md on the left, the program on the right"
    );
    let rules: String = rows_behind(&page, "| rule | what |").iter().map(|row| row[0]).collect();
    for rule in redact::Rule::ALL {
        assert!(rules.contains(&format!("`{}`", rule.label())), "{} is not in docs/configuration.md", rule.label());
    }
}

#[test]
fn the_configuration_page_lists_every_key_of_a_condition() {
    let page = page("docs/configuration.md");
    let told: Vec<&str> =
        rows_behind(&page, "| key of a condition | what |").iter().map(|row| row[0].trim_matches('`')).collect();
    let real: Vec<&str> = ["field"].into_iter().chain(config::condition::TESTS).chain(["not"]).collect();
    assert_eq!(told, real);
}

#[test]
fn the_configuration_page_lists_every_key_and_format_of_a_sink_s_condition() {
    let page = page("docs/configuration.md");
    let rows = rows_behind(&page, "| key of a sink's condition | what |");
    let told: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let real: Vec<&str> = config::sink::when::SUBJECTS.into_iter().chain(["not"]).collect();
    assert_eq!(told, real);
    for (key, words) in [("format", Origin::ALL.map(Origin::label).to_vec()), ("field", config::condition::TESTS.to_vec())] {
        let row = rows.iter().find(|row| row[0].trim_matches('`') == key).expect("a row");
        for word in words {
            assert!(row[1].contains(&format!("`{word}`")), "{word} is not in the row of {key} in docs/configuration.md");
        }
    }
}

#[test]
fn the_examples_of_the_configuration_page_are_good() {
    let mut tried = 0;
    for block in blocks(&page("docs/configuration.md")).into_iter().filter(|block| block.info == "toml") {
        let sink = "[[sink]]\nname = 'screen'\ntype = 'stdout'\n";
        let source = "[[source]]\nname = 'elb'\ntype = 'tcp'\naddress = '0.0.0.0:5000'\n";
        let source = if block.text.contains("[[source]]") { "" } else { source };
        let text = format!("{}{source}{sink}", block.text);
        let plan = config::load(&Text { name: "example", text: &text, built_in: false }, &Overrides::default(), &|_| None);
        plan.unwrap_or_else(|complaints| panic!("{complaints}"));
        tried += 1;
    }
    assert!(tried > 2, "there are examples in docs/configuration.md: {tried}");
}

#[test]
fn the_example_of_the_page_on_beats_is_good_and_its_reasons_are_all_there_are() {
    let page = page("docs/beats.md");
    let block = blocks(&page).into_iter().find(|block| block.info == "toml").expect("an example");
    let plan = config::load(&Text { name: "example", text: &block.text, built_in: false }, &Overrides::default(), &|_| None);
    plan.unwrap_or_else(|complaints| panic!("{complaints}"));
    let (_, behind) = page.split_once("| reason | what |").expect("a table");
    let rows = behind.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|'));
    let told: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert_eq!(told, Fault::ALL.map(Fault::label));
}

#[test]
fn the_examples_of_the_page_on_elasticsearch_are_good_and_its_flags_are_those_there_are() {
    let page = page("docs/elasticsearch.md");
    let mut examples = 0;
    for block in blocks(&page).iter().filter(|block| block.info == "toml") {
        let text = format!("{LEAST_SOURCE}{}", block.text);
        let plan = config::load(&Text { name: "example", text: &text, built_in: false }, &Overrides::default(), &|_| None);
        plan.unwrap_or_else(|complaints| panic!("{complaints}"));
        examples += 1;
    }
    assert_eq!(examples, 2);
    let help = elbow().args(["setup", "elasticsearch", "--help"]).output().expect("it starts");
    let help = String::from_utf8(help.stdout).expect("text");
    for row in rows_behind(&page, "| flag | what it does |") {
        let flag = row[0].trim_matches('`').split(' ').next().unwrap_or_default();
        assert!(help.contains(&format!(" {flag} ")) || help.contains(&format!(" {flag}\n")), "{flag} is no flag of it");
    }
}

const LEAST_SOURCE: &str = "[[source]]\nname = 'in'\ntype = 'tcp'\naddress = '127.0.0.1:5000'\n";

/// Metrics with a child in every family.
/// Each sender of the page, with the names by which it is tested: clients of `tests/clients/run.py`, recorded requests.
const SENDERS: [(&str, &[&str], &[&str]); 10] = [
    ("Logstash", &[], &["logstash-"]),
    ("Elastic Serverless Forwarder", &["forwarder"], &["forwarder-"]),
    ("Vector", &[], &["vector-http-", "vector-elasticsearch-"]),
    ("Fluent Bit", &[], &["fluent-bit-http-", "fluent-bit-es-"]),
    ("Filebeat", &["filebeat"], &[]),
    ("rsyslog", &["rsyslog"], &[]),
    ("syslog-ng", &["syslog-ng"], &[]),
    ("Elasticsearch clients", &["elasticsearch-py-7", "elasticsearch-py-8", "elasticsearch-js", "elasticsearch-go"], &[]),
    ("OpenSearch clients", &["opensearch-py"], &[]),
    ("Amazon Data Firehose", &["firehose"], &["firehose-"]),
];

#[test]
fn each_sender_has_something_to_paste_and_a_test() {
    let page = page("docs/senders.md");
    let clients = self::page("tests/clients/run.py");
    let recordings: Vec<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/senders"))
        .expect("there are recordings")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    let told: Vec<&str> = rows_behind(&page, "| sender | sends | tested with |").iter().map(|row| row[0]).collect();
    let links: Vec<String> =
        SENDERS.iter().map(|(name, ..)| format!("[{name}](#{})", name.to_lowercase().replace(' ', "-"))).collect();
    assert_eq!(told, links, "docs/senders.md on the left, what is tested on the right");
    for (name, real, recorded) in SENDERS {
        let (_, section) = page.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no section on {name}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        assert!(blocks(section).iter().any(|block| block.text.contains("elbow.example.com")), "nothing to paste for {name}");
        for client in real {
            assert!(clients.contains(&format!("\"{client}\": ")), "tests/clients/run.py has no {client}");
        }
        for prefix in recorded {
            assert!(recordings.iter().any(|file| file.starts_with(prefix)), "there is no recording of {prefix}");
        }
        assert!(!real.is_empty() || !recorded.is_empty());
    }
    let source = blocks(&page).into_iter().next().expect("the source they send to");
    let text = format!("{}[[sink]]\nname = 'screen'\ntype = 'stdout'\n", source.text);
    let plan = config::load(&Text { name: "example", text: &text, built_in: false }, &Overrides::default(), &|_| None);
    plan.unwrap_or_else(|complaints| panic!("{complaints}"));
}

fn metrics() -> Metrics {
    let metrics = Metrics::new();
    let source = metrics.source("in", &["name".to_owned()]);
    let _requests = metrics.http("in");
    source.connected();
    let mut tally = Tally::default();
    tally.longer(Kind::Alb, 1);
    source.longer(&tally);
    metrics.lookup("teams").loaded();
    metrics.tls("in").loaded();
    metrics.tenant("pay").took(1, 1);
    metrics.tenant_reloads().loaded();
    metrics.beats("in").windows(1);
    metrics
}

#[test]
fn the_metrics_page_lists_every_metric() {
    let metrics = metrics();
    let sinks = vec![SinkFigures { name: "out".to_owned(), conditions: vec![("delivering", true)], ..SinkFigures::default() }];
    let text = metrics.render(&Figures { sinks, ..Figures::default() });
    let mut real: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        real.insert(name.to_owned(), (kind.to_owned(), labels(&text, name)));
    }
    let mut told = BTreeMap::new();
    for row in tables(&page("docs/metrics.md"), 4).into_values().flatten() {
        let labels = row[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        told.insert(row[0].clone(), (row[1].clone(), labels));
    }
    assert_eq!(told, real, "docs/metrics.md on the left, /metrics on the right");
}

/// The labels of a family, in alphabetical order.
fn labels(text: &str, name: &str) -> Vec<String> {
    // A histogram's samples have names of their own, of which this one has no bounds.
    let mut samples =
        text.lines().filter_map(|line| line.strip_prefix(name)).map(|rest| rest.strip_prefix("_sum").unwrap_or(rest));
    let sample = samples.find(|rest| rest.starts_with(['{', ' '])).unwrap_or_default();
    let Some((inside, _)) = sample.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { return Vec::new() };
    inside.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label.to_owned()).collect()
}

#[test]
fn the_metrics_page_lists_every_value_of_a_label() {
    let page = page("docs/metrics.md");
    let text = metrics().render(&Figures::default());
    for label in ["format", "reason", "rule", "result"] {
        for value in text.split(&format!("{label}=\"")).skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("`{value}`")), "{label}=\"{value}\" is not in docs/metrics.md");
        }
    }
}

/// The description of the HTTP source for machines.
fn openapi() -> serde_json::Value {
    serde_json::from_str(&page("docs/openapi.json")).expect("JSON")
}

#[test]
fn the_pages_on_http_list_every_cause_with_its_status() {
    let real: BTreeMap<String, String> =
        Cause::ALL.iter().map(|cause| (cause.label().to_owned(), cause.status().as_u16().to_string())).collect();
    let page = page("docs/http.md");
    let rows = rows_behind(&page, "| status | cause | what to do |");
    let told: BTreeMap<String, String> =
        rows.iter().map(|row| (row[1].trim_matches('`').to_owned(), row[0].to_owned())).collect();
    assert_eq!(told, real, "docs/http.md on the left, the program on the right");
    let openapi = openapi();
    let responses = openapi["components"]["responses"].as_object().expect("responses");
    let mut told = BTreeMap::new();
    let refusals = responses.iter().filter(|(status, _)| *status != "200" && status.parse::<u16>().is_ok());
    for (status, response) in refusals {
        let own = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
        assert_eq!(own["status"]["const"].to_string(), *status);
        for cause in own["cause"]["enum"].as_array().expect("causes") {
            told.insert(cause.as_str().expect("a word").to_owned(), status.clone());
        }
        assert_eq!(response["headers"]["Retry-After"].is_object(), matches!(status.as_str(), "429" | "503"), "{status}");
    }
    assert_eq!(told, real, "docs/openapi.json on the left, the program on the right");
}

#[test]
fn the_description_for_machines_holds_together() {
    let openapi = openapi();
    assert_eq!(openapi["openapi"], "3.1.0");
    let text = page("docs/openapi.json");
    for reference in text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(openapi.pointer(reference).is_some(), "{reference} leads nowhere");
    }
    let statuses = openapi["components"]["responses"].as_object().expect("responses").keys();
    // The others are those that only Elasticsearch and Firehose know.
    let statuses: Vec<&String> = statuses.filter(|name| name.parse::<u16>().is_ok()).collect();
    for method in ["post", "put"] {
        let operation = &openapi["paths"]["/{path}"][method];
        assert_eq!(operation["responses"].as_object().expect("responses").keys().collect::<Vec<_>>(), statuses, "{method}");
    }
    let page = page("docs/http.md");
    let mut told = Vec::new();
    for row in rows_behind(&page, "| header | parameter | meaning |") {
        told.extend([row[0], row[1]].map(|name| name.trim_matches('`').to_owned()));
    }
    let mut real = Vec::new();
    for parameter in openapi["components"]["parameters"].as_object().expect("parameters").values() {
        real.push(parameter["name"].as_str().expect("a name").to_owned());
    }
    real.retain(|name| name != "Content-Encoding");
    told.sort();
    real.sort();
    assert_eq!(told, real, "docs/http.md on the left, docs/openapi.json on the right");
}
