//! A destination that stops reading: senders stall, memory keeps its bound, nothing is lost.

use std::time::Duration;
use std::time::Instant;

use crate::support::flood::Flood;
use crate::support::lines::in_order_by_connection;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::stays;

/// What the process needs beside the data its budget is about.
const BASE_BYTES: u64 = 40 << 20;

const SENDERS: usize = 8;

/// Nothing is read any more when nothing was for so long.
const STALLED: Duration = Duration::from_secs(2);

fn a_sink_that_stops_reading(stall: Duration) {
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).sink("settle = \"500ms\"").memory("64MiB").start();
    let flood = Flood::start(relay.lines, SENDERS, 1_500, u64::from(u32::MAX));
    logstash.receives(100);
    logstash.stop_reading();
    flood.stalls();
    relay.until(|metrics| metrics.sum("sink_up") == 0);
    // Senders that get nothing away may do so because they, or the relay, have not been given a processor for a while, and what the
    // kernel holds of theirs is still being read. It is full when nothing is read any more, although there is something to read.
    let mut last = (0, Instant::now());
    let stalled = relay.until(|metrics| {
        let received = metrics.sum("source_received_bytes_total");
        if received != last.0 {
            last = (received, Instant::now());
        }
        last.1.elapsed() >= STALLED
    });
    relay.says("destination has stopped reading");
    // What is admitted for the next read, and what batches hold beside their documents, comes out of the same budget.
    assert!(stalled.sum("buffer_bytes") * 10 >= stalled.sum("buffer_max_bytes") * 8, "the buffer has been filled:\n{stalled}");

    let received = stalled.sum("source_received_bytes_total");
    stays(stall, || {
        assert_eq!(relay.metrics().sum("source_received_bytes_total"), received, "the sockets are not read");
        assert!(relay.resident_bytes() <= (64 << 20) + BASE_BYTES);
    });
    assert_eq!(relay.page("/health").0, 200, "back-pressure is no illness");

    flood.enough();
    logstash.read_again();
    let sent = flood.finish();
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == sent.len() as u64);
    assert!(metrics.sum("memory_bytes") <= 1 << 20, "everything is given back:\n{metrics}");
    let most = relay.resident_bytes_max();
    assert!(most <= (64 << 20) + BASE_BYTES, "{most} bytes at the most");
    relay.stop().cleanly();
    let arrived = logstash.ids();
    assert_eq!(arrived.len(), sent.len(), "none is lost and none came twice");
    in_order_by_connection(&arrived, SENDERS);
}

#[test]
fn a_sink_that_stops_reading_stalls_senders_and_loses_nothing() {
    a_sink_that_stops_reading(Duration::from_secs(3));
}

#[test]
#[ignore = "70 s: a sink that stops reading for a minute"]
fn a_sink_that_stops_reading_for_a_minute_stalls_senders_and_loses_nothing() {
    a_sink_that_stops_reading(Duration::from_secs(60));
}
