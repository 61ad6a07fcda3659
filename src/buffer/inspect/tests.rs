//! Looking at a log on a real directory while it is whole, damaged, and changing. What each kind of damage is called is tried
//! on the program, in `tests/`.

use std::fmt;
use std::fmt::Debug;
use std::fs;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::*;
use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::SourceId;
use crate::buffer::disk::DiskFile;
use crate::buffer::disk::RealDisk;
use crate::buffer::log::Durability;
use crate::buffer::log::Log;
use crate::buffer::log::LogPlan;
use crate::seq::Seq;

const SEGMENT: u64 = 256 * 1024;

/// Bytes of a document; a frame has one.
const DOCUMENT: usize = 50_000;

fn open(folder: &TempDir) -> Log {
    let plan = LogPlan { bytes_max: 64 * SEGMENT, free_bytes_min: 0, segment_bytes: SEGMENT, durability: Durability::Disk };
    let names = Arc::new(SourceNames::new(&["elb".to_owned()]));
    let disk = Arc::new(RealDisk::open(folder.path()).expect("a folder"));
    Log::open(disk, plan, names, &["out".to_owned()], &[], [7; 16]).expect("it opens").0
}

/// Commits so many frames; gives where each begins.
fn fill(log: &mut Log, frames: usize) -> Vec<Point> {
    let mut places = Vec::new();
    for _ in 0..frames {
        places.push(log.end());
        let docs = vec![b'\n'; DOCUMENT];
        let mark = Mark { end: DOCUMENT as u32, id: EventId([1; 16]), time: 5, origin: None };
        let received = log.end().seq as Micros;
        let batch = Batch {
            docs: docs.into(),
            marks: [mark].into(),
            source: SourceId(0),
            received,
            is_rejects: false,
            tenant: None,
            sink: None,
        };
        let committed = log.commit(&[Entry { seq: Seq(log.end().seq), batch: Arc::new(batch) }]).expect("there is room");
        assert_eq!(committed.end, log.end());
    }
    places
}

/// What is done before the file of this name is opened.
type Before = (String, Box<dyn FnOnce() + Send>);

/// A disk that counts what is read of it, and does something once before a file is opened.
struct Watched {
    disk: RealDisk,
    read: Arc<AtomicU64>,
    before: Mutex<Option<Before>>,
}

impl Watched {
    fn new(folder: &TempDir) -> Self {
        Self { disk: RealDisk::read_only(folder.path()), read: Arc::default(), before: Mutex::default() }
    }

    fn look(&self, depth: Depth) -> Inspection {
        let quarantine = RealDisk::read_only(&self.disk.path().join(QUARANTINE));
        Inspection::of(self, &quarantine, depth).expect("it is a buffer")
    }
}

impl Debug for Watched {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(to)
    }
}

#[derive(Debug)]
struct WatchedFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl Disk for Watched {
    fn lock(&self) -> io::Result<bool> {
        panic!("whoever looks takes no lock")
    }

    fn list(&self) -> io::Result<Vec<Item>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let due = self.before.lock().expect("ours").take_if(|(of, _)| of == name);
        if let Some((_, act)) = due {
            act();
        }
        Ok(Arc::new(WatchedFile(self.disk.open(name)?, self.read.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.disk.directory(name)
    }

    fn path(&self) -> &Path {
        self.disk.path()
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let read = self.0.read_at(buf, at)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.0.write_at(slices, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.0.set_bytes(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.0.reserve(bytes)
    }
}

#[test]
fn heads_are_enough_to_know_what_is_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(&folder);
    let places = fill(&mut log, 40);
    log.checkpoint(vec![("out".to_owned(), places[2])]).expect("the disk works");
    let end = log.end();
    drop(log);
    let disk = Watched::new(&folder);
    let heads = disk.look(Depth::Heads);
    let read = disk.read.load(Ordering::Relaxed);
    let everything = disk.look(Depth::Everything);
    assert_eq!(heads, everything);
    assert_eq!((heads.held, heads.end), (scan::distance(places[2], end), end));
    assert_eq!(heads.sinks[0].waiting, heads.held);
    // Beside the heads, behind the last frame of each segment a search for another one.
    let behind: u64 = heads.segments.iter().map(|segment| segment.file_bytes - segment.scan.end).sum();
    assert!(read < behind + 64 * 1024, "{read} bytes were read of {} and {behind}", end.byte);
    assert_eq!(heads.received(&disk).expect("it can be read"), Some((2, 39)));
}

#[test]
fn heads_are_believed_and_payloads_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(&folder);
    fill(&mut log, 3);
    log.checkpoint(vec![("out".to_owned(), Point::default())]).expect("the disk works");
    drop(log);
    let path = folder.path().join(segment_name(0));
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[60_000] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let disk = Watched::new(&folder);
    assert_eq!(disk.look(Depth::Heads).findings(), []);
    let found = disk.look(Depth::Everything);
    assert_eq!((found.held.event, found.gaps[0].lost_events), (2, 1));
    assert_eq!(found.findings()[0].what, What::NoFrame(53_248));
    let mut seqs = Vec::new();
    let each = |entry: &Entry, source: &str| -> ControlFlow<()> {
        assert_eq!(source, "elb");
        seqs.push(entry.seq.0);
        ControlFlow::Continue(())
    };
    assert_eq!(found.entries(&disk, 0, each).expect("it can be read"), ControlFlow::Continue(()));
    assert_eq!(seqs, [0, 2]);
}

#[test]
fn what_a_relay_lets_go_of_meanwhile_is_not_missed() {
    for (opened, reaches) in [(0, 12), (1, 12), (1, 40), (2, 8), (0, 39)] {
        for depth in [Depth::Heads, Depth::Everything] {
            let folder = tempfile::tempdir().expect("a folder");
            let mut log = open(&folder);
            let places = fill(&mut log, 40);
            log.checkpoint(vec![("out".to_owned(), Point::default())]).expect("the disk works");
            let disk = Watched::new(&folder);
            let act = move || {
                let mark = places.get(reaches).copied().unwrap_or(log.end());
                log.checkpoint(vec![("out".to_owned(), mark)]).expect("the disk works");
                log.prepare().expect("there is room");
                fill(&mut log, 9);
            };
            *disk.before.lock().expect("ours") = Some((segment_name(opened), Box::new(act)));
            let findings = disk.look(depth).findings();
            assert!(disk.before.lock().expect("ours").is_none(), "it happened");
            assert_eq!(findings, [], "{opened} {reaches} {depth:?}");
        }
    }
}
