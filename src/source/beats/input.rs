//! What a connection reads into, and how much it may read and parse at once.
//!
//! It decides nothing about what is read.

use std::cell::RefCell;
use std::io;

use crate::intake::Intake;
use crate::net::stream::Stream;
use crate::source::Feed;

/// Bytes read at once, and most bytes of lines that are parsed at once. The cost is spread over some hundred lines, and lines
/// and documents stay in the cache.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Fewest bytes of lines parsed at once, whatever they may become.
const LINES_BYTES_MIN: usize = 4096;

/// Steps that the budget has room for beside one another, whatever their lines are.
const STEPS_AT_ONCE: u64 = 8;

/// Most memory admitted for one step.
const ADMISSION_BYTES_MAX: u64 = 16 * 1024 * 1024;

thread_local! {
    /// A read buffer for whoever reads next.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A fair part of the budget. It is far less than the budget, or a step would wait until nothing is held.
pub(super) struct Share {
    /// Bytes of lines to parse at once: fewer where the smallest ones would become more than a fair part.
    pub(super) lines_bytes: usize,
    /// Memory admitted for them.
    pub(super) memory_bytes: u64,
}

impl Share {
    pub(super) fn of(intake: &Intake, feed: &impl Feed) -> Self {
        let fair = (intake.bytes_max() / STEPS_AT_ONCE).min(ADMISSION_BYTES_MAX);
        let full = feed.admission_bytes(READ_BYTES).max(1);
        let bytes = (READ_BYTES as u64).saturating_mul(fair) / full;
        let lines_bytes = usize::try_from(bytes).unwrap_or(READ_BYTES).clamp(LINES_BYTES_MIN, READ_BYTES);
        Self { lines_bytes, memory_bytes: feed.admission_bytes(lines_bytes).min(fair) }
    }
}

/// Bytes that have been read and not been taken by the protocol yet; nothing is held while there are none.
#[derive(Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Input {
    /// Bytes of memory held.
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What is left.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.taken..self.filled]
    }

    /// So much of it is done with.
    pub(super) fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken == self.filled {
            INPUT.set(std::mem::take(&mut self.buffer));
            (self.taken, self.filled) = (0, 0);
        }
    }

    /// One read into a buffer that was empty.
    pub(super) fn fill(&mut self, stream: &mut Stream) -> io::Result<usize> {
        self.buffer = INPUT.take();
        self.buffer.resize(READ_BYTES, 0);
        let result = stream.try_read(&mut self.buffer);
        self.filled = *result.as_ref().unwrap_or(&0);
        if self.filled == 0 {
            self.take(0);
        }
        result
    }
}
