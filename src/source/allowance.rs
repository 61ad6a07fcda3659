//! What a connection may take in: when its tenant may have more, how much memory one read is worth, and what an unfinished line
//! holds. It reads nothing.

use super::Feed;
use super::Passed;
use crate::intake::IntakePermit;
use crate::tenant::TenantRef;
use crate::tenant::Visit;

/// Bytes read at once. The cost of a read is spread over some hundred lines, and lines and documents stay in the cache.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Fewest bytes read at once, whatever they may become: some lines, so that a connection of one line takes one read.
const READ_BYTES_MIN: usize = 4096;

/// Reads that the budget has room for beside one another, whatever their lines are.
const READS_AT_ONCE: u64 = 8;

/// Most memory admitted for one read.
const ADMISSION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// An unfinished line up to this size is always kept; ordinary log lines are shorter.
const SMALL_LINE_BYTES: u64 = 8 * 1024;

/// A connection's part of what its tenant may use.
#[derive(Debug)]
pub(super) struct Allowance {
    visit: Visit,
    /// Whose the connection was after the last read.
    tenant: TenantRef,
    /// What the unfinished line holds.
    held: Option<IntakePermit>,
    /// The same, of the part for unfinished lines.
    held_large: Option<IntakePermit>,
}

impl Allowance {
    pub(super) fn new(visit: Visit) -> Self {
        Self { tenant: visit.tenant(), visit, held: None, held_large: None }
    }

    /// Whose the connection is.
    pub(super) fn tenant(&self) -> &TenantRef {
        &self.tenant
    }

    /// Memory to be admitted for one read.
    pub(super) fn admission_bytes(&self, feed: &impl Feed) -> u64 {
        feed.admission_bytes(self.read_bytes(feed)).min(self.fair_bytes())
    }

    /// Admits a read that needs so many bytes, if nothing has to be waited for.
    pub(super) fn try_admit(&self, bytes: u64) -> Option<IntakePermit> {
        if self.tenant.is_ready() { self.tenant.intake().try_admit(bytes) } else { None }
    }

    /// Waits until the tenant may have more and there is memory for it. Abandoning the wait holds nothing.
    pub(super) async fn admit(&self, bytes: u64) -> IntakePermit {
        self.tenant.ready().await;
        self.tenant.intake().admit(bytes).await
    }

    /// Bytes to read at once: fewer where the smallest lines would become more than a fair part of the budget.
    pub(super) fn read_bytes(&self, feed: &impl Feed) -> usize {
        let full = feed.admission_bytes(READ_BYTES).max(1);
        let bytes = (READ_BYTES as u64).saturating_mul(self.fair_bytes()) / full;
        usize::try_from(bytes).unwrap_or(READ_BYTES).clamp(READ_BYTES_MIN, READ_BYTES)
    }

    /// Most memory admitted for one read. It is far less than the budget, or a read would wait until nothing is held.
    fn fair_bytes(&self) -> u64 {
        (self.tenant.intake().bytes_max() / READS_AT_ONCE).min(ADMISSION_BYTES_MAX)
    }

    /// So much has been read. It may have said whose it is.
    pub(super) fn took(&mut self, bytes: usize, passed: &Passed) {
        self.tenant = self.visit.tenant();
        self.tenant.took(bytes as u64, passed.accepted + passed.rejected);
    }

    /// Keeps of the permit what an unfinished line of so many bytes needs, and what stands beside it in memory, and gives the
    /// rest back; `false`: there is no memory for such a line.
    pub(super) fn hold(&mut self, line_bytes: usize, beside_bytes: usize, mut permit: IntakePermit) -> bool {
        let (line_bytes, all) = (line_bytes as u64, (line_bytes + beside_bytes) as u64);
        self.held = None;
        self.held_large = None;
        if all > 0 {
            self.held = Some(permit.split(all));
        }
        if line_bytes > SMALL_LINE_BYTES {
            self.held_large = self.tenant.unfinished().try_admit(line_bytes);
            return self.held_large.is_some();
        }
        true
    }

    /// Gives up what the unfinished line holds, but for what it takes to finish it.
    pub(super) fn let_go(&mut self) -> IntakePermit {
        self.held_large = None;
        self.held.take().unwrap_or_else(|| self.tenant.intake().nothing())
    }
}
