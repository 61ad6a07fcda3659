//! A sink that delivers nothing beside a buffer that is full, killed in the middle of giving up what it has: everything that was
//! stored is there still, in the buffer or among the dead letters.
//!
//! Threads and tasks take part in it, so that a seed says where a life breaks off, and not what has been done by then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use elbow::batch::Batch;
use elbow::batch::EventId;
use elbow::batch::Mark;
use elbow::batch::SourceId;
use elbow::buffer::Buffer;
use elbow::buffer::Cursor;
use elbow::buffer::DiskPlan;
use elbow::buffer::OnDisk;
use elbow::buffer::Stored;
use elbow::buffer::WhenFull;
use elbow::buffer::log::Durability;
use elbow::sink::DeadLetters;
use elbow::sink::SinkKind;
use elbow::sink::SinkPlan;
use elbow::stop::stop;
use tokio::time::timeout;

use crate::modelled_disk::Chance;
use crate::modelled_disk::Fault;
use crate::modelled_disk::Harm;
use crate::modelled_disk::Machine;

const MOMENT: Duration = Duration::from_secs(30);

/// Lives that are broken off, one after the other, on one disk.
const LIVES: u64 = 3;

/// How often that is tried.
const SEEDS: u64 = 12;

/// Events of one life, a few times what the buffer holds.
const EVENTS: u64 = 400;

const EVENT_BYTES: usize = 30_000;

/// A store and the thread that writes it.
struct Open {
    buffer: Buffer,
    cursor: Cursor,
    writer: JoinHandle<()>,
}

fn open(machine: &Arc<Machine>, folder: &str, bytes_max: u64) -> Open {
    let plan = DiskPlan {
        path: "unused".into(),
        bytes_max,
        free_bytes_min: 0,
        durability: Durability::Disk,
        memory_bytes_max: 1 << 20,
        forget: Vec::new(),
        when_full: WhenFull::Block,
    };
    let disk = machine.disk().directory(folder).expect("nothing is wrong yet");
    let OnDisk { buffer, mut cursors, writer, .. } =
        Buffer::disk(disk, &plan, &["in".to_owned()], &["out".to_owned()], [3; 16]).expect("nothing is wrong yet");
    Open { buffer, cursor: cursors.remove(0), writer: std::thread::spawn(move || writer.run(|_| {})) }
}

fn batch(number: u64) -> Batch {
    let docs = format!("{{\"n\":{number},\"x\":\"{}\"}}\n", "x".repeat(EVENT_BYTES));
    let marks = [Mark { end: docs.len() as u32, id: EventId([1; 16]), time: number as i64, origin: None }].into();
    Batch { docs: docs.into(), marks, source: SourceId(0), received: 1, is_rejects: false, tenant: None, sink: None }
}

/// The numbers of all events a cursor has left, which nobody acks.
async fn rest(cursor: &mut Cursor, buffer: &Buffer) -> BTreeSet<u64> {
    let (mut numbers, mut out) = (BTreeSet::new(), Vec::new());
    buffer.close();
    while timeout(MOMENT, cursor.wait()).await.expect("it is read") {
        cursor.read(100, usize::MAX, &mut out);
        numbers.extend(out.drain(..).flat_map(|entry| entry.batch.marks.iter().map(|mark| mark.time as u64).collect::<Vec<_>>()));
    }
    numbers
}

/// Fills the buffer beside a dead sink until the machine dies, or all is stored; adds what is known to be stored.
async fn live(machine: &Arc<Machine>, numbers: std::ops::Range<u64>, breaks_off: u32, stored: &mut BTreeSet<u64>) -> u64 {
    let Open { buffer, mut cursor, writer } = open(machine, "buffer", 4 << 20);
    let Open { buffer: letters, writer: letters_writer, cursor: _letters } = open(machine, "letters", 64 << 20);
    let kind = SinkKind::Stdout;
    let plan =
        SinkPlan { name: "out".to_owned(), kind, fallback: None, when: None, when_full: elbow::sink::WhenFull::DeadLetter };
    let sink = elbow::sink::Sink::load(plan).expect("it has no files");
    let shedding = sink.shedding(&mut cursor, &DeadLetters::new(Some(letters.clone()))).expect("it gives up");
    let (handle, watch) = stop();
    let shedding = tokio::spawn(shedding.run(watch));
    machine.fail(Fault { op: None, skip: breaks_off, harm: Harm::Kill });
    for number in numbers {
        let storing = async {
            match buffer.append(batch(number)).await {
                Ok(receipt) => receipt.stored().await,
                Err(_) => Stored::No,
            }
        };
        let dying = async {
            while !machine.is_dead() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What is answered in the moment of death is answered.
        let answer = tokio::select! {
            biased;
            answer = storing => answer,
            () = dying => Stored::No,
            () = tokio::time::sleep(MOMENT) => panic!("there is neither room nor an end\n{}", machine.trace()),
        };
        if answer == Stored::No {
            break;
        }
        stored.insert(number);
    }
    let given_up = sink.state().counts().events_given_up;
    let cursors = buffer.stat().cursors;
    assert_eq!(cursors[0].events_shed, sink.state().counts().events_given_up, "what the books say is what has moved");
    machine.heal();
    shedding.abort();
    let _ = shedding.await;
    drop(handle);
    buffer.finish();
    letters.finish();
    for writer in [writer, letters_writer] {
        writer.join().expect("a writer does not panic");
    }
    given_up
}

#[tokio::test]
async fn what_is_given_up_as_letters_is_nowhere_missing_after_the_loss_of_power() {
    let (mut given_up, mut died, mut both) = (0, 0, 0);
    for seed in 0..SEEDS {
        let machine = Machine::new(seed);
        let chance = &mut Chance::new(seed);
        let mut stored = BTreeSet::new();
        for life in 0..LIVES {
            let breaks_off = 100 + chance.below(2_500) as u32;
            given_up += live(&machine, life * EVENTS..(life + 1) * EVENTS, breaks_off, &mut stored).await;
            died += u64::from(machine.is_dead());
            if chance.one_in(2) { machine.crash_power(chance.next()) } else { machine.crash_process() }
        }
        let mut buffer = open(&machine, "buffer", 4 << 20);
        let mut letters = open(&machine, "letters", 64 << 20);
        let kept = rest(&mut buffer.cursor, &buffer.buffer).await;
        let letters_of = rest(&mut letters.cursor, &letters.buffer).await;
        let missing: Vec<_> = stored.iter().filter(|number| !kept.contains(number) && !letters_of.contains(number)).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}\n{}", machine.trace());
        both += kept.intersection(&letters_of).count();
        assert_eq!(letters.buffer.stat().cursors[0].events_lost + buffer.buffer.stat().cursors[0].events_lost, 0);
        for open in [buffer, letters] {
            open.buffer.finish();
            open.writer.join().expect("a writer does not panic");
        }
    }
    println!("{given_up} given up, {died} lives broken off, {both} events twice");
    assert!(given_up > 1_000 && died > SEEDS, "{given_up} {died}: it does not try what it is for");
}
