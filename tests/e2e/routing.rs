//! Sinks with a `when`: who gets what, that nobody waits for what is another's, and that the books balance.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::lines::json;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::elbow;
use crate::support::scrape::Metrics;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::wait_for;

/// A further sink, which writes to a file of its name in this directory.
fn file_sink(directory: &Path, name: &str, when: &str) -> String {
    let path = directory.join(name);
    format!("[[sink]]\nname = \"{name}\"\ntype = \"file\"\npath = \"{}\"\nwhen = {when}\n", path.display())
}

/// What such a sink has written.
fn written(directory: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a document is JSON")).collect()
}

/// The member `n` of each document, in order.
fn numbers(documents: &[Value]) -> Vec<u64> {
    let mut numbers: Vec<u64> = documents.iter().map(|document| document["n"].as_u64().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

fn of(metrics: &Metrics, sink: &str, family: &str) -> u64 {
    metrics.sum_where(&format!("sink_{family}"), &format!("sink=\"{sink}\""))
}

/// The books of a sink at rest, and what of them is skipped.
#[track_caller]
fn balances(metrics: &Metrics, sink: &str, skipped: u64) {
    let there = metrics.received() + of(metrics, sink, "restored_events");
    let accounted: u64 = [
        metrics.delivered(sink),
        metrics.buffered(sink),
        of(metrics, sink, "refused_events_total"),
        of(metrics, sink, "skipped_events_total"),
        of(metrics, sink, "lost_events_total"),
        metrics.dropped(),
        metrics.sum("source_dead_letter_events_total"),
    ]
    .iter()
    .sum();
    assert_eq!(there, accounted, "sink {sink}:\n{metrics}");
    assert_eq!(of(metrics, sink, "skipped_events_total"), skipped, "sink {sink}:\n{metrics}");
}

#[test]
fn tenants_go_to_sinks_of_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let tables = [
        file_sink(directory.path(), "a", "[ { tenant = \"a\" } ]"),
        file_sink(directory.path(), "b", "[ { tenant = \"b\" } ]"),
        file_sink(directory.path(), "others", "[ { tenant = [\"a\", \"b\"], not = true } ]"),
        "[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\n[[tenant]]\nname = \"b\"\nnetworks = [\"127.0.0.3\"]\n".to_owned(),
    ];
    let relay = Relay::to_stdout().tables(&tables.concat()).start();
    for (address, numbers) in [("127.0.0.2", 0..40), ("127.0.0.3", 40..70), ("127.0.0.4", 70..75)] {
        let mut sender = Sender::connect_from(relay.lines, address);
        sender.send(numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
        sender.finish();
    }
    relay.writes(75);
    let metrics = relay.until(|metrics| ["out", "a", "b", "others"].iter().all(|sink| metrics.buffered(sink) == 0));
    for (sink, skipped) in [("out", 0), ("a", 35), ("b", 45), ("others", 70)] {
        balances(&metrics, sink, skipped);
        assert_eq!(metrics.delivered(sink), 75 - skipped);
    }
    relay.stop().cleanly();
    for (sink, want) in [("a", 0..40), ("b", 40..70), ("others", 70..75)] {
        assert_eq!(numbers(&written(directory.path(), sink)), want.collect::<Vec<u64>>());
    }
}

/// A line of each format, all in one read and so in one entry of the buffer.
fn medley() -> String {
    let classic = "2018-07-02T22:23:00.186641Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 \
                   29 \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.38.0\" - -";
    let cut = alb(3);
    let cut = &cut[..cut.find(" 200 512").expect("a status")];
    format!("{}{classic}\n{}text\n{cut}\n{}", alb(1), json(1), alb(2))
}

#[test]
fn formats_go_to_different_sinks_in_every_schema() {
    let directory = tempfile::tempdir().expect("a directory");
    let whens = [
        ("alb", "[ { format = \"alb\" } ]", 2),
        ("elb", "[ { format = \"elb\" } ]", 3),
        ("json", "[ { format = [\"json\", \"text\"] } ]", 2),
        ("rejects", "[ { format = \"reject\" } ]", 1),
        ("good", "[ { format = \"reject\", not = true } ]", 5),
        ("nothing", "[ { format = \"alb\" }, { format = \"alb\", not = true } ]", 0),
    ];
    let mut tables: String = whens.iter().map(|(name, when, _)| file_sink(directory.path(), name, when)).collect();
    for schema in ["classic", "ecs"] {
        tables += &format!("[[source]]\nname = \"{schema}\"\ntype = \"tcp\"\naddress = \"127.0.0.1:0\"\nschema = \"{schema}\"\n");
    }
    let relay = Relay::to_stdout().tables(&tables).start();
    for source in ["in", "classic", "ecs"] {
        send(relay.lines_of(source), medley());
    }
    relay.writes(18);
    let metrics = relay.until(|metrics| whens.iter().all(|(sink, ..)| metrics.buffered(sink) == 0));
    for (sink, _, wanted) in whens {
        balances(&metrics, sink, 18 - 3 * wanted);
    }
    relay.stop().cleanly();
    for (sink, _, wanted) in whens {
        assert_eq!(written(directory.path(), sink).len() as u64, 3 * wanted, "{sink}");
    }
    let rejects = written(directory.path(), "rejects");
    assert!(rejects.iter().all(|document| document["elbow"]["reason"] == "too_few_fields"), "{rejects:?}");
}

#[test]
fn fields_decide_document_by_document() {
    let directory = tempfile::tempdir().expect("a directory");
    let tables = [
        file_sink(directory.path(), "failed", "[ { field = \"elb_status_code\", range = \"500-599\" } ]"),
        file_sink(directory.path(), "fine", "[ { field = \"elb_status_code\", range = \"500-599\", not = true } ]"),
        file_sink(directory.path(), "near", "[ { field = \"where.ip\", cidr = \"10.0.0.0/8\" }, { source = \"in\" } ]"),
    ];
    let relay = Relay::to_stdout().tables(&tables.concat()).start();
    let failed = |id| alb(id).replace(" 200 200 512", " 503 503 512");
    let mut text: String = (0..100).map(|id| if id % 3 == 0 { failed(id) } else { alb(id) }).collect();
    text += "{\"elb_status_code\":\"504\"}\n{\"elb_status_code\":[200,501]}\n{\"elb_status_code\":404}\n{\"status\":500}\n";
    text +=
        "{\"where\":{\"ip\":[\"192.0.2.1\",\"10.1.2.3\"]}}\n{\"where.ip\":\"10.0.0.1\"}\n{\"where\":{\"ip\":\"192.0.2.1\"}}\n";
    send(relay.lines, text);
    relay.writes(107);
    let metrics = relay.until(|metrics| ["failed", "fine", "near"].iter().all(|sink| metrics.buffered(sink) == 0));
    for (sink, wanted) in [("failed", 36), ("fine", 67), ("near", 2)] {
        balances(&metrics, sink, 107 - wanted);
    }
    relay.stop().cleanly();
    let status = |document: &Value| document["elb_status_code"].to_string();
    let failed = written(directory.path(), "failed");
    assert_eq!(failed.len(), 36);
    assert!(failed.iter().all(|document| status(document).contains("50")), "{failed:?}");
    let fine = written(directory.path(), "fine");
    assert!(fine.len() == 67 && fine.iter().all(|document| ["200", "404"].contains(&&*status(document))), "{fine:?}");
    assert_eq!(written(directory.path(), "near").len(), 2);
}

#[test]
fn a_sink_that_is_down_holds_nothing_that_it_is_not_to_have() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut logstash = FakeLogstash::absent();
    let setup = Relay::to(logstash.address())
        .sink("settle = \"200ms\"\nwhen = [ { format = \"json\" } ]")
        .in_directory(directory.path())
        .buffer("64MiB")
        .source("confirm = \"close\"")
        .tables("[[sink]]\nname = \"out\"\ntype = \"stdout\"\n");
    let relay = setup.clone().start();
    send(relay.lines, albs(0..300));
    // Nothing is outstanding, so that what is another's goes although nobody can be reached.
    let metrics = relay.until(|metrics| metrics.buffered("logstash") == 0 && metrics.buffered("out") == 0);
    balances(&metrics, "logstash", 300);
    send(relay.lines, format!("{}{}", (0..20).map(json).collect::<String>(), albs(300..310)));
    send(relay.lines, albs(310..400));
    let metrics = relay.until(|metrics| metrics.buffered("out") == 0 && metrics.received() == 420);
    assert_eq!(metrics.buffered("logstash"), 120, "what comes behind what is outstanding waits with it:\n{metrics}");
    balances(&metrics, "logstash", 300);
    relay.stop().cleanly();

    // What they were made from is on disk, too.
    let dump = elbow().args(["buffer", "dump", "--with-meta"]).arg(directory.path().join("data")).output().expect("it runs");
    let text = String::from_utf8(dump.stdout).expect("text");
    let count = |format: &str| text.matches(&format!("\"format\":\"{format}\",\"document\"")).count();
    assert_eq!((count("json"), count("alb") + count("json")), (20, text.lines().count()), "nothing without its format");

    logstash.appear();
    let relay = setup.start();
    send(relay.lines, albs(400..450));
    logstash.receives(20);
    let metrics = relay.until(|metrics| metrics.buffered("logstash") == 0 && metrics.received() == 50);
    balances(&metrics, "logstash", 150);
    assert_eq!((metrics.delivered("logstash"), of(&metrics, "logstash", "restored_events")), (20, 120));
    relay.stop().cleanly();
    let mut ids = logstash.ids();
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<u64>>());
}

#[test]
fn dead_letters_are_no_sinks_whatever_it_wants() {
    let directory = tempfile::tempdir().expect("a directory");
    let relay = Relay::to_stdout()
        .in_directory(directory.path())
        .buffer("64MiB")
        .source("format = \"alb\"\non_reject = \"dead_letter\"\nconfirm = \"close\"")
        .tables(&file_sink(directory.path(), "rejects", "[ { format = \"reject\" } ]"))
        .start();
    send(relay.lines, format!("{}no such log\n{}", alb(1), alb(2)));
    relay.writes(2);
    let metrics = relay.until(|metrics| metrics.buffered("rejects") == 0 && metrics.received() == 3);
    balances(&metrics, "rejects", 2);
    relay.stop().cleanly();
    assert_eq!(written(directory.path(), "rejects"), [] as [Value; 0]);
    let listed = elbow().args(["dead-letters", "list", "-c"]).arg(directory.path().join("elbow.toml")).output().expect("it runs");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("no such log"));
}

#[test]
fn a_check_says_who_gets_what_and_finds_names_that_are_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = |when: &str| {
        let file = Relay::to_stdout().sink(&format!("when = {when}")).write_in(directory.path());
        let output = elbow().args(["check", "-c"]).arg(file).output().expect("it runs");
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).expect("text"))
    };
    let (status, said) = check("[ { format = [\"alb\", \"nlb\"] }, { source = \"in\", not = true } ]");
    assert_eq!(status, Some(0), "{said}");
    for words in ["format alb, nlb", "source not in", "every sink has a `when`"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (status, said) = check("[ { format = \"abl\" }, { tenant = \"web\" } ]");
    assert_eq!(status, Some(2), "{said}");
    for words in ["did you mean \"alb\"?", "there is no tenant \"web\""] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_tenant_that_a_reload_takes_away_leaves_its_sink_without_documents() {
    let directory = tempfile::tempdir().expect("a directory");
    let tenant = |name: &str, address: &str| format!("[[tenant]]\nname = \"{name}\"\nnetworks = [\"{address}\"]\n");
    let setup = |tenants: String| {
        let sink = file_sink(directory.path(), "a", "[ { tenant = \"a\" } ]");
        Relay::to_stdout().in_directory(directory.path()).tables(&format!("{sink}{tenants}"))
    };
    let relay = setup(tenant("a", "127.0.0.2") + &tenant("b", "127.0.0.3")).start();
    let say = |text: &str| {
        let mut sender = Sender::connect_from(relay.lines, "127.0.0.2");
        sender.send(text);
        sender.finish();
    };
    say("{\"n\":1}\n");
    wait_for(|| (!written(directory.path(), "a").is_empty()).then_some(()), || relay.log_text());
    setup(tenant("b", "127.0.0.3")).write_in(directory.path());
    relay.hang_up();
    relay.says("tenants");
    let gone = || {
        say("{\"n\":2}\n");
        let metrics = relay.metrics();
        (of(&metrics, "a", "skipped_events_total") > 0).then_some(())
    };
    wait_for(gone, || relay.log_text());
    relay.stop().cleanly();
    assert!(!written(directory.path(), "a").is_empty());
}
