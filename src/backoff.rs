//! How long to wait between two attempts: exponential with full jitter, and never two attempts within one second.
//!
//! It has neither a clock nor a source of randomness: both arrive as arguments, so that a test sees every moment.

use std::time::Duration;
use std::time::Instant;

/// The longest first wait: half a second.
pub const FIRST: Duration = Duration::from_millis(500);

/// The longest wait at all.
pub const LONGEST: Duration = Duration::from_secs(30);

/// Two attempts start at least this far apart, even after a success.
pub const APART: Duration = Duration::from_secs(1);

/// The waits of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    /// Failures in a row.
    failures: u32,
    started: Option<Instant>,
}

impl Backoff {
    /// Notes that an attempt starts.
    pub fn start(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Notes that an attempt did what it was for: the next wait is a first one again.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Notes that an attempt failed, or what it had set up broke; gives the moment from which the next one may start.
    ///
    /// `draw` is any number, all equally likely.
    pub fn fail(&mut self, now: Instant, draw: u64) -> Instant {
        let longest = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let micros = u64::try_from(longest.as_micros()).expect("half a minute in microseconds fits");
        let wait = now + Duration::from_micros(draw % (micros + 1));
        self.started.map_or(wait, |started| wait.max(started + APART))
    }

    /// Attempts that failed since one last succeeded.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_wait_doubles_up_to_half_a_minute() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        for longest in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000] {
            let full = longest * 1_000;
            let mut twin = backoff;
            assert_eq!(twin.fail(now, full + 1), now, "jitter is full: it goes down to nothing");
            assert_eq!(backoff.fail(now, full), now + Duration::from_millis(longest));
        }
        assert_eq!(backoff.failures(), 9);
        backoff.succeed();
        assert_eq!(backoff.fail(now, 500_000), now + FIRST);
    }

    proptest! {
        #[test]
        fn two_attempts_are_a_second_apart_and_none_is_put_off_for_long(
            attempts in proptest::collection::vec((any::<u64>(), 0..3_000u64, any::<bool>()), 1..60)
        ) {
            let mut backoff = Backoff::default();
            let mut start = Instant::now();
            for (draw, lasted, succeeds) in attempts {
                backoff.start(start);
                let end = start + Duration::from_millis(lasted);
                if succeeds {
                    backoff.succeed();
                }
                let next = backoff.fail(end, draw);
                prop_assert!(next >= start + APART && next >= end);
                prop_assert!(next <= (end + LONGEST).max(start + APART));
                start = next;
            }
        }
    }
}
