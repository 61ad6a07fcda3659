//! Damage to the buffer's files while no relay runs: torn, zeroed and garbled tails, bad checkpoints, a segment gone.
//!
//! Each kind is tried on many copies of one directory that a kill left behind. Of the files it knows how a segment and a frame
//! begin, as `src/buffer/format.rs` writes it down, and asks none of the relay's code.

use std::fs;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use crc32c::crc32c;
use crc32c::crc32c_append;

use crate::harness::Oracle;
use crate::ledger::Totals;
use crate::ledger::is_json;

/// Copies worked on at once.
const AT_ONCE: usize = 6;

const BLOCK: usize = 4096;

/// Stands at the beginning of each frame; the payload's length follows, and at 60 the header's CRC.
const FRAME: &[u8; 8] = b"\xe1BoW\x00frm";
const FRAME_HEADER: usize = 64;

/// Bytes of a checkpoint's slot; there are two.
const SLOT: u64 = 8192;

/// The segments, in order.
pub(crate) fn segments(buffer: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(buffer).expect("a directory").map(|entry| entry.expect("readable").path());
    let mut segments: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains("/segment-")).collect();
    segments.sort();
    segments
}

/// Where the frames of a segment stand, padding excluded; those of an earlier life of its file are none.
pub(crate) fn frames(segment: &[u8]) -> Vec<Range<usize>> {
    let [uuid, number] = [&segment[16..32], &segment[32..40]];
    let seed = crc32c_append(crc32c(uuid), number);
    let u32_at = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().expect("four bytes"));
    let is_whole = |at: &usize| crc32c_append(seed, &segment[*at..*at + 60]) == u32_at(*at + 60);
    let starts = (BLOCK..segment.len()).step_by(BLOCK).filter(|&at| segment[at..].starts_with(FRAME)).filter(is_whole);
    starts.map(|at| at..at + FRAME_HEADER + u32_at(at + 8) as usize).collect()
}

/// A relay's directory as a kill left it.
struct Killed {
    oracle: Oracle,
    /// What the last frame holds.
    last: Vec<u64>,
    /// Name of the last segment.
    segment: PathBuf,
    /// Where in it the frames are.
    frames: Vec<Range<usize>>,
}

/// A directory with a few frames of many lines and a last one of one short line.
fn killed(fault: &'static str) -> Killed {
    let mut oracle = Oracle::new(fault);
    oracle.start();
    for _ in 0..3 {
        oracle.send(20, 2_000);
    }
    let last = loop {
        let ids = oracle.send(1, 100);
        if is_json(ids[0]) {
            break ids;
        }
    };
    oracle.kill();
    let (segment, frames) = segments(&oracle.buffer())
        .into_iter()
        .map(|path| (path.clone(), frames(&fs::read(path).expect("readable"))))
        .rfind(|(_, frames)| !frames.is_empty())
        .expect("there are frames");
    assert!(frames.len() >= 4, "each connection was confirmed by itself: {frames:?}");
    Killed { segment: segment.file_name().expect("a name").into(), oracle, last, frames }
}

impl Killed {
    /// Damages one copy after the other and has a relay go on with each; lines in `lost` may be gone.
    fn try_each<T: Send + Clone + std::fmt::Debug>(mut self, lost: &[u64], cases: &[T], damage: impl Fn(&Path, &T) + Sync) {
        let waiting = Mutex::new(cases.to_vec());
        let sum = Mutex::new(Totals::default());
        let next = || waiting.lock().expect("nobody panics holding it").pop();
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(case) = next() {
                        let totals = self.one(lost, |buffer| damage(buffer, &case));
                        let mut sum = sum.lock().expect("nobody panics holding it");
                        *sum = sum.and(totals);
                    }
                });
            }
        });
        self.oracle.cycles = cases.len() as u64;
        self.oracle.report(sum.into_inner().expect("nobody panics holding it"));
    }

    /// What is there must be read, and what is confirmed behind the damage must survive the next kill.
    fn one(&self, lost: &[u64], damage: impl FnOnce(&Path)) -> Totals {
        let mut oracle = self.oracle.copy();
        oracle.ledger.forgive(lost);
        damage(&oracle.buffer());
        oracle.seen(true);
        oracle.start();
        oracle.send(2, 600);
        oracle.kill();
        oracle.pass();
        oracle.judge()
    }
}

/// So many places spread over a range, both ends among them.
fn spread(range: Range<usize>, count: usize) -> Vec<usize> {
    let length = range.len().saturating_sub(1);
    let mut places: Vec<usize> = (0..count).map(|at| range.start + at * length / (count - 1)).collect();
    places.dedup();
    places
}

fn torn_tails(fault: &'static str, places: impl FnOnce(Range<usize>) -> Vec<usize>) {
    let killed = killed(fault);
    let last = killed.frames.last().expect("there are frames").clone();
    let (segment, lost) = (killed.segment.clone(), killed.last.clone());
    killed.try_each(&lost, &places(last), |buffer, &at| {
        let file = File::options().write(true).open(buffer.join(&segment)).expect("it is there");
        file.set_len(at as u64).expect("it can be cut");
    });
}

#[test]
fn a_tail_torn_anywhere_costs_nothing_before_it() {
    torn_tails("torn tail", |frame| spread(frame, 20));
}

#[test]
#[ignore = "some minutes: every byte of a frame"]
fn long_a_tail_torn_at_every_byte_costs_nothing_before_it() {
    torn_tails("torn tail, every byte", |frame| {
        let padded = frame.end.next_multiple_of(BLOCK);
        frame.clone().chain(spread(frame.end..padded, 10)).collect()
    });
}

/// What stands behind the last frame.
#[derive(Clone, Copy, Debug)]
enum Behind {
    /// The file goes on with zeros.
    Zeros,
    /// What follows is garbage.
    Garbage,
    /// An earlier frame stands there again.
    EarlierFrame,
    /// The beginning of one does.
    HalfAFrame,
    /// A frame's first bytes do, with a length beyond all measure.
    EndlessFrame,
}

#[test]
fn zeros_garbage_and_old_frames_behind_the_tail_are_no_entries() {
    let killed = killed("behind the tail");
    let (segment, frames) = (killed.segment.clone(), killed.frames.clone());
    let all = [Behind::Zeros, Behind::Garbage, Behind::EarlierFrame, Behind::HalfAFrame, Behind::EndlessFrame];
    killed.try_each(&[], &all, |buffer, &behind| {
        let path = buffer.join(&segment);
        let before = fs::read(&path).expect("readable");
        let end = frames.last().expect("there are frames").end.next_multiple_of(BLOCK);
        let first = &before[frames[0].clone()];
        let garbage = || (0..3 * BLOCK).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[3]).collect();
        let (bytes, at): (Vec<u8>, usize) = match behind {
            Behind::Zeros => (vec![0; 5 * BLOCK + 7], before.len()),
            Behind::Garbage => (garbage(), end),
            Behind::EarlierFrame => (first.to_vec(), end),
            Behind::HalfAFrame => (first[..first.len() / 2].to_vec(), end),
            Behind::EndlessFrame => ([&FRAME[..], &[0xff; 56]].concat(), end),
        };
        let file = File::options().write(true).open(&path).expect("it is there");
        file.write_all_at(&bytes, at as u64).expect("there is room");
        assert_ne!(fs::read(&path).expect("readable"), before);
    });
}

/// What has become of the checkpoint.
#[derive(Clone, Copy, Debug)]
enum Checkpoint {
    /// A bit is turned over in one of the slots, or in each.
    Flipped(&'static [u64]),
    /// It is cut to so many bytes.
    Cut(u64),
    /// There is none.
    Missing,
}

#[test]
fn a_bad_checkpoint_costs_duplicates_and_nothing_else() {
    let mut oracle = Oracle::new("bad checkpoint").with_sink();
    oracle.start();
    let early = oracle.send(50, 2_000);
    oracle.until(|totals| totals.delivered == early.len() as u64);
    oracle.relay().until(|metrics| metrics.sum("buffer_events") == 0);
    // So that there is something to lose.
    oracle.stop();
    oracle.sink.vanish();
    oracle.start();
    let last = oracle.send(50, 2_000);
    oracle.kill();
    let killed = Killed { oracle, last, segment: PathBuf::new(), frames: Vec::new() };
    let all = [
        Checkpoint::Flipped(&[40]),
        Checkpoint::Flipped(&[SLOT + 40]),
        Checkpoint::Flipped(&[40, SLOT + 40]),
        Checkpoint::Cut(0),
        Checkpoint::Cut(100),
        Checkpoint::Cut(SLOT),
        Checkpoint::Cut(SLOT + 30),
        Checkpoint::Missing,
    ];
    assert!(!killed.last.is_empty());
    killed.try_each(&[], &all, |buffer, &what| {
        let path = buffer.join("checkpoint");
        let file = File::options().read(true).write(true).open(&path).expect("there is one");
        match what {
            Checkpoint::Flipped(places) => {
                for &at in places {
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, at).expect("two slots");
                    file.write_all_at(&[byte[0] ^ 0x10], at).expect("it is there");
                }
            }
            Checkpoint::Cut(bytes) => file.set_len(bytes).expect("it can be cut"),
            Checkpoint::Missing => fs::remove_file(&path).expect("it is there"),
        }
    });
}

#[test]
fn a_segment_that_is_gone_is_a_gap_counted_to_the_event() {
    let mut oracle = Oracle::new("segment missing").with(|setup| setup.buffer("16MiB"));
    oracle.start();
    let mut sent = Vec::new();
    // The segments before the last two are full.
    while segments(&oracle.buffer()).len() < 5 {
        assert!(sent.len() < 60_000, "it stays with {:?}", segments(&oracle.buffer()));
        sent.extend(oracle.send(400, 60_000));
    }
    oracle.kill();
    fs::remove_file(&segments(&oracle.buffer())[1]).expect("it is there");
    one_gap(oracle, &sent);
}

#[test]
fn a_frame_that_is_damaged_is_a_gap_counted_to_the_event() {
    // In the header's marker, in its CRC, and in the payload.
    for at in [3, 62, FRAME_HEADER + 1_000] {
        let mut oracle = Oracle::new("frame damaged");
        oracle.start();
        let sent: Vec<u64> = (0..6).flat_map(|_| oracle.send(20, 2_000)).collect();
        oracle.kill();
        let path = segments(&oracle.buffer()).remove(0);
        let segment = fs::read(&path).expect("readable");
        let frames = frames(&segment);
        assert!(frames.len() > 4, "there are some before it and some behind it: {frames:?}");
        let at = frames[2].start + at;
        let file = File::options().write(true).open(&path).expect("it is there");
        file.write_all_at(&[!segment[at]], at as u64).expect("it is there");
        one_gap(oracle, &sent);
    }
}

/// Starts a relay on what is there, and finds one gap in what was sent, counted to the event.
fn one_gap(mut oracle: Oracle, sent: &[u64]) {
    oracle.start();
    oracle.seen(true);
    oracle.cycles += 1;
    let metrics = oracle.drain();
    let arrived: Vec<bool> = sent.iter().map(|&id| oracle.ledger.have_arrived(&[id])).collect();
    let gap = arrived.iter().position(|arrived| !arrived).expect("something is gone");
    let behind = arrived.iter().rposition(|arrived| !arrived).expect("something is gone") + 1;
    assert!(gap > 0 && behind < sent.len(), "what is before and behind it is there: {gap}..{behind} of {}", sent.len());
    assert!(arrived[gap..behind].iter().all(|arrived| !arrived), "it is one gap");
    for family in ["sink_lost_events_total", "buffer_lost_events_total"] {
        assert_eq!(metrics.sum(family), (behind - gap) as u64, "{family}\n{metrics}");
    }
    oracle.ledger.forgive(&sent[gap..behind]);
    oracle.finish();
}
