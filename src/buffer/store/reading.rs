//! What a sink does with a store; its place in it is in [`place`](crate::buffer::place).

use std::io;

use super::Moved;
use super::Store;
use super::trim;
use crate::buffer::Condition;
use crate::buffer::Entry;
use crate::buffer::Fill;
use crate::buffer::format::Point;
use crate::buffer::place::Lagging;
use crate::buffer::reader::Lost;
use crate::buffer::reader::ReadOut;
use crate::buffer::reader::Reader;
use crate::seq::Seq;

/// What a read from disk gave, and the reader back.
pub(in crate::buffer) type DiskRead = (Reader, io::Result<ReadOut>);

impl Store {
    /// How full it is.
    pub(in crate::buffer) fn fill(&self) -> Fill {
        let held_bytes = self.segments.held_bytes();
        let state = self.lock();
        let stays = state.sinks.iter().filter(|sink| sink.yields.is_none()).map(|sink| sink.mark).min().unwrap_or(state.end);
        let may_go = state.sinks.iter().any(|sink| sink.yields.is_some());
        let bytes = if may_go { held_bytes.min(state.end.byte - stays.byte) } else { held_bytes };
        Fill { first: Seq(stays.seq), bytes: bytes + state.queue_bytes, bytes_max: self.bytes_max }
    }

    /// Lets sinks read nothing more: what they have read is all there is for them.
    pub(in crate::buffer) fn settle(&self) {
        let mut state = self.lock();
        state.settled = true;
        self.wake(&mut state);
        drop(state);
        self.settling.send_replace(true);
    }

    /// Waits until sinks shall read nothing more. Abandoning the wait loses nothing.
    pub(in crate::buffer) async fn until_settled(&self) {
        // An error would say that the store is gone, which whoever asks it holds.
        drop(self.settling.subscribe().wait_for(|settled| *settled).await);
    }

    /// Adds entries from the window to `out`, from `next` on and none that was given up, with the places behind them; nothing
    /// where they are only on disk.
    pub(in crate::buffer) fn read(
        &self,
        sink: usize,
        next: u64,
        entries_max: usize,
        bytes_max: usize,
        out: &mut Vec<(Entry, Point)>,
    ) {
        let mut state = self.lock();
        let first = state.window_first();
        let next = next.max(state.sinks[sink].mark.seq);
        if state.settled || next < first {
            return;
        }
        let from = usize::try_from(next - first).expect("the window is in memory");
        let mut bytes = 0;
        for (entry, place) in state.window.range(from.min(state.window.len())..).take(entries_max) {
            bytes += entry.batch.docs.len();
            out.push((entry.clone(), *place));
            if bytes >= bytes_max {
                break;
            }
        }
        state.sinks[sink].read = next + out.len() as u64;
        let freed = trim(&mut state, self.limits.window_bytes_max);
        drop(state);
        drop(freed);
    }

    /// Where a sink has to look for the entry `next`; registers it to be woken where there is none.
    pub(in crate::buffer) fn look(&self, sink: usize, next: u64) -> Lagging {
        let mut state = self.lock();
        if state.settled {
            return Lagging::End;
        }
        let mark = state.sinks[sink].mark;
        if next < mark.seq {
            return Lagging::Passed(mark);
        }
        state.sinks[sink].read = next;
        if next < state.end.seq {
            return if next < state.window_first() { Lagging::OnDisk } else { Lagging::InMemory };
        }
        if state.closed && (state.queue.is_empty() || state.condition == Condition::Failed) {
            return Lagging::End;
        }
        state.sinks[sink].waits = true;
        Lagging::Wait
    }

    /// Waits until something may have changed since [`look`](Self::look). Abandoning the wait loses nothing.
    pub(in crate::buffer) async fn changed(&self, sink: usize) {
        self.wakes[sink].notified().await;
    }

    /// Whether there is something behind `next` that may be read.
    pub(in crate::buffer) fn has_more(&self, sink: usize, next: u64) -> bool {
        let state = self.lock();
        !state.settled && next.max(state.sinks[sink].mark.seq) < state.end.seq
    }

    /// Whether sinks shall read nothing more.
    pub(in crate::buffer) fn is_settled(&self) -> bool {
        self.lock().settled
    }

    /// Whether nothing more may be read, and whether all there is has been acked.
    pub(in crate::buffer) fn is_finished(&self, sink: usize, holds_nothing: bool) -> bool {
        let state = self.lock();
        if state.settled {
            return holds_nothing;
        }
        let is_closed = state.closed && (state.queue.is_empty() || state.condition == Condition::Failed);
        is_closed && state.sinks[sink].mark.seq >= state.end.seq
    }

    /// The first place a sink has not acked.
    pub(in crate::buffer) fn mark(&self, sink: usize) -> Point {
        self.lock().sinks[sink].mark
    }

    /// Moves a sink's mark. `count` is told where that begins, and says how many events there were; what else lies between is
    /// lost.
    pub(in crate::buffer) fn ack(&self, sink: usize, to: Point, count: impl FnOnce(Point) -> u64) {
        let mut state = self.lock();
        let progress = &mut state.sinks[sink];
        // Entries may have been given up meanwhile.
        let from = progress.mark;
        if to.seq <= from.seq {
            return;
        }
        let events = count(from);
        progress.events_acked += events;
        progress.events_lost += (to.event - from.event).saturating_sub(events);
        progress.mark = to;
        let first = std::mem::replace(&mut state.moved, Moved::Since) != Moved::Since;
        let is_awaited = matches!(state.condition, Condition::Full(_)) || state.wanted.is_some();
        drop(state);
        if first || is_awaited {
            self.work.notify_one();
        }
    }

    /// Counts what no sink can have any more; each loss once, whichever sink finds it first.
    pub(in crate::buffer) fn lost(&self, lost: &Lost) {
        let mut state = self.lock();
        if !state.losses.contains(&lost.to.seq) {
            state.losses.push(lost.to.seq);
            state.lost_events += lost.events();
        }
    }
}
