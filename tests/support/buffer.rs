//! A buffer on disk that comes out the same each time, down to its bytes: three small segments, the second cut at a restart
//! whose last frame is there twice, and marks of two sinks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use elbow::batch::Batch;
use elbow::batch::EventId;
use elbow::batch::Mark;
use elbow::batch::SourceId;
use elbow::buffer::Entry;
use elbow::buffer::disk::Disk;
use elbow::buffer::disk::RealDisk;
use elbow::buffer::format::Point;
use elbow::buffer::frame::SourceNames;
use elbow::buffer::log::Durability;
use elbow::buffer::log::Log;
use elbow::buffer::log::LogPlan;
use elbow::buffer::recovery::OpenError;
use elbow::buffer::recovery::Recovered;
use elbow::seq::Seq;

/// A header and three blocks.
pub(crate) const SEGMENT: u64 = 16 * 1024;

/// What the buffer calls itself.
pub(crate) const UUID: &[u8; 16] = b"elbow-buffer-v1\0";

/// Sources, by number.
pub(crate) const SOURCES: [&str; 2] = ["elb", "a source with a longer name"];

/// Sinks of the buffer.
pub(crate) const SINKS: [&str; 2] = ["archive", "logstash"];

/// Entries there are.
pub(crate) const ENTRIES: u64 = 12;

/// Entries in each frame, and whether the buffer is opened anew before it, without a checkpoint.
const GROUPS: [(u64, bool); 5] = [(2, false), (3, false), (2, false), (4, true), (1, false)];

/// An entry that follows from its number: one to three documents, of which that of number 3 fills more than a block.
pub(crate) fn entry(seq: u64) -> Entry {
    let (mut docs, mut marks) = (String::new(), Vec::new());
    let received = 1_772_360_430_000_000 + seq as i64 * 1_000_001;
    for event in 0..=seq % 3 {
        let filler = "x".repeat(if seq == 3 { 4500 } else { (seq * 31 % 90) as usize });
        docs += &format!("{{\"entry\":{seq},\"event\":{event},\"filler\":\"{filler}\"}}\n");
        let id = EventId(std::array::from_fn(|at| (seq * 16 + event + at as u64) as u8));
        marks.push(Mark { end: docs.len() as u32, id, time: received - 500_000 - event as i64, origin: None });
    }
    let source = SourceId((seq % 2) as u16);
    Entry {
        seq: Seq(seq),
        batch: Arc::new(Batch {
            docs: docs.into(),
            marks: marks.into(),
            source,
            received,
            is_rejects: false,
            tenant: None,
            sink: None,
        }),
    }
}

/// Opens the buffer in a folder, as a relay does.
pub(crate) fn try_open(disk: Arc<dyn Disk>) -> Result<(Log, Recovered), OpenError> {
    let plan = LogPlan { bytes_max: 64 * SEGMENT, free_bytes_min: 0, segment_bytes: SEGMENT, durability: Durability::Disk };
    let names = Arc::new(SourceNames::new(&SOURCES.map(str::to_owned)));
    Log::open(disk, plan, names, &SINKS.map(str::to_owned), &[], *UUID)
}

/// The same in a real folder.
pub(crate) fn open(folder: &Path) -> (Log, Recovered) {
    try_open(Arc::new(RealDisk::open(folder).expect("a folder"))).expect("it opens")
}

/// Commits these entries as one frame.
pub(crate) fn commit(log: &mut Log, seqs: std::ops::Range<u64>) {
    let entries: Vec<Entry> = seqs.map(entry).collect();
    let committed = log.commit(&entries).expect("there is room");
    assert_eq!(committed.end, log.end());
}

/// Where an entry begins.
pub(crate) fn point(seq: u64) -> Point {
    let bytes = |entry: &Entry| {
        let source = SOURCES[usize::from(entry.batch.source.0)];
        elbow::buffer::frame::entry_bytes(&entry.batch, source)
    };
    (0..seq).map(entry).fold(Point::default(), |point, entry| point.behind(entry.batch.len() as u64, bytes(&entry)))
}

/// Writes the buffer: `archive` waits from entry 1 on, `logstash` from entry 4 on.
pub(crate) fn write(open: impl Fn() -> Log) {
    let mut log = open();
    let marks = || [("archive".to_owned(), point(1)), ("logstash".to_owned(), point(4))].to_vec();
    let mut next = 0;
    for (count, again) in GROUPS {
        if again {
            drop(log);
            log = open();
        }
        commit(&mut log, next..next + count);
        next += count;
        if next == 5 {
            log.checkpoint(marks()).expect("the disk works");
        }
    }
    assert_eq!(next, ENTRIES);
    log.checkpoint(marks()).expect("the disk works");
}

/// Every file of a folder but for the lock.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder can be read").path());
    let files = paths.filter(|path| path.is_file() && !path.ends_with("lock"));
    let file = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().into_owned();
    files.map(|path| (file(&path), fs::read(&path).expect("it can be read"))).collect()
}

/// Makes a folder with these files.
pub(crate) fn put(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir_all(folder).expect("a folder");
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("it can be written");
    }
}
