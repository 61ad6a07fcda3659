//! Which entries a sink has read and how many documents of each are still on their way: what may be acked when answers come
//! in any order.
//!
//! It counts and does not know what became of a document.

use std::collections::VecDeque;

use crate::buffer::Acked;
use crate::buffer::Entry;
use crate::seq::Seq;
use crate::sink::parcel::Parcel;

/// Entries read and not acked, in order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: VecDeque<Open>,
    /// Documents of them that are not settled.
    events: u64,
    /// Bytes of documents of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    seq: Seq,
    bytes: usize,
    /// Documents that are not settled.
    left: usize,
    /// Documents that the destination has refused.
    refused: u64,
}

/// Entries that are done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The last of them.
    pub(super) through: Seq,
    /// Those of them with documents that the destination has refused, and how many.
    refused: Vec<(Seq, u64)>,
}

impl Done {
    /// Documents that the destination has refused, of the entries that were acked; others were given up before.
    pub(super) fn refused(&self, acked: &Acked) -> u64 {
        self.refused.iter().filter(|(seq, _)| acked.has(*seq)).map(|(_, refused)| refused).sum()
    }
}

impl Ledger {
    /// Notes an entry that was read.
    pub(super) fn add(&mut self, entry: &Entry) {
        let (documents, bytes) = (entry.batch.len(), entry.batch.docs.len());
        self.open.push_back(Open { seq: entry.seq, bytes, left: documents, refused: 0 });
        self.events += documents as u64;
        self.bytes += bytes;
    }

    /// Notes that documents have arrived, or are otherwise done with.
    ///
    /// # Panics
    /// When one of them was not under way: it would be acked twice.
    pub(super) fn settle(&mut self, parcel: &Parcel, is_refused: bool) {
        for run in parcel.runs() {
            let at = self.open.partition_point(|open| open.seq < run.entry.seq);
            let open = self.open.get_mut(at).expect("an entry with documents under way is open");
            assert_eq!(open.seq, run.entry.seq, "an entry with documents under way is open");
            open.left = open.left.checked_sub(run.len()).expect("no document is settled twice");
            if is_refused {
                open.refused += run.len() as u64;
            }
            self.events -= run.len() as u64;
        }
    }

    /// The entries up to which all are done with, once for each; `None` where the first one is not.
    pub(super) fn done(&mut self) -> Option<Done> {
        let mut done: Option<Done> = None;
        while let Some(open) = self.open.pop_front_if(|open| open.left == 0) {
            self.bytes -= open.bytes;
            let done = done.get_or_insert_with(|| Done { through: open.seq, refused: Vec::new() });
            done.through = open.seq;
            if open.refused > 0 {
                done.refused.push((open.seq, open.refused));
            }
        }
        done
    }

    /// Bytes of documents of the entries that are read and not acked.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Documents that are not settled.
    pub(super) fn events(&self) -> u64 {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::parcel::Run;
    use crate::sink::tests::entry;

    fn parcel(seq: u64, from: u32, to: u32) -> Parcel {
        let mut parcel = Parcel::default();
        parcel.push(Run { entry: entry(seq, "1\n2\n3\n"), from, to });
        parcel
    }

    #[test]
    fn entries_are_done_in_order_however_answers_come() {
        let mut ledger = Ledger::default();
        for seq in [1, 4, 5] {
            ledger.add(&entry(seq, "1\n2\n3\n"));
        }
        ledger.add(&entry(7, ""));
        assert_eq!(ledger.bytes(), 18);
        ledger.settle(&parcel(4, 0, 3), false);
        ledger.settle(&parcel(1, 1, 3), true);
        assert_eq!((ledger.done(), ledger.events()), (None, 4));
        ledger.settle(&parcel(1, 0, 1), false);
        assert_eq!(ledger.bytes(), 18, "it is kept until it is acked");
        let done = ledger.done().expect("the first two are");
        assert_eq!((&done, ledger.done()), (&Done { through: Seq(4), refused: vec![(Seq(1), 2)] }, None));
        let acked = |from, to| Acked { from: Seq(from), to: Seq(to), ..Acked::default() };
        assert_eq!((done.refused(&acked(1, 5)), done.refused(&acked(2, 5)), done.refused(&acked(0, 0))), (2, 0, 0));
        ledger.settle(&parcel(5, 0, 3), true);
        assert_eq!(
            (ledger.done(), ledger.open.is_empty(), ledger.events(), ledger.bytes()),
            (Some(Done { through: Seq(7), refused: vec![(Seq(5), 3)] }), true, 0, 0)
        );
    }

    #[test]
    #[should_panic(expected = "no document is settled twice")]
    fn a_document_is_settled_once() {
        let mut ledger = Ledger::default();
        ledger.add(&entry(1, "1\n2\n3\n"));
        ledger.settle(&parcel(1, 0, 2), false);
        ledger.settle(&parcel(1, 1, 3), false);
    }
}
