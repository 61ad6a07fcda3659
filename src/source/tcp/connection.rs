//! One connection: waits, is admitted, reads, hands on what is finished, and ends.

mod ending;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::timeout;

use super::Confirm;
use super::TcpSource;
use super::confirm::Confirming;
use super::first_bytes::FirstBytes;
use super::read_ahead::ReadAhead;
use crate::batch::Batch;
use crate::buffer::Closed;
use crate::buffer::Receipt;
use crate::buffer::Trail;
use crate::intake::IntakePermit;
use crate::metrics::ConnectionEnd;
use crate::net::stream::Stream;
use crate::source::Feed;
use crate::source::Passed;
use crate::source::allowance::Allowance;
use crate::source::allowance::READ_BYTES;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::tenant::Visit;

/// Reads in a row before other connections get their turn.
const READS_IN_A_ROW: usize = 4;

/// A sender that was asked to close and sends nothing for so long has nothing more to say: it may well be somebody's
/// open terminal. A round trip takes far less.
const QUIET: Duration = Duration::from_secs(1);

/// Once intake stops, senders that are told line by line are read and told on for so long, before the relay's half of the
/// connection ends and with it the telling. What is under way between two hosts gets there meanwhile.
const LAST_ACKS: Duration = Duration::from_millis(500);

thread_local! {
    /// One read buffer per worker: between a read and the end of its parsing nothing is awaited.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection and what it holds.
pub(super) struct Connection<'a, M, F> {
    source: &'a TcpSource<M>,
    stream: Stream,
    feed: F,
    allowance: Allowance,
    last_read: Instant,
    first: FirstBytes,
    batches: Vec<Batch>,
    /// Lines passed, as the sender counts them.
    lines: u64,
    confirming: Confirming,
    trail: Trail,
    read_ahead: ReadAhead,
}

/// Waits for a phase, for as long as a connection lives.
async fn until(mut stop: StopWatch, phase: Phase) {
    stop.reached(phase).await;
}

/// What one attempt to read gave.
enum Read {
    /// As much as was asked for: there may be more.
    Full,
    Bytes,
    Nothing,
    /// A line that is too long to be taken.
    TooLong,
    /// Lines of a sender that may not send.
    Refused,
    End,
    Broken,
    /// TLS, on a plain connection.
    Tls,
}

/// What a connection waited for.
enum Event {
    Readable,
    Idle,
    NotStored,
    Phase(Phase),
}

/// Whether a sender has been asked to close, which is done by ending the relay's half.
enum Asked {
    No,
    /// It will be, at the next ring of the clock.
    Soon,
    Since(Instant),
}

impl<'a, M, F: Feed> Connection<'a, M, F> {
    pub(super) fn new(source: &'a TcpSource<M>, stream: Stream, feed: F, visit: Visit) -> Self {
        Self {
            source,
            feed,
            allowance: Allowance::new(visit),
            last_read: Instant::now(),
            // Inside TLS there is no second one.
            first: if let Stream::Plain(_) = &stream { FirstBytes::Awaited } else { FirstBytes::Lines },
            stream,
            batches: Vec::new(),
            lines: 0,
            confirming: Confirming::new(source.plan.confirm),
            trail: Trail::default(),
            read_ahead: ReadAhead::default(),
        }
    }

    /// Reads until the connection ends and says how it did.
    pub(super) async fn serve(&mut self, stop: StopWatch) -> ConnectionEnd {
        let mut clock = pin!(tokio::time::sleep(self.source.plan.idle_timeout));
        let mut next = Phase::StopIntake;
        let mut reached = pin!(until(stop.clone(), next));
        let mut asked = Asked::No;
        loop {
            let event = poll_fn(|context| {
                // First, so that a sender that never pauses is asked to stop, too.
                if reached.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Event::Phase(next));
                }
                if self.confirming.poll(&mut self.stream, context).is_ready() {
                    return Poll::Ready(Event::NotStored);
                }
                // For the same reason the clock goes before reading while it says when that is.
                if matches!(asked, Asked::Soon) && clock.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Event::Idle);
                }
                if self.stream.poll_read_ready(context).is_ready() {
                    return Poll::Ready(Event::Readable);
                }
                clock.as_mut().poll(context).map(|()| Event::Idle)
            });
            match event.await {
                Event::Readable => {
                    if let Some(end) = self.read_some(&stop).await {
                        return end;
                    }
                }
                Event::NotStored => return self.finish(false, ConnectionEnd::NotStored, &stop).await,
                Event::Idle => match asked {
                    Asked::No if self.is_idle(clock.as_mut()) => return self.finish(false, ConnectionEnd::Idle, &stop).await,
                    Asked::Since(since) if self.is_quiet(clock.as_mut(), since) => {
                        return self.finish(true, ConnectionEnd::Stopped, &stop).await;
                    }
                    Asked::No | Asked::Since(_) => {}
                    Asked::Soon => asked = self.ask_to_close(clock.as_mut()).await,
                },
                Event::Phase(Phase::StopIntake) => {
                    match self.source.plan.confirm {
                        Confirm::None => asked = self.ask_to_close(clock.as_mut()).await,
                        // The relay's end is the confirmation: it never comes first.
                        Confirm::Close => {}
                        Confirm::Line => {
                            clock.as_mut().reset(Instant::now() + LAST_ACKS);
                            asked = Asked::Soon;
                        }
                    }
                    next = Phase::Drain;
                    reached.set(until(stop.clone(), next));
                }
                Event::Phase(_) => return self.finish(false, ConnectionEnd::Stopped, &stop).await,
            }
        }
    }

    /// Ends the relay's half, so that the sender sees the end and closes; what it still sends is read, and no longer
    /// confirmed. A sender that is told line by line is told first what is stored of what was read, if that is soon.
    async fn ask_to_close(&mut self, clock: Pin<&mut Sleep>) -> Asked {
        // Abandoned at the limit, the last confirmations are not sent, which says that nobody knows.
        let _ = timeout(LAST_ACKS, self.confirming.settled(&mut self.stream)).await;
        if self.confirming.has_failed() {
            return Asked::No;
        }
        self.confirming.end();
        // Where it fails, the connection has ended already; where the peer reads nothing, it is not waited for.
        let _ = timeout(LAST_ACKS, self.stream.shutdown()).await;
        let now = Instant::now();
        clock.reset(now + QUIET);
        Asked::Since(now)
    }

    /// Whether a sender that was asked to close at `since` has sent nothing for a while and owes no end of a line;
    /// otherwise the clock is set to when that could be.
    fn is_quiet(&self, clock: Pin<&mut Sleep>, since: Instant) -> bool {
        let deadline = self.last_read.max(since) + QUIET;
        let quiet = Instant::now() >= deadline && self.feed.held_bytes() == 0;
        if !quiet {
            clock.reset(deadline.max(Instant::now() + QUIET));
        }
        quiet
    }

    /// Whether nothing has come for the idle timeout; otherwise the clock is set to when that could be.
    fn is_idle(&self, clock: Pin<&mut Sleep>) -> bool {
        let deadline = self.last_read + self.source.plan.idle_timeout;
        let passed = Instant::now() >= deadline;
        if !passed {
            clock.reset(deadline);
        }
        passed
    }

    /// Reads while there is something, a few times; gives the connection's end when that came.
    async fn read_some(&mut self, stop: &StopWatch) -> Option<ConnectionEnd> {
        for _ in 0..READS_IN_A_ROW {
            let Some(mut permit) = self.admit(stop).await else {
                return Some(self.finish(false, ConnectionEnd::Stopped, stop).await);
            };
            let read = self.read(&mut permit);
            let fits = self.allowance.hold(self.feed.held_bytes(), 0, permit);
            self.append().await;
            let (clean, end) = match read {
                Read::Refused => (false, ConnectionEnd::Refused),
                _ if self.confirming.has_failed() => (false, ConnectionEnd::NotStored),
                _ if !fits => (false, ConnectionEnd::Memory),
                Read::Full => continue,
                Read::Bytes | Read::Nothing => return None,
                Read::TooLong => (false, ConnectionEnd::LineTooLong),
                Read::End if self.confirming.is_broken() => (false, ConnectionEnd::Reset),
                Read::End => (true, ConnectionEnd::Closed),
                Read::Broken => (false, ConnectionEnd::Reset),
                Read::Tls => (false, ConnectionEnd::UnexpectedTls),
            };
            return Some(self.finish(clean, end, stop).await);
        }
        tokio::task::yield_now().await;
        None
    }

    /// Waits for memory to read into; `None` when everything ends first.
    async fn admit(&mut self, stop: &StopWatch) -> Option<IntakePermit> {
        if !self.read_ahead.wait(stop).await {
            return None;
        }
        let bytes = self.allowance.admission_bytes(&self.feed);
        if let Some(permit) = self.allowance.try_admit(bytes) {
            return Some(permit);
        }
        let (mut stop, allowance) = (stop.clone(), &self.allowance);
        let admitted = async {
            tokio::select! {
                permit = allowance.admit(bytes) => Some(permit),
                () = stop.reached(Phase::Drain) => None,
            }
        };
        self.confirming.alongside(&mut self.stream, admitted).await
    }

    /// One read, parsed at once.
    fn read(&mut self, permit: &mut IntakePermit) -> Read {
        let limit = self.allowance.read_bytes(&self.feed);
        let kept = self.first.kept();
        READ_BUFFER.with_borrow_mut(|buffer| {
            buffer[..kept.len()].copy_from_slice(kept);
            let count = match self.stream.try_read(&mut buffer[kept.len()..limit]) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    return Read::Nothing;
                }
                Err(_) => return Read::Broken,
            };
            let read = &buffer[..kept.len() + count];
            if count > 0 {
                self.last_read = Instant::now();
                self.first.look(read);
            }
            match self.first {
                FirstBytes::Tls => return Read::Tls,
                FirstBytes::Kept if count > 0 => return Read::Bytes,
                _ if read.is_empty() => return Read::End,
                _ => {}
            }
            let passed = self.feed.feed(read, permit, &mut self.batches);
            self.count(&passed);
            self.allowance.took(read.len(), &passed);
            match passed {
                Passed { refused: true, .. } => Read::Refused,
                Passed { too_long: true, .. } => Read::TooLong,
                _ if count == 0 => Read::End,
                _ if read.len() == limit => Read::Full,
                _ => Read::Bytes,
            }
        })
    }

    /// Counts lines that have passed. Nothing is kept of those of a sender that may not send, so that none may be confirmed.
    fn count(&mut self, passed: &Passed) {
        if passed.refused {
            self.confirming.fail();
        } else {
            self.lines += passed.lines;
        }
    }

    /// Appends what is finished, waiting for room in the buffer; meanwhile the socket is not read.
    async fn append(&mut self) {
        let mut batches = self.batches.drain(..);
        let mut last = None;
        while let Some(batch) = batches.next() {
            let (events, bytes, is_rejects) = (batch.len() as u64, batch.bytes() as u64, batch.is_rejects);
            let receipt = match self.source.means.buffer.try_append(batch) {
                Ok(receipt) => Ok(receipt),
                Err(batch) => {
                    let behind: u64 = batches.as_slice().iter().map(|batch| batch.len() as u64).sum();
                    let _waiting = self.source.means.waiting.wait(events + behind);
                    self.confirming.alongside(&mut self.stream, self.source.means.buffer.append(batch)).await
                }
            };
            match receipt {
                Ok(receipt) => {
                    if is_rejects {
                        self.source.means.metrics.dead_letters(events);
                    } else {
                        self.allowance.tenant().appended(receipt.seq(), bytes);
                    }
                    last = Some(self.trail.follow(receipt));
                }
                Err(Closed) => {
                    self.source.means.metrics.dropped_at_stop(events);
                    self.confirming.fail();
                }
            }
        }
        drop(batches);
        self.batches = Vec::new();
        if self.source.plan.confirm == Confirm::None {
            self.read_ahead.extend(last);
            return;
        }
        self.confirming.passed(self.lines, last.map(Receipt::stored));
    }
}
