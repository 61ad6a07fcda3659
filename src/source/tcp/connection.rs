//! One connection: waits, is admitted, reads, hands on what is finished, and ends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Poll;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::Sleep;

use super::TcpSource;
use crate::batch::Batch;
use crate::intake::IntakePermit;
use crate::metrics::ConnectionEnd;
use crate::source::Feed;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// Bytes read at once. The cost of a read is spread over some hundred lines, and lines and documents stay in the cache.
const READ_BYTES: usize = 64 * 1024;

/// Fewest bytes read at once, whatever they may become: some lines, so that a connection of one line takes one read.
const READ_BYTES_MIN: usize = 4096;

/// Reads that the budget has room for beside one another, whatever their lines are.
const READS_AT_ONCE: u64 = 8;

/// Most memory admitted for one read.
const ADMISSION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads in a row before other connections get their turn.
const READS_IN_A_ROW: usize = 4;

/// An unfinished line up to this size is always kept; ordinary log lines are shorter.
const SMALL_LINE_BYTES: u64 = 8 * 1024;

thread_local! {
    /// One read buffer per worker: between a read and the end of its parsing nothing is awaited.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection and what it holds.
pub(super) struct Connection<'a, M, F> {
    source: &'a TcpSource<M>,
    stream: TcpStream,
    feed: F,
    /// What the unfinished line holds.
    held: Option<IntakePermit>,
    /// The same, of the part for unfinished lines.
    held_large: Option<IntakePermit>,
    last_read: Instant,
    batches: Vec<Batch>,
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
    End,
    Broken,
}

/// What a connection waited for.
enum Event {
    Readable,
    Idle,
    Phase(Phase),
}

impl<'a, M, F: Feed> Connection<'a, M, F> {
    pub(super) fn new(source: &'a TcpSource<M>, stream: TcpStream, feed: F) -> Self {
        Self { source, stream, feed, held: None, held_large: None, last_read: Instant::now(), batches: Vec::new() }
    }

    /// Reads until the connection ends and says how it did.
    pub(super) async fn serve(&mut self, stop: StopWatch) -> ConnectionEnd {
        let mut idle = pin!(tokio::time::sleep(self.source.plan.idle_timeout));
        let mut next = Phase::StopIntake;
        let mut reached = pin!(until(stop.clone(), next));
        loop {
            let event = poll_fn(|context| {
                if self.stream.poll_read_ready(context).is_ready() {
                    return Poll::Ready(Event::Readable);
                }
                if reached.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Event::Phase(next));
                }
                idle.as_mut().poll(context).map(|()| Event::Idle)
            });
            match event.await {
                // A sender that never pauses must not be read past the end: what is appended no more is lost.
                Event::Readable if stop.phase() >= Phase::Drain => return self.finish(false, ConnectionEnd::Stopped).await,
                Event::Readable => {
                    if let Some(end) = self.read_some(&stop).await {
                        return end;
                    }
                }
                Event::Idle if self.is_idle(idle.as_mut()) => return self.finish(false, ConnectionEnd::Idle).await,
                Event::Idle => {}
                Event::Phase(Phase::StopIntake) => {
                    // Half-closed, so that the sender sees the end and closes; what it still sends is read.
                    let _ = SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
                    next = Phase::Drain;
                    reached.set(until(stop.clone(), next));
                }
                Event::Phase(_) => return self.finish(false, ConnectionEnd::Stopped).await,
            }
        }
    }

    /// Whether nothing has come for the idle timeout; otherwise the clock is set to when that could be.
    fn is_idle(&self, idle: Pin<&mut Sleep>) -> bool {
        let deadline = self.last_read + self.source.plan.idle_timeout;
        let passed = Instant::now() >= deadline;
        if !passed {
            idle.reset(deadline);
        }
        passed
    }

    /// Reads while there is something, a few times; gives the connection's end when that came.
    async fn read_some(&mut self, stop: &StopWatch) -> Option<ConnectionEnd> {
        for _ in 0..READS_IN_A_ROW {
            let Some(mut permit) = self.admit(stop).await else { return Some(self.finish(false, ConnectionEnd::Stopped).await) };
            let read = self.read(&mut permit);
            let fits = self.hold(permit);
            self.append().await;
            if !fits {
                return Some(self.finish(false, ConnectionEnd::Memory).await);
            }
            match read {
                Read::Full => {}
                Read::Bytes | Read::Nothing => return None,
                Read::End => return Some(self.finish(true, ConnectionEnd::Closed).await),
                Read::Broken => return Some(self.finish(false, ConnectionEnd::Reset).await),
            }
        }
        tokio::task::yield_now().await;
        None
    }

    /// Waits for memory to read into; `None` when everything ends first.
    async fn admit(&mut self, stop: &StopWatch) -> Option<IntakePermit> {
        let bytes = self.feed.admission_bytes(self.read_bytes()).min(self.fair_bytes());
        if let Some(permit) = self.source.intake.try_admit(bytes) {
            return Some(permit);
        }
        let mut stop = stop.clone();
        tokio::select! {
            permit = self.source.intake.admit(bytes) => Some(permit),
            () = stop.reached(Phase::Drain) => None,
        }
    }

    /// Bytes to read at once: fewer where the smallest lines would become more than a fair part of the budget.
    fn read_bytes(&self) -> usize {
        let full = self.feed.admission_bytes(READ_BYTES).max(1);
        let bytes = (READ_BYTES as u64).saturating_mul(self.fair_bytes()) / full;
        usize::try_from(bytes).unwrap_or(READ_BYTES).clamp(READ_BYTES_MIN, READ_BYTES)
    }

    /// Most memory admitted for one read. It is far less than the budget, or a read would wait until nothing is held.
    fn fair_bytes(&self) -> u64 {
        (self.source.intake.bytes_max() / READS_AT_ONCE).min(ADMISSION_BYTES_MAX)
    }

    /// One read, parsed at once.
    fn read(&mut self, permit: &mut IntakePermit) -> Read {
        let limit = self.read_bytes();
        READ_BUFFER.with_borrow_mut(|buffer| match self.stream.try_read(&mut buffer[..limit]) {
            Ok(0) => Read::End,
            Ok(count) => {
                self.last_read = Instant::now();
                self.feed.feed(&buffer[..count], permit, &mut self.batches);
                if count == limit { Read::Full } else { Read::Bytes }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Read::Nothing,
            Err(_) => Read::Broken,
        })
    }

    /// Keeps of the permit what an unfinished line needs, and gives the rest back; `false`: there is no memory for it.
    fn hold(&mut self, mut permit: IntakePermit) -> bool {
        let bytes = self.feed.held_bytes() as u64;
        self.held = None;
        self.held_large = None;
        if bytes > 0 {
            self.held = Some(permit.split(bytes));
        }
        if bytes > SMALL_LINE_BYTES {
            self.held_large = self.source.unfinished.try_admit(bytes);
            return self.held_large.is_some();
        }
        true
    }

    /// Appends what is finished, waiting for room in the buffer; meanwhile the socket is not read.
    async fn append(&mut self) {
        let mut batches = self.batches.drain(..);
        while let Some(batch) = batches.next() {
            let events = batch.len() as u64;
            let receipt = match self.source.buffer.try_append(batch) {
                Ok(receipt) => Ok(receipt),
                Err(batch) => {
                    let behind: u64 = batches.as_slice().iter().map(|batch| batch.len() as u64).sum();
                    let _waiting = self.source.waiting.wait(events + behind);
                    self.source.buffer.append(batch).await
                }
            };
            // Nobody is told on a connection without confirmation, so the receipt is not waited for.
            if receipt.is_err() {
                self.source.metrics.dropped_at_stop(events);
            }
        }
        drop(batches);
        self.batches = Vec::new();
    }

    /// Takes the last line, if there is one, and closes.
    async fn finish(&mut self, clean: bool, end: ConnectionEnd) -> ConnectionEnd {
        let mut permit = match self.held.take() {
            Some(permit) => permit,
            None => self.source.intake.admit(0).await,
        };
        self.feed.finish(clean, &mut permit, &mut self.batches);
        self.append().await;
        if end == ConnectionEnd::Closed {
            // The sender has closed and everything is stored: this end may look like one.
            let _ = SockRef::from(&self.stream).set_linger(None);
        }
        end
    }
}
