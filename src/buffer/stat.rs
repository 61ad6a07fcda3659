//! How a buffer is at one moment, in figures and in a word.

use std::time::Duration;

use crate::batch::Micros;
use crate::buffer::log::Durability;
use crate::buffer::log::Full;
use crate::buffer::log::LogError;

/// How a buffer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It takes entries.
    #[default]
    Working,
    /// It has no room: entries wait until sinks have acked some.
    Full(Full),
    /// Its disk has failed: it takes nothing more, and sinks read what can be read.
    Failed,
}

impl Condition {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Full(_) => "full",
            Self::Failed => "failed",
        }
    }
}

/// Why a buffer has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Cause in words.
    pub reason: String,
    /// Whether nobody knows what is on the disk, so that the process must not go on.
    pub is_fatal: bool,
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self { reason: error.to_string(), is_fatal: error.is_sync }
    }
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
    /// How it is.
    pub condition: Condition,
    /// What only a buffer on disk has.
    pub disk: Option<DiskStat>,
}

/// What only a buffer on disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskStat {
    /// What is done before an entry counts as stored.
    pub durability: Durability,
    /// Bytes of entries that are in memory and not committed.
    pub queued_bytes: u64,
    /// Events in them.
    pub queued_events: u64,
    /// Bytes of committed entries that are still in memory.
    pub window_bytes: u64,
    /// Bytes of all files, room made ahead of need included.
    pub file_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Events that were damaged or missing.
    pub lost_events: u64,
    /// Bytes in the quarantine.
    pub quarantined_bytes: u64,
    /// What the last group took to be written and made durable.
    pub commit_took: Duration,
}

/// What one sink has left and has done. `events + events_acked + events_lost + events_shed` is always `events_restored` and the
/// buffer's `events_appended` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CursorStat {
    /// Events not acked yet.
    pub events: u64,
    /// Bytes not acked yet.
    pub bytes: u64,
    /// Events acked since the buffer was opened.
    pub events_acked: u64,
    /// Events it had left when the buffer was opened.
    pub events_restored: u64,
    /// Events it can never have: damaged, missing or given up.
    pub events_lost: u64,
    /// Events that were given up in its name to make room.
    pub events_shed: u64,
}
