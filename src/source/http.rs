//! Events over HTTP/1.1 and HTTP/2: takes the bodies of requests and answers when what is in them is stored.
//!
//! It has no opinion about lines and parses no event. Back-pressure is a body that is not read, and then an answer that says
//! when to come again. The answer comes after the commit, and only then is it a 200.

pub mod answer;
pub mod body;
pub mod head;
pub mod kind;
pub mod named;
pub mod route;
mod service;
pub mod unpack;

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio_util::task::TaskTracker;

use super::Feed;
use super::Means;
use super::Opening;
use super::door::Arrival;
use super::door::Serve;
use crate::metrics::ConnectionEnd;
use crate::peer::Peer;
use crate::stop::Phase;
use crate::stop::StopWatch;
use body::BodyLimits;
use service::Service;

/// An HTTP source, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSourcePlan {
    /// Limits of a body.
    pub limits: BodyLimits,
    /// Longest line or element.
    pub line_bytes_max: usize,
    /// From the last byte of a body, this long until a sender is told that nobody knows.
    pub ack_timeout: Duration,
    /// A connection on which nothing happens for so long is closed.
    pub idle_timeout: Duration,
}

/// An HTTP source.
#[derive(Debug)]
pub struct HttpSource<M> {
    shared: Arc<Shared<M>>,
}

/// What the requests of a source share.
#[derive(Debug)]
pub(crate) struct Shared<M> {
    pub(crate) plan: HttpSourcePlan,
    pub(crate) means: Means<M>,
    /// How durably what is stored is stored, in a word.
    pub(crate) durability: &'static str,
}

impl<M> HttpSource<M> {
    /// A source as planned.
    pub fn new(plan: HttpSourcePlan, means: Means<M>) -> Self {
        let durability = means.buffer.stat().disk.map_or("memory", |disk| disk.durability.label());
        Self { shared: Arc::new(Shared { plan, means, durability }) }
    }
}

/// A request's head must be there by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What is read of a connection beyond what has been taken, in bytes; also the bound on a request's head.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Requests that one connection may have open at once.
const STREAMS_MAX: u32 = 64;

impl<M, F> Serve for HttpSource<M>
where
    M: Fn(&Opening<'_>) -> F + Send + Sync + 'static,
    F: Feed,
{
    const RESETS: bool = false;

    async fn serve(&self, arrival: Arrival, mut stop: StopWatch) -> ConnectionEnd {
        let Arrival { stream, peer } = arrival;
        // An answer is small and waited for; without it the kernel may hold it back. Where it fails, it does.
        let _ = stream.tcp().set_nodelay(true);
        // Requests go on when their connection is gone: what has been taken is stored.
        let requests = TaskTracker::new();
        let service = Service { shared: self.shared.clone(), peer: Arc::<Peer>::new(peer), stop: stop.clone() };
        let serving = service_fn(|request: Request<Incoming>| {
            // Where it panics, its connection ends without an answer.
            requests.spawn(service.clone().answer(request))
        });
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(true).max_buf_size(READ_AHEAD_BYTES);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(READ_AHEAD_BYTES as u32)
            .initial_connection_window_size(2 * READ_AHEAD_BYTES as u32);
        let end = {
            let connection = http.serve_connection(TokioIo::new(stream), serving);
            tokio::pin!(connection);
            let served = tokio::select! {
                served = connection.as_mut() => Some(served),
                () = stop.reached(Phase::StopIntake) => None,
            };
            let served = match served {
                Some(served) => served,
                None => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if served.is_ok() { ConnectionEnd::Closed } else { ConnectionEnd::Reset }
        };
        requests.close();
        requests.wait().await;
        end
    }
}
