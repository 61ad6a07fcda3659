//! Makes the feed of each connection or request of a source: whose its lines are, how their documents look, and their ids.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::feed::LineFeed;
use super::ids::Ids;
use super::look::Looks;
use super::parse::LineParser;
use super::plan::ParsePlan;
use super::pool::Pool;
use crate::batch::SourceId;
use crate::event_id::IdKey;
use crate::metrics::SourceMetrics;
use crate::source::Asked;
use crate::source::Opening;

/// What the feeds of a source share.
pub(super) struct Feeds {
    pub(super) parse: ParsePlan,
    pub(super) looks: Arc<Looks>,
    pub(super) source: SourceId,
    pub(super) pool: Pool,
    pub(super) metrics: Arc<SourceMetrics>,
}

impl Feeds {
    /// A feed. `ids` are those of its events as long as they are nobody's.
    pub(super) fn open(&self, opening: &Opening<'_>, ids: Ids) -> LineFeed {
        let &Opening { peer, tenant, visit, refuses_long_lines, request } = opening;
        let look = self.looks.of(tenant).for_sender(peer);
        // Where nothing can be said of the lines before them, the first is an event like any other.
        let says = request.is_some() || visit.is_some();
        let parser = if says { LineParser::new(&self.parse, look, ids) } else { LineParser::offline(&self.parse, look, ids) };
        let mut parser = parser.of_tenant(tenant.name());
        if let Some(Asked { preamble, .. }) = request {
            parser.begin_request(preamble);
        }
        let most = self.parse.line_bytes_max;
        let feed = LineFeed::new(most, parser, self.source, self.pool.clone(), self.metrics.clone()).of_tenant(tenant.clone());
        let feed = match (request, visit) {
            (Some(Asked { framing, .. }), _) => feed.of_request(most, framing),
            (None, Some(visit)) => feed.with_visit(visit.clone(), self.looks.clone(), peer.clone()),
            (None, None) => feed,
        };
        feed.refusing(refuses_long_lines)
    }
}

/// Makes the ids of each new connection.
pub(super) fn ids(
    key: IdKey,
    nonce: [u8; 12],
    source: SourceId,
    connections: &Arc<AtomicU64>,
) -> impl Fn() -> Ids + Send + Sync + 'static {
    let connections = connections.clone();
    move || Ids::new(key, nonce, source, connections.fetch_add(1, Ordering::Relaxed))
}
