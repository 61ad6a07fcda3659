//! The loop of a sink whose destination blocks: all there is goes to a blocking thread, and what was stored is acked.
//!
//! It has no opinion on what stored means; its [`Medium`] does.

use std::time::Instant;

use tokio::task::spawn_blocking;
use tokio::time::sleep_until;

use crate::backoff::Backoff;
use crate::buffer::Entry;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::Verdict;
use crate::sink::supply::Supply;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// A destination that blocks while it stores.
pub(super) trait Medium: Send + 'static {
    /// Stores entries in order; says how many of them, from the first on, may be acked, and why it stopped before the
    /// last. The rest is given again.
    fn store(&mut self, entries: &[Entry]) -> (usize, Result<(), SinkError>);

    /// Gets ready to store, so that a mistake shows before the first event comes.
    fn prepare(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Where it stores, for the log.
    fn name(&self) -> String;
}

/// Most entries given to a medium at once.
const ENTRIES_MAX: usize = 4096;

/// Bytes after which no further entry is given at once: enough to make a sync worth its while.
const BYTES_MAX: usize = 16 << 20;

/// Delivers everything; returns at the buffer's end or at [`Phase::Stop`].
///
/// At that phase a write under way is left to its thread: it may still succeed, unacked.
pub(super) async fn deliver<M: Medium>(
    mut medium: M,
    cursor: &mut Supply,
    state: &SinkState,
    mut stop: StopWatch,
) -> Result<(), SinkError> {
    let mut backoff = Backoff::default();
    let mut entries = Vec::new();
    let name = medium.name();
    let job = spawn_blocking(move || {
        let prepared = medium.prepare();
        (medium, prepared)
    });
    let prepared;
    tokio::select! {
        biased;
        () = stop.reached(Phase::Stop) => return Ok(()),
        done = job => (medium, prepared) = done.expect("a medium does not panic"),
    }
    match prepared {
        Ok(()) => state.delivering(&name),
        Err(error) => state.failed(&error),
    }
    loop {
        if entries.is_empty() {
            tokio::select! {
                biased;
                () = stop.reached(Phase::Stop) => return Ok(()),
                more = cursor.wait() => if !more { return Ok(()) },
            }
            cursor.read(ENTRIES_MAX, BYTES_MAX, &mut entries);
        }
        backoff.start(Instant::now());
        let job = spawn_blocking(move || {
            let (stored, result) = medium.store(&entries);
            (medium, entries, stored, result)
        });
        let (stored, result);
        tokio::select! {
            biased;
            () = stop.reached(Phase::Stop) => return Ok(()),
            done = job => (medium, entries, stored, result) = done.expect("a medium does not panic"),
        }
        if stored > 0 {
            backoff.succeed();
            state.delivered(cursor.ack(entries[stored - 1].seq).events);
            state.written(entries.drain(..stored).map(|entry| entry.batch.docs.len() as u64).sum());
        }
        let Err(error) = result else {
            state.delivering(&name);
            continue;
        };
        if error.verdict() == Verdict::Fatal {
            state.gave_up(&error);
            return Err(error);
        }
        state.failed(&error);
        let next = backoff.fail(Instant::now(), super::draw());
        tokio::select! {
            biased;
            () = stop.reached(Phase::Stop) => return Ok(()),
            () = sleep_until(next.into()) => {}
        }
    }
}
