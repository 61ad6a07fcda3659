//! What was decided: everything the relay needs to start, with nothing left to parse and nothing left to choose.

use std::fmt;

use crate::config::report::Report;
use crate::pipeline::relay::RelayPlan;

/// The whole configuration as decided. Its `Display` is what `elbow check` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the relay runs on.
    pub relay: RelayPlan,
    /// Every setting, for people.
    pub report: Report,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)
    }
}
