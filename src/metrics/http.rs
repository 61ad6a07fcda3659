//! The counters of a source that takes requests over HTTP.

use std::time::Duration;

use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Registry;

use super::counters;
use super::gauges;

/// The statuses there are; any other is counted as the last one.
const STATUSES: [u16; 13] = [200, 400, 401, 403, 404, 405, 408, 413, 415, 429, 431, 503, 500];

/// Bounds of the times to an answer, in seconds: from a buffer in memory to beyond the longest wait for the disk.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 4.0, 10.0];

/// The families of all sources.
#[derive(Debug)]
pub(super) struct HttpFamilies {
    requests: IntCounterVec,
    packed_bytes: IntCounterVec,
    unpacked_bytes: IntCounterVec,
    actions_refused: IntCounterVec,
    in_flight: IntGaugeVec,
    answer_seconds: HistogramVec,
}

/// The counters of one source.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Vec<IntCounter>,
    packed_bytes: IntCounter,
    unpacked_bytes: IntCounter,
    actions_refused: IntCounter,
    in_flight: IntGauge,
    answer_seconds: Histogram,
}

/// A request that is being answered; dropping it says that it no longer is.
#[derive(Debug)]
#[must_use]
pub struct InFlight {
    gauge: IntGauge,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl HttpFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let answer = HistogramOpts::new(
            "http_answer_seconds",
            "Time from the last byte of a body that was taken to its answer, which waits for the commit",
        );
        let answer_seconds =
            HistogramVec::new(answer.buckets(BUCKETS.to_vec()), &["source"]).expect("names and labels are valid");
        registry.register(Box::new(answer_seconds.clone())).expect("a name is registered once");
        Self {
            requests: counters(registry, "http_requests_total", "Requests answered, by status", &["source", "status"]),
            packed_bytes: counters(registry, "http_packed_bytes_total", "Bytes of bodies as they came", &["source"]),
            unpacked_bytes: counters(registry, "http_unpacked_bytes_total", "Bytes of bodies once unpacked", &["source"]),
            actions_refused: counters(
                registry,
                "http_actions_refused_total",
                "Actions of bulk requests that were answered with an error of their own",
                &["source"],
            ),
            in_flight: gauges(registry, "http_requests_in_flight", "Requests that are being answered now", &["source"]),
            answer_seconds,
        }
    }

    pub(super) fn of(&self, source: &str) -> HttpMetrics {
        HttpMetrics {
            requests: STATUSES.iter().map(|status| self.requests.with_label_values(&[source, &status.to_string()])).collect(),
            packed_bytes: self.packed_bytes.with_label_values(&[source]),
            unpacked_bytes: self.unpacked_bytes.with_label_values(&[source]),
            actions_refused: self.actions_refused.with_label_values(&[source]),
            in_flight: self.in_flight.with_label_values(&[source]),
            answer_seconds: self.answer_seconds.with_label_values(&[source]),
        }
    }
}

impl HttpMetrics {
    /// Counts a request that has been answered with this status.
    pub fn answered(&self, status: u16) {
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        self.requests[at].inc();
    }

    /// Adds the bytes of a body, as they came and once unpacked.
    pub fn body(&self, packed: u64, unpacked: u64) {
        self.packed_bytes.inc_by(packed);
        self.unpacked_bytes.inc_by(unpacked);
    }

    /// Adds actions of a bulk request that were refused while others were taken.
    pub fn actions_refused(&self, count: u64) {
        self.actions_refused.inc_by(count);
    }

    /// Adds how long the sender of a whole body has waited for its answer.
    pub fn took(&self, time: Duration) {
        self.answer_seconds.observe(time.as_secs_f64());
    }

    /// A request begins.
    pub fn begins(&self) -> InFlight {
        self.in_flight.inc();
        InFlight { gauge: self.in_flight.clone() }
    }
}
