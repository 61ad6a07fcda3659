//! The buffer on disk as sources and sinks see it, over a real directory, and over one that breaks on demand.

use std::io;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::SourceId;
use crate::buffer::Buffer;
use crate::buffer::Condition;
use crate::buffer::Cursor;
use crate::buffer::DiskPlan;
use crate::buffer::Entry;
use crate::buffer::OnDisk;
use crate::buffer::Stored;
use crate::buffer::WhenFull;
use crate::buffer::disk::Disk;
use crate::buffer::disk::DiskFile;
use crate::buffer::disk::Item;
use crate::buffer::disk::RealDisk;
use crate::buffer::log::Durability;
use crate::buffer::writer::Wrote;
use crate::seq::Seq;

const MOMENT: Duration = Duration::from_secs(30);

/// What goes wrong from now on.
const NOTHING: u8 = 0;
const SYNC: u8 = 1;
const WRITE: u8 = 2;
const PANIC: u8 = 3;

/// A directory that breaks on demand.
#[derive(Debug)]
struct Breaking {
    disk: RealDisk,
    what: Arc<AtomicU8>,
    writes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct BreakingFile {
    file: Arc<dyn DiskFile>,
    what: Arc<AtomicU8>,
    writes: Arc<AtomicUsize>,
}

impl Breaking {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(BreakingFile { file, what: self.what.clone(), writes: self.writes.clone() })
    }
}

impl Disk for Breaking {
    fn lock(&self) -> io::Result<bool> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<Item>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open(name)?))
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

impl DiskFile for BreakingFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        match self.what.load(Ordering::SeqCst) {
            WRITE => Err(Errno::IO.into()),
            PANIC => panic!("the disk makes the writer panic"),
            _ => self.file.write_at(slices, at),
        }
    }

    fn sync(&self) -> io::Result<()> {
        if self.what.load(Ordering::SeqCst) == SYNC { Err(Errno::NOSPC.into()) } else { self.file.sync() }
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.file.set_bytes(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.file.reserve(bytes)
    }
}

/// An open buffer and the thread that writes it.
struct Running {
    buffer: Buffer,
    cursors: Vec<Cursor>,
    writer: JoinHandle<()>,
    what: Arc<AtomicU8>,
    writes: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

fn plan(memory_bytes_max: u64) -> DiskPlan {
    DiskPlan {
        path: "unused".into(),
        bytes_max: 16 << 20,
        free_bytes_min: 0,
        durability: Durability::Disk,
        memory_bytes_max,
        forget: Vec::new(),
        when_full: WhenFull::Block,
    }
}

fn open(folder: &TempDir, plan: &DiskPlan, sinks: usize) -> Running {
    let (what, writes, dropped): (Arc<AtomicU8>, Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let disk = RealDisk::open(folder.path()).expect("a folder");
    let disk = Arc::new(Breaking { disk, what: what.clone(), writes: writes.clone() });
    let sinks: Vec<String> = (0..sinks).map(|sink| format!("sink-{sink}")).collect();
    let opened = Buffer::disk(disk, plan, &["in".to_owned()], &sinks, [3; 16]).expect("it opens");
    let OnDisk { buffer, cursors, writer, .. } = opened;
    let counted = dropped.clone();
    let observe = move |wrote| {
        if let Wrote::Dropped { events } = wrote {
            counted.fetch_add(events as usize, Ordering::SeqCst);
        }
    };
    let writer = std::thread::spawn(move || writer.run(observe));
    Running { buffer, cursors, writer, what, writes, dropped }
}

impl Running {
    /// Ends the writer and lets the directory go.
    fn finish(self) {
        self.buffer.finish();
        self.writer.join().expect("the writer does not panic");
    }
}

/// A batch of one document of so many bytes that says its number.
fn batch(number: i64, bytes: usize) -> Batch {
    let mut text = format!("{{\"n\":{number},\"x\":\"");
    text.push_str(&"x".repeat(bytes.saturating_sub(text.len() + 3)));
    text.push_str("\"}\n");
    let mark = Mark { end: text.len() as u32, id: EventId([number as u8; 16]), time: number, origin: None };
    Batch {
        docs: text.into(),
        marks: [mark].into(),
        source: SourceId(0),
        received: number,
        is_rejects: false,
        tenant: None,
        sink: None,
    }
}

async fn append(buffer: &Buffer, batch: Batch) -> Stored {
    let receipt = timeout(MOMENT, buffer.append(batch)).await.expect("there is room").expect("it is open");
    timeout(MOMENT, receipt.stored()).await.expect("it is answered")
}

async fn read_some(cursor: &mut Cursor, out: &mut Vec<Entry>) -> bool {
    let more = timeout(MOMENT, cursor.wait()).await.expect("something happens");
    cursor.read(7, 64 * 1024, out);
    more
}

async fn drain(mut cursor: Cursor, slowly: bool) -> Vec<i64> {
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    while read_some(&mut cursor, &mut out).await {
        if slowly {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if let Some(last) = out.last().map(|entry| entry.seq) {
            seen.extend(out.drain(..).map(|entry| entry.batch.received));
            let _ = cursor.ack(last);
        }
    }
    assert!(cursor.is_finished());
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sink_gets_everything_in_order_from_memory_or_from_disk() {
    const SENDERS: i64 = 3;
    const EACH: i64 = 800;
    let folder = tempfile::tempdir().expect("a folder");
    // A window of 16 KiB: the slow sink falls out of it at once, and the fast one now and then.
    let mut running = open(&folder, &plan(64 << 10), 2);
    let mut cursors = std::mem::take(&mut running.cursors).into_iter();
    let fast = tokio::spawn(drain(cursors.next().expect("a sink"), false));
    let slow = tokio::spawn(drain(cursors.next().expect("a sink"), true));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let buffer = running.buffer.clone();
            tokio::spawn(async move {
                for at in 0..EACH {
                    let receipt = buffer.append(batch(sender * EACH + at, 1_000)).await.expect("it is open");
                    if at % 100 == 0 {
                        assert_eq!(receipt.stored().await, Stored::Yes);
                        let stat = buffer.stat();
                        for cursor in stat.cursors {
                            assert_eq!(cursor.events + cursor.events_acked, stat.events_appended);
                        }
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        timeout(MOMENT, sender).await.expect("senders end").expect("no panic");
    }
    running.buffer.close();
    for sink in [fast, slow] {
        let mut seen = timeout(MOMENT, sink).await.expect("sinks end").expect("no panic");
        for sender in 0..SENDERS {
            assert!(seen.iter().filter(|at| *at / EACH == sender).is_sorted(), "each sender's order is kept");
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..SENDERS * EACH).collect::<Vec<_>>());
    }
    let stat = running.buffer.stat();
    assert_eq!((stat.events, stat.entries, stat.disk.expect("a disk").lost_events), (0, 0, 0));
    running.finish();
}

#[tokio::test]
async fn what_was_not_acked_is_read_again_after_a_rewind_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(1 << 20), 1);
    for number in 0..20 {
        assert_eq!(append(&running.buffer, batch(number, 500)).await, Stored::Yes);
    }
    let mut out = Vec::new();
    let cursor = &mut running.cursors[0];
    assert!(read_some(cursor, &mut out).await);
    assert_eq!(out.len(), 7);
    let acked = cursor.ack(Seq(4));
    assert_eq!(acked.events, 5);
    cursor.rewind();
    out.clear();
    assert!(read_some(cursor, &mut out).await);
    assert_eq!(out[0].batch.received, 5, "from the first that is not acked");
    running.finish();

    let mut running = open(&folder, &plan(1 << 20), 1);
    let stat = running.buffer.stat();
    assert_eq!((stat.cursors[0].events_restored, stat.cursors[0].events, stat.oldest.is_some()), (15, 15, true));
    let mut seen = Vec::new();
    while seen.len() < 15 {
        out.clear();
        assert!(read_some(&mut running.cursors[0], &mut out).await);
        seen.extend(out.iter().map(|entry| entry.batch.received));
    }
    assert_eq!(seen, (5..20).collect::<Vec<_>>());
    running.finish();
}

#[tokio::test]
async fn a_full_buffer_holds_senders_back_until_a_tenth_is_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(2 << 20), 1);
    let mut sent = 0;
    while running.buffer.stat().condition == Condition::Working {
        if let Ok(receipt) = running.buffer.try_append(batch(sent, 100_000)) {
            sent += 1;
            drop(receipt);
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
        assert!(sent < 1_000, "sixteen million bytes are the bound");
    }
    assert!(running.buffer.stat().disk.expect("a disk").file_bytes <= 16 << 20);
    let cursor = running.cursors.pop().expect("a sink");
    let sink = tokio::spawn(drain(cursor, false));
    assert_eq!(append(&running.buffer, batch(sent, 100_000)).await, Stored::Yes, "it goes on by itself");
    running.buffer.close();
    let seen = timeout(MOMENT, sink).await.expect("it ends").expect("no panic");
    assert_eq!(seen, (0..=sent).collect::<Vec<_>>());
    running.finish();
}

#[tokio::test]
async fn the_oldest_are_given_up_where_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = open(&folder, &DiskPlan { when_full: WhenFull::DropOldest, ..plan(2 << 20) }, 1);
    for number in 0..400 {
        assert_eq!(append(&running.buffer, batch(number, 100_000)).await, Stored::Yes);
    }
    let dropped = running.dropped.load(Ordering::SeqCst);
    let stat = running.buffer.stat();
    assert!(dropped > 200 && dropped < 350, "{dropped}");
    assert_eq!((stat.events, stat.cursors[0].events_lost), (400 - dropped as u64, dropped as u64));
    running.finish();
}

/// Appends one batch that is stored, breaks the disk, and appends another one.
#[track_caller]
fn broken(what: u8) -> (TempDir, Running, crate::buffer::Failure) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let running = open(&folder, &plan(1 << 20), 1);
    let failure = runtime.block_on(async {
        assert_eq!(append(&running.buffer, batch(1, 500)).await, Stored::Yes);
        running.what.store(what, Ordering::SeqCst);
        assert_eq!(append(&running.buffer, batch(2, 500)).await, Stored::No);
        let failure = timeout(MOMENT, running.buffer.failed()).await.expect("it says so");
        assert!(running.buffer.try_append(batch(3, 500)).is_err());
        assert_eq!(running.buffer.stat().condition, Condition::Failed);
        failure
    });
    (folder, running, failure)
}

#[test]
fn a_failed_sync_is_the_end_and_nothing_is_written_after_it() {
    let (folder, running, failure) = broken(SYNC);
    assert!(failure.is_fatal && failure.reason.contains("cannot sync a"), "{failure:?}");
    let writes = running.writes.load(Ordering::SeqCst);
    running.what.store(NOTHING, Ordering::SeqCst);
    let count = running.writes.clone();
    running.finish();
    assert_eq!(count.load(Ordering::SeqCst), writes, "neither data nor a checkpoint");
    let again = open(&folder, &plan(1 << 20), 1);
    assert!(again.buffer.stat().cursors[0].events_restored >= 1);
    again.finish();
}

#[test]
fn a_failed_write_stops_intake_and_lets_sinks_read_on() {
    let (_folder, mut running, failure) = broken(WRITE);
    assert!(!failure.is_fatal && failure.reason.contains("cannot write to a segment"), "{failure:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cursor = running.cursors.pop().expect("a sink");
        assert_eq!(drain(cursor, false).await, [1], "what was stored, and nothing that was not");
    });
    running.finish();
}

#[test]
fn a_writer_that_breaks_off_fails_the_buffer() {
    let (_folder, running, failure) = broken(PANIC);
    assert!(failure.is_fatal && failure.reason.contains("broke off"), "{failure:?}");
    assert!(running.writer.join().is_err());
}

#[tokio::test]
async fn sinks_that_are_to_settle_finish_what_they_hold_and_read_nothing_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(1 << 20), 1);
    for number in 0..20 {
        assert_eq!(append(&running.buffer, batch(number, 500)).await, Stored::Yes);
    }
    let mut out = Vec::new();
    assert!(read_some(&mut running.cursors[0], &mut out).await);
    running.buffer.close();
    running.buffer.settle();
    let cursor = &mut running.cursors[0];
    assert!(!cursor.is_finished() && !cursor.has_more() && !cursor.wait().await);
    let _ = cursor.ack(out.last().expect("entries").seq);
    assert!(cursor.is_finished());
    out.clear();
    cursor.read(10, usize::MAX, &mut out);
    assert!(out.is_empty());
    running.finish();
}

#[tokio::test]
async fn a_batch_too_large_for_an_entry_is_cut_between_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(64 << 20), 1);
    // Two million bytes are an eighth of the bound: what one entry takes.
    let (mut text, mut marks) = (String::new(), Vec::new());
    for number in 0..5_000_i64 {
        text += &format!("{{\"n\":{number},\"x\":\"{}\"}}\n", "x".repeat(1_000));
        marks.push(Mark { end: text.len() as u32, id: EventId([1; 16]), time: number, origin: None });
    }
    let whole = text.clone();
    let large = Batch {
        docs: text.into(),
        marks: marks.into(),
        source: SourceId(0),
        received: 1,
        is_rejects: false,
        tenant: None,
        sink: None,
    };
    assert_eq!(append(&running.buffer, large).await, Stored::Yes);
    let (mut read, mut times, mut out) = (String::new(), Vec::new(), Vec::new());
    while times.len() < 5_000 {
        out.clear();
        assert!(read_some(&mut running.cursors[0], &mut out).await);
        for entry in &out {
            assert!(entry.batch.docs.len() <= 2 << 20);
            for (document, mark) in entry.batch.documents() {
                read += std::str::from_utf8(document).expect("text");
                times.push(mark.time);
            }
        }
    }
    assert_eq!(read, whole);
    assert_eq!(times, (0..5_000).collect::<Vec<_>>());
    running.finish();
}
