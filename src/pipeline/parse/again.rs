//! A rejected line once more: under the id it got when it came, with what else is known of it.
//!
//! It is parsed as a line of its source is now, and stands or falls as a whole.

use std::sync::Arc;

use super::LineParser;
use crate::batch::BatchBuilder;
use crate::batch::EventId;
use crate::elb::trim;
use crate::json::envelope::Received;
use crate::json::envelope::Tags;
use crate::pipeline::look::Look;
use crate::tally::Tally;

/// What is known of a line that has been here before.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Before {
    /// The id its event got.
    pub(in crate::pipeline) id: EventId,
    /// When it was received.
    pub(in crate::pipeline) received: Received,
    /// What is true of it whatever it is.
    pub(in crate::pipeline) tags: Tags,
    /// How its documents look.
    pub(in crate::pipeline) look: Arc<Look>,
    /// Whether it comes from a load balancer's log.
    pub(in crate::pipeline) is_log: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is one document or several.
    Documents,
    /// It is good, and a rule drops it.
    Dropped,
    /// No parser takes it, or not all of it, or there is no event in it.
    Rejected,
}

impl LineParser {
    /// Parses a line, whose secrets are replaced already, once more. `out` holds its documents where it has any, and nothing
    /// of use otherwise; what was in it is gone.
    pub(in crate::pipeline) fn again(&mut self, line: &[u8], before: &Before, out: &mut BatchBuilder) -> Again {
        out.clear();
        self.ids.keep(before.id);
        self.look = before.look.clone();
        self.is_log = before.is_log;
        self.tally = Tally::default();
        let Some((start, end)) = trim(line, 0, line.len()) else { return Again::Rejected };
        self.parse(line, start, end, before.tags, before.received, out);
        self.letters.clear();
        self.forget();
        if self.last_reject.take().is_some() {
            Again::Rejected
        } else if !out.is_empty() {
            Again::Documents
        } else if self.tally.dropped_by.iter().any(|lines| *lines > 0) {
            Again::Dropped
        } else {
            Again::Rejected
        }
    }
}
