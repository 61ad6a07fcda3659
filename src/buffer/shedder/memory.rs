//! Giving up entries in memory, where they lie ready.

use std::sync::Arc;

use super::Piece;
use super::Shed;
use crate::buffer::Yields;
use crate::buffer::memory::Memory;

/// The right to give up a sink's oldest entries in memory.
#[derive(Debug)]
pub(in crate::buffer) struct OfMemory {
    memory: Arc<Memory>,
    sink: usize,
    /// Number behind the last entry that was read.
    to: u64,
}

impl OfMemory {
    pub(in crate::buffer) fn new(memory: Arc<Memory>, sink: usize, yields: Yields) -> Self {
        memory.let_shed(sink, Some(yields));
        Self { memory, sink, to: 0 }
    }

    pub(super) async fn next(&mut self) -> Piece {
        loop {
            if let Some(entries) = self.memory.asked(self.sink) {
                self.to = entries.last().map_or(0, |last| last.seq.0 + 1);
                return Piece { entries, is_first: true, is_last: true };
            }
            // Abandoned here, what is asked leaves a wake-up behind that only makes the next call look twice.
            self.memory.asking(self.sink).await;
        }
    }

    pub(super) fn shed(&mut self, told: impl FnOnce(Shed)) {
        self.memory.shed(self.sink, self.to, |passed| told(Shed { from: passed.from, to: passed.to }));
    }
}

impl Drop for OfMemory {
    fn drop(&mut self) {
        self.memory.let_shed(self.sink, None);
    }
}
