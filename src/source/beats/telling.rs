//! What a sender is told of what became of its events, and when.
//!
//! Receipts are waited for while the connection reads on, and acks are written as far as the socket takes them; nothing here
//! ever makes the connection wait. It reads nothing, appends nothing and closes nothing.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::buffer::Stored;
use crate::metrics::BeatsMetrics;
use crate::metrics::ConnectionEnd;
use crate::net::stream::Stream;
use crate::wire::lumberjack::Server;

/// A sender that waits hears something at least this often. Beats give up after 30 seconds of silence.
const PULSE: Duration = Duration::from_secs(3);

/// The answer whether an entry is stored.
type Answer = Pin<Box<dyn Future<Output = Stored> + Send>>;

/// Events that count as stored once an answer says so.
struct Promise {
    /// Whether the last entry of these events is stored; entries are stored in order.
    answer: Answer,
    /// Events of the connection up to there.
    events: u64,
}

/// One connection's protocol, and what its sender is waiting for.
pub(super) struct Telling {
    pub(super) server: Server,
    metrics: BeatsMetrics,
    /// The promise whose answer is waited for.
    waited: Option<Promise>,
    /// The newest one behind it. It covers those in between, so that two are enough however slow the storage is.
    newest: Option<Promise>,
    /// Rings when the sender has waited for long enough.
    pulse: Pin<Box<Sleep>>,
    /// Whether `pulse` has been set since the sender began to wait.
    is_set: bool,
    /// Whether the relay cannot go on reading, so that even a sender waits of which nothing has been read.
    held_up: bool,
    /// When something was last known to be stored.
    stored: Instant,
    /// Whether all that was written has left the relay.
    flushed: bool,
    /// Whether something is not stored, or nobody knows.
    failed: bool,
    /// Whether acks can no longer be written.
    broken: bool,
}

impl Telling {
    pub(super) fn new(server: Server, metrics: BeatsMetrics) -> Self {
        Self {
            server,
            metrics,
            waited: None,
            newest: None,
            pulse: Box::pin(tokio::time::sleep(PULSE)),
            is_set: false,
            held_up: false,
            stored: Instant::now(),
            flushed: true,
            failed: false,
            broken: false,
        }
    }

    /// All events that have come are dealt with once `receipt`, that of the newest entry since the last call, says that it
    /// is stored; without an entry, once what came before is.
    pub(super) fn passed(&mut self, receipt: Option<impl Future<Output = Stored> + Send + 'static>) {
        if self.failed {
            return;
        }
        let events = self.server.events();
        if let Some(receipt) = receipt {
            let place = if self.waited.is_none() { &mut self.waited } else { &mut self.newest };
            *place = Some(Promise { answer: Box::pin(receipt), events });
        } else if let Some(last) = self.newest.as_mut().or(self.waited.as_mut()) {
            last.events = events;
        } else {
            self.server.handle_committed(events);
        }
    }

    /// Something could not even be handed on to be stored: nothing is acked any more.
    pub(super) fn fail(&mut self) {
        self.failed = true;
        self.waited = None;
        self.newest = None;
    }

    /// Whether something is not stored, or nobody knows.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether writing has shown that the connection is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether an answer is being waited for.
    pub(super) fn is_storing(&self) -> bool {
        self.waited.is_some() || self.newest.is_some()
    }

    /// When something was last known to be stored: from then on it is the sender's turn.
    pub(super) fn last_stored(&self) -> Instant {
        self.stored
    }

    /// Takes the answers there are and writes what the socket takes; ready when something is not stored.
    ///
    /// Whoever polls is woken when it has to be polled again.
    pub(super) fn poll(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        while let Some(mut promise) = self.waited.take().or_else(|| self.newest.take()) {
            match promise.answer.as_mut().poll(context) {
                Poll::Ready(Stored::Yes) => {
                    self.server.handle_committed(promise.events);
                    self.stored = Instant::now();
                }
                Poll::Ready(Stored::No) => self.fail(),
                Poll::Pending => {
                    self.waited = Some(promise);
                    break;
                }
            }
        }
        if !self.broken {
            self.broken = self.write(stream, context).is_err();
        }
        while !self.broken && self.beat(context) {
            self.is_set = false;
            self.broken = self.write(stream, context).is_err();
        }
        if self.failed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether it is time to let a waiting sender know that there is life.
    fn beat(&mut self, context: &mut Context<'_>) -> bool {
        if self.failed || !self.held_up && !self.server.is_owing() {
            self.is_set = false;
            return false;
        }
        if !self.is_set {
            self.pulse.as_mut().reset(Instant::now() + PULSE);
            self.is_set = true;
        }
        if self.pulse.as_mut().poll(context).is_pending() {
            return false;
        }
        self.server.handle_waited();
        self.metrics.waited();
        true
    }

    /// Writes until everything is said or the socket takes no more, in which case it wakes.
    fn write(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            let bytes = self.server.poll_transmit();
            if bytes.is_empty() {
                // What TLS has taken and the socket has not.
                self.flushed = self.flushed || Pin::new(stream).poll_flush(context)?.is_ready();
                return Ok(());
            }
            match Pin::new(&mut *stream).poll_write(context, bytes) {
                Poll::Ready(written) => {
                    self.server.handle_transmitted(written?);
                    self.flushed = false;
                    self.is_set = false;
                }
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Waits for `wanted`, and goes on telling meanwhile.
    ///
    /// Abandoning it loses what abandoning `wanted` loses and nothing else.
    pub(super) async fn alongside<T>(&mut self, stream: &mut Stream, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        self.held_up = true;
        let both = poll_fn(|context| {
            // A failure stays and is found by whoever looks next.
            let _ = self.poll(stream, context);
            wanted.as_mut().poll(context)
        });
        let result = both.await;
        self.held_up = false;
        result
    }

    /// Waits until everything passed is stored.
    ///
    /// Abandoning the wait loses nothing.
    ///
    /// # Errors
    /// How the connection ends when it is not.
    pub(super) async fn stored(&mut self, stream: &mut Stream) -> Result<(), ConnectionEnd> {
        let stored = poll_fn(|context| match self.poll(stream, context) {
            Poll::Ready(()) => Poll::Ready(Err(ConnectionEnd::NotStored)),
            Poll::Pending if self.is_storing() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        });
        stored.await
    }

    /// Waits until everything passed is stored and the sender has been told, as far as the kernel takes it.
    ///
    /// Abandoning the wait loses nothing.
    ///
    /// # Errors
    /// How the connection ends when it cannot be so.
    pub(super) async fn settled(&mut self, stream: &mut Stream) -> Result<(), ConnectionEnd> {
        self.server.handle_ending();
        let settled = poll_fn(|context| {
            if self.poll(stream, context).is_ready() {
                return Poll::Ready(Err(ConnectionEnd::NotStored));
            }
            let told = self.flushed && self.server.poll_transmit().is_empty();
            match (self.is_storing(), self.broken, told) {
                (false, true, _) => Poll::Ready(Err(ConnectionEnd::Reset)),
                (false, false, true) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        });
        settled.await
    }
}
