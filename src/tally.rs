//! What became of the lines of a read, counted where they are parsed and added to the metrics by whoever called.

use crate::batch::Origin;
use crate::elb::format::Kind;
use crate::redact::Finding;
use crate::redact::Rule;

/// What became of lines since the tally was last emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events, by what they were; what was dropped is among them.
    pub events: [u64; Origin::ALL.len()],
    /// Lines no parser took, by reason.
    pub rejects: [u64; REASONS.len()],
    /// Of these, how many were dropped because the source says so.
    pub dropped: u64,
    /// Lines of nothing or spaces.
    pub blank: u64,
    /// Control messages of AWS.
    pub control: u64,
    /// Preambles.
    pub preambles: u64,
    /// Members of preambles that were not taken.
    pub preamble_members_ignored: u64,
    /// Members of events and fields of preambles that were left out, because the tenant has fields of their names.
    pub overridden: u64,
    /// Lines cut at the limit.
    pub cut: u64,
    /// Lines with fields AWS has not told us about, by shape.
    pub unknown_fields: Vec<Longer>,
    /// Events dropped by each rule of the source, as far as one has dropped any.
    pub dropped_by: Vec<u64>,
    /// Secrets replaced, by rule.
    pub redactions: [u64; Rule::ALL.len()],
    /// Events whose own time is none.
    pub bad_times: u64,
    /// Events whose bytes had to be repaired.
    pub invalid_utf8: u64,
}

/// Lines with more fields than are known: the same kind and the same number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longer {
    /// The kind.
    pub kind: Kind,
    /// Tokens on the line.
    pub tokens: usize,
    /// How many such lines there were.
    pub lines: u64,
}

/// The words for rejects in metrics: those of load-balancer lines, and one for JSON.
pub const REASONS: [&str; 5] =
    ["unterminated_quote", "too_few_fields", "misaligned_fields", "unrecognised_format", "invalid_json"];

impl Tally {
    /// All events, dropped ones included.
    pub fn received(&self) -> u64 {
        self.events.iter().sum()
    }

    /// Counts an event.
    #[inline(always)]
    pub fn event(&mut self, origin: Origin) {
        self.events[origin as usize] += 1;
    }

    /// Counts an event that a rule drops.
    #[cold]
    pub fn dropped_by(&mut self, rule: usize) {
        if self.dropped_by.len() <= rule {
            self.dropped_by.resize(rule + 1, 0);
        }
        self.dropped_by[rule] += 1;
    }

    /// Counts secrets that were replaced.
    pub fn redacted(&mut self, secrets: &[Finding]) {
        for secret in secrets {
            self.redactions[secret.rule as usize] += 1;
        }
    }

    /// Counts a line with fields that have no name.
    #[cold]
    pub fn longer(&mut self, kind: Kind, unknown_fields: usize) {
        // Beyond this the exact number says nothing any more, and every number would be another series of a metric.
        const TOKENS_MAX: usize = 64;
        let tokens = (kind.format().fields.len() + unknown_fields).min(TOKENS_MAX);
        match self.unknown_fields.iter_mut().find(|longer| longer.kind == kind && longer.tokens == tokens) {
            Some(longer) => longer.lines += 1,
            None => self.unknown_fields.push(Longer { kind, tokens, lines: 1 }),
        }
    }

    /// Counts a reject by its word.
    pub fn reject(&mut self, reason: &str) {
        let at = REASONS.iter().position(|&known| known == reason).unwrap_or(REASONS.len() - 1);
        self.rejects[at] += 1;
    }
}
