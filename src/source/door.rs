//! The way into the house: accepts connections for a source of any kind, finds out who it is, and has the source serve them.
//!
//! Everything a peer can delay happens in the connection's own task, so that nobody keeps others out by saying nothing. A
//! full house is a connection not accepted. It reads no event.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::whose;
use crate::metrics::ConnectionEnd;
use crate::metrics::SourceMetrics;
use crate::net::proxy::ProxyPlan;
use crate::net::stream::Stream;
use crate::net::tls::TlsPlan;
use crate::peer::Peer;
use crate::source::handshake::Lock;
use crate::source::seldom::Seldom;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::tenant::Tenants;
use crate::tenant::Visit;

/// What is the same for sources of every kind, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorPlan {
    /// Unique among the sources; the label of its metrics.
    pub name: String,
    /// `host:port` to listen on, IPv6 in brackets. Port 0 lets the system choose.
    pub address: String,
    /// Most connections open at once.
    pub connections_max: usize,
    /// A connection that sends nothing for so long is closed.
    pub idle_timeout: Duration,
    /// Whether other processes may listen on the same port at the same time.
    pub shares_port: bool,
    /// The proxies in front, whose connections begin with a header; `None` where none may.
    pub proxy: Option<ProxyPlan>,
    /// The TLS of its connections; `None`: they are plain.
    pub tls: Option<TlsPlan>,
}

/// A connection of which is known whose it is.
#[derive(Debug)]
pub struct Arrival {
    /// What it says and is told.
    pub stream: Stream,
    /// Where it comes from.
    pub peer: Peer,
    /// Whose it is.
    pub visit: Visit,
}

/// What a source does with a connection.
pub trait Serve: Send + Sync + 'static {
    /// Whether the kernel resets connections that end without the source having said so, which senders must not take for a
    /// confirmation; where there are answers, a reset could cut off the last of them.
    const RESETS: bool;

    /// Whether senders can say a token once they are in. Where they cannot, one that is no tenant is refused at the door where
    /// only tenants may send.
    const TAKES_TOKENS: bool = false;

    /// Serves a connection until its end, and says how that was.
    fn serve(&self, arrival: Arrival, stop: StopWatch) -> impl Future<Output = ConnectionEnd> + Send;
}

/// Lets connections in.
#[derive(Debug)]
pub struct Door {
    plan: DoorPlan,
    metrics: SourceMetrics,
    lock: Option<Lock>,
    tenants: Tenants,
    /// How often it is said that somebody speaks TLS where none is spoken.
    unexpected_tls: Seldom,
}

/// Longest a source waits after it could not accept a connection, for example because descriptors ran out.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

impl Door {
    /// A door that opens to senders that shake hands; without a lock, they come in as they are. `tenants` say who may.
    pub fn new(plan: DoorPlan, metrics: SourceMetrics, lock: Option<Lock>, tenants: Tenants) -> Self {
        Self { plan, metrics, lock, tenants, unexpected_tls: Seldom::default() }
    }

    /// Accepts connections until intake stops and then those the kernel has taken by then; waits for those that are open
    /// until they have ended or everything stops.
    pub async fn run<S: Serve>(self, listener: TcpListener, source: S, mut stop: StopWatch) {
        let places = Arc::new(Semaphore::new(self.plan.connections_max));
        let house = Arc::new((self, source));
        let tracker = TaskTracker::new();
        let mut pause = Duration::ZERO;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.reached(Phase::StopIntake) => break,
                accepted = accept(&listener, &places) => accepted,
            };
            take(&house, accepted, &stop, &tracker, &mut pause).await;
        }
        // Their senders may have closed and believe that all is well.
        loop {
            let waiting = tokio::select! {
                biased;
                () = stop.reached(Phase::Drain) => break,
                waiting = accept_waiting(&listener, &places) => waiting,
            };
            let Some(accepted) = waiting.transpose() else { break };
            take(&house, accepted, &stop, &tracker, &mut pause).await;
        }
        drop(listener);
        tracker.close();
        tracker.wait().await;
    }

    /// Finds out whose a connection is and has it served.
    async fn open<S: Serve>(&self, source: &S, stream: TcpStream, from: SocketAddr, stop: StopWatch) {
        self.metrics.connected();
        let mut guard = EndGuard { metrics: &self.metrics, end: ConnectionEnd::Panicked };
        // Where there are answers and it fails, the last one may get lost with its connection, which is what an answer nobody
        // got is. Otherwise it matters for connections that came before the listening socket was the relay's.
        let _ = SockRef::from(&stream).set_linger(S::RESETS.then_some(Duration::ZERO));
        // Where neither a proxy nor a certificate can say more, nobody waits for a word of one who is not let in anyway.
        let early = match self.plan.proxy.is_none() && self.lock.is_none() {
            true => match self.admit(&Peer::at(from), S::TAKES_TOKENS) {
                Ok(visit) => Some(visit),
                Err(end) => return guard.end = end,
            },
            false => None,
        };
        let mut peer = match whose::peer(&stream, from, &self.plan, &self.metrics, &stop).await {
            Ok(peer) => peer,
            Err(end) => return guard.end = end,
        };
        let stream = match &self.lock {
            None => Stream::Plain(stream),
            // A handshake's state is large, and gone before the connection is served.
            Some(lock) => match Box::pin(lock.open(stream, &mut peer, &stop)).await {
                Ok(stream) => stream,
                Err(end) => return guard.end = end,
            },
        };
        let visit = match early.map_or_else(|| self.admit(&peer, S::TAKES_TOKENS), Ok) {
            Ok(visit) => visit,
            Err(end) => return guard.end = end,
        };
        guard.end = source.serve(Arrival { stream, peer, visit }, stop).await;
        if guard.end == ConnectionEnd::UnexpectedTls
            && let Some(unsaid) = self.unexpected_tls.say(Instant::now())
        {
            let name = &self.plan.name;
            tracing::warn!(source = %name, %from, unsaid, "a sender speaks TLS where none is spoken: give the source a [source.tls], or have the sender speak without");
        }
    }

    /// Has the tenants let a sender in.
    fn admit(&self, peer: &Peer, takes_tokens: bool) -> Result<Visit, ConnectionEnd> {
        self.tenants.admit(peer, takes_tokens).map_err(|why| {
            let (address, endpoint, reason) = (peer.address, peer.endpoint.as_deref(), why.label());
            tracing::debug!(source = %self.plan.name, %address, endpoint, reason, "a connection is refused");
            ConnectionEnd::Refused
        })
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
}

/// Starts the task of a connection, or waits a while after a failure.
async fn take<S: Serve>(
    house: &Arc<(Door, S)>,
    accepted: io::Result<Accepted>,
    stop: &StopWatch,
    tracker: &TaskTracker,
    pause: &mut Duration,
) {
    match accepted {
        Ok(Accepted { stream, from, place }) => {
            *pause = Duration::ZERO;
            let (house, stop) = (house.clone(), stop.clone());
            let connection = async move {
                let _place = place;
                let (door, source) = &*house;
                door.open(source, stream, from, stop).await;
            };
            tracker.spawn(connection);
        }
        Err(error) => {
            *pause = (*pause * 2).clamp(Duration::from_millis(10), ACCEPT_PAUSE_MAX);
            house.0.accept_failed(&error, *pause);
            tokio::time::sleep(*pause).await;
        }
    }
}

/// A connection and its place among those that may be open.
struct Accepted {
    stream: TcpStream,
    from: SocketAddr,
    place: OwnedSemaphorePermit,
}

/// The next connection, once there is a place for it. Abandoning it loses nothing: a connection not yet accepted stays
/// with the kernel.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = a_place(places).await;
    let (stream, from) = listener.accept().await?;
    Ok(Accepted { stream, from, place })
}

/// The same of those the kernel has taken already; `None` when there is none.
async fn accept_waiting(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Option<Accepted>> {
    let place = a_place(places).await;
    // The kernel is asked itself: the runtime's readiness may lag behind it, and asking is the last chance.
    let (socket, from) = match SockRef::from(listener).accept() {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let from = from.as_socket().ok_or_else(|| io::Error::other("a connection without an address"))?;
    socket.set_nonblocking(true)?;
    let stream = TcpStream::from_std(socket.into())?;
    Ok(Some(Accepted { stream, from, place }))
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
