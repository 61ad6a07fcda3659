//! Beats, as a Logstash would take them: Lumberjack version 2 over TCP.
//!
//! Each event is a JSON document and goes to the [`Feed`] as a line. An event is acked once it is stored as durably as the
//! buffer can, and never before, also not when the relay stops. It has no opinion about what is in an event. Back-pressure
//! is a socket that is not read, and a sign of life for the sender meanwhile.

mod connection;
mod input;
mod telling;

use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use super::Feed;
use super::Means;
use super::Opening;
use super::door::Arrival;
use super::door::Serve;
use crate::metrics::BeatsMetrics;
use crate::metrics::ConnectionEnd;
use crate::peer::Peer;
use crate::stop::StopWatch;
use crate::wire::lumberjack::Fault;
use crate::wire::lumberjack::Limits;
use connection::Connection;

/// A Beats source, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeatsSourcePlan {
    /// How much a sender may ask for.
    pub limits: Limits,
    /// A connection on which nothing moves for so long, although it could, is closed.
    pub idle_timeout: Duration,
}

/// What the connections of a Beats source share.
#[derive(Debug)]
pub struct BeatsSource<M> {
    /// What was decided.
    pub plan: BeatsSourcePlan,
    /// What sources of every kind have.
    pub means: Means<M>,
    /// What only this kind counts.
    pub metrics: BeatsMetrics,
    /// What has been said in the log.
    pub said: Said,
}

/// When each kind of fault was last said in the log, so that no sender can fill that.
#[derive(Debug, Default)]
pub struct Said {
    last: Mutex<[Option<Instant>; Fault::ALL.len()]>,
}

/// A fault of a kind is said once in so long; the metrics count all of them.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl Said {
    /// Whether it is time to say it again.
    fn is_due(&self, fault: Fault) -> bool {
        let last = &mut self.last.lock().expect("nobody panics while looking at a time")[fault as usize];
        let due = last.is_none_or(|last| last.elapsed() >= SAY_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

impl<M> BeatsSource<M> {
    /// A sender has done something that ends its connection.
    fn refused(&self, peer: &Peer, fault: Fault) {
        self.metrics.refused(fault);
        if self.said.is_due(fault) {
            let (source, reason) = (self.means.metrics.name(), fault.label());
            tracing::warn!(source, peer = %peer.address, reason, "a connection is closed: {}", fault.words());
        }
    }
}

impl<M, F> Serve for BeatsSource<M>
where
    M: Fn(&Opening<'_>) -> F + Send + Sync + 'static,
    F: Feed,
{
    // Acks are the answers, and an end without them confirms nothing.
    const RESETS: bool = false;

    async fn serve(&self, arrival: Arrival, stop: StopWatch) -> ConnectionEnd {
        let Arrival { stream, peer, visit } = arrival;
        // A sender waits for each ack. Where it fails, it waits a little longer.
        let _ = stream.tcp().set_nodelay(true);
        let tenant = visit.tenant();
        // What a Beat sends first is an event like any other: a connection says nothing of itself.
        let opening = Opening { peer: &peer, tenant: &tenant, visit: None, refuses_long_lines: false, request: None };
        let feed = (self.means.make_feed)(&opening);
        Connection::new(self, stream, feed, peer, visit).serve(stop).await
    }
}
