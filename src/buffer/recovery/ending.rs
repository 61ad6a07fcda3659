//! Where a log ends: which frames at its end are whole, which of them nobody knows to be durable, and what is behind them.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;

use super::Old;
use super::Recovered;
use super::Survey;
use crate::buffer::Entry;
use crate::buffer::disk::Disk;
use crate::buffer::disk::read_up_to;
use crate::buffer::disk::write_all;
use crate::buffer::format::BLOCK;
use crate::buffer::format::FRAME_HEADER;
use crate::buffer::format::FrameHeader;
use crate::buffer::format::Point;
use crate::buffer::format::Seed;
use crate::buffer::format::SegmentHeader;
use crate::buffer::format::Uuid;
use crate::buffer::format::segment_name;
use crate::buffer::frame::SourceNames;
use crate::buffer::frame::decode;
use crate::buffer::quarantine::set_aside;
use crate::buffer::segments::Segment;
use crate::buffer::walk::Found;
use crate::buffer::walk::Walk;

/// A frame at the end of the log, as much of it as is kept in memory.
pub(super) struct Tail {
    number: u64,
    at: u64,
    header: FrameHeader,
}

/// How the log ends.
pub(super) struct End {
    /// The number the next entry gets, and what is before it.
    pub(super) next: Point,
    /// Everything before it is on the disk.
    pub(super) durable: Point,
    /// Frames at the end that nobody knows to be durable.
    pub(super) tail: Vec<Tail>,
    /// Segments that hold something.
    pub(super) segments: VecDeque<Segment>,
    /// Segments at the end that hold nothing.
    pub(super) empty: Vec<u64>,
    /// Segments in the middle without any good frame.
    pub(super) hollow: Vec<u64>,
    /// Where to cut the last segment.
    pub(super) cut: Option<(u64, u64)>,
    /// Where the segments at the end begin. Each was made ahead of need with a head that says an earlier place, and nobody knows
    /// whether the head written along with its first frame is durable.
    pub(super) heads: Vec<(u64, Point)>,
}

impl End {
    /// Removes what is behind the last good frame, and corrects heads. Where something durable is missing, its bytes are kept
    /// aside.
    pub(super) fn mend(&self, disk: &dyn Disk, uuid: &Uuid, keep: bool) -> io::Result<()> {
        for &(number, first) in &self.heads {
            let file = disk.open(&segment_name(number))?;
            let head = SegmentHeader { uuid: *uuid, number, first }.encode();
            write_all(&*file, &mut [IoSlice::new(&head)], 0)?;
            file.sync()?;
        }
        for &number in self.hollow.iter().chain(&self.empty) {
            let name = segment_name(number);
            if keep || self.hollow.contains(&number) {
                let file = disk.open(&name)?;
                let _ = set_aside(disk, &*file, number, 0, file.bytes()?);
            }
            disk.remove(&name)?;
        }
        let Some((number, at)) = self.cut else { return Ok(()) };
        let file = disk.open(&segment_name(number))?;
        if keep {
            let _ = set_aside(disk, &*file, number, at, file.bytes()?.saturating_sub(at));
        }
        file.set_bytes(at)?;
        // Otherwise the room it gave back could be taken twice.
        file.sync()
    }
}

/// Goes through the last segments, backwards until what came from an earlier process is known to be complete.
pub(super) fn find_end(disk: &dyn Disk, survey: &Survey, recovered: &mut Recovered) -> io::Result<End> {
    let mut frames: Vec<Tail> = Vec::new();
    let mut empty = Vec::new();
    let mut cut = None;
    let mut heads = Vec::new();
    let mut kept = survey.old.len();
    let mut firsts: Vec<Option<Point>> = survey.old.iter().map(|old| old.first).collect();
    for (at, old) in survey.old.iter().enumerate().rev() {
        let (found, behind, torn) = scan(disk, old, &survey.uuid)?;
        if found.is_empty() {
            recovered.torn_tail |= torn && kept == at + 1;
            if kept == at + 1 {
                empty.push(old.number);
                kept = at;
            }
            continue;
        }
        if kept == at + 1 {
            recovered.torn_tail |= torn;
            cut = Some((old.number, behind));
        }
        let first_found = found.first().map(|tail| tail.header.first);
        firsts[at] = old.first.max(first_found);
        heads.extend(firsts[at].map(|first| (old.number, first)));
        // New entries are written only when the copies before them are durable: what is behind them is complete.
        let has_new = old.first.is_none_or(|first| found.iter().any(|tail| tail.header.first.seq >= first.seq));
        frames.splice(0..0, found);
        if has_new {
            break;
        }
    }
    let claimed = survey.checkpoint.as_ref().map_or(Point::default(), |checkpoint| checkpoint.durable);
    let found = frames.iter().map(|tail| tail.header.end()).max().unwrap_or_default();
    let marks = survey.checkpoint.iter().flat_map(|checkpoint| checkpoint.marks.iter().map(|(_, mark)| *mark));
    let next = marks.fold(found.at_least(claimed), Point::at_least);
    if !survey.old.is_empty() && found.seq < claimed.seq && !all_acked(survey, claimed) {
        recovered.lost_events = claimed.event.saturating_sub(found.event);
    }
    let durable_seq = frames.iter().map(|tail| tail.header.durable_seq).max().unwrap_or(0).max(claimed.seq);
    // Of frames that are there twice one is enough; each of them may be the one that is whole.
    frames.sort_by_key(|frame| frame.header.first.seq);
    let mut tail: Vec<Tail> = Vec::new();
    for frame in frames.into_iter().filter(|frame| frame.header.end().seq > durable_seq) {
        if tail.last().is_none_or(|last| frame.header.first.seq >= last.header.end().seq) {
            tail.push(frame);
        }
    }
    let durable = tail.first().map_or(next, |tail| tail.header.first);
    let (mut segments, mut hollow) = (VecDeque::new(), Vec::new());
    for (old, first) in survey.old[..kept].iter().zip(firsts) {
        let begins = match first_frame(disk, old, &survey.uuid)? {
            Some(header) => Some(header.first),
            // Its first frame is damaged, or it is an empty segment of long ago whose removal was undone by a loss of power: its
            // head says a place that is in other segments.
            None => scan(disk, old, &survey.uuid)?.0.first().map(|tail| tail.header.first),
        };
        let Some(begins) = begins else {
            hollow.push(old.number);
            continue;
        };
        // Where new entries begin may be behind the first frame, and a head may be older than that.
        let first = first.map_or(begins, |first| first.max(begins));
        let limit = cut.filter(|(number, _)| *number == old.number).map_or(old.file_bytes, |(_, at)| at);
        segments.push_back(Segment { number: old.number, first, limit, file_bytes: limit });
    }
    Ok(End { next, durable, tail, segments, empty, hollow, cut, heads })
}

/// The header of a segment's first frame, where that is whole.
fn first_frame(disk: &dyn Disk, old: &Old, uuid: &Uuid) -> io::Result<Option<FrameHeader>> {
    let file = disk.open(&segment_name(old.number))?;
    let mut head = [0; FRAME_HEADER];
    let read = read_up_to(&*file, &mut head, BLOCK)?;
    Ok(FrameHeader::decode(&head[..read], Seed::new(uuid, old.number)))
}

/// Whether no sink waits for anything before this place.
fn all_acked(survey: &Survey, until: Point) -> bool {
    survey.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.marks.iter().all(|(_, mark)| mark.seq >= until.seq))
}

/// The frames of a segment, where they end, and whether something was begun behind them.
fn scan(disk: &dyn Disk, old: &Old, uuid: &Uuid) -> io::Result<(Vec<Tail>, u64, bool)> {
    let file = disk.open(&segment_name(old.number))?;
    let mut walk = Walk::new(file, Seed::new(uuid, old.number));
    let mut frames = Vec::new();
    loop {
        match walk.next(old.file_bytes)? {
            Found::Frame { at, header, .. } => frames.push(Tail { number: old.number, at, header }),
            Found::Damage { .. } => {}
            Found::End { at } => return Ok((frames, at.max(BLOCK), walk.is_torn(old.file_bytes)?)),
        }
    }
}

/// Reads the frames that are to be copied.
pub(super) fn read_tail(
    disk: &dyn Disk,
    uuid: &Uuid,
    names: &SourceNames,
    tail: &[Tail],
) -> io::Result<Vec<(Point, Vec<Entry>)>> {
    let mut groups = Vec::new();
    for frame in tail {
        let file = disk.open(&segment_name(frame.number))?;
        let mut walk = Walk::at(file, Seed::new(uuid, frame.number), frame.at);
        if let Found::Frame { header, payload, .. } = walk.next(frame.at + frame.header.frame_bytes())?
            && let Ok(entries) = decode(&header, &payload, names)
        {
            groups.push((header.first, entries.into_iter().map(|(entry, _)| entry).collect()));
        }
    }
    Ok(groups)
}
