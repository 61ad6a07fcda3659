//! The log on a real directory: what goes in comes out, across restarts and in bounded room. What becomes of it when disks
//! lie is tried by the simulation in `tests/`.

use tempfile::TempDir;

use super::*;
use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::SourceId;
use crate::buffer::disk::RealDisk;
use crate::buffer::recovery::OpenError;
use crate::buffer::recovery::Recovered;
use crate::seq::Seq;

const SEGMENT: u64 = 64 * 1024;

/// An entry of one document that says its number.
fn entry(seq: u64) -> Entry {
    let text = format!("{{\"n\":{seq},\"{}\":0}}\n", "x".repeat((seq * 7 % 900) as usize));
    let mark = Mark { end: text.len() as u32, id: EventId([seq as u8; 16]), time: seq as i64, origin: None };
    Entry {
        seq: Seq(seq),
        batch: Arc::new(Batch {
            docs: text.into(),
            marks: [mark].into(),
            source: SourceId(1),
            received: 5,
            is_rejects: false,
            tenant: None,
            sink: None,
        }),
    }
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(entry).collect()
}

fn try_open(folder: &TempDir, sinks: &[&str], forget: &[&str]) -> Result<(Log, Recovered), OpenError> {
    let plan = LogPlan { bytes_max: 8 * SEGMENT, free_bytes_min: 0, segment_bytes: SEGMENT, durability: Durability::Disk };
    let names = Arc::new(SourceNames::new(&["first".to_owned(), "second".to_owned()]));
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let disk = Arc::new(RealDisk::open(folder.path()).expect("a folder"));
    Log::open(disk, plan, names, &owned(sinks), &owned(forget), [7; 16])
}

fn open(folder: &TempDir, sinks: &[&str]) -> (Log, Recovered) {
    try_open(folder, sinks, &[]).expect("it opens")
}

/// Everything there is to read from this place on.
fn read(log: &Log, from: Point) -> (Vec<u64>, u64, Point) {
    let mut reader = log.reader(from);
    let (mut seqs, mut lost) = (Vec::new(), 0);
    loop {
        let out = reader.read().expect("it can be read");
        lost += out.lost.map_or(0, |lost| lost.events());
        if out.entries.is_empty() {
            return (seqs, lost, reader.place());
        }
        for (read, _) in out.entries {
            let wanted = entry(read.seq.0);
            assert_eq!((&read.batch.docs, &read.batch.marks), (&wanted.batch.docs, &wanted.batch.marks));
            assert_eq!((read.batch.source, read.batch.received), (SourceId(1), 5));
            seqs.push(read.seq.0);
        }
    }
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, recovered) = open(&folder, &["a", "b"]);
    assert_eq!((recovered.marks, recovered.segments), (vec![Point::default(); 2], 0));
    for at in (0..300).step_by(3) {
        let _ = log.commit(&entries(at..at + 3)).expect("there is room");
    }
    assert_eq!(read(&log, Point::default()).0, (0..300).collect::<Vec<_>>());
    let (end, half) = (log.end(), log.reader(Point::default()).read().expect("readable").entries[1].1);
    log.checkpoint(vec![("a".to_owned(), half), ("b".to_owned(), end)]).expect("written");
    drop(log);
    for _ in 0..3 {
        let (log, recovered) = open(&folder, &["a", "b"]);
        assert_eq!(recovered.marks, [half, end]);
        assert_eq!((recovered.torn_tail, recovered.lost_events, recovered.carried_events), (false, 0, 0));
        assert_eq!(read(&log, half).0, (2..300).collect::<Vec<_>>());
        assert_eq!(read(&log, end), (Vec::new(), 0, end));
    }
    let (mut log, _) = open(&folder, &["a", "b"]);
    let _ = log.commit(&entries(300..310)).expect("there is room");
    drop(log);
    let (log, _) = open(&folder, &["a", "b"]);
    assert_eq!(read(&log, half).0, (2..310).collect::<Vec<_>>());
}

#[test]
fn a_frame_that_no_later_one_proves_durable_is_copied_once_per_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, &["a"]);
    for at in 0..4 {
        let _ = log.commit(&entries(at * 2..at * 2 + 2)).expect("there is room");
    }
    drop(log);
    let (log, recovered) = open(&folder, &["a"]);
    assert_eq!(recovered.carried_events, 2);
    assert_eq!(read(&log, Point::default()).0, (0..8).collect::<Vec<_>>());
    drop(log);
    let (mut log, recovered) = open(&folder, &["a"]);
    assert_eq!(recovered.carried_events, 0, "a checkpoint says that all is durable");
    let _ = log.commit(&entries(8..9)).expect("there is room");
    assert_eq!(read(&log, Point::default()).0, (0..9).collect::<Vec<_>>());
}

#[test]
fn a_full_log_goes_on_when_a_checkpoint_has_made_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, &["a"]);
    let (mut next, mut times_full) = (0, 0);
    while next < 3_000 {
        match log.commit(&entries(next..next + 10)) {
            Ok(_) => next += 10,
            Err(CommitError::Full(full)) => {
                assert_eq!(full, Full::Limit);
                times_full += 1;
                let end = log.end();
                log.checkpoint(vec![("a".to_owned(), end)]).expect("written");
            }
            Err(CommitError::Failed(error)) => panic!("{error}"),
        }
        let held: u64 =
            folder.path().read_dir().expect("a folder").map(|file| file.expect("a file").metadata().expect("a file").len()).sum();
        assert!(held <= 8 * SEGMENT + 2 * crate::buffer::format::SLOT as u64, "{held}");
        assert!(log.file_bytes() <= 8 * SEGMENT);
    }
    assert!(times_full > 3);
}

#[test]
fn a_sink_may_come_and_may_go_when_it_owes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, &["a", "b"]);
    let _ = log.commit(&entries(0..5)).expect("there is room");
    let end = log.end();
    log.checkpoint(vec![("a".to_owned(), end), ("b".to_owned(), Point::default())]).expect("written");
    drop(log);
    let (log, recovered) = open(&folder, &["b", "c"]);
    assert_eq!((recovered.marks, recovered.added), (vec![Point::default(), end], vec!["c".to_owned()]));
    drop(log);
    let error = try_open(&folder, &["c"], &[]).expect_err("b has a backlog");
    assert!(error.to_string().contains("5 events wait for it") && error.to_string().contains("--forget b"), "{error}");
    let (_, recovered) = try_open(&folder, &["c"], &["b"]).expect("it may go");
    assert_eq!(recovered.forgotten, [("b".to_owned(), 5)]);
    open(&folder, &["c"]);
}

#[test]
fn flipped_bytes_cost_the_frame_they_are_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, &["a"]);
    for at in 0..5 {
        let _ = log.commit(&entries(at * 2..at * 2 + 2)).expect("there is room");
    }
    drop(log);
    let path = folder.path().join(segment_name(0));
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[3 * 4096 + 100] ^= 1;
    std::fs::write(&path, bytes).expect("a file");
    for _ in 0..2 {
        let (log, recovered) = open(&folder, &["a"]);
        assert!(!recovered.torn_tail);
        let (seqs, lost, _) = read(&log, Point::default());
        assert_eq!((seqs, lost), (vec![0, 1, 2, 3, 6, 7, 8, 9], 2));
    }
    let kept: Vec<_> = folder.path().join("quarantine").read_dir().expect("a folder").collect();
    assert_eq!(kept.len(), 1);
}
