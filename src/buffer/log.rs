//! The log: entries go in at one end as frames, segments fall off the other end once every sink has passed them.
//!
//! It is driven by one thread and starts none; readers go over the same [`Segments`] without it. What it says is durable was
//! synced before, and after a failed sync it is not used again. How a log is opened is in [`recovery`](crate::buffer::recovery).

mod marking;
mod tail;

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::sync::Arc;

use crate::batch::Micros;
use crate::buffer::Entry;
pub use crate::buffer::commit::CommitError;
pub use crate::buffer::commit::Committed;
pub use crate::buffer::commit::Durability;
pub use crate::buffer::commit::Full;
pub use crate::buffer::commit::LogError;
use crate::buffer::commit::is_full;
use crate::buffer::disk::Disk;
use crate::buffer::disk::DiskFile;
use crate::buffer::disk::read_up_to;
use crate::buffer::disk::write_all;
use crate::buffer::format::BLOCK;
use crate::buffer::format::FRAME_HEADER;
use crate::buffer::format::FrameHeader;
use crate::buffer::format::Point;
use crate::buffer::format::Seed;
use crate::buffer::format::SegmentHeader;
use crate::buffer::format::Uuid;
use crate::buffer::format::padded;
use crate::buffer::format::segment_name;
use crate::buffer::frame::FrameWriter;
use crate::buffer::frame::SourceNames;
use crate::buffer::frame::entry_bytes;
use crate::buffer::frame::received;
use crate::buffer::marks::MarksFile;
use crate::buffer::reader::Reader;
use crate::buffer::segments::Segment;
use crate::buffer::segments::Segments;

/// How a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// Bound on the bytes of all segments.
    pub bytes_max: u64,
    /// No segment is made where the filesystem would have less room than this left.
    pub free_bytes_min: u64,
    /// Bytes of a segment; one with a single larger frame is larger.
    pub segment_bytes: u64,
    /// What is done before an entry counts as stored.
    pub durability: Durability,
}

/// The segment written to.
#[derive(Debug)]
struct Active {
    number: u64,
    file: Arc<dyn DiskFile>,
    /// Where the next frame goes; none has been written where this is the first block.
    at: u64,
    file_bytes: u64,
    /// Where new entries begin, once there are any.
    first: Point,
}

/// An open log.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    plan: LogPlan,
    uuid: Uuid,
    names: Arc<SourceNames>,
    segments: Arc<Segments>,
    active: Option<Active>,
    /// Made ahead of need, empty.
    prepared: Option<Active>,
    /// A file that nobody needs any more, with its room; the next segment is made of it.
    spare: Option<Segment>,
    number_next: u64,
    end: Point,
    durable: Point,
    /// Frames of an earlier process that are not known to be durable, and that there was no room to copy yet.
    tail: Vec<(Point, Vec<Entry>)>,
    marks_file: MarksFile,
    writer: FrameWriter,
    failed: bool,
}

/// What recovery hands over.
pub(super) struct Parts {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) uuid: Uuid,
    pub(super) names: Arc<SourceNames>,
    pub(super) segments: Segments,
    pub(super) number_next: u64,
    pub(super) end: Point,
    pub(super) durable: Point,
    pub(super) marks_file: MarksFile,
}

impl Log {
    pub(super) fn new(plan: LogPlan, parts: Parts) -> Self {
        let Parts { disk, uuid, names, segments, number_next, end, durable, marks_file } = parts;
        let (segments, writer) = (Arc::new(segments), FrameWriter::default());
        let (active, prepared, spare, tail, failed) = (None, None, None, Vec::new(), false);
        Self {
            disk,
            plan,
            uuid,
            names,
            segments,
            active,
            prepared,
            spare,
            number_next,
            end,
            durable,
            tail,
            marks_file,
            writer,
            failed,
        }
    }

    /// The segments, for whoever reads.
    pub fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// The place behind the last entry.
    pub fn end(&self) -> Point {
        self.end
    }

    /// The place behind the last entry known to be on the disk.
    pub fn durable(&self) -> Point {
        self.durable
    }

    /// Whether the next segment would have to be made of nothing.
    pub fn needs_a_file(&self) -> bool {
        self.prepared.is_none() && self.spare.is_none()
    }

    /// Bytes of all files on the disk, those made ahead of need included.
    pub fn file_bytes(&self) -> u64 {
        let ahead = self.prepared.as_ref().map_or(0, |prepared| prepared.file_bytes);
        let active = self.active.as_ref().filter(|active| active.at == BLOCK).map_or(0, |active| active.file_bytes);
        self.segments.file_bytes() + ahead + active + self.spare.map_or(0, |spare| spare.file_bytes)
    }

    /// For each segment the number of its first entry and when that was received, as far as a glance tells.
    pub fn ages(&self) -> VecDeque<(u64, Micros)> {
        let segments = self.segments.all();
        let glance = |segment: &Segment| {
            let file = self.disk.open(&segment_name(segment.number)).ok()?;
            let mut bytes = [0; FRAME_HEADER + 16];
            let read = read_up_to(&*file, &mut bytes, BLOCK).ok()?;
            let header = FrameHeader::decode(&bytes[..read], Seed::new(&self.uuid, segment.number))?;
            Some((header.first.seq, received(&bytes[FRAME_HEADER..])))
        };
        segments.iter().filter_map(glance).collect()
    }

    /// A reader of what is committed from this place on.
    pub fn reader(&self, from: Point) -> Reader {
        Reader::new(self.disk.clone(), self.segments.clone(), self.names.clone(), self.uuid, from)
    }

    /// Appends entries, whose numbers follow the last one, as one frame, and makes them as durable as was planned.
    ///
    /// # Errors
    /// [`CommitError::Full`]: nothing was written. [`CommitError::Failed`]: nobody knows what was.
    ///
    /// # Panics
    /// When the numbers do not follow, there is no entry, or it has failed before.
    pub fn commit(&mut self, entries: &[Entry]) -> Result<Committed, CommitError> {
        assert!(!self.failed, "a log that has failed is not used again");
        assert_eq!(entries.first().map(|entry| entry.seq.0), Some(self.end.seq), "entries follow one another");
        // Whatever follows would say that what is before it is durable.
        self.carry_over()?;
        self.make_room(frame_bytes(entries, &self.names))?;
        let active = self.active.as_mut().expect("room was made in it");
        if active.at == BLOCK {
            active.first = self.end;
        }
        let header = self.write(entries, self.end)?;
        self.finish(header.end(), header.frame_bytes())
    }

    /// Writes a frame behind what is there, along with the segment's header where it is the first one: only then it is known
    /// where the segment begins.
    fn write(&mut self, entries: &[Entry], place: Point) -> Result<FrameHeader, CommitError> {
        let active = self.active.as_ref().expect("room was made in it");
        let seed = Seed::new(&self.uuid, active.number);
        let (header, mut slices) = self.writer.encode(entries, place, self.durable.seq, &self.names, seed);
        let head = SegmentHeader { uuid: self.uuid, number: active.number, first: active.first }.encode();
        let mut at = active.at;
        if at == BLOCK {
            slices.insert(0, IoSlice::new(&head));
            at = 0;
        }
        let written = write_all(&*active.file, &mut slices, at);
        drop(slices);
        written.map_err(|source| self.write_failed(source))?;
        Ok(header)
    }

    /// Syncs what was written and makes it visible.
    fn finish(&mut self, end: Point, bytes: u64) -> Result<Committed, CommitError> {
        let active = self.active.as_mut().expect("a frame was written to it");
        if self.plan.durability == Durability::Disk {
            if let Err(source) = active.file.sync() {
                self.failed = true;
                return Err(self.error("sync a segment", true, source).into());
            }
            self.durable = end;
        }
        let active = self.active.as_mut().expect("a frame was written to it");
        let is_first = active.at == BLOCK;
        active.at += bytes;
        active.file_bytes = active.file_bytes.max(active.at);
        self.end = end;
        let Active { number, at, file_bytes, first, .. } = *active;
        if is_first {
            self.segments.push(Segment { number, first, limit: BLOCK, file_bytes });
        }
        self.segments.committed(end, at, file_bytes);
        Ok(Committed { end, disk_bytes: bytes })
    }

    /// Sees to it that the active segment has room for a frame.
    fn make_room(&mut self, bytes: u64) -> Result<(), CommitError> {
        let full = |active: &Active| active.at > BLOCK && active.at + bytes > self.plan.segment_bytes;
        if self.active.as_ref().is_some_and(full) || self.active.is_none() {
            self.prepare()?;
            self.rotate()?;
        }
        // One frame that is larger than a segment makes its segment longer.
        let total = self.file_bytes();
        let active = self.active.as_mut().expect("there is one now");
        let longer = (active.at + bytes).saturating_sub(active.file_bytes);
        if longer > 0 && total + longer > self.plan.bytes_max {
            return Err(CommitError::Full(Full::Limit));
        }
        Ok(())
    }

    /// Goes on in the prepared segment.
    fn rotate(&mut self) -> Result<(), CommitError> {
        if let Some(active) = &self.active
            && self.durable < self.end
        {
            // So that only the last segment can hold entries of unknown durability, whatever the plan says.
            if let Err(source) = active.file.sync() {
                self.failed = true;
                return Err(self.error("sync a segment", true, source).into());
            }
            self.durable = self.end;
        }
        self.active = self.prepared.take();
        Ok(())
    }

    /// Makes the next segment ahead of need, so that no sender waits for it; does nothing when there is one.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn prepare(&mut self) -> Result<(), CommitError> {
        assert!(!self.failed, "a log that has failed is not used again");
        if self.prepared.is_some() {
            return Ok(());
        }
        // Passed also where nothing comes of it: what cannot be removed again keeps its name.
        let number = self.number_next;
        self.number_next += 1;
        let (file, file_bytes) = match self.spare.take() {
            Some(spare) => (self.reuse(spare, number)?, spare.file_bytes),
            None => (self.create(number)?, self.plan.segment_bytes),
        };
        let made = Active { number, file, at: BLOCK, file_bytes, first: self.end };
        let head = SegmentHeader { uuid: self.uuid, number, first: self.end }.encode();
        let written = write_all(&*made.file, &mut [IoSlice::new(&head)], 0);
        if let Err(source) = written {
            // Removed again where that works; where it does not, it is an empty segment that the next start removes.
            let _ = self.disk.remove(&segment_name(number));
            return Err(self.no_room_or_failed(source));
        }
        if let Err(source) = made.file.sync().and_then(|()| self.disk.sync_directory()) {
            self.failed = true;
            return Err(self.error("sync a new segment", true, source).into());
        }
        self.prepared = Some(made);
        Ok(())
    }

    /// A spent file under a new number.
    fn reuse(&mut self, spare: Segment, number: u64) -> Result<Arc<dyn DiskFile>, CommitError> {
        let (from, to) = (segment_name(spare.number), segment_name(number));
        match self.disk.rename(&from, &to).and_then(|()| self.disk.open(&to)) {
            Ok(file) => Ok(file),
            Err(source) => {
                self.failed = true;
                Err(self.error("rename a spent segment", false, source).into())
            }
        }
    }

    /// A new file with its room.
    fn create(&mut self, number: u64) -> Result<Arc<dyn DiskFile>, CommitError> {
        let bytes = self.plan.segment_bytes;
        if self.file_bytes() + bytes > self.plan.bytes_max {
            return Err(CommitError::Full(Full::Limit));
        }
        // Where the filesystem does not say, writing will.
        if self.disk.free_bytes().is_ok_and(|free| free < bytes.saturating_add(self.plan.free_bytes_min)) {
            return Err(CommitError::Full(Full::Filesystem));
        }
        let name = segment_name(number);
        let file = match self.disk.create(&name) {
            Ok(file) => file,
            Err(source) => return Err(self.no_room_or_failed(source)),
        };
        if let Err(source) = file.reserve(bytes) {
            let _ = self.disk.remove(&name);
            return Err(self.no_room_or_failed(source));
        }
        Ok(file)
    }

    /// A frame was not or only partly written: what there is of it is cut off where that works.
    fn write_failed(&mut self, source: io::Error) -> CommitError {
        if let Some(active) = &mut self.active
            && active.file.set_bytes(active.at).is_ok()
        {
            active.file_bytes = active.at;
        }
        self.no_room_or_failed(source)
    }

    /// Tells a full disk from a broken one.
    fn no_room_or_failed(&mut self, source: io::Error) -> CommitError {
        if is_full(&source) {
            return CommitError::Full(Full::Filesystem);
        }
        self.failed = true;
        self.error("write to a segment", false, source).into()
    }

    fn error(&self, what: &'static str, is_sync: bool, source: io::Error) -> LogError {
        LogError { path: self.disk.path().display().to_string(), what, is_sync, source }
    }
}

/// Bytes of the frame that entries become.
fn frame_bytes(entries: &[Entry], names: &SourceNames) -> u64 {
    let payload = entries.iter().map(|entry| entry_bytes(&entry.batch, &names.name(entry.batch.source))).sum::<u64>();
    padded(FRAME_HEADER as u64 + payload)
}

#[cfg(test)]
mod tests;
