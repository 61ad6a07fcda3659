//! The counters of what is read from files that may change.

use prometheus::IntCounter;

/// The counters of something that is read from files and read again when they change.
#[derive(Clone, Debug)]
pub struct LookupMetrics {
    pub(super) loaded: IntCounter,
    pub(super) refused: IntCounter,
}

impl LookupMetrics {
    /// Counts a changed file that has taken effect.
    pub fn loaded(&self) {
        self.loaded.inc();
    }

    /// Counts a changed file that could not be used.
    pub fn refused(&self) {
        self.refused.inc();
    }
}
