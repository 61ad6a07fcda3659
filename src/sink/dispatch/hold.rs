//! When nothing is sent, because what was sent last did not get through.

use std::time::Duration;
use std::time::Instant;

use crate::backoff::Backoff;

/// A hold on all that is sent.
#[derive(Debug, Default)]
pub(super) struct Hold {
    backoff: Backoff,
    /// When it last failed and until when it waits since then: what was sent before that says the same again.
    failed: Option<(Instant, Instant)>,
    until: Option<Instant>,
}

impl Hold {
    /// Until when nothing is sent.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether nothing is sent now; it ends by being asked after its time.
    pub(super) fn is_on(&mut self, now: Instant) -> bool {
        self.until = self.until.filter(|until| *until > now);
        self.until.is_some()
    }

    /// Notes that something is sent.
    pub(super) fn start(&mut self, now: Instant) {
        self.backoff.start(now);
    }

    /// Notes that something got through.
    pub(super) fn succeed(&mut self) {
        self.backoff.succeed();
    }

    /// Notes that what was sent then did not, and how long it was asked to wait; fails once for all that was under way together.
    pub(super) fn fail(&mut self, sent: Instant, now: Instant, retry_after: Option<Duration>, draw: u64) {
        let next = match self.failed {
            Some((at, next)) if sent <= at => next,
            _ => {
                let next = self.backoff.fail(now, draw);
                self.failed = Some((now, next));
                next
            }
        };
        self.wait(retry_after.map_or(next, |after| next.max(now + after)));
    }

    /// Sends nothing before then.
    pub(super) fn wait(&mut self, until: Instant) {
        self.until = Some(self.until.map_or(until, |before| before.max(until)));
    }
}
