//! Stopping: what was taken is delivered, or counted and named.

use std::io::ErrorKind;
use std::time::Duration;

use crate::support::lines::albs;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::scrape::Metrics;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::wait_for;

/// A stop with nothing to wait for. Far more than it takes, because the machine may be busy.
const QUICK: Duration = Duration::from_secs(2);

#[test]
fn idle_senders_are_asked_to_close_and_then_it_ends_at_once() {
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).start();
    let mut senders: Vec<Sender> = (0..20).map(|_| relay.sender()).collect();
    for (sender, line) in senders.iter_mut().zip(0..) {
        sender.send(albs(line..=line));
    }
    logstash.receives(20);
    relay.terminate();
    for sender in &mut senders {
        assert_eq!(sender.ends().expect("a clean end, not a reset"), 0);
    }
    let (ready, health) = (relay.page("/ready"), relay.page("/health"));
    assert_eq!((ready.0, health.0), (503, 200), "{}", ready.1);
    assert!(ready.1.contains("stop_intake"), "{}", ready.1);
    senders[0].send(albs(20..21));
    drop(senders);
    let ended = relay.ended().cleanly().within(QUICK);
    assert_eq!(ended.entry("everything is delivered")["delivered"], 21, "what was sent after the signal counts");
    assert_eq!(logstash.count(), 21);
}

#[test]
fn a_sender_that_never_closes_is_cut_off_at_the_deadline() {
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).start();
    let mut sender = relay.sender();
    sender.send("whole\nhalf a li");
    logstash.receives(1);
    relay.terminate();
    assert_eq!(sender.ends().expect("a clean end first"), 0);
    let ended = relay.ended().cleanly().within(Duration::from_secs(10));
    assert!(ended.took >= Duration::from_secs(3), "it is given time: {:?}", ended.took);
    assert_eq!(ended.entry("cut off")["connections"], 1);
    let error = wait_for(|| sender.try_send("ne\n").err(), || "the connection is still there".to_owned());
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(logstash.count(), 1, "the unfinished line is no event");
}

#[test]
fn the_second_signal_ends_it_at_once_and_the_log_names_what_is_lost() {
    let (alive, dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let relay = Relay::to(alive.address()).sink("settle = \"200ms\"").and_to("dead", dead.address()).start();
    send(relay.lines, albs(0..300));
    relay.until(|metrics| metrics.delivered("logstash") == 300);
    relay.terminate();
    relay.says("delivering what is left");
    assert_eq!((relay.page("/ready").0, relay.page("/health").0), (503, 200));
    relay.terminate();
    let ended = relay.ended().with(3).within(QUICK);
    ended.entry("asked again to stop");
    let lost = ended.entry("events are lost");
    assert_eq!(
        (lost["sink"].as_str(), lost["undelivered"].as_u64(), lost["delivered"].as_u64()),
        (Some("dead"), Some(300), Some(0))
    );
    assert_eq!(lost["level"], "ERROR");
    let kept = ended.entry("everything is delivered");
    assert_eq!((kept["sink"].as_str(), kept["delivered"].as_u64()), (Some("logstash"), Some(300)));
}

#[test]
#[ignore = "30 s: the hard limit"]
fn an_absent_sink_is_waited_for_until_the_hard_limit() {
    let dead = FakeLogstash::absent();
    let relay = Relay::to(dead.address()).start();
    send(relay.lines, albs(0..300));
    relay.until(|metrics| metrics.buffered("logstash") == 300);
    relay.terminate();
    relay.says("delivering what is left");
    let ended = relay.ended_after(Duration::from_secs(40)).with(3);
    assert!((Duration::from_secs(27)..Duration::from_secs(34)).contains(&ended.took), "{:?}", ended.took);
    assert_eq!(ended.entry("events are lost")["undelivered"], 300);
}

#[test]
fn a_logstash_that_appears_while_it_stops_gets_everything() {
    let mut logstash = FakeLogstash::absent();
    let relay = Relay::to(logstash.address()).start();
    send(relay.lines, albs(0..300));
    relay.until(|metrics| metrics.buffered("logstash") == 300);
    relay.terminate();
    relay.says("delivering what is left");
    logstash.appear();
    relay.ended().cleanly();
    assert_eq!(logstash.ids(), (0..300).collect::<Vec<_>>());
}

/// Stops a relay whose buffer is full; `senders` connections have sent `lines` each, more than it holds.
fn stop_when_full(senders: usize, lines: u64, full: impl Fn(&Metrics) -> bool) {
    let dead = FakeLogstash::absent();
    let relay = Relay::to(dead.address()).memory("16MiB").buffer("8MiB").start();
    let text = albs(0..lines);
    let mut senders: Vec<Sender> = (0..senders).map(|_| relay.sender()).collect();
    for sender in &mut senders {
        sender.send(&text);
    }
    let metrics = relay.until(full);
    assert!(metrics.appended() < lines * senders.len() as u64, "{metrics}");
    relay.terminate();
    drop(senders);
    relay.says("delivering what is left");
    let metrics = relay.metrics();
    relay.terminate();
    let ended = relay.ended().with(3).within(QUICK);
    let dropped = metrics.sum_where("source_dropped_events_total", "reason=\"stopped\"");
    assert!(dropped > 0, "{metrics}");
    assert_eq!(ended.entry("found no room")["events"], dropped);
    assert_eq!(ended.entry("the buffer is in memory")["undelivered"], metrics.appended());
    assert_eq!(metrics.received(), metrics.appended() + dropped, "{metrics}");
}

#[test]
fn what_found_no_room_before_the_end_is_counted_and_named() {
    stop_when_full(4, 1_900, |metrics| metrics.received() > metrics.appended());
}

#[test]
fn so_it_is_when_reads_wait_for_memory() {
    stop_when_full(60, 300, |metrics| metrics.sum("memory_waiting_reads") > 0 && metrics.received() > metrics.appended());
}

#[test]
fn connections_the_kernel_had_taken_before_the_signal_are_served() {
    let relay = Relay::to_stdout().source("max_connections = 1").start();
    let mut first = relay.sender();
    first.send("first\n");
    relay.writes(1);
    // There is no place for these: they wait with the kernel, and their senders believe that all is well.
    for line in ["second\n", "third\n"] {
        let mut sender = relay.sender();
        sender.send(line);
        sender.close();
    }
    relay.terminate();
    assert_eq!(first.ends().expect("a clean end"), 0);
    first.close();
    let ended = relay.ended().cleanly().within(QUICK);
    let messages: Vec<_> = ended.documents.iter().map(|document| document["message"].as_str().expect("text")).collect();
    assert_eq!(messages, ["first", "second", "third"]);
}

#[test]
fn nobody_is_let_in_after_the_signal() {
    let relay = Relay::to_stdout().start();
    let mut open = relay.sender();
    open.send("open\n");
    relay.writes(1);
    relay.terminate();
    assert_eq!(open.ends().expect("a clean end"), 0);
    let refused = || std::net::TcpStream::connect(relay.lines).err();
    let error = wait_for(refused, || "it still listens".to_owned());
    assert!(matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset), "{error}");
    open.close();
    relay.ended().cleanly();
}
