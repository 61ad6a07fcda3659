//! Documents that go out in one request: pieces of entries, in order, and what can be cut out of them.
//!
//! It refers to documents where they lie in their batches and copies none. Which of them arrived is not its business.

use std::sync::Arc;

use bytes::BytesMut;

use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::batch::Mark;
use crate::buffer::Entry;

/// Documents of one entry that follow one another.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// The entry.
    pub(super) entry: Entry,
    /// The first of them.
    pub(super) from: u32,
    /// Behind the last of them.
    pub(super) to: u32,
}

impl Run {
    /// How many documents.
    pub(super) fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// What is kept beside each of them.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.entry.batch.marks[self.from as usize..self.to as usize]
    }

    fn start(&self, document: u32) -> usize {
        document.checked_sub(1).map_or(0, |before| self.entry.batch.marks[before as usize].end as usize)
    }

    /// Where they lie in their batch.
    pub(super) fn range(&self) -> std::ops::Range<usize> {
        self.start(self.from)..self.start(self.to)
    }

    /// As many documents from the first on as have no more than these bytes, `each` counted for each beside its own; at least one.
    fn fitting(&self, bytes_max: usize, each: usize, events_max: usize) -> u32 {
        let start = self.start(self.from);
        let marks = self.marks();
        let fits = |position: usize| marks[position].end as usize - start + (position + 1) * each <= bytes_max;
        let (mut fit, mut beyond) = (0, marks.len().min(events_max));
        while fit < beyond {
            let middle = fit + (beyond - fit) / 2;
            if fits(middle) { fit = middle + 1 } else { beyond = middle }
        }
        self.from + u32::try_from(fit.max(1)).expect("a batch has fewer documents than bytes")
    }
}

/// Documents that go out together.
#[derive(Clone, Debug, Default)]
pub(super) struct Parcel {
    runs: Vec<Run>,
    events: usize,
    bytes: usize,
    /// Whether it is part of one that was too large, so that nothing may join it.
    is_part: bool,
    /// The waits between the attempts that it has behind it.
    pub(super) tries: Backoff,
    /// How often it was sent as a whole and lost.
    losses: u32,
    /// What had arrived of others when that was last so.
    arrivals: u64,
}

/// Losses after which others are sent before a parcel: it may be what it holds that the destination breaks off at.
const LOSSES_MAX: u32 = 5;

impl Parcel {
    /// Adds documents behind the others.
    pub(super) fn push(&mut self, run: Run) {
        if run.from == run.to {
            return;
        }
        self.events += run.len();
        self.bytes += run.range().len();
        match self.runs.last_mut() {
            Some(last) if Arc::ptr_eq(&last.entry.batch, &run.entry.batch) && last.to == run.from => last.to = run.to,
            _ => self.runs.push(run),
        }
    }

    /// Adds documents as long as the parcel stays within its bounds, and at least one to an empty one; gives the rest back.
    pub(super) fn fill(&mut self, mut run: Run, bounds: &Bounds) -> Option<Run> {
        let held = self.bytes + self.events * bounds.each;
        if self.events > 0 {
            let first = Run { to: run.from + 1, ..run.clone() }.range().len() + bounds.each;
            if held + first > bounds.bytes || self.events >= bounds.events {
                return Some(run);
            }
        }
        let left = bounds.bytes.saturating_sub(held);
        let cut = run.fitting(left, bounds.each, bounds.events.saturating_sub(self.events));
        let rest = (cut < run.to).then(|| Run { from: cut, ..run.clone() });
        run.to = cut;
        self.push(run);
        rest
    }

    /// How many documents.
    pub(super) fn len(&self) -> usize {
        self.events
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Bytes of the documents.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the batches that it keeps in memory.
    pub(super) fn held(&self) -> usize {
        let mut last = None;
        let first_of_each = self.runs.iter().filter(|run| last.replace(run.entry.seq) != Some(run.entry.seq));
        first_of_each.map(|run| run.entry.batch.docs.len()).sum()
    }

    /// The pieces it has.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The documents, newline included, with what is kept beside each and the batch it is of.
    pub(super) fn documents(&self) -> impl Iterator<Item = (&[u8], &Mark, &Batch)> {
        self.runs.iter().flat_map(|run| {
            let batch = &*run.entry.batch;
            let mut start = run.start(run.from);
            run.marks().iter().map(move |mark| {
                let document = &batch.docs[start..mark.end as usize];
                start = mark.end as usize;
                (document, mark, batch)
            })
        })
    }

    /// The first and the second half of its documents; `None` of one.
    pub(super) fn halves(self) -> Result<(Self, Self), Self> {
        if self.events < 2 {
            return Err(self);
        }
        let middle = self.events / 2;
        let part = || Self { is_part: true, losses: self.losses, arrivals: self.arrivals, ..Self::default() };
        let mut halves = (part(), part());
        for run in self.runs {
            let first = middle.saturating_sub(halves.0.events).min(run.len());
            let cut = run.from + u32::try_from(first).expect("a run has fewer documents than that");
            halves.0.push(Run { to: cut, ..run.clone() });
            halves.1.push(Run { from: cut, ..run });
        }
        Ok(halves)
    }

    /// The first `count` documents, or all where there are no more, and the rest.
    pub(super) fn split(self, count: usize) -> (Self, Self) {
        let (mut first, mut rest) = (Self::default(), Self::default());
        for run in self.runs {
            let taken = count.saturating_sub(first.events).min(run.len());
            let cut = run.from + u32::try_from(taken).expect("a run has fewer documents than that");
            first.push(Run { to: cut, ..run.clone() });
            rest.push(Run { from: cut, ..run });
        }
        (first, rest)
    }

    /// The documents at these positions, which increase.
    pub(super) fn pick(&self, positions: impl IntoIterator<Item = usize>) -> Self {
        let mut picked = Self::default();
        let mut runs = self.runs.iter();
        let (mut run, mut before) = (runs.next(), 0);
        for position in positions {
            while let Some(current) = run.filter(|run| position >= before + run.len()) {
                before += current.len();
                run = runs.next();
            }
            let Some(run) = run else { break };
            let from = run.from + u32::try_from(position - before).expect("it lies in the run");
            picked.push(Run { entry: run.entry.clone(), from, to: from + 1 });
        }
        picked
    }

    /// Copies the documents where they are a small part of what they keep in memory, and lets go of the rest.
    pub(super) fn compact(&mut self) {
        if self.bytes * 2 > self.held() {
            return;
        }
        let runs = std::mem::take(&mut self.runs);
        for same in runs.chunk_by(|one, next| Arc::ptr_eq(&one.entry.batch, &next.entry.batch)) {
            let entry = &same[0].entry;
            let mut docs = BytesMut::with_capacity(same.iter().map(|run| run.range().len()).sum());
            let mut marks = Vec::with_capacity(same.iter().map(Run::len).sum());
            for run in same {
                // What a document is moved by: a batch has fewer bytes than a mark can say.
                let before = run.start(run.from);
                for mark in run.marks() {
                    let end = docs.len() + mark.end as usize - before;
                    marks.push(Mark { end: u32::try_from(end).expect("it is part of a batch"), ..*mark });
                }
                docs.extend_from_slice(&entry.batch.docs[run.range()]);
            }
            let to = u32::try_from(marks.len()).expect("a batch has fewer documents than bytes");
            let batch = Batch { docs: docs.freeze(), marks: marks.into(), ..(*entry.batch).clone() };
            self.runs.push(Run { entry: Entry { seq: entry.seq, batch: Arc::new(batch) }, from: 0, to });
        }
    }

    /// Notes that it was sent as a whole and lost, when so many documents had arrived before. Says whether others arrived between
    /// this loss and the one before, so that it is not the destination alone.
    pub(super) fn lose(&mut self, arrivals: u64) -> bool {
        self.losses += 1;
        let before = std::mem::replace(&mut self.arrivals, arrivals);
        self.is_suspect() && arrivals > before
    }

    /// Whether it was lost so often that others should be sent before it, and not together with it.
    pub(super) fn is_suspect(&self) -> bool {
        self.losses >= LOSSES_MAX
    }

    /// An empty one with the same past.
    pub(super) fn successor(&self) -> Self {
        Self { tries: self.tries, losses: self.losses, arrivals: self.arrivals, ..Self::default() }
    }

    /// Whether it is part of one that was too large, so that nothing may join it.
    pub(super) fn is_part(&self) -> bool {
        self.is_part
    }

    /// Adds another parcel's documents behind its own.
    pub(super) fn join(&mut self, other: Self) {
        if other.tries.failures() > self.tries.failures() {
            self.tries = other.tries;
        }
        other.runs.into_iter().for_each(|run| self.push(run));
    }
}

/// What a parcel may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of a request; one document may pass it.
    pub(super) bytes: usize,
    /// Bytes a request has for each document beside it.
    pub(super) each: usize,
    /// Documents.
    pub(super) events: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::tests::entry;

    fn run(seq: u64, documents: usize) -> Run {
        let text: String = (0..documents).map(|at| format!("{{\"n\":\"{seq}.{at}\"}}\n")).collect();
        Run { entry: entry(seq, &text), from: 0, to: documents as u32 }
    }

    fn texts(parcel: &Parcel) -> Vec<String> {
        parcel.documents().map(|(document, ..)| String::from_utf8_lossy(document).into_owned()).collect()
    }

    fn of(entries: &[usize]) -> Parcel {
        let mut parcel = Parcel::default();
        entries.iter().enumerate().for_each(|(seq, documents)| parcel.push(run(seq as u64, *documents)));
        parcel
    }

    proptest! {
        #[test]
        fn what_is_picked_is_what_stands_there(entries in prop::collection::vec(0usize..5, 0..6), chosen in any::<u32>()) {
            let parcel = of(&entries);
            let all = texts(&parcel);
            let positions: Vec<usize> = (0..all.len()).filter(|at| chosen >> (at % 32) & 1 == 1).collect();
            let picked = parcel.pick(positions.iter().copied());
            prop_assert_eq!(texts(&picked), positions.iter().map(|at| all[*at].clone()).collect::<Vec<_>>());
            prop_assert_eq!((picked.len(), picked.bytes()), (positions.len(), texts(&picked).concat().len()));
        }

        #[test]
        fn what_is_copied_together_is_the_same_and_holds_no_more(entries in prop::collection::vec(0usize..9, 0..6), chosen in any::<u32>()) {
            let parcel = of(&entries);
            let picked = parcel.pick((0..parcel.len()).filter(|at| chosen >> (at % 32) & 1 == 1));
            let mut copied = picked.clone();
            copied.compact();
            prop_assert_eq!(texts(&copied), texts(&picked));
            prop_assert_eq!((copied.len(), copied.bytes()), (picked.len(), picked.bytes()));
            prop_assert!(copied.held() <= 2 * copied.bytes() || copied.held() == 0);
            let seqs = |parcel: &Parcel| parcel.runs().iter().map(|run| (run.entry.seq, run.len())).fold(
                std::collections::BTreeMap::new(), |mut all, (seq, len)| { *all.entry(seq).or_insert(0) += len; all });
            prop_assert_eq!(seqs(&copied), seqs(&picked));
            let again = copied.pick(0..copied.len());
            prop_assert_eq!(texts(&again), texts(&picked));
        }

        #[test]
        fn a_split_is_the_whole_in_order(entries in prop::collection::vec(0usize..5, 0..6), count in 0usize..30) {
            let all = texts(&of(&entries));
            let (first, rest) = of(&entries).split(count);
            prop_assert_eq!(first.len(), count.min(all.len()));
            prop_assert_eq!([texts(&first), texts(&rest)].concat(), all);
        }

        #[test]
        fn halves_are_the_whole_in_order(entries in prop::collection::vec(0usize..5, 0..6)) {
            let parcel = of(&entries);
            let all = texts(&parcel);
            match parcel.halves() {
                Ok((first, second)) => {
                    prop_assert!(first.len() == all.len() / 2 && !first.is_empty());
                    prop_assert_eq!([texts(&first), texts(&second)].concat(), all);
                    prop_assert_eq!(first.bytes() + second.bytes(), of(&entries).bytes());
                }
                Err(one) => prop_assert!(one.len() < 2),
            }
        }

        #[test]
        fn parcels_are_filled_to_their_bounds_and_lose_nothing(
            entries in prop::collection::vec(1usize..7, 1..6), bytes in 0usize..100, events in 1usize..9
        ) {
            let bounds = Bounds { bytes, each: 3, events };
            let mut all = Vec::new();
            let mut parcel = Parcel::default();
            for (seq, documents) in entries.iter().enumerate() {
                let mut rest = Some(run(seq as u64, *documents));
                while let Some(run) = rest {
                    rest = parcel.fill(run, &bounds);
                    if rest.is_some() {
                        prop_assert!(!parcel.is_empty());
                        all.push(std::mem::take(&mut parcel));
                    }
                }
            }
            all.push(parcel);
            for parcel in &all {
                prop_assert!(parcel.len() <= events);
                prop_assert!(parcel.len() <= 1 || parcel.bytes() + 3 * parcel.len() <= bytes);
            }
            prop_assert_eq!(all.iter().flat_map(texts).collect::<Vec<_>>(), texts(&of(&entries)));
        }
    }
}
