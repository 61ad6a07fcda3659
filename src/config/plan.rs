//! What was decided: everything the relay needs to start, with nothing left to parse and nothing left to choose.

use std::fmt;

use crate::admin::AdminPlan;
use crate::buffer::BufferPlan;
use crate::config::report::Report;
use crate::event_id::IdKey;
use crate::pipeline::parse::ParsePlan;
use crate::sink::SinkPlan;
use crate::source::tcp::TcpSourcePlan;

/// The whole configuration as decided. Its `Display` is what `elbow check` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Most bytes of log data held in memory at once, wherever they are.
    pub memory_bytes_max: u64,
    /// The buffer.
    pub buffer: BufferPlan,
    /// The admin listener; `None` when it is switched off.
    pub admin: Option<AdminPlan>,
    /// The sources, in the order of the file; at least one.
    pub sources: Vec<SourcePlan>,
    /// The sinks, in the order of the file; at least one.
    pub sinks: Vec<SinkPlan>,
    /// The key event ids are computed under.
    pub id_key: IdKey,
    /// Every setting, for people.
    pub report: Report,
}

/// A source and what becomes of its lines, as decided.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePlan {
    /// Where lines come from.
    pub tcp: TcpSourcePlan,
    /// How they become documents.
    pub parse: ParsePlan,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)
    }
}
