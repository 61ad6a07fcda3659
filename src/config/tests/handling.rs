//! What is done with lines before they are written: redaction, rules, lookups, ids, and the room they need.

use core::num::NonZeroU32;
use std::path::PathBuf;

use super::*;
use crate::elb::rules::Action;
use crate::elb::rules::ConditionPlan;
use crate::elb::rules::RulePlan;
use crate::elb::rules::Test;
use crate::enrich::table::Match;
use crate::enrich::table::TablePlan;
use crate::pipeline::lookups::LookupKind;
use crate::pipeline::lookups::LookupPlan;
use crate::pipeline::plan::Identity;
use crate::pipeline::plan::ParsePlan;
use crate::pipeline::plan::Redact;

const KEY: &str = "id_key = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'";

/// How the lines of the good source become documents, with these lines in its table and these at the top of the file.
#[track_caller]
fn parse(top: &str, source: &str) -> ParsePlan {
    plan(&format!("{top}{}", GOOD.replace("[[sink]]", &format!("{source}\n[[sink]]")))).relay.sources[0].parse.clone()
}

#[test]
fn secrets_are_masked_unless_somebody_says_otherwise() {
    for (source, want) in [
        ("", Redact::Mask),
        ("redact = true", Redact::Mask),
        ("redact = 'mask'", Redact::Mask),
        ("redact = false", Redact::Off),
        ("redact = 'hash'", Redact::Hash),
    ] {
        assert_eq!(parse(KEY, source).redact, want, "{source}");
    }
    let built_in = load(&BUILT_IN, &Overrides::default(), &|_| None).expect("the built-in text is good");
    assert_eq!(built_in.relay.sources[0].parse.redact, Redact::Mask);
    assert_eq!(parse("", "redact_names = ['Order-No', 'x']").redact_names, ["Order-No", "x"]);
}

#[test]
fn the_words_of_a_source_are_what_they_say() {
    let all = parse("", "schema = 'ecs'\nkeep_original = true\nidentity = 'arrival'\nformat = 'alb-health-check'");
    assert_eq!((all.schema, all.keep_original, all.identity), (Schema::Ecs, true, Identity::Arrival));
    assert_eq!(all.format, Format::AlbHealthCheck);
    let classic = "schema = 'classic'\nclassic_extra = true\nfields = { Component = 'a', Environment = 'b', Application = 'c' }";
    assert!(parse("", classic).classic_extra);
    let none = parse("", "");
    assert_eq!((none.keep_original, none.classic_extra, none.identity), (false, false, Identity::Auto));
    for format in Format::ALL {
        assert_eq!(parse("", &format!("format = '{}'", format.label())).format, format);
    }
}

#[test]
fn mistakes_in_what_is_done_with_lines() {
    check_source("classic_extra = true", 17, "source.classic_extra", "write schema = \"classic\"");
    check_source("classic_extra = 'yes'", 17, "source.classic_extra", "expected true or false, found a string");
    check_source("keep_original = '${MANY}'", 17, "source.keep_original", "neither true nor false (it reads \"many\")");
    check_source("identity = 'contents'", 12, "source.identity", "did you mean \"content\"?");
    check_source("redact = 'msak'", 10, "source.redact", "did you mean \"mask\"?");
    check_source("redact = 1", 10, "source.redact", "expected true, false, \"mask\" or \"hash\", found a whole number");
    check_source("redact = 'hash'", 10, "source.redact", "with the published key anyone could try guesses");
    check_source("redact_names = 'a'", 16, "source.redact_names", "expected a list of strings");
    check_source("redact_names = ['a', '--']", 22, "source.redact_names", "no letter and no digit");
    check_source("redact_names = ['xredactedx']", 17, "source.redact_names", "has the mask in it");
    let many = format!("redact_names = [{}]", "'a',".repeat(257));
    check_source(&many, 16, "source.redact_names", "at most 256");
    let off = GOOD.replace("[[sink]]", "redact = false\nredact_names = ['a']\n[[sink]]");
    check(&off, (7, 16), "source.redact_names", "redact = false leaves where they are");
}

#[test]
fn a_key_with_a_mistake_is_not_called_the_published_one() {
    let text = format!("id_key = 'abc'{}", GOOD.replace("[[sink]]", "redact = 'hash'\n[[sink]]"));
    check(&text, (1, 10), "id_key", "not a key");
    let published = "id_key = '656c626f77206576656e74206964206b65792c2076657273696f6e2031212121'";
    let text = format!("{published}{}", GOOD.replace("[[sink]]", "redact = 'hash'\n[[sink]]"));
    check(&text, (6, 10), "source.redact", "set id_key");
}

const RULES: &str = r#"
[[rule]]
name = "errors"
action = "sample"
keep_one_in = 1
when = [ { field = "elb_status_code", range = "500-599" } ]
[[rule]]
name = "health"
sources = ["in"]
action = "drop"
when = [
  { field = "user_agent", prefix = "ELB-HealthChecker/" },
  { field = "request_path", suffix = [".css", ".js"] },
  { field = "client_ip", cidr = ["10.0.0.0/8", "2001:db8::1"], not = true },
]
[[rule]]
name = "other"
sources = "two"
action = "sample"
keep_one_in = 100
[[rule.when]]
field = "elb"
equals = "${HOST}"
"#;

#[test]
fn rules_reach_the_sources_they_are_for_in_order() {
    let second = GOOD.replace("'in'", "'two'").replace("5000", "5001").replace("'out'", "'out2'");
    let plan = plan(&format!("{RULES}{GOOD}{second}"));
    let names = |at: usize| -> Vec<&str> { plan.relay.sources[at].parse.rules.iter().map(|rule| rule.name.as_str()).collect() };
    assert_eq!((names(0), names(1)), (vec!["errors", "health"], vec!["errors", "other"]));
    let condition = |field: &str, test, negate| ConditionPlan { field: field.to_owned(), test, negate };
    let networks = ["10.0.0.0/8", "2001:db8::1/128"].map(|network| network.parse().expect("a network")).to_vec();
    let want = RulePlan {
        name: "health".to_owned(),
        conditions: vec![
            condition("user_agent", Test::Prefix(vec!["ELB-HealthChecker/".to_owned()]), false),
            condition("request_path", Test::Suffix(vec![".css".to_owned(), ".js".to_owned()]), false),
            condition("client_ip", Test::Cidr(networks), true),
        ],
        action: Action::Drop,
    };
    assert_eq!(plan.relay.sources[0].parse.rules[1], want);
    let first = &plan.relay.sources[0].parse.rules[0];
    assert_eq!(first.conditions[0].test, Test::Range { min: 500, max: 599 });
    assert_eq!(first.action, Action::KeepOneIn(NonZeroU32::MIN));
    let last = &plan.relay.sources[1].parse.rules[1];
    assert_eq!(last.conditions[0].test, Test::Equals(vec!["logs.example".to_owned()]));
    assert_eq!(last.action, Action::KeepOneIn(NonZeroU32::new(100).expect("not zero")));
    let shown = plan.to_string();
    for words in ["[[rule]] health", "client_ip not cidr 10.0.0.0/8, 2001:db8::1", "elb_status_code range 500-599"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

/// One line, the third of the file, in an otherwise good rule; its action and condition where the line is not that.
#[track_caller]
fn check_rule(line: &str, column: usize, key: &str, words: &str) {
    let key_of = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
    let rest = ["action = 'drop'", "when = [{ field = 'elb', equals = 'x' }]"];
    let rest: Vec<&str> = rest.into_iter().filter(|one| key_of(one) != key_of(line)).collect();
    check_top(&format!("[[rule]]\nname = 'r'\n{line}\n{}", rest.join("\n")), (3, column), key, words);
}

#[test]
fn mistakes_in_a_rule() {
    check_rule("action = 'dorp'", 10, "rule.action", "did you mean \"drop\"?");
    check_rule("keep_one_in = 5", 1, "rule.keep_one_in", "belongs to rules with action = \"sample\"");
    check_rule("sources = ['inn']", 12, "rule.sources", "did you mean \"in\"?");
    check_rule("sources = []", 11, "rule.sources", "names no source");
    check_rule("sources = ['in', 'in']", 18, "rule.sources", "named twice");
    check_rule("source = 'in'", 1, "rule.source", "did you mean sources?");
    check_rule("when = []", 8, "rule.when", "would drop every line");
    check_rule("when = { field = 'elb', equals = 'x' }", 8, "rule.when", "write [[rule.when]] with two brackets");
    check_rule("when = [{ field = 'user_agnet', equals = 'x' }]", 19, "rule.when.field", "did you mean \"user_agent\"?");
    check_rule("when = [{ field = 'elb' }]", 9, "rule.when", "a condition without a test");
    check_rule("when = [{ equals = 'x' }]", 9, "rule.when.field", "is missing");
    check_rule("when = [{ field = 'elb', prefix = 'x', suffix = 'y' }]", 9, "rule.when", "several tests");
    check_rule("when = [{ field = 'elb', equal = 'x', prefix = 'x' }]", 26, "rule.when.equal", "did you mean equals?");
    check_rule("when = [{ field = 'elb', equals = [] }]", 35, "rule.when.equals", "lists nothing");
    check_rule("when = [{ field = 'elb', prefix = '' }]", 35, "rule.when.prefix", "equals = \"-\"");
    check_rule("when = [{ field = 'elb', equals = 5 }]", 35, "rule.when.equals", "expected a string or a list of strings");
    check_rule("when = [{ field = 'elb', range = '5-4' }]", 34, "rule.when.range", "the smaller first");
    check_rule("when = [{ field = 'elb', range = '2xx' }]", 34, "rule.when.range", "not a range");
    check_rule("when = [{ field = 'client_ip', cidr = '10/8' }]", 39, "rule.when.cidr", "not a network");
    check_rule("when = [{ field = 'client_ip', cidr = '10.0.0.1/8' }]", 39, "rule.when.cidr", "did you mean \"10.0.0.0/8\"?");
    check_rule("when = [{ field = 'client:port', cidr = '10.0.0.0/8' }]", 19, "rule.when.field", "did you mean \"client_ip\"?");
    check_rule("when = [{ field = 'elb', equals = 'x', not = 1 }]", 46, "rule.when.not", "expected true or false");
    let many = format!("when = [{}]", "{ field = 'elb', equals = 'x' },".repeat(17));
    check_rule(&many, 8, "rule.when", "at most 16");
    check_top("[[rule]]\nname = 'r'\naction = 'sample'\n", (1, 1), "rule.keep_one_in", "add keep_one_in = 100");
    check_top("[[rule]]\nname = 'r'\naction = 'drop'\n", (1, 1), "rule.when", "would drop every line");
    check_top("[[rule]]\nname = 'r'\naction = 'sample'\nkeep_one_in = 0\n", (4, 15), "rule.keep_one_in", "too small");
    let twice = "[[rule]]\nname = 'r'\naction = 'sample'\nkeep_one_in = 2\n".repeat(2);
    check_top(&twice, (6, 8), "rule.name", "the name \"r\" is taken");
    let many: String = (0..65).map(|at| format!("[[rule]]\nname = 'r{at}'\naction = 'sample'\nkeep_one_in = 2\n")).collect();
    check_top(&many, (262, 1), "source.rule", "65 rules are for this source");
}

#[test]
fn lookups_are_listed_once_and_used_by_index() {
    let second = GOOD.replace("'in'", "'two'").replace("5000", "5001").replace("'out'", "'out2'");
    let lookups = r#"
        [[lookup]]
        name = "teams"
        type = "table"
        sources = ["two"]
        path = "/etc/elbow/teams.csv"
        field = "elb"
        key_column = "lb"
        match = "cidr"
        columns = { team = "team_name", tier = "tier" }
        numbers = ["tier"]
        [[lookup]]
        name = "places"
        type = "geoip"
        path = "/var/lib/City.mmdb"
        [[lookup]]
        name = "agents"
        type = "user_agent"
        [[lookup]]
        name = "urls"
        type = "url"
        sources = ["in"]
        field = "redirect_url"
    "#;
    let plan = plan(&format!("{lookups}{GOOD}{second}"));
    let uses: Vec<_> = plan.relay.sources.iter().map(|source| source.parse.lookups.clone()).collect();
    assert_eq!(uses, [vec![1, 2, 3], vec![0, 1, 2]]);
    let table = TablePlan {
        key_column: "lb".to_owned(),
        match_by: Match::Cidr,
        columns: vec![("team".to_owned(), "team_name".to_owned()), ("tier".to_owned(), "tier".to_owned())],
        numbers: vec!["tier".to_owned()],
    };
    let lookup = |name: &str, kind, field: &str| LookupPlan { name: name.to_owned(), kind, field: field.to_owned() };
    let want = [
        lookup("teams", LookupKind::Table { path: PathBuf::from("/etc/elbow/teams.csv"), plan: table }, "elb"),
        lookup("places", LookupKind::GeoIp { path: PathBuf::from("/var/lib/City.mmdb") }, "client_ip"),
        lookup("agents", LookupKind::UserAgent { path: None }, "user_agent"),
        lookup("urls", LookupKind::Url, "redirect_url"),
    ];
    assert_eq!(plan.relay.lookups, want);
}

/// One line, the fourth of the file, in a lookup of this type that is good otherwise.
#[track_caller]
fn check_lookup(kind: &str, line: &str, column: usize, key: &str, words: &str) {
    let key_of = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
    let rest: &[&str] = match kind {
        "table" => &["path = '/x.csv'", "field = 'elb'", "key_column = 'k'"],
        "geoip" => &["path = '/x.mmdb'"],
        _ => &[],
    };
    let rest: Vec<&str> = rest.iter().copied().filter(|one| key_of(one) != key_of(line)).collect();
    check_top(&format!("[[lookup]]\nname = 'l'\ntype = '{kind}'\n{line}\n{}", rest.join("\n")), (4, column), key, words);
}

#[test]
fn mistakes_in_a_lookup() {
    check_lookup("table", "path = '/x/'", 8, "lookup.path", "not the path of a file");
    check_lookup("table", "field = 'elbs'", 9, "lookup.field", "did you mean \"elb\"?");
    check_lookup("table", "match = 'cdir'", 9, "lookup.match", "did you mean \"cidr\"?");
    check_lookup("table", "columns = { team = 5 }", 20, "lookup.columns.team", "the name of a member");
    check_lookup("table", "columns = { a = 'tags' }", 17, "lookup.columns.a", "written by the relay itself");
    check_lookup("table", "columns = { a = 'x', b = 'x' }", 26, "lookup.columns.b", "another column becomes this member");
    check_lookup("table", "columns = {}", 11, "lookup.columns", "names no column");
    check_lookup("table", "numbers = 'n'", 11, "lookup.numbers", "expected a list of strings");
    check_lookup("table", "sources = ['on']", 12, "lookup.sources", "there is no source \"on\"");
    check_lookup("geoip", "match = 'cidr'", 1, "lookup.match", "belongs to lookups of type \"table\"");
    check_lookup("geoip", "field = 'target:port'", 9, "lookup.field", "did you mean \"target_ip\"?");
    check_lookup("url", "path = '/x'", 1, "lookup.path", "a URL needs no file");
    check_lookup("user_agent", "pth = '/x'", 1, "lookup.pth", "did you mean path?");
    check_top("[[lookup]]\nname = 'l'\ntype = 'geoip'\n", (1, 1), "lookup.path", "is missing");
    check_top("[[lookup]]\nname = 'l'\ntype = 'geo'\n", (3, 8), "lookup.type", "did you mean \"geoip\"?");
    check_top("[[lookup]]\nname = 'l'\ntype = 'table'\npath = '/x'\nfield = 'elb'\n", (1, 1), "lookup.key_column", "is missing");
    check_top("[[lookup]]\nname = 'l'\ntype = 'table'\npath = '/x'\nkey_column = 'k'\n", (1, 1), "lookup.field", "is missing");
    let joined = "[[lookup]]\nname='l'\ntype='table'\npath='/x'\nkey_column='k'\nmatch='cidr'\nfield = 'client:port'\n";
    check_top(joined, (7, 9), "lookup.field", "has a port behind its address");
    check_top(&"[[lookup]]\nname = 'l'\ntype = 'url'\n".repeat(2), (5, 8), "lookup.name", "is taken");
}

#[test]
fn mistakes_in_rules_and_lookups_come_at_once() {
    let text = "[[rule]]\nname = 'r'\nsources = ['on']\naction = 'sample'\nwhen = [ { field = 'client:port', cidr = '10' } ]\n\
                [[lookup]]\nname = 'l'\ntype = 'table'\nsources = ['on']\npath = '/x'\nfield = 'elbs'\n";
    let complaints = try_load(&format!("{text}{GOOD}"), &Overrides::default()).expect_err("there are mistakes");
    let keys: Vec<_> = listed(&complaints).into_iter().map(|(at, key)| (at.expect("a place").0, key)).collect();
    let want = [
        (1, "rule.keep_one_in"),
        (3, "rule.sources"),
        (5, "rule.when.field"),
        (5, "rule.when.cidr"),
        (6, "lookup.key_column"),
        (9, "lookup.sources"),
        (11, "lookup.field"),
    ];
    assert_eq!(keys, want, "{complaints}");
}

#[test]
fn a_rule_for_a_source_without_load_balancer_lines_is_a_warning() {
    let rule = "[[rule]]\nname = 'r'\nsources = ['in']\naction = 'sample'\nkeep_one_in = 2\n";
    let plan = plan(&format!("{rule}{}", GOOD.replace("[[sink]]", "format = 'json'\n[[sink]]")));
    assert_eq!(plan.report.warnings().len(), 1, "{plan}");
    assert!(plan.report.warnings()[0].starts_with("rule \"r\" has no effect on source \"in\""), "{plan}");
}

#[test]
fn the_longest_line_follows_from_what_the_buffer_has_room_for() {
    let bytes = |memory: &str, source: &str| parse(memory, source).line_bytes_max;
    let (small, tiny) = ("[memory]\nmax_bytes = '16MiB'\n", "[memory]\nmax_bytes = '16MiB'\n[buffer]\nmax_bytes = '8MiB'\n");
    assert_eq!(bytes("", "schema = 'ecs'\nkeep_original = true"), 1 << 20);
    assert_eq!(bytes(small, "schema = 'classic'"), 1 << 20);
    // (8 MiB - 48 KiB) / 12, in whole KiB.
    assert_eq!(bytes(tiny, ""), 678 << 10);
    assert_eq!(bytes(tiny, "schema = 'ecs'\nkeep_original = true"), 339 << 10);
    let url = "[[lookup]]\nname = 'u'\ntype = 'url'\n";
    assert_eq!(bytes(&format!("{tiny}{url}"), ""), 339 << 10);
    let table = "[[lookup]]\nname = 't'\ntype = 'table'\npath = '/x'\nfield = 'elb'\nkey_column = 'k'\n";
    assert_eq!(bytes(&format!("{tiny}{table}"), ""), 677 << 10);
    let text = format!("{tiny}{}", GOOD.replace("[[sink]]", "max_line_bytes = '679KiB'\n[[sink]]"));
    check(&text, (10, 18), "source.max_line_bytes", "12 times its line");
}
