//! One connection: waits, is admitted, reads, hands on what is finished, and ends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::timeout;
use tokio::time::timeout_at;

use super::BeatsSource;
use super::input::Input;
use super::telling::Telling;
use crate::batch::Batch;
use crate::buffer::Closed;
use crate::buffer::Receipt;
use crate::buffer::Trail;
use crate::intake::IntakePermit;
use crate::metrics::ConnectionEnd;
use crate::net::stream::Stream;
use crate::peer::Peer;
use crate::source::Feed;
use crate::source::Passed;
use crate::source::allowance::Allowance;
use crate::source::allowance::READ_BYTES;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::tenant::Visit;
use crate::wire::lumberjack::Fault;
use crate::wire::lumberjack::Pause;
use crate::wire::lumberjack::Server;

/// Reads in a row before other connections get their turn.
const READS_IN_A_ROW: usize = 4;

/// Once intake stops, a sender that has begun a window and sends nothing for so long is not waited for.
const QUIET: Duration = Duration::from_secs(1);

/// How long a sender may take, at the end, to take its last acks, and then to see that this is the end.
const LAST_ACKS: Duration = Duration::from_millis(500);

thread_local! {
    /// Lines of one step: between a step and the end of its parsing nothing is awaited.
    static LINES: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(READ_BYTES + 1));
}

/// A connection and what it holds.
pub(super) struct Connection<'a, M, F> {
    source: &'a BeatsSource<M>,
    peer: Peer,
    stream: Stream,
    feed: F,
    telling: Telling,
    input: Input,
    /// Why the protocol did not go on.
    pause: Pause,
    /// Whether intake has stopped.
    is_stopping: bool,
    /// Also for the decompressor and the input.
    allowance: Allowance,
    last_read: Instant,
    batches: Vec<Batch>,
    trail: Trail,
    /// Windows that have been counted.
    windows: u64,
}

/// How a connection ends.
struct End {
    end: ConnectionEnd,
    /// Whether there may be somebody to be told what is stored.
    tells: bool,
}

impl End {
    fn telling(end: ConnectionEnd) -> Self {
        Self { end, tells: true }
    }

    fn silent(end: ConnectionEnd) -> Self {
        Self { end, tells: false }
    }
}

/// What a connection waited for.
enum Event {
    Ready,
    Alarm,
    NotStored,
    Broken,
    Phase,
}

/// Waits for a phase, for as long as a connection lives.
async fn until(mut stop: StopWatch, phase: Phase) {
    stop.reached(phase).await;
}

impl<'a, M, F: Feed> Connection<'a, M, F> {
    pub(super) fn new(source: &'a BeatsSource<M>, stream: Stream, feed: F, peer: Peer, visit: Visit) -> Self {
        Self {
            source,
            peer,
            stream,
            feed,
            telling: Telling::new(Server::new(source.plan.limits), source.metrics.clone()),
            input: Input::default(),
            pause: Pause::Hungry,
            is_stopping: false,
            allowance: Allowance::new(visit),
            last_read: Instant::now(),
            batches: Vec::new(),
            trail: Trail::default(),
            windows: 0,
        }
    }

    /// Reads until the connection ends and says how it did.
    pub(super) async fn serve(&mut self, stop: StopWatch) -> ConnectionEnd {
        let end = self.read_on(&stop).await;
        self.finish(end, stop).await
    }

    async fn read_on(&mut self, stop: &StopWatch) -> End {
        let mut alarm = pin!(tokio::time::sleep(self.source.plan.idle_timeout));
        let mut reached = pin!(until(stop.clone(), Phase::StopIntake));
        loop {
            match self.wait(alarm.as_mut(), reached.as_mut()).await {
                Event::Ready => {
                    if let Some(end) = self.go_on(stop).await {
                        return end;
                    }
                }
                Event::NotStored => return End::silent(ConnectionEnd::NotStored),
                Event::Broken => return End::silent(ConnectionEnd::Reset),
                Event::Alarm => {
                    let deadline = self.deadline();
                    if Instant::now() >= deadline {
                        return End::telling(if self.is_stopping { ConnectionEnd::Stopped } else { ConnectionEnd::Idle });
                    }
                    alarm.as_mut().reset(deadline);
                }
                Event::Phase if self.is_stopping => return End::telling(ConnectionEnd::Stopped),
                Event::Phase => {
                    self.is_stopping = true;
                    self.last_read = Instant::now();
                    self.telling.server.close_intake();
                    alarm.as_mut().reset(self.deadline());
                    reached.set(until(stop.clone(), Phase::Drain));
                }
            }
            if self.pause == Pause::Closed || self.is_stopping && self.telling.server.is_between_windows() {
                return End::telling(ConnectionEnd::Stopped);
            }
        }
    }

    /// Waits for what comes first, and tells the sender what is stored meanwhile.
    async fn wait(&mut self, mut alarm: Pin<&mut Sleep>, mut reached: Pin<&mut impl Future<Output = ()>>) -> Event {
        let event = poll_fn(|context| {
            // First, so that a sender that never pauses is asked to stop, too.
            if reached.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Phase);
            }
            if self.telling.poll(&mut self.stream, context).is_ready() {
                return Poll::Ready(Event::NotStored);
            }
            if self.telling.is_broken() {
                return Poll::Ready(Event::Broken);
            }
            if self.poll_ready(context).is_ready() {
                return Poll::Ready(Event::Ready);
            }
            alarm.as_mut().poll(context).map(|()| Event::Alarm)
        });
        event.await
    }

    /// Ready when the protocol can go on, with bytes that are there or may be.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        match self.pause {
            Pause::Hungry => self.stream.poll_read_ready(context),
            Pause::Full => Poll::Ready(()),
            // Writing an ack polls again.
            Pause::Unanswered if self.telling.server.is_full() => Poll::Pending,
            Pause::Unanswered | Pause::Closed => Poll::Ready(()),
        }
    }

    /// When a sender that does nothing has had its time. While its events are being stored, it is not its turn.
    fn deadline(&self) -> Instant {
        if self.is_stopping {
            return self.last_read + QUIET;
        }
        let since = if self.telling.is_storing() { Instant::now() } else { self.last_read.max(self.telling.last_stored()) };
        since + self.source.plan.idle_timeout
    }

    /// Takes what there is, a few reads of it; gives the connection's end when that came.
    async fn go_on(&mut self, stop: &StopWatch) -> Option<End> {
        for _ in 0..READS_IN_A_ROW {
            let Some(mut permit) = self.admit(stop).await else {
                return Some(End::telling(ConnectionEnd::Stopped));
            };
            let mut is_all = false;
            if self.pause == Pause::Hungry {
                match self.input.fill(&mut self.stream) {
                    Ok(0) => return Some(End::telling(ConnectionEnd::Closed)),
                    Ok(count) => is_all = count < READ_BYTES,
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return None,
                    Err(_) => return Some(End::silent(ConnectionEnd::Reset)),
                }
                self.last_read = Instant::now();
            }
            let fault = self.step(&mut permit);
            let fits = self.hold(permit);
            self.append().await;
            if self.telling.has_failed() {
                return Some(End::silent(ConnectionEnd::NotStored));
            }
            if let Some(fault) = fault {
                self.source.refused(&self.peer, fault);
                return Some(End::telling(ConnectionEnd::Protocol));
            }
            if !fits {
                return Some(End::telling(ConnectionEnd::Memory));
            }
            match self.pause {
                Pause::Hungry if !is_all => {}
                Pause::Full => {}
                Pause::Hungry | Pause::Unanswered | Pause::Closed => return None,
            }
        }
        tokio::task::yield_now().await;
        None
    }

    /// Waits for memory for one step; `None` when everything ends first.
    async fn admit(&mut self, stop: &StopWatch) -> Option<IntakePermit> {
        let bytes = self.allowance.admission_bytes(&self.feed) + READ_BYTES as u64;
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
        self.telling.alongside(&mut self.stream, admitted).await
    }

    /// Has the protocol take some of the input, and parses the lines that come out at once.
    fn step(&mut self, permit: &mut IntakePermit) -> Option<Fault> {
        let most = self.allowance.read_bytes(&self.feed);
        LINES.with_borrow_mut(|lines| {
            lines.clear();
            let server = &mut self.telling.server;
            let result = server.step(self.input.bytes(), lines, most);
            self.source.metrics.windows(server.windows() - self.windows);
            self.windows = server.windows();
            let passed = if lines.is_empty() { Passed::default() } else { self.feed.feed(lines, permit, &mut self.batches) };
            self.allowance.took(lines.len(), &passed);
            match result {
                Ok(step) => {
                    self.input.take(step.consumed);
                    self.pause = step.pause;
                    None
                }
                Err(fault) => Some(fault),
            }
        })
    }

    /// Keeps of the permit what stays in memory until more comes, and gives the rest back; `false`: there is no memory for an
    /// unfinished event.
    fn hold(&mut self, permit: IntakePermit) -> bool {
        let beside = self.telling.server.held_bytes() + self.input.held_bytes();
        self.allowance.hold(self.feed.held_bytes(), beside, permit)
    }

    /// Appends what is finished, waiting for room in the buffer; meanwhile the socket is not read.
    async fn append(&mut self) {
        let means = &self.source.means;
        let mut batches = self.batches.drain(..);
        let mut last = None;
        while let Some(batch) = batches.next() {
            let (events, bytes, is_rejects) = (batch.len() as u64, batch.bytes() as u64, batch.is_rejects);
            let receipt = match means.buffer.try_append(batch) {
                Ok(receipt) => Ok(receipt),
                Err(batch) => {
                    let behind: u64 = batches.as_slice().iter().map(|batch| batch.len() as u64).sum();
                    let _waiting = means.waiting.wait(events + behind);
                    self.telling.alongside(&mut self.stream, means.buffer.append(batch)).await
                }
            };
            match receipt {
                Ok(receipt) => {
                    if is_rejects {
                        means.metrics.dead_letters(events);
                    } else {
                        self.allowance.tenant().appended(receipt.seq(), bytes);
                    }
                    last = Some(self.trail.follow(receipt));
                }
                Err(Closed) => {
                    means.metrics.dropped_at_stop(events);
                    self.telling.fail();
                }
            }
        }
        drop(batches);
        self.batches = Vec::new();
        self.telling.passed(last.map(Receipt::stored));
    }

    /// Counts an event that never ended, tells the sender what is stored, and closes; says how it ended after all.
    async fn finish(&mut self, end: End, mut stop: StopWatch) -> ConnectionEnd {
        let mut permit = self.allowance.let_go();
        self.feed.finish(false, &mut permit, &mut self.batches);
        self.append().await;
        self.input = Input::default();
        drop(permit);
        let End { end, tells } = end;
        if !tells {
            return end;
        }
        let stored = tokio::select! {
            biased;
            stored = self.telling.stored(&mut self.stream) => stored,
            () = stop.reached(Phase::Stop) => return end,
            () = tokio::time::sleep(self.source.plan.idle_timeout) => return ConnectionEnd::NotStored,
        };
        if let Err(end) = stored {
            return end;
        }
        // A sender that takes nothing is not waited for: what it has not been told, it sends again.
        if let Ok(Ok(())) = timeout(LAST_ACKS, self.telling.settled(&mut self.stream)).await
            && let Ok(Ok(())) = timeout(LAST_ACKS, self.stream.shutdown()).await
            && end != ConnectionEnd::Closed
        {
            let unread = self.read_away().await;
            if end == ConnectionEnd::Stopped {
                self.source.means.metrics.unread(unread);
            }
        }
        end
    }

    /// Reads for a moment what will never be acked, and forgets it: closing with bytes unread would have the kernel reset
    /// the connection, and the last acks with it.
    async fn read_away(&mut self) -> u64 {
        let deadline = Instant::now() + QUIET;
        let mut bytes = 0;
        while let Ok(()) = timeout_at(deadline, poll_fn(|context| self.stream.poll_read_ready(context))).await {
            let read = self.input.fill(&mut self.stream);
            match read {
                Ok(count) if count > 0 => bytes += count as u64,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                _ => break,
            }
            self.input.take(self.input.bytes().len());
            tokio::task::yield_now().await;
        }
        bytes
    }
}
