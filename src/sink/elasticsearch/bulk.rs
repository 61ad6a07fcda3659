//! The body of a `_bulk` request: the documents of a parcel as they lie in their batches, with a line before each.

use std::sync::Arc;

use bytes::Bytes;

use crate::sink::elasticsearch::Target;
use crate::sink::elasticsearch::index::Actions;
use crate::sink::http::Compose;
use crate::sink::http::PART_BYTES;
use crate::sink::http::Parts;
use crate::sink::http::Stock;
use crate::sink::parcel::Parcel;

/// A body that creates a parcel's documents.
pub(super) struct Bulk {
    target: Arc<Target>,
    parcel: Parcel,
    bytes: usize,
}

impl Bulk {
    /// One that creates these.
    pub(super) fn new(target: Arc<Target>, parcel: Parcel) -> Self {
        let bytes = parcel.bytes() + parcel.len() * target.each();
        Self { target, parcel, bytes }
    }
}

impl Compose for Bulk {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn parts(self: Arc<Self>, stock: Stock) -> Parts {
        let actions = Actions::new(self.target.clone());
        Box::new(BulkParts { bulk: self, stock, actions, run: 0, document: 0 })
    }
}

/// The parts of one.
struct BulkParts {
    bulk: Arc<Bulk>,
    stock: Stock,
    actions: Actions,
    /// The run that the next part begins in …
    run: usize,
    /// … and how many of its documents are in those before.
    document: usize,
}

impl Iterator for BulkParts {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let runs = &self.bulk.parcel.runs()[self.run..];
        runs.first()?;
        let mut part = self.stock.take();
        for run in runs {
            let (docs, marks) = (&run.entry.batch.docs, run.marks());
            let mut start = match self.document {
                0 => run.range().start,
                taken => marks[taken - 1].end as usize,
            };
            for mark in &marks[self.document..] {
                let end = mark.end as usize;
                let action = self.actions.line(mark);
                if part.len() + action.len() + end - start > PART_BYTES && !part.is_empty() {
                    return Some(self.stock.share(part));
                }
                part.extend_from_slice(action);
                part.extend_from_slice(&docs[start..end]);
                start = end;
                self.document += 1;
            }
            self.run += 1;
            self.document = 0;
        }
        Some(self.stock.share(part))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::parcel::Run;
    use crate::sink::tests::entry;

    proptest! {
        #[test]
        fn its_parts_are_the_documents_with_a_line_before_each(
            entries in prop::collection::vec(prop::collection::vec(prop_oneof![1usize..99, 20_000usize..70_000], 1..6), 1..5), from in 0u32..3
        ) {
            let mut parcel = Parcel::default();
            for (seq, sizes) in entries.iter().enumerate() {
                let text: String = sizes.iter().map(|size| format!("{{\"n\":\"{}\"}}\n", "x".repeat(*size))).collect();
                let to = sizes.len() as u32;
                parcel.push(Run { entry: entry(seq as u64, &text), from: from.min(to - 1), to });
            }
            let target = Arc::new(Target::parse("elb-%Y.%m.%d").expect("a name"));
            let mut actions = Actions::new(target.clone());
            let wanted: Vec<u8> = parcel.documents().flat_map(|(document, mark, _)| [actions.line(mark), document].concat()).collect();
            let bulk = Arc::new(Bulk::new(target, parcel));
            let parts: Vec<Bytes> = bulk.clone().parts(Stock::default()).collect();
            prop_assert_eq!(bulk.bytes(), wanted.len());
            prop_assert!(parts.concat() == wanted);
            prop_assert!(parts.iter().all(|part| !part.is_empty() && part.len() < PART_BYTES + 10_000));
        }
    }
}
