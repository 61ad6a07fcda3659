//! What is done with letters, and how many of them had which fate. It refuses to know what is in them.

/// What is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only letters of this source.
    pub source: Option<String>,
    /// Letters that are still rejected go into the buffer as they are, too.
    pub as_is: bool,
}

/// What becomes of letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Letters whose lines are good now.
    pub good: u64,
    /// Letters that go as they are.
    pub as_is: u64,
    /// Letters whose lines are good now, and a rule drops them.
    pub dropped: u64,
    /// Letters that are still rejected, and stay.
    pub rejected: u64,
    /// Letters of sources that are not configured, which stay.
    pub of_no_source: u64,
    /// Letters about documents that a sink refused which is not configured; they stay.
    pub of_no_sink: u64,
    /// Letters of other sources than the chosen one, which stay.
    pub not_chosen: u64,
}

impl Outcome {
    /// Letters that leave.
    pub fn leaving(&self) -> u64 {
        self.good + self.as_is + self.dropped
    }

    /// Chosen letters that stay.
    pub fn staying(&self) -> u64 {
        self.rejected + self.of_no_source + self.of_no_sink
    }
}

/// What is done with a letter.
pub(super) enum Fate {
    Good,
    AsIs,
    Dropped,
    Rejected,
    OfNoSource,
    OfNoSink,
    NotChosen,
}

impl Fate {
    pub(super) fn leaves(&self) -> bool {
        matches!(self, Self::Good | Self::AsIs | Self::Dropped)
    }
}

impl Outcome {
    pub(super) fn count(&mut self, fate: &Fate) {
        *match fate {
            Fate::Good => &mut self.good,
            Fate::AsIs => &mut self.as_is,
            Fate::Dropped => &mut self.dropped,
            Fate::Rejected => &mut self.rejected,
            Fate::OfNoSource => &mut self.of_no_source,
            Fate::OfNoSink => &mut self.of_no_sink,
            Fate::NotChosen => &mut self.not_chosen,
        } += 1;
    }
}
