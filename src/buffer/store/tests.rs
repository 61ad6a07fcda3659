//! The buffer on disk as sources and sinks see it, over a real directory, and over one that breaks on demand.

use std::io;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
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
use crate::buffer::Shedder;
use crate::buffer::Stored;
use crate::buffer::WhenFull;
use crate::buffer::Yields;
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

/// Gives up whatever is asked for, all of it at once, and keeps the numbers of the entries.
async fn shed(mut shedder: Shedder, shed: Arc<Mutex<Vec<u64>>>) {
    let mut read = Vec::new();
    loop {
        let piece = shedder.next().await;
        if piece.is_first {
            read.clear();
        }
        read.extend(piece.entries.iter().map(|entry| entry.seq));
        if piece.is_last {
            shedder.shed(|those| {
                let seqs = read.iter().filter(|seq| those.has(**seq)).map(|seq| seq.0);
                shed.lock().expect("nobody panics holding it").extend(seqs);
            });
            read.clear();
        }
    }
}

fn start_shedding(cursor: &mut Cursor, yields: Yields) -> Arc<Mutex<Vec<u64>>> {
    let numbers = Arc::default();
    tokio::spawn(shed(cursor.shedder(yields), Arc::clone(&numbers)));
    numbers
}

fn numbers(shed: &Mutex<Vec<u64>>) -> Vec<u64> {
    shed.lock().expect("nobody panics holding it").clone()
}

/// Appends until the buffer says that it is full; how many were appended.
async fn fill(running: &Running) -> i64 {
    let mut sent = 0;
    while running.buffer.stat().condition == Condition::Working {
        if let Ok(receipt) = running.buffer.try_append(batch(sent, 100_000)) {
            sent += 1;
            drop(receipt);
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
        assert!(sent < 1_000, "sixteen million bytes are the bound");
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_whose_oldest_entries_are_given_up_stops_nobody_and_gets_the_newest() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(2 << 20), 2);
    let good = tokio::spawn(drain(running.cursors.pop().expect("a sink"), false));
    let shed = start_shedding(&mut running.cursors[0], Yields::Last);
    let mut held = Vec::new();
    for number in 0..400 {
        assert_eq!(append(&running.buffer, batch(number, 100_000)).await, Stored::Yes);
        if number == 10 {
            assert!(read_some(&mut running.cursors[0], &mut held).await);
        }
    }
    let given_up = numbers(&shed);
    assert_eq!(given_up, (0..given_up.len() as u64).collect::<Vec<_>>(), "the oldest, in order, and each once");
    assert!(given_up.len() > 200 && given_up.len() < 350, "{}", given_up.len());
    let cursor = &mut running.cursors[0];
    let acked = cursor.ack(held.last().expect("some were read").seq);
    assert_eq!((acked.events, acked.from, acked.to), (0, Seq(0), Seq(0)), "what was under way is given up already");
    running.buffer.close();
    let cursor = running.cursors.pop().expect("a sink");
    let late = timeout(MOMENT, drain(cursor, false)).await.expect("it ends");
    assert_eq!(late, (given_up.len() as i64..400).collect::<Vec<_>>());
    assert_eq!(timeout(MOMENT, good).await.expect("it ends").expect("no panic"), (0..400).collect::<Vec<_>>());
    let stat = running.buffer.stat();
    let (late, good) = (&stat.cursors[0], &stat.cursors[1]);
    assert_eq!((late.events_shed, late.events_lost, late.events_acked), (given_up.len() as u64, 0, 400 - given_up.len() as u64));
    assert_eq!((good.events_shed, good.events_lost, good.events_acked), (0, 0, 400));
    running.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_up_that_another_sink_keeps() {
    for yields in [Yields::First, Yields::Last] {
        given_up_once_nobody_keeps_it(yields).await;
    }
}

async fn given_up_once_nobody_keeps_it(yields: Yields) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(2 << 20), 2);
    let kept = running.cursors.pop().expect("a sink");
    let shed = start_shedding(&mut running.cursors[0], yields);
    let sent = fill(&running).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((numbers(&shed).len(), running.buffer.stat().cursors[0].events_shed), (0, 0));
    // The other one goes on, and now it makes room.
    let kept = tokio::spawn(drain(kept, false));
    for number in sent..sent + 100 {
        assert_eq!(append(&running.buffer, batch(number, 100_000)).await, Stored::Yes);
    }
    assert!(!numbers(&shed).is_empty());
    running.buffer.close();
    assert_eq!(timeout(MOMENT, kept).await.expect("it ends").expect("no panic").len() as i64, sent + 100);
    running.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_yields_last_gives_up_nothing_before_the_others_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(2 << 20), 2);
    let last = start_shedding(&mut running.cursors[0], Yields::Last);
    let mut first = running.cursors[1].shedder(Yields::First);
    let sent = fill(&running).await;
    assert_eq!(numbers(&last).len(), 0, "the other one may not be able to");
    let mut piece = timeout(MOMENT, first.next()).await.expect("it is asked");
    let mut read = piece.entries.len();
    while !piece.is_last {
        first.shed(|_| {});
        assert_eq!(numbers(&last).len(), 0);
        piece = timeout(MOMENT, first.next()).await.expect("it is asked");
        read += piece.entries.len();
    }
    first.shed(|_| {});
    assert_eq!(append(&running.buffer, batch(sent, 100)).await, Stored::Yes, "a segment is enough");
    assert_eq!(numbers(&last).len(), read, "the same");
    // Whoever has the handle has gone: now senders wait for its sink.
    drop(first);
    fill(&running).await;
    assert_eq!(numbers(&last).len(), read);
    running.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_reads_what_is_being_given_up_skips_it_and_finds_nothing_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    // No window to speak of: it reads from segments all the time, and those become others under its hands.
    let mut running = open(&folder, &plan(256 << 10), 1);
    let shed = start_shedding(&mut running.cursors[0], Yields::Last);
    let buffer = running.buffer.clone();
    let sender = tokio::spawn(async move {
        for number in 0..3_000 {
            let _ = buffer.append(batch(number, 30_000)).await.expect("it is open");
        }
        buffer.close();
    });
    let mut cursor = running.cursors.pop().expect("a sink");
    let (mut seen, mut acked, mut out) = (Vec::new(), 0, Vec::new());
    while read_some(&mut cursor, &mut out).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if let Some(last) = out.last().map(|entry| entry.seq) {
            seen.extend(out.drain(..).map(|entry| entry.batch.received));
            acked += cursor.ack(last).events;
            if seen.len() % 5 == 0 {
                cursor.rewind();
            }
        }
    }
    sender.await.expect("no panic");
    assert!(seen.is_sorted_by(|one, next| one < next), "each once at the most, in order: {seen:?}");
    let (stat, given_up) = (running.buffer.stat(), numbers(&shed).len() as u64);
    let sink = &stat.cursors[0];
    assert_eq!((sink.events, sink.events_lost, stat.disk.expect("a disk").quarantined_bytes), (0, 0, 0));
    assert_eq!((sink.events_shed, sink.events_acked, given_up + acked), (given_up, acked, 3_000));
    assert!(given_up > 100 && acked > 100, "{given_up} {acked}: both happen");
    running.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_stays_so_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(2 << 20), 1);
    let given_up = Arc::default();
    let shedding = tokio::spawn(shed(running.cursors[0].shedder(Yields::First), Arc::clone(&given_up)));
    for number in 0..300 {
        assert_eq!(append(&running.buffer, batch(number, 100_000)).await, Stored::Yes);
    }
    let given_up = numbers(&given_up).len() as u64;
    assert!(given_up > 100);
    // It keeps the directory open.
    shedding.abort();
    let _ = shedding.await;
    running.finish();
    let running = open(&folder, &plan(2 << 20), 1);
    assert_eq!(running.buffer.stat().cursors[0].events_restored, 300 - given_up);
    running.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_counts_from_the_first_entry_on_that_was_not_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = open(&folder, &plan(2 << 20), 1);
    let mut shedder = running.cursors[0].shedder(Yields::Last);
    let sent = fill(&running).await;
    let mut held = Vec::new();
    while held.len() < 40 {
        assert!(read_some(&mut running.cursors[0], &mut held).await);
    }
    let mut read = 0;
    loop {
        let piece = timeout(MOMENT, shedder.next()).await.expect("it is asked");
        read += piece.entries.len() as u64;
        if piece.is_last {
            break;
        }
    }
    let mut told = None;
    shedder.shed(|shed| told = Some(shed));
    let shed = told.expect("nothing else has moved");
    assert_eq!((shed.from, shed.to), (Seq(0), Seq(read)), "a segment");
    assert!(read > 5 && read < 15, "{read}");
    let cursor = &mut running.cursors[0];
    let mut seen = Vec::new();
    let acked = cursor.ack_and(Seq(39), |acked| seen.push(*acked));
    assert_eq!((acked.from, acked.to, acked.events), (shed.to, Seq(40), 40 - read));
    assert_eq!(seen, [acked]);
    let stat = running.buffer.stat();
    let sink = &stat.cursors[0];
    assert_eq!((sink.events_shed, sink.events_acked, sink.events_lost), (read, 40 - read, 0));
    assert_eq!(sink.events + 40, stat.events_appended);
    assert_eq!(append(&running.buffer, batch(sent, 100)).await, Stored::Yes);
    running.finish();
}
