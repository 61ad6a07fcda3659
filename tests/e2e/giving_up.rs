//! A sink that is away while the buffer is full: what it was to have is dropped and counted, or becomes dead letters, or stops
//! senders, as `when_full` says; and nobody else notices.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::lines::albs;
use crate::support::lines::all_arrived;
use crate::support::lines::id_of;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::relay::elbow;
use crate::support::scrape::Metrics;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::stays;

fn of(metrics: &Metrics, sink: &str, family: &str) -> u64 {
    metrics.sum_where(&format!("sink_{family}"), &format!("sink=\"{sink}\""))
}

fn given_up(metrics: &Metrics) -> u64 {
    of(metrics, "dead", "given_up_events_total")
}

/// Whether the books of a sink balance.
fn balances(metrics: &Metrics, sink: &str) -> bool {
    let families = [
        "delivered_events_total",
        "buffered_events",
        "refused_events_total",
        "given_up_events_total",
        "skipped_events_total",
        "lost_events_total",
    ];
    let accounted: u64 = families.iter().map(|family| of(metrics, sink, family)).sum();
    metrics.received() + of(metrics, sink, "restored_events") == accounted + metrics.dropped()
}

/// A relay with the sinks `logstash` and `dead`, the latter with this `when_full`, and a small buffer on disk.
fn beside(good: &FakeLogstash, dead: &FakeLogstash, when_full: &str, directory: &Path) -> Setup {
    Relay::to(good.address())
        .sink("settle = \"200ms\"")
        .and_to("dead", dead.address())
        .sink(&format!("settle = \"200ms\"\nwhen_full = \"{when_full}\""))
        .in_directory(directory)
        .buffer("16MiB")
        .source("confirm = \"close\"")
}

/// `elbow dead-letters` with these words and the configuration in this directory: what it prints.
#[track_caller]
fn letters(directory: &Path, words: &[&str]) -> String {
    let mut command = elbow();
    let output = command.arg("dead-letters").args(words).arg("-c").arg(directory.join("elbow.toml")).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The numbers of the lines that are dead letters now.
#[track_caller]
fn exported(directory: &Path) -> Vec<u64> {
    letters(directory, &["export"]).lines().map(|letter| id_of(letter.as_bytes()).expect("a number")).collect()
}

/// How often the log has such an entry.
fn said(log: &[serde_json::Value], message: &str) -> usize {
    log.iter().filter(|entry| entry["message"].as_str().is_some_and(|text| text.contains(message))).count()
}

/// What the buffer cannot hold by far.
const SENT: u64 = 40_000;

/// Sends lines with the numbers from 0 on, each part when the one before is stored.
fn send_in_parts(relay: &Relay, sent: u64) {
    for from in (0..sent).step_by(2_000) {
        send(relay.lines, albs(from..(from + 2_000).min(sent)));
    }
}

#[test]
fn what_a_dead_sink_misses_is_dropped_and_counted_and_nobody_else_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let (good, mut dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let relay = beside(&good, &dead, "drop_oldest", directory.path()).start();
    for sent in (0..SENT).step_by(2_000) {
        send(relay.lines, albs(sent..sent + 2_000));
        // It keeps up: otherwise it would be right to wait for it.
        relay.until(|metrics| metrics.delivered("logstash") == sent + 2_000);
    }
    assert_eq!(all_arrived(0..SENT, &good.receives(SENT as usize)), 0);
    let metrics = relay.metrics();
    let missing = given_up(&metrics);
    assert!(missing > SENT / 4 && missing < SENT / 4 * 3, "{missing}");
    assert_eq!(metrics.sum_where("sink_dropped_events_total", "reason=\"buffer_full\",sink=\"dead\""), missing);
    assert_eq!(metrics.buffered("dead"), SENT - missing);
    assert_eq!((of(&metrics, "logstash", "given_up_events_total"), metrics.sum("dead_letters_events")), (0, 0));
    assert!(balances(&metrics, "dead") && balances(&metrics, "logstash"), "{metrics}");
    let (_, ready) = relay.page("/ready");
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
    assert_eq!((&ready["sinks"][1]["given_up_events"], &ready["ready"]), (&missing.into(), &true.into()));
    assert!(ready["sinks"][1]["gives_up_since"].is_string() && ready["sinks"][0]["gives_up_since"].is_null(), "{ready}");

    dead.appear();
    let metrics = relay.until(|metrics| metrics.buffered("dead") == 0);
    assert_eq!((metrics.delivered("dead"), given_up(&metrics)), (SENT - missing, missing));
    assert!(balances(&metrics, "dead"), "{metrics}");
    assert_eq!(all_arrived(missing..SENT, &dead.ids()), 0, "the newest, each once");
    let ended = relay.stop().cleanly();
    assert_eq!(said(&ended.log, "the oldest events of this sink are given up"), 1, "{}", ended.log_text);
    assert_eq!(said(&ended.log, "no more events of this sink are given up"), 1, "{}", ended.log_text);
    assert_eq!(said(&ended.log, "there is no room"), 0, "nobody was told to wait: {}", ended.log_text);
}

#[test]
fn what_a_dead_sink_misses_becomes_dead_letters_and_is_replayed_to_it_alone() {
    const SENT: u64 = 20_000;
    let directory = tempfile::tempdir().expect("a directory");
    let (good, mut dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let setup = beside(&good, &dead, "dead_letter", directory.path());
    let relay = setup.clone().start();
    send_in_parts(&relay, SENT);
    good.receives(SENT as usize);
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == SENT && balances(metrics, "dead"));
    let missing = given_up(&metrics);
    assert!(missing > 1_000, "{missing}");
    assert_eq!((metrics.sum("sink_dropped_events_total"), metrics.sum("dead_letters_events")), (0, missing));
    assert_eq!(all_arrived(0..missing, &exported(directory.path())), 0, "exactly those that are missing");
    let list = letters(directory.path(), &["list", "--limit", "1"]);
    assert!(list.contains(" in buffer_full ") && list.contains(" dead: the buffer was full"), "{list}");

    dead.appear();
    relay.until(|metrics| metrics.buffered("dead") == 0);
    relay.stop().cleanly();
    assert_eq!(all_arrived(missing..SENT, &dead.ids()), 0);
    let replayed = letters(directory.path(), &["replay"]);
    assert!(replayed.starts_with(&format!("{missing} letters replayed\n")), "{replayed}");
    let relay = setup.start();
    dead.receives(SENT as usize);
    let metrics = relay.until(|metrics| metrics.buffered("dead") + metrics.buffered("logstash") == 0);
    assert!(balances(&metrics, "dead") && balances(&metrics, "logstash"), "{metrics}");
    relay.stop().cleanly();
    assert_eq!(all_arrived(0..SENT, &dead.ids()), 0);
    assert_eq!(good.count(), SENT as usize, "it had them already");
    assert_eq!(exported(directory.path()).len(), 0);
}

#[test]
fn nothing_is_given_up_while_another_dead_sink_blocks() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut blocking, mut dead) = (FakeLogstash::absent(), FakeLogstash::absent());
    let relay = beside(&blocking, &dead, "drop_oldest", directory.path()).memory("32MiB").start();
    let lines = relay.lines;
    let sending = thread::spawn(move || {
        let mut sender = Sender::connect(lines);
        for number in (0..SENT).step_by(100) {
            sender.send(albs(number..number + 100));
        }
        sender.finish();
    });
    relay.says("there is no room");
    stays(Duration::from_secs(1), || {
        let metrics = relay.metrics();
        assert_eq!(given_up(&metrics), 0);
        assert!(!sending.is_finished(), "senders wait");
    });
    assert!(relay.metrics().received() < SENT);
    blocking.appear();
    sending.join().expect("it is all stored in the end");
    assert_eq!(all_arrived(0..SENT, &blocking.receives(SENT as usize)), 0);
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == SENT);
    assert!(given_up(&metrics) > 0 && balances(&metrics, "dead"), "once the other one has moved on, there is something to gain");
    dead.appear();
    let metrics = relay.until(|metrics| metrics.buffered("dead") == 0);
    assert_eq!(all_arrived(given_up(&metrics)..SENT, &dead.ids()), 0);
    relay.stop().cleanly();
}

#[test]
fn a_relay_that_is_killed_while_it_gives_up_loses_nothing_that_becomes_letters() {
    let directory = tempfile::tempdir().expect("a directory");
    let (good, mut dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let setup = beside(&good, &dead, "dead_letter", directory.path());
    let mut confirmed = BTreeSet::new();
    let mut sent = 0;
    for life in 0..4_u64 {
        let relay = setup.clone().start();
        // Until it gives up, and then some more, so that each life ends somewhere else in that.
        let mut parts = 0;
        while parts < 2 + life {
            let numbers = sent..sent + 1_500;
            send(relay.lines, albs(numbers.clone()));
            sent = numbers.end;
            confirmed.extend(numbers);
            parts += u64::from(given_up(&relay.metrics()) > 0);
        }
        // One more is under way.
        let mut sender = Sender::connect(relay.lines);
        let _ = sender.try_send(albs(sent..sent + 500));
        sent += 500;
        relay.kill();
        relay.ended();
    }
    dead.appear();
    let relay = setup.start();
    let metrics = relay.until(|metrics| metrics.buffered("dead") + metrics.buffered("logstash") == 0);
    assert!(balances(&metrics, "dead") && balances(&metrics, "logstash"), "{metrics}");
    relay.stop().cleanly();
    let letters = exported(directory.path());
    let arrived: BTreeSet<u64> = dead.ids().into_iter().chain(letters.iter().copied()).collect();
    assert!(letters.len() > 4_000, "{}", letters.len());
    assert_eq!(confirmed.difference(&arrived).count(), 0, "delivered, or a letter");
    let arrived: BTreeSet<u64> = good.ids().into_iter().collect();
    assert_eq!(confirmed.difference(&arrived).count(), 0, "the other one has everything");
    assert!(arrived.iter().all(|number| *number < sent), "and nothing else");
}

#[test]
fn the_books_are_closed_by_a_stop_and_opened_again_by_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (good, dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let setup = beside(&good, &dead, "drop_oldest", directory.path());
    let relay = setup.clone().start();
    let lines = relay.lines;
    let sending = thread::spawn(move || {
        let mut confirmed = 0;
        for from in (0..).step_by(500) {
            let Ok(mut sender) = Sender::try_connect_from(lines, "127.0.0.1") else { break };
            let is_sent = sender.try_send(albs(from..from + 500)).is_ok() && sender.try_half_close();
            if !is_sent || sender.ends().is_err() {
                break;
            }
            confirmed = from + 500;
        }
        confirmed
    });
    relay.until(|metrics| given_up(metrics) > 0);
    relay.terminate();
    let ended = relay.ended().cleanly();
    let confirmed = sending.join().expect("no panic");
    let given_up = ended.entry("events were given up because the buffer was full")["events"].as_u64().expect("a number");
    let relay = setup.start();
    let restored = of(&relay.metrics(), "dead", "restored_events");
    // The last part may be stored although nobody was told.
    assert!((confirmed..=confirmed + 500).contains(&(given_up + restored)), "{confirmed} {given_up} {restored}");
    relay.kill();
}

#[test]
fn in_memory_a_dead_sink_gives_up_what_it_keeps_others_from() {
    // Both take connections and read nothing. The sink over HTTP keeps what it has sent in memory, also once that is given up.
    for kind in ["logstash_tcp", "http"] {
        let (good, dead) = (FakeLogstash::listening(), FakeLogstash::listening());
        dead.stop_reading();
        let relay = Relay::to(good.address())
            .sink("settle = \"200ms\"")
            .and_sink("dead", kind, &format!("hosts = [\"{}\"]\nwhen_full = \"drop_oldest\"", host(kind, &dead)))
            .memory("16MiB")
            .buffer("12MiB")
            .source("confirm = \"close\"")
            .start();
        send_in_parts(&relay, SENT);
        assert_eq!(all_arrived(0..SENT, &good.receives(SENT as usize)), 0);
        let metrics = relay.until(|metrics| metrics.delivered("logstash") == SENT && balances(metrics, "dead"));
        assert!(given_up(&metrics) > SENT / 2, "{kind}: {metrics}");
        assert_eq!(of(&metrics, "logstash", "given_up_events_total"), 0, "{kind}: who keeps up loses nothing");
        assert_eq!(metrics.sum("sink_dropped_events_total"), given_up(&metrics));
        relay.kill();
    }
}

#[test]
fn a_tenant_is_not_held_back_for_what_is_given_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let (good, dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let tenants = "[[tenant]]\nname = \"web\"\nnetworks = [\"127.0.0.0/8\"]\nbuffer_percent = 10\n";
    let relay = beside(&good, &dead, "drop_oldest", directory.path()).tables(tenants).start();
    send_in_parts(&relay, SENT);
    assert_eq!(all_arrived(0..SENT, &good.receives(SENT as usize)), 0);
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == SENT && balances(metrics, "dead"));
    assert!(given_up(&metrics) > SENT / 4, "{metrics}");
    relay.stop().cleanly();
}

#[test]
fn in_memory_a_tenant_gets_on_although_what_it_may_hold_is_held_for_a_dead_sink() {
    // Of 16 MiB one tenant may hold half, and the buffer never comes to its own bound.
    const SENT: u64 = 9_000;
    let (good, dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let tenants = "[[tenant]]\nname = \"web\"\nnetworks = [\"127.0.0.0/8\"]\n";
    let relay = Relay::to(good.address())
        .sink("settle = \"200ms\"")
        .and_to("dead", dead.address())
        .sink("when_full = \"drop_oldest\"")
        .memory("16MiB")
        .buffer("12MiB")
        .source("confirm = \"close\"")
        .tables(tenants)
        .start();
    send(relay.lines, albs(0..SENT));
    assert_eq!(all_arrived(0..SENT, &good.receives(SENT as usize)), 0);
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == SENT && balances(metrics, "dead"));
    assert!(given_up(&metrics) > 0 && metrics.sum("buffer_bytes") < 10 << 20, "{metrics}");
    relay.kill();
}

fn host(kind: &str, dead: &FakeLogstash) -> String {
    let scheme = if kind == "http" { "http://" } else { "" };
    format!("{scheme}{}", dead.address())
}
