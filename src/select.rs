//! Which documents somebody wants: by tenant, source, format, or what a field says.
//!
//! A selection is a list of conditions that must all hold. Those on tenant and source are asked once for a batch, that on
//! the format by what is kept beside a document, and only those on fields read it. It never changes a document, does not
//! know how conditions are written down, and counts nothing.

mod field;

use std::sync::Arc;

use bytes::Bytes;
use bytes::BytesMut;

use crate::batch::Batch;
use crate::batch::Mark;
use crate::batch::Origin;
use crate::batch::SourceId;
use crate::value_test::Test;
use field::Field;

/// A selection, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectPlan {
    /// What must hold, all of it; without any every document is wanted.
    pub conditions: Vec<ConditionPlan>,
}

/// One condition, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionPlan {
    /// What it is about.
    pub subject: Subject,
    /// Whether it holds when what it says is not so. A document without the field holds neither way.
    pub negate: bool,
}

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The document is one of these tenants'; none is that it is nobody's.
    Tenant(Vec<Option<String>>),
    /// It came through one of these sources.
    Source(Vec<SourceId>),
    /// It was made from one of these; one of which that is not known was not.
    Format(Vec<Origin>),
    /// A field of it passes a test.
    Field {
        /// Names with dots between them, from the outermost object on. A member whose own name has dots is found as well.
        path: String,
        /// What its value is held against. Of an array any element may pass, of several members of the name any.
        test: Test,
    },
}

/// A selection made ready for documents. Never changed.
#[derive(Debug)]
pub struct Select {
    batches: Box<[OfBatch]>,
    /// One bit for each [`Origin`] that may be, at its number in files; the lowest is for documents of which it is not known.
    origins: u16,
    /// The cheapest first.
    fields: Box<[Field]>,
}

/// A condition that holds for all documents of a batch or for none.
#[derive(Debug)]
enum OfBatch {
    Tenant {
        /// In order.
        names: Box<[Option<String>]>,
        negate: bool,
    },
    Source {
        ids: Box<[SourceId]>,
        negate: bool,
    },
}

/// Every origin, and none.
const ALL_ORIGINS: u16 = (1 << (Origin::ALL.len() + 1)) - 1;

/// What of a batch is wanted.
#[derive(Debug)]
pub enum Picked {
    /// All of it.
    All,
    /// Nothing of it.
    Nothing,
    /// These documents, which are some and not all of it, in their order.
    Some(Batch),
}

impl Select {
    /// Makes a selection ready. A condition that lists nothing holds for nothing, or, negated, for everything.
    pub fn new(plan: SelectPlan) -> Self {
        let (mut batches, mut origins, mut fields) = (Vec::new(), ALL_ORIGINS, Vec::new());
        for ConditionPlan { subject, negate } in plan.conditions {
            match subject {
                Subject::Tenant(mut names) => {
                    names.sort_unstable();
                    batches.push(OfBatch::Tenant { names: names.into(), negate });
                }
                Subject::Source(ids) => batches.push(OfBatch::Source { ids: ids.into(), negate }),
                Subject::Format(of) => {
                    let listed = of.into_iter().fold(0, |bits, origin| bits | bit(Some(origin)));
                    origins &= if negate { !listed } else { listed };
                }
                Subject::Field { path, test } => fields.push(Field::new(path, test, negate)),
            }
        }
        // All must hold, so their order is ours to choose.
        fields.sort_by_key(Field::cost);
        Self { batches: batches.into(), origins, fields: fields.into() }
    }

    /// Whether a document of this tenant, come through this source, can be wanted at all.
    pub fn concerns(&self, tenant: Option<&str>, source: SourceId) -> bool {
        self.batches.iter().all(|condition| match condition {
            OfBatch::Tenant { names, negate } => names.binary_search_by(|name| name.as_deref().cmp(&tenant)).is_ok() != *negate,
            OfBatch::Source { ids, negate } => ids.contains(&source) != *negate,
        })
    }

    /// Whether the document `docs[start..end]`, newline included, is wanted where its batch is.
    ///
    /// # Panics
    /// When it is not inside of `docs`.
    #[inline]
    pub fn takes(&self, mark: &Mark, docs: &[u8], start: usize, end: usize) -> bool {
        self.origins & bit(mark.origin) != 0 && self.fields.iter().all(|field| field.holds(docs, start, end))
    }

    /// Whether documents are looked into, which costs about what parsing JSON does.
    pub fn reads_documents(&self) -> bool {
        !self.fields.is_empty()
    }

    /// What of a batch is wanted. Documents are copied only where others stand between them; those that lie together are
    /// the same memory.
    pub fn pick(&self, batch: &Batch) -> Picked {
        if batch.is_empty() || !self.concerns(batch.tenant.as_deref(), batch.source) {
            return Picked::Nothing;
        }
        if self.origins == ALL_ORIGINS && self.fields.is_empty() {
            return Picked::All;
        }
        // Documents in a row that are wanted: those of the run under way are noted when it ends, which mostly it does not.
        let (mut runs, mut from, mut start) = (Vec::new(), 0, 0);
        for (at, mark) in batch.marks.iter().enumerate() {
            let end = mark.end as usize;
            if !self.takes(mark, &batch.docs, start, end) {
                if from < at {
                    runs.push((from, at));
                }
                from = at + 1;
            }
            start = end;
        }
        if from == 0 {
            return Picked::All;
        }
        if from < batch.len() {
            runs.push((from, batch.len()));
        }
        if runs.is_empty() { Picked::Nothing } else { Picked::Some(part(batch, &runs)) }
    }
}

/// The bit of an origin.
#[inline(always)]
fn bit(origin: Option<Origin>) -> u16 {
    1 << Origin::to_byte(origin)
}

/// A batch of these documents of another one, of which there is at least one: each run from an index up to another.
fn part(batch: &Batch, runs: &[(usize, usize)]) -> Batch {
    let begins = |at: usize| at.checked_sub(1).map_or(0, |before| batch.marks[before].end as usize);
    let bytes = |&(from, to): &(usize, usize)| begins(from)..begins(to);
    let mut marks = Vec::with_capacity(runs.iter().map(|(from, to)| to - from).sum());
    let mut before = 0;
    for run in runs {
        let range = bytes(run);
        let moved = |mark: &Mark| {
            let end = mark.end as usize - range.start + before;
            Mark { end: u32::try_from(end).expect("it is part of a batch"), ..*mark }
        };
        marks.extend(batch.marks[run.0..run.1].iter().map(moved));
        before += range.len();
    }
    let docs = if let [run] = runs { batch.docs.slice(bytes(run)) } else { joined(&batch.docs, runs.iter().map(bytes), before) };
    Batch {
        docs,
        marks: marks.into(),
        source: batch.source,
        received: batch.received,
        tenant: batch.tenant.as_ref().map(Arc::clone),
        sink: batch.sink.as_ref().map(Arc::clone),
        is_rejects: batch.is_rejects,
    }
}

fn joined(docs: &Bytes, ranges: impl Iterator<Item = std::ops::Range<usize>>, bytes: usize) -> Bytes {
    let mut joined = BytesMut::with_capacity(bytes);
    for range in ranges {
        joined.extend_from_slice(&docs[range]);
    }
    joined.freeze()
}

#[cfg(test)]
mod tests;
