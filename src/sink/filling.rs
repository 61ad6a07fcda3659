//! The parcel that is being filled from what was read, and when it is time to send it: when it is full, when its first document has
//! waited for long enough, or at once where nothing else is under way.
//!
//! It reads nothing and sends nothing, and has no clock: times arrive as arguments.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::buffer::Entry;
use crate::sink::parcel::Bounds;
use crate::sink::parcel::Parcel;
use crate::sink::parcel::Run;

/// What is read and not sent.
#[derive(Debug)]
pub(super) struct Filling {
    /// Not in the parcel yet.
    read: VecDeque<Run>,
    next: Parcel,
    /// When that got its first document.
    since: Option<Instant>,
    linger: Duration,
}

impl Filling {
    /// Nothing yet. While others are under way, a parcel that is not full waits so long for more.
    pub(super) fn new(linger: Duration) -> Self {
        Self { read: VecDeque::new(), next: Parcel::default(), since: None, linger }
    }

    /// Adds documents behind the others.
    pub(super) fn add(&mut self, entry: Entry) {
        let to = u32::try_from(entry.batch.len()).expect("a batch has fewer documents than bytes");
        self.read.push_back(Run { entry, from: 0, to });
    }

    /// Fills the parcel from what was added.
    pub(super) fn pack(&mut self, bounds: &Bounds, now: Instant) {
        while let Some(run) = self.read.pop_front() {
            if let Some(rest) = self.next.fill(run, bounds) {
                self.read.push_front(rest);
                break;
            }
        }
        if self.since.is_none() && !self.next.is_empty() {
            self.since = Some(now);
        }
    }

    /// Whether there are no documents.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.read.is_empty()
    }

    /// Whether the parcel cannot take any more.
    pub(super) fn is_full(&self, bounds: &Bounds) -> bool {
        let Bounds { bytes, each, events } = *bounds;
        self.next.bytes() + self.next.len() * each >= bytes || self.next.len() >= events || !self.read.is_empty()
    }

    /// When the parcel has waited for long enough.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + self.linger)
    }

    /// The parcel, if it is to be sent now; then the next one is filled. `is_idle`: there is nothing to wait for.
    pub(super) fn take(&mut self, bounds: &Bounds, now: Instant, is_idle: bool) -> Option<Parcel> {
        let has_waited = self.due_at().is_some_and(|due| due <= now);
        if self.next.is_empty() || !(self.is_full(bounds) || has_waited || is_idle) {
            return None;
        }
        let parcel = std::mem::take(&mut self.next);
        self.since = None;
        self.pack(bounds, now);
        Some(parcel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::entry;

    const LINGER: Duration = Duration::from_millis(200);
    const BOUNDS: Bounds = Bounds { bytes: 1 << 20, each: 10, events: 4 };

    fn lens(filling: &mut Filling, now: Instant, is_idle: bool) -> Vec<usize> {
        std::iter::from_fn(|| filling.take(&BOUNDS, now, is_idle)).map(|parcel| parcel.len()).collect()
    }

    #[test]
    fn a_parcel_goes_when_it_is_full_when_it_has_waited_or_when_nothing_is_under_way() {
        let start = Instant::now();
        let mut filling = Filling::new(LINGER);
        assert!(filling.is_empty() && filling.due_at().is_none());
        for seq in 0..3 {
            filling.add(entry(seq, "1\n2\n3\n"));
        }
        filling.pack(&BOUNDS, start);
        assert!(filling.is_full(&BOUNDS) && !filling.is_empty());
        assert_eq!(lens(&mut filling, start, false), [4, 4]);
        assert_eq!(filling.due_at(), Some(start + LINGER));
        assert_eq!(lens(&mut filling, start + LINGER / 2, false), [0; 0]);
        assert_eq!(lens(&mut filling, start + LINGER, false), [1]);
        assert!(filling.is_empty() && filling.due_at().is_none());
        filling.add(entry(3, "1\n"));
        filling.pack(&BOUNDS, start);
        assert_eq!(lens(&mut filling, start, true), [1]);
    }
}
