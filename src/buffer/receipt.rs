//! The promise of an answer to whoever appended an entry, and one sender's promises together.

use std::sync::Arc;

use crate::buffer::store::Store;
use crate::seq::Seq;

/// Whether an entry is kept as durably as the buffer can keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// It is; a sender may be told.
    Yes,
    /// It is not, or nobody knows.
    No,
}

/// The promise of an answer to whoever appended an entry; only [`stored`](Self::stored) gives it, so that a forgotten
/// receipt confirms nothing.
///
/// Answers come in order: once an entry is not stored, none that was appended after it is.
#[derive(Debug)]
#[must_use]
pub struct Receipt {
    seq: Seq,
    /// Who will know; nobody where it is stored already.
    store: Option<Arc<Store>>,
    /// Whether it is about rejected lines, which are kept apart.
    is_rejects: bool,
    /// What the same sender has appended before it elsewhere.
    before: Option<(Arc<Store>, Seq)>,
}

/// The newest entries of one sender, here and among rejected lines: it is answered for all its lines.
#[derive(Debug, Default)]
pub struct Trail {
    newest: [Option<(Arc<Store>, Seq)>; 2],
}

impl Trail {
    /// Has the receipt of the sender's next entry wait for what it has appended elsewhere, too.
    pub fn follow(&mut self, receipt: Receipt) -> Receipt {
        let [own, other] = if receipt.is_rejects { [1, 0] } else { [0, 1] };
        self.newest[own] = receipt.store.as_ref().map(|store| (store.clone(), receipt.seq));
        Receipt { before: self.newest[other].clone(), ..receipt }
    }
}

impl Receipt {
    pub(super) fn of(seq: Seq, store: Option<&Arc<Store>>, is_rejects: bool) -> Self {
        Self { seq, store: store.cloned(), is_rejects, before: None }
    }

    /// The entry it is about.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Whether it may take a while until the answer is known.
    pub fn is_awaited(&self) -> bool {
        self.store.is_some() || self.before.is_some()
    }

    /// Waits until the entry is stored, or known not to be; everything appended before it is stored then, too. Memory answers
    /// at once. Abandoning the wait changes nothing.
    pub async fn stored(self) -> Stored {
        if let Some((store, seq)) = self.before
            && store.stored(seq).await == Stored::No
        {
            return Stored::No;
        }
        match self.store {
            None => Stored::Yes,
            Some(store) => store.stored(self.seq).await,
        }
    }
}
