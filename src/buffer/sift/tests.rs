//! A log before and after something went: what stays is what was to stay, wherever it is broken off.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::batch::EventId;
use crate::batch::SourceId;
use crate::buffer::WhenFull;
use crate::buffer::disk::RealDisk;
use crate::buffer::frame::SourceNames;
use crate::buffer::log::Full;
use crate::buffer::outside;
use crate::buffer::recovery::Recovered;

const SINK: &str = "only";

fn open(folder: &TempDir) -> (Log, Recovered) {
    let plan = LogPlan { bytes_max: 1 << 20, free_bytes_min: 0, segment_bytes: 64 << 10, durability: Durability::Disk };
    let disk = Arc::new(RealDisk::open(folder.path()).expect("a folder"));
    Log::open(disk, plan, Arc::new(SourceNames::default()), &[SINK.to_owned()], &[], [7; 16]).expect("it opens")
}

/// Commits entries of so many events, and gives the number of events.
fn fill(log: &mut Log, sizes: &[u8]) -> u64 {
    let mut number = 0;
    for (seq, events) in (log.end().seq..).zip(sizes) {
        let (mut docs, mut marks) = (Vec::new(), Vec::new());
        for _ in 0..*events {
            docs.extend_from_slice(format!("{number}{}\n", " ".repeat(number % 3000)).as_bytes());
            marks.push(Mark { end: docs.len() as u32, id: EventId([number as u8; 16]), time: number as i64, origin: None });
            number += 1;
        }
        let batch = Batch {
            docs: docs.into(),
            marks: marks.into(),
            source: SourceId(0),
            received: seq as i64 * 10,
            is_rejects: true,
            tenant: None,
            sink: None,
        };
        let _ = log.commit(&[Entry { seq: Seq(seq), batch: Arc::new(batch) }]).expect("there is room");
    }
    number as u64
}

/// The numbers of the events that are there, as somebody sees them from outside.
fn left(folder: &TempDir) -> Vec<u64> {
    let mut numbers = Vec::new();
    let names = SourceNames::default();
    let lost = outside::entries(&RealDisk::read_only(folder.path()), SINK, &names, &mut |entry| {
        assert!(entry.batch.is_rejects);
        numbers.extend(events(entry).map(|event| number(&event)));
        ControlFlow::Continue(())
    });
    assert_eq!(lost.expect("readable"), 0);
    numbers
}

fn number(event: &Event<'_>) -> u64 {
    let number: u64 = str::from_utf8(event.document).expect("text").trim().parse().expect("a number");
    assert_eq!((event.mark.id.0[0], event.mark.time), (number as u8, number as i64), "what stands beside it stays beside it");
    number
}

/// Lets every event go for which this says so, and breaks off after so many of them.
struct Some<'s> {
    goes: &'s dyn Fn(u64) -> bool,
    taken: Vec<u64>,
    settled: usize,
    most: usize,
}

impl Sieve for Some<'_> {
    fn goes(&mut self, event: &Event<'_>) -> bool {
        (self.goes)(number(event))
    }

    fn take(&mut self, event: &Event<'_>) -> Result<bool, CommitError> {
        let goes = self.goes(event);
        if goes {
            self.taken.push(number(event));
        }
        Ok(goes)
    }

    fn settle(&mut self) -> Result<(), CommitError> {
        if self.taken.len() > self.most {
            return Err(CommitError::Full(Full::Limit));
        }
        self.settled = self.taken.len();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_stays_stays_and_what_goes_goes(sizes in vec(1..6_u8, 0..30), every in 1..9_u64, from in 0..40_u64, breaks in any::<bool>()) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, recovered) = open(&folder);
        let count = fill(&mut log, &sizes);
        let goes = |number: u64| number >= from && number.is_multiple_of(every);
        let mut sieve = Some { goes: &goes, taken: Vec::new(), settled: 0, most: if breaks { 0 } else { usize::MAX } };
        let sifted = sift(&mut log, SINK, recovered.marks[0], &mut sieve);
        drop(log);
        let going: Vec<u64> = (0..count).filter(|number| goes(*number)).collect();
        let staying: BTreeSet<u64> = (0..count).filter(|number| !goes(*number)).collect();
        let found = left(&folder);
        if breaks && !going.is_empty() {
            prop_assert!(sifted.is_err());
            prop_assert_eq!(found, (0..count).collect::<Vec<_>>(), "nothing was settled, so everything is there");
        } else {
            let sifted = sifted.expect("there is room");
            prop_assert_eq!((sifted.gone, sifted.stayed, sifted.lost), (going.len() as u64, staying.len() as u64, 0));
            prop_assert_eq!(sieve.taken, going);
            prop_assert_eq!(found.len(), staying.len(), "each once");
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), staying);
        }
        // And again after a restart, with nothing to do.
        let before = left(&folder);
        let (mut log, recovered) = open(&folder);
        let nothing = sift(&mut log, SINK, recovered.marks[0], &mut Some { goes: &|_| false, taken: Vec::new(), settled: 0, most: 0 });
        prop_assert_eq!(nothing.expect("readable"), Sifted { stayed: before.len() as u64, ..Sifted::default() });
        prop_assert_eq!(left(&folder), before);
    }
}

#[test]
fn broken_off_between_groups_nothing_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = LogPlan { bytes_max: 64 << 20, free_bytes_min: 0, segment_bytes: 1 << 20, durability: Durability::Os };
    let disk = Arc::new(RealDisk::open(folder.path()).expect("a folder"));
    let (mut log, recovered) =
        Log::open(disk, plan, Arc::new(SourceNames::default()), &[SINK.to_owned()], &[], [7; 16]).expect("it opens");
    let count = fill(&mut log, &[200; 45]);
    let mut sieve = Some { goes: &|number| number % 2 == 0, taken: Vec::new(), settled: 0, most: 3_500 };
    assert!(matches!(sift(&mut log, SINK, recovered.marks[0], &mut sieve), Err(SiftError::Elsewhere(_))));
    drop(log);
    assert!(sieve.settled > 1_000 && sieve.settled < sieve.taken.len(), "{} of {}", sieve.settled, sieve.taken.len());
    let found: BTreeSet<u64> = left(&folder).into_iter().collect();
    let settled: BTreeSet<u64> = sieve.taken[..sieve.settled].iter().copied().collect();
    let wanted: BTreeSet<u64> = (0..count).filter(|number| !settled.contains(number)).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_full_log_has_room_to_be_sifted() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = DiskPlan {
        path: folder.path().to_owned(),
        bytes_max: 16 << 20,
        free_bytes_min: 0,
        durability: Durability::Disk,
        memory_bytes_max: 0,
        forget: Vec::new(),
        when_full: WhenFull::Block,
    };
    let open = |plan: LogPlan| {
        let disk = Arc::new(RealDisk::open(folder.path()).expect("a folder"));
        Log::open(disk, plan, Arc::new(SourceNames::default()), &[SINK.to_owned()], &[], [7; 16]).expect("it opens")
    };
    let mut log = open(LogPlan { durability: Durability::Os, ..plan.log_plan() }).0;
    let mut numbers = 0_u64;
    loop {
        let mut docs = format!("{numbers}{}\n{}", " ".repeat(200_000), numbers + 1).into_bytes();
        let first = docs.iter().position(|byte| *byte == b'\n').expect("one") as u32 + 1;
        docs.push(b'\n');
        let end = docs.len() as u32;
        let mark = |end, number: u64| Mark { end, id: EventId([number as u8; 16]), time: number as i64, origin: None };
        let marks = [mark(first, numbers), mark(end, numbers + 1)].into();
        let batch =
            Batch { docs: docs.into(), marks, source: SourceId(0), received: 0, is_rejects: true, tenant: None, sink: None };
        let entry = Entry { seq: Seq(log.end().seq), batch: Arc::new(batch) };
        match log.commit(&[entry]) {
            Ok(_) => numbers += 2,
            Err(CommitError::Full(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    drop(log);
    // What goes is small, so that nearly everything is written once more.
    let (mut log, recovered) = open(plan_for(&plan));
    let mut sieve = Some { goes: &|number| number % 2 == 1, taken: Vec::new(), settled: 0, most: usize::MAX };
    let sifted = sift(&mut log, SINK, recovered.marks[0], &mut sieve).expect("there is room");
    assert_eq!((sifted.gone, sifted.moved), (numbers / 2, numbers / 2));
    drop(log);
    assert_eq!(left(&folder), (0..numbers).step_by(2).collect::<Vec<_>>());
    let held: u64 =
        std::fs::read_dir(folder.path()).expect("there").map(|item| item.expect("a file").metadata().expect("one").len()).sum();
    assert!(held <= plan_for(&plan).bytes_max + (16 << 10), "{held}");
}
