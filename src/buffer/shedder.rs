//! Gives up the oldest entries of a sink where they take the room of new ones: only those, only what is stored, and only where
//! that makes room.
//!
//! When that is so is said by where the entries are kept. It is a handle of its own beside the sink's [`Cursor`](super::Cursor),
//! so that a sink that is stuck stops nobody. What becomes of what is given up is decided by whoever has the handle: it is told
//! of each entry before, and nothing is given up that it does not ask for.

mod disk;
mod memory;

use std::collections::VecDeque;

pub(super) use self::disk::OfDisk;
pub(super) use self::memory::OfMemory;

use crate::buffer::Entry;
use crate::seq::Seq;

/// Entries that are to be given up.
#[derive(Debug)]
pub struct Piece {
    /// The entries; there may be none, where all that is to be passed is missing or acked.
    pub entries: Vec<Entry>,
    /// Whether what was read before counts no more: it is read again, or was acked.
    pub is_first: bool,
    /// Whether giving up all that was read makes room. Of a sink that yields last nothing should be given up before.
    pub is_last: bool,
}

/// What was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// The first entry given up.
    pub from: Seq,
    /// Number behind the last of them.
    pub to: Seq,
}

impl Shed {
    /// Whether an entry is one of those.
    pub fn has(&self, seq: Seq) -> bool {
        self.from <= seq && seq < self.to
    }
}

/// The right to give up a sink's oldest entries. Dropping it gives up nothing more.
#[derive(Debug)]
pub struct Shedder {
    of: Of,
}

#[derive(Debug)]
enum Of {
    Memory(OfMemory),
    Disk(Box<OfDisk>),
}

impl Shedder {
    pub(super) fn memory(of: OfMemory) -> Self {
        Self { of: Of::Memory(of) }
    }

    pub(super) fn disk(of: OfDisk) -> Self {
        Self { of: Of::Disk(Box::new(of)) }
    }

    /// Waits until there is no room and entries of this sink are to be given up for some, and reads the next of them.
    ///
    /// Abandoning the wait loses nothing.
    pub async fn next(&mut self) -> Piece {
        match &mut self.of {
            Of::Memory(of) => of.next().await,
            Of::Disk(of) => of.next().await,
        }
    }

    /// Gives up what was read; `told` is told how far, before anybody can see it in the figures and with the buffer locked. It
    /// is not told anything where there is nothing to give up any more: the sink has acked it, or there is room after all and
    /// the sink yields last.
    pub fn shed(&mut self, told: impl FnOnce(Shed)) {
        match &mut self.of {
            Of::Memory(of) => of.shed(told),
            Of::Disk(of) => of.shed(told),
        }
    }
}

/// How many events the entries have that were read and not given up.
#[derive(Debug, Default)]
struct Counted {
    entries: VecDeque<(u64, u64)>,
}

impl Counted {
    fn add(&mut self, entries: &[Entry]) {
        self.entries.extend(entries.iter().map(|entry| (entry.seq.0, entry.batch.len() as u64)));
    }

    /// Events of those from this one on.
    fn from(&self, seq: u64) -> u64 {
        self.entries.iter().filter(|(own, _)| *own >= seq).map(|(_, events)| events).sum()
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn clear(&mut self) {
        self.entries.clear();
    }
}
