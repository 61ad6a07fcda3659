//! The tenants' shares of the buffer: who holds more than that takes nothing more in until sinks have let some of it go.
//!
//! What was in the buffer when the process began is nobody's: it takes room away from all alike.

use std::sync::Mutex;
use std::sync::MutexGuard;

use tokio::sync::Notify;

use super::ledger::Ledger;
use super::plan::percent_of;
use crate::buffer::Buffer;
use crate::seq::Seq;

/// Who holds how much of a buffer.
#[derive(Debug)]
pub(super) struct Shares {
    buffer: Buffer,
    ledger: Mutex<Ledger>,
    /// Somebody waits for a share.
    asked: Notify,
}

impl Shares {
    pub(super) fn new(buffer: Buffer) -> Self {
        let ledger = Ledger::new(buffer.fill().bytes_max);
        Self { buffer, ledger: Mutex::new(ledger), asked: Notify::new() }
    }

    /// A tenant's entry has been appended.
    pub(super) fn appended(&self, tenant: u32, seq: Seq, bytes: u64) {
        let first = self.buffer.fill().first;
        let mut ledger = self.lock();
        ledger.append(tenant, seq.0, bytes);
        ledger.let_go(first.0);
    }

    /// Bytes a tenant holds.
    pub(super) fn held(&self, tenant: u32) -> u64 {
        let first = self.buffer.fill().first;
        let mut ledger = self.lock();
        ledger.let_go(first.0);
        ledger.held(tenant)
    }

    /// Whether a tenant holds more than its share: that many percent, or as much as is free.
    pub(super) fn is_over(&self, tenant: u32, percent: Option<u32>) -> bool {
        let fill = self.buffer.fill();
        let mut ledger = self.lock();
        ledger.let_go(fill.first.0);
        let share = match percent {
            Some(percent) => percent_of(fill.bytes_max, percent),
            None => fill.bytes_max.saturating_sub(fill.bytes),
        };
        ledger.held(tenant) > share
    }

    /// Says that somebody waits for its share.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Waits until somebody does.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while counting bytes")
    }
}
