//! `[[sink]]` tables of type `lumberjack`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::decide::Shared;
use crate::config::reader::Reader;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::sink::DialPlan;
use crate::sink::LumberjackPlan;

use super::SECONDS_TO_MINUTES;
use super::decide_hosts;
use super::tls;

/// Keys that these sinks have.
pub(super) const KEYS: [&str; 11] = [
    "hosts",
    "load_balance",
    "compression",
    "compression_level",
    "window_events",
    "window_bytes",
    "pipeline",
    "connect_timeout",
    "user_timeout",
    "ack_timeout",
    "progress_timeout",
];

/// The reference server (go-lumber 0.2) refuses windows of more events.
const WINDOW_EVENTS: RangeInclusive<u32> = 1..=10_000;

/// Events of a window of Beats (`bulk_max_size`).
const WINDOW_EVENTS_DEFAULT: u32 = 2_048;

/// Above, one window would take longer to be stored than a server may be silent.
const WINDOW_BYTES: RangeInclusive<u64> = 64 << 10..=64 << 20;

/// Servers say every few seconds that they are working; below, one that was late once would be sent everything again.
const ACK_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);
const PROGRESS_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(3_600);

/// Reads one.
pub(super) fn decide(sink: &mut Reader<'_, '_>, shared: &Shared) -> Option<LumberjackPlan> {
    let hosts = decide_hosts(sink);
    let load_balance = sink.switch("load_balance", false);
    let compression = decide_compression(sink);
    let window_events = sink.integer("window_events", WINDOW_EVENTS, WINDOW_EVENTS_DEFAULT);
    let window_bytes = sink.size("window_bytes", WINDOW_BYTES, 4 << 20, Origin::Default);
    let pipeline = sink.integer("pipeline", 1..=64, 4);
    let connect_timeout = sink.duration("connect_timeout", SECONDS_TO_MINUTES, Duration::from_secs(10));
    let user_timeout = sink.duration("user_timeout", SECONDS_TO_MINUTES, Duration::from_secs(30));
    let ack_timeout = sink.duration("ack_timeout", ACK_TIMEOUT, Duration::from_secs(60));
    let progress_timeout = sink.duration("progress_timeout", PROGRESS_TIMEOUT, Duration::from_secs(300));
    let dial = DialPlan { connect_timeout, user_timeout, tls: tls::decide(sink, false) };
    let number = |number: u32| usize::try_from(number).expect("its range ends far below");
    let window_bytes = usize::try_from(window_bytes).expect("its range ends far below");
    Some(LumberjackPlan {
        hosts: hosts?,
        load_balance,
        dial,
        compression,
        window_events: number(window_events),
        window_bytes,
        pipeline: number(pipeline),
        held_bytes: shared.held_bytes(window_bytes),
        ack_timeout,
        progress_timeout,
    })
}

/// The level of zlib; 0 is none.
fn decide_compression(sink: &mut Reader<'_, '_>) -> u32 {
    let words = [("none", false), ("zlib", true)];
    let is_on = sink.one_of("compression", &Words { now: &words, later: &[] }, ("none", false));
    let level = sink.integer("compression_level", 1..=9, 3);
    if is_on { level } else { 0 }
}
