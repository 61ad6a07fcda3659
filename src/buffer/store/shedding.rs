//! Who has to give up its oldest entries in a store, and how far: what makes room is a whole segment that nobody needs.

use super::Moved;
use super::State;
use super::Store;
use crate::buffer::Yields;
use crate::buffer::format::Point;

impl Store {
    /// Lets a sink's entries be given up, or no more.
    pub(in crate::buffer) fn let_shed(&self, sink: usize, yields: Option<Yields>) {
        self.lock().sinks[sink].yields = yields;
    }

    /// Whether giving up entries lets the oldest segment go, and asks for it where it does. One sink that holds some of it and
    /// gives up nothing keeps it, and then it would be in vain.
    pub(in crate::buffer) fn ask_for_room(&self) -> bool {
        let second = self.segments.second();
        let mut state = self.lock();
        state.wanted = second.filter(|to| {
            let mut holders = state.sinks.iter().filter(|sink| sink.mark.seq < to.seq).peekable();
            holders.peek().is_some() && holders.all(|sink| sink.yields.is_some())
        });
        let is_wanted = state.wanted.is_some();
        drop(state);
        if is_wanted {
            self.ask_all();
        }
        is_wanted
    }

    /// What a sink is to give up: from its mark up to a place.
    pub(in crate::buffer) fn asked(&self, sink: usize) -> Option<(Point, Point)> {
        asked(&self.lock(), sink)
    }

    /// Waits until that may have changed. Abandoning the wait loses nothing.
    pub(in crate::buffer) async fn asking(&self, sink: usize) {
        self.asks[sink].notified().await;
    }

    /// Moves a sink's mark past what is given up. `count` is told where that begins, and says how many events there were.
    pub(in crate::buffer) fn shed(&self, sink: usize, to: Point, count: impl FnOnce(Point) -> u64) {
        let mut state = self.lock();
        assert!(to.seq <= state.end.seq, "only what is committed is given up");
        let (from, yields) = (state.sinks[sink].mark, state.sinks[sink].yields);
        let is_in_vain = yields == Some(Yields::Last) && asked(&state, sink).is_none();
        if to.seq <= from.seq || is_in_vain {
            return;
        }
        let events = count(from);
        let progress = &mut state.sinks[sink];
        progress.events_shed += events;
        progress.events_lost += (to.event - from.event).saturating_sub(events);
        progress.mark = to;
        progress.read = progress.read.max(to.seq);
        state.moved = Moved::Since;
        drop(state);
        self.work.notify_one();
        // Others may have waited for it to go first.
        self.ask_all();
    }

    fn ask_all(&self) {
        self.asks.iter().for_each(tokio::sync::Notify::notify_one);
    }
}

/// Those that yield last are asked when all others are through.
fn asked(state: &State, sink: usize) -> Option<(Point, Point)> {
    let to = state.wanted?;
    let (mark, yields) = (state.sinks[sink].mark, state.sinks[sink].yields?);
    let mut holders = state.sinks.iter().filter(|sink| sink.mark.seq < to.seq);
    let may = match yields {
        Yields::First => true,
        Yields::Last => holders.all(|sink| sink.yields == Some(Yields::Last)),
    };
    (may && mark.seq < to.seq).then_some((mark, to))
}
