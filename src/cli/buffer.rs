//! `elbow buffer`: what a data directory holds, offline and without changing anything.
//!
//! Works while a relay runs on it, and says so. What it finds is put into words here; the finding is in
//! [`inspect`](crate::buffer::inspect).

use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::io::BufWriter;
use std::io::ErrorKind;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;

use thiserror::Error;

use crate::batch::Mark;
use crate::batch::Micros;
use crate::buffer::Entry;
use crate::buffer::disk::LOCK_NAME;
use crate::buffer::disk::RealDisk;
use crate::buffer::format::VERSION;
use crate::buffer::format::segment_number;
use crate::buffer::inspect::Depth;
use crate::buffer::inspect::Finding;
use crate::buffer::inspect::InspectError;
use crate::buffer::inspect::Inspection;
use crate::buffer::marks::CHECKPOINT;
use crate::buffer::quarantine::QUARANTINE;
use crate::cli::args::Buffer;
use crate::cli::args::BufferAction;
use crate::cli::args::Dump;
use crate::json::scan::Scan;

/// Exit status when there is damage.
const EXIT_DAMAGED: u8 = 1;

/// Exit status when there is nothing to look at, or it cannot be read.
const EXIT_UNREADABLE: u8 = 2;

/// Bytes of documents written at once.
const WRITE_BYTES: usize = 256 * 1024;

/// Why a command ended early.
#[derive(Debug, Error)]
enum Stopped {
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("{0} has no {1} in it; name the data_dir of a relay, or that folder itself")]
    NoFolder(String, &'static str),
    #[error("standard output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Runs one of the commands, writing its answer to `out` and remarks to `err`, and gives the exit status.
pub fn buffer(command: &Buffer, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match run(command, out, err) {
        Ok(status) => status,
        // Whoever reads has enough.
        Err(Stopped::Output(error)) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(stopped) => {
            // When nobody can read it there is nobody to tell.
            let _ = writeln!(err, "elbow: {stopped}");
            EXIT_UNREADABLE
        }
    }
}

fn run(command: &Buffer, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, Stopped> {
    let path = folder(&command.directory, command.dead_letters)?;
    let disk = RealDisk::read_only(&path);
    let quarantine = RealDisk::read_only(&path.join(QUARANTINE));
    let depth = if command.action == BufferAction::Check { Depth::Everything } else { Depth::Heads };
    let in_use = is_in_use(&path);
    let found = Inspection::of(&disk, &quarantine, depth)?;
    let moving = "a relay is running on this directory: figures may be moving";
    match &command.action {
        BufferAction::Stat => {
            let received = found.received(&disk)?;
            stat(&path, &found, received, out)?;
            if in_use {
                writeln!(out, "\n{moving}")?;
            }
            out.flush()?;
            Ok(0)
        }
        BufferAction::Check => {
            let status = check(&path, &found, out)?;
            if in_use {
                writeln!(out, "{moving}")?;
            }
            out.flush()?;
            Ok(status)
        }
        BufferAction::Dump(wanted) => {
            if in_use {
                let _ = writeln!(err, "elbow: {moving}");
            }
            let lost = lost_events(&found.findings());
            if lost > 0 {
                let _ = writeln!(err, "elbow: {lost} events are missing; `elbow buffer check {}` says where", path.display());
            }
            dump(&disk, &found, wanted, out)?;
            Ok(0)
        }
    }
}

/// The folder that is meant: in a data directory the one of this name, otherwise the directory itself.
fn folder(directory: &Path, dead_letters: bool) -> Result<PathBuf, Stopped> {
    let name = if dead_letters { "dead-letters" } else { "buffer" };
    let inner = directory.join(name);
    if is_log(directory) && (!dead_letters || directory.ends_with(name)) {
        Ok(directory.to_owned())
    } else if inner.is_dir() {
        Ok(inner)
    } else if dead_letters && directory.is_dir() && !directory.ends_with(name) {
        Err(Stopped::NoFolder(directory.display().to_string(), name))
    } else {
        // What is wrong with it is said where it is looked into.
        Ok(directory.to_owned())
    }
}

/// Whether the files of a log are in a directory.
fn is_log(directory: &Path) -> bool {
    let is_ours = |name: &str| name == CHECKPOINT || segment_number(name).is_some();
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_str().is_some_and(is_ours))
}

/// Whether a process works on the directory. The lock is asked for as a reader and given back at once, on a file that is
/// there; where there is none, or it may not be read, nobody is known to.
fn is_in_use(directory: &Path) -> bool {
    let path = directory.join(LOCK_NAME);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
    let Some(file) = is_file.then(|| File::open(&path).ok()).flatten() else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A moment as RFC 3339 has it, with microseconds.
fn moment(time: Micros) -> String {
    jiff::Timestamp::from_microsecond(time).map_or_else(|_| format!("{time} µs since 1970"), |time| format!("{time:.6}"))
}

fn lost_events(findings: &[Finding]) -> u64 {
    findings.iter().fold(0, |sum, finding| sum.saturating_add(finding.lost.map_or(0, |lost| lost.events)))
}

fn stat(path: &Path, found: &Inspection, received: Option<(Micros, Micros)>, out: &mut dyn Write) -> io::Result<()> {
    let file_bytes = found.segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.file_bytes));
    writeln!(out, "directory  {}", path.display())?;
    writeln!(out, "format     version {VERSION}")?;
    writeln!(out, "uuid       {}", hex(&found.uuid))?;
    writeln!(out, "segments   {}, {file_bytes} bytes of files", found.segments.len())?;
    writeln!(out, "held       {} entries, {} events, {} bytes", found.held.seq, found.held.event, found.held.byte)?;
    if let Some((oldest, newest)) = received {
        writeln!(out, "oldest     received {}", moment(oldest))?;
        writeln!(out, "newest     received {}", moment(newest))?;
    }
    let findings = found.findings();
    if findings.iter().any(|finding| finding.what.is_damage()) {
        let lost = lost_events(&findings);
        writeln!(out, "damage     {lost} events lost; `elbow buffer check {}` says where", path.display())?;
    }
    let width = found.sinks.iter().map(|sink| sink.name.chars().count()).max().unwrap_or(0).max(4);
    writeln!(out, "\n{:width$}  {:>14}  {:>16}  {:>12}", "sink", "events waiting", "bytes waiting", "next entry")?;
    for sink in &found.sinks {
        let (events, bytes) = (sink.waiting.event, sink.waiting.byte);
        writeln!(out, "{:width$}  {events:>14}  {bytes:>16}  {:>12}", sink.name, sink.mark.seq)?;
    }
    Ok(())
}

fn check(path: &Path, found: &Inspection, out: &mut dyn Write) -> io::Result<u8> {
    let findings = found.findings();
    for finding in &findings {
        let place = path.join(&finding.file);
        write!(out, "{}:{}: {}", place.display(), finding.at, finding.what)?;
        match finding.lost {
            Some(lost) => writeln!(out, ": {lost}")?,
            None if finding.what.is_damage() => writeln!(out, ": no event lost")?,
            None => writeln!(out)?,
        }
    }
    let frames: u64 = found.segments.iter().map(|segment| segment.scan.frames()).sum();
    let (segments, held) = (found.segments.len(), found.held);
    let damaged = findings.iter().filter(|finding| finding.what.is_damage()).count();
    write!(out, "{segments} segments, {frames} frames; {} entries with {} events held; ", held.seq, held.event)?;
    if damaged == 0 {
        writeln!(out, "no damage")?;
        return Ok(0);
    }
    let plural = if damaged == 1 { "" } else { "s" };
    writeln!(out, "{damaged} finding{plural} of damage, {} events lost", lost_events(&findings))?;
    Ok(EXIT_DAMAGED)
}

fn dump(disk: &RealDisk, found: &Inspection, wanted: &Dump, out: &mut dyn Write) -> Result<(), Stopped> {
    let mut out = BufWriter::with_capacity(WRITE_BYTES, out);
    let mut left = wanted.limit.unwrap_or(u64::MAX);
    let mut scan = Scan::new();
    let walked = found.entries(disk, wanted.from, |entry, source| {
        for (document, mark) in entry.batch.documents() {
            if left == 0 {
                return ControlFlow::Break(Ok(()));
            }
            left -= 1;
            let written = if wanted.with_meta {
                let text = line(entry, mark, source, document, &mut scan);
                out.write_all(text.as_bytes())
            } else {
                out.write_all(document).and_then(|()| if document.ends_with(b"\n") { Ok(()) } else { out.write_all(b"\n") })
            };
            if let Err(error) = written {
                return ControlFlow::Break(Err(error));
            }
        }
        ControlFlow::Continue(())
    })?;
    if let ControlFlow::Break(ended) = walked {
        ended?;
    }
    out.flush()?;
    Ok(())
}

/// An event with what is kept beside it, as one line of JSON.
fn line(entry: &Entry, mark: &Mark, source: &str, document: &[u8], scan: &mut Scan) -> String {
    let document = document.strip_suffix(b"\n").unwrap_or(document);
    let text = String::from_utf8_lossy(document);
    // What is no JSON, or would break the line, is shown as a string.
    let is_json = scan.scan(document, 0, document.len()).is_ok() && !scan.has_newline();
    let document = if is_json { text } else { quoted(&text).into() };
    let id = String::from_utf8_lossy(&mark.id.hex()).into_owned();
    let format = mark.origin.map_or(String::new(), |origin| format!("\"format\":\"{}\",", origin.label()));
    let tenant = entry.batch.tenant.as_ref().map_or(String::new(), |tenant| format!("\"tenant\":{},", quoted(tenant)));
    let sink = entry.batch.sink.as_ref().map_or(String::new(), |sink| format!("\"sink\":{},", quoted(sink)));
    format!(
        "{{\"seq\":{},\"id\":\"{id}\",\"time\":{},\"received\":{},\"source\":{},{tenant}{sink}{format}\"document\":{document}}}\n",
        entry.seq.0,
        quoted(&moment(mark.time)),
        quoted(&moment(entry.batch.received)),
        quoted(source),
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
