//! What a commit promises, and how it fails.
//!
//! A disk that has no room is told from one that is broken: the first is waited for, the second is not used again.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

use crate::buffer::format::Point;

/// How durable an entry is when its sender is told that it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk: it survives the loss of power.
    Disk,
    /// The system has it: it survives the death of the process.
    Os,
    /// It is in memory, on its way to the system.
    Memory,
}

impl Durability {
    /// All of them, strongest first.
    pub const ALL: [Self; 3] = [Self::Disk, Self::Os, Self::Memory];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Committed {
    /// The place behind the last entry.
    pub end: Point,
    /// Bytes written.
    pub disk_bytes: u64,
}

/// Why nothing was committed.
#[derive(Debug, Error)]
pub enum CommitError {
    /// There is no room: nothing was written, and it may be tried again.
    #[error("{0}")]
    Full(Full),
    /// The disk failed. This log must not be used again.
    #[error(transparent)]
    Failed(#[from] LogError),
}

/// What there is no room in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Full {
    /// The bound that was configured.
    #[error("the buffer has reached its max_bytes")]
    Limit,
    /// The filesystem has less than was to stay free, or is full, or a limit of the system is reached.
    #[error("the filesystem has no room for a further segment beside min_free_bytes")]
    Filesystem,
}

/// A failure of the disk, and what was being done.
#[derive(Debug, Error)]
#[error("{path}: cannot {what}: {source}")]
pub struct LogError {
    /// Where.
    pub path: String,
    /// What was being done.
    pub what: &'static str,
    /// Whether it was a sync that failed: then nobody knows what is on the disk.
    pub is_sync: bool,
    /// What the system said.
    pub source: io::Error,
}

/// Whether an error says that there is no room: on the filesystem, in a quota, or for a file of this size.
pub(super) fn is_full(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].iter().any(|full| Errno::from_io_error(error) == Some(*full))
}
