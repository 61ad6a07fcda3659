//! When a sender that is turned away may come again: as long as it takes until there is room, at the rate at which room has
//! been made lately.
//!
//! ```text
//! seconds = ⌈(over + waiting + wanted) / rate⌉, at least 1 and at most 60
//!
//! rate     bytes per second that left during the last half minute: the buffer where that is full, memory where that is
//! over     bytes above the mark below which entries are taken again
//! waiting  bytes of those who wait already
//! wanted   a megabyte for the one who asks
//! ```
//!
//! Figures of the buffer are in events; the events it holds say how large one is. It reads no clock and waits for nothing.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Cause;
use crate::buffer::BufferStat;
use crate::buffer::Condition;

/// Bounds of the answer, in seconds. A sender that hears more may well have given up.
const SECONDS_MIN: u64 = 1;
const SECONDS_MAX: u64 = 60;

/// What one request needs to be worth coming again for, in bytes.
const WANTED_BYTES: u64 = 1 << 20;

/// How far back the rate looks, and how far apart it looks.
const WINDOW: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_secs(1);

/// What is taken for the size of an event where the buffer holds none, in bytes.
const EVENT_BYTES: u64 = 1024;

/// What had left by a moment, in events.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// The buffer: delivered to every sink.
    delivered: u64,
    /// The memory: committed, or delivered where there is nothing but memory.
    committed: u64,
}

/// The rates of one source's buffer.
#[derive(Debug)]
pub(crate) struct Retry {
    samples: Mutex<VecDeque<Sample>>,
}

impl Retry {
    /// From here on.
    pub(crate) fn new(stat: &BufferStat, now: Instant) -> Self {
        Self { samples: Mutex::new(VecDeque::from([sample(stat, now)])) }
    }

    /// Seconds until a request that is refused for this cause may be sent again. `waiting` events wait for room, and as many
    /// reads for memory.
    pub(crate) fn after(&self, cause: Cause, stat: &BufferStat, waiting: (u64, usize), now: Instant) -> u64 {
        let (first, last) = self.look(stat, now);
        let event_bytes = stat.bytes.checked_div(stat.events).unwrap_or(EVENT_BYTES).max(1);
        let per_second = |events: u64| {
            let millis = u64::try_from((last.at - first.at).as_millis()).unwrap_or(u64::MAX).max(1);
            events.saturating_mul(event_bytes).saturating_mul(1000) / millis
        };
        let (needed, rate) = match cause {
            Cause::BufferFull => {
                // A full disk takes entries again once a tenth is free.
                let mark = if matches!(stat.condition, Condition::Full(_)) { stat.bytes_max / 10 * 9 } else { stat.bytes_max };
                let over = stat.bytes.saturating_sub(mark);
                (over + waiting.0.saturating_mul(event_bytes), per_second(last.delivered - first.delivered))
            }
            Cause::MemoryFull => (waiting.1 as u64 * WANTED_BYTES, per_second(last.committed - first.committed)),
            Cause::NotInTime => {
                let queued = stat.disk.map_or(0, |disk| disk.queued_bytes);
                (queued, per_second(last.committed - first.committed))
            }
            // Another relay behind the same address takes it at once.
            Cause::Stopping => return SECONDS_MIN,
            _ => return SECONDS_MAX,
        };
        match rate {
            0 => SECONDS_MAX,
            rate => (needed + WANTED_BYTES).div_ceil(rate).clamp(SECONDS_MIN, SECONDS_MAX),
        }
    }

    /// Notes how it is, and gives the beginning and the end of the window.
    fn look(&self, stat: &BufferStat, now: Instant) -> (Sample, Sample) {
        let mut samples = self.samples.lock().expect("nobody panics while counting");
        let last = sample(stat, now);
        while samples.len() > 1 && samples.get(1).is_some_and(|next| now - next.at >= WINDOW) {
            samples.pop_front();
        }
        let first = samples.front().copied().unwrap_or(last);
        if samples.back().is_none_or(|newest| now - newest.at >= LOOK) {
            samples.push_back(last);
        }
        (first, last)
    }
}

fn sample(stat: &BufferStat, at: Instant) -> Sample {
    let restored = stat.cursors.iter().map(|cursor| cursor.events_restored).max().unwrap_or(0);
    let delivered = (stat.events_appended + restored).saturating_sub(stat.events);
    let committed = stat.disk.map_or(delivered, |disk| stat.events_appended.saturating_sub(disk.queued_events));
    Sample { at, delivered, committed }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer of so many events of a kilobyte each, of so many that have ever come.
    fn stat(held: u64, appended: u64) -> BufferStat {
        let (bytes, bytes_max) = (held * 1024, 64 << 20);
        BufferStat { bytes, bytes_max, events: held, events_appended: appended, ..BufferStat::default() }
    }

    /// The answer after `seconds` in which so many events have left, with a full buffer and so many waiting.
    #[track_caller]
    fn check(left: u64, seconds: u64, waiting: u64, want: u64) {
        let begun = Instant::now();
        let full = 64 << 10;
        let retry = Retry::new(&stat(full, full), begun);
        let now = begun + Duration::from_secs(seconds);
        let after = retry.after(Cause::BufferFull, &stat(full, full + left), (waiting, 0), now);
        assert_eq!(after, want, "{left} events in {seconds} s, {waiting} waiting");
    }

    #[test]
    fn it_is_what_is_needed_by_what_leaves() {
        check(1024, 1, 0, 1);
        check(1024, 4, 0, 4);
        check(1024, 1, 9 * 1024, 10);
        check(1024, 1, 1 << 30, 60);
        check(0, 10, 0, 60);
        check(1 << 20, 1, 0, 1);
    }

    #[test]
    fn what_left_long_ago_does_not_count() {
        let begun = Instant::now();
        let retry = Retry::new(&stat(10, 10), begun);
        let mut after = 0;
        for second in 1..=100 {
            // It drains for ten seconds and then no more.
            let appended = 10 + second.min(10) * 1024;
            let now = begun + Duration::from_secs(second);
            after = retry.after(Cause::BufferFull, &stat(10, appended), (0, 0), now);
        }
        assert_eq!(after, 60);
        assert!(retry.samples.lock().expect("alone").len() <= 32);
    }

    #[test]
    fn a_full_disk_has_to_drain_to_its_mark() {
        let begun = Instant::now();
        let stat = |appended| {
            let full = Condition::Full(crate::buffer::log::Full::Limit);
            BufferStat { condition: full, ..stat(64 << 10, appended) }
        };
        let retry = Retry::new(&stat(1 << 20), begun);
        let after = retry.after(Cause::BufferFull, &stat((1 << 20) + 1024), (0, 0), begun + Duration::from_secs(1));
        // A tenth of 64 MiB, and one more, at a megabyte a second.
        assert_eq!(after, 8);
    }

    #[test]
    fn a_relay_that_stops_leaves_it_to_another() {
        let now = Instant::now();
        let retry = Retry::new(&stat(0, 0), now);
        assert_eq!(retry.after(Cause::Stopping, &stat(0, 0), (0, 0), now), 1);
        assert_eq!(retry.after(Cause::NotStored, &stat(0, 0), (0, 0), now), 60);
    }
}
