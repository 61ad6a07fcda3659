//! The buffer: one sequence of entries between the sources and the sinks, with one [`Cursor`] per sink.
//!
//! An entry is one [`Batch`]. It is freed once every sink has acked it, so that a dead sink never stops another before
//! the bound in bytes is reached; then appending waits, unless the sinks that hold the oldest entries have these given up by a
//! [`Shedder`] each. Where entries are kept is decided by [`Buffer`]'s constructor
//! and seen by nobody else. It starts no task, counts no metric and never looks into a document.
//!
//! On disk, from the bytes up:
//!
//! ```text
//! disk        a directory of files, real or modelled
//! format      which byte stands where          frame    entries to bytes and back
//! walk        from frame to frame in a file    marks    the checkpoint file
//! segments    which files there are            quarantine
//! log         commit, checkpoint, let go       recovery opens one       reader   entries from any place on
//! commit      what that promises and how it fails          outside  entries of a log that another process writes
//! sift        takes entries out of its middle
//! store       queue ─ writer ─ window          place    one sink's way through window and segments
//! shedder     gives up the oldest entries of a sink
//! ```

pub mod commit;
mod cursor;
pub mod disk;
pub mod format;
pub mod frame;
pub mod inspect;
pub mod log;
pub mod marks;
mod memory;
pub mod outside;
mod place;
pub mod plan;
pub mod quarantine;
pub mod reader;
mod receipt;
pub mod recovery;
pub mod segments;
mod shedder;
pub mod sift;
pub mod stat;
mod store;
pub mod walk;
pub mod writer;

use std::sync::Arc;

use thiserror::Error;

use crate::batch::Batch;
pub use crate::buffer::cursor::Acked;
pub use crate::buffer::cursor::Cursor;
use crate::buffer::disk::Disk;
use crate::buffer::format::Uuid;
use crate::buffer::frame::SourceNames;
use crate::buffer::log::Log;
use crate::buffer::memory::Memory;
pub use crate::buffer::plan::BufferPlan;
pub use crate::buffer::plan::DiskPlan;
use crate::buffer::plan::GROUP_BYTES_MAX;
pub use crate::buffer::plan::MemoryPlan;
pub use crate::buffer::plan::WhenFull;
pub use crate::buffer::plan::Yields;
pub use crate::buffer::receipt::Receipt;
pub use crate::buffer::receipt::Stored;
pub use crate::buffer::receipt::Trail;
use crate::buffer::recovery::OpenError;
use crate::buffer::recovery::Recovered;
pub use crate::buffer::shedder::Piece;
pub use crate::buffer::shedder::Shed;
pub use crate::buffer::shedder::Shedder;
pub use crate::buffer::stat::BufferStat;
pub use crate::buffer::stat::Condition;
pub use crate::buffer::stat::CursorStat;
pub use crate::buffer::stat::DiskStat;
pub use crate::buffer::stat::Failure;
use crate::buffer::store::Store;
use crate::buffer::store::StoreLimits;
use crate::buffer::writer::Writer;
use crate::seq::Seq;

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

/// How full a buffer is of what stays until it is acked: entries that may be given up are in nobody's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Number of the first entry that such a sink has not acked; of the next one where there is none.
    pub first: Seq,
    /// Bytes it takes from there on.
    pub bytes: u64,
    /// Bytes it may take.
    pub bytes_max: u64,
}

/// The appending side. Clones are the same buffer.
#[derive(Clone, Debug)]
pub struct Buffer {
    kept: Kept,
    /// Where lines go that no parser took.
    rejects: Option<Arc<Store>>,
}

/// Where entries are kept.
#[derive(Clone, Debug)]
enum Kept {
    Memory(Arc<Memory>),
    Disk(Arc<Store>),
}

/// A buffer on disk as it was opened: its two sides, the writer that has to be run, and what was found.
#[derive(Debug)]
pub struct OnDisk {
    /// The appending side.
    pub buffer: Buffer,
    /// One for each sink.
    pub cursors: Vec<Cursor>,
    /// Nothing is stored until somebody runs it.
    pub writer: Writer,
    /// What was found.
    pub recovered: Recovered,
}

impl Buffer {
    /// A buffer in memory with as many cursors as there are sinks; all of them start at its first entry.
    pub fn memory(plan: MemoryPlan, sinks: usize) -> (Self, Vec<Cursor>) {
        let memory = Arc::new(Memory::new(plan, sinks));
        let cursors = (0..sinks).map(|sink| Cursor::memory(memory::Place::new(memory.clone(), sink)));
        let cursors = cursors.collect();
        (Self { kept: Kept::Memory(memory), rejects: None }, cursors)
    }

    /// A buffer in the files of a directory, with a cursor for each of these sinks where it stood. `sources` are the names that
    /// batches have as numbers; `uuid` is what a new buffer calls itself. Blocks while it reads what is there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn disk(
        disk: Arc<dyn Disk>,
        plan: &DiskPlan,
        sources: &[String],
        sinks: &[String],
        uuid: Uuid,
    ) -> Result<OnDisk, OpenError> {
        let names = Arc::new(SourceNames::new(sources));
        let segment_bytes = plan.segment_bytes();
        let DiskPlan { bytes_max, durability, .. } = *plan;
        let (log, recovered) = Log::open(disk, plan.log_plan(), names.clone(), sinks, &plan.forget, uuid)?;
        let (queue_bytes_max, window_bytes_max) = plan.memory_parts();
        let entry_bytes_max = usize::try_from(DiskPlan::entry_bytes_max(bytes_max)).expect("it is small");
        let limits = StoreLimits { queue_bytes_max, window_bytes_max, entry_bytes_max };
        let ages = log.ages();
        let store = Store::new(limits, bytes_max, durability, sinks.to_vec(), &recovered.marks, ages, log.segments().clone());
        let store = Arc::new(store);
        let cursors = recovered
            .marks
            .iter()
            .enumerate()
            .map(|(sink, mark)| Cursor::disk(place::Place::new(store.clone(), sink, log.reader(*mark))));
        let cursors = cursors.collect();
        let group_bytes_max = (segment_bytes / 4).min(GROUP_BYTES_MAX);
        let writer = Writer::new(log, store.clone(), names, bytes_max, group_bytes_max, plan.when_full);
        Ok(OnDisk { buffer: Self { kept: Kept::Disk(store), rejects: None }, cursors, writer, recovered })
    }

    /// The same with a place of their own for batches of rejected lines.
    #[must_use]
    pub fn with_rejects(self, letters: &Self) -> Self {
        let rejects = match &letters.kept {
            Kept::Memory(_) => None,
            Kept::Disk(store) => Some(store.clone()),
        };
        Self { rejects, ..self }
    }

    /// The place of their own, where a batch belongs there.
    fn apart(&self, batch: &Batch) -> Option<&Arc<Store>> {
        self.rejects.as_ref().filter(|_| batch.is_rejects)
    }

    /// Where a batch belongs, if that is on disk.
    fn store(&self, batch: &Batch) -> Option<&Arc<Store>> {
        self.apart(batch).or(match &self.kept {
            Kept::Memory(_) => None,
            Kept::Disk(store) => Some(store),
        })
    }

    /// Whether a batch would only wait in memory, because the disk has no room. Appending does not ask this.
    pub fn is_full(&self, batch: &Batch) -> bool {
        self.store(batch).is_some_and(|store| store.is_full())
    }

    /// Waits until it would not. Abandoning the wait loses nothing.
    pub async fn room(&self, batch: &Batch) {
        if let Some(store) = self.store(batch) {
            store.until_room().await;
        }
    }

    /// Appends a batch, waiting for room in the order of the calls.
    ///
    /// Abandoning the wait leaves nothing behind.
    ///
    /// # Errors
    /// When the buffer is closed before there is room.
    pub async fn append(&self, batch: Batch) -> Result<Receipt, Closed> {
        if let Some(store) = self.apart(&batch) {
            return store.append(batch).await.map(|seq| Receipt::of(seq, Some(store), true));
        }
        match &self.kept {
            Kept::Memory(memory) => memory.append(batch).await.map(|seq| Receipt::of(seq, None, false)),
            Kept::Disk(store) => store.append(batch).await.map(|seq| Receipt::of(seq, Some(store), false)),
        }
    }

    /// Appends a batch if there is room and nobody waits for it.
    ///
    /// # Errors
    /// Gives the batch back when it would have to wait or the buffer is closed; [`append`](Self::append) tells which.
    pub fn try_append(&self, batch: Batch) -> Result<Receipt, Batch> {
        if let Some(store) = self.apart(&batch) {
            return store.try_append(batch).map(|seq| Receipt::of(seq, Some(store), true));
        }
        match &self.kept {
            Kept::Memory(memory) => memory.try_append(batch).map(|seq| Receipt::of(seq, None, false)),
            Kept::Disk(store) => store.try_append(batch).map(|seq| Receipt::of(seq, Some(store), false)),
        }
    }

    /// Takes nothing more; whoever waits for room is turned away. What is held stays until it is acked.
    pub fn close(&self) {
        if let Some(rejects) = &self.rejects {
            rejects.close();
        }
        match &self.kept {
            Kept::Memory(memory) => memory.close(),
            Kept::Disk(store) => store.close(),
        }
    }

    /// Whether what is not delivered when the process ends is there when the next one begins.
    pub fn outlives_the_process(&self) -> bool {
        match &self.kept {
            Kept::Memory(_) => false,
            Kept::Disk(_) => true,
        }
    }

    /// Lets the cursors read nothing more, where what is left outlives the process: sinks finish what they have begun.
    pub fn settle(&self) {
        match &self.kept {
            Kept::Memory(_) => {}
            Kept::Disk(store) => store.settle(),
        }
    }

    /// Says that memory is short because of what is held in it: entries that may be given up are, as where an append waits. On
    /// disk it is the bound on files that counts.
    pub fn press(&self) {
        match &self.kept {
            Kept::Memory(memory) => memory.press(),
            Kept::Disk(_) => {}
        }
    }

    /// Closes it and lets its writer come to an end: what can be committed is, and the sinks' marks are written.
    pub fn finish(&self) {
        match &self.kept {
            Kept::Memory(memory) => memory.close(),
            Kept::Disk(store) => store.finish(),
        }
    }

    /// Events that were appended and are not committed, which after the end of the writer nobody will have.
    pub fn uncommitted_events(&self) -> u64 {
        match &self.kept {
            Kept::Memory(_) => 0,
            Kept::Disk(store) => store.uncommitted_events(),
        }
    }

    /// Waits until its disk has failed, and says why; for ever where that cannot be. Abandoning the wait loses nothing.
    pub async fn failed(&self) -> Failure {
        match &self.kept {
            Kept::Memory(_) => std::future::pending().await,
            Kept::Disk(store) => store.failed().await,
        }
    }

    /// How full it is. Takes a lock for a few loads, so that it may be asked once per read.
    pub fn fill(&self) -> Fill {
        match &self.kept {
            Kept::Memory(memory) => memory.fill(),
            Kept::Disk(store) => store.fill(),
        }
    }

    /// Its figures at this moment.
    pub fn stat(&self) -> BufferStat {
        match &self.kept {
            Kept::Memory(memory) => memory.stat(),
            Kept::Disk(store) => store.stat(),
        }
    }
}
