//! What is done with load-balancer lines before they are written: secrets, noise, lookups, and what makes two events one.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::lines::id_of;
use crate::support::relay::Relay;
use crate::support::scrape::Metrics;
use crate::support::sender::send;

/// An ALB line that asks for this path and query.
fn asking(id: u64, path: &str) -> String {
    alb(id).replace("/index.html?a=", path)
}

#[track_caller]
fn redactions(metrics: &Metrics, rule: &str) -> u64 {
    metrics.sum_where("source_redactions_total", &format!("rule=\"{rule}\""))
}

#[test]
fn secrets_are_masked_where_nobody_says_otherwise() {
    let relay = Relay::to_stdout().start();
    let json = "{\"url\":\"http://h/?token=hunter2\"}\n";
    let text = "see http://me:hunter2@h/ and ?password=hunter2\n";
    send(relay.lines, format!("{}{text}{json}", asking(1, "/in?a=1&token=hunter2&b=2")));
    let documents = relay.writes(3);
    assert_eq!(documents[0]["request_url"], "https://www.example.com:443/in?a=1&token=REDACTED&b=2");
    assert_eq!(documents[0]["request"], "GET https://www.example.com:443/in?a=1&token=REDACTED&b=2 HTTP/1.1");
    assert_eq!(documents[1]["message"], "see http://REDACTED@h/ and ?password=REDACTED");
    assert_eq!(documents[2]["url"], "http://h/?token=hunter2", "JSON passes byte for byte");
    let metrics = relay.metrics();
    let counted = ["token", "userinfo", "password", "key"].map(|rule| redactions(&metrics, rule));
    assert_eq!((counted, metrics.sum("source_redactions_total")), ([1, 1, 1, 0], 3), "{metrics}");
    assert!(!relay.stop().cleanly().log_text.contains("hunter2"), "nor does the log say it");
}

#[test]
fn a_source_may_want_lines_as_they_are() {
    let relay = Relay::to_stdout().source("redact = false\nkeep_original = true").start();
    let line = asking(1, "/in?a=1&token=hunter2&password=a%22b");
    send(relay.lines, &line);
    assert_eq!(relay.writes(1)[0]["message"], line.trim_end());
    assert_eq!(relay.metrics().sum("source_redactions_total"), 0);
    relay.stop().cleanly();
}

#[test]
fn hashes_tell_secrets_apart_and_names_of_ones_own_count() {
    let key = "id_key = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"";
    let relay = Relay::to_stdout().top(key).source("redact = \"hash\"\nredact_names = [\"order_no\"]").start();
    send(relay.lines, ["one", "two", "one"].map(|secret| asking(1, &format!("/?orderNo={secret}"))).concat());
    let documents = relay.writes(3);
    let urls: Vec<&str> = documents.iter().map(|document| document["request_url"].as_str().expect("a URL")).collect();
    assert!(urls[0].contains("?orderNo=h:") && !urls[0].contains("one"), "{urls:?}");
    assert!(urls[0] == urls[2] && urls[0] != urls[1], "{urls:?}");
    assert_eq!(redactions(&relay.metrics(), "custom"), 3);
    relay.stop().cleanly();
}

const RULES: &str = r#"
[[rule]]
name = "scripts"
sources = ["in"]
action = "drop"
when = [ { field = "request_path", suffix = ".js" }, { field = "client_ip", cidr = "192.0.2.0/24" } ]
[[rule]]
name = "styles"
action = "sample"
keep_one_in = 4
when = [ { field = "request_path", suffix = ".css" } ]
"#;

#[test]
fn what_rules_drop_is_counted_and_the_books_balance() {
    let relay = Relay::to_stdout().tables(RULES).start();
    let styles: String = (0..200).map(|id| asking(id, "/a.css?")).collect();
    let lines = format!("{styles}{}{}just text\n", asking(1_000, "/a.js?"), asking(1_001, "/a.html?"));
    send(relay.lines, &lines);
    send(relay.lines, &lines);
    let metrics = relay.until(|metrics| metrics.received() == 406 && metrics.buffered("out") == 0);
    let dropped_by = |rule| metrics.sum_where("source_rule_dropped_events_total", &format!("rule=\"{rule}\""));
    let kept = 400 - dropped_by("styles");
    // One in four of 200, each twice: so far from 100 that it happens by accident once in millions of keys.
    assert!((40..=160).contains(&kept), "{kept} of 400 are kept");
    assert_eq!(dropped_by("scripts"), 2);
    assert_eq!(metrics.sum_where("source_dropped_events_total", "reason=\"rule\""), metrics.dropped());
    assert_eq!(metrics.dropped(), 402 - kept);
    assert_eq!(metrics.received(), metrics.delivered("out") + metrics.dropped(), "{metrics}");
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len() as u64, kept + 4);
    let numbers = |documents: &[Value]| -> Vec<Option<u64>> {
        documents.iter().map(|document| id_of(document["trace_id"].as_str().unwrap_or_default().as_bytes())).collect()
    };
    let (first, second) = documents.split_at(documents.len() / 2);
    assert_eq!(numbers(first), numbers(second), "an event has the same fate each time");
    assert!(!numbers(first).contains(&Some(1_000)) && numbers(first).contains(&Some(1_001)));
}

/// A table of teams in this folder.
fn teams(folder: &Path) -> String {
    format!(
        "[[lookup]]\nname = \"teams\"\ntype = \"table\"\npath = \"{}\"\nfield = \"elb\"\nkey_column = \"lb\"\n\
         columns = {{ team = \"team_name\", tier = \"tier\" }}\nnumbers = [\"tier\"]\n",
        folder.join("teams.csv").display()
    )
}

/// Replaces the table as whoever writes such files should: by renaming, so that never half of it is there.
fn write(folder: &Path, text: &str) {
    let new = folder.join("new.csv");
    fs::write(&new, text).expect("the folder is ours");
    fs::rename(&new, folder.join("teams.csv")).expect("the folder is ours");
}

#[test]
fn a_changed_table_takes_effect_without_a_restart_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "lb,team,tier\napp/web/0123456789abcdef,red,1\n");
    let relay = Relay::to_stdout().tables(&teams(folder.path())).start();
    let mut sent = 0;
    let mut found = || {
        send(relay.lines, alb(sent));
        sent += 1;
        let documents = relay.writes(usize::try_from(sent).expect("few"));
        let last = documents.last().expect("a document");
        format!("{} {}", last["team_name"], last["tier"])
    };
    assert_eq!(found(), "\"red\" 1");
    let reloads = |result: &str, count: u64| {
        relay.until(|metrics| metrics.sum_where("lookup_reloads_total", &format!("result=\"{result}\"")) == count);
    };
    write(folder.path(), "lb,team,tier\napp/web/0123456789abcdef,blue,2\n");
    reloads("loaded", 1);
    assert_eq!(found(), "\"blue\" 2");
    write(folder.path(), "lb,team,tier\napp/web/0123456789abcdef,green,many\n");
    reloads("refused", 1);
    assert_eq!(found(), "\"blue\" 2", "what was there before stays");
    relay.says("line 2: \\\"many\\\" in column \\\"tier\\\" is no JSON number");
    relay.stop().cleanly();
}

#[test]
fn a_file_that_cannot_be_used_ends_the_start_as_a_wrong_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let fails = |words: &str| {
        let ended = Relay::to_stdout().tables(&teams(folder.path())).spawn().ended().with(2);
        assert!(ended.log_text.contains("teams.csv") && ended.log_text.contains(words), "{}", ended.log_text);
    };
    fails("cannot be read: No such file");
    write(folder.path(), "lb,team,tier\nx,red\n");
    fails("line 2: 2 cells where the header has 3");
    write(folder.path(), "load_balancer,team,tier\nx,red,1\n");
    fails("no column \"lb\"");
    write(folder.path(), "lb,team,tier\nx,red,1\n");
    let text = teams(folder.path()).replace("\"team_name\"", "\"elb\"");
    let ended = Relay::to_stdout().tables(&text).spawn().ended().with(2);
    assert!(ended.log_text.contains("a lookup writes the member \"elb\""), "{}", ended.log_text);
    for schema in ["aws", "ecs"] {
        let agents = ["one", "two"].map(|name| format!("[[lookup]]\nname = \"{name}\"\ntype = \"user_agent\"\n")).concat();
        let setup = Relay::to_stdout().source(&format!("schema = \"{schema}\"")).tables(&agents);
        let ended = setup.spawn().ended().with(2);
        assert!(ended.log_text.contains("source in: two lookups write the same member"), "{}", ended.log_text);
    }
}

#[test]
fn several_lookups_of_one_source_stand_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "lb,team,tier\napp/web/0123456789abcdef,red,1\n");
    let more = "[[lookup]]\nname = \"agents\"\ntype = \"user_agent\"\n[[lookup]]\nname = \"urls\"\ntype = \"url\"\n";
    let tables = teams(folder.path()) + more;
    let relay = Relay::to_stdout().tables(&tables).start();
    send(relay.lines, alb(1));
    let document = &relay.writes(1)[0];
    assert_eq!((&document["team_name"], &document["user_agent_details"]["name"]), (&"red".into(), &"curl".into()), "{document}");
    assert_eq!(document["request_url_parts"]["path"], "/index.html");
    relay.stop().cleanly();
    let relay = Relay::to_stdout().source("schema = \"ecs\"").tables(&tables).start();
    send(relay.lines, alb(1));
    let document = &relay.writes(1)[0];
    assert_eq!((&document["team_name"], &document["user_agent"]["name"]), (&"red".into(), &"curl".into()), "{document}");
    relay.stop().cleanly();
}

/// The first line of a sender that reads this object from this line on.
fn object(line: u64) -> String {
    format!(
        "{{\"@elbow\":{{\"object\":\"s3://logs/AWSLogs/123456789012/elasticloadbalancing/eu-west-1/2026/03/01/\
         123456789012_elasticloadbalancing_eu-west-1_app.web.0123456789abcdef_20260301T1020Z_192.0.2.10_5akvrqt3.log.gz\",\
         \"etag\":\"9b2cf535f27731c974343645a3985328\",\"line\":{line}}}}}\n"
    )
}

fn event_id(document: &Value) -> &str {
    document.get("event.id").unwrap_or(&document["event"]["id"]).as_str().expect("an id")
}

#[test]
fn the_lines_of_an_object_have_their_ids_however_often_and_from_where_it_is_sent() {
    let relay = Relay::to_stdout().start();
    // Two equal lines of one object are two events, and so are its text and its JSON; the blank line counts.
    let lines = format!("{}{}\ntext\n{{\"a\":1}}\n", alb(1), alb(1));
    send(relay.lines, object(1) + &lines);
    let mut sender = relay.sender();
    for piece in (object(1) + &lines).as_bytes().chunks(7) {
        sender.send(piece);
    }
    sender.finish();
    send(relay.lines, object(2) + lines.split_once('\n').expect("a line").1);
    let documents = relay.writes(11);
    let ids: Vec<&str> = documents.iter().map(event_id).collect();
    assert_eq!(ids[..4], ids[4..8]);
    assert_eq!(ids[1..4], ids[8..]);
    let mut unique = ids[..4].to_vec();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 4);
    assert_eq!(relay.metrics().sum("source_preambles_total"), 3);
    relay.stop().cleanly();
}

#[test]
fn the_key_of_an_object_gives_fields_in_each_schema() {
    let relay = Relay::to_stdout().start();
    send(relay.lines, object(1) + &alb(1) + "text\n");
    for document in relay.writes(2) {
        let fields = ["aws_account", "aws_region", "load_balancer", "log_kind", "log_interval_end", "s3_bucket"];
        let want = ["123456789012", "eu-west-1", "app/web/0123456789abcdef", "alb", "2026-03-01T10:20:00Z", "logs"];
        assert_eq!(fields.map(|field| document[field].as_str().unwrap_or_default()), want, "{document}");
    }
    relay.stop().cleanly();
    let relay = Relay::to_stdout().source("schema = \"ecs\"").start();
    send(relay.lines, object(1) + &alb(1));
    let document = &relay.writes(1)[0];
    assert_eq!(
        (&document["cloud"]["account"]["id"], &document["cloud"]["region"]),
        (&"123456789012".into(), &"eu-west-1".into())
    );
    assert_eq!(document["cloud"]["provider"], "aws", "they join what is there");
    assert_eq!(document["aws"]["elb"]["name"], "app/web/0123456789abcdef");
    assert_eq!(
        (&document["aws"]["elb"]["log"]["kind"], &document["aws"]["s3"]["bucket"]["name"]),
        (&"alb".into(), &"logs".into())
    );
    relay.stop().cleanly();
}

#[test]
fn equal_load_balancer_lines_are_one_event_and_equal_texts_are_two() {
    let lines = format!("{}text\n{}", asking(1, "/?token=hunter2"), asking(2, "/?token=hunter2"));
    let ids = |settings: &str| -> Vec<String> {
        let relay = Relay::to_stdout().source(settings).start();
        send(relay.lines, &lines);
        send(relay.lines, &lines);
        relay.stop().cleanly().documents.iter().map(|document| event_id(document).to_owned()).collect()
    };
    let auto = ids("");
    assert_eq!((auto.len(), &auto[0], &auto[2]), (6, &auto[3], &auto[5]));
    assert!(auto[1] != auto[4] && auto[0] != auto[2]);
    assert_eq!(ids("redact = false")[0], auto[0], "what is done with a line does not change what it is");
    let content = ids("identity = \"content\"");
    assert_eq!(content[..3], content[3..]);
    let mut arrival = ids("identity = \"arrival\"");
    arrival.sort_unstable();
    arrival.dedup();
    assert_eq!(arrival.len(), 6);
}

#[test]
fn a_field_that_nobody_knows_is_counted_by_shape_and_told_once_without_what_it_says() {
    let relay = Relay::to_stdout().start();
    let line = |id| format!("{} - - - - brand-new-value\n", alb(id).trim_end());
    send(relay.lines, line(1) + &line(2));
    send(relay.lines, line(3) + &albs(4..5));
    let documents = relay.writes(4);
    assert_eq!((&documents[0]["unknown_fields"][0], documents[3].get("unknown_fields")), (&"brand-new-value".into(), None));
    let metrics = relay.metrics();
    assert_eq!(metrics.sum("source_unknown_field_lines_total"), 3);
    assert_eq!(
        metrics.sum_where("source_unknown_field_lines_total", "format=\"alb\",source=\"in\",tokens=\"35\""),
        3,
        "{metrics}"
    );
    let ended = relay.stop().cleanly();
    let told: Vec<&Value> = ended.log.iter().filter(|entry| entry["tokens"] == 35).collect();
    assert_eq!(told.len(), 1, "{}", ended.log_text);
    assert_eq!((&told[0]["format"], &told[0]["known"], &told[0]["level"]), (&"alb".into(), &34.into(), &"WARN".into()));
    assert!(!ended.log_text.contains("brand-new-value"), "{}", ended.log_text);
}
