//! Reads entries from segments, from any place on and over everything that is damaged or missing.
//!
//! It reads committed entries only, gives each number once, and says exactly what it could not find. Reading blocks.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::Entry;
use crate::buffer::disk::Disk;
use crate::buffer::format::FrameHeader;
use crate::buffer::format::Point;
use crate::buffer::format::Seed;
use crate::buffer::format::Uuid;
use crate::buffer::format::segment_name;
use crate::buffer::frame::SourceNames;
use crate::buffer::frame::decode;
use crate::buffer::quarantine::set_aside;
use crate::buffer::segments::Segment;
use crate::buffer::segments::Segments;
use crate::buffer::walk::Found;
use crate::buffer::walk::Walk;

/// What one read gave.
#[derive(Debug, Default)]
pub struct ReadOut {
    /// Entries, and the place behind each.
    pub entries: Vec<(Entry, Point)>,
    /// What is missing before the first of them, or before what comes next where there is none.
    pub lost: Option<Lost>,
}

/// Entries that were in the log and are nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where they would begin.
    pub from: Point,
    /// What comes behind them.
    pub to: Point,
}

impl Lost {
    /// How many events they held.
    pub fn events(&self) -> u64 {
        self.to.event.saturating_sub(self.from.event)
    }
}

/// A place in the log.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    segments: Arc<Segments>,
    names: Arc<SourceNames>,
    uuid: Uuid,
    /// What was given last ends there.
    next: Point,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    number: u64,
    walk: Walk,
    /// Wrong bytes passed since the last good frame: offset and length.
    damage: Option<(u64, u64)>,
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>, segments: Arc<Segments>, names: Arc<SourceNames>, uuid: Uuid, from: Point) -> Self {
        Self { disk, segments, names, uuid, next: from, place: None }
    }

    /// Another reader of the same log.
    pub fn again(&self, from: Point) -> Self {
        Self::new(self.disk.clone(), self.segments.clone(), self.names.clone(), self.uuid, from)
    }

    /// What was given last ends there.
    pub fn place(&self) -> Point {
        self.next
    }

    /// Goes on from another place.
    pub fn seek(&mut self, to: Point) {
        if to != self.next {
            self.next = to;
            self.place = None;
        }
    }

    /// The entries of the next frame that has any; nothing when everything committed has been read. What has been let go of
    /// is passed over and is no loss: somebody has given it up.
    ///
    /// # Errors
    /// What the disk says. That is no finding about the data; the same call may be made again.
    pub fn read(&mut self) -> io::Result<ReadOut> {
        loop {
            let from = self.next.seq;
            let out = self.read_on();
            let passed = self.segments.passed();
            if from >= passed.seq {
                return out;
            }
            // The file was let go of meanwhile, and whatever was found in it says nothing.
            self.next = passed;
            self.place = None;
        }
    }

    fn read_on(&mut self) -> io::Result<ReadOut> {
        loop {
            // Taken before the segment's limit, so that everything before it lies before that.
            let end = self.segments.end();
            let Some((segment, at)) = self.segment(end)? else { return Ok(self.missing_at_the_end(end)) };
            let place = self.place.as_mut().expect("it was just found");
            match place.walk.next(segment.limit)? {
                Found::Frame { header, payload, .. } if header.end().seq > self.next.seq => {
                    let copy = match header.first.seq > self.next.seq {
                        // After an error it begins anew: the frame just read has been passed.
                        true => self.copy(segment.number, header.first.seq).inspect_err(|_| self.place = None)?,
                        false => None,
                    };
                    let place = self.place.as_mut().expect("it is open");
                    let (header, payload) = match copy {
                        Some(copy) => {
                            place.walk.back_to(at);
                            copy
                        }
                        None => (header, payload),
                    };
                    let Ok(mut entries) = decode(&header, &payload, &self.names) else {
                        place.damage = Some((at, header.frame_bytes()));
                        continue;
                    };
                    entries.retain(|(entry, _)| entry.seq.0 >= self.next.seq);
                    let first = header.first;
                    let lost = (first.seq > self.next.seq).then_some(Lost { from: self.next, to: first });
                    if lost.is_some() {
                        self.set_aside();
                    }
                    self.next = header.end();
                    return Ok(ReadOut { entries, lost });
                }
                // Copies of what another segment had, or of what is acked.
                Found::Frame { .. } => {}
                Found::Damage { at, bytes } => place.damage = Some((at, bytes)),
                Found::End { at } => {
                    let Some(after) = self.segments.after(segment.number) else {
                        return Ok(self.missing_at_the_end(end));
                    };
                    if after.first.seq > self.next.seq && at < segment.limit {
                        place.damage.get_or_insert((at, segment.limit - at));
                    }
                    let damage = place.damage.filter(|_| after.first.seq > self.next.seq);
                    if let Some((at, bytes)) = damage {
                        place.damage = Some((at, bytes));
                        self.set_aside();
                    }
                    self.open(after)?;
                }
            }
        }
    }

    /// What comes next, among the copies that later segments begin with; `None` where that is the frame with the number `before`.
    fn copy(&self, number: u64, before: u64) -> io::Result<Option<(FrameHeader, Bytes)>> {
        let mut copy: Option<(FrameHeader, Bytes)> = None;
        let mut after = self.segments.after(number);
        let mut only_copies = true;
        while let Some(segment) = after.filter(|_| only_copies) {
            let file = self.disk.open(&segment_name(segment.number))?;
            let mut walk = Walk::new(file, Seed::new(&self.uuid, segment.number));
            loop {
                match walk.next(segment.limit)? {
                    Found::End { .. } => break,
                    Found::Damage { .. } => {}
                    // What is new here was written when all before it was durable: nothing of that is copied again behind it.
                    Found::Frame { header, .. } if header.first.seq >= segment.first.seq => {
                        only_copies = false;
                        break;
                    }
                    Found::Frame { header, payload, .. } => {
                        let best = copy.as_ref().map_or(before, |(best, _)| best.first.seq);
                        let is_next = header.end().seq > self.next.seq && header.first.seq < best;
                        if is_next && decode(&header, &payload, &self.names).is_ok() {
                            copy = Some((header, payload));
                        }
                    }
                }
            }
            after = self.segments.after(segment.number);
        }
        Ok(copy)
    }

    /// What should stand behind the last frame there is; only damage at the very end makes it so.
    fn missing_at_the_end(&mut self, end: Point) -> ReadOut {
        let lost = (end.seq > self.next.seq).then_some(Lost { from: self.next, to: end });
        if lost.is_some() {
            self.set_aside();
            self.next = end;
        }
        ReadOut { entries: Vec::new(), lost }
    }

    /// The segment to read in, as far as it is committed now, and the place there.
    fn segment(&mut self, end: Point) -> io::Result<Option<(Segment, u64)>> {
        if self.next.seq >= end.seq {
            return Ok(None);
        }
        if self.place.is_none() {
            let Some(segment) = self.segments.holding(self.next.seq) else {
                return Ok(None);
            };
            self.open(segment)?;
        }
        let place = self.place.as_ref().expect("it is open");
        match self.segments.segment(place.number) {
            Some(segment) => Ok(Some((segment, place.walk.place()))),
            None => {
                // Every sink has passed it meanwhile, this one too: look again from where it is.
                self.place = None;
                self.segment(end)
            }
        }
    }

    fn open(&mut self, segment: Segment) -> io::Result<()> {
        let file = self.disk.open(&segment_name(segment.number))?;
        let walk = Walk::new(file, Seed::new(&self.uuid, segment.number));
        self.place = Some(Place { number: segment.number, walk, damage: None });
        Ok(())
    }

    /// Keeps the wrong bytes for whoever wants to look at them. That there is no room for them stops nobody.
    fn set_aside(&mut self) {
        let Some(place) = &mut self.place else { return };
        if let Some((at, bytes)) = place.damage.take()
            && self.segments.segment(place.number).is_some()
        {
            let copied = set_aside(&*self.disk, &**place.walk.file(), place.number, at, bytes);
            self.segments.quarantined(copied.unwrap_or(0));
        }
    }
}
