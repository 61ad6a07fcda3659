//! A token bucket that never drops: what has come is paid for afterwards, and nothing more is taken until it is.
//!
//! How large a read is, and how many events it has, is known once it has been read. So the bucket may go into debt by one read,
//! and whoever comes next waits until the debt is paid off. Over any time, no more is taken than the rate allows, a burst and
//! one read aside. A machine: time is an argument.

use std::time::Duration;
use std::time::Instant;

/// What so much a second comes to.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Tokens a second.
    rate: f64,
    /// Most tokens it holds.
    burst: f64,
    /// Tokens in it; below zero while it is in debt.
    level: f64,
    /// When that was so.
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    ///
    /// # Panics
    /// When the rate is 0: nothing would ever be taken.
    pub(super) fn new(rate: u64, burst: u64, now: Instant) -> Self {
        assert!(rate > 0, "a rate of nothing is a refusal, not a limit");
        let burst = burst.max(1) as f64;
        Self { rate: rate as f64, burst, level: burst, at: now }
    }

    /// How long to wait before more may be taken; nothing where it is not in debt.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        if self.level >= 0.0 {
            return Duration::ZERO;
        }
        // A microsecond more, so that whoever comes back then does not find a rounding error left.
        Duration::try_from_secs_f64(-self.level / self.rate).unwrap_or(Duration::MAX).saturating_add(Duration::from_micros(1))
    }

    /// Takes what has come, whether there is as much or not.
    pub(super) fn pay(&mut self, tokens: u64, now: Instant) {
        self.fill(now);
        self.level -= tokens as f64;
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.level = (self.level + since.as_secs_f64() * self.rate).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_free_and_what_comes_on_top_of_it_is_waited_for() {
        let now = Instant::now();
        let mut bucket = Bucket::new(100, 200, now);
        bucket.pay(200, now);
        assert_eq!(bucket.wait(now), Duration::ZERO, "it is empty, and not in debt");
        bucket.pay(50, now);
        assert_eq!(bucket.wait(now), Duration::from_micros(500_001));
        assert_eq!(bucket.wait(now + Duration::from_millis(400)), Duration::from_micros(100_001));
        assert_eq!(bucket.wait(now + Duration::from_millis(501)), Duration::ZERO);
        bucket.pay(100, now + Duration::from_secs(3_600));
        bucket.pay(101, now + Duration::from_secs(3_600));
        assert!(bucket.wait(now + Duration::from_secs(3_600)) > Duration::ZERO, "an hour of silence is worth one burst");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_twice() {
        let now = Instant::now() + Duration::from_secs(10);
        let mut bucket = Bucket::new(10, 1, now);
        bucket.pay(11, now);
        bucket.pay(0, now - Duration::from_secs(5));
        assert!(bucket.wait(now) >= Duration::from_secs(1));
    }

    proptest! {
        /// Reads of any size at any time, each begun when the bucket says so: never more than the rate, a burst and one read.
        #[test]
        fn no_more_is_taken_than_the_rate_allows_and_no_less_by_one_who_always_comes(
            rate in 1..1_000_000u64, burst in 1..2_000_000u64, reads in vec((1..100_000u64, 0..50u64), 1..60),
        ) {
            let begun = Instant::now();
            let mut now = begun;
            let mut bucket = Bucket::new(rate, burst, now);
            let (mut taken, mut idle, mut largest) = (0u64, Duration::ZERO, 0u64);
            for (bytes, pause) in reads {
                let pause = Duration::from_millis(pause);
                now += pause;
                idle += pause;
                let wait = bucket.wait(now);
                now += wait;
                prop_assert_eq!(bucket.wait(now), Duration::ZERO, "whoever waits as long as he is told is served");
                bucket.pay(bytes, now);
                taken += bytes;
                largest = largest.max(bytes);
                let allowed = (now - begun).as_secs_f64() * rate as f64 + (burst + largest) as f64;
                prop_assert!(taken as f64 <= allowed * 1.000_001 + 1.0, "{taken} of {allowed}");
            }
            let busy = (now - begun - idle).as_secs_f64();
            prop_assert!(busy * rate as f64 <= taken as f64 * 1.000_001 + 60.0, "nobody waits for longer than it takes");
        }
    }
}
