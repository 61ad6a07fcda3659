//! Nothing is lost on the way to a destination that is absent, late, cut off or killed.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::flood::Flood;
use crate::support::lines::albs;
use crate::support::lines::all_arrived;
use crate::support::lines::id;
use crate::support::lines::in_order_by_connection;
use crate::support::lines::json;
use crate::support::logstash::FakeLogstash;
use crate::support::logstash::RECEIVE_BUFFER_BYTES;
use crate::support::reader;
use crate::support::reader::Readers;
use crate::support::relay::Relay;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::wait_for;

#[test]
fn an_absent_logstash_loses_nothing() {
    let mut logstash = FakeLogstash::absent();
    let relay = Relay::to(logstash.address()).start();
    send(relay.lines, albs(0..1_000));
    relay.until(|metrics| metrics.buffered("logstash") == 1_000 && metrics.sum("sink_failures_total") > 0);
    let (status, ready) = relay.page("/ready");
    assert_eq!(status, 200, "an absent destination is no reason to send lines elsewhere");
    assert!(ready.contains("cannot connect"), "{ready}");
    logstash.appear();
    assert_eq!(logstash.receives(1_000), (0..1_000).collect::<Vec<_>>());
    relay.until(|metrics| metrics.delivered("logstash") == 1_000 && metrics.buffered("logstash") == 0);
    relay.stop().cleanly();
    assert_eq!(logstash.count(), 1_000, "and none twice");
}

#[test]
fn a_logstash_that_is_cut_off_gets_the_rest_and_what_it_may_have_missed() {
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).start();
    let mut sender = relay.sender();
    sender.send(albs(0..500));
    logstash.receives(500);
    logstash.cut();
    sender.send(albs(500..1_000));
    wait_for(|| logstash.ids().contains(&999).then_some(()), || "the last line".to_owned());
    sender.finish();
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == 1_000);
    let again = all_arrived(0..1_000, &logstash.ids()) as u64;
    assert!(again <= metrics.sum("sink_retried_events_total"), "{again} came again");
    assert_eq!(logstash.connections(), 2);
    relay.stop().cleanly();
}

/// Sends `count` lines on as many connections in parallel, each closed at once; returns when all are sent.
fn burst(address: SocketAddr, first: u64, count: u64) {
    let opened: Vec<Sender> = (0..count).map(|_| Sender::connect(address)).collect();
    for (mut sender, line) in opened.into_iter().zip(first..) {
        sender.send(json(line));
        sender.close();
    }
}

/// Memory may move by this much between two moments of the same load.
const FLAT_BYTES: u64 = 4 << 20;

fn the_original_sender(connections: u64) {
    const BURST: u64 = 500;
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).sink("settle = \"200ms\"").start();
    let at_rest = |delivered: u64| {
        relay.until(|metrics| metrics.delivered("logstash") == delivered);
        relay.resident_bytes()
    };
    let mut early = 0;
    for first in (0..connections).step_by(usize::try_from(BURST).expect("small")) {
        burst(relay.lines, first, BURST);
        logstash.receives(usize::try_from(first + BURST).expect("few"));
        if first + BURST == connections / 4 {
            early = at_rest(first + BURST);
        }
    }
    let late = at_rest(connections);
    let metrics = relay.metrics();
    assert_eq!(metrics.sum("source_connections_total"), connections);
    assert_eq!(metrics.sum("source_connections_open"), 0);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"closed\""), connections);
    assert!(late < early + FLAT_BYTES, "memory grew from {early} to {late} bytes");
    relay.stop().cleanly();
    assert_eq!(all_arrived(0..connections, &logstash.ids()), 0, "none twice");
}

#[test]
fn the_original_sender_s_lines_all_arrive_once() {
    the_original_sender(2_000);
}

#[test]
#[ignore = "a few seconds: 20 000 connections, to see that memory stays flat"]
fn twenty_thousand_connections_of_one_line_all_arrive_once() {
    the_original_sender(20_000);
}

/// Entry of the process that is killed below; nothing by itself.
#[test]
#[ignore = "no test: the other process of those about a killed reader"]
fn reader_process() {
    reader::main();
}

/// Bytes of a document of these tests at the least.
const DOCUMENT_BYTES: u64 = 1_000;

/// Lines read between two kills.
const LINES_A_LIFE: u64 = 10_000;

/// When nothing was written for so long, the reader's kernel is full, and the relay knows what that has acknowledged.
const SAMPLED: Duration = Duration::from_millis(200);

/// What a send queue can hold (`tcp_wmem`), and what is sent between two looks at it: released that much later.
const SEND_QUEUE_BYTES: u64 = 5 << 20;

fn a_reader_killed_in_mid_stream(kills: u64) {
    // Above what the reader's kernel can hold unread: such bytes are sent again. `settle` is longer than a reader is halted
    // here, even on a busy machine, so that it counts as one that reads.
    let resend_bytes = 4 * RECEIVE_BUFFER_BYTES as u64;
    let settings = format!("resend_bytes = {resend_bytes}\nsettle = \"20s\"");
    let mut readers = Readers::new("delivery::reader_process");
    readers.start();
    let relay = Relay::to(readers.address()).sink(&settings).memory("64MiB").start();
    let flood = Flood::start(relay.lines, 2, 0, u64::from(u32::MAX));
    for kill in 1..=kills {
        wait_for(
            || (readers.count() >= kill * LINES_A_LIFE).then_some(()),
            || format!("{} documents\n{}\n{}", readers.count(), relay.metrics(), relay.log_text()),
        );
        readers.freeze();
        let mut last = (0, Instant::now());
        relay.until(|metrics| {
            let written = metrics.sum("sink_written_bytes_total");
            if written != last.0 {
                last = (written, Instant::now());
            }
            last.1.elapsed() > SAMPLED
        });
        readers.kill();
        relay.until(|metrics| metrics.sum("sink_failures_total") >= kill);
        readers.start();
    }
    let read = readers.count();
    wait_for(|| (readers.count() > read + 1_000).then_some(()), || format!("{} documents after the last kill", readers.count()));
    flood.enough();
    let sent = flood.finish();
    let metrics = relay.metrics();
    relay.stop().cleanly();
    let again = all_arrived(sent, &readers.ids()) as u64;
    let retried = metrics.sum("sink_retried_events_total");
    assert!(retried > 0, "the kills were felt");
    assert!(again <= retried, "{again} came again, {retried} were sent again");
    // Of what a kill interrupts, only what is neither `settle` old nor followed by `resend_bytes` is sent again.
    let bound = kills * (resend_bytes + SEND_QUEUE_BYTES) / DOCUMENT_BYTES;
    assert!(retried <= bound, "{retried} were sent again, {bound} at most");
}

#[test]
fn a_reader_killed_in_mid_stream_gets_every_line() {
    a_reader_killed_in_mid_stream(2);
}

#[test]
#[ignore = "about 20 s: ten kills"]
fn a_reader_killed_ten_times_in_mid_stream_gets_every_line() {
    a_reader_killed_in_mid_stream(10);
}

#[test]
fn one_dead_sink_holds_another_back_only_at_the_bound() {
    let alive = FakeLogstash::listening();
    let mut dead = FakeLogstash::absent();
    let relay = Relay::to(alive.address())
        .sink("settle = \"200ms\"")
        .and_to("dead", dead.address())
        .sink("settle = \"200ms\"")
        .memory("32MiB")
        .buffer("8MiB")
        .start();
    send(relay.lines, albs((0..2_000).map(|line| id(0, line))));
    alive.receives(2_000);
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == 2_000);
    assert_eq!((metrics.delivered("dead"), metrics.buffered("dead")), (0, 2_000));

    let address = relay.lines;
    let sending = thread::spawn(move || {
        let mut sender = Sender::connect(address);
        sender.send(albs((0..60_000).map(|line| id(1, line))));
        sender.finish();
    });
    // The buffer is full when the living sink has delivered all of it and nothing more is received.
    let bound = relay.metrics().sum("buffer_max_bytes");
    let mut last = 0;
    let metrics = relay.until(|metrics| {
        let received = metrics.received();
        let same = received == std::mem::replace(&mut last, received);
        same && metrics.delivered("logstash") == metrics.appended() && metrics.sum("buffer_bytes") + (1 << 20) > bound
    });
    assert!(metrics.sum("buffer_bytes") <= bound);
    assert_eq!((metrics.delivered("dead"), metrics.buffered("dead")), (0, metrics.received()));
    assert!(!sending.is_finished(), "the sender waits");
    assert!(metrics.appended() < 62_000);

    dead.appear();
    sending.join().expect("the sender goes on");
    relay.until(|metrics| metrics.delivered("logstash") == 62_000 && metrics.delivered("dead") == 62_000);
    relay.stop().cleanly();
    for logstash in [&alive, &dead] {
        let ids = logstash.ids();
        assert_eq!(ids.len(), 62_000);
        in_order_by_connection(&ids, 2);
    }
}
