//! One connection to a Logstash: what is written to it, what its kernel has, and how it ends.
//!
//! Nothing here waits but [`Link::readable`] and [`Link::writable`], which hold no bytes. What may be released it does not know.

use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;

use crate::net::outq;
use crate::net::stream::Stream;
use crate::sink::SinkError;

/// Bytes from the peer thrown away in one go before it is written to again.
const DISCARD_MAX: usize = 256 << 10;

/// More than TLS holds back: 64 KiB of what is written, in records.
const HELD_BACK_MAX: u64 = 128 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    /// Host and address, for errors and the log.
    pub(super) peer: String,
    /// Bytes of documents that were taken from us.
    pub(super) written: u64,
    is_ending: bool,
    is_shut: bool,
}

impl Link {
    pub(super) fn new(stream: Stream, peer: String) -> Self {
        Self { stream, peer, written: 0, is_ending: false, is_shut: false }
    }

    /// Writes what is taken at once; nothing when the send queue is full.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, SinkError> {
        match self.stream.try_write_vectored(slices) {
            Ok(bytes) => {
                self.written += bytes as u64;
                Ok(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(self.cut(error)),
        }
    }

    /// Ends our half behind what was written. [`push`](Self::push) does it.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
    }

    /// Whether our half ends.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Hands to the kernel what TLS holds back, and the end; what it does not take now is left for the next time.
    pub(super) fn push(&mut self) -> Result<(), SinkError> {
        if !self.is_held_back() {
            return Ok(());
        }
        let pushed = if self.is_ending { self.stream.try_shutdown() } else { self.stream.try_flush() };
        match pushed {
            Ok(()) => {
                self.is_shut = self.is_ending;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(self.cut(error)),
        }
    }

    /// Whether there is something to [`push`](Self::push) when there is room.
    pub(super) fn is_held_back(&self) -> bool {
        self.is_ending && !self.is_shut || self.stream.is_holding_back()
    }

    /// At least as many bytes as the peer's kernel has not acknowledged; `None` where the system cannot tell.
    pub(super) fn queued(&self) -> Option<u64> {
        let held_back = if self.stream.is_holding_back() { HELD_BACK_MAX } else { 0 };
        outq::unacknowledged(self.stream.tcp()).map(|queued| queued + held_back)
    }

    /// The same of documents alone, when the peer has ended in answer to ours.
    ///
    /// Over TLS it answers our word, behind which our end of the connection may still be under way: it counts as one byte.
    pub(super) fn queued_at_the_end(&self) -> u64 {
        let end = match self.stream {
            Stream::Plain(_) => 0,
            Stream::Tls(_) => 1,
        };
        self.queued().unwrap_or(0).saturating_sub(end)
    }

    /// Looks, past the runtime's own idea of readiness, for an error, input or the peer's end; `true` is its end in
    /// answer to ours. Input is thrown away: json_lines has no answers.
    pub(super) fn look(&mut self) -> Result<bool, SinkError> {
        match self.stream.discard(DISCARD_MAX) {
            Ok(true) if self.is_ending => Ok(true),
            Ok(true) => Err(self.ended()),
            Ok(false) => Ok(false),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// The same after [`readable`](Self::readable), so that its next wait waits.
    pub(super) fn take_input(&mut self) -> Result<bool, SinkError> {
        let has_ended = self.look()?;
        self.stream.settle_readiness();
        Ok(has_ended)
    }

    /// What the kernel has against it, if anything.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        let error = self.stream.tcp().take_error().map_err(|source| self.broken(source))?;
        error.map_or(Ok(()), |source| Err(self.broken(source)))
    }

    /// Waits until reading may give something. Abandoning it loses nothing.
    pub(super) async fn readable(&self) -> Result<(), SinkError> {
        self.stream.tcp().readable().await.map_err(|source| self.broken(source))
    }

    /// Waits until there may be room. Abandoning it loses nothing.
    pub(super) async fn writable(&self) -> Result<(), SinkError> {
        self.stream.tcp().writable().await.map_err(|source| self.broken(source))
    }

    /// A write that failed. What the peer said before it hung up says more.
    fn cut(&mut self, source: io::Error) -> SinkError {
        match self.look() {
            Err(error @ SinkError::Tls { .. }) => error,
            _ => self.broken(source),
        }
    }

    fn broken(&self, source: io::Error) -> SinkError {
        SinkError::broken(&self.peer, source)
    }

    /// An end that came before ours, or before all was there.
    pub(super) fn ended(&self) -> SinkError {
        SinkError::PeerEnded { peer: self.peer.clone() }
    }
}
