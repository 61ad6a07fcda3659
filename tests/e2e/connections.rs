//! Limits of connections: silence, a full house, descriptors used up.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::relay::Relay;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::stays;

#[test]
fn a_silent_connection_is_closed_and_a_talking_one_is_not() {
    let relay = Relay::to_stdout().source("idle_timeout = \"2s\"").start();
    let begun = Instant::now();
    let mut silent = relay.sender();
    silent.send("whole\nhalf");
    let mut talking = relay.sender();
    // It says a few bytes of one line every now and then, for longer than the timeout.
    let talk = thread::spawn(move || {
        for _ in 0..30 {
            talking.send("word ");
            thread::sleep(Duration::from_millis(100));
        }
        talking.send("\n");
        talking.finish();
    });
    // Its end is a reset: a clean one could be taken for a confirmation of the half line.
    silent.ends().expect_err("it is reset");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    talk.join().expect("the one that talks is not closed");
    let documents = relay.writes(2);
    assert_eq!(documents[0]["message"], "whole");
    assert_eq!(documents[1]["message"], "word ".repeat(30));
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"idle\""), 1);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"closed\""), 1);
    assert_eq!(metrics.sum("source_unfinished_bytes_total"), 4);
    assert_eq!(relay.stop().cleanly().documents.len(), 2);
}

#[test]
fn a_full_house_holds_back_and_refuses_nobody() {
    let relay = Relay::to_stdout().source("max_connections = 2").start();
    let (mut first, mut second) = (relay.sender(), relay.sender());
    first.send("first\n");
    second.send("second\n");
    relay.writes(2);
    for line in 0..10 {
        let mut waiting = relay.sender();
        waiting.send(alb(line));
        waiting.close();
    }
    first.send("first again\n");
    relay.writes(3);
    let metrics = relay.metrics();
    assert_eq!((metrics.sum("source_connections_total"), metrics.sum("source_connections_open")), (2, 2));
    second.finish();
    assert_eq!(relay.writes(13).len(), 13, "one place is enough for all of them, one after the other");
    first.finish();
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!((metrics.sum("source_connections_total"), metrics.sum("source_accept_errors_total")), (12, 0));
    relay.stop().cleanly();
}

#[test]
fn used_up_descriptors_are_waited_for_without_spinning() {
    let relay = Relay::to_stdout().descriptors(40).start();
    // This connection to the admin listener is open from now on, so that it needs no descriptor later.
    relay.metrics();
    let mut senders: Vec<Sender> = (0..60).map(|_| relay.sender()).collect();
    let metrics = relay.until(|metrics| metrics.sum("source_accept_errors_total") > 0);
    let open = metrics.sum("source_connections_open");
    assert!(open < 40, "{metrics}");
    relay.says("could not be accepted");

    let (errors, time, watched) = (metrics.sum("source_accept_errors_total"), relay.processor_time(), Instant::now());
    let mut slept = Duration::ZERO;
    stays(Duration::from_secs(2), || slept = watched.elapsed());
    let new = relay.metrics().sum("source_accept_errors_total") - errors;
    // The waits double from 10 ms to 1 s, so the first second has seven.
    assert!(new <= 8 + slept.as_secs(), "{new} errors in {slept:?}");
    let spent = relay.processor_time() - time;
    assert!(spent < slept / 4, "{spent:?} of processor time in {slept:?}");

    for (sender, line) in senders.iter_mut().zip(0..) {
        sender.send(albs(line..=line));
    }
    drop(senders);
    assert_eq!(relay.writes(60).len(), 60, "those that waited are served");
    send(relay.lines, "fresh\n");
    relay.writes(61);
    relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    relay.stop().cleanly();
}
