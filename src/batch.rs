//! Finished documents in one allocation, and what the buffer keeps beside each of them.
//!
//! A batch is written once, by [`BatchBuilder`], and from then on only referred to: sinks frame its bytes, never copy
//! them. It refuses to know what is inside.

mod origin;

use std::sync::Arc;

use bytes::Bytes;

pub use crate::batch::origin::Origin;
use crate::json::writer::SLACK;
use crate::json::writer::Writer;

/// Microseconds since 1970-01-01T00:00:00Z.
pub type Micros = i64;

/// The id an event keeps for life: 128 bits, written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// The 32 hexadecimal digits.
    #[inline(always)]
    pub fn hex(self) -> [u8; 32] {
        const PAIRS: [[u8; 2]; 256] = hex_pairs();
        let mut text = [0; 32];
        for (to, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *to = PAIRS[usize::from(byte)];
        }
        text
    }
}

const fn hex_pairs() -> [[u8; 2]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut at = 0;
    while at < 256 {
        pairs[at] = [DIGITS[at >> 4], DIGITS[at & 15]];
        at += 1;
    }
    pairs
}

/// What is kept beside one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Offset behind the document's newline, in bytes from the start of the batch.
    pub end: u32,
    /// The event's id.
    pub id: EventId,
    /// The event's own time; the receive time where it has none.
    pub time: Micros,
    /// What it was made from; none where an earlier version stored it, which did not note that.
    pub origin: Option<Origin>,
}

/// There is one for each document in memory and on disk.
const _: () = assert!(size_of::<Mark>() == 32);

/// Where a batch came from, as an index into the plan's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SourceId(pub u16);

/// Many documents in one allocation, each ended by a newline.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The documents. Dropping the last reference gives the memory back.
    pub docs: Bytes,
    /// One mark per document, in order.
    pub marks: Box<[Mark]>,
    /// The source all of them came through.
    pub source: SourceId,
    /// When they were received.
    pub received: Micros,
    /// The tenant all of them are; none where they are nobody's.
    pub tenant: Option<Arc<str>>,
    /// The sink that all of them are for; none where every sink is to have them that wants them.
    pub sink: Option<Arc<str>>,
    /// Whether these are lines that no parser took and that are kept apart.
    pub is_rejects: bool,
}

impl Batch {
    /// Number of documents.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Bytes the batch holds in memory.
    pub fn bytes(&self) -> usize {
        self.docs.len() + size_of_val::<[Mark]>(&self.marks) + ALONE_BYTES
    }

    /// The documents one by one, newline included.
    pub fn documents(&self) -> impl Iterator<Item = (&[u8], &Mark)> {
        let mut start = 0;
        self.marks.iter().map(move |mark| {
            let end = mark.end as usize;
            let document = &self.docs[start..end];
            start = end;
            (document, mark)
        })
    }
}

/// What a batch costs beside its documents and marks: allocations, reference counts, its place in the buffer. Of a
/// batch of one small document that is the larger part.
pub const ALONE_BYTES: usize = 256;

/// Collects documents until they become a [`Batch`].
///
/// Its bytes are initialised once and reused, so that the writer can copy in fixed steps.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    buf: Vec<u8>,
    at: usize,
    marks: Vec<Mark>,
}

impl BatchBuilder {
    /// Starts in a buffer used before; its length, not its content, matters.
    pub fn new(buf: Vec<u8>) -> Self {
        // An ALB document takes about 1.3 kB; a batch with more of them grows once.
        let marks = Vec::with_capacity(buf.len() / 1024);
        Self { buf, at: 0, marks }
    }

    /// Bytes of finished documents.
    pub fn bytes(&self) -> usize {
        self.at
    }

    /// Bytes of memory its documents stand in.
    pub fn capacity(&self) -> usize {
        self.buf.len()
    }

    /// Number of finished documents.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether nothing has been finished yet.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The marks of the finished documents.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// A writer behind the last finished document with room for `bound` bytes; grows the buffer where it must.
    ///
    /// What it writes counts only after [`finish`](Self::finish): a writer that is dropped leaves no trace.
    #[inline(always)]
    pub fn writer(&mut self, bound: usize) -> Writer<'_> {
        let need = self.at + bound + SLACK;
        if need > self.buf.len() {
            self.grow(need);
        }
        Writer::new(&mut self.buf, self.at)
    }

    #[cold]
    fn grow(&mut self, need: usize) {
        self.buf.resize(need.max(self.buf.len() * 3 / 2), 0);
    }

    /// Takes the document that ends at `end` (a writer's [`at`](Writer::at)), whose newline has been written.
    ///
    /// # Panics
    /// When the batch is 4 GiB long; it is cut long before.
    #[inline(always)]
    pub fn finish(&mut self, end: usize, id: EventId, time: Micros, origin: Option<Origin>) {
        debug_assert!(end > self.at && self.buf[end - 1] == b'\n', "a document ends in a newline");
        self.marks.push(Mark { end: u32::try_from(end).expect("a batch is cut at its limit"), id, time, origin });
        self.at = end;
    }

    /// Ends the batch. `own` turns the buffer and the number of bytes used in it into shared bytes.
    pub fn build(self, source: SourceId, received: Micros, own: impl FnOnce(Vec<u8>, usize) -> Bytes) -> Batch {
        let docs = own(self.buf, self.at);
        Batch { docs, marks: self.marks.into_boxed_slice(), source, received, is_rejects: false, tenant: None, sink: None }
    }

    /// Gives the buffer back, whatever stands in it.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buf
    }

    /// The finished documents as text.
    pub fn documents(&self) -> &[u8] {
        &self.buf[..self.at]
    }

    /// Starts again, keeping the memory.
    pub fn clear(&mut self) {
        self.at = 0;
        self.marks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_writer_leaves_no_trace() {
        let mut builder = BatchBuilder::default();
        builder.writer(10).raw(b"lost");
        let mut writer = builder.writer(10);
        writer.raw(b"{}\n");
        let end = writer.at();
        builder.finish(end, EventId([0xab; 16]), 5, Some(Origin::Json));
        let batch = builder.build(SourceId(1), 6, |mut buf, used| {
            buf.truncate(used);
            Bytes::from(buf)
        });
        let documents: Vec<_> = batch.documents().collect();
        assert_eq!(documents, [(&b"{}\n"[..], &Mark { end: 3, id: EventId([0xab; 16]), time: 5, origin: Some(Origin::Json) })]);
    }

    #[test]
    fn an_id_is_written_as_hexadecimal_digits() {
        let id = EventId([0, 1, 0x7f, 0x80, 0xff, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xf0]);
        assert_eq!(&id.hex(), b"00017f80ff05060708090a0b0c0d0ef0");
    }
}
