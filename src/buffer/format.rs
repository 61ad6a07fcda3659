//! The bytes of data files, version 1: what stands where, and how it is told whether it is what was written.
//!
//! All numbers are little-endian. A file is a row of blocks of 4 KiB; a header and each frame begin at one. Nothing here
//! reads or writes files, and nothing panics on bytes that are wrong.
//!
//! ```text
//! segment-NNNNNNNNNNNNNNNNNNNN (its number in 20 decimal digits)
//!
//! ├ header, 4 KiB ┤├ frame, padded to 4 KiB ┤├ frame ┤├ frame ┤ … bytes of no meaning
//!
//! segment header                       frame header, 64 bytes               payload: for each entry
//!  0  8 "ELBOWSEG"                      0  8 marker                          0  4 bytes of its documents
//!  8  4 version                         8  4 payload bytes                   4  4 events
//! 12  4 zero                           12  4 entries                         8  8 receive time, µs since 1970
//! 16 16 buffer's UUID                  16  8 seq of the first entry         16  1 bytes of the source's name
//! 32  8 number                         24  8 events before it               17  1 bytes of the tenant's name
//! 40  8 first new seq                  32  8 bytes before it                18  1 bytes of the sink's name
//! 48  8 events before it               40  8 seq below which all is synced  19  1 1: rejected lines, 12 zeros
//! 56  8 bytes before it                48  4 events                         32    names, zeros up to a multiple of 8
//! 64  4 CRC of 0–63                    52  4 flags: zero                          marks, 32 bytes an event:
//!       zeros up to 4096               56  4 CRC of the payload                    0  4 end of its document
//!                                      60  4 CRC of 0–59                           4  1 origin, 3 zeros
//!                                      64    payload, zeros up to 4096             8  8 event time, µs since 1970
//!                                                                                 16 16 event id
//!                                                                                 documents, zeros up to a multiple of 8
//!
//! checkpoint: two slots of 8 KiB, written in turn
//!  0  8 "ELBOWCHK"    32  8 epoch, the higher slot counts    64  4 CRC of 0–63 and of the bytes from 72 on
//!  8  4 version       40  8 seq below which all is synced    68  4 bytes from 72 on
//! 12  4 sinks         48  8 events before it                 72    for each sink: 1 byte length of its name, the name,
//! 16 16 UUID          56  8 bytes before it                        8 first seq not acked, 8 events, 8 bytes before it
//! ```
//!
//! Events and bytes are counted from the first entry the buffer ever had, so that what lies between two places is known
//! without reading it. CRCs are CRC-32C (Castagnoli; of `123456789` it is `e3069283`). Those of a frame go on from the CRC of
//! UUID and segment number: a frame of a segment's earlier life, or of another buffer, is no frame. A sink's name in an
//! entry says that the entry is for that sink alone. An origin is 0 where it is not known, as in files of before there were
//! origins; otherwise it says what the document was made from: 1 an ALB access log, 2 a Classic one, 3 an NLB one, 4 an ALB
//! connection log, 5 an ALB health-check log, 6 JSON, 7 text, 8 a line that no parser took.

use crc32c::crc32c;
use crc32c::crc32c_append;

/// Version of everything here.
pub const VERSION: u32 = 1;

/// Headers and frames begin at multiples of this.
pub const BLOCK: u64 = 4096;

/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 64;

/// Stands at the beginning of every frame. No text has these bytes.
pub const MARKER: [u8; 8] = *b"\xe1BoW\x00frm";

const SEGMENT_MAGIC: [u8; 8] = *b"ELBOWSEG";

/// What a buffer calls itself, so that its files are told from another one's.
pub type Uuid = [u8; 16];

/// A place in the sequence, and what lies before it since the buffer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Number of the entry behind the place.
    pub seq: u64,
    /// Events before it.
    pub event: u64,
    /// Bytes before it, as payloads count them.
    pub byte: u64,
}

impl Point {
    /// The place behind one more entry.
    #[must_use]
    pub fn behind(self, events: u64, bytes: u64) -> Self {
        let Self { seq, event, byte } = self;
        Self { seq: seq.saturating_add(1), event: event.saturating_add(events), byte: byte.saturating_add(bytes) }
    }

    /// The larger of each; two places of one sequence are ordered alike in all three.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        Self { seq: self.seq.max(other.seq), event: self.event.max(other.event), byte: self.byte.max(other.byte) }
    }

    fn put(self, out: &mut [u8]) {
        out[..8].copy_from_slice(&self.seq.to_le_bytes());
        out[8..16].copy_from_slice(&self.event.to_le_bytes());
        out[16..24].copy_from_slice(&self.byte.to_le_bytes());
    }

    fn take(bytes: &[u8]) -> Self {
        Self { seq: u64_at(bytes, 0), event: u64_at(bytes, 8), byte: u64_at(bytes, 16) }
    }
}

/// What the CRCs of a segment's frames go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// The seed of a segment of this buffer.
    pub fn new(uuid: &Uuid, number: u64) -> Self {
        Self(crc32c_append(crc32c(uuid), &number.to_le_bytes()))
    }

    /// The CRC of bytes that come in pieces.
    pub fn crc<'b>(self, pieces: impl IntoIterator<Item = &'b [u8]>) -> u32 {
        pieces.into_iter().fold(self.0, crc32c_append)
    }
}

/// The number at these four bytes.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The number at these eight bytes.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Something else stands there, or it was damaged.
    Damaged,
    /// A later version of this program wrote it.
    Newer(u32),
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The buffer it belongs to.
    pub uuid: Uuid,
    /// Its number.
    pub number: u64,
    /// Where new entries begin; before them there may be copies of what the segment before it ended with.
    pub first: Point,
}

impl SegmentHeader {
    /// Bytes that say something.
    pub const BYTES: usize = 68;

    /// Its block.
    pub fn encode(&self) -> [u8; BLOCK as usize] {
        let mut block = [0; BLOCK as usize];
        block[..8].copy_from_slice(&SEGMENT_MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..32].copy_from_slice(&self.uuid);
        block[32..40].copy_from_slice(&self.number.to_le_bytes());
        self.first.put(&mut block[40..64]);
        let crc = crc32c(&block[..64]);
        block[64..68].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads the first bytes of a segment.
    ///
    /// # Errors
    /// When there is no such header.
    pub fn decode(bytes: &[u8]) -> Result<Self, Wrong> {
        if bytes.len() < Self::BYTES || bytes[..8] != SEGMENT_MAGIC || crc32c(&bytes[..64]) != u32_at(bytes, 64) {
            return Err(Wrong::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(Wrong::Newer(version));
        }
        let uuid = bytes[16..32].try_into().expect("sixteen bytes");
        Ok(Self { uuid, number: u64_at(bytes, 32), first: Point::take(&bytes[40..64]) })
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes behind it, padding aside.
    pub payload_bytes: u32,
    /// Entries in it; at least one.
    pub entries: u32,
    /// Where its first entry stands.
    pub first: Point,
    /// Events in it.
    pub events: u32,
    /// Number below which everything was durable when it was written.
    pub durable_seq: u64,
    /// CRC of the payload.
    pub payload_crc: u32,
}

impl FrameHeader {
    /// Its bytes, in a segment with this seed.
    pub fn encode(&self, seed: Seed) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        bytes[..8].copy_from_slice(&MARKER);
        bytes[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.entries.to_le_bytes());
        self.first.put(&mut bytes[16..40]);
        bytes[40..48].copy_from_slice(&self.durable_seq.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.events.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = seed.crc([&bytes[..60]]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None`: there is none of this segment.
    pub fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        if bytes.len() < FRAME_HEADER || bytes[..8] != MARKER || seed.crc([&bytes[..60]]) != u32_at(bytes, 60) {
            return None;
        }
        Some(Self {
            payload_bytes: u32_at(bytes, 8),
            entries: u32_at(bytes, 12),
            first: Point::take(&bytes[16..40]),
            events: u32_at(bytes, 48),
            durable_seq: u64_at(bytes, 40),
            payload_crc: u32_at(bytes, 56),
        })
    }

    /// Where the frame's last entry ends.
    pub fn end(&self) -> Point {
        let Point { seq, event, byte } = self.first;
        Point {
            seq: seq.saturating_add(self.entries.into()),
            event: event.saturating_add(self.events.into()),
            byte: byte.saturating_add(self.payload_bytes.into()),
        }
    }

    /// Bytes of the frame in its file, padding included.
    pub fn frame_bytes(&self) -> u64 {
        padded(FRAME_HEADER as u64 + u64::from(self.payload_bytes))
    }
}

/// So many bytes and zeros up to the next block.
pub fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// The name of a segment's file.
pub fn segment_name(number: u64) -> String {
    format!("segment-{number:020}")
}

/// The number of the segment with this name; `None`: it is no segment.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Marks of sinks, and how far the data goes: everything the segments do not know themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The buffer it belongs to.
    pub uuid: Uuid,
    /// Grows with each one written.
    pub epoch: u64,
    /// Everything before it is durable.
    pub durable: Point,
    /// By name of sink: where the first entry stands that it has not acked.
    pub marks: Vec<(String, Point)>,
}

/// Bytes of a checkpoint's slot.
pub const SLOT: usize = 8192;

const CHECKPOINT_MAGIC: [u8; 8] = *b"ELBOWCHK";
const CHECKPOINT_HEAD: usize = 72;

/// Sinks whose marks have room, with the longest of names.
pub const SINKS_MAX: usize = (SLOT - CHECKPOINT_HEAD) / (1 + 64 + 24);

impl Checkpoint {
    /// Its slot.
    ///
    /// # Panics
    /// When there are more than [`SINKS_MAX`] sinks, or a name is longer than 64 bytes; neither is configured.
    pub fn encode(&self) -> Vec<u8> {
        let mut slot = vec![0; CHECKPOINT_HEAD];
        slot[..8].copy_from_slice(&CHECKPOINT_MAGIC);
        slot[8..12].copy_from_slice(&VERSION.to_le_bytes());
        slot[12..16].copy_from_slice(&u32::try_from(self.marks.len()).expect("few sinks").to_le_bytes());
        slot[16..32].copy_from_slice(&self.uuid);
        slot[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        self.durable.put(&mut slot[40..64]);
        for (name, mark) in &self.marks {
            slot.push(u8::try_from(name.len()).expect("names are short"));
            slot.extend_from_slice(name.as_bytes());
            let at = slot.len();
            slot.resize(at + 24, 0);
            mark.put(&mut slot[at..]);
        }
        let tail = u32::try_from(slot.len() - CHECKPOINT_HEAD).expect("a slot is small");
        slot[68..72].copy_from_slice(&tail.to_le_bytes());
        let crc = crc32c_append(crc32c(&slot[..64]), &slot[CHECKPOINT_HEAD..]);
        slot[64..68].copy_from_slice(&crc.to_le_bytes());
        assert!(slot.len() <= SLOT, "marks have room in a slot");
        slot.resize(SLOT, 0);
        slot
    }

    /// Reads a slot.
    ///
    /// # Errors
    /// When there is no checkpoint in it.
    pub fn decode(slot: &[u8]) -> Result<Self, Wrong> {
        if slot.len() < CHECKPOINT_HEAD || slot[..8] != CHECKPOINT_MAGIC {
            return Err(Wrong::Damaged);
        }
        let tail = slot[CHECKPOINT_HEAD..].get(..u32_at(slot, 68) as usize).ok_or(Wrong::Damaged)?;
        if crc32c_append(crc32c(&slot[..64]), tail) != u32_at(slot, 64) {
            return Err(Wrong::Damaged);
        }
        let version = u32_at(slot, 8);
        if version != VERSION {
            return Err(Wrong::Newer(version));
        }
        let mut marks = Vec::new();
        let mut rest = tail;
        while let Some((&length, behind)) = rest.split_first() {
            let length = usize::from(length);
            let mark = behind.get(length..length + 24).ok_or(Wrong::Damaged)?;
            let name = std::str::from_utf8(&behind[..length]).map_err(|_| Wrong::Damaged)?;
            marks.push((name.to_owned(), Point::take(mark)));
            rest = &behind[length + 24..];
        }
        let uuid = slot[16..32].try_into().expect("sixteen bytes");
        Ok(Self { uuid, epoch: u64_at(slot, 32), durable: Point::take(&slot[40..64]), marks })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_crc_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    fn header() -> FrameHeader {
        let first = Point { seq: 7, event: 70, byte: 700 };
        FrameHeader { payload_bytes: 5000, entries: 2, first, events: 20, durable_seq: 7, payload_crc: 0xabcd }
    }

    #[test]
    fn a_frame_belongs_to_one_segment_of_one_buffer() {
        let seed = Seed::new(&[1; 16], 3);
        let bytes = header().encode(seed);
        assert_eq!(FrameHeader::decode(&bytes, seed), Some(header()));
        assert_eq!(FrameHeader::decode(&bytes, Seed::new(&[1; 16], 4)), None);
        assert_eq!(FrameHeader::decode(&bytes, Seed::new(&[2; 16], 3)), None);
        assert_eq!((header().end(), header().frame_bytes()), (Point { seq: 9, event: 90, byte: 5700 }, 8192));
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let segment = SegmentHeader { uuid: [1; 16], number: 3, first: Point::default() };
        let mut block = segment.encode();
        assert_eq!(SegmentHeader::decode(&block), Ok(segment));
        block[8] = 2;
        assert_eq!(SegmentHeader::decode(&block), Err(Wrong::Damaged));
        let crc = crc32c(&block[..64]);
        block[64..68].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(Wrong::Newer(2)));
    }

    #[test]
    fn names_of_segments_are_told_from_others() {
        assert_eq!(segment_number(&segment_name(42)), Some(42));
        for other in ["segment-42", "segment-0000000000000000004x", "segment-00000000000000000042.tmp", "checkpoint", ""] {
            assert_eq!(segment_number(other), None, "{other:?}");
        }
        assert_eq!(segment_number("segment-99999999999999999999"), None, "no u64");
    }

    proptest! {
        #[test]
        fn a_checkpoint_comes_back_or_is_damaged(
            names in proptest::collection::vec("[a-z]{0,64}", 0..SINKS_MAX),
            flip in 0..SLOT, bit in 0..8u32, epoch in any::<u64>(), seq in any::<u64>(),
        ) {
            let mark = Point { seq, event: seq / 2, byte: seq / 3 };
            let marks = names.into_iter().map(|name| (name, mark)).collect();
            let checkpoint = Checkpoint { uuid: [9; 16], epoch, durable: mark, marks };
            let mut slot = checkpoint.encode();
            prop_assert_eq!(Checkpoint::decode(&slot), Ok(checkpoint.clone()));
            slot[flip] ^= 1 << bit;
            let read = Checkpoint::decode(&slot);
            prop_assert!(read == Err(Wrong::Damaged) || read == Ok(checkpoint), "padding aside, every bit counts");
        }

        #[test]
        fn no_bit_of_a_header_can_flip(flip in 0..60usize, bit in 0..8u32) {
            let seed = Seed::new(&[1; 16], 3);
            let mut bytes = header().encode(seed);
            bytes[flip] ^= 1 << bit;
            prop_assert_eq!(FrameHeader::decode(&bytes, seed), None);
        }
    }
}
