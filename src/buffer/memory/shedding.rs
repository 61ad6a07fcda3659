//! Who has to give up its oldest entries in memory, and how far: about as much as whoever waits needs, where nobody else needs it.

use super::Memory;
use super::State;
use crate::buffer::Acked;
use crate::buffer::Entry;
use crate::buffer::Yields;
use crate::seq::Seq;

/// The part of the room that is made at once, one in so many bytes, so that it is not done for each entry anew.
const STEP_PART: u64 = 64;

impl Memory {
    /// Lets a sink's entries be given up, or no more.
    pub(in crate::buffer) fn let_shed(&self, sink: usize, yields: Option<Yields>) {
        self.lock().sinks[sink].yields = yields;
    }

    /// Says that memory is short elsewhere because of what is held here: entries are given up as if an append waited.
    pub(in crate::buffer) fn press(&self) {
        let mut state = self.lock();
        state.pressed = !state.held.is_empty();
        drop(state);
        self.ask_all();
    }

    /// The entries that a sink is to give up now, where there are some.
    pub(in crate::buffer) fn asked(&self, sink: usize) -> Option<Vec<Entry>> {
        let state = self.lock();
        let (from, to) = self.asked_in(&state, sink)?;
        let skipped = usize::try_from(from - state.first).expect("held entries fit in memory");
        let entries = (from..to).zip(state.held.range(skipped..));
        Some(entries.map(|(seq, held)| Entry { seq: Seq(seq), batch: held.batch.clone() }).collect())
    }

    /// Waits until that may have changed. Abandoning the wait loses nothing.
    pub(in crate::buffer) async fn asking(&self, sink: usize) {
        self.asks[sink].notified().await;
    }

    /// Moves a sink past what is given up, up to the entry `to`.
    pub(in crate::buffer) fn shed(&self, sink: usize, to: u64, told: impl FnOnce(&Acked)) {
        let mut state = self.lock();
        let is_in_vain = state.sinks[sink].yields == Some(Yields::Last) && self.asked_in(&state, sink).is_none();
        if is_in_vain {
            return;
        }
        let Some(passed) = state.pass(sink, to) else { return };
        told(&passed);
        state.sinks[sink].events_shed += passed.events;
        self.free(state, &mut Vec::new());
        // Others may have waited for it to go first, and somebody may still wait for more.
        self.ask_all();
    }

    /// From which entry up to which one a sink is to give up what it holds. Those that yield last are asked when all others are
    /// through.
    fn asked_in(&self, state: &State, sink: usize) -> Option<(u64, u64)> {
        if !state.is_short(self.bytes_max) {
            return None;
        }
        let (from, yields) = (state.sinks[sink].next, state.sinks[sink].yields?);
        let stays = state.sinks.iter().filter(|sink| sink.yields.is_none()).map(|sink| sink.next).min();
        let step = (self.bytes_max / STEP_PART).max(1);
        let (mut to, mut room) = (state.first, 0);
        for held in &state.held {
            if room >= step {
                break;
            }
            room += u64::from(held.permits);
            to += 1;
        }
        let to = to.min(stays.unwrap_or(u64::MAX));
        let mut holders = state.sinks.iter().filter(|sink| sink.next < to);
        let may = match yields {
            Yields::First => true,
            Yields::Last => holders.all(|sink| sink.yields == Some(Yields::Last)),
        };
        (may && from < to).then_some((from, to))
    }
}
