//! Entries of a log as another process may be writing it: reads without its lock and changes nothing.
//!
//! It gives what has been written, which may be ahead of what is durable, and is of no one moment: what is appended or let
//! go meanwhile may be there or not. It repairs nothing and says only how much it could not find.

use std::io;
use std::io::ErrorKind;
use std::ops::ControlFlow;

use crate::buffer::Entry;
use crate::buffer::disk::Disk;
use crate::buffer::format::Point;
use crate::buffer::format::Seed;
use crate::buffer::format::segment_name;
use crate::buffer::frame::SourceNames;
use crate::buffer::frame::decode;
use crate::buffer::recovery::OpenError;
use crate::buffer::recovery::Recovered;
use crate::buffer::recovery::Survey;
use crate::buffer::recovery::survey;
use crate::buffer::walk::Found;
use crate::buffer::walk::Walk;

/// Times the directory is read before a file that vanishes each time is an error: segments are renamed while a relay runs.
const TRIES: u32 = 10;

/// Gives every entry that this sink has not acked to `each`, oldest first and each once, until `each` breaks; says how many
/// events lie between them that could not be read. Blocks; holds one frame in memory.
///
/// # Errors
/// When the directory or a file in it cannot be read, or a later version wrote there.
pub fn entries(
    disk: &dyn Disk,
    sink: &str,
    names: &SourceNames,
    each: &mut dyn FnMut(&Entry) -> ControlFlow<()>,
) -> Result<u64, OpenError> {
    let survey = look(disk)?;
    let marks = survey.checkpoint.as_ref().map_or(&[][..], |checkpoint| &checkpoint.marks);
    let mark = marks.iter().find(|(name, _)| name == sink).map(|(_, mark)| *mark);
    let mut reading = Reading { disk, names, next: mark, lost_events: 0 };
    for (at, old) in survey.old.iter().enumerate() {
        let behind = survey.old.get(at + 1).and_then(|next| next.first);
        if behind.zip(mark).is_some_and(|(behind, mark)| behind.seq <= mark.seq) {
            continue;
        }
        let seed = Seed::new(&survey.uuid, old.number);
        let failed = |source| OpenError::Io { path: disk.path().display().to_string(), what: "read a segment", source };
        match reading.segment(old.number, old.file_bytes, seed, each) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            // It was let go meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(reading.lost_events)
}

/// What the directory says; tried again where a file was renamed between its name and its bytes.
fn look(disk: &dyn Disk) -> Result<Survey, OpenError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match survey(disk, [0; 16], &mut Recovered::default()) {
            Err(OpenError::Io { what: "read a segment", source, .. })
                if source.kind() == ErrorKind::NotFound && tries < TRIES => {}
            done => return done,
        }
    }
}

struct Reading<'d> {
    disk: &'d dyn Disk,
    names: &'d SourceNames,
    /// What was given last ends there; unknown before the first entry where there is no mark.
    next: Option<Point>,
    lost_events: u64,
}

impl Reading<'_> {
    fn segment(
        &mut self,
        number: u64,
        limit: u64,
        seed: Seed,
        each: &mut dyn FnMut(&Entry) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let mut walk = Walk::new(self.disk.open(&segment_name(number))?, seed);
        loop {
            let (header, payload) = match walk.next(limit)? {
                Found::Frame { header, payload, .. } => (header, payload),
                Found::Damage { .. } => continue,
                Found::End { .. } => return Ok(ControlFlow::Continue(())),
            };
            let next = self.next.unwrap_or(header.first);
            let Ok(entries) = decode(&header, &payload, self.names) else { continue };
            // Frames may be there twice, and the first one may begin before the mark.
            if header.end().seq <= next.seq {
                continue;
            }
            self.lost_events += header.first.event.saturating_sub(next.event);
            self.next = Some(header.end());
            for (entry, _) in entries.iter().filter(|(entry, _)| entry.seq.0 >= next.seq) {
                if each(entry).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
}
