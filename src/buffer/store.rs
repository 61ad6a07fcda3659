//! The buffer on disk, as sources and sinks see it: a queue in front of the writer, a window of entries in memory behind it,
//! and a place for each sink.
//!
//! Entries wait in the queue until the writer has committed them; only then are they seen and their senders answered. Sinks
//! that keep up take them from the window and touch no disk; one that falls behind reads from the segments, on a thread that
//! may block. The lock is held for a few moves of pointers and never while a disk is at work.

mod reading;
mod shedding;
mod writing;

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::batch::Batch;
use crate::batch::Mark;
use crate::batch::Micros;
use crate::buffer::BufferStat;
use crate::buffer::Closed;
use crate::buffer::Condition;
use crate::buffer::CursorStat;
use crate::buffer::DiskStat;
use crate::buffer::Entry;
use crate::buffer::Failure;
use crate::buffer::Stored;
use crate::buffer::Yields;
use crate::buffer::format::Point;
use crate::buffer::log::Durability;
use crate::buffer::segments::Segments;
use crate::seq::Seq;
pub(super) use reading::DiskRead;
use writing::Moved;
pub(super) use writing::Rest;
pub(super) use writing::Work;

/// How much of a store is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreLimits {
    /// Bytes that may wait for the writer.
    pub(super) queue_bytes_max: u64,
    /// Bytes kept behind it for sinks that keep up.
    pub(super) window_bytes_max: u64,
    /// Bytes of documents in one entry; a larger batch becomes several.
    pub(super) entry_bytes_max: usize,
}

/// What the queue, the writer and the sinks share.
#[derive(Debug)]
pub(super) struct Store {
    limits: StoreLimits,
    bytes_max: u64,
    durability: Durability,
    names: Vec<String>,
    pub(super) segments: Arc<Segments>,
    /// One permit per byte of the queue.
    room: Semaphore,
    state: Mutex<State>,
    /// Rings when the writer has something to do.
    work: Condvar,
    /// One per sink.
    wakes: Box<[Notify]>,
    /// The same for who gives up its oldest entries.
    asks: Box<[Notify]>,
    /// Whether there was no room on the disk when that was last tried.
    full: watch::Sender<bool>,
    failure: watch::Sender<Option<Failure>>,
    settling: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Queued>,
    queue_bytes: u64,
    queue_events: u64,
    /// Number of the next entry.
    next: u64,
    /// Committed entries, the newest last, with the place behind each.
    window: VecDeque<(Entry, Point)>,
    window_bytes: u64,
    /// The place behind the last committed entry.
    end: Point,
    /// By number of the entry, and a number of their own: several may wait for one.
    receipts: BTreeMap<(u64, u64), oneshot::Sender<Stored>>,
    tickets: u64,
    sinks: Box<[Progress]>,
    /// Where entries are to be given up to, while the writer waits for that.
    wanted: Option<Point>,
    /// When entries were received, here and there, oldest first.
    ages: VecDeque<(u64, Micros)>,
    events_appended: u64,
    lost_events: u64,
    /// Numbers behind the losses that are counted.
    losses: Vec<u64>,
    condition: Condition,
    /// Whether marks have moved since they were written.
    moved: Moved,
    closed: bool,
    /// Nothing more is read: sinks finish what they have.
    settled: bool,
    finish: bool,
    /// Nothing more is committed, whatever is in the queue.
    given_up: bool,
    file_bytes: u64,
    commit_took: Duration,
}

#[derive(Debug)]
struct Queued {
    entry: Entry,
    permits: u32,
}

#[derive(Debug, Default)]
struct Progress {
    mark: Point,
    /// Number of the entry it will read next.
    read: u64,
    events_restored: u64,
    events_acked: u64,
    events_lost: u64,
    events_shed: u64,
    waits: bool,
    /// Nothing where its entries stay until it has acked them.
    yields: Option<Yields>,
}

/// Samples of ages kept; beyond that every second one is forgotten.
const AGES_MAX: usize = 4096;

/// Between two samples, at least.
const AGE_STEP: Micros = 1_000_000;

impl Store {
    pub(super) fn new(
        limits: StoreLimits,
        bytes_max: u64,
        durability: Durability,
        names: Vec<String>,
        marks: &[Point],
        ages: VecDeque<(u64, Micros)>,
        segments: Arc<Segments>,
    ) -> Self {
        let end = segments.end();
        let progress = |mark: &Point| Progress {
            mark: *mark,
            read: mark.seq,
            events_restored: end.event - mark.event,
            ..Progress::default()
        };
        let state = State {
            queue: VecDeque::new(),
            queue_bytes: 0,
            queue_events: 0,
            next: end.seq,
            window: VecDeque::new(),
            window_bytes: 0,
            end,
            receipts: BTreeMap::new(),
            tickets: 0,
            sinks: marks.iter().map(progress).collect(),
            wanted: None,
            ages,
            events_appended: 0,
            lost_events: 0,
            losses: Vec::new(),
            condition: Condition::Working,
            moved: Moved::No,
            closed: false,
            settled: false,
            finish: false,
            given_up: false,
            file_bytes: 0,
            commit_took: Duration::ZERO,
        };
        let queue_bytes_max = usize::try_from(limits.queue_bytes_max).expect("it is part of memory");
        Self {
            limits,
            bytes_max,
            durability,
            room: Semaphore::new(queue_bytes_max),
            wakes: marks.iter().map(|_| Notify::new()).collect(),
            asks: marks.iter().map(|_| Notify::new()).collect(),
            names,
            segments,
            state: Mutex::new(state),
            work: Condvar::new(),
            full: watch::channel(false).0,
            failure: watch::channel(None).0,
            settling: watch::channel(false).0,
        }
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Seq, Closed> {
        let permits = self.permits(&batch);
        // Abandoned here, the semaphore takes the call out of its queue and the batch is dropped.
        let permit = self.room.acquire_many(permits).await.map_err(|_| Closed)?;
        let seq = self.push(batch, permits).map_err(|_| Closed)?;
        permit.forget();
        Ok(seq)
    }

    pub(super) fn try_append(&self, batch: Batch) -> Result<Seq, Batch> {
        let permits = self.permits(&batch);
        let Ok(permit) = self.room.try_acquire_many(permits) else { return Err(batch) };
        let seq = self.push(batch, permits)?;
        permit.forget();
        Ok(seq)
    }

    /// Room a batch takes in the queue: its bytes, or all there is for one that is larger.
    fn permits(&self, batch: &Batch) -> u32 {
        let bytes = (batch.bytes() as u64).clamp(1, self.limits.queue_bytes_max);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Gives the number of the last entry the batch has become.
    fn push(&self, batch: Batch, permits: u32) -> Result<Seq, Batch> {
        let mut state = self.lock();
        if state.closed {
            return Err(batch);
        }
        state.events_appended += batch.len() as u64;
        state.queue_events += batch.len() as u64;
        for batch in parts(batch, self.limits.entry_bytes_max) {
            let entry = Entry { seq: Seq(state.next), batch: Arc::new(batch) };
            state.next += 1;
            state.queue_bytes += entry.batch.bytes() as u64;
            // The last part gives all of the room back, and the others nothing.
            state.queue.push_back(Queued { entry, permits: 0 });
        }
        if let Some(last) = state.queue.back_mut() {
            last.permits = permits;
        }
        let seq = state.next - 1;
        drop(state);
        self.work.notify_one();
        Ok(Seq(seq))
    }

    /// Waits until an entry is stored, or known not to be. Once one is not, none behind it is.
    pub(super) async fn stored(&self, seq: Seq) -> Stored {
        let answer = {
            let mut state = self.lock();
            let is_committed = seq.0 < state.end.seq;
            match state.condition {
                _ if is_committed || self.durability == Durability::Memory => return Stored::Yes,
                _ if state.given_up => return Stored::No,
                _ => {}
            }
            let (sender, answer) = oneshot::channel();
            state.tickets += 1;
            let ticket = (seq.0, state.tickets);
            state.receipts.insert(ticket, sender);
            answer
        };
        answer.await.unwrap_or(Stored::No)
    }

    /// Takes nothing more. What is in the queue is still committed.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(&mut state);
        drop(state);
        self.full.send_replace(false);
        self.room.close();
    }

    /// Lets the writer come to its end once the queue is empty or cannot be committed.
    pub(super) fn finish(&self) {
        self.close();
        self.lock().finish = true;
        self.work.notify_one();
    }

    /// Events that are in the queue and not committed.
    pub(super) fn uncommitted_events(&self) -> u64 {
        self.lock().queue_events
    }

    /// Waits until the store has failed, and says why. Abandoning the wait loses nothing.
    pub(super) async fn failed(&self) -> Failure {
        let mut failure = self.failure.subscribe();
        let found = failure.wait_for(Option::is_some).await.map(|found| found.clone());
        match found {
            Ok(Some(failure)) => failure,
            _ => std::future::pending().await,
        }
    }

    pub(super) fn stat(&self) -> BufferStat {
        let held_bytes = self.segments.held_bytes();
        let segments = self.segments.len() as u64;
        let state = self.lock();
        let all = state.end.event + state.queue_events;
        let behind = state.sinks.iter().map(|sink| sink.mark).min().unwrap_or(state.end);
        let bytes_in = |mark: Point| state.end.byte - mark.byte + state.queue_bytes;
        let cursors = state.sinks.iter().map(|sink| CursorStat {
            events: all - sink.mark.event,
            bytes: bytes_in(sink.mark),
            events_acked: sink.events_acked,
            events_restored: sink.events_restored,
            events_lost: sink.events_lost,
            events_shed: sink.events_shed,
        });
        let entries = state.next - behind.seq;
        let sampled = state.ages.partition_point(|(seq, _)| *seq <= behind.seq);
        let oldest = state.ages.get(sampled.saturating_sub(1)).map(|(_, at)| *at);
        let queued = state.queue.front().map(|queued| queued.entry.batch.received);
        BufferStat {
            bytes: held_bytes + state.queue_bytes,
            bytes_max: self.bytes_max,
            entries,
            events: all - behind.event,
            oldest: if entries == 0 { None } else { oldest.or(queued) },
            events_appended: state.events_appended,
            cursors: cursors.collect(),
            condition: state.condition,
            disk: Some(DiskStat {
                durability: self.durability,
                queued_bytes: state.queue_bytes,
                queued_events: state.queue_events,
                window_bytes: state.window_bytes,
                file_bytes: state.file_bytes,
                segments,
                lost_events: state.lost_events,
                quarantined_bytes: self.segments.quarantined_bytes(),
                commit_took: state.commit_took,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under the buffer's lock")
    }

    /// Wakes every sink that waits. A wake-up is remembered by the sink's `Notify` until it looks.
    fn wake(&self, state: &mut State) {
        for (sink, wake) in state.sinks.iter_mut().zip(&self.wakes) {
            if std::mem::take(&mut sink.waits) {
                wake.notify_one();
            }
        }
    }
}

impl State {
    /// Number of the first entry that is in memory.
    fn window_first(&self) -> u64 {
        self.window.front().map_or(self.end.seq, |(entry, _)| entry.seq.0)
    }
}

/// Takes out of the window what every sink that reads from it has read, and what is too much; to be freed outside the lock.
fn trim(state: &mut State, bytes_max: u64) -> Vec<(Entry, Point)> {
    let first = state.window_first();
    let live = state.sinks.iter().map(|sink| sink.read).filter(|read| *read >= first).min().unwrap_or(u64::MAX);
    let mut freed = Vec::new();
    while let Some((entry, _)) = state.window.front() {
        if entry.seq.0 >= live && state.window_bytes <= bytes_max {
            break;
        }
        state.window_bytes -= entry.batch.bytes() as u64;
        freed.extend(state.window.pop_front());
    }
    freed
}

/// A batch in parts that are small enough, cut between events.
fn parts(batch: Batch, bytes_max: usize) -> Vec<Batch> {
    if batch.docs.len() <= bytes_max {
        return vec![batch];
    }
    let mut parts = Vec::new();
    let (mut from, mut start) = (0, 0);
    for at in 0..batch.marks.len() {
        let end = batch.marks[at].end as usize;
        let next = batch.marks.get(at + 1).map_or(usize::MAX, |mark| mark.end as usize);
        if next == usize::MAX || next - start > bytes_max {
            let before = u32::try_from(start).expect("a batch is cut at its limit");
            let marks = batch.marks[from..=at].iter().map(|mark| Mark { end: mark.end - before, ..*mark }).collect();
            parts.push(Batch { docs: batch.docs.slice(start..end), marks, ..batch.clone() });
            (from, start) = (at + 1, end);
        }
    }
    parts
}

#[cfg(test)]
mod tests;
