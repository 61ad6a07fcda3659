//! The one thread that writes: takes groups from the queue, commits them, writes checkpoints, and waits where there is no room.
//!
//! It starts nothing and knows no metric; whoever runs it is told what each write took.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::buffer::Entry;
use crate::buffer::Failure;
use crate::buffer::WhenFull;
use crate::buffer::format::Point;
use crate::buffer::frame::SourceNames;
use crate::buffer::frame::entry_bytes;
use crate::buffer::log::CommitError;
use crate::buffer::log::Full;
use crate::buffer::log::Log;
use crate::buffer::store::Rest;
use crate::buffer::store::Store;
use crate::buffer::store::Work;

/// The writer of a buffer on disk.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    store: Arc<Store>,
    names: Arc<SourceNames>,
    bytes_max: u64,
    group_bytes_max: u64,
    when_full: WhenFull,
    group: Vec<Entry>,
    checkpointed: Instant,
    noted: Instant,
}

/// What was written, for whoever counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// A group was committed.
    Group {
        /// Bytes written.
        disk_bytes: u64,
        /// From its first byte to the end of its sync, where it is synced.
        took: Duration,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// How long that took.
        took: Duration,
    },
    /// There is no room; nothing is committed until there is.
    Full(Full),
    /// There is room again.
    Room,
    /// The oldest events were given up to make room.
    Dropped {
        /// How many.
        events: u64,
    },
}

/// How long marks that have moved may wait to be durable: what is delivered again after a loss of power.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

/// How long they may wait to be noted: what is delivered again after the process was killed. A note is one write of a few
/// microseconds into the page cache.
const NOTE_INTERVAL: Duration = Duration::from_millis(2);

/// Between two tries to go on when there is no room.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// The same where the filesystem is full: asking costs writes.
const FILESYSTEM_PAUSE: Duration = Duration::from_secs(1);

/// How long it may take to give up a segment before senders are told that there is no room: half of what they are answered
/// within.
const SHED_PATIENCE: Duration = Duration::from_secs(2);

/// Notes a panic of the writer, which nobody would see on a thread of its own.
struct Guard(Arc<Store>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Failure { reason: "the buffer's writer broke off".to_owned(), is_fatal: true });
        }
    }
}

impl Writer {
    pub(super) fn new(
        log: Log,
        store: Arc<Store>,
        names: Arc<SourceNames>,
        bytes_max: u64,
        group_bytes_max: u64,
        when_full: WhenFull,
    ) -> Self {
        let (group, now) = (Vec::new(), Instant::now());
        Self { log, store, names, bytes_max, group_bytes_max, when_full, group, checkpointed: now, noted: now }
    }

    /// Writes until the buffer is finished or the disk fails; blocks the thread it is called on.
    pub fn run(mut self, observe: impl Fn(Wrote)) {
        let _guard = Guard(self.store.clone());
        if let Err(failure) = self.write_all(&observe) {
            self.store.fail(failure);
        }
    }

    fn write_all(&mut self, observe: &impl Fn(Wrote)) -> Result<(), Failure> {
        loop {
            let (checkpointed, noted) = (self.checkpointed, self.noted);
            let rest = || Rest {
                checkpoint: CHECKPOINT_INTERVAL.saturating_sub(checkpointed.elapsed()),
                note: NOTE_INTERVAL.saturating_sub(noted.elapsed()),
            };
            match self.store.next(&mut self.group, self.group_bytes_max, rest) {
                Work::Commit => {
                    if !self.commit(observe)? {
                        self.store.give_up();
                        return self.checkpoint(observe);
                    }
                    // A segment that all sinks have passed becomes the next one: writing over it takes a third of the work.
                    let is_due = self.checkpointed.elapsed() >= CHECKPOINT_INTERVAL;
                    if self.store.is_dirty() && (is_due || self.log.needs_a_file() && self.store.has_spent()) {
                        self.checkpoint(observe)?;
                    } else {
                        self.note_if_due()?;
                    }
                    // Nobody waits for this one; when there is no room for it now, there may be when it is needed.
                    if let Err(CommitError::Failed(error)) = self.log.prepare() {
                        return Err(error.into());
                    }
                }
                Work::Checkpoint => self.checkpoint(observe)?,
                Work::Note => self.note()?,
                Work::Finish => return self.checkpoint(observe),
            }
        }
    }

    /// Commits the group, waiting for room; `false`: everything ends and there is none.
    fn commit(&mut self, observe: &impl Fn(Wrote)) -> Result<bool, Failure> {
        let mut was_full = false;
        loop {
            let begun = Instant::now();
            let start = self.log.end();
            let full = match self.log.commit(&self.group) {
                Ok(committed) => {
                    let took = begun.elapsed();
                    if was_full {
                        observe(Wrote::Room);
                    }
                    observe(Wrote::Group { disk_bytes: committed.disk_bytes, took });
                    let file_bytes = self.log.file_bytes();
                    let places = places(&self.group, start, &self.names);
                    self.store.committed(&mut self.group, places.into_iter(), file_bytes, took);
                    return Ok(true);
                }
                Err(CommitError::Failed(error)) => return Err(error.into()),
                Err(CommitError::Full(full)) => full,
            };
            if self.when_full == WhenFull::DropOldest {
                let events = self.store.drop_oldest();
                if events > 0 {
                    observe(Wrote::Dropped { events });
                    self.checkpoint(observe)?;
                    continue;
                }
            }
            if self.wait_for_shedding(observe)? {
                continue;
            }
            self.store.full(full);
            if !std::mem::replace(&mut was_full, true) {
                observe(Wrote::Full(full));
            }
            if !self.wait_for_room(full, observe)? {
                return Ok(false);
            }
        }
    }

    /// Waits until the oldest segment is let go of because its entries are given up; `false`: they are not, or not soon.
    fn wait_for_shedding(&mut self, observe: &impl Fn(Wrote)) -> Result<bool, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < SHED_PATIENCE && self.store.ask_for_room() {
            if self.store.pause(FULL_PAUSE) {
                return Ok(false);
            }
            if self.store.has_spent() {
                self.checkpoint(observe)?;
                return Ok(true);
            }
            self.note_if_due()?;
        }
        Ok(false)
    }

    /// Waits until it is worth trying again; sinks go on, and the segments they pass are let go. At the configured bound that is
    /// when a tenth is free, so that senders are not stopped and started for every segment; where entries are given up for room,
    /// no more of them than has to be.
    fn wait_for_room(&mut self, full: Full, observe: &impl Fn(Wrote)) -> Result<bool, Failure> {
        let begun = Instant::now();
        let held = self.store.segments.held_bytes();
        let mut sheds = false;
        loop {
            if self.store.has_spent() {
                self.checkpoint(observe)?;
            } else {
                self.note_if_due()?;
            }
            let now = self.store.segments.held_bytes();
            let is_room = match full {
                Full::Limit => now < held && (sheds || now <= self.bytes_max / 10 * 9),
                Full::Filesystem => now < held || begun.elapsed() >= FILESYSTEM_PAUSE,
            };
            if is_room {
                return Ok(true);
            }
            sheds = self.store.ask_for_room();
            if self.store.pause(FULL_PAUSE) {
                return Ok(false);
            }
        }
    }

    fn note_if_due(&mut self) -> Result<(), Failure> {
        if self.noted.elapsed() >= NOTE_INTERVAL && self.store.is_unnoted() { self.note() } else { Ok(()) }
    }

    fn note(&mut self) -> Result<(), Failure> {
        self.log.note(self.store.marks_to_note())?;
        self.noted = Instant::now();
        Ok(())
    }

    fn checkpoint(&mut self, observe: &impl Fn(Wrote)) -> Result<(), Failure> {
        let begun = Instant::now();
        self.log.checkpoint(self.store.marks())?;
        self.checkpointed = Instant::now();
        self.noted = self.checkpointed;
        observe(Wrote::Checkpoint { took: begun.elapsed() });
        Ok(())
    }
}

/// The place behind each entry of a group that begins at `start`.
fn places(group: &[Entry], start: Point, names: &SourceNames) -> Vec<Point> {
    let mut place = start;
    let behind = group.iter().map(|entry| {
        place = place.behind(entry.batch.len() as u64, entry_bytes(&entry.batch, &names.name(entry.batch.source)));
        place
    });
    behind.collect()
}
