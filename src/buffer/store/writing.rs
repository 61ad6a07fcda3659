//! What the writer does with a store: takes groups, makes them visible, and says how the disk is.

use std::collections::VecDeque;
use std::time::Duration;

use super::AGE_STEP;
use super::AGES_MAX;
use super::Queued;
use super::Store;
use super::trim;
use crate::buffer::Condition;
use crate::buffer::Entry;
use crate::buffer::Failure;
use crate::buffer::Stored;
use crate::buffer::format::Point;
use crate::buffer::log::Full;

/// What the writer shall do next.
#[derive(Debug)]
pub(in crate::buffer) enum Work {
    /// Commit the group.
    Commit,
    /// Write a checkpoint.
    Checkpoint,
    /// Note the marks until there is one.
    Note,
    /// Commit nothing more: write the last checkpoint.
    Finish,
}

/// Whether marks have moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Not since the last checkpoint.
    No,
    /// Since the last checkpoint, and not since they were noted.
    Noted,
    /// Since they were written anywhere.
    Since,
}

/// How long until marks that have moved are due to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::buffer) struct Rest {
    /// As a checkpoint.
    pub(in crate::buffer) checkpoint: Duration,
    /// As a note.
    pub(in crate::buffer) note: Duration,
}

impl Store {
    /// Waits until there is something to do, adding a group of entries to `group` where that is to be committed. Marks that
    /// have moved are due when `rest` says that the time has come.
    pub(in crate::buffer) fn next(&self, group: &mut Vec<Entry>, bytes_max: u64, rest: impl Fn() -> Rest) -> Work {
        let mut state = self.lock();
        loop {
            if !state.queue.is_empty() {
                take_group(&state.queue, group, bytes_max);
                return Work::Commit;
            }
            if state.finish {
                return Work::Finish;
            }
            let patience = match (state.moved, rest()) {
                (Moved::No, _) => Duration::MAX,
                (_, rest) if rest.checkpoint.is_zero() => return Work::Checkpoint,
                (Moved::Noted, rest) => rest.checkpoint,
                (Moved::Since, rest) if rest.note.is_zero() => return Work::Note,
                (Moved::Since, rest) => rest.checkpoint.min(rest.note),
            };
            state = match patience {
                Duration::MAX => self.work.wait(state).expect("nothing panics under the buffer's lock"),
                _ => self.work.wait_timeout(state, patience).expect("nothing panics under the buffer's lock").0,
            };
        }
    }

    /// Makes a group visible, answers its senders and gives its room back.
    pub(in crate::buffer) fn committed(
        &self,
        group: &mut Vec<Entry>,
        places: impl Iterator<Item = Point>,
        file_bytes: u64,
        took: Duration,
    ) {
        let mut room = 0;
        let mut answers = Vec::new();
        let mut state = self.lock();
        for (entry, place) in group.drain(..).zip(places) {
            let queued = state.queue.pop_front().expect("what was committed was in the queue");
            debug_assert_eq!(queued.entry.seq, entry.seq);
            let bytes = entry.batch.bytes() as u64;
            room += queued.permits as usize;
            state.queue_bytes -= bytes;
            state.queue_events -= entry.batch.len() as u64;
            state.window_bytes += bytes;
            let received = entry.batch.received;
            let sampled = state.ages.back().is_some_and(|(_, at)| received < at + AGE_STEP);
            if !sampled {
                state.ages.push_back((entry.seq.0, received));
            }
            state.end = place;
            state.window.push_back((entry, place));
        }
        if state.ages.len() > AGES_MAX {
            let mut at = 0;
            state.ages.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        let end = state.end.seq;
        while let Some(first) = state.receipts.first_entry().filter(|first| first.key().0 < end) {
            answers.push(first.remove());
        }
        state.condition = Condition::Working;
        state.wanted = None;
        state.file_bytes = file_bytes;
        state.commit_took = took;
        let freed = trim(&mut state, self.limits.window_bytes_max);
        self.wake(&mut state);
        drop(state);
        drop(freed);
        self.full.send_if_modified(std::mem::take);
        self.room.add_permits(room);
        for answer in answers {
            // Whoever does not wait any more has closed its connection.
            let _ = answer.send(Stored::Yes);
        }
    }

    /// Notes that there is no room. The group stays where it is.
    pub(in crate::buffer) fn full(&self, full: Full) {
        self.lock().condition = Condition::Full(full);
        self.full.send_replace(true);
    }

    /// Whether there was no room when that was last tried. Entries are queued all the same, as long as memory lasts.
    pub(in crate::buffer) fn is_full(&self) -> bool {
        *self.full.borrow()
    }

    /// Waits until a group has been committed again, or nothing more is taken. Abandoning the wait loses nothing.
    pub(in crate::buffer) async fn until_room(&self) {
        // An error would say that the store is gone, which whoever asks it holds.
        drop(self.full.subscribe().wait_for(|full| !full).await);
    }

    /// Waits a moment for sinks to make progress; says whether everything shall end instead.
    pub(in crate::buffer) fn pause(&self, patience: Duration) -> bool {
        let state = self.lock();
        if state.finish {
            return true;
        }
        self.work.wait_timeout(state, patience).expect("nothing panics under the buffer's lock").0.finish
    }

    /// Whether marks have moved since the last checkpoint.
    pub(in crate::buffer) fn is_dirty(&self) -> bool {
        self.lock().moved != Moved::No
    }

    /// Whether marks have moved since they were written anywhere.
    pub(in crate::buffer) fn is_unnoted(&self) -> bool {
        self.lock().moved == Moved::Since
    }

    /// The sinks' marks, to be written as a checkpoint now.
    pub(in crate::buffer) fn marks(&self) -> Vec<(String, Point)> {
        self.marks_written(Moved::No)
    }

    /// The sinks' marks, to be noted now.
    pub(in crate::buffer) fn marks_to_note(&self) -> Vec<(String, Point)> {
        self.marks_written(Moved::Noted)
    }

    fn marks_written(&self, moved: Moved) -> Vec<(String, Point)> {
        let mut state = self.lock();
        state.moved = moved;
        self.names.iter().cloned().zip(state.sinks.iter().map(|sink| sink.mark)).collect()
    }

    /// Whether marks have moved far enough to let a segment go.
    pub(in crate::buffer) fn has_spent(&self) -> bool {
        let passed = self.lock().sinks.iter().map(|sink| sink.mark.seq).min().unwrap_or(0);
        self.segments.has_spent(passed)
    }

    /// Gives up the oldest segment for all sinks; says how many events that were.
    pub(in crate::buffer) fn drop_oldest(&self) -> u64 {
        let Some(second) = self.segments.second() else { return 0 };
        let mut state = self.lock();
        let mut events = 0;
        for sink in state.sinks.iter_mut().filter(|sink| sink.mark.seq < second.seq) {
            events = events.max(second.event - sink.mark.event);
            sink.events_lost += second.event - sink.mark.event;
            sink.mark = second;
            sink.read = sink.read.max(second.seq);
        }
        state.moved = Moved::Since;
        events
    }

    /// Gives up what is in the queue: nobody is told that it is stored.
    pub(in crate::buffer) fn give_up(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.given_up = true;
        state.wanted = None;
        let receipts = std::mem::take(&mut state.receipts);
        self.wake(&mut state);
        drop(state);
        self.full.send_replace(false);
        self.room.close();
        drop(receipts);
    }

    /// Notes that the disk has failed: nothing more is taken, and nobody is told that anything is stored.
    pub(in crate::buffer) fn fail(&self, failure: Failure) {
        self.lock().condition = Condition::Failed;
        self.give_up();
        let _ = self.failure.send_replace(Some(failure));
    }
}

/// Adds what makes a good group: at least one entry, and no further one once the bytes are passed.
fn take_group(queue: &VecDeque<Queued>, group: &mut Vec<Entry>, bytes_max: u64) {
    let mut bytes = 0;
    for queued in queue {
        bytes += queued.entry.batch.bytes() as u64;
        if bytes > bytes_max && !group.is_empty() {
            return;
        }
        group.push(queued.entry.clone());
    }
}
