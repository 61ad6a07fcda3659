//! What a sink reads and acks: its cursor in the buffer, and which of what stands there it is to have.
//!
//! A sink with a selection sees only what it wants, and none is given what is for another sink alone. The rest is acked on
//! its behalf: at once where nothing before it is outstanding, otherwise together with the last entry before it that the sink
//! has. So the sink's own acks stay in order, and nothing that it is not to have keeps the buffer full behind it.
//!
//! What is given up in the sink's name meanwhile is not given to it any more, and where it has it already, what it acks of that
//! counts as nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::yield_now;

use crate::buffer::Acked;
use crate::buffer::Cursor;
use crate::buffer::Entry;
use crate::select::Picked;
use crate::select::Select;
use crate::seq::Seq;
use crate::sink::SinkState;

/// A sink's supply of entries, and what of it is under way.
#[derive(Debug)]
pub(super) struct Supply {
    cursor: Cursor,
    /// Nothing where the sink wants everything.
    select: Option<Select>,
    state: Arc<SinkState>,
    /// The entries that the sink is to have, as far as they are read and not acked.
    pending: VecDeque<Pending>,
    /// Those of them that it has not been given yet.
    ready: VecDeque<Entry>,
    /// Number behind the furthest entry ever looked at: what is below it is in `pending`, or acked.
    looked_end: u64,
    /// Number behind the furthest entry ever given.
    given_end: u64,
    scratch: Vec<Entry>,
}

/// An entry that the sink is to have, wholly or in part.
#[derive(Debug)]
struct Pending {
    seq: Seq,
    /// The last entry that is acked along with it: itself, or one behind it with nothing for the sink.
    through: Seq,
    /// What the sink has of it.
    events: u64,
    bytes: u64,
}

/// Entries looked at in a row, and bytes of documents in them: between two such looks others have their turn.
const LOOK_ENTRIES: usize = 256;
const LOOK_BYTES: usize = 1 << 20;

/// Bytes of documents looked into for one read.
const READ_BYTES: usize = 4 << 20;

impl Supply {
    /// What the sink of this state is to have of what a cursor reads; what else there is counts as skipped in `state`.
    pub(super) fn new(cursor: Cursor, select: Option<Select>, state: Arc<SinkState>) -> Self {
        let (pending, ready, scratch) = Default::default();
        Self { cursor, select, state, pending, ready, looked_end: 0, given_end: 0, scratch }
    }

    /// See [`Cursor::read`]. There may be nothing for the sink although there was something to read.
    pub(super) fn read(&mut self, entries_max: usize, bytes_max: usize, out: &mut Vec<Entry>) {
        if self.cursor.is_settled() {
            return;
        }
        self.forget_given_up();
        let (mut entries_max, mut bytes_max) = (entries_max, bytes_max);
        self.give(&mut entries_max, &mut bytes_max, out);
        if entries_max > 0 && bytes_max > 0 {
            let reads_documents = self.select.as_ref().is_some_and(Select::reads_documents);
            self.look(entries_max, if reads_documents { bytes_max.min(READ_BYTES) } else { bytes_max });
            self.give(&mut entries_max, &mut bytes_max, out);
        }
    }

    /// See [`Cursor::wait`]. With a selection it waits for something that the sink is to have, and lets go of the rest.
    pub(super) async fn wait(&mut self) -> bool {
        loop {
            if self.cursor.is_settled() {
                return false;
            }
            self.forget_given_up();
            if !self.ready.is_empty() {
                return true;
            }
            if !self.cursor.wait().await {
                return false;
            }
            if self.select.is_none() {
                return true;
            }
            self.look(LOOK_ENTRIES, LOOK_BYTES);
            if self.ready.is_empty() {
                // There may be very much that this sink is not to have, and it would be gone through without waiting.
                yield_now().await;
            }
        }
    }

    /// Reads from the buffer and keeps what the sink is to have.
    fn look(&mut self, entries_max: usize, bytes_max: usize) {
        let mut entries = std::mem::take(&mut self.scratch);
        self.cursor.read(entries_max, bytes_max, &mut entries);
        let mut free = None;
        for entry in entries.drain(..) {
            let is_known = entry.seq.0 < self.looked_end;
            self.looked_end = self.looked_end.max(entry.seq.0 + 1);
            let batch = match pick(&entry, self.select.as_ref(), self.state.name()) {
                Picked::All => entry.batch,
                Picked::Some(batch) => Arc::new(batch),
                Picked::Nothing if is_known && !self.pending.is_empty() => continue,
                Picked::Nothing => {
                    match self.pending.back_mut() {
                        Some(before) => before.through = entry.seq,
                        None => free = Some(entry.seq),
                    }
                    continue;
                }
            };
            let seq = entry.seq;
            if !is_known {
                let (events, bytes) = (batch.len() as u64, batch.bytes() as u64);
                self.pending.push_back(Pending { seq, through: seq, events, bytes });
            }
            self.ready.push_back(Entry { seq, batch });
        }
        self.scratch = entries;
        if let Some(through) = free {
            let _ = self.let_go(through, |_| {});
        }
    }

    /// Forgets what was given up in the sink's name and was not given to it yet, or was taken back.
    fn forget_given_up(&mut self) {
        let Some(before) = self.cursor.given_up_before() else { return };
        while self.ready.pop_front_if(|entry| entry.seq < before).is_some() {}
        let mut last = None;
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.seq < before) {
            last = Some(pending.through);
        }
        // What stands behind it with nothing for the sink would have been acked along with it.
        if let Some(through) = last.filter(|through| *through >= before) {
            let _ = self.let_go(through, |_| {});
        }
    }

    /// Gives what is ready, as far as the limits go, which get as much lower.
    fn give(&mut self, entries_max: &mut usize, bytes_max: &mut usize, out: &mut Vec<Entry>) {
        while *entries_max > 0
            && *bytes_max > 0
            && let Some(entry) = self.ready.pop_front()
        {
            *entries_max -= 1;
            *bytes_max = bytes_max.saturating_sub(entry.batch.docs.len());
            self.given_end = self.given_end.max(entry.seq.0 + 1);
            out.push(entry);
        }
    }

    /// See [`Cursor::ack`]. What is told as acked is what the sink had, without what was given up in its name before.
    pub(super) fn ack(&mut self, through: Seq) -> Acked {
        self.ack_and(through, |_| {})
    }

    /// The same; `told` is told of it before anybody can see it in the figures.
    pub(super) fn ack_and(&mut self, through: Seq, told: impl FnOnce(&Acked)) -> Acked {
        assert!(through.0 < self.given_end, "entry {} is acked but was never read", through.0);
        // What was given before a rewind may be acked before it is given again.
        while self.ready.pop_front_if(|entry| entry.seq <= through).is_some() {}
        let behind = self.pending.partition_point(|pending| pending.seq <= through);
        let last = behind.checked_sub(1).map(|last| self.pending[last].through);
        last.map_or_else(Acked::default, |last| self.let_go(last, told))
    }

    /// Acks in the buffer; says what of it the sink had. The others are counted as skipped before anybody sees it: whoever takes
    /// them off what is acked must not find them missing.
    fn let_go(&mut self, through: Seq, told: impl FnOnce(&Acked)) -> Acked {
        let (pending, state) = (&self.pending, &self.state);
        let mut had = Acked::default();
        let _ = self.cursor.ack_and(through, |acked| {
            had = Acked { events: 0, bytes: 0, ..*acked };
            for pending in pending.iter().take_while(|pending| pending.seq <= through).filter(|pending| acked.has(pending.seq)) {
                had.events += pending.events;
                had.bytes += pending.bytes;
            }
            state.skipped(acked.events - had.events);
            told(&had);
        });
        while self.pending.pop_front_if(|pending| pending.seq < had.to).is_some() {}
        had
    }

    /// See [`Cursor::rewind`]. What was given before may still be acked.
    pub(super) fn rewind(&mut self) {
        self.ready.clear();
        self.cursor.rewind();
    }

    /// Waits for more to read where that is wanted, and for the end of reading; `false` is that.
    pub(super) async fn more(&mut self, is_wanted: bool) -> bool {
        if is_wanted {
            return self.wait().await;
        }
        self.settled().await;
        false
    }

    /// See [`Cursor::settled`].
    pub(super) async fn settled(&self) {
        self.cursor.settled().await;
    }

    /// See [`Cursor::is_settled`].
    pub(super) fn is_settled(&self) -> bool {
        self.cursor.is_settled()
    }

    /// See [`Cursor::is_finished`].
    pub(super) fn is_finished(&self) -> bool {
        self.cursor.is_finished()
    }
}

/// What of an entry the sink of this name is to have.
pub(super) fn pick(entry: &Entry, select: Option<&Select>, name: &str) -> Picked {
    match (entry.batch.sink.as_deref(), select) {
        // What it refused before and is to try again, whatever it selects now: nobody else has it.
        (Some(sink), _) if sink == name => Picked::All,
        (Some(_), _) => Picked::Nothing,
        (None, Some(select)) => select.pick(&entry.batch),
        (None, None) => Picked::All,
    }
}

#[cfg(test)]
mod tests;
