//! Entries to the bytes of a frame, and back.
//!
//! Documents are referred to on the way out and on the way in, never copied; what stands beside them is written into one
//! scratch buffer. Decoding is total: a payload that is not one gives [`Malformed`], whatever its bytes are.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;

use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::Micros;
use crate::batch::Origin;
use crate::batch::SourceId;
use crate::buffer::Entry;
use crate::buffer::format::FRAME_HEADER;
use crate::buffer::format::FrameHeader;
use crate::buffer::format::Point;
use crate::buffer::format::Seed;
use crate::buffer::format::padded;
use crate::buffer::format::u32_at;
use crate::buffer::format::u64_at;
use crate::seq::Seq;

/// Bytes of an entry's head.
const HEAD: usize = 32;

/// Bytes of an event's mark.
const MARK: usize = 32;

/// The names of sources: files say names, batches say numbers. Names of sources that are no longer configured get numbers
/// behind the others.
#[derive(Debug, Default)]
pub struct SourceNames {
    names: Mutex<Vec<Arc<str>>>,
}

impl SourceNames {
    /// The configured sources, in the order of their numbers.
    pub fn new(names: &[String]) -> Self {
        Self { names: Mutex::new(names.iter().map(|name| name.as_str().into()).collect()) }
    }

    /// The name of a source.
    pub fn name(&self, source: SourceId) -> Arc<str> {
        let names = self.names.lock().expect("nobody panics looking up a name");
        names.get(usize::from(source.0)).cloned().unwrap_or_default()
    }

    /// The number of a name.
    pub fn id(&self, name: &str) -> SourceId {
        let mut names = self.names.lock().expect("nobody panics looking up a name");
        let at = names.iter().position(|known| &**known == name).unwrap_or_else(|| {
            names.push(name.into());
            names.len() - 1
        });
        // Damaged names do not get this far, so there are only as many as were ever configured.
        SourceId(u16::try_from(at).unwrap_or(u16::MAX))
    }
}

/// Bytes an entry takes in a payload.
pub fn entry_bytes(batch: &Batch, source: &str) -> u64 {
    let names = source.len().min(NAME_MAX) + name_of(&batch.tenant).len() + name_of(&batch.sink).len();
    let names = names.next_multiple_of(8);
    (HEAD + names + batch.marks.len() * MARK + batch.docs.len().next_multiple_of(8)) as u64
}

const NAME_MAX: usize = 255;

/// The name of a batch's tenant or sink as it is written.
fn name_of(name: &Option<Arc<str>>) -> &[u8] {
    let name = name.as_deref().unwrap_or_default().as_bytes();
    &name[..name.len().min(NAME_MAX)]
}

/// A frame about to be written: a scratch buffer and the documents it refers to.
#[derive(Debug, Default)]
pub struct FrameWriter {
    /// Header, heads, names and marks; pieces of it alternate with documents.
    scratch: Vec<u8>,
    /// Where in the scratch buffer each entry's piece ends.
    cuts: Vec<usize>,
}

/// Zeros to pad with.
static ZEROS: [u8; 4096] = [0; 4096];

impl FrameWriter {
    /// Encodes entries with consecutive numbers, of which there is at least one; gives the frame's header and its slices.
    ///
    /// # Panics
    /// When the payload is 4 GiB or larger; groups are cut long before.
    pub fn encode<'a>(
        &'a mut self,
        entries: &'a [Entry],
        first: Point,
        durable_seq: u64,
        names: &SourceNames,
        seed: Seed,
    ) -> (FrameHeader, Vec<IoSlice<'a>>) {
        self.scratch.clear();
        self.scratch.resize(FRAME_HEADER, 0);
        self.cuts.clear();
        let (mut payload_bytes, mut events) = (0, 0);
        for entry in entries {
            let source = names.name(entry.batch.source);
            self.head(&entry.batch, &source);
            self.cuts.push(self.scratch.len());
            payload_bytes += entry_bytes(&entry.batch, &source);
            events += entry.batch.len();
        }
        let payload_bytes = u32::try_from(payload_bytes).expect("a group is cut at its limit");
        let header = FrameHeader {
            payload_bytes,
            entries: u32::try_from(entries.len()).expect("entries have bytes"),
            first,
            events: u32::try_from(events).expect("events have bytes"),
            durable_seq,
            payload_crc: seed.crc(self.pieces(entries).skip(1)),
        };
        self.scratch[..FRAME_HEADER].copy_from_slice(&header.encode(seed));
        let unpadded = FRAME_HEADER as u64 + u64::from(payload_bytes);
        let padding = usize::try_from(padded(unpadded) - unpadded).expect("less than a block");
        let mut slices = Vec::with_capacity(entries.len() * 3 + 2);
        slices.extend(self.pieces(entries).filter(|piece| !piece.is_empty()).map(IoSlice::new));
        slices.push(IoSlice::new(&ZEROS[..padding]));
        (header, slices)
    }

    /// The header, then for each entry what stands before its documents, the documents, and zeros.
    fn pieces<'a>(&'a self, entries: &'a [Entry]) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(FRAME_HEADER).chain(self.cuts.iter().copied());
        let each = entries.iter().zip(starts.zip(&self.cuts)).flat_map(|(entry, (start, &end))| {
            let docs = &entry.batch.docs[..];
            [&self.scratch[start..end], docs, &ZEROS[..docs.len().next_multiple_of(8) - docs.len()]]
        });
        std::iter::once(&self.scratch[..FRAME_HEADER]).chain(each)
    }

    fn head(&mut self, batch: &Batch, source: &str) {
        let source = &source.as_bytes()[..source.len().min(NAME_MAX)];
        let out = &mut self.scratch;
        out.extend_from_slice(&u32::try_from(batch.docs.len()).expect("a batch is cut at its limit").to_le_bytes());
        out.extend_from_slice(&u32::try_from(batch.marks.len()).expect("events have bytes").to_le_bytes());
        out.extend_from_slice(&batch.received.to_le_bytes());
        let names = [source, name_of(&batch.tenant), name_of(&batch.sink)];
        out.extend(names.map(|name| u8::try_from(name.len()).expect("it was cut")));
        out.push(u8::from(batch.is_rejects));
        out.extend_from_slice(&[0; 12]);
        for name in names {
            out.extend_from_slice(name);
        }
        let bytes: usize = names.iter().map(|name| name.len()).sum();
        out.resize(out.len() + bytes.next_multiple_of(8) - bytes, 0);
        for mark in &batch.marks {
            let mut bytes = [0; MARK];
            bytes[..4].copy_from_slice(&mark.end.to_le_bytes());
            bytes[4] = Origin::to_byte(mark.origin);
            bytes[8..16].copy_from_slice(&mark.time.to_le_bytes());
            bytes[16..].copy_from_slice(&mark.id.0);
            out.extend_from_slice(&bytes);
        }
    }
}

/// A payload whose CRC is right and that is none all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The entries of a payload; they refer to its bytes.
///
/// # Errors
/// When it does not hold what its header says.
pub fn decode(header: &FrameHeader, payload: &Bytes, names: &SourceNames) -> Result<Vec<(Entry, Point)>, Malformed> {
    let mut entries = Vec::new();
    let mut at = 0;
    let mut place = header.first;
    for _ in 0..header.entries {
        let (batch, bytes) = entry(payload, at, names)?;
        at += bytes;
        let seq = Seq(place.seq);
        place = place.behind(batch.len() as u64, bytes as u64);
        entries.push((Entry { seq, batch: Arc::new(batch) }, place));
    }
    if at != payload.len() || place != header.end() {
        return Err(Malformed);
    }
    Ok(entries)
}

/// The entry at this place and the bytes it takes.
fn entry(payload: &Bytes, at: usize, names: &SourceNames) -> Result<(Batch, usize), Malformed> {
    let rest = &payload[at..];
    let head = rest.get(..HEAD).ok_or(Malformed)?;
    let (docs_bytes, events) = (u32_at(head, 0) as usize, u32_at(head, 4) as usize);
    let received = received(head);
    let name_lengths = [head[16], head[17], head[18]].map(usize::from);
    let names_bytes = name_lengths.iter().sum::<usize>().next_multiple_of(8);
    let name = |which: usize| {
        let at = HEAD + name_lengths[..which].iter().sum::<usize>();
        let name = rest.get(at..at + name_lengths[which]).ok_or(Malformed)?;
        std::str::from_utf8(name).map_err(|_| Malformed)
    };
    let some = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
    let (source, tenant, sink) = (name(0)?, some(name(1)?), some(name(2)?));
    let marks_at = HEAD + names_bytes;
    let docs_at = events.checked_mul(MARK).and_then(|bytes| bytes.checked_add(marks_at)).ok_or(Malformed)?;
    let marks = rest.get(marks_at..docs_at).ok_or(Malformed)?;
    let end = docs_at.checked_add(docs_bytes.next_multiple_of(8)).filter(|&end| end <= rest.len()).ok_or(Malformed)?;
    let marks: Box<[Mark]> = marks.chunks_exact(MARK).map(mark).collect();
    let mut ends = marks.iter().map(|mark| mark.end as usize);
    if !ends.clone().is_sorted() || ends.next_back().unwrap_or(0) != docs_bytes {
        return Err(Malformed);
    }
    let docs = payload.slice(at + docs_at..at + docs_at + docs_bytes);
    let is_rejects = head[19] & 1 == 1;
    Ok((Batch { docs, marks, source: names.id(source), received, is_rejects, tenant, sink }, end))
}

/// When an entry was received whose head begins here.
pub(super) fn received(head: &[u8]) -> Micros {
    u64_at(head, 8).cast_signed()
}

fn mark(bytes: &[u8]) -> Mark {
    let id = EventId(bytes[16..].try_into().expect("sixteen bytes"));
    Mark { end: u32_at(bytes, 0), id, time: u64_at(bytes, 8).cast_signed(), origin: Origin::from_byte(bytes[4]) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn batches() -> impl Strategy<Value = Vec<Batch>> {
        let batch = (vec("[ -~]{0,40}", 0..6), 0..3u16, any::<i64>()).prop_map(|(lines, source, received)| {
            let mut docs = Vec::new();
            let mut marks = Vec::new();
            for line in lines {
                docs.extend_from_slice(line.as_bytes());
                docs.push(b'\n');
                let end = docs.len() as u32;
                let origin = Origin::from_byte((end % 9) as u8);
                marks.push(Mark { end, id: EventId([end as u8; 16]), time: received ^ 77, origin });
            }
            Batch {
                docs: docs.into(),
                marks: marks.into(),
                source: SourceId(source),
                received,
                is_rejects: received % 2 == 0,
                tenant: (received % 3 == 0).then(|| "a tenant".into()),
                sink: (received % 5 == 0).then(|| "a sink".into()),
            }
        });
        vec(batch, 1..5)
    }

    fn names() -> SourceNames {
        SourceNames::new(&["first".to_owned(), "a name longer than eight".to_owned(), String::new()])
    }

    fn frame(batches: Vec<Batch>, seed: Seed) -> (FrameHeader, Vec<u8>, Vec<Entry>) {
        let first = Point { seq: 9, event: 90, byte: 900 };
        let entries: Vec<_> = (9..).zip(batches).map(|(seq, batch)| Entry { seq: Seq(seq), batch: Arc::new(batch) }).collect();
        let mut writer = FrameWriter::default();
        let (header, slices) = writer.encode(&entries, first, 9, &names(), seed);
        let bytes = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        (header, bytes, entries)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(batches in batches()) {
            let seed = Seed::new(&[3; 16], 1);
            let (header, bytes, entries) = frame(batches, seed);
            prop_assert_eq!(bytes.len() as u64, header.frame_bytes());
            prop_assert_eq!(FrameHeader::decode(&bytes, seed), Some(header));
            let payload = Bytes::from(bytes).slice(FRAME_HEADER..FRAME_HEADER + header.payload_bytes as usize);
            prop_assert_eq!(seed.crc([&payload[..]]), header.payload_crc);
            let decoded = decode(&header, &payload, &names()).expect("it was just encoded");
            prop_assert_eq!(decoded.last().expect("entries").1, header.end());
            for ((decoded, _), entry) in decoded.iter().zip(&entries) {
                prop_assert_eq!(decoded.seq, entry.seq);
                prop_assert_eq!(&decoded.batch.docs, &entry.batch.docs);
                prop_assert_eq!(&decoded.batch.marks, &entry.batch.marks);
                prop_assert_eq!(decoded.batch.is_rejects, entry.batch.is_rejects);
                prop_assert_eq!(&decoded.batch.tenant, &entry.batch.tenant);
                prop_assert_eq!(&decoded.batch.sink, &entry.batch.sink);
                prop_assert_eq!((decoded.batch.source, decoded.batch.received), (entry.batch.source, entry.batch.received));
            }
        }

        #[test]
        fn any_bytes_are_entries_or_malformed(
            batches in batches(), changes in vec((any::<u16>(), any::<u8>()), 0..6), entries in 0..8u32,
        ) {
            let (mut header, bytes, _) = frame(batches, Seed::new(&[3; 16], 1));
            let mut payload = bytes[FRAME_HEADER..FRAME_HEADER + header.payload_bytes as usize].to_vec();
            for (at, byte) in changes {
                let at = usize::from(at) % payload.len();
                payload[at] = byte;
            }
            header.entries = entries;
            if let Ok(decoded) = decode(&header, &payload.into(), &names()) {
                for (entry, _) in decoded {
                    let _ = entry.batch.documents().count();
                }
            }
        }
    }
}
