//! What a sink shows of itself: its condition, its counters, its last error in words.
//!
//! Written by the sink, once per write and not per event; read by metrics and the admin page.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use crate::batch::Micros;
use crate::sink::SinkError;
use crate::sink::Verdict;

/// How a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Condition {
    /// No connection yet, or none any more; an attempt is under way or about to be.
    Connecting,
    /// All is well, with or without something to deliver.
    Delivering,
    /// The destination takes nothing.
    Stalled,
    /// The last attempt failed; the next one follows.
    Failed,
    /// Somebody has to mend something first; it looks again and again whether that has happened.
    Paused,
    /// Nothing is to be done until the sink is down that it stands in for.
    StandingBy,
    /// It delivers nothing any more: everything is delivered, or the relay stops.
    Ended,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Connecting, Self::Delivering, Self::Stalled, Self::Failed, Self::Paused, Self::StandingBy, Self::Ended];

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Delivering => "delivering",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::StandingBy => "standing_by",
            Self::Ended => "ended",
        }
    }
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// Cause and remedy in words.
    pub text: String,
    /// When it happened.
    pub at: Micros,
}

/// A sink's counters; all of them only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Events delivered, counted once, when the sink acked them.
    pub events_delivered: u64,
    /// Events that had been written, wholly or in part, and are sent again.
    pub events_retried: u64,
    /// Bytes of documents written, those sent again included.
    pub bytes_written: u64,
    /// Connections made; none for sinks that have none.
    pub connections: u64,
    /// Attempts that failed and connections that broke.
    pub failures: u64,
    /// Events the sink was not to have, counted once, when they were let go of.
    pub events_skipped: u64,
    /// Events the destination has refused for good, counted once, when they were let go of.
    pub events_refused: u64,
    /// Those of them that could not become dead letters, because none are kept.
    pub events_refused_dropped: u64,
    /// Events that were given up because the buffer was full, counted once.
    pub events_given_up: u64,
    /// Those of them that did not become dead letters, because that was not asked for.
    pub events_given_up_dropped: u64,
}

/// A sink's face to metrics and the admin page.
#[derive(Debug)]
pub struct SinkState {
    name: String,
    /// The state of the sink that stands in for it.
    fallback: Option<Arc<SinkState>>,
    condition: AtomicU8,
    events_delivered: AtomicU64,
    events_retried: AtomicU64,
    bytes_written: AtomicU64,
    connections: AtomicU64,
    failures: AtomicU64,
    events_skipped: AtomicU64,
    events_refused: AtomicU64,
    events_refused_dropped: AtomicU64,
    events_given_up: AtomicU64,
    events_given_up_dropped: AtomicU64,
    /// Since when events are given up, without a longer pause; 0 while they are not.
    gives_up_since: AtomicI64,
    /// Whether it has failed and not delivered since.
    failing: AtomicBool,
    last_error: Mutex<Option<LastError>>,
    untold: Mutex<Untold>,
}

/// Refused events that the log has not been told of.
#[derive(Debug, Default)]
struct Untold {
    events: u64,
    told: Option<Instant>,
}

/// The log is told of refused events no more often.
const REFUSALS_APART: Duration = Duration::from_secs(1);

impl SinkState {
    /// The state of a sink that has not started.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            fallback: None,
            condition: AtomicU8::new(Condition::Connecting as u8),
            events_delivered: AtomicU64::new(0),
            events_retried: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            events_skipped: AtomicU64::new(0),
            events_refused: AtomicU64::new(0),
            events_refused_dropped: AtomicU64::new(0),
            events_given_up: AtomicU64::new(0),
            events_given_up_dropped: AtomicU64::new(0),
            gives_up_since: AtomicI64::new(0),
            failing: AtomicBool::new(false),
            last_error: Mutex::new(None),
            untold: Mutex::default(),
        }
    }

    /// Adds the state of the sink that stands in for it.
    pub fn with_fallback(self, fallback: Option<Arc<Self>>) -> Self {
        Self { fallback, ..self }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state of the sink that stands in for it while it is down.
    pub fn fallback(&self) -> Option<&Arc<Self>> {
        self.fallback.as_ref()
    }

    /// How it is now.
    pub fn condition(&self) -> Condition {
        Condition::ALL[usize::from(self.condition.load(Ordering::Relaxed))]
    }

    /// Its counters, each read by itself.
    pub fn counts(&self) -> SinkCounts {
        SinkCounts {
            events_delivered: self.events_delivered.load(Ordering::Relaxed),
            events_retried: self.events_retried.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            events_skipped: self.events_skipped.load(Ordering::Relaxed),
            events_refused: self.events_refused.load(Ordering::Relaxed),
            events_refused_dropped: self.events_refused_dropped.load(Ordering::Relaxed),
            events_given_up: self.events_given_up.load(Ordering::Relaxed),
            events_given_up_dropped: self.events_given_up_dropped.load(Ordering::Relaxed),
        }
    }

    /// Since when its events are given up because the buffer is full; nothing while they are not.
    pub fn gives_up_since(&self) -> Option<Micros> {
        Some(self.gives_up_since.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// The last thing that went wrong; it stays when things are well again.
    pub fn last_error(&self) -> Option<LastError> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn delivered(&self, events: u64) {
        self.events_delivered.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self, events: u64) {
        self.events_skipped.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, events: u64, is_kept: bool) {
        self.events_refused.fetch_add(events, Ordering::Relaxed);
        if !is_kept {
            self.events_refused_dropped.fetch_add(events, Ordering::Relaxed);
        }
    }

    /// Counts events that were given up because the buffer was full; `is_kept`: they are dead letters.
    pub(super) fn given_up(&self, events: u64, is_kept: bool) {
        self.events_given_up.fetch_add(events, Ordering::Relaxed);
        if !is_kept {
            self.events_given_up_dropped.fetch_add(events, Ordering::Relaxed);
        }
    }

    /// Notes since when events are given up, or that they are no more.
    pub(super) fn gives_up(&self, since: Option<Micros>) {
        self.gives_up_since.store(since.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn retried(&self, events: u64) {
        self.events_retried.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn written(&self, bytes: u64) {
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connecting(&self) {
        self.change(Condition::Connecting);
    }

    /// Notes that the destination takes events. `peer` is where to, for the log.
    pub(super) fn delivering(&self, peer: &str) {
        if self.change(Condition::Delivering) != Condition::Delivering {
            self.failing.store(false, Ordering::Relaxed);
            tracing::info!(sink = self.name, peer, "sink is delivering");
        }
    }

    pub(super) fn stalled(&self, peer: &str) {
        if self.change(Condition::Stalled) != Condition::Stalled {
            let remedy = "see why it does not read; events wait in the buffer";
            tracing::warn!(sink = self.name, peer, remedy, "destination has stopped reading");
        }
    }

    /// Notes a failure. Of several alike in a row only the first is worth a warning.
    pub(super) fn failed(&self, error: &SinkError) {
        self.change(if error.verdict() == Verdict::Pause { Condition::Paused } else { Condition::Failed });
        self.failures.fetch_add(1, Ordering::Relaxed);
        let (words, remedy) = (error.words(), error.remedy());
        let text = format!("{words}; {remedy}");
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let again = self.failing.swap(true, Ordering::Relaxed) && last.as_ref().is_some_and(|last| last.text == text);
        *last = Some(LastError { text, at: now() });
        drop(last);
        if again {
            tracing::debug!(sink = self.name, error = words, remedy, "sink failed again");
        } else {
            tracing::warn!(sink = self.name, error = words, remedy, "sink failed and will try again");
        }
    }

    /// Notes that a part of the destination has failed while another one takes events; `again`: it had failed before and not
    /// delivered since.
    pub(super) fn failed_in_part(&self, error: &SinkError, again: bool) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let (words, remedy) = (error.words(), error.remedy());
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(LastError { text: format!("{words}; {remedy}"), at: now() });
        if again {
            tracing::debug!(sink = self.name, error = words, remedy, "a host failed again, others take events");
        } else {
            tracing::warn!(sink = self.name, error = words, remedy, "a host failed, others take events");
        }
    }

    /// Notes a failure after which the sink does not go on.
    pub(super) fn gave_up(&self, error: &SinkError) {
        self.change(Condition::Failed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        let (words, remedy) = (error.words(), error.remedy());
        tracing::error!(sink = self.name, error = words, remedy, "sink cannot go on");
        let text = format!("{words}; {remedy}");
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(LastError { text, at: now() });
    }

    /// Notes that the destination refuses events for good, of which `reason` is the first one's. Said once in a while, for all since then.
    pub(super) fn refusing(&self, events: u64, status: u16, error: &str, reason: &str, is_kept: bool) {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.events += events;
        if untold.told.is_some_and(|told| told.elapsed() < REFUSALS_APART) {
            return;
        }
        untold.told = Some(Instant::now());
        let events = std::mem::take(&mut untold.events);
        if is_kept {
            tracing::warn!(sink = self.name, events, status, error, reason, "the destination refuses events for good");
        } else {
            let remedy = "set data_dir, so that they become dead letters";
            tracing::error!(
                sink = self.name,
                events,
                status,
                error,
                reason,
                remedy,
                "the destination refuses events for good, and they are dropped"
            );
        }
    }

    /// Notes that there is nothing for it to do until somebody else is down.
    pub(super) fn standing_by(&self) {
        self.change(Condition::StandingBy);
    }

    pub(super) fn ended(&self) {
        self.change(Condition::Ended);
        tracing::info!(sink = self.name, delivered = self.counts().events_delivered, "sink has ended");
    }

    fn change(&self, to: Condition) -> Condition {
        Condition::ALL[usize::from(self.condition.swap(to as u8, Ordering::Relaxed))]
    }
}

pub(super) fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_read_back_as_itself() {
        let state = SinkState::new("out");
        for condition in Condition::ALL {
            state.change(condition);
            assert_eq!(state.condition(), condition);
        }
    }
}
