//! Takes events out of the middle of a log that has one sink, which only has a mark to say what it needs no more.
//!
//! What stays before the last event that goes is appended again, behind everything else, and then the mark moves. That is
//! done in groups: whoever breaks it off finds each event that should stay, and those of the last group perhaps twice. It
//! knows no document, and holds one frame and one group in memory.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use thiserror::Error;

use crate::batch::Batch;
use crate::batch::Mark;
use crate::buffer::DiskPlan;
use crate::buffer::Entry;
use crate::buffer::format::Point;
use crate::buffer::log::CommitError;
use crate::buffer::log::Durability;
use crate::buffer::log::Log;
use crate::buffer::log::LogError;
use crate::buffer::log::LogPlan;
use crate::buffer::plan::GROUP_BYTES_MAX;
use crate::seq::Seq;

/// An event in a log.
#[derive(Clone, Copy, Debug)]
pub struct Event<'e> {
    /// The entry it is in.
    pub entry: &'e Entry,
    /// Its place in it, from zero.
    pub index: usize,
    /// Its document, newline included.
    pub document: &'e [u8],
    /// What is kept beside it.
    pub mark: &'e Mark,
}

/// All events of an entry.
pub fn events(entry: &Entry) -> impl Iterator<Item = Event<'_>> {
    entry.batch.documents().enumerate().map(move |(index, (document, mark))| Event { entry, index, document, mark })
}

/// Decides what goes. Everything is asked about twice, in order, and must be answered alike.
pub trait Sieve {
    /// Whether an event would go.
    fn goes(&mut self, event: &Event<'_>) -> bool;

    /// Whether an event goes; what of it is needed elsewhere is taken now.
    ///
    /// # Errors
    /// When there is no room for it there, or that disk failed.
    fn take(&mut self, event: &Event<'_>) -> Result<bool, CommitError>;

    /// Makes durable what was taken: when this has returned, it is removed here.
    ///
    /// # Errors
    /// When there is no room for it there, or that disk failed.
    fn settle(&mut self) -> Result<(), CommitError>;
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sifted {
    /// Events that went.
    pub gone: u64,
    /// Events that stayed.
    pub stayed: u64,
    /// Of those, the ones that were appended again.
    pub moved: u64,
    /// Events that were damaged or missing.
    pub lost: u64,
}

/// Why it was broken off. What had gone before is gone, and everything else is there.
#[derive(Debug, Error)]
pub enum SiftError {
    /// The log cannot be read.
    #[error("the segments cannot be read: {0}")]
    Read(#[from] io::Error),
    /// What goes has no room where it goes to, or that disk failed.
    #[error(transparent)]
    Elsewhere(CommitError),
    /// What stays has no room, or its disk failed.
    #[error(transparent)]
    Here(CommitError),
    /// The mark cannot be moved.
    #[error(transparent)]
    Mark(#[from] LogError),
}

/// How a log is opened to be sifted: durable, and with room for what is there twice meanwhile even where it is full.
pub fn plan_for(plan: &DiskPlan) -> LogPlan {
    let log_plan = plan.log_plan();
    // The segment that is read, the one that is written, a spare one, and the largest frames.
    let beside = 3 * log_plan.segment_bytes + 2 * DiskPlan::entry_bytes_max(plan.bytes_max);
    LogPlan { bytes_max: plan.bytes_max + beside, durability: Durability::Disk, ..log_plan }
}

/// Removes what the sieve lets go from the events behind the mark of this sink, the only one there is.
///
/// Everything is read and asked about once; where something goes, what lies before the last of it is read and asked about
/// again, and what of that stays is written once more.
///
/// # Errors
/// See [`SiftError`].
pub fn sift(log: &mut Log, sink: &str, from: Point, sieve: &mut dyn Sieve) -> Result<Sifted, SiftError> {
    let mut sifted = Sifted::default();
    let mut through = None;
    let mut reader = log.reader(from);
    loop {
        let read = reader.read()?;
        sifted.lost += read.lost.map_or(0, |lost| lost.events());
        if read.entries.is_empty() && read.lost.is_none() {
            break;
        }
        for (entry, behind) in &read.entries {
            let going = events(entry).filter(|event| sieve.goes(event)).count() as u64;
            sifted.stayed += entry.batch.len() as u64 - going;
            if going > 0 {
                through = Some(*behind);
            }
        }
    }
    let Some(through) = through else { return Ok(sifted) };
    let mut work = Work { log, sink, sieve, kept: Vec::new(), kept_bytes: 0, undone_bytes: 0, gone: 0, moved: 0 };
    let result = work.until(from, through);
    Ok(Sifted { gone: work.gone, moved: work.moved, ..sifted }).and_then(|sifted| result.map(|()| sifted))
}

struct Work<'w> {
    log: &'w mut Log,
    sink: &'w str,
    sieve: &'w mut dyn Sieve,
    /// What stays and is to be appended again.
    kept: Vec<Batch>,
    kept_bytes: usize,
    /// Bytes read since the mark was moved last.
    undone_bytes: usize,
    gone: u64,
    moved: u64,
}

impl Work<'_> {
    fn until(&mut self, from: Point, through: Point) -> Result<(), SiftError> {
        let mut reader = self.log.reader(from);
        while reader.place().seq < through.seq {
            let read = reader.read()?;
            for (entry, behind) in read.entries.iter().filter(|(entry, _)| entry.seq.0 < through.seq) {
                self.entry(entry)?;
                if self.undone_bytes >= GROUP_BYTES_MAX as usize {
                    self.settle(*behind)?;
                }
            }
        }
        self.settle(through)
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), SiftError> {
        let mut stays = Vec::new();
        for event in events(entry) {
            if self.sieve.take(&event).map_err(SiftError::Elsewhere)? {
                self.gone += 1;
            } else {
                stays.push(event);
            }
        }
        self.undone_bytes += entry.batch.bytes();
        if stays.is_empty() {
            return Ok(());
        }
        let batch = if stays.len() == entry.batch.len() { (*entry.batch).clone() } else { rest(&entry.batch, &stays) };
        self.kept_bytes += batch.bytes();
        self.kept.push(batch);
        if self.kept_bytes >= GROUP_BYTES_MAX as usize { self.append() } else { Ok(()) }
    }

    /// Appends what stays.
    fn append(&mut self) -> Result<(), SiftError> {
        let first = self.log.end().seq;
        let entries = (first..).zip(self.kept.drain(..));
        let entries: Vec<Entry> = entries.map(|(seq, batch)| Entry { seq: Seq(seq), batch: Arc::new(batch) }).collect();
        self.kept_bytes = 0;
        if !entries.is_empty() {
            let _ = self.log.commit(&entries).map_err(SiftError::Here)?;
            self.moved += entries.iter().map(|entry| entry.batch.len() as u64).sum::<u64>();
        }
        Ok(())
    }

    /// Moves the mark, once nothing before it is needed.
    fn settle(&mut self, to: Point) -> Result<(), SiftError> {
        self.sieve.settle().map_err(SiftError::Elsewhere)?;
        self.append()?;
        self.log.checkpoint(vec![(self.sink.to_owned(), to)])?;
        self.undone_bytes = 0;
        Ok(())
    }
}

/// A batch of these events of another one.
fn rest(batch: &Batch, events: &[Event<'_>]) -> Batch {
    let mut docs = BytesMut::with_capacity(events.iter().map(|event| event.document.len()).sum());
    let marks = events.iter().map(|event| {
        docs.extend_from_slice(event.document);
        Mark { end: u32::try_from(docs.len()).expect("it is part of a batch"), ..*event.mark }
    });
    let marks = marks.collect();
    Batch {
        docs: docs.freeze(),
        marks,
        source: batch.source,
        received: batch.received,
        is_rejects: batch.is_rejects,
        tenant: batch.tenant.clone(),
        sink: batch.sink.clone(),
    }
}

#[cfg(test)]
mod tests;
