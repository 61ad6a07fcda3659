//! Events over HTTP/1.1 and HTTP/2: takes the bodies of requests and answers when what is in them is stored.
//!
//! It has no opinion about lines and parses no event. Back-pressure is a body that is not read, and then an answer that says
//! when to come again. The answer comes after the commit, and only then is it a 200.

pub mod answer;
pub mod body;
mod connection;
pub mod elasticsearch;
mod envelope;
pub mod firehose;
mod guard;
pub mod head;
pub mod kind;
pub mod named;
mod retry;
pub mod route;
mod service;
pub mod unpack;
pub mod whose;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Feed;
use super::Means;
use super::Opening;
use super::door::Arrival;
use super::door::Serve;
use crate::metrics::ConnectionEnd;
use crate::metrics::HttpMetrics;
use crate::peer::Peer;
use crate::stop::StopWatch;
use body::BodyLimits;
use retry::Retry;
use service::Service;

/// An HTTP source, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSourcePlan {
    /// Limits of a body.
    pub limits: BodyLimits,
    /// Longest line or element.
    pub line_bytes_max: usize,
    /// Whether a longer one is refused with all that follows it, instead of being cut.
    pub refuses_long_lines: bool,
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
    pub(crate) metrics: HttpMetrics,
    pub(crate) retry: Retry,
    /// How durably what is stored is stored, in a word.
    pub(crate) durability: &'static str,
}

impl<M> HttpSource<M> {
    /// A source as planned.
    pub fn new(plan: HttpSourcePlan, means: Means<M>, metrics: HttpMetrics) -> Self {
        let stat = means.buffer.stat();
        let durability = stat.disk.map_or("memory", |disk| disk.durability.label());
        let retry = Retry::new(&stat, Instant::now());
        Self { shared: Arc::new(Shared { plan, means, metrics, retry, durability }) }
    }
}

impl<M, F> Serve for HttpSource<M>
where
    M: Fn(&Opening<'_>) -> F + Send + Sync + 'static,
    F: Feed,
{
    const RESETS: bool = false;

    const TAKES_TOKENS: bool = true;

    async fn serve(&self, arrival: Arrival, stop: StopWatch) -> ConnectionEnd {
        let Arrival { stream, peer, visit } = arrival;
        // An answer is small and waited for; without it the kernel may hold it back. Where it fails, it does.
        let _ = stream.tcp().set_nodelay(true);
        let service = Service { shared: self.shared.clone(), peer: Arc::<Peer>::new(peer), visit, stop: stop.clone() };
        connection::serve(service, stream, self.shared.plan.idle_timeout, stop).await
    }
}
