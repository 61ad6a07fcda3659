//! The log on a disk that loses, tears and fails, step by step against a plain list of what it was given.
//!
//! `BUFFER_SEED` and `BUFFER_STEPS` repeat one life, as a failure says. It knows nothing of how the log does its work.

#[path = "support/buffer_world.rs"]
mod buffer_world;
#[path = "buffer_model/giving_up.rs"]
mod giving_up;
#[path = "support/modelled_disk.rs"]
mod modelled_disk;
#[path = "support/planted_disk.rs"]
mod planted_disk;

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use buffer_world::Stat;
use buffer_world::World;
use elbow::batch::Batch;
use elbow::batch::EventId;
use elbow::batch::Mark;
use elbow::batch::SourceId;
use elbow::buffer::Entry;
use elbow::buffer::format::BLOCK;
use elbow::buffer::format::Point;
use elbow::buffer::log::Durability;
use elbow::buffer::log::Full;
use elbow::buffer::log::Log;
use elbow::buffer::log::LogError;
use elbow::buffer::log::LogPlan;
use elbow::buffer::recovery::OpenError;
use elbow::buffer::recovery::Recovered;
use elbow::seq::Seq;
use modelled_disk::Fault;
use modelled_disk::Harm;
use modelled_disk::Machine;
use modelled_disk::Op;
use planted_disk::Mistake;
use rustix::io::Errno;

/// Steps of one life.
const STEPS: u64 = 300;

/// Lives that every run of the tests goes through.
const LIVES: u64 = 100;

/// Lives of the long form: more than a million steps.
const LIVES_LONG: u64 = 4_000;

/// Lives until a planted mistake must have been found.
const LIVES_MISTAKEN: u64 = 60;

/// One life from beginning to end; what was broken in it, with all that led there.
fn live(seed: u64, steps: u64) -> Result<Stat, String> {
    live_in(World::new(seed, false, None), seed, steps)
}

fn live_in(mut world: World, seed: u64, steps: u64) -> Result<Stat, String> {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..steps {
            world.step()?;
        }
        world.finish()
    }));
    let broken = match lived {
        Ok(Ok(())) => return Ok(world.stat),
        Ok(Err(broken)) => broken,
        Err(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => format!("it panicked: {text}"),
            (_, Some(text)) => format!("it panicked: {text}"),
            _ => "it panicked".to_owned(),
        },
    };
    let again = format!("BUFFER_SEED={seed} BUFFER_STEPS={steps} cargo test --test buffer_model one_life");
    Err(format!("{broken}\nin step {} of {steps}; again by\n\n    {again}\n\n{}", world.stat.steps, world.story()))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Many lives, and what happened in them.
fn live_all(seeds: impl Iterator<Item = u64>, steps: u64) -> Stat {
    let mut total = Stat::default();
    let mut broken = Vec::new();
    for seed in seeds {
        match live(seed, steps) {
            Ok(stat) => total.add(&stat),
            Err(how) => {
                println!("{}", how.split("the last calls").next().unwrap_or_default());
                broken.push(how);
            }
        }
    }
    if let Some(first) = broken.first() {
        panic!("{} lives were broken; the first: {first}", broken.len());
    }
    for (what, times) in total.figures() {
        println!("{times:>9} {what}");
        assert!(times > 0, "no {what}: the simulation does not try what it is for");
    }
    total
}

#[test]
fn a_log_keeps_its_promises_through_many_lives() {
    let _ = live_all(0..LIVES, STEPS);
}

#[test]
fn one_life() {
    let (seed, steps) = (number("BUFFER_SEED").unwrap_or(0), number("BUFFER_STEPS").unwrap_or(STEPS));
    live(seed, steps).unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
#[ignore = "takes minutes; BUFFER_SEED says where to begin, BUFFER_LIVES how many there are"]
fn a_log_keeps_its_promises_through_very_many_lives() {
    let first = number("BUFFER_SEED").unwrap_or(LIVES);
    let lives = number("BUFFER_LIVES").unwrap_or(LIVES_LONG);
    let stat = live_all(first..first + lives, number("BUFFER_STEPS").unwrap_or(STEPS));
    assert!(stat.steps > 0);
}

#[test]
fn every_planted_mistake_is_found() {
    for mistake in Mistake::ALL {
        // The same life without the mistake is a good one.
        let is_good = |seed: &u64| live_in(World::new(*seed, true, None), *seed, STEPS).is_ok();
        let mistaken = |seed| live_in(World::new(seed, true, Some(mistake)), seed, STEPS).err();
        let found = (0..LIVES_MISTAKEN).filter(is_good).find_map(mistaken);
        let found = found.unwrap_or_else(|| panic!("{mistake:?} was not found in {LIVES_MISTAKEN} lives"));
        println!("{mistake:?}: {}", found.lines().next().unwrap_or_default());
    }
}

/// One event each, three frames of which fill a segment.
fn entries(numbers: Range<u64>) -> Vec<Entry> {
    let entry = |seq: u64| {
        let docs = format!("{{\"n\":{seq},\"x\":\"{}\"}}\n", "x".repeat(900));
        let marks = [Mark { end: docs.len() as u32, id: EventId([seq as u8; 16]), time: 1, origin: None }].into();
        let batch =
            Batch { docs: docs.into(), marks, source: SourceId(0), received: 2, is_rejects: false, tenant: None, sink: None };
        Entry { seq: Seq(seq), batch: Arc::new(batch) }
    };
    numbers.map(entry).collect()
}

/// So many sinks, with names so long, that their marks do not fit in one sector.
fn sinks() -> Vec<String> {
    (0..8).map(|sink| format!("{sink}{}", "-of-some-length".repeat(4))).collect()
}

fn open(machine: &Arc<Machine>, durability: Durability) -> Result<(Log, Recovered), OpenError> {
    let plan = LogPlan { bytes_max: 16 * 4 * BLOCK, free_bytes_min: 0, segment_bytes: 4 * BLOCK, durability };
    Log::open(machine.disk(), plan, Arc::default(), &sinks(), &[], [7; 16])
}

/// Commits a frame for each number.
fn commit(log: &mut Log, numbers: Range<u64>) {
    for number in numbers {
        let _ = log.commit(&entries(number..number + 1)).expect("nothing is wrong");
    }
}

/// The place behind so many entries, and the numbers of the others; that anything is lost is a failure.
#[track_caller]
fn read(log: &Log, from: Point) -> Vec<(u64, Point)> {
    let mut reader = log.reader(from);
    let mut numbers = Vec::new();
    loop {
        let out = reader.read().expect("nothing is wrong");
        assert_eq!(out.lost, None, "after {numbers:?}");
        if out.entries.is_empty() {
            return numbers;
        }
        numbers.extend(out.entries.iter().map(|(entry, behind)| (entry.seq.0, *behind)));
    }
}

fn numbers(log: &Log, from: Point) -> Vec<u64> {
    read(log, from).into_iter().map(|(number, _)| number).collect()
}

fn mark(log: &mut Log, point: Point) -> Result<(), LogError> {
    log.checkpoint(sinks().into_iter().map(|sink| (sink, point)).collect())
}

#[test]
fn a_reader_passes_over_what_was_let_go_of_before_it_came_there() {
    let machine = Machine::new(0);
    let (mut log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
    commit(&mut log, 0..12);
    let mut reader = log.reader(Point::default());
    let first = reader.read().expect("nothing is wrong");
    assert_eq!(first.entries[0].0.seq, Seq(0));
    // Its segment goes, the file becomes another one, and it was in the middle of it.
    let (_, middle) = read(&log, Point::default())[6];
    mark(&mut log, middle).expect("nothing is wrong");
    commit(&mut log, 12..20);
    let (mut numbers, mut lost) = (Vec::new(), Vec::new());
    while numbers.last() != Some(&19) {
        let out = reader.read().expect("nothing is wrong");
        numbers.extend(out.entries.iter().map(|(entry, _)| entry.seq.0));
        lost.extend(out.lost);
    }
    assert_eq!((numbers, lost), ((6..20).collect(), Vec::new()));
    assert_eq!(log.segments().quarantined_bytes(), 0);
}

/// Losses of power that are tried for each story.
const POWER_LOSSES: u64 = 200;

/// A log of which three entries are durable, the first is acked, and the segment of the fourth was made long before it; its
/// commit is harmed.
fn with_a_segment_made_ahead(harm: Harm) -> (Arc<Machine>, Point) {
    let machine = Machine::new(0);
    let (mut log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
    commit(&mut log, 0..1);
    log.prepare().expect("there is room");
    commit(&mut log, 1..3);
    let (_, first) = read(&log, Point::default())[0];
    mark(&mut log, first).expect("nothing is wrong");
    machine.fail(Fault { op: Some(Op::Sync), skip: 0, harm });
    log.commit(&entries(3..4)).expect_err("the fault");
    (machine, first)
}

#[test]
fn a_segment_begins_with_its_first_frame_whatever_becomes_of_its_head() {
    for seed in 0..POWER_LOSSES {
        let (machine, first) = with_a_segment_made_ahead(Harm::Kill);
        machine.crash_power(seed);
        let (log, recovered) = open(&machine, Durability::Disk).expect("nothing is wrong");
        assert_eq!(recovered.marks[0], first);
        assert!([vec![1, 2], vec![1, 2, 3]].contains(&numbers(&log, first)));
    }
}

#[test]
fn a_segment_that_failed_to_sync_does_not_pass_for_an_earlier_one() {
    for seed in 0..POWER_LOSSES {
        let (machine, first) = with_a_segment_made_ahead(Harm::Error(Errno::IO));
        machine.stop_process();
        let (mut log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
        commit(&mut log, 4..5);
        machine.crash_power(seed);
        let (log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
        assert_eq!(numbers(&log, first), [1, 2, 3, 4]);
    }
}

#[test]
fn marks_survive_a_failed_sync_and_the_loss_of_power_behind_it() {
    for seed in 0..POWER_LOSSES {
        let machine = Machine::new(0);
        let (mut log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
        commit(&mut log, 0..2);
        let points: Vec<Point> = read(&log, Point::default()).into_iter().map(|(_, behind)| behind).collect();
        mark(&mut log, points[0]).expect("nothing is wrong");
        machine.fail(Fault { op: Some(Op::Sync), skip: 0, harm: Harm::Error(Errno::IO) });
        mark(&mut log, points[1]).expect_err("the fault");
        drop(log);
        machine.stop_process();
        machine.fail(Fault { op: Some(Op::Sync), skip: (seed % 8) as u32, harm: Harm::Kill });
        let _ = open(&machine, Durability::Disk);
        machine.heal();
        machine.crash_power(seed);
        let (_, recovered) = open(&machine, Durability::Disk).expect("nothing is wrong");
        assert!(!recovered.marks_lost && points.contains(&recovered.marks[0]), "{recovered:?}");
    }
}

#[test]
fn what_was_copied_is_read_from_the_copy_where_the_original_is_gone() {
    for seed in 0..POWER_LOSSES {
        let machine = Machine::new(0);
        let (mut log, _) = open(&machine, Durability::Os).expect("nothing is wrong");
        commit(&mut log, 0..3);
        machine.crash_process();
        let (log, recovered) = open(&machine, Durability::Os).expect("nothing is wrong");
        assert_eq!((recovered.carried_events, log.durable()), (3, log.end()));
        machine.crash_power(seed);
        let (log, _) = open(&machine, Durability::Os).expect("nothing is wrong");
        assert_eq!(numbers(&log, Point::default()), [0, 1, 2]);
    }
}

#[test]
fn nothing_is_committed_behind_what_there_was_no_room_to_copy() {
    for seed in 0..POWER_LOSSES {
        let machine = Machine::new(0);
        let (mut log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
        commit(&mut log, 0..1);
        machine.fail(Fault { op: Some(Op::Sync), skip: 0, harm: Harm::Error(Errno::IO) });
        log.commit(&entries(1..2)).expect_err("the fault");
        drop(log);
        machine.stop_process();
        machine.fail(Fault { op: Some(Op::Create), skip: 0, harm: Harm::Error(Errno::NOSPC) });
        let (mut log, recovered) = open(&machine, Durability::Disk).expect("room is not needed");
        assert_eq!((recovered.full, log.durable().seq), (Some(Full::Filesystem), 1));
        commit(&mut log, 2..3);
        machine.crash_power(seed);
        let (log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
        assert_eq!(numbers(&log, Point::default()), [0, 1, 2]);
    }
}

/// A log with a backlog over some segments, a mark in the middle of them, and a last frame that nothing proves durable.
fn with_a_backlog() -> (Arc<Machine>, Point) {
    let machine = Machine::new(0);
    let (mut log, _) = open(&machine, Durability::Disk).expect("nothing is wrong");
    commit(&mut log, 0..8);
    let (_, middle) = read(&log, Point::default())[4];
    mark(&mut log, middle).expect("nothing is wrong");
    commit(&mut log, 8..10);
    drop(log);
    machine.crash_process();
    (machine, middle)
}

/// How many calls opening it makes, whatever harms the one after `skip` of them, and whatever ends the process then: what is
/// opened next is the same log.
fn open_in_spite_of(harm: Harm, end: impl Fn(&Machine)) -> u32 {
    for skip in 0.. {
        let (machine, middle) = with_a_backlog();
        let before = machine.file_bytes();
        machine.fail(Fault { op: None, skip, harm });
        let opened = open(&machine, Durability::Disk).map(drop);
        if machine.heal() > 0 {
            assert!(opened.is_ok(), "the fault did not happen");
            return skip;
        }
        end(&machine);
        let (mut log, recovered) = open(&machine, Durability::Disk).expect("nothing is wrong any more");
        assert_eq!((recovered.marks[0], recovered.lost_events), (middle, 0), "call {skip}");
        assert_eq!(numbers(&log, middle), [5, 6, 7, 8, 9], "call {skip}");
        // One segment for each time it was opened, at the most.
        assert!(machine.file_bytes() <= before + 2 * 4 * BLOCK, "call {skip}");
        commit(&mut log, 10..12);
        assert_eq!(numbers(&log, middle), [5, 6, 7, 8, 9, 10, 11], "call {skip}");
    }
    unreachable!("opening ends")
}

#[test]
fn opening_may_be_broken_off_at_any_call() {
    for harm in [Harm::Kill, Harm::Error(Errno::IO), Harm::Error(Errno::NOSPC)] {
        let calls = open_in_spite_of(harm, Machine::crash_process);
        assert!(calls > 30, "{calls}");
        for seed in 0..8 {
            assert_eq!(open_in_spite_of(harm, |machine| machine.crash_power(seed)), calls);
        }
    }
}
