//! What a connection reads into.
//!
//! It decides nothing about what is read.

use std::cell::RefCell;
use std::io;

use crate::net::stream::Stream;
use crate::source::allowance::READ_BYTES;

thread_local! {
    /// A read buffer for whoever reads next.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
