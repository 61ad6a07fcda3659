//! Parcels that did not arrive and are sent again, each not before its moment.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::sink::parcel::Bounds;
use crate::sink::parcel::Parcel;

/// How long a parcel may wait for others beside its own wait, to be sent with them.
const TOGETHER: Duration = Duration::from_secs(1);

/// The queue of them.
#[derive(Debug, Default)]
pub(super) struct Again {
    waiting: VecDeque<Waiting>,
    held: usize,
}

/// A parcel and the moment before which it is not sent.
#[derive(Debug)]
struct Waiting {
    at: Option<Instant>,
    parcel: Parcel,
    /// Bytes of the batches that it keeps in memory.
    held: usize,
}

impl Again {
    /// Has a parcel sent again before all others.
    pub(super) fn first(&mut self, parcel: Parcel) {
        self.insert(0, None, parcel);
    }

    /// The same in two halves, where it has two documents.
    pub(super) fn first_in_halves(&mut self, parcel: Parcel) {
        match parcel.halves() {
            Ok((first, second)) => {
                // Before all others, so that one request at a time keeps the order.
                self.first(second);
                self.first(first);
            }
            Err(parcel) => self.first(parcel),
        }
    }

    /// Has a parcel sent again behind the others, not before `at`.
    pub(super) fn last(&mut self, at: Option<Instant>, parcel: Parcel) {
        self.insert(self.waiting.len(), at, parcel);
    }

    /// The same, and together with others that are sent soon after that moment: what is refused a document at a time would otherwise
    /// be sent again a document at a time, too.
    pub(super) fn together(&mut self, at: Instant, parcel: Parcel) {
        let soon = at..=at + TOGETHER;
        let others = self.waiting.iter().filter_map(|waiting| waiting.at).filter(|other| soon.contains(other));
        self.last(Some(others.min().unwrap_or(at)), parcel);
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that are kept in memory for them.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// When the first of those that wait may be sent.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|waiting| waiting.at).min()
    }

    /// The first that may be sent now: within the bounds, which may have become narrower, and together with others as far as
    /// they fit.
    pub(super) fn due(&mut self, now: Instant, bounds: &Bounds) -> Option<Parcel> {
        let is_due = |waiting: &Waiting| waiting.at.is_none_or(|at| at <= now);
        let first = self.waiting.iter().position(is_due)?;
        let parcel = self.remove(first)?;
        if parcel.is_part() {
            return Some(parcel);
        }
        let (mut whole, mut rest) = (parcel.successor(), parcel.successor());
        for run in parcel.runs().iter().cloned() {
            if !rest.is_empty() {
                rest.push(run);
            } else if let Some(left) = whole.fill(run, bounds) {
                rest.push(left);
            }
        }
        if !rest.is_empty() {
            self.insert(first, None, rest);
            return Some(whole);
        }
        if whole.is_suspect() {
            return Some(whole);
        }
        let fits = |whole: &Parcel, parcel: &Parcel| {
            let (events, bytes) = (whole.len() + parcel.len(), whole.bytes() + parcel.bytes());
            !parcel.is_part() && !parcel.is_suspect() && bytes + events * bounds.each <= bounds.bytes && events <= bounds.events
        };
        while let Some(next) = self.waiting.iter().position(|waiting| is_due(waiting) && fits(&whole, &waiting.parcel)) {
            if let Some(parcel) = self.remove(next) {
                whole.join(parcel);
            }
        }
        Some(whole)
    }

    fn insert(&mut self, place: usize, at: Option<Instant>, parcel: Parcel) {
        let held = parcel.held();
        self.held += held;
        self.waiting.insert(place, Waiting { at, parcel, held });
    }

    fn remove(&mut self, place: usize) -> Option<Parcel> {
        let waiting = self.waiting.remove(place)?;
        self.held -= waiting.held;
        Some(waiting.parcel)
    }
}
