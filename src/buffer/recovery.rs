//! Opens a log: finds out what is there, what of it is whole and where the sequence goes on.
//!
//! It can be broken off anywhere and done again. Only the end of the log is read, and nothing that may be needed is removed:
//! wrong bytes at the very end are cut off, wrong bytes with good ones behind them are left to the readers. The directory
//! grows by one segment at the most, for the copies of what nobody knows to be durable.

mod ending;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::buffer::disk::Disk;
use crate::buffer::disk::LOCK_NAME;
use crate::buffer::disk::read_up_to;
use crate::buffer::format::Checkpoint;
use crate::buffer::format::Point;
use crate::buffer::format::SegmentHeader;
use crate::buffer::format::Uuid;
use crate::buffer::format::VERSION;
use crate::buffer::format::Wrong;
use crate::buffer::format::segment_name;
use crate::buffer::format::segment_number;
use crate::buffer::frame::SourceNames;
use crate::buffer::log::CommitError;
use crate::buffer::log::Full;
use crate::buffer::log::Log;
use crate::buffer::log::LogError;
use crate::buffer::log::LogPlan;
use crate::buffer::log::Parts;
use crate::buffer::marks::CHECKPOINT;
use crate::buffer::marks::MarksFile;
use crate::buffer::marks::Slots;
use crate::buffer::quarantine::QUARANTINE;
use crate::buffer::quarantine::held_bytes;
use crate::buffer::segments::Segments;
use ending::find_end;
use ending::read_tail;

/// Why a log could not be opened. Nothing was changed but where an error of the disk says so.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process works on the directory.
    #[error("{path} is in use by another process; end that one, or give this one a data_dir of its own")]
    Locked {
        /// The directory.
        path: String,
    },
    /// A later version of the program wrote there.
    #[error(
        "{path}/{name} has format version {version}, and this program knows version {VERSION}; run the program that wrote it, or a later one"
    )]
    Newer {
        /// The directory.
        path: String,
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
    /// A sink that is configured no longer has a backlog.
    #[error(
        "the sink {sink:?} is not configured any more and {events} events wait for it; configure it again, or give them up with --forget {sink}"
    )]
    Orphan {
        /// Its name.
        sink: String,
        /// Events that wait.
        events: u64,
    },
    /// The disk failed.
    #[error("{path}: cannot {what}: {source}{}", remedy(.source))]
    Io {
        /// The directory.
        path: String,
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed while tail frames were copied.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; the directory and its files must belong to the user who runs this",
        io::ErrorKind::ReadOnlyFilesystem => "; mount the filesystem for writing, or choose another data_dir",
        io::ErrorKind::StorageFull => "; free some space",
        _ => "",
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// By sink, in the order they were given: where its first entry stands that is not acked.
    pub marks: Vec<Point>,
    /// Sinks without a mark in a log that had marks: they begin with the next entry.
    pub added: Vec<String>,
    /// Sinks whose backlog was given up, and how many events it had.
    pub forgotten: Vec<(String, u64)>,
    /// Files and folders that are none of ours.
    pub foreign: Vec<String>,
    /// Segments there were.
    pub segments: usize,
    /// Whether the last write had been cut short; nothing anybody was told to be stored.
    pub torn_tail: bool,
    /// What is missing at the end although it had been durable.
    pub lost_events: u64,
    /// There were segments but no checkpoint that could be read: every sink begins with the oldest entry.
    pub marks_lost: bool,
    /// Events copied to a new segment because nobody knows whether they were durable.
    pub carried_events: u64,
    /// There was no room for that.
    pub full: Option<Full>,
}

/// A segment of an earlier process.
pub(super) struct Old {
    pub(super) number: u64,
    /// Where new entries begin; unknown where its header is damaged.
    pub(super) first: Option<Point>,
    pub(super) file_bytes: u64,
}

/// What the directory says before anything is changed.
pub(super) struct Survey {
    pub(super) uuid: Uuid,
    pub(super) checkpoint: Option<Checkpoint>,
    has_checkpoint_file: bool,
    pub(super) old: Vec<Old>,
    number_next: u64,
}

impl Log {
    /// Opens the log in a directory, or makes one; `uuid` is what a new one calls itself.
    ///
    /// Reads the head of each segment and the whole of the last one. Sinks are names; one that has no mark yet begins with the
    /// next entry. `forget` are sinks that are gone and whose backlog may go with them.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        disk: Arc<dyn Disk>,
        plan: LogPlan,
        names: Arc<SourceNames>,
        sinks: &[String],
        forget: &[String],
        uuid: Uuid,
    ) -> Result<(Self, Recovered), OpenError> {
        let failed = |what: &'static str| {
            let path = disk.path().display().to_string();
            move |source: io::Error| OpenError::Io { path, what, source }
        };
        if !disk.lock().map_err(failed("lock the directory"))? {
            return Err(OpenError::Locked { path: disk.path().display().to_string() });
        }
        let mut recovered = Recovered::default();
        let survey = survey(&*disk, uuid, &mut recovered)?;
        let known = survey.checkpoint.as_ref();
        let end = find_end(&*disk, &survey, &mut recovered).map_err(failed("read the segments"))?;
        check_orphans(known, end.next, sinks, forget, &mut recovered)?;
        let oldest = end.segments.front().map_or(end.next, |segment| segment.first);
        recovered.marks_lost = known.is_none() && !survey.old.is_empty();
        let mark = |name: &String| {
            let marks = known.map(|checkpoint| &checkpoint.marks)?;
            let found = marks.iter().find(|(known, _)| known == name).map(|(_, mark)| *mark);
            Some(found.unwrap_or(end.next))
        };
        recovered.marks = sinks.iter().map(|name| mark(name).unwrap_or(oldest)).collect();
        if let Some(checkpoint) = known {
            let is_new = |name: &&String| !checkpoint.marks.iter().any(|(known, _)| known == *name);
            recovered.added = sinks.iter().filter(is_new).cloned().collect();
        }
        end.mend(&*disk, &survey.uuid, recovered.lost_events > 0).map_err(failed("cut the end of the log"))?;
        let marks_file = MarksFile::open(&*disk, survey.has_checkpoint_file, known).map_err(failed("write the checkpoint"))?;
        let quarantined = held_bytes(&*disk).map_err(failed("list the quarantine"))?;
        let segments = Segments::new(end.segments, end.next, quarantined);
        let groups = read_tail(&*disk, &survey.uuid, &names, &end.tail).map_err(failed("read the last segment"))?;
        let parts = Parts {
            disk: disk.clone(),
            uuid: survey.uuid,
            names,
            segments,
            number_next: survey.number_next,
            end: end.next,
            durable: end.durable,
            marks_file,
        };
        let mut log = Self::new(plan, parts);
        recovered.carried_events = groups.iter().flat_map(|(_, group)| group).map(|entry| entry.batch.len() as u64).sum();
        match log.take_tail(groups) {
            Ok(()) => {}
            Err(CommitError::Full(full)) => recovered.full = Some(full),
            Err(CommitError::Failed(error)) => return Err(error.into()),
        }
        log.checkpoint(sinks.iter().cloned().zip(recovered.marks.iter().copied()).collect())?;
        Ok((log, recovered))
    }
}

/// Refuses sinks with a backlog that are not configured any more.
fn check_orphans(
    checkpoint: Option<&Checkpoint>,
    end: Point,
    sinks: &[String],
    forget: &[String],
    recovered: &mut Recovered,
) -> Result<(), OpenError> {
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    for (name, mark) in checkpoint.marks.iter().filter(|(name, _)| !sinks.contains(name)) {
        let events = end.event.saturating_sub(mark.event);
        if events > 0 && !forget.contains(name) {
            return Err(OpenError::Orphan { sink: name.clone(), events });
        }
        if events > 0 {
            recovered.forgotten.push((name.clone(), events));
        }
    }
    Ok(())
}

/// Reads names, heads and the checkpoint, and changes nothing.
pub(super) fn survey(disk: &dyn Disk, fresh: Uuid, recovered: &mut Recovered) -> Result<Survey, OpenError> {
    let path = || disk.path().display().to_string();
    let failed = |what| move |source| OpenError::Io { path: disk.path().display().to_string(), what, source };
    let items = disk.list().map_err(failed("list the directory"))?;
    let has = |name: &str| items.iter().any(|item| item.name == name && item.bytes.is_some());
    let mut checkpoint = None;
    if has(CHECKPOINT) {
        let read = disk.open(CHECKPOINT).and_then(|file| Slots::read(&*file));
        let slots = read.map_err(failed("read the checkpoint"))?;
        if let Some(version) = slots.newer() {
            return Err(OpenError::Newer { path: path(), name: CHECKPOINT.to_owned(), version });
        }
        checkpoint = slots.latest().cloned();
    }
    let mut heads = Vec::new();
    let mut number_next = 0;
    for item in &items {
        let Some(number) = segment_number(&item.name) else { continue };
        number_next = number_next.max(number.saturating_add(1));
        let Some(file_bytes) = item.bytes else {
            recovered.foreign.push(item.name.clone());
            continue;
        };
        let mut head = [0; SegmentHeader::BYTES];
        let read = disk.open(&item.name).and_then(|file| read_up_to(&*file, &mut head, 0));
        let read = read.map_err(failed("read a segment"))?;
        let header = match SegmentHeader::decode(&head[..read]) {
            Ok(header) => Some(header),
            Err(Wrong::Damaged) => None,
            Err(Wrong::Newer(version)) => return Err(OpenError::Newer { path: path(), name: item.name.clone(), version }),
        };
        heads.push((number, file_bytes, header));
    }
    heads.sort_by_key(|(number, ..)| *number);
    let own = |header: &SegmentHeader, number: u64| header.number == number;
    let of_segments = heads.iter().filter_map(|(number, _, header)| header.filter(|header| own(header, *number)));
    let uuid = checkpoint.as_ref().map(|checkpoint| checkpoint.uuid);
    let uuid = uuid.or_else(|| of_segments.map(|header| header.uuid).next()).unwrap_or(fresh);
    let mut old = Vec::new();
    for (number, file_bytes, header) in heads {
        if header.is_some_and(|header| header.uuid != uuid) {
            recovered.foreign.push(segment_name(number));
            continue;
        }
        let first = header.filter(|header| own(header, number)).map(|header| header.first);
        old.push(Old { number, first, file_bytes });
    }
    let ours: HashSet<&str> = [LOCK_NAME, CHECKPOINT, QUARANTINE].into();
    let is_foreign = |name: &str| !ours.contains(name) && segment_number(name).is_none();
    recovered.foreign.extend(items.iter().map(|item| item.name.clone()).filter(|name| is_foreign(name)));
    recovered.foreign.sort();
    recovered.segments = old.len();
    Ok(Survey { uuid, checkpoint, has_checkpoint_file: has(CHECKPOINT), old, number_next })
}
