//! Parcels that did not arrive and are sent again, each not before its moment.

use std::collections::VecDeque;
use std::time::Instant;

use crate::sink::parcel::Bounds;
use crate::sink::parcel::Parcel;

/// The queue of them.
#[derive(Debug, Default)]
pub(super) struct Again {
    waiting: VecDeque<(Option<Instant>, Parcel)>,
}

impl Again {
    /// Has a parcel sent again before all others.
    pub(super) fn first(&mut self, parcel: Parcel) {
        self.waiting.push_front((None, parcel));
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
        self.waiting.push_back((at, parcel));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that are kept in memory for them.
    pub(super) fn held(&self) -> usize {
        self.waiting.iter().map(|(_, parcel)| parcel.held()).sum()
    }

    /// When the first of those that wait may be sent.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|(at, _)| *at).min()
    }

    /// The first that may be sent now: within the bounds, which may have become narrower, and together with others as far as
    /// they fit.
    pub(super) fn due(&mut self, now: Instant, bounds: &Bounds) -> Option<Parcel> {
        let is_due = |at: &Option<Instant>| at.is_none_or(|at| at <= now);
        let first = self.waiting.iter().position(|(at, _)| is_due(at))?;
        let (_, parcel) = self.waiting.remove(first)?;
        if parcel.is_part() {
            return Some(parcel);
        }
        let (mut whole, mut rest) = (Parcel::default(), Parcel::default());
        (whole.tries, rest.tries) = (parcel.tries, parcel.tries);
        for run in parcel.runs().iter().cloned() {
            if !rest.is_empty() {
                rest.push(run);
            } else if let Some(left) = whole.fill(run, bounds) {
                rest.push(left);
            }
        }
        if !rest.is_empty() {
            self.waiting.insert(first, (None, rest));
            return Some(whole);
        }
        let fits = |whole: &Parcel, parcel: &Parcel| {
            let (events, bytes) = (whole.len() + parcel.len(), whole.bytes() + parcel.bytes());
            !parcel.is_part() && bytes + events * bounds.each <= bounds.bytes && events <= bounds.events
        };
        while let Some(next) = self.waiting.iter().position(|(at, parcel)| is_due(at) && fits(&whole, parcel)) {
            if let Some((_, parcel)) = self.waiting.remove(next) {
                whole.join(parcel);
            }
        }
        Some(whole)
    }
}
