//! Newline-delimited lines over TCP: reads what memory admits, and tells senders what they may know.
//!
//! It has no opinion about lines. Back-pressure is a socket that is not read.

mod acks;
mod confirm;
mod connection;
mod first_bytes;
mod read_ahead;

use std::time::Duration;

use super::Feed;
use super::Means;
use super::Opening;
use super::door::Arrival;
use super::door::Serve;
use crate::metrics::ConnectionEnd;
use crate::stop::StopWatch;
pub use confirm::Confirm;
use connection::Connection;

/// A TCP source, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSourcePlan {
    /// What senders are told.
    pub confirm: Confirm,
    /// A connection that sends nothing for so long is closed.
    pub idle_timeout: Duration,
}

/// What the connections of a TCP source share.
#[derive(Debug)]
pub struct TcpSource<M> {
    /// What was decided.
    pub plan: TcpSourcePlan,
    /// What sources of every kind have.
    pub means: Means<M>,
}

impl<M, F> Serve for TcpSource<M>
where
    M: Fn(&Opening<'_>) -> F + Send + Sync + 'static,
    F: Feed,
{
    const RESETS: bool = true;

    const TAKES_TOKENS: bool = true;

    async fn serve(&self, arrival: Arrival, stop: StopWatch) -> ConnectionEnd {
        let Arrival { stream, peer, visit } = arrival;
        if self.plan.confirm == Confirm::Line {
            // A sender may wait for each confirmation; without it the kernel holds small writes back. Where it fails, it does.
            let _ = stream.tcp().set_nodelay(true);
        }
        let (tenant, refuses_long_lines) = (visit.tenant(), self.plan.confirm != Confirm::None);
        let opening = Opening { peer: &peer, tenant: &tenant, visit: Some(&visit), refuses_long_lines, request: None };
        let feed = (self.means.make_feed)(&opening);
        Connection::new(self, stream, feed, visit).serve(stop).await
    }
}

#[cfg(test)]
mod tests;
