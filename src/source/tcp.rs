//! Newline-delimited lines over TCP: accepts, reads what memory admits, and tells senders what they may know.
//!
//! It has no opinion about lines. Back-pressure is a socket that is not read; a full house is a connection not accepted.

mod acks;
mod confirm;
mod connection;
mod read_ahead;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Feed;
use crate::buffer::Buffer;
use crate::intake::Intake;
use crate::metrics::ConnectionEnd;
use crate::metrics::SourceMetrics;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::waiting::WaitingEvents;
pub use confirm::Confirm;
use connection::Connection;

/// A TCP source, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSourcePlan {
    /// Unique among the sources; the label of its metrics.
    pub name: String,
    /// `host:port` to listen on, IPv6 in brackets. Port 0 lets the system choose.
    pub address: String,
    /// Longest line that is parsed; a longer one is cut, or refused where senders are told what was taken.
    pub line_bytes_max: usize,
    /// What senders are told.
    pub confirm: Confirm,
    /// Most connections open at once.
    pub connections_max: usize,
    /// A connection that sends nothing for so long is closed.
    pub idle_timeout: Duration,
}

/// Longest a source waits after it could not accept a connection, for example because descriptors ran out.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What the connections of a source share.
pub struct TcpSource<M> {
    /// What was decided.
    pub plan: TcpSourcePlan,
    /// The memory budget.
    pub intake: Intake,
    /// The part of it that unfinished lines may hold together, small ones aside. Nobody can say when such a line ends, so
    /// waiting for one could last for ever, and a few slow senders would hold everybody back: what does not fit is cut
    /// off instead.
    pub unfinished: Intake,
    /// Where batches go.
    pub buffer: Buffer,
    /// Events that wait for room there.
    pub waiting: WaitingEvents,
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
    /// Accepts connections until intake stops and then those the kernel has taken by then; waits for those that are open
    /// until they have ended or everything stops.
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
            source.take(accepted, &stop, &tracker, &mut pause).await;
        }
        // Their senders may have closed and believe that all is well.
        loop {
            let waiting = tokio::select! {
                biased;
                () = stop.reached(Phase::Drain) => break,
                waiting = accept_waiting(&listener, &places) => waiting,
            };
            let Some(accepted) = waiting.transpose() else { break };
            source.take(accepted, &stop, &tracker, &mut pause).await;
        }
        drop(listener);
        tracker.close();
        tracker.wait().await;
    }

    /// Starts the task of a connection, or waits a while after a failure.
    async fn take(
        self: &Arc<Self>,
        accepted: io::Result<Accepted>,
        stop: &StopWatch,
        tracker: &TaskTracker,
        pause: &mut Duration,
    ) {
        match accepted {
            Ok(Accepted { stream, place }) => {
                *pause = Duration::ZERO;
                let (source, stop) = (self.clone(), stop.clone());
                let connection = async move {
                    let _place = place;
                    source.connection(stream, stop).await;
                };
                tracker.spawn(connection);
            }
            Err(error) => {
                *pause = (*pause * 2).clamp(Duration::from_millis(10), ACCEPT_PAUSE_MAX);
                self.accept_failed(&error, *pause);
                tokio::time::sleep(*pause).await;
            }
        }
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
        if self.plan.confirm == Confirm::Line {
            // A sender may wait for each confirmation; without it the kernel holds small writes back. Where it fails, it does.
            let _ = stream.set_nodelay(true);
        }
        let mut guard = EndGuard { metrics: &self.metrics, end: ConnectionEnd::Panicked };
        let mut connection = Connection::new(self, stream, (self.make_feed)());
        guard.end = connection.serve(stop).await;
    }
}

/// A connection and its place among those that may be open.
struct Accepted {
    stream: TcpStream,
    place: OwnedSemaphorePermit,
}

/// The next connection, once there is a place for it. Abandoning it loses nothing: a connection not yet accepted stays
/// with the kernel.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = a_place(places).await;
    let (stream, _) = listener.accept().await?;
    Ok(Accepted { stream, place })
}

/// The same of those the kernel has taken already; `None` when there is none.
async fn accept_waiting(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Option<Accepted>> {
    let place = a_place(places).await;
    // The kernel is asked itself: the runtime's readiness may lag behind it, and asking is the last chance.
    let socket = match SockRef::from(listener).accept() {
        Ok((socket, _)) => socket,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    socket.set_nonblocking(true)?;
    let stream = TcpStream::from_std(socket.into())?;
    Ok(Some(Accepted { stream, place }))
}

async fn a_place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    places.clone().acquire_owned().await.expect("the places are never closed")
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

#[cfg(test)]
mod tests;
