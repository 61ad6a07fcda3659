//! Newline-delimited lines over TCP: accepts, reads what memory admits, and never answers.
//!
//! It has no opinion about lines. Back-pressure is a socket that is not read; a full house is a connection not accepted.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio_util::task::TaskTracker;

use super::Feed;
use crate::batch::Batch;
use crate::buffer::Buffer;
use crate::intake::Intake;
use crate::intake::IntakePermit;
use crate::intake::LinePermit;
use crate::metrics::SourceMetrics;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::tally::ConnectionEnd;

/// A TCP source, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSourcePlan {
    /// Unique among the sources; the label of its metrics.
    pub name: String,
    /// `host:port` to listen on, IPv6 in brackets. Port 0 lets the system choose.
    pub address: String,
    /// Longest line that is parsed; a longer one is cut.
    pub line_bytes_max: usize,
    /// Most connections open at once.
    pub connections_max: usize,
    /// A connection that sends nothing for so long is closed.
    pub idle_timeout: Duration,
}

/// Bytes read at once. The cost of a read is spread over some hundred lines, and lines and documents stay in the cache.
pub const READ_BYTES: usize = 64 * 1024;

/// Fewest bytes read at once, whatever they may become.
const READ_BYTES_MIN: usize = 512;

/// How long a sender may leave its line unfinished while such lines hold most of the budget. Without an end to that,
/// senders who wait for memory in the middle of a line would wait for one another for ever, and everyone with them.
const CROWDED_WAIT: Duration = Duration::from_secs(2);

/// Reads that the budget has room for beside one another, whatever their lines are.
const READS_AT_ONCE: u64 = 16;

/// Most memory admitted for one read.
const ADMISSION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads in a row before other connections get their turn.
const READS_IN_A_ROW: usize = 4;

/// Longest a source waits after it could not accept a connection, for example because descriptors ran out.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

thread_local! {
    /// One read buffer per worker: between a read and the end of its parsing nothing is awaited.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What the connections of a source share.
pub struct TcpSource<M> {
    /// What was decided.
    pub plan: TcpSourcePlan,
    /// The memory budget.
    pub intake: Intake,
    /// Where batches go.
    pub buffer: Buffer,
    /// What is counted.
    pub metrics: SourceMetrics,
    /// Makes the feed of a new connection.
    pub make_feed: M,
}

impl<M, F> TcpSource<M>
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Feed,
{
    /// Accepts connections until intake stops, then waits for those that are open until they have ended or everything
    /// stops.
    pub async fn run(self, listener: TcpListener, mut stop: StopWatch) {
        let source = Arc::new(self);
        let places = Arc::new(Semaphore::new(source.plan.connections_max));
        let tracker = TaskTracker::new();
        let mut pause = Duration::ZERO;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.reached(Phase::StopIntake) => break,
                accepted = accept(&listener, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    pause = Duration::ZERO;
                    let (source, stop) = (source.clone(), stop.clone());
                    let connection = async move {
                        let _place = place;
                        source.connection(stream, stop).await;
                    };
                    tracker.spawn(connection);
                }
                Err(error) => {
                    pause = (pause * 2).clamp(Duration::from_millis(10), ACCEPT_PAUSE_MAX);
                    source.accept_failed(&error, pause);
                    tokio::time::sleep(pause).await;
                }
            }
        }
        drop(listener);
        tracker.close();
        tracker.wait().await;
    }

    fn accept_failed(&self, error: &io::Error, pause: Duration) {
        self.metrics.accept_failed();
        let name = &self.plan.name;
        if pause == ACCEPT_PAUSE_MAX {
            tracing::error!(source = %name, %error, "connections cannot be accepted; raise the limit of open files (LimitNOFILE, ulimit -n) or lower max_connections");
        } else {
            tracing::warn!(source = %name, %error, "a connection could not be accepted; trying again in {pause:?}");
        }
    }

    async fn connection(&self, stream: TcpStream, stop: StopWatch) {
        self.metrics.connected();
        let mut guard = EndGuard { metrics: &self.metrics, end: ConnectionEnd::Panicked };
        let mut connection = Connection {
            source: self,
            stream,
            feed: (self.make_feed)(),
            held: None,
            last_read: Instant::now(),
            batches: Vec::new(),
        };
        guard.end = connection.serve(stop).await;
    }
}

/// The next connection, once there is a place for it. Abandoning it loses nothing: a connection not yet accepted stays
/// with the kernel.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.expect("the places are never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Counts the end of a connection, also when its task panics.
struct EndGuard<'a> {
    metrics: &'a SourceMetrics,
    end: ConnectionEnd,
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.metrics.disconnected(self.end);
    }
}

struct Connection<'a, M, F> {
    source: &'a TcpSource<M>,
    stream: TcpStream,
    feed: F,
    /// What the unfinished line holds.
    held: Option<LinePermit>,
    last_read: Instant,
    batches: Vec<Batch>,
}

/// Whether unfinished lines hold most of the budget, one of them without anything read for it for a while.
fn is_crowding(intake: &Intake, last_read: Instant) -> bool {
    intake.is_crowded() && last_read.elapsed() >= CROWDED_WAIT
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

impl<M, F: Feed> Connection<'_, M, F> {
    /// Reads until the connection ends and says how it did.
    async fn serve(&mut self, stop: StopWatch) -> ConnectionEnd {
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
                    if self.held.is_some() && idle.deadline() > Instant::now() + CROWDED_WAIT {
                        idle.as_mut().reset(Instant::now() + CROWDED_WAIT);
                    }
                }
                Event::Idle if self.held.is_some() && is_crowding(&self.source.intake, self.last_read) => {
                    return self.finish(false, ConnectionEnd::Crowded).await;
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
            let look = if self.held.is_some() { Instant::now() + CROWDED_WAIT } else { deadline };
            idle.reset(look.min(deadline));
        }
        passed
    }

    /// Reads while there is something, a few times; gives the connection's end when that came.
    async fn read_some(&mut self, stop: &StopWatch) -> Option<ConnectionEnd> {
        for _ in 0..READS_IN_A_ROW {
            let mut permit = match self.admit(stop).await {
                Ok(permit) => permit,
                Err(end) => return Some(self.finish(false, end).await),
            };
            let read = self.read(&mut permit);
            self.hold(permit);
            self.append().await;
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

    /// Waits for memory to read into; gives the connection's end when that comes first.
    async fn admit(&mut self, stop: &StopWatch) -> Result<IntakePermit, ConnectionEnd> {
        let bytes = self.feed.admission_bytes(self.read_bytes()).min(self.fair_bytes());
        if let Some(permit) = self.source.intake.try_admit(bytes) {
            return Ok(permit);
        }
        let mut stop = stop.clone();
        let (intake, last_read) = (&self.source.intake, self.last_read);
        let crowded = async {
            loop {
                tokio::time::sleep(CROWDED_WAIT).await;
                if is_crowding(intake, last_read) {
                    return;
                }
            }
        };
        tokio::select! {
            permit = self.source.intake.admit(bytes) => Ok(permit),
            () = stop.reached(Phase::Drain) => Err(ConnectionEnd::Stopped),
            () = crowded, if self.held.is_some() => Err(ConnectionEnd::Crowded),
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

    /// Keeps of the permit what an unfinished line needs, and gives the rest back.
    fn hold(&mut self, mut permit: IntakePermit) {
        let bytes = self.feed.held_bytes() as u64;
        self.held = None;
        if bytes > 0 {
            self.held = Some(LinePermit::new(permit.split(bytes)));
        }
    }

    /// Appends what is finished, waiting for room in the buffer; meanwhile the socket is not read.
    async fn append(&mut self) {
        for batch in self.batches.drain(..) {
            let events = batch.len() as u64;
            let receipt = match self.source.buffer.try_append(batch) {
                Ok(receipt) => Ok(receipt),
                Err(batch) => self.source.buffer.append(batch).await,
            };
            // Nobody is told on a connection without confirmation, so the receipt is not waited for.
            if receipt.is_err() {
                self.source.metrics.dropped_at_stop(events);
            }
        }
        self.batches = Vec::new();
    }

    /// Takes the last line, if there is one, and closes.
    async fn finish(&mut self, clean: bool, end: ConnectionEnd) -> ConnectionEnd {
        let mut nothing = self.source.intake.nothing();
        let mut held = self.held.take();
        let permit = held.as_mut().map_or(&mut nothing, LinePermit::permit);
        self.feed.finish(clean, permit, &mut self.batches);
        drop(held);
        self.append().await;
        if end == ConnectionEnd::Closed {
            // The sender has closed and everything is stored: this end may look like one.
            let _ = SockRef::from(&self.stream).set_linger(None);
        }
        end
    }
}
