//! Where entries are kept and how many, as decided.

use std::path::PathBuf;

use crate::buffer::format::BLOCK;
use crate::buffer::log::Durability;
use crate::buffer::log::LogPlan;

/// Where entries are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BufferPlan {
    /// In memory, for as long as the process lives.
    Memory(MemoryPlan),
    /// In files.
    Disk(DiskPlan),
}

impl BufferPlan {
    /// Bound on the bytes it holds.
    pub fn bytes_max(&self) -> u64 {
        match self {
            Self::Memory(plan) => plan.bytes_max,
            Self::Disk(plan) => plan.bytes_max,
        }
    }

    /// How durable an entry is when it counts as stored.
    pub fn durability(&self) -> Durability {
        match self {
            Self::Memory(_) => Durability::Memory,
            Self::Disk(plan) => plan.durability,
        }
    }
}

/// How much a buffer in memory may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bound on the bytes of all entries, as [`Batch::bytes`](crate::batch::Batch::bytes) counts them. A batch larger than that is let in alone.
    pub bytes_max: u64,
}

/// How a buffer on disk is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskPlan {
    /// Its directory.
    pub path: PathBuf,
    /// Bound on the bytes of its segments.
    pub bytes_max: u64,
    /// Bytes of the filesystem it leaves free.
    pub free_bytes_min: u64,
    /// What is done before an entry counts as stored.
    pub durability: Durability,
    /// Bytes of memory that entries may take on both sides of the writer.
    pub memory_bytes_max: u64,
    /// Sinks that are configured no longer and whose backlog may be given up.
    pub forget: Vec<String>,
    /// What becomes of new entries when it is full.
    pub when_full: WhenFull,
}

impl DiskPlan {
    /// How its log is kept.
    pub fn log_plan(&self) -> LogPlan {
        let Self { bytes_max, free_bytes_min, durability, .. } = *self;
        LogPlan { bytes_max, free_bytes_min, segment_bytes: self.segment_bytes(), durability }
    }

    /// Bytes of a segment: a thirty-second of the bound, so that room comes back in small parts.
    pub(super) fn segment_bytes(&self) -> u64 {
        (self.bytes_max / 32).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX) / BLOCK * BLOCK
    }

    /// Bytes of memory that entries may take in front of the writer, and behind it.
    pub(super) fn memory_parts(&self) -> (u64, u64) {
        (self.memory_bytes_max / QUEUE_PART, self.memory_bytes_max / 8 * WINDOW_EIGHTHS)
    }

    /// Bytes of documents an entry can have: what one frame, and a reader's memory, must take.
    pub fn entry_bytes_max(bytes_max: u64) -> u64 {
        (bytes_max / 8).min(ENTRY_BYTES_MAX)
    }
}

const SEGMENT_BYTES_MIN: u64 = 1 << 20;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
const ENTRY_BYTES_MAX: u64 = 16 << 20;

/// Bytes after which a group takes no further entry: at 4 ms a sync that is 1 GB/s, and a reader holds one group in memory.
pub(super) const GROUP_BYTES_MAX: u64 = 4 << 20;

/// The part of the memory that may wait for the writer, one in so many bytes. Two groups are enough to keep it busy.
const QUEUE_PART: u64 = 8;

/// The part that is kept behind it, in eighths: a sink that is briefly behind finds its entries there and reads no disk. What is
/// left is for reads and for sinks.
const WINDOW_EIGHTHS: u64 = 3;

/// What becomes of new entries when the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// They wait.
    Block,
    /// The oldest are given up, and counted.
    DropOldest,
}

impl WhenFull {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 2] = [Self::Block, Self::DropOldest];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropOldest => "drop_oldest",
        }
    }
}

/// When a sink's oldest entries are given up that take the room of new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yields {
    /// Before those of sinks that yield last: what it gives up is kept elsewhere, and that may fail.
    First,
    /// Once nobody else has to give up anything more: nothing is given up in vain.
    Last,
}
