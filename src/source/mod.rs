//! What takes lines in. A source knows nothing of formats or sinks: it hands bytes to a [`Feed`] and what comes out of
//! it to the buffer.

pub mod tcp;

use crate::batch::Batch;
use crate::intake::IntakePermit;

/// How far one read has brought a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Newlines passed: lines as the sender counts them, whatever has become of them.
    pub lines: u64,
    /// Whether a line has come that is too long to be taken. It and what follows it has been thrown away.
    pub too_long: bool,
}

/// What turns the bytes of one connection into batches.
pub trait Feed: Send + 'static {
    /// Most bytes of memory that the documents of a read of this many bytes take, however small its lines are; more only
    /// where bytes need escapes or a long line ends.
    fn admission_bytes(&self, read_bytes: usize) -> u64;

    /// Takes the bytes of one read, adds what became complete to `out`, on `permit`, and says how far that is.
    fn feed(&mut self, read: &[u8], permit: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed;

    /// Ends the stream. Only after a clean end does a last line without newline count; gives the number of such lines.
    fn finish(&mut self, clean: bool, permit: &mut IntakePermit, out: &mut Vec<Batch>) -> u64;

    /// Bytes of memory held for a line whose end has not come yet.
    fn held_bytes(&self) -> usize;
}
