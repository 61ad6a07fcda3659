//! Stops in order, under load and without anybody to deliver to, and two relays that want the same directory.

use std::time::Duration;
use std::time::Instant;

use crate::harness::Oracle;
use crate::harness::STOPPED;
use crate::producer::Mode;
use crate::support::lines::json;

/// A stop with nothing to wait for. Twice what it may take, because the disk is busy with the other tests; less than senders
/// are given to close.
const QUICK: Duration = Duration::from_secs(4);

const EVERY: &[Mode] = &[Mode::RawTrusted, Mode::Close, Mode::Close, Mode::Line, Mode::Line, Mode::Http, Mode::Http];

#[test]
fn a_stop_under_load_ends_soon_and_forgets_nothing() {
    let mut oracle = Oracle::new("SIGTERM under load").with_sink();
    oracle.start();
    oracle.produce(EVERY);
    for _ in 0..2 {
        let before = oracle.ledger.totals().confirmed;
        oracle.until(|totals| totals.confirmed > before + 500);
        oracle.relay().terminate();
        let in_flight = oracle.ledger.totals().in_flight();
        let ended = oracle.ends().cleanly().within(STOPPED);
        let at = |message: &str| {
            let says = |line: &str| line.contains(message);
            ended.log_text.lines().position(says).unwrap_or_else(|| panic!("no {message:?} in\n{}", ended.log_text))
        };
        assert!(at("received SIGTERM") < at("intake has ended"), "{}", ended.log_text);
        oracle.seen(in_flight > 0);
        oracle.cycles += 1;
        oracle.start();
    }
    let totals = oracle.finish();
    assert_eq!(totals.out_of_order, 0, "lines of a producer arrive in its order: {totals:?}");
}

#[test]
fn a_stop_without_sinks_waits_for_nobody_and_keeps_the_backlog() {
    let mut oracle = Oracle::new("SIGTERM, sink away");
    oracle.start();
    let kept = oracle.send(500, 4_000);
    let before = oracle.relay().metrics().sum("buffer_events");
    assert_eq!(before, 500);
    oracle.stop().within(QUICK);
    oracle.seen(true);
    oracle.cycles += 1;
    oracle.start();
    assert_eq!(oracle.relay().metrics().sum("buffer_events"), before, "the backlog is intact");
    assert_eq!(oracle.ledger.arrivals(&kept), 0);
    let totals = oracle.finish();
    assert_eq!((totals.delivered, totals.duplicates), (501, 0), "nothing was ever sent before");
}

/// The sum of what the relay gives senders, sinks and its disk when each of them is stuck.
const STUCK: Duration = Duration::from_secs(14);

#[test]
#[ignore = "12 s: senders that are held back cannot close"]
fn long_a_stop_with_a_full_buffer_keeps_what_is_stored() {
    let mut oracle = Oracle::new("SIGTERM, buffer full").with(|setup| setup.buffer("16MiB"));
    oracle.start();
    oracle.pause(Duration::ZERO);
    oracle.produce(&[Mode::Raw, Mode::Close, Mode::Close, Mode::Line, Mode::Line]);
    let full = oracle.until_held_back();
    oracle.seen(full.in_flight() > 0);
    oracle.relay().terminate();
    // Lines that were read and found no room are nobody's: their senders have no confirmation, and the status says so.
    let ended = oracle.ends_within(STUCK);
    assert!(matches!(ended.status, Some(0 | 3)), "{:?}: {}", ended.status, ended.log_text);
    oracle.cycles += 1;
    oracle.finish();
}

#[test]
fn a_second_signal_ends_a_stop_at_once_and_keeps_the_backlog() {
    let mut oracle = Oracle::new("SIGTERM twice");
    oracle.start();
    oracle.send(500, 4_000);
    // One who never closes: the stop gives it time.
    let mut lingering = oracle.relay().sender();
    lingering.send(&json(0)[..20]);
    oracle.relay().until(|metrics| metrics.sum("source_connections_open") >= 1);
    oracle.relay().terminate();
    assert_eq!(lingering.ends().expect("it is asked to close"), 0);
    oracle.relay().says("senders have");
    let asked_again = Instant::now();
    oracle.relay().terminate();
    let ended = oracle.ends();
    assert!(asked_again.elapsed() <= QUICK, "{}", ended.log_text);
    ended.cleanly().entry("asked again to stop");
    oracle.seen(true);
    oracle.cycles += 1;
    oracle.finish();
}

#[test]
fn a_second_relay_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let mut oracle = Oracle::new("two relays").with_sink();
    oracle.start();
    oracle.produce(EVERY);
    oracle.until(|totals| totals.confirmed > 200);
    let second = oracle.setup.clone().spawn().ended().with(1).within(QUICK);
    let directory = oracle.data.to_str().expect("text");
    assert!(second.log_text.contains(directory), "it names the directory:\n{}", second.log_text);
    oracle.seen(true);
    oracle.cycles += 1;
    let before = oracle.ledger.totals().confirmed;
    oracle.until(|totals| totals.confirmed > before + 200);
    oracle.finish();
}
