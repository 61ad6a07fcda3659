//! Events that come wrapped in somebody else's protocol: an [`Envelope`] gives its lines, and a [`Feed`] makes events of them.
//!
//! It decides nothing and answers nobody.

use std::cell::RefCell;

use super::answer::Refusal;
use crate::batch::Batch;
use crate::intake::IntakePermit;
use crate::source::Feed;
use crate::source::Passed;

thread_local! {
    /// The lines of one read, per worker: between unwrapping and the end of parsing nothing is awaited.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A buffer for lines that a long one has made larger than this is given back.
const LINES_BYTES_KEPT: usize = 256 * 1024;

/// What wraps the lines of a request.
pub(super) trait Envelope: Send + 'static {
    /// Takes the bytes of one read and adds the lines that became complete to `out`.
    fn feed(&mut self, read: &[u8], out: &mut Vec<u8>);

    /// Ends the bytes.
    fn finish(&mut self, out: &mut Vec<u8>);

    /// Bytes of memory held for what has no end yet.
    fn carried_bytes(&self) -> usize {
        0
    }

    /// Bytes of memory held for the answer.
    fn remembered_bytes(&self) -> usize {
        0
    }

    /// Why the bytes are none of this kind, if so. What was handed on before stays.
    fn fault(&self) -> Option<Refusal>;
}

/// A feed for what is in an envelope.
#[derive(Debug)]
pub(super) struct Enveloped<E, F> {
    pub(super) envelope: E,
    feed: F,
}

impl<E: Envelope, F: Feed> Enveloped<E, F> {
    /// Hands what is in the envelope to this feed.
    pub(super) fn new(envelope: E, feed: F) -> Self {
        Self { envelope, feed }
    }

    /// Why the envelope is none, if so.
    pub(super) fn fault(&self) -> Option<Refusal> {
        self.envelope.fault()
    }

    fn pass(&mut self, permit: &mut IntakePermit, out: &mut Vec<Batch>, unwrap: impl FnOnce(&mut E, &mut Vec<u8>)) -> Passed {
        LINES.with_borrow_mut(|lines| {
            lines.clear();
            unwrap(&mut self.envelope, lines);
            let passed = self.feed.feed(lines, permit, out);
            lines.shrink_to(LINES_BYTES_KEPT);
            passed
        })
    }
}

impl<E: Envelope, F: Feed> Feed for Enveloped<E, F> {
    fn admission_bytes(&self, read_bytes: usize) -> u64 {
        self.feed.admission_bytes(read_bytes)
    }

    fn feed(&mut self, read: &[u8], permit: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed {
        self.pass(permit, out, |envelope, lines| envelope.feed(read, lines))
    }

    fn finish(&mut self, clean: bool, permit: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed {
        // What has no clean end has no last line either.
        let last = if clean { self.pass(permit, out, |envelope, lines| envelope.finish(lines)) } else { Passed::default() };
        let end = self.feed.finish(clean, permit, out);
        Passed {
            lines: last.lines + end.lines,
            accepted: last.accepted + end.accepted,
            rejected: last.rejected + end.rejected,
            too_long: last.too_long || end.too_long,
            refused: last.refused || end.refused,
        }
    }

    fn held_bytes(&self) -> usize {
        self.feed.held_bytes() + self.envelope.carried_bytes()
    }

    fn remembered_bytes(&self) -> usize {
        self.feed.remembered_bytes() + self.envelope.remembered_bytes()
    }
}
