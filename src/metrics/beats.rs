//! What only Beats sources count. Their children exist only where there is such a source.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::Registry;

use super::counters;
use crate::wire::lumberjack::Fault;

/// The families.
#[derive(Debug)]
pub(super) struct BeatsFamilies {
    windows: IntCounterVec,
    keep_alives: IntCounterVec,
    refused: IntCounterVec,
}

impl BeatsFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let name = |name| format!("source_beats_{name}_total");
        Self {
            windows: counters(registry, &name("windows"), "Windows of events received whole from Beats", &["source"]),
            keep_alives: counters(
                registry,
                &name("keep_alives"),
                "Signs of life given to Beats that wait for their events to be stored",
                &["source"],
            ),
            refused: counters(
                registry,
                &name("refused_connections"),
                "Connections of Beats closed for what they sent, by reason",
                &["source", "reason"],
            ),
        }
    }

    pub(super) fn of(&self, source: &str) -> BeatsMetrics {
        BeatsMetrics {
            windows: self.windows.with_label_values(&[source]),
            keep_alives: self.keep_alives.with_label_values(&[source]),
            refused: Fault::ALL.map(|fault| self.refused.with_label_values(&[source, fault.label()])).to_vec(),
        }
    }
}

/// The counters of one Beats source.
#[derive(Clone, Debug)]
pub struct BeatsMetrics {
    windows: IntCounter,
    keep_alives: IntCounter,
    refused: Vec<IntCounter>,
}

impl BeatsMetrics {
    /// Adds windows that have come whole.
    pub fn windows(&self, windows: u64) {
        if windows > 0 {
            self.windows.inc_by(windows);
        }
    }

    /// Counts a sender that has waited and is told that there is life.
    pub fn waited(&self) {
        self.keep_alives.inc();
    }

    /// Counts a connection that is closed for what came over it.
    pub fn refused(&self, fault: Fault) {
        self.refused[fault as usize].inc();
    }
}
