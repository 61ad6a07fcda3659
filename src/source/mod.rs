//! What takes lines in. A source knows nothing of formats or sinks: it hands bytes to a [`Feed`] and what comes out of
//! it to the buffer.
//!
//! Whatever its kind, [`door`] lets connections in and says whose they are; the source serves them with its [`Means`].

mod allowance;
pub mod beats;
pub mod door;
pub mod handshake;
pub mod http;
pub mod request;
pub mod seldom;
pub mod tcp;
mod whose;

use crate::batch::Batch;
use crate::buffer::Buffer;
use crate::intake::Intake;
use crate::intake::IntakePermit;
use crate::metrics::SourceMetrics;
use crate::peer::Peer;
use crate::tenant::TenantRef;
use crate::tenant::Visit;
use crate::waiting::WaitingEvents;

/// What the connections of a source share, whatever its kind.
#[derive(Debug)]
pub struct Means<M> {
    /// The memory budget.
    pub intake: Intake,
    /// The part of it that unfinished lines may hold together, small ones aside. Nobody can say when such a line ends, so
    /// waiting for one could last for ever, and a few slow senders would hold everybody back: what does not fit is cut
    /// off instead. A connection's part of both is under the account of its tenant.
    pub unfinished: Intake,
    /// Where batches go.
    pub buffer: Buffer,
    /// Events that wait for room there.
    pub waiting: WaitingEvents,
    /// What is counted.
    pub metrics: SourceMetrics,
    /// Makes feeds.
    pub make_feed: M,
}

/// What a feed is made for.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Where the bytes come from.
    pub peer: &'a Peer,
    /// Whose they are.
    pub tenant: &'a TenantRef,
    /// The connection, where its first line may say a token and so whose it is; nothing where that has been settled.
    pub visit: Option<&'a Visit>,
    /// Whether the first line over the limit is refused instead of being cut, so that nobody is told that it was taken.
    pub refuses_long_lines: bool,
    /// What a request says of its lines, where they come in one; a connection says it in its first line.
    pub request: Option<Asked<'a>>,
}

/// What a request says of its lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The same as the first line of a connection says it; nothing where it says nothing.
    pub preamble: Option<&'a [u8]>,
    /// What cuts its bytes into events.
    pub framing: Framing,
}

/// What cuts the bytes of a request into events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Newlines.
    #[default]
    Lines,
    /// Where they begin like JSON, its values; newlines otherwise.
    ByContent,
}

/// How far one read has brought a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Newlines passed: lines as the sender counts them, whatever has become of them.
    pub lines: u64,
    /// Events that were taken, those that a rule has dropped included.
    pub accepted: u64,
    /// Events no parser took, whatever has become of them.
    pub rejected: u64,
    /// Whether a line has come that is too long to be taken. It and what follows it has been thrown away.
    pub too_long: bool,
    /// Whether the sender may not send: it has said no token where it had to, or a wrong one. Nothing has been taken.
    pub refused: bool,
}

/// What turns the bytes of one connection into batches.
pub trait Feed: Send + 'static {
    /// Most bytes of memory that the documents of a read of this many bytes take, however small its lines are; more only
    /// where bytes need escapes or a long line ends.
    fn admission_bytes(&self, read_bytes: usize) -> u64;

    /// Takes the bytes of one read, adds what became complete to `out`, on `permit`, and says how far that is.
    fn feed(&mut self, read: &[u8], permit: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed;

    /// Ends the stream. Only after a clean end does a last line without newline count, as one line passed.
    fn finish(&mut self, clean: bool, permit: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed;

    /// Bytes of memory held for a line whose end has not come yet.
    fn held_bytes(&self) -> usize;

    /// Bytes of memory held for what has been seen of a request; less than its lines have.
    fn remembered_bytes(&self) -> usize {
        0
    }
}
