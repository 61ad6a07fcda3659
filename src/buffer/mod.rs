//! The buffer: one sequence of entries between the sources and the sinks, with one [`Cursor`] per sink.
//!
//! An entry is one [`Batch`]. It is freed once every sink has acked it, so that a dead sink never stops another before
//! the bound in bytes is reached; then appending waits. Where entries are kept is decided by [`Buffer`]'s constructor
//! and seen by nobody else. It starts no task, counts no metric and never looks into a document.

pub mod disk;
pub mod format;
pub mod frame;
pub mod log;
pub mod marks;
mod memory;
pub mod quarantine;
pub mod reader;
pub mod recovery;
pub mod segments;
pub mod walk;

use std::sync::Arc;

use thiserror::Error;

use crate::batch::Batch;
use crate::batch::Micros;
use crate::buffer::memory::Memory;
use crate::seq::Seq;

/// How much the buffer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferPlan {
    /// Bound on the bytes of all entries, as [`Batch::bytes`] counts them. A batch larger than that is let in alone.
    pub bytes_max: u64,
}

/// One batch in the sequence. Cloning it costs one reference count.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number.
    pub seq: Seq,
    /// Its documents.
    pub batch: Arc<Batch>,
}

/// The buffer takes nothing more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the buffer is closed")]
pub struct Closed;

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
#[derive(Debug)]
#[must_use]
pub struct Receipt {
    seq: Seq,
    stored: Stored,
}

impl Receipt {
    /// The entry it is about.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Waits until the entry is stored, or known not to be. Memory answers at once. Abandoning the wait changes nothing.
    pub async fn stored(self) -> Stored {
        self.stored
    }
}

/// What an ack moved past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Acked {
    /// Events in the entries acked by this call.
    pub events: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// The buffer at one moment; all figures are taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BufferStat {
    /// Bytes held.
    pub bytes: u64,
    /// Bound on them.
    pub bytes_max: u64,
    /// Entries held.
    pub entries: u64,
    /// Events held.
    pub events: u64,
    /// Receive time of the oldest entry held.
    pub oldest: Option<Micros>,
    /// Events ever appended.
    pub events_appended: u64,
    /// One per sink, in the order of the cursors.
    pub cursors: Vec<CursorStat>,
}

/// What one sink has left and has done. `events + events_acked` is always the buffer's `events_appended`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CursorStat {
    /// Events not acked yet.
    pub events: u64,
    /// Bytes not acked yet.
    pub bytes: u64,
    /// Events ever acked.
    pub events_acked: u64,
}

/// The appending side. Clones are the same buffer.
#[derive(Clone, Debug)]
pub struct Buffer {
    store: Store,
}

/// Where entries are kept.
#[derive(Clone, Debug)]
enum Store {
    Memory(Arc<Memory>),
}

impl Buffer {
    /// A buffer in memory with as many cursors as there are sinks; all of them start at its first entry.
    pub fn memory(plan: BufferPlan, sinks: usize) -> (Self, Vec<Cursor>) {
        let memory = Arc::new(Memory::new(plan, sinks));
        let cursors = (0..sinks).map(|sink| Cursor { place: Place::Memory(memory::Place::new(memory.clone(), sink)) });
        let cursors = cursors.collect();
        (Self { store: Store::Memory(memory) }, cursors)
    }

    /// Appends a batch, waiting for room in the order of the calls.
    ///
    /// Abandoning the wait leaves nothing behind.
    ///
    /// # Errors
    /// When the buffer is closed before there is room.
    pub async fn append(&self, batch: Batch) -> Result<Receipt, Closed> {
        match &self.store {
            Store::Memory(memory) => memory.append(batch).await.map(Self::receipt_at_once),
        }
    }

    /// Appends a batch if there is room and nobody waits for it.
    ///
    /// # Errors
    /// Gives the batch back when it would have to wait or the buffer is closed; [`append`](Self::append) tells which.
    pub fn try_append(&self, batch: Batch) -> Result<Receipt, Batch> {
        match &self.store {
            Store::Memory(memory) => memory.try_append(batch).map(Self::receipt_at_once),
        }
    }

    /// Takes nothing more; whoever waits for room is turned away. What is held stays until it is acked.
    pub fn close(&self) {
        match &self.store {
            Store::Memory(memory) => memory.close(),
        }
    }

    /// Its figures at this moment.
    pub fn stat(&self) -> BufferStat {
        match &self.store {
            Store::Memory(memory) => memory.stat(),
        }
    }

    fn receipt_at_once(seq: Seq) -> Receipt {
        Receipt { seq, stored: Stored::Yes }
    }
}

/// One sink's place in the sequence. Dropping it acks nothing: what it has left stays, and counts.
#[derive(Debug)]
pub struct Cursor {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(memory::Place),
}

impl Cursor {
    /// Reads the next entries without waiting, adding them to `out`: at most `entries_max`, and no further one once
    /// `bytes_max` bytes of documents are passed. Takes one lock however many they are.
    pub fn read(&mut self, entries_max: usize, bytes_max: usize, out: &mut Vec<Entry>) {
        match &mut self.place {
            Place::Memory(place) => place.read(entries_max, bytes_max, out),
        }
    }

    /// Waits until there is something to read; `false` says that the buffer is closed and there never will be again,
    /// but for a [`rewind`](Self::rewind).
    ///
    /// Abandoning the wait loses nothing.
    pub async fn wait(&mut self) -> bool {
        match &mut self.place {
            Place::Memory(place) => place.wait().await,
        }
    }

    /// Acks all entries up to and including this one. Acking again what is acked does nothing.
    ///
    /// # Panics
    /// When that entry was never read: a sink cannot have delivered it.
    pub fn ack(&mut self, through: Seq) -> Acked {
        match &mut self.place {
            Place::Memory(place) => place.ack(through),
        }
    }

    /// Reads again from the first entry that is not acked.
    pub fn rewind(&mut self) {
        match &mut self.place {
            Place::Memory(place) => place.rewind(),
        }
    }

    /// Whether there is something to read now.
    pub fn has_more(&self) -> bool {
        match &self.place {
            Place::Memory(place) => place.has_more(),
        }
    }

    /// Whether the buffer is closed and everything in it is acked by this sink.
    pub fn is_finished(&self) -> bool {
        match &self.place {
            Place::Memory(place) => place.is_finished(),
        }
    }
}
