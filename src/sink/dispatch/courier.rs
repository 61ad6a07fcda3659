//! What a destination is to the loop that delivers to it, and what it may answer.

use std::future::Future;
use std::time::Duration;
use std::time::Instant;

use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::dead_letters::Refusal;
use crate::sink::parcel::Parcel;

/// Documents of one request, where nobody says otherwise.
const EVENTS_MAX: usize = 20_000;

/// What takes parcels to one destination.
pub(in crate::sink) trait Courier: Send + Sync + 'static {
    /// Makes sure that there is a destination, before anything is sent and again after a pause.
    fn greet(&self, _state: &SinkState) -> impl Future<Output = Result<(), Failed>> + Send {
        async { Ok(()) }
    }

    /// Takes a parcel there, once.
    fn deliver(&self, parcel: &Parcel, state: &SinkState) -> impl Future<Output = Result<Delivery, Failed>> + Send;

    /// Bytes a request has for each document beside the document.
    fn each(&self) -> usize;

    /// Documents of a request at most.
    fn events_max(&self) -> usize {
        EVENTS_MAX
    }

    /// Whether a destination that has too much to do may mean the bytes of this one request, so that a smaller one could pass.
    fn weighs(&self, _error: &SinkError) -> bool {
        false
    }

    /// Where that is, for the log.
    fn name(&self) -> String;
}

/// What a destination said about a parcel's documents.
#[derive(Debug, Default)]
pub(in crate::sink) struct Delivery {
    /// Documents that did not arrive, by position, which increases.
    pub(in crate::sink) others: Vec<(usize, Fate)>,
}

/// What is to become of a document that did not arrive.
#[derive(Debug)]
pub(in crate::sink) enum Fate {
    /// It is sent again.
    Again(SinkError),
    /// It is refused for good.
    Refused(Refusal),
}

/// What is to become of a parcel none of whose documents arrived.
#[derive(Debug)]
pub(in crate::sink) struct Failed {
    /// What happened. Its verdict says what to do.
    pub(in crate::sink) error: SinkError,
    /// How long the destination asks to be left alone.
    pub(in crate::sink) retry_after: Option<Duration>,
}

impl From<SinkError> for Failed {
    fn from(error: SinkError) -> Self {
        Self { error, retry_after: None }
    }
}

/// What a courier came back with.
pub(super) struct Flight {
    /// Nothing where it was a greeting.
    pub(super) parcel: Parcel,
    /// When it was sent.
    pub(super) sent: Instant,
    /// Whether no further one could have been under way.
    pub(super) was_full: bool,
    /// Whether none was under way beside it, from its start to its end.
    pub(super) was_alone: bool,
    /// What was said.
    pub(super) result: Result<Delivery, Failed>,
}
