//! How many requests a sink has under way at once and how large they are: as much as the destination takes, found by trying.
//!
//! Concurrency grows by one per round trip while answers are good and no slower than they were, and is halved when the
//! destination says that it is too much. Where one request alone is too much, again and again, sizes are halved, and now and then
//! twice as much is tried. Sizes grow back slowly from small after an outage. It has no clock: times arrive as arguments.

use std::time::Duration;
use std::time::Instant;

/// The bounds of a pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacePlan {
    /// Bytes of a request that is not the first after an outage.
    pub bytes: usize,
    /// Requests under way at once, at most.
    pub concurrency: usize,
    /// Bytes of documents that what is under way, sent again or refused may keep in memory before nothing new is read or sent.
    pub held_bytes: usize,
}

/// Bytes of the first request after an outage.
const SMALL: usize = 128 << 10;

/// Refusals in a row, of requests that nothing else was under way with, after which smaller ones are tried: the waits between them,
/// two or three seconds, are what a destination that is only busy for a moment gets.
const ALONE: u32 = 3;

/// How long sizes stay halved at the least, …
const LIGHT_MIN: Duration = Duration::from_secs(60);

/// … and at the most, where each trial of larger ones has failed.
const LIGHT_MAX: Duration = Duration::from_secs(960);

/// How much slower than usual an answer may be before it counts as a sign of too much.
const SLOW: u32 = 3;

/// Where it was too much the last time, concurrency grows so many times more slowly: a refused request costs its documents and a wait
/// of a second, and a destination that can do one request at a time would refuse every other one.
const CAREFUL: f64 = 16.0;

/// Parts of which one is what the newest answer counts in the usual time.
const MEMORY: u32 = 16;

/// A pace.
#[derive(Debug)]
pub(super) struct Pace {
    plan: PacePlan,
    /// Requests that may be under way, in parts of one.
    limit: f64,
    /// What that was when it was last too much, while it has not been so high again.
    brink: Option<f64>,
    bytes: usize,
    /// What a request may not pass since the destination called a larger one too large.
    ceiling: usize,
    /// Refusals in a row of requests that were alone.
    alone: u32,
    /// What a request may not pass for a while since it was too much alone.
    light: Option<Light>,
    usual: Option<Duration>,
    /// Answers to what was sent before then say nothing new about the last change.
    changed: Option<Instant>,
}

/// Sizes that are smaller for a while.
#[derive(Clone, Copy, Debug)]
struct Light {
    bytes: usize,
    since: Instant,
    /// After how long twice as much is tried.
    wait: Duration,
    /// Whether that is being tried.
    is_trial: bool,
}

impl Pace {
    pub(super) fn new(plan: PacePlan) -> Self {
        let (bytes, ceiling) = (plan.bytes, plan.bytes);
        Self { plan, limit: 1.0, brink: None, bytes, ceiling, alone: 0, light: None, usual: None, changed: None }
    }

    /// Requests that may be under way.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between one and the plan's number")]
    pub(super) fn concurrency(&self) -> usize {
        (self.limit as usize).clamp(1, self.plan.concurrency.max(1))
    }

    /// Bytes a request may have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.min(self.ceiling).min(self.light.map_or(usize::MAX, |light| light.bytes))
    }

    /// Notes a good answer to a request sent at `sent`; `was_full` says that no further one could have been under way.
    pub(super) fn good(&mut self, sent: Instant, now: Instant, was_full: bool) {
        self.bytes = self.bytes.saturating_mul(2).min(self.plan.bytes);
        self.took_some();
        self.try_more(now);
        let took = now.duration_since(sent);
        let usual = *self.usual.get_or_insert(took);
        self.usual = Some((usual * (MEMORY - 1) + took) / MEMORY);
        if took > usual * SLOW && self.limit >= 2.0 {
            self.shrink(sent, now, 0.8);
        } else if was_full {
            #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
            let most = self.plan.concurrency.max(1) as f64;
            let step = 1.0 / self.limit;
            let is_brink = self.brink.is_some_and(|brink| self.limit + step >= brink.floor());
            self.limit = (self.limit + if is_brink { step / CAREFUL } else { step }).min(most);
            self.brink = self.brink.filter(|brink| self.limit < brink + 1.0);
        }
    }

    /// Notes that the destination had too much to do.
    pub(super) fn too_much(&mut self, sent: Instant, now: Instant) {
        let limit = self.limit;
        if self.shrink(sent, now, 0.5) {
            self.brink = Some(limit);
        }
    }

    /// Notes that it took documents, if not all.
    pub(super) fn took_some(&mut self) {
        self.alone = 0;
    }

    /// Notes that the destination had too much to do with one request of so many bytes and nothing beside it. Says whether it is not
    /// to be sent again as it is: smaller ones are tried.
    pub(super) fn too_much_alone(&mut self, bytes: usize, now: Instant) -> bool {
        let smallest = SMALL.min(self.plan.bytes);
        self.alone += 1;
        if self.alone < ALONE || bytes <= smallest {
            return false;
        }
        self.alone = 0;
        let wait = match self.light {
            None => LIGHT_MIN,
            Some(light) if light.is_trial => (light.wait * 2).min(LIGHT_MAX),
            Some(light) => light.wait,
        };
        self.light = Some(Light { bytes: (bytes / 2).max(smallest), since: now, wait, is_trial: false });
        true
    }

    /// Notes that a request of so many bytes was too large.
    pub(super) fn too_large(&mut self, bytes: usize) {
        self.ceiling = self.ceiling.min(bytes / 2).max(SMALL.min(self.plan.bytes));
    }

    /// Notes that the destination could not be reached or did not answer as it should.
    pub(super) fn outage(&mut self) {
        self.limit = 1.0;
        self.brink = None;
        self.bytes = SMALL.min(self.plan.bytes);
        self.usual = None;
        self.alone = 0;
    }

    /// Allows requests twice as large after a while in which they were smaller.
    fn try_more(&mut self, now: Instant) {
        let Some(light) = self.light.filter(|light| now.saturating_duration_since(light.since) >= light.wait) else { return };
        let bytes = light.bytes.saturating_mul(2);
        let wait = if light.is_trial { (light.wait / 2).max(LIGHT_MIN) } else { light.wait };
        self.light = (bytes < self.plan.bytes).then_some(Light { bytes, since: now, wait, is_trial: true });
    }

    /// Once for all that was under way together, and says whether this is that time.
    fn shrink(&mut self, sent: Instant, now: Instant, part: f64) -> bool {
        if self.changed.is_some_and(|changed| sent < changed) {
            return false;
        }
        self.limit = (self.limit * part).max(1.0);
        self.changed = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: PacePlan = PacePlan { bytes: 5 << 20, concurrency: 16, held_bytes: 1 << 30 };

    /// A destination that works on `capacity` requests at once, each for 100 ms, and lets twice as many wait; what is more is too
    /// much. Gives how many answers were good in these seconds.
    fn drive(pace: &mut Pace, capacity: usize, seconds: u32) -> u32 {
        let mut good = 0;
        let mut now = Instant::now();
        for _ in 0..seconds * 10 {
            let under_way = pace.concurrency();
            let sent = now;
            now += Duration::from_millis(100);
            for place in 0..under_way {
                match place / capacity {
                    0 => {
                        good += 1;
                        pace.good(sent, now, true);
                    }
                    waited @ 1..3 => pace.good(sent, now + Duration::from_millis(100) * waited as u32, true),
                    _ => pace.too_much(sent, now),
                }
            }
        }
        good
    }

    #[test]
    fn it_finds_what_a_destination_can_do_and_stays_there() {
        for capacity in [1, 2, 4, 8, 16] {
            let mut pace = Pace::new(PLAN);
            drive(&mut pace, capacity, 10);
            let good = drive(&mut pace, capacity, 10);
            assert!(good as usize >= 100 * capacity * 9 / 10, "{good} answers of {}", 100 * capacity);
            assert!(pace.concurrency() <= PLAN.concurrency.min(capacity * 4));
        }
    }

    #[test]
    fn what_was_under_way_together_slows_it_down_once() {
        let mut pace = Pace::new(PLAN);
        let start = Instant::now();
        for _ in 0..200 {
            pace.good(start, start, true);
        }
        assert_eq!(pace.concurrency(), 16);
        let later = start + Duration::from_secs(1);
        for _ in 0..16 {
            pace.too_much(start, later);
        }
        assert_eq!(pace.concurrency(), 8);
        pace.too_much(later, later + Duration::from_secs(1));
        assert_eq!(pace.concurrency(), 4);
    }

    #[test]
    fn after_an_outage_it_begins_small_and_comes_back() {
        let mut pace = Pace::new(PLAN);
        let now = Instant::now();
        drive(&mut pace, 16, 10);
        pace.outage();
        assert_eq!((pace.concurrency(), pace.bytes()), (1, SMALL));
        for _ in 0..6 {
            pace.good(now, now, false);
        }
        assert_eq!((pace.concurrency(), pace.bytes()), (1, 5 << 20));
        drive(&mut pace, 16, 10);
        assert!(pace.concurrency() >= 14);
    }

    #[test]
    fn what_was_too_large_is_not_tried_again() {
        let mut pace = Pace::new(PLAN);
        pace.too_large(4 << 20);
        pace.good(Instant::now(), Instant::now(), false);
        assert_eq!(pace.bytes(), 2 << 20);
        pace.too_large(2);
        assert_eq!(pace.bytes(), SMALL);
    }

    #[test]
    fn a_destination_at_its_limit_refuses_few_requests() {
        for capacity in [1, 2, 4, 8] {
            let mut pace = Pace::new(PLAN);
            let mut now = Instant::now();
            let (mut good, mut refused) = (0, 0);
            for _ in 0..600 {
                let (sent, under_way) = (now, pace.concurrency());
                now += Duration::from_millis(100);
                for place in 0..under_way {
                    if place < capacity {
                        good += 1;
                        pace.good(sent, now, true);
                    } else {
                        refused += 1;
                        pace.too_much(sent, now);
                    }
                }
            }
            assert!(refused * 12 <= good, "{refused} of {} with {capacity} at once", good + refused);
            assert!(good >= 600 * capacity * 7 / 10, "{good} good ones of {}", 600 * capacity);
            // What it can do it may be able to do later; and then it is asked to.
            let before = pace.concurrency();
            drive(&mut pace, 16, 10);
            assert!(pace.concurrency() > before && pace.concurrency() >= 14, "{}", pace.concurrency());
        }
    }

    /// A destination that takes no request of more than `most` bytes and refuses each with "too much"; `seconds` of one request after
    /// another, refused ones with a wait of a second. Gives how many were refused.
    fn weigh(pace: &mut Pace, now: &mut Instant, most: usize, seconds: u64) -> usize {
        let end = *now + Duration::from_secs(seconds);
        let mut refused = 0;
        while *now < end {
            let (sent, bytes) = (*now, pace.bytes());
            *now += Duration::from_millis(100);
            if bytes <= most {
                pace.good(sent, *now, true);
            } else {
                refused += 1;
                pace.too_much(sent, *now);
                pace.too_much_alone(bytes, *now);
                *now += Duration::from_secs(1);
            }
        }
        refused
    }

    #[test]
    fn what_is_too_much_even_alone_is_made_smaller_and_larger_again() {
        let mut pace = Pace::new(PLAN);
        let mut now = Instant::now();
        // Once or twice says only that the destination is busy.
        assert!(!pace.too_much_alone(5 << 20, now) && !pace.too_much_alone(5 << 20, now));
        assert_eq!(pace.bytes(), 5 << 20);
        pace.took_some();
        assert_eq!(weigh(&mut pace, &mut now, 2 << 20, 30), 6);
        assert_eq!(pace.bytes(), (5 << 20) / 4);
        // What is too much for good is tried less and less often: after 1, 2, 4, 8 and 16 minutes.
        assert_eq!(weigh(&mut pace, &mut now, 2 << 20, 3_600), 3 * 6);
        // Once the destination takes more, it gets more: in half an hour at the latest.
        assert_eq!(weigh(&mut pace, &mut now, 5 << 20, 1_800), 0);
        assert_eq!(pace.bytes(), 5 << 20);
    }

    #[test]
    fn requests_are_never_made_smaller_than_small() {
        let mut pace = Pace::new(PLAN);
        let mut now = Instant::now();
        weigh(&mut pace, &mut now, 0, 600);
        assert_eq!(pace.bytes(), SMALL);
        assert!((0..10).all(|_| !pace.too_much_alone(SMALL, now)));
    }
}
