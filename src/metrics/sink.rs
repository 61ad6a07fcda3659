//! What sinks show of themselves. All of it is copied when somebody asks.

use prometheus::IntCounterVec;
use prometheus::IntGaugeVec;
use prometheus::Registry;

use super::counters;
use super::gauges;
use super::raise;
use super::signed;

/// Figures of a sink at one moment.
#[derive(Clone, Debug, Default)]
pub struct SinkFigures {
    /// The sink's name.
    pub name: String,
    /// Events delivered.
    pub delivered: u64,
    /// Events not delivered yet.
    pub buffered: u64,
    /// Events it had left when the buffer was opened.
    pub restored: u64,
    /// Events it can never have.
    pub lost: u64,
    /// Events its destination has refused for good.
    pub refused: u64,
    /// Those of them that are nowhere any more.
    pub refused_dropped: u64,
    /// Events that were given up because the buffer was full.
    pub given_up: u64,
    /// Those of them that are nowhere any more.
    pub given_up_dropped: u64,
    /// Events it was not to have.
    pub skipped: u64,
    /// Events sent again.
    pub retried: u64,
    /// Bytes written, those written again included.
    pub written_bytes: u64,
    /// Connections made; none for sinks that have none.
    pub connections: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Whether it is taking documents.
    pub up: bool,
    /// Each condition a sink can be in, and whether it is in that.
    pub conditions: Vec<(&'static str, bool)>,
}

/// The families of sinks.
#[derive(Debug)]
pub(super) struct SinkFamilies {
    counters: [IntCounterVec; 9],
    dropped: IntCounterVec,
    buffered: IntGaugeVec,
    restored: IntGaugeVec,
    up: IntGaugeVec,
    condition: IntGaugeVec,
}

impl SinkFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| counters(registry, name, help, &["sink"]);
        let gauge = |name: &str, help: &str| gauges(registry, name, help, &["sink"]);
        Self {
            counters: [
                counter("sink_delivered_events_total", "Events the sink has delivered, each counted once"),
                counter("sink_retried_events_total", "Events sent again after a failure"),
                counter("sink_written_bytes_total", "Bytes written, those written again included"),
                counter("sink_connections_total", "Connections made"),
                counter("sink_failures_total", "Attempts that failed"),
                counter(
                    "sink_lost_events_total",
                    "Events the sink can never have: the buffer's files had them damaged or missing",
                ),
                counter("sink_refused_events_total", "Events the destination has refused for good"),
                counter("sink_given_up_events_total", "Events that were given up because the buffer was full"),
                counter("sink_skipped_events_total", "Events the sink was not to have"),
            ],
            dropped: counters(
                registry,
                "sink_dropped_events_total",
                "Refused events, and events that were given up, that are no dead letters, by reason",
                &["sink", "reason"],
            ),
            buffered: gauge("sink_buffered_events", "Events the sink has not delivered yet"),
            restored: gauge("sink_restored_events", "Events the buffer held for the sink when the relay started"),
            up: gauge("sink_up", "Whether the sink is taking documents"),
            condition: gauges(registry, "sink_condition", "1 for the condition the sink is in", &["sink", "condition"]),
        }
    }

    pub(super) fn copy(&self, sink: &SinkFigures) {
        let counts = [
            sink.delivered,
            sink.retried,
            sink.written_bytes,
            sink.connections,
            sink.failures,
            sink.lost,
            sink.refused,
            sink.given_up,
            sink.skipped,
        ];
        for (family, count) in self.counters.iter().zip(counts) {
            raise(&family.with_label_values(&[&sink.name]), count);
        }
        for (reason, count) in [("refused", sink.refused_dropped), ("buffer_full", sink.given_up_dropped)] {
            raise(&self.dropped.with_label_values(&[sink.name.as_str(), reason]), count);
        }
        for (family, level) in [(&self.buffered, sink.buffered), (&self.restored, sink.restored), (&self.up, u64::from(sink.up))]
        {
            family.with_label_values(&[&sink.name]).set(signed(level));
        }
        for (condition, is_in) in &sink.conditions {
            self.condition.with_label_values(&[&*sink.name, condition]).set(i64::from(*is_in));
        }
    }
}
