//! Looks at the directory of a log without changing anything: what is there, what waits for whom, what is damaged.
//!
//! It takes no lock and never panics, whatever the bytes are, and may look while a relay writes; then what it says is of no one
//! moment. It repairs nothing: that is [`recovery`](crate::buffer::recovery), which decides by the same files.

mod findings;
mod scan;
mod sequence;

use std::io;
use std::io::ErrorKind;
use std::ops::ControlFlow;

use thiserror::Error;

use crate::batch::Micros;
use crate::buffer::Entry;
use crate::buffer::disk::Disk;
use crate::buffer::disk::Item;
use crate::buffer::disk::LOCK_NAME;
use crate::buffer::disk::read_up_to;
use crate::buffer::format::Checkpoint;
use crate::buffer::format::Point;
use crate::buffer::format::SLOT;
use crate::buffer::format::Seed;
use crate::buffer::format::SegmentHeader;
use crate::buffer::format::Uuid;
use crate::buffer::format::VERSION;
use crate::buffer::format::Wrong;
use crate::buffer::format::segment_name;
use crate::buffer::format::segment_number;
use crate::buffer::frame::SourceNames;
use crate::buffer::frame::decode;
pub use crate::buffer::inspect::findings::Finding;
pub use crate::buffer::inspect::findings::Missing;
pub use crate::buffer::inspect::findings::What;
pub use crate::buffer::inspect::scan::Damage;
pub use crate::buffer::inspect::scan::Depth;
pub use crate::buffer::inspect::scan::Run;
pub use crate::buffer::inspect::scan::Scan;
pub use crate::buffer::inspect::scan::Tail;
use crate::buffer::inspect::scan::is_plausible;
pub use crate::buffer::inspect::sequence::Gap;
pub use crate::buffer::inspect::sequence::SinkFound;
use crate::buffer::marks::CHECKPOINT;
use crate::buffer::quarantine::QUARANTINE;
use crate::buffer::walk::Found;
use crate::buffer::walk::Walk;

/// Why there is nothing to tell.
#[derive(Debug, Error)]
pub enum InspectError {
    /// Neither a checkpoint nor a segment is there.
    #[error(
        "{path} is no buffer: it has neither a checkpoint nor segments; name the data_dir of a relay, or the folder in it that holds them"
    )]
    NoBuffer {
        /// The directory.
        path: String,
    },
    /// There are files, and nothing says which buffer they are of.
    #[error(
        "{path}: neither the checkpoint nor the head of a segment can be read, so nothing tells what its frames are; they may be copies cut short or another program's files: restore them from a backup, or move them away"
    )]
    Unreadable {
        /// The directory.
        path: String,
    },
    /// A later version of the program wrote there.
    #[error(
        "{path}/{name} has format version {version}, and this program knows version {VERSION}; ask the program that wrote it, or a later one"
    )]
    Newer {
        /// The directory.
        path: String,
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The disk failed.
    #[error("{path} cannot be read: {source}{}", remedy(.source))]
    Io {
        /// The directory, or the file in it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::PermissionDenied => "; run this as the user the relay runs as, or as root",
        ErrorKind::NotFound => "; name the data_dir of a relay, or the folder in it that holds the buffer",
        ErrorKind::NotADirectory => "; name the folder and not a file in it",
        _ => "; look into the system's log for the disk, and copy what can be copied",
    }
}

/// A slot of the checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A checkpoint.
    Whole(Checkpoint),
    /// Zeros, or the end of the file: nothing was ever written there.
    Blank,
    /// Something else.
    Damaged,
}

/// What the first block of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It is the head of this segment; new entries begin there.
    Whole(Point),
    /// Zeros, or the end of the file: the segment was made and nothing written yet.
    Blank,
    /// It is the head of another segment of this buffer, whose file this was before.
    Earlier(u64),
    /// Something else.
    Damaged,
}

/// A segment of this buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFound {
    /// Its number, which is in its name.
    pub number: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// Its head.
    pub head: Head,
    /// What is behind that.
    pub scan: Scan,
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What the buffer calls itself.
    pub uuid: Uuid,
    /// The slots of its checkpoint; `None`: there is no such file.
    pub slots: Option<[Slot; 2]>,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentFound>,
    /// Files and folders of something else, segments of another buffer among them; in alphabetical order.
    pub foreign: Vec<String>,
    /// What readers have set aside.
    pub quarantine: Vec<Item>,
    /// Entries, events and bytes at least one sink waits for, each once.
    pub held: Point,
    /// The sinks the checkpoint knows; none where there is no checkpoint.
    pub sinks: Vec<SinkFound>,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// The first entry that a sink waits for.
    pub needed: Point,
    /// The place behind the last entry.
    pub end: Point,
}

impl Inspection {
    /// Looks at a directory; `quarantine` is the one of that name in it, which need not exist.
    ///
    /// Takes one small read a frame with [`Depth::Heads`] and reads every byte with [`Depth::Everything`]. Memory grows with
    /// the damage there is and not with the entries.
    ///
    /// # Errors
    /// See [`InspectError`].
    pub fn of(disk: &dyn Disk, quarantine: &dyn Disk, depth: Depth) -> Result<Self, InspectError> {
        let path = || disk.path().display().to_string();
        // Before the segments: what it claims to be durable is in them, however far a relay has come meanwhile.
        let before = slots(disk)?;
        let items = disk.list().map_err(|source| unreadable(disk, "", source))?;
        let mut heads = Vec::new();
        for item in &items {
            let Some((number, file_bytes)) = segment_number(&item.name).zip(item.bytes) else { continue };
            if let Some(head) = head(disk, &item.name)? {
                heads.push((number, file_bytes, head));
            }
        }
        heads.sort_by_key(|(number, ..)| *number);
        if before.is_none() && heads.is_empty() {
            return Err(InspectError::NoBuffer { path: path() });
        }
        let own = heads.iter().filter_map(|(number, _, head)| head.ok().filter(|header| header.number == *number));
        let uuid = latest(before.as_ref()).map(|checkpoint| checkpoint.uuid);
        let Some(uuid) = uuid.or_else(|| own.map(|header| header.uuid).next()) else {
            return Err(InspectError::Unreadable { path: path() });
        };
        let ours = |name: &str| [LOCK_NAME, CHECKPOINT, QUARANTINE].contains(&name) || segment_number(name).is_some();
        let mut foreign: Vec<String> = items.iter().map(|item| item.name.clone()).filter(|name| !ours(name)).collect();
        let mut segments = Vec::new();
        for (number, file_bytes, head) in heads {
            let name = segment_name(number);
            let head = match head {
                Ok(header) if header.uuid != uuid => {
                    foreign.push(name);
                    continue;
                }
                Ok(header) if header.number == number => Head::Whole(header.first),
                Ok(header) => Head::Earlier(header.number),
                Err(unlike) => unlike,
            };
            let scan = disk.open(&name).and_then(|file| Scan::of(file, Seed::new(&uuid, number), file_bytes, depth));
            // A relay lets go of segments and gives their files new names: one that is gone now was not needed.
            match (scan, disk.open(&name)) {
                (_, Err(error)) if error.kind() == ErrorKind::NotFound => {}
                (Err(source), _) | (_, Err(source)) => return Err(unreadable(disk, &name, source)),
                (Ok(scan), Ok(_)) => segments.push(SegmentFound { number, file_bytes, head, scan }),
            }
        }
        foreign.sort();
        let quarantine = match quarantine.list() {
            Ok(items) => items,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Vec::new(),
            Err(source) => return Err(unreadable(disk, QUARANTINE, source)),
        };
        // Behind the segments: what they have let go of meanwhile was acked.
        let after = slots(disk)?;
        let mut found = Self {
            uuid,
            slots: after.clone(),
            segments,
            foreign,
            quarantine,
            held: Point::default(),
            sinks: Vec::new(),
            gaps: Vec::new(),
            needed: Point::default(),
            end: Point::default(),
        };
        found.account(latest(before.as_ref()), latest(after.as_ref()));
        Ok(found)
    }

    /// Receive times of the oldest and the newest entry a sink waits for, read from the two frames they are in; `None` where
    /// there is none, or it cannot be read.
    ///
    /// # Errors
    /// What the disk says.
    pub fn received(&self, disk: &dyn Disk) -> Result<Option<(Micros, Micros)>, InspectError> {
        let needed = self.needed.seq;
        let runs = || self.segments.iter().flat_map(|segment| segment.scan.runs.iter().map(move |run| (segment.number, run)));
        let first = runs().filter(|(_, run)| run.to.seq > needed).min_by_key(|(_, run)| run.from.seq);
        let last = runs().filter(|(_, run)| run.to.seq > needed).max_by_key(|(_, run)| run.to.seq);
        let (Some((oldest_in, oldest_run)), Some((newest_in, newest_run))) = (first, last) else { return Ok(None) };
        let oldest = self.frame_with(disk, oldest_in, oldest_run, needed.max(oldest_run.from.seq))?;
        let newest = self.frame_with(disk, newest_in, newest_run, newest_run.to.seq - 1)?;
        Ok(oldest.zip(newest))
    }

    /// The receive time of an entry in this run: goes over the heads of its frames.
    fn frame_with(&self, disk: &dyn Disk, number: u64, run: &Run, seq: u64) -> Result<Option<Micros>, InspectError> {
        let name = segment_name(number);
        let seed = Seed::new(&self.uuid, number);
        let found = disk.open(&name).and_then(|file| {
            let file_bytes = file.bytes()?;
            let Some(at) = scan::frame_of(&*file, seed, run, seq)? else { return Ok(None) };
            let mut walk = Walk::at(file, seed, at);
            let Found::Frame { header, payload, .. } = walk.next(file_bytes)? else { return Ok(None) };
            let entries = if is_plausible(&header) { decode(&header, &payload, &SourceNames::default()).ok() } else { None };
            let entry = entries.into_iter().flatten().map(|(entry, _)| entry).find(|entry| entry.seq.0 == seq);
            Ok(entry.map(|entry| entry.batch.received))
        });
        match found {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map_err(|source| unreadable(disk, &name, source)),
        }
    }

    /// Gives every entry from this number on to `each` with the name of its source, in the order of the sequence and each
    /// once, until `each` breaks; what is damaged is left out. Holds one frame in memory.
    ///
    /// # Errors
    /// What the disk says.
    pub fn entries<B>(
        &self,
        disk: &dyn Disk,
        from: u64,
        mut each: impl FnMut(&Entry, &str) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, InspectError> {
        let names = SourceNames::default();
        let mut next = from;
        for segment in self.segments.iter().filter(|segment| segment.scan.runs.iter().any(|run| run.to.seq > from)) {
            let name = segment_name(segment.number);
            let failed = |source| unreadable(disk, &name, source);
            let file = match disk.open(&name) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file.map_err(failed)?,
            };
            let mut walk = Walk::new(file, Seed::new(&self.uuid, segment.number));
            loop {
                let (header, payload) = match walk.next(segment.file_bytes).map_err(failed)? {
                    Found::Frame { header, payload, .. } => (header, payload),
                    Found::Damage { .. } => continue,
                    Found::End { .. } => break,
                };
                if !is_plausible(&header) || header.end().seq <= next {
                    continue;
                }
                for (entry, _) in decode(&header, &payload, &names).unwrap_or_default() {
                    if entry.seq.0 < next {
                        continue;
                    }
                    next = entry.seq.0 + 1;
                    if let ControlFlow::Break(broken) = each(&entry, &names.name(entry.batch.source)) {
                        return Ok(ControlFlow::Break(broken));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn unreadable(disk: &dyn Disk, name: &str, source: io::Error) -> InspectError {
    let path = if name.is_empty() { disk.path().to_owned() } else { disk.path().join(name) };
    InspectError::Io { path: path.display().to_string(), source }
}

/// The head of a segment; `None`: the file is gone.
fn head(disk: &dyn Disk, name: &str) -> Result<Option<Result<SegmentHeader, Head>>, InspectError> {
    let mut block = [0; SegmentHeader::BYTES];
    let read = match disk.open(name).and_then(|file| read_up_to(&*file, &mut block, 0)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| unreadable(disk, name, source))?,
    };
    let is_blank = block[..read].iter().all(|&byte| byte == 0);
    match SegmentHeader::decode(&block[..read]) {
        Ok(header) => Ok(Some(Ok(header))),
        Err(Wrong::Damaged) => Ok(Some(Err(if is_blank { Head::Blank } else { Head::Damaged }))),
        Err(Wrong::Newer(version)) => Err(newer(disk, name, version)),
    }
}

/// The slots of the checkpoint; `None`: there is no such file.
fn slots(disk: &dyn Disk) -> Result<Option<[Slot; 2]>, InspectError> {
    let items = disk.list().map_err(|source| unreadable(disk, "", source))?;
    if !items.iter().any(|item| item.name == CHECKPOINT && item.bytes.is_some()) {
        return Ok(None);
    }
    let mut bytes = vec![0; 2 * SLOT];
    let read = disk.open(CHECKPOINT).and_then(|file| read_up_to(&*file, &mut bytes, 0));
    bytes.truncate(read.map_err(|source| unreadable(disk, CHECKPOINT, source))?);
    let slot = |at: usize| {
        let bytes = bytes.get(at..bytes.len().min(at + SLOT)).unwrap_or_default();
        match Checkpoint::decode(bytes) {
            Ok(checkpoint) => Ok(Slot::Whole(checkpoint)),
            Err(Wrong::Damaged) if bytes.iter().all(|&byte| byte == 0) => Ok(Slot::Blank),
            Err(Wrong::Damaged) => Ok(Slot::Damaged),
            Err(Wrong::Newer(version)) => Err(newer(disk, CHECKPOINT, version)),
        }
    };
    Ok(Some([slot(0)?, slot(SLOT)?]))
}

fn newer(disk: &dyn Disk, name: &str, version: u32) -> InspectError {
    InspectError::Newer { path: disk.path().display().to_string(), name: name.to_owned(), version }
}

/// The checkpoint that counts.
fn latest(slots: Option<&[Slot; 2]>) -> Option<&Checkpoint> {
    let whole = slots.into_iter().flatten().filter_map(|slot| match slot {
        Slot::Whole(checkpoint) => Some(checkpoint),
        Slot::Blank | Slot::Damaged => None,
    });
    whole.max_by_key(|checkpoint| checkpoint.epoch)
}

#[cfg(test)]
mod tests;
