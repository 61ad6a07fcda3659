//! How far a sender that is told nothing is read ahead of what is stored.
//!
//! What has been read and not stored is lost to such a sender when the process dies, and TCP has told it that all is well. So
//! there is little of it, however slow the storage is; the rest waits in the kernel and with the sender. It answers nobody.

use std::collections::VecDeque;

use crate::buffer::Receipt;
use crate::source::allowance::READ_BYTES;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// Reads that may be on their way to the disk: 256 KiB of lines.
const READS_MAX: usize = 256 * 1024 / READ_BYTES;

/// The receipts of the last reads.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    receipts: VecDeque<Receipt>,
}

impl ReadAhead {
    /// One more read, as far as it takes a while to be stored.
    pub(super) fn extend(&mut self, receipt: Option<Receipt>) {
        self.receipts.extend(receipt.filter(Receipt::is_awaited));
    }

    /// Waits until one more read is allowed; `false`: everything ends first. Abandoning it forgets at most one read.
    pub(super) async fn wait(&mut self, stop: &StopWatch) -> bool {
        let mut stop = stop.clone();
        while self.receipts.len() >= READS_MAX
            && let Some(receipt) = self.receipts.pop_front()
        {
            tokio::select! {
                // Whether it was stored or not, nobody is told; the buffer counts what it could not store.
                _ = receipt.stored() => {}
                () = stop.reached(Phase::Drain) => return false,
            }
        }
        true
    }
}
