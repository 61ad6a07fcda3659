//! What must hold of a directory whatever its files are: it is looked into and opened without a panic, what is read of it was
//! written as it is, and opening it again gives the same.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::OnceLock;

use bytes::Bytes;
use elbow::buffer::Entry;
use elbow::buffer::disk::Disk;
use elbow::buffer::format::BLOCK;
use elbow::buffer::format::Checkpoint;
use elbow::buffer::format::FRAME_HEADER;
use elbow::buffer::format::FrameHeader;
use elbow::buffer::format::Point;
use elbow::buffer::format::Seed;
use elbow::buffer::format::SegmentHeader;
use elbow::buffer::format::Uuid;
use elbow::buffer::format::segment_number;
use elbow::buffer::frame::SourceNames;
use elbow::buffer::frame::decode;
use elbow::buffer::inspect::Depth;
use elbow::buffer::inspect::Inspection;

use crate::disk::MemoryDisk;
use crate::made;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The files of a small buffer that is whole.
pub(crate) fn whole() -> &'static Files {
    static WHOLE: OnceLock<Files> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let disk = Arc::new(MemoryDisk::default());
        made::write(|| made::try_open(disk.clone()).expect("it opens").0);
        disk.files()
    })
}

/// An entry by its number, and the length and CRC of its documents.
type Read = (u64, usize, u32);

fn read_of(entry: &Entry) -> Read {
    let documents: usize = entry.batch.documents().map(|(document, _)| document.len()).sum();
    assert_eq!(documents, entry.batch.docs.len(), "marks cover all documents");
    (entry.seq.0, documents, crc32c::crc32c(&entry.batch.docs))
}

/// Every entry of every frame whose CRCs are right, wherever it stands, for any buffer that a file names.
fn written(files: &Files) -> BTreeSet<Read> {
    let mut uuids: BTreeSet<Uuid> =
        files.values().filter_map(|bytes| SegmentHeader::decode(bytes).ok()).map(|head| head.uuid).collect();
    let checkpoint = files.get("checkpoint").map_or(&[][..], Vec::as_slice);
    for at in [0, 8192] {
        uuids.extend(checkpoint.get(at..).and_then(|slot| Checkpoint::decode(slot).ok()).map(|slot| slot.uuid));
    }
    let mut written = BTreeSet::new();
    for (name, bytes) in files {
        let Some(number) = segment_number(name) else { continue };
        for (uuid, at) in uuids.iter().flat_map(|uuid| (0..bytes.len()).step_by(BLOCK as usize).map(move |at| (uuid, at))) {
            let seed = Seed::new(uuid, number);
            let Some(header) = FrameHeader::decode(&bytes[at..], seed) else { continue };
            let Some(payload) = bytes[at + FRAME_HEADER..].get(..header.payload_bytes as usize) else { continue };
            if seed.crc([payload]) == header.payload_crc {
                let entries = decode(&header, &Bytes::copy_from_slice(payload), &SourceNames::default());
                written.extend(entries.unwrap_or_default().iter().map(|(entry, _)| read_of(entry)));
            }
        }
    }
    written
}

fn inspect(disk: &MemoryDisk, depth: Depth) -> Option<Inspection> {
    let quarantine = disk.directory("quarantine").expect("it is in memory");
    // Nothing makes the folder appear that was not there.
    let found = Inspection::of(disk, &*quarantine, depth).ok()?;
    let told = found.findings();
    assert_eq!(told.iter().any(|finding| finding.lost.is_some()), found.gaps.iter().any(|gap| gap.lost_events > 0));
    let received = found.received(disk).expect("it is in memory");
    assert!(depth == Depth::Heads || received.is_some() == (found.held.seq > 0));
    Some(found)
}

fn entries(found: &Inspection, disk: &MemoryDisk, from: u64) -> Vec<Read> {
    let mut read = Vec::new();
    let each = |entry: &Entry, _: &str| -> ControlFlow<()> {
        read.push(read_of(entry));
        ControlFlow::Continue(())
    };
    assert_eq!(found.entries(disk, from, each).expect("it is in memory"), ControlFlow::Continue(()));
    assert!(read.is_sorted_by(|one, next| one.0 < next.0), "each number comes once, in order");
    read
}

/// Opens the log and reads everything from the first mark on; gives where it ends, too.
fn open(disk: &Arc<MemoryDisk>) -> Option<(Vec<Read>, Point, Vec<Point>)> {
    let (log, recovered) = made::try_open(disk.clone()).ok()?;
    let from = recovered.marks.iter().copied().min().expect("there are sinks");
    let mut reader = log.reader(from);
    let mut read = Vec::new();
    let mut steps = 0;
    loop {
        let out = reader.read().expect("it is in memory");
        if out.entries.is_empty() && out.lost.is_none() {
            break;
        }
        read.extend(out.entries.iter().map(|(entry, _)| read_of(entry)));
        steps += 1;
        assert!(steps < 1000, "so many frames have no room");
    }
    assert!(read.is_sorted_by(|one, next| one.0 < next.0), "each number comes once, in order");
    Some((read, log.end(), recovered.marks))
}

/// Checks a directory; gives what looking at it gave where there is a buffer. Where CRCs were made to fit, heads may contradict
/// each other: then a reader may pass over entries that are there, and differ from time to time.
pub(crate) fn check(files: &Files, is_mended: bool) -> Option<Inspection> {
    let disk = Arc::new(MemoryDisk::with(files));
    let written = written(files);
    let found = inspect(&disk, Depth::Everything);
    let heads = inspect(&disk, Depth::Heads);
    assert_eq!(found.is_some(), heads.is_some());
    assert_eq!(&disk.files(), files, "looking changes nothing");
    if let Some(found) = &found {
        let read = entries(found, &disk, 0);
        assert!(read.iter().all(|entry| written.contains(entry)), "only what was written is read");
    }
    let opened = open(&disk);
    if let Some((read, end, marks)) = opened {
        assert!(read.iter().all(|entry| written.contains(entry)), "only what was written is read");
        let looked = inspect(&disk, Depth::Everything).expect("it was just opened");
        assert_eq!(looked.sinks.iter().map(|sink| sink.mark).collect::<Vec<_>>(), marks);
        let from = marks.iter().map(|mark| mark.seq).min().expect("there are sinks");
        let seen = entries(&looked, &disk, from);
        assert!(is_mended || seen == read, "who looks sees what sinks get");
        let again = open(&disk);
        assert!(is_mended || again == Some((read, end, marks)), "opening it again gives the same");
    }
    found
}
