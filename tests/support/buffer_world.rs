//! The log, its sinks and its disk on one side, a plain list of what it was given on the other, and one seed that drives both.
//!
//! After every step and every restart the two are compared; a difference is a sentence. It looks at nothing but what the log
//! returns and at how much room its files take.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use elbow::batch::Batch;
use elbow::batch::EventId;
use elbow::batch::Mark;
use elbow::batch::SourceId;
use elbow::buffer::Entry;
use elbow::buffer::disk::Disk;
use elbow::buffer::disk::read_up_to;
use elbow::buffer::format::BLOCK;
use elbow::buffer::format::FRAME_HEADER;
use elbow::buffer::format::Point;
use elbow::buffer::format::SLOT;
use elbow::buffer::format::Seed;
use elbow::buffer::format::SegmentHeader;
use elbow::buffer::format::segment_name;
use elbow::buffer::format::segment_number;
use elbow::buffer::frame::SourceNames;
use elbow::buffer::frame::entry_bytes;
use elbow::buffer::log::CommitError;
use elbow::buffer::log::Committed;
use elbow::buffer::log::Durability;
use elbow::buffer::log::Full;
use elbow::buffer::log::Log;
use elbow::buffer::log::LogPlan;
use elbow::buffer::reader::Reader;
use elbow::buffer::recovery::OpenError;
use elbow::buffer::recovery::Recovered;
use elbow::buffer::walk::Found;
use elbow::buffer::walk::Walk;
use elbow::seq::Seq;
use rustix::io::Errno;

use crate::modelled_disk::Chance;
use crate::modelled_disk::Fault;
use crate::modelled_disk::Harm;
use crate::modelled_disk::Machine;
use crate::modelled_disk::Op;
use crate::planted_disk::Mistake;
use crate::planted_disk::PlantedDisk;

/// What a directory may have beside its segments: the checkpoint.
const BESIDE: u64 = 2 * SLOT as u64;

const UUID: [u8; 16] = [7; 16];

/// Names of sources, by number.
const SOURCES: [&str; 3] = ["tcp", "", "a-source-with-a-longer-name"];

/// Ends the step with a sentence unless it holds.
macro_rules! hold {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err(format!($($sentence)+));
        }
    };
}

/// So long that the marks of many sinks do not fit in one sector.
fn sink_name(number: usize) -> String {
    format!("sink-{number}{}", "-of-some-length".repeat(3))
}

/// A promise that was broken, as a sentence.
pub(crate) type Broken = String;

/// How often things happened, so that it can be seen that they do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stat {
    pub(crate) steps: u64,
    pub(crate) entries: u64,
    pub(crate) read: u64,
    pub(crate) full: u64,
    pub(crate) failed: u64,
    pub(crate) opened: u64,
    pub(crate) not_opened: u64,
    pub(crate) killed: u64,
    pub(crate) power_lost: u64,
    pub(crate) carried: u64,
    pub(crate) torn: u64,
    pub(crate) vanished: u64,
    pub(crate) resurfaced: u64,
    pub(crate) flipped: u64,
    pub(crate) lost_events: u64,
    pub(crate) checkpoints: u64,
    pub(crate) notes_kept: u64,
    pub(crate) notes_gone: u64,
}

impl Stat {
    /// Each figure with its name.
    pub(crate) fn figures(&self) -> [(&'static str, u64); 18] {
        [
            ("steps", self.steps),
            ("entries committed", self.entries),
            ("entries read", self.read),
            ("commits without room", self.full),
            ("calls that failed", self.failed),
            ("opened", self.opened),
            ("not opened", self.not_opened),
            ("kills", self.killed),
            ("power losses", self.power_lost),
            ("openings that carried entries over", self.carried),
            ("torn tails", self.torn),
            ("entries in flight that were gone", self.vanished),
            ("entries in flight that were there", self.resurfaced),
            ("frames flipped", self.flipped),
            ("events counted as lost", self.lost_events),
            ("checkpoints", self.checkpoints),
            ("notes that outlived the process", self.notes_kept),
            ("notes that went with the power", self.notes_gone),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self { steps, entries, read, full, failed, opened, not_opened, killed, power_lost, .. } = other;
        let Self { carried, torn, vanished, resurfaced, flipped, lost_events, checkpoints, notes_kept, notes_gone, .. } = other;
        self.steps += steps;
        self.entries += entries;
        self.read += read;
        self.full += full;
        self.failed += failed;
        self.opened += opened;
        self.not_opened += not_opened;
        self.killed += killed;
        self.power_lost += power_lost;
        self.carried += carried;
        self.torn += torn;
        self.vanished += vanished;
        self.resurfaced += resurfaced;
        self.flipped += flipped;
        self.lost_events += lost_events;
        self.checkpoints += checkpoints;
        self.notes_kept += notes_kept;
        self.notes_gone += notes_gone;
    }
}

/// What kind of life one seed leads.
#[derive(Clone, Debug)]
struct Manner {
    plan: LogPlan,
    sinks: usize,
    /// One step in so many arms a fault; 0: none does.
    fault_one_in: u64,
    /// One step in so many flips bytes; 0: none does.
    flip_one_in: u64,
    /// One step in so many ends the process or the power.
    crash_one_in: u64,
    /// Of ten crashes, how many lose power.
    power_in_ten: u64,
    /// Whether other programs fill the disk now and then.
    crowded: bool,
    /// Frames may be larger than a segment.
    large: bool,
    /// Segments are made ahead of need.
    eager: bool,
}

impl Manner {
    fn draw(chance: &mut Chance, careful: bool) -> Self {
        let segment_bytes = BLOCK * chance.pick(&[4, 6, 8]);
        let large = chance.one_in(4);
        // A frame of two segments, one before it that is as large, and one each that is active, prepared and spare.
        let segments = if large { 9 + chance.below(3) } else { 4 + chance.below(5) };
        let durability = *chance.pick(&[Durability::Disk, Durability::Disk, Durability::Os, Durability::Memory]);
        let durability = if careful { Durability::Disk } else { durability };
        let free_bytes_min = *chance.pick(&[0, 0, segment_bytes]);
        let plan = LogPlan { bytes_max: segments * segment_bytes, free_bytes_min, segment_bytes, durability };
        let fault_one_in = if careful { 15 } else { *chance.pick(&[0, 5, 10, 30, 100]) };
        Self {
            plan,
            sinks: if chance.one_in(6) { 8 } else { 1 + chance.below(3) as usize },
            fault_one_in,
            flip_one_in: if careful { 0 } else { *chance.pick(&[0, 0, 40]) },
            crash_one_in: *chance.pick(&[5, 10, 30, 100]),
            power_in_ten: *chance.pick(&[0, 3, 6, 10]),
            crowded: chance.one_in(3),
            large,
            eager: chance.one_in(2),
        }
    }
}

/// An entry the log was given.
#[derive(Clone, Debug)]
struct Known {
    batch: Arc<Batch>,
    /// Where it begins.
    place: Point,
    /// Whether it must be there; where not, it may be missing, and then it is counted.
    sure: bool,
    /// Bytes of its frame were flipped.
    flipped: bool,
}

impl Known {
    /// In short for a failure's report.
    fn word(&self, seq: u64) -> String {
        format!("{seq}{}{}", if self.sure { "" } else { "?" }, if self.flipped { "!" } else { "" })
    }
}

/// A frame that can be flipped.
#[derive(Clone, Debug)]
struct Framed {
    segment: u64,
    /// Its bytes in the file, without padding.
    bytes: Range<u64>,
    seqs: Range<u64>,
}

#[derive(Debug)]
struct Sink {
    reader: Reader,
    /// What it expects next.
    place: Point,
    /// Behind each entry read and not acked.
    unacked: VecDeque<Point>,
    acked: Point,
}

#[derive(Debug)]
struct Process {
    log: Log,
    sinks: Vec<Sink>,
    frames: Vec<Framed>,
}

/// Both sides.
pub(crate) struct World {
    chance: Chance,
    manner: Manner,
    mistake: Option<Mistake>,
    machine: Arc<Machine>,
    process: Option<Process>,
    names: Arc<SourceNames>,
    /// Everything that was committed and that some sink has not acked for sure.
    known: BTreeMap<u64, Known>,
    /// Behind the last entry committed.
    end: Point,
    /// Entries before it survive the loss of power.
    durable: u64,
    /// Given to a commit that did not return.
    in_flight: Vec<Entry>,
    /// As the last checkpoint said.
    marks: Vec<Point>,
    /// Noted since, one after the other: the last of them survives the process, and any of them may survive the power.
    noted: Vec<Vec<Point>>,
    /// Given to a checkpoint that did not return.
    marks_in_flight: Option<Vec<Point>>,
    /// Whether power was lost since the log was open.
    power_lost: bool,
    /// Faults until the log was last open.
    harmed: u64,
    /// A file may be left that could not be removed.
    leaky: bool,
    documents: u64,
    pub(crate) stat: Stat,
}

impl World {
    /// Everything follows from the seed. A careful life is one in which planted mistakes matter.
    pub(crate) fn new(seed: u64, careful: bool, mistake: Option<Mistake>) -> Self {
        let mut chance = Chance::new(seed);
        let manner = Manner::draw(&mut chance, careful);
        let machine = Machine::new(chance.next());
        machine.set_short(*chance.pick(&[0, 0, 4]));
        Self {
            marks: vec![Point::default(); manner.sinks],
            names: Arc::new(SourceNames::new(&SOURCES.map(str::to_owned))),
            chance,
            manner,
            mistake,
            machine,
            process: None,
            known: BTreeMap::new(),
            end: Point::default(),
            durable: 0,
            in_flight: Vec::new(),
            noted: Vec::new(),
            marks_in_flight: None,
            power_lost: false,
            harmed: 0,
            leaky: false,
            documents: 0,
            stat: Stat::default(),
        }
    }

    /// What led here.
    pub(crate) fn story(&self) -> String {
        let marks: Vec<u64> = self.marks.iter().map(|mark| mark.seq).collect();
        let known: Vec<String> = self.known.iter().map(|(seq, known)| known.word(*seq)).collect();
        let known = known.join(" ");
        let (manner, end, durable) = (&self.manner, self.end.seq, self.durable);
        let (files, calls) = (self.files(), self.machine.trace());
        format!(
            "{manner:?}\nit should end at {end}, durable to {durable}, marks {marks:?}, entries {known}\n{files}the last calls:\n{calls}"
        )
    }

    /// What stands in the segments, as frames of first and last number.
    fn files(&self) -> String {
        self.machine.heal();
        let mut text = String::new();
        let items = self.machine.disk().list().unwrap_or_default();
        for item in &items {
            let (name, bytes) = (&item.name, item.bytes.unwrap_or_default());
            let Some((number, file)) = segment_number(name).zip(self.machine.disk().open(name).ok()) else { continue };
            let mut head = [0; SegmentHeader::BYTES];
            let _ = read_up_to(&*file, &mut head, 0);
            let first = SegmentHeader::decode(&head).map(|head| (head.number, head.first.seq));
            let _ = write!(text, "{name} of {bytes} bytes, head {first:?}:");
            let mut walk = Walk::new(file, Seed::new(&UUID, number));
            loop {
                match walk.next(bytes) {
                    Ok(Found::Frame { at, header, .. }) => {
                        let _ = write!(text, " {at}:{}..{} d{}", header.first.seq, header.end().seq, header.durable_seq);
                    }
                    Ok(Found::Damage { at, .. }) => {
                        let _ = write!(text, " {at}:wrong");
                    }
                    Ok(Found::End { .. }) | Err(_) => break,
                }
            }
            text.push('\n');
        }
        text
    }

    /// Does something, and compares.
    pub(crate) fn step(&mut self) -> Result<(), Broken> {
        self.stat.steps += 1;
        if self.process.is_none() {
            return self.open();
        }
        self.trouble()?;
        match self.chance.below(20) {
            0..8 => {
                self.commit()?;
                if self.manner.eager && self.process.is_some() && !self.machine.is_dead() {
                    self.prepare()?;
                }
            }
            8..13 => self.read_some()?,
            13..15 => self.ack(),
            15 if self.chance.one_in(2) => self.checkpoint()?,
            15 => self.note()?,
            16 => self.prepare()?,
            17 => self.rewind(),
            18 => self.machine.write_back(self.chance.next()),
            _ if self.chance.one_in(3) => self.drain_and_go_on()?,
            _ => {}
        }
        if self.machine.is_dead() {
            self.crash();
        }
        self.look()
    }

    /// Ends all faults, reads everything and goes on.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        self.machine.set_capacity(u64::MAX);
        self.machine.heal();
        self.crash();
        self.open_without_faults()?;
        self.drain_and_go_on()?;
        self.drain()?;
        self.look()
    }

    /// What happens from outside.
    fn trouble(&mut self) -> Result<(), Broken> {
        let Manner { fault_one_in, flip_one_in, crash_one_in, crowded, .. } = self.manner;
        if fault_one_in > 0 && self.chance.one_in(fault_one_in) {
            let fault = self.draw_fault(20);
            self.machine.fail(fault);
        }
        if self.chance.one_in(20) {
            self.machine.heal();
        }
        if flip_one_in > 0 && self.chance.one_in(flip_one_in) {
            self.flip();
        }
        if crowded && self.chance.one_in(40) {
            let more = *self.chance.pick(&[0, BLOCK, 3 * BLOCK, self.manner.plan.segment_bytes * 2]);
            let capacity = if self.chance.one_in(2) { u64::MAX } else { self.machine.used() + more };
            self.machine.set_capacity(capacity);
        }
        if self.chance.one_in(crash_one_in) {
            self.crash();
            return self.open();
        }
        Ok(())
    }

    fn draw_fault(&mut self, skip_max: u64) -> Fault {
        let skip = self.chance.below(skip_max) as u32;
        let plain = [
            (Op::Write, Errno::IO),
            (Op::Write, Errno::NOSPC),
            (Op::Write, Errno::INTR),
            (Op::Sync, Errno::IO),
            (Op::Sync, Errno::NOSPC),
            (Op::SyncDirectory, Errno::IO),
            (Op::Create, Errno::NOSPC),
            (Op::Create, Errno::MFILE),
            (Op::Open, Errno::MFILE),
            (Op::Rename, Errno::IO),
            (Op::Remove, Errno::ACCESS),
            (Op::Reserve, Errno::NOSPC),
            (Op::SetBytes, Errno::IO),
            (Op::Read, Errno::IO),
            (Op::Read, Errno::INTR),
            (Op::FreeBytes, Errno::IO),
        ];
        match self.chance.below(6) {
            0 => Fault { op: None, skip, harm: Harm::Kill },
            1 => Fault { op: None, skip, harm: Harm::Error(Errno::IO) },
            2 => Fault { op: Some(*self.chance.pick(&[Op::Sync, Op::Write])), skip: skip % 6, harm: Harm::Kill },
            3 => Fault { op: Some(Op::Sync), skip: skip % 6, harm: Harm::Error(Errno::IO) },
            _ => {
                let (op, errno) = *self.chance.pick(&plain);
                Fault { op: Some(op), skip: skip % 6, harm: Harm::Error(errno) }
            }
        }
    }

    /// Ends the process, and perhaps the power with it.
    fn crash(&mut self) {
        self.process = None;
        if self.chance.below(10) < self.manner.power_in_ten {
            self.stat.power_lost += 1;
            self.machine.crash_power(self.chance.next());
            self.lose_power();
        } else if self.machine.is_dead() || !self.chance.one_in(3) {
            self.stat.killed += 1;
            self.machine.crash_process();
        } else {
            self.machine.stop_process();
        }
    }

    fn lose_power(&mut self) {
        self.power_lost = true;
        for (_, known) in self.known.range_mut(self.durable..) {
            known.sure = false;
        }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        let disk = self.machine.disk();
        match self.mistake {
            Some(mistake) => Arc::new(PlantedDisk { mistake, disk }),
            None => disk,
        }
    }

    /// Opens the log, at times with faults under way and crashes in the middle.
    fn open(&mut self) -> Result<(), Broken> {
        let tries = if self.manner.fault_one_in > 0 { self.chance.below(4) } else { 0 };
        for _ in 0..tries {
            for _ in 0..1 + self.chance.below(2) {
                let fault = self.draw_fault(50);
                self.machine.fail(fault);
            }
            if self.try_open()? {
                return Ok(());
            }
            self.machine.heal();
            self.crash();
        }
        self.open_without_faults()
    }

    fn open_without_faults(&mut self) -> Result<(), Broken> {
        self.machine.heal();
        let free = self.machine.free();
        hold!(self.try_open()? || free < BESIDE, "it does not open although nothing is wrong any more");
        if self.process.is_none() {
            // A log cannot be made without room for its checkpoint.
            self.machine.set_capacity(u64::MAX);
            self.machine.crash_process();
            hold!(self.try_open()?, "it does not open although there is room");
        }
        Ok(())
    }

    /// Whether it opened; compares what it found.
    fn try_open(&mut self) -> Result<bool, Broken> {
        let before = self.machine.file_bytes();
        let harmed = self.machine.harmed();
        let sinks: Vec<String> = (0..self.manner.sinks).map(sink_name).collect();
        let opened = Log::open(self.disk(), self.manner.plan.clone(), self.names.clone(), &sinks, &[], UUID);
        let grown = self.machine.file_bytes().saturating_sub(before);
        // What is copied stood in one segment, which may have been longer for one large frame.
        let carried_max = if self.manner.large { 3 * self.manner.plan.segment_bytes } else { self.manner.plan.segment_bytes };
        // The end of a frame that says nothing may be added to where it was cut.
        let grown_max = carried_max + BLOCK + if before == 0 { BESIDE } else { 0 };
        hold!(grown <= grown_max, "opening made the directory grow by {grown} bytes");
        match opened {
            // What died while it opened has opened nothing.
            Ok(opened) if self.machine.is_dead() => drop(opened),
            Ok((log, recovered)) => {
                self.compare(&log, &recovered)?;
                self.stat.opened += 1;
                self.stat.carried += u64::from(recovered.carried_events > 0);
                self.stat.torn += u64::from(recovered.torn_tail);
                let sink = |&acked: &Point| Sink { reader: log.reader(acked), place: acked, unacked: VecDeque::new(), acked };
                let sinks = self.marks.iter().map(sink).collect();
                self.process = Some(Process { log, sinks, frames: Vec::new() });
                self.harmed = self.machine.harmed();
                return Ok(true);
            }
            Err(OpenError::Io { .. } | OpenError::Log(_)) if self.machine.harmed() > harmed => {}
            Err(OpenError::Io { source, .. }) if Errno::from_io_error(&source) == Some(Errno::NOSPC) => {}
            Err(error) => return Err(format!("it does not open: {error}")),
        }
        self.stat.not_opened += 1;
        self.leaky = true;
        Ok(false)
    }

    fn compare(&mut self, log: &Log, recovered: &Recovered) -> Result<(), Broken> {
        let is_sure = !self.power_lost && self.marks_in_flight.is_none();
        let last = self.noted.last().unwrap_or(&self.marks);
        let is_one = self.noted.iter().chain([&self.marks]).chain(&self.marks_in_flight).any(|marks| *marks == recovered.marks);
        hold!(
            if is_sure { *last == recovered.marks } else { is_one },
            "the sinks begin at {:?}, but the checkpoint said {:?}, notes behind it {:?}, or {:?}, which was not finished",
            recovered.marks,
            self.marks,
            self.noted,
            self.marks_in_flight
        );
        self.stat.notes_kept += u64::from(is_sure && !self.noted.is_empty());
        self.stat.notes_gone += u64::from(self.power_lost && !self.noted.is_empty() && self.marks == recovered.marks);
        self.noted.clear();
        hold!(!recovered.marks_lost, "the checkpoint is lost");
        self.marks.clone_from(&recovered.marks);
        self.marks_in_flight = None;

        // Of what was in flight all is there or nothing; of what was not sure the end may be gone.
        let end = log.end();
        let mut behind = self.end;
        for entry in std::mem::take(&mut self.in_flight) {
            let known = Known { batch: entry.batch, place: behind, sure: !self.power_lost, flipped: false };
            behind = behind.behind(known.batch.len() as u64, self.entry_bytes(&known.batch));
            self.known.insert(entry.seq.0, known);
        }
        let in_flight = behind.seq - self.end.seq;
        if end == behind {
            self.stat.resurfaced += in_flight;
        } else {
            hold!(end.seq <= self.end.seq, "it ends at {end:?}: {:?} or {behind:?} would be whole", self.end);
            self.stat.vanished += in_flight;
        }
        let place = if end == behind { Some(behind) } else { self.place(end.seq) };
        hold!(place == Some(end), "it ends at {end:?}, where there was {place:?}");
        let gone = self.known.split_off(&end.seq);
        let promised = gone.iter().find(|(seq, known)| known.sure && **seq < self.end.seq);
        hold!(promised.is_none(), "it ends at {end:?}, before the promised entry {:?}", promised.map(|(seq, _)| seq));
        hold!(end.seq >= self.durable, "it ends at {end:?}, before {}, until where all was durable", self.durable);

        let doubtful = self.known.values().any(|known| !known.sure || known.flipped);
        hold!(recovered.lost_events == 0 || doubtful, "{} events are said to be lost", recovered.lost_events);
        let clean = self.manner.flip_one_in == 0 && !self.leaky;
        hold!(recovered.foreign.is_empty() || !clean, "these are said to be foreign: {:?}", recovered.foreign);
        self.end = end;
        self.durable = log.durable().seq;
        hold!(self.durable == end.seq || recovered.full.is_some(), "{:?} is durable of {end:?}", log.durable());
        self.power_lost = false;
        Ok(())
    }

    /// Where an entry begins, or the next one will.
    fn place(&self, seq: u64) -> Option<Point> {
        if seq == self.end.seq { Some(self.end) } else { self.known.get(&seq).map(|known| known.place) }
    }

    fn entry_bytes(&self, batch: &Batch) -> u64 {
        entry_bytes(batch, SOURCES[usize::from(batch.source.0)])
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("steps need one")
    }

    fn draw_batch(&mut self, large: bool) -> Arc<Batch> {
        let chance = &mut self.chance;
        let segment = self.manner.plan.segment_bytes;
        let events = if chance.one_in(20) { 0 } else { 1 + chance.below(3) };
        let (mut docs, mut marks) = (Vec::new(), Vec::new());
        for event in 0..events {
            let bytes = match chance.below(20) {
                _ if large && event == 0 => segment + chance.below(segment * 2 / 3),
                0 => 2 * BLOCK + chance.below(BLOCK / 2),
                1..4 => BLOCK - chance.below(200),
                _ => chance.below(700),
            };
            let bytes = if large { bytes } else { bytes.min((segment - 2 * BLOCK).saturating_sub(docs.len() as u64 + 500)) };
            self.documents += 1;
            docs.extend_from_slice(format!("{{\"n\":{},\"x\":\"", self.documents).as_bytes());
            let letter = b'a' + chance.below(26) as u8;
            docs.resize(docs.len() + bytes as usize, letter);
            docs.extend_from_slice(b"\"}\n");
            let id = (u128::from(chance.next()) << 64 | u128::from(self.documents)).to_le_bytes();
            marks.push(Mark { end: docs.len() as u32, id: EventId(id), time: chance.next().cast_signed(), origin: None });
        }
        let source = SourceId(chance.below(SOURCES.len() as u64) as u16);
        let (received, is_rejects) = (chance.next().cast_signed(), chance.one_in(5));
        Arc::new(Batch { docs: docs.into(), marks: marks.into(), source, received, is_rejects, tenant: None, sink: None })
    }

    fn draw_entries(&mut self, large: bool) -> Vec<Entry> {
        let first = self.end.seq;
        let count = if large { 1 } else { 1 + self.chance.below(4) };
        let mut entries: Vec<Entry> =
            (0..count).map(|at| Entry { seq: Seq(first + at), batch: self.draw_batch(large) }).collect();
        if !large {
            // Nor does a frame become larger than a segment by its number of entries.
            let mut bytes = BLOCK + FRAME_HEADER as u64;
            let fits = |entry: &Entry| {
                bytes += self.entry_bytes(&entry.batch);
                bytes <= self.manner.plan.segment_bytes
            };
            let fitting = entries.iter().map(fits).take_while(|&fits| fits).count();
            entries.truncate(fitting.max(1));
        }
        entries
    }

    /// Commits a frame of any size.
    fn commit(&mut self) -> Result<(), Broken> {
        let large = self.manner.large && self.chance.one_in(15);
        let entries = self.draw_entries(large);
        self.commit_frame(entries).map(drop)
    }

    /// Why there was no room, if there was none.
    fn commit_frame(&mut self, entries: Vec<Entry>) -> Result<Option<Full>, Broken> {
        let committed = self.process().log.commit(&entries);
        if self.machine.is_dead() {
            self.in_flight = entries;
            return Ok(None);
        }
        match committed {
            Ok(committed) => self.committed(&entries, committed)?,
            Err(CommitError::Full(full)) => {
                self.stat.full += 1;
                let bytes = self.machine.file_bytes();
                let Manner { plan, .. } = &self.manner;
                let nearly = bytes + 4 * plan.segment_bytes > plan.bytes_max;
                hold!(full != Full::Limit || nearly, "it has reached its limit with {bytes} bytes");
                return Ok(Some(full));
            }
            Err(CommitError::Failed(error)) => {
                hold!(self.machine.harmed() > self.harmed, "it failed for no reason: {error}");
                self.in_flight = entries;
                self.fail();
            }
        }
        Ok(None)
    }

    fn committed(&mut self, entries: &[Entry], committed: Committed) -> Result<(), Broken> {
        let from = self.end;
        let mut payload = 0;
        for entry in entries {
            let known = Known { batch: entry.batch.clone(), place: self.end, sure: true, flipped: false };
            let bytes = self.entry_bytes(&known.batch);
            payload += bytes;
            self.end = self.end.behind(known.batch.len() as u64, bytes);
            self.known.insert(entry.seq.0, known);
        }
        self.stat.entries += entries.len() as u64;
        hold!(committed.end == self.end, "it committed up to {:?}, not {:?}", committed.end, self.end);
        let seqs = from.seq..self.end.seq;
        let process = self.process.as_mut().expect("it committed");
        let segment = process.log.segments().all().pop().ok_or("what was committed is in no segment")?;
        let at = segment.limit.checked_sub(committed.disk_bytes).ok_or("what was committed is not in the last segment")?;
        let bytes = at..at + FRAME_HEADER as u64 + payload;
        process.frames.push(Framed { segment: segment.number, bytes, seqs });
        self.note_durable();
        hold!(
            self.manner.plan.durability != Durability::Disk || self.durable == self.end.seq,
            "it committed up to {:?} and only {} is durable",
            self.end,
            self.durable
        );
        Ok(())
    }

    fn note_durable(&mut self) {
        self.durable = self.durable.max(self.process().log.durable().seq);
    }

    /// The log has failed: the process ends.
    fn fail(&mut self) {
        self.stat.failed += 1;
        self.crash();
    }

    fn prepare(&mut self) -> Result<(), Broken> {
        match self.process().log.prepare() {
            _ if self.machine.is_dead() => {}
            Ok(()) => self.note_durable(),
            Err(CommitError::Full(_)) => self.stat.full += 1,
            Err(CommitError::Failed(error)) => {
                hold!(self.machine.harmed() > self.harmed, "it failed for no reason: {error}");
                self.fail();
            }
        }
        Ok(())
    }

    fn read_some(&mut self) -> Result<(), Broken> {
        let sink = self.chance.below(self.manner.sinks as u64) as usize;
        for _ in 0..1 + self.chance.below(4) {
            if !self.read(sink)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there was something to read.
    fn read(&mut self, sink: usize) -> Result<bool, Broken> {
        let process = self.process.as_mut().expect("steps need one");
        let Sink { reader, place, unacked, .. } = &mut process.sinks[sink];
        let out = match reader.read() {
            Ok(out) => out,
            Err(error) => {
                hold!(self.machine.harmed() > self.harmed, "it could not be read for no reason: {error}");
                return Ok(false);
            }
        };
        if let Some(lost) = out.lost {
            hold!(lost.from == *place && lost.to.seq > place.seq, "it says {lost:?} at {place:?}");
            let known = self.known.range(lost.from.seq..lost.to.seq);
            let promised = known.clone().find(|(_, known)| known.sure && !known.flipped);
            hold!(promised.is_none(), "entry {:?} is said to be lost", promised.map(|(seq, _)| seq));
            let events: usize = known.map(|(_, known)| known.batch.len()).sum();
            hold!(lost.events() == events as u64, "{} events are said to be lost, not {events}", lost.events());
            let to = if lost.to.seq == self.end.seq { Some(self.end) } else { self.known.get(&lost.to.seq).map(|to| to.place) };
            hold!(to == Some(lost.to), "it says {lost:?}, and what follows is at {to:?}");
            self.stat.lost_events += lost.events();
            *place = lost.to;
            unacked.push_back(lost.to);
        }
        let nothing = out.entries.is_empty();
        for (entry, behind) in out.entries {
            hold!(entry.seq.0 == place.seq, "it gave entry {} where {} was expected", entry.seq.0, place.seq);
            let known = self.known.get(&entry.seq.0).ok_or_else(|| format!("it gave entry {}, which never was", entry.seq.0))?;
            let (given, wanted) = (&*entry.batch, &*known.batch);
            let same = given.docs == wanted.docs && given.marks == wanted.marks;
            let same = same && (given.source, given.received) == (wanted.source, wanted.received);
            let same = same && given.is_rejects == wanted.is_rejects;
            hold!(same, "entry {} is not what was committed", entry.seq.0);
            hold!(!known.flipped, "entry {} was read although its frame was flipped", entry.seq.0);
            let wanted = known.place.behind(known.batch.len() as u64, entry_bytes(wanted, SOURCES[usize::from(wanted.source.0)]));
            hold!(behind == wanted, "entry {} ends at {behind:?}, not {wanted:?}", entry.seq.0);
            *place = behind;
            unacked.push_back(behind);
            self.stat.read += 1;
        }
        hold!(!nothing || out.lost.is_some() || *place == self.end, "nothing to read at {place:?} before {:?}", self.end);
        Ok(!nothing || out.lost.is_some())
    }

    /// A sink acks some of what it has read.
    fn ack(&mut self) {
        let sink = self.chance.below(self.manner.sinks as u64) as usize;
        let count = self.chance.next();
        let Sink { unacked, acked, .. } = &mut self.process().sinks[sink];
        for _ in 0..count % (unacked.len() as u64 + 1) {
            *acked = unacked.pop_front().expect("there are so many");
        }
    }

    /// A sink lost its connection: it reads again what it has not acked.
    fn rewind(&mut self) {
        let sink = self.chance.below(self.manner.sinks as u64) as usize;
        let Sink { reader, place, unacked, acked } = &mut self.process().sinks[sink];
        reader.seek(*acked);
        *place = *acked;
        unacked.clear();
    }

    fn checkpoint(&mut self) -> Result<(), Broken> {
        let process = self.process.as_mut().expect("steps need one");
        let marks: Vec<Point> = process.sinks.iter().map(|sink| sink.acked).collect();
        let named = marks.iter().enumerate().map(|(sink, mark)| (sink_name(sink), *mark)).collect();
        let written = process.log.checkpoint(named);
        if self.machine.is_dead() {
            self.marks_in_flight = Some(marks);
            return Ok(());
        }
        if let Err(error) = written {
            hold!(self.machine.harmed() > self.harmed, "the checkpoint failed for no reason: {error}");
            self.marks_in_flight = Some(marks);
            self.fail();
            return Ok(());
        }
        self.stat.checkpoints += 1;
        let passed = marks.iter().map(|mark| mark.seq).min().unwrap_or(0);
        // Marks may be in the middle of a frame, and flipping is of frames.
        self.known = self.known.split_off(&passed);
        process.frames.retain(|frame| frame.seqs.start >= passed);
        self.marks = marks;
        self.noted.clear();
        self.note_durable();
        Ok(())
    }

    fn note(&mut self) -> Result<(), Broken> {
        let process = self.process.as_mut().expect("steps need one");
        let marks: Vec<Point> = process.sinks.iter().map(|sink| sink.acked).collect();
        let named = marks.iter().enumerate().map(|(sink, mark)| (sink_name(sink), *mark)).collect();
        let written = process.log.note(named);
        if self.machine.is_dead() {
            self.marks_in_flight = Some(marks);
        } else if let Err(error) = written {
            hold!(self.machine.harmed() > self.harmed, "the note failed for no reason: {error}");
            self.marks_in_flight = Some(marks);
            self.fail();
        } else {
            self.noted.push(marks);
        }
        Ok(())
    }

    /// All sinks come to the end.
    fn drain(&mut self) -> Result<(), Broken> {
        self.machine.heal();
        for sink in 0..self.manner.sinks {
            while self.read(sink)? {}
            let Sink { unacked, acked, place, .. } = &mut self.process().sinks[sink];
            *acked = unacked.drain(..).next_back().unwrap_or(*acked);
            hold!(acked == place, "it has acked {acked:?} of {place:?}");
        }
        self.checkpoint()
    }

    /// The same, and then there must be room again.
    fn drain_and_go_on(&mut self) -> Result<(), Broken> {
        self.drain()?;
        // Another program may have taken all room there is; and what could not be removed is in the way until the next start.
        let Manner { plan, .. } = &self.manner;
        let free = self.machine.free();
        if free >= plan.segment_bytes.saturating_add(plan.free_bytes_min) && !self.leaky && self.process.is_some() {
            let entries = self.draw_entries(false);
            if self.commit_frame(entries.clone())?.is_some() {
                // What an earlier process left behind, and there had been no room to copy, took the room. Now it can go.
                self.checkpoint()?;
                let free = self.machine.free();
                let full = self.commit_frame(entries)?;
                let enough = self.manner.plan.segment_bytes.saturating_add(self.manner.plan.free_bytes_min);
                hold!(full.is_none() || free < enough, "it is still full after everything was read: {full:?}, {free} bytes free");
            }
        }
        Ok(())
    }

    /// Flips a byte of a frame that is durable and not the last one, or of a head, which costs nothing.
    fn flip(&mut self) {
        let durable = self.durable;
        let mask = 1 << self.chance.below(8);
        let (pick, within, head) = (self.chance.next(), self.chance.next(), self.chance.one_in(5));
        let process = self.process();
        let frames: Vec<&Framed> = process.frames.iter().filter(|frame| frame.seqs.end < durable).collect();
        let Some(frame) = frames.get((pick % frames.len().max(1) as u64) as usize) else { return };
        if process.log.segments().segment(frame.segment).is_none() {
            return;
        }
        let (name, seqs) = (segment_name(frame.segment), frame.seqs.clone());
        if head {
            self.machine.flip(&name, within % SegmentHeader::BYTES as u64, mask);
            // With its only frame flipped as well, nothing says that the file is a segment, and it stays.
            self.leaky = true;
            return;
        }
        let at = frame.bytes.start + within % (frame.bytes.end - frame.bytes.start);
        process.frames.retain(|frame| frame.seqs != seqs);
        if self.machine.flip(&name, at, mask) {
            self.stat.flipped += 1;
            self.known.range_mut(seqs).for_each(|(_, known)| known.flipped = true);
        }
    }

    /// What must hold at any time.
    fn look(&mut self) -> Result<(), Broken> {
        let bytes = self.machine.file_bytes();
        let bound = self.manner.plan.bytes_max + BESIDE;
        self.leaky |= self.machine.harmed() > 0 && bytes > bound;
        hold!(bytes <= bound || self.leaky, "the directory has {bytes} bytes, more than {bound}");
        let manners = self.machine.bad_manners();
        hold!(manners.is_empty() || self.mistake.is_some(), "{manners:?}");
        Ok(())
    }
}
