//! What is given up of a sink's when the buffer is full: its oldest documents, as dead letters or counted as dropped.
//!
//! It runs beside the sink, which may be stuck in a connection for as long as it likes. Documents that the sink was not to have
//! count as skipped here, too. Which entries it has to be, and when, is said by the buffer.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;
use tokio::time::sleep_until;

use crate::batch::Micros;
use crate::buffer::Cursor;
use crate::buffer::Entry;
use crate::buffer::Piece;
use crate::buffer::Shed;
use crate::buffer::Shedder;
use crate::buffer::Yields;
use crate::select::Picked;
use crate::select::Select;
use crate::seq::Seq;
use crate::sink::DeadLetters;
use crate::sink::SinkState;
use crate::sink::WhenFull;
use crate::sink::parcel::Parcel;
use crate::sink::parcel::Run;
use crate::sink::state;
use crate::sink::supply::pick;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// Gives up a sink's documents where the buffer asks for that.
#[derive(Debug)]
pub struct Shedding {
    shedder: Shedder,
    /// Nothing where the sink is to have everything.
    select: Option<Select>,
    /// Nothing where they are dropped.
    letters: Option<DeadLetters>,
    state: Arc<SinkState>,
    /// What was read and not given up.
    parts: Vec<Part>,
    episode: Option<Episode>,
}

/// An entry, as far as it matters to the books.
#[derive(Clone, Copy, Debug)]
struct Part {
    seq: Seq,
    /// Documents that the sink was to have.
    given_up: u64,
    /// The others.
    skipped: u64,
}

/// A time in which documents are given up now and again.
#[derive(Clone, Copy, Debug)]
struct Episode {
    since: Micros,
    events: u64,
    last: Instant,
}

/// When nothing was given up for so long, that was the end of it. Where little comes in, a segment that was given up has room for
/// minutes.
const QUIET: Duration = Duration::from_secs(900);

/// Bytes of documents looked into before others have their turn.
const LOOK_BYTES: usize = 1 << 20;

impl Shedding {
    /// For the sink of this cursor and state; nothing where senders wait for it.
    pub(super) fn new(
        when_full: WhenFull,
        cursor: &mut Cursor,
        select: Option<Select>,
        letters: &DeadLetters,
        state: Arc<SinkState>,
    ) -> Option<Self> {
        let (yields, letters) = match when_full {
            WhenFull::Block => return None,
            WhenFull::DeadLetter => (Yields::First, Some(letters.clone())),
            WhenFull::DropOldest => (Yields::Last, None),
        };
        Some(Self { shedder: cursor.shedder(yields), select, letters, state, parts: Vec::new(), episode: None })
    }

    /// Gives up what has to be until [`Phase::Stop`], or until dead letters are not stored any more: then senders wait.
    ///
    /// Dropping the future gives up nothing more. What was stored as letters and not given up yet is delivered as well.
    pub async fn run(mut self, mut stop: StopWatch) {
        loop {
            let quiet = self.episode.map(|episode| episode.last + QUIET);
            let piece = tokio::select! {
                biased;
                () = stop.reached(Phase::Stop) => break,
                piece = self.shedder.next() => piece,
                () = async { match quiet { Some(at) => sleep_until(at).await, None => pending().await } } => {
                    self.end_episode();
                    continue;
                }
            };
            if !self.give_up(piece).await {
                break;
            }
        }
        self.end_episode();
    }

    /// Gives up what was read, once it may; `false`: it could not be kept, and nothing more can.
    async fn give_up(&mut self, Piece { entries, is_first, is_last }: Piece) -> bool {
        if is_first {
            self.parts.clear();
        }
        let parcel = self.look(entries).await;
        let may_go = match &self.letters {
            Some(letters) => parcel.is_empty() || letters.store_given_up(&parcel, self.state.name()).await,
            // Some of it alone makes no room, and would be given up for nothing where room is made by others meanwhile.
            None if !is_last => return true,
            None => true,
        };
        if !may_go {
            return false;
        }
        let (parts, state, is_kept) = (std::mem::take(&mut self.parts), &self.state, self.letters.is_some());
        let mut events = 0;
        self.shedder.shed(|shed| {
            let (given_up, skipped) = sums(&parts, shed);
            state.skipped(skipped);
            state.given_up(given_up, is_kept);
            events = given_up;
        });
        if events > 0 {
            self.note(events);
        }
        true
    }

    /// Notes what entries have for the sink; the documents where they become letters.
    async fn look(&mut self, entries: Vec<Entry>) -> Parcel {
        let mut parcel = Parcel::default();
        let mut looked_bytes = 0;
        for Entry { seq, batch } in entries {
            looked_bytes += batch.docs.len();
            if looked_bytes >= LOOK_BYTES {
                looked_bytes = 0;
                yield_now().await;
            }
            let all = batch.len() as u64;
            let entry = Entry { seq, batch };
            let picked = match pick(&entry, self.select.as_ref(), self.state.name()) {
                Picked::All => Some(entry.batch),
                Picked::Some(batch) => Some(Arc::new(batch)),
                Picked::Nothing => None,
            };
            let given_up = picked.as_ref().map_or(0, |batch| batch.len() as u64);
            self.parts.push(Part { seq, given_up, skipped: all - given_up });
            if let Some(batch) = picked.filter(|_| self.letters.is_some()) {
                let to = u32::try_from(batch.len()).expect("a batch has fewer documents than bytes");
                parcel.push(Run { entry: Entry { seq, batch }, from: 0, to });
            }
        }
        parcel
    }

    /// Says that documents are given up, once while that goes on.
    fn note(&mut self, events: u64) {
        let last = Instant::now();
        if let Some(episode) = &mut self.episode {
            (episode.events, episode.last) = (episode.events + events, last);
            return;
        }
        let since = state::now();
        self.episode = Some(Episode { since, events, last });
        self.state.gives_up(Some(since));
        let remedy = "see why it does not keep up, or raise max_bytes of the buffer";
        tracing::warn!(
            sink = self.state.name(),
            events,
            remedy,
            "the buffer is full, and the oldest events of this sink are given up: {}",
            self.whereto()
        );
    }

    fn end_episode(&mut self) {
        let Some(Episode { since, events, .. }) = self.episode.take() else { return };
        self.state.gives_up(None);
        let since = String::from_utf8_lossy(&crate::time::format_millis(since)).into_owned();
        let sink = self.state.name();
        tracing::warn!(sink, events, since, "no more events of this sink are given up; so many were: {}", self.whereto());
    }

    fn whereto(&self) -> &'static str {
        if self.letters.is_some() { "they are dead letters" } else { "they are dropped" }
    }
}

/// Documents given up and skipped in what was given up.
fn sums(parts: &[Part], shed: Shed) -> (u64, u64) {
    let of_those = parts.iter().filter(|part| shed.has(part.seq));
    of_those.fold((0, 0), |(given_up, skipped), part| (given_up + part.given_up, skipped + part.skipped))
}

#[cfg(test)]
mod tests;
