//! The sink that appends documents to a file, rotated by size and time, synced before anything is acked.
//!
//! After a failure the file is cut back to what the last sync covered and the rest is written again, so that no line
//! stands there half or twice. It refuses to touch bytes it has not written itself: a line that an earlier process left
//! half is ended with a newline, not removed.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::batch::Micros;
use crate::buffer::Entry;
use crate::sink::FilePlan;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::blocking;
use crate::sink::blocking::Medium;
use crate::sink::place::Place;
use crate::sink::place::SLICES;
use crate::sink::supply::Supply;
use crate::stop::StopWatch;
use crate::time::format_millis;

/// Appends to the plan's file; see [`run`](crate::sink::run).
pub(super) async fn run(plan: FilePlan, cursor: &mut Supply, state: &SinkState, stop: StopWatch) -> Result<(), SinkError> {
    blocking::deliver(RotatedFile::new(plan), cursor, state, stop).await
}

struct RotatedFile {
    plan: FilePlan,
    open: Option<Open>,
    /// What a failure left behind, until it has been put in order.
    torn: Option<Torn>,
}

/// The current file.
struct Open {
    file: File,
    id: FileId,
    /// Bytes in it, all of them synced.
    synced: u64,
    /// Number of the rotation interval its bytes belong to.
    period: u64,
}

/// A file whose end cannot be trusted.
struct Torn {
    id: FileId,
    /// Bytes a sync covered.
    synced: u64,
    /// Whether a sync failed. The next one could succeed with the bytes gone, so such a file takes no more.
    retire: bool,
}

/// What rotated files sort by: the moment in their name, and the number behind it.
type Age = ([u8; 16], u32);

/// Device and inode: a path may name another file after someone else has rotated it.
type FileId = (u64, u64);

impl Medium for RotatedFile {
    fn store(&mut self, entries: &[Entry]) -> (usize, Result<(), SinkError>) {
        self.store_at(entries, SystemTime::now())
    }

    fn prepare(&mut self) -> Result<(), SinkError> {
        self.open = Some(self.current(SystemTime::now())?);
        Ok(())
    }

    fn name(&self) -> String {
        self.plan.path.display().to_string()
    }
}

impl RotatedFile {
    fn new(plan: FilePlan) -> Self {
        Self { plan, open: None, torn: None }
    }

    fn store_at(&mut self, entries: &[Entry], now: SystemTime) -> (usize, Result<(), SinkError>) {
        let mut stored = 0;
        while stored < entries.len() {
            match self.store_run(&entries[stored..], now) {
                Ok(more) => stored += more,
                Err(error) => return (stored, Err(error)),
            }
        }
        (stored, Ok(()))
    }

    /// Stores as many entries as go into one file, at least one, under one sync.
    fn store_run(&mut self, entries: &[Entry], now: SystemTime) -> Result<usize, SinkError> {
        let bytes = |entry: &Entry| entry.batch.docs.len() as u64;
        let period = self.period(now);
        let mut open = self.current(now)?;
        let full = open.synced + bytes(&entries[0]) > self.plan.rotate_bytes;
        if open.synced > 0 && (full || open.period != period) {
            drop(open);
            self.rotate(now)?;
            open = self.current(now)?;
        }
        let mut end = open.synced;
        let fits = |entry: &&Entry| {
            end += bytes(entry);
            end <= self.plan.rotate_bytes
        };
        let run = entries.iter().take_while(fits).count().max(1);
        let written = match write_all(&open.file, &entries[..run]) {
            Ok(()) => open.file.sync_data().map_err(|source| (self.error("sync", source), true)),
            Err(source) => Err((self.error("write", source), false)),
        };
        if let Err((error, retire)) = written {
            // Cut at once where that works, because the wait may be long and someone may read the file.
            let _ = open.file.set_len(open.synced);
            self.torn = Some(Torn { id: open.id, synced: open.synced, retire });
            return Err(error);
        }
        open.synced += entries[..run].iter().map(bytes).sum::<u64>();
        open.period = period;
        self.open = Some(open);
        Ok(run)
    }

    /// Takes the open file, or opens the path when there is none or it names another file by now.
    fn current(&mut self, now: SystemTime) -> Result<Open, SinkError> {
        if let Some(open) = self.open.take()
            && fs::metadata(&self.plan.path).is_ok_and(|meta| id(&meta) == open.id)
        {
            return Ok(open);
        }
        self.mend(now)?;
        let path = &self.plan.path;
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.map_err(|source| self.error("open", source))?;
        let meta = file.metadata().map_err(|source| self.error("look at", source))?;
        if !meta.is_file() {
            return Err(self.error("write to", io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")));
        }
        let mut synced = meta.len();
        let mut last = [b'\n'];
        if synced > 0 {
            file.read_exact_at(&mut last, synced - 1).map_err(|source| self.error("read", source))?;
        }
        if last != [b'\n'] {
            tracing::warn!(path = %path.display(), "the last line was left half by an earlier process; it is ended here");
            (&file).write_all(b"\n").map_err(|source| self.error("write", source))?;
            synced += 1;
        }
        // The name has to be as durable as the bytes.
        self.sync_directory()?;
        let period = if synced > 0 { self.period(meta.modified().unwrap_or(now)) } else { self.period(now) };
        Ok(Open { file, id: id(&meta), synced, period })
    }

    /// Puts in order what a failure left behind.
    fn mend(&mut self, now: SystemTime) -> Result<(), SinkError> {
        let Some(Torn { id: torn, synced, retire }) = self.torn else { return Ok(()) };
        let file = match OpenOptions::new().write(true).open(&self.plan.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.torn = None;
                return Ok(());
            }
            Err(source) => return Err(self.error("open", source)),
        };
        let meta = file.metadata().map_err(|source| self.error("look at", source))?;
        if id(&meta) == torn {
            if meta.len() > synced {
                file.set_len(synced).map_err(|source| self.error("cut back", source))?;
            }
            if retire && synced > 0 {
                self.rotate(now)?;
            } else if retire {
                fs::remove_file(&self.plan.path).map_err(|source| self.error("remove", source))?;
            }
        }
        self.torn = None;
        Ok(())
    }

    /// Gives the current file its rotated name and removes the oldest ones.
    fn rotate(&self, now: SystemTime) -> Result<(), SinkError> {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let text = format_millis(Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX));
        // 2026-11-22T20:15:19.123Z becomes 20261122T201519Z, which sorts by age and needs no quoting anywhere.
        let mut suffix: Vec<u8> = text[..19].iter().copied().filter(|byte| !b"-:".contains(byte)).collect();
        suffix.push(b'Z');
        let stamp = suffix.first_chunk::<16>().expect("format_millis gives a year of four digits");
        // Several in one second are numbered on, never back to a number whose file is already removed.
        let same = self.rotated().into_iter().filter(|((other, _), _)| other == stamp).map(|((_, number), _)| number).max();
        if let Some(number) = same {
            suffix.extend_from_slice(format!(".{}", number + 1).as_bytes());
        }
        let rotated = beside(&self.plan.path, &suffix);
        fs::rename(&self.plan.path, &rotated).map_err(|source| self.error("rotate", source))?;
        self.sync_directory()?;
        self.prune();
        Ok(())
    }

    /// Removes rotated files beyond those to keep. Failing to is no reason to stop writing.
    fn prune(&self) {
        let rotated = self.rotated();
        let spare = rotated.len().saturating_sub(self.plan.keep as usize);
        for (_, path) in &rotated[..spare] {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove a rotated file; remove it by hand");
            }
        }
    }

    /// The rotated files, oldest first. A directory that cannot be listed seems to have none.
    fn rotated(&self) -> Vec<(Age, PathBuf)> {
        let Ok(listing) = fs::read_dir(self.directory()) else { return Vec::new() };
        let mut head = self.plan.path.file_name().unwrap_or_default().as_bytes().to_vec();
        head.push(b'.');
        let rotated = listing.flatten().filter_map(|entry| {
            let name = entry.file_name().into_vec();
            Some((age(name.strip_prefix(head.as_slice())?)?, entry.path()))
        });
        let mut rotated: Vec<_> = rotated.collect();
        rotated.sort();
        rotated
    }

    fn period(&self, time: SystemTime) -> u64 {
        let Some(interval) = self.plan.rotate_interval else { return 0 };
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    fn directory(&self) -> &Path {
        match self.plan.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    fn sync_directory(&self) -> Result<(), SinkError> {
        let directory = self.directory();
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| SinkError::File { path: directory.to_owned(), doing: "sync", source })
    }

    fn error(&self, doing: &'static str, source: io::Error) -> SinkError {
        SinkError::File { path: self.plan.path.clone(), doing, source }
    }
}

fn id(meta: &fs::Metadata) -> FileId {
    (meta.dev(), meta.ino())
}

/// The path with a dot and a suffix behind it.
fn beside(path: &Path, suffix: &[u8]) -> PathBuf {
    let mut name = path.as_os_str().as_bytes().to_vec();
    name.push(b'.');
    name.extend_from_slice(suffix);
    PathBuf::from(OsString::from_vec(name))
}

/// What a rotated file's suffix sorts by, `None` for a suffix that is not ours.
fn age(suffix: &[u8]) -> Option<Age> {
    let (stamp, rest) = suffix.split_first_chunk::<16>()?;
    let shape = b"00000000T000000Z";
    let ours = stamp.iter().zip(shape).all(|(byte, want)| if *want == b'0' { byte.is_ascii_digit() } else { byte == want });
    let number = match rest.strip_prefix(b".") {
        Some(digits) => str::from_utf8(digits).ok()?.parse().ok()?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    ours.then_some((*stamp, number))
}

fn write_all(mut file: &File, entries: &[Entry]) -> io::Result<()> {
    let mut place = Place::default();
    loop {
        place.advance(entries, 0);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = place.slices(entries, &mut slices);
        if used == 0 {
            return Ok(());
        }
        match file.write_vectored(&slices[..used]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => place.advance(entries, bytes),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;
    use tempfile::tempdir;

    use super::*;
    use crate::sink::SinkKind;
    use crate::sink::tests::Relay;
    use crate::sink::tests::entry;

    fn plan(directory: &TempDir) -> FilePlan {
        FilePlan { path: directory.path().join("out.json"), rotate_bytes: 1 << 30, rotate_interval: None, keep: 100 }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Names behind the current one's and contents, oldest first, the current file last.
    fn files(plan: &FilePlan) -> Vec<(String, String)> {
        let listing = fs::read_dir(plan.path.parent().expect("a directory")).expect("a listing");
        let mut files: Vec<_> = listing
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let name = path.file_name().expect("a name").to_str().expect("text");
                let suffix = name.strip_prefix("out.json").expect("nothing else here").to_owned();
                (suffix, fs::read_to_string(&path).expect("text"))
            })
            .collect();
        files.sort_by_key(|(suffix, _)| (suffix.is_empty(), suffix.len(), suffix.clone()));
        files
    }

    #[track_caller]
    fn check(plan: &FilePlan, want: &[(&str, &str)]) {
        let found = files(plan);
        let found: Vec<_> = found.iter().map(|(suffix, text)| (suffix.as_str(), text.as_str())).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_file_is_full_before_it_is_rotated_and_the_oldest_go() {
        let directory = tempdir().expect("a directory");
        let plan = FilePlan { rotate_bytes: 8, keep: 2, ..plan(&directory) };
        let mut file = RotatedFile::new(plan.clone());
        let entries = ["aaa\n", "bbb\n", "ccc\n", "longer than all\n", "d\n"];
        let entries: Vec<_> = entries.iter().enumerate().map(|(seq, text)| entry(seq as u64, text)).collect();
        let (stored, result) = file.store_at(&entries, at(0));
        assert!(stored == 5 && result.is_ok());
        check(&plan, &[(".19700101T000000Z.1", "ccc\n"), (".19700101T000000Z.2", "longer than all\n"), ("", "d\n")]);
    }

    #[test]
    fn a_new_interval_starts_a_new_file_even_in_a_new_process() {
        let directory = tempdir().expect("a directory");
        let plan = FilePlan { rotate_interval: Some(Duration::from_secs(3_600)), ..plan(&directory) };
        let mut file = RotatedFile::new(plan.clone());
        assert_eq!(file.store_at(&[entry(0, "a\n")], at(3_599)).0, 1);
        assert_eq!(file.store_at(&[entry(1, "b\n")], at(3_600)).0, 1);
        assert_eq!(file.store_at(&[entry(2, "c\n")], at(7_199)).0, 1);
        check(&plan, &[(".19700101T010000Z", "a\n"), ("", "b\nc\n")]);
        File::options().write(true).open(&plan.path).expect("a file").set_modified(at(7_199)).expect("a time");
        assert_eq!(RotatedFile::new(plan.clone()).store_at(&[entry(3, "d\n")], at(7_200)).0, 1);
        check(&plan, &[(".19700101T010000Z", "a\n"), (".19700101T020000Z", "b\nc\n"), ("", "d\n")]);
    }

    #[test]
    fn a_torn_write_is_cut_back_before_it_is_repeated() {
        let directory = tempdir().expect("a directory");
        let plan = plan(&directory);
        let mut file = RotatedFile::new(plan.clone());
        assert_eq!(file.store_at(&[entry(0, "good\n")], at(0)).0, 1);
        let open = file.open.take().expect("open");
        for (retire, want) in [(false, vec![("", "good\nmore\n")]), (true, vec![(".19700101T000000Z", "good\n"), ("", "more\n")])]
        {
            (&open.file).write_all(b"mo").expect("room");
            file.torn = Some(Torn { id: open.id, synced: 5, retire });
            file.open = None;
            assert_eq!(file.store_at(&[entry(1, "more\n")], at(0)).0, 1);
            check(&plan, &want);
        }
    }

    #[test]
    fn a_write_that_fails_leaves_no_half_line() {
        let directory = tempdir().expect("a directory");
        let plan = plan(&directory);
        let mut file = RotatedFile::new(plan.clone());
        assert_eq!(file.store_at(&[entry(0, "good\n")], at(0)).0, 1);
        file.open.as_mut().expect("open").file = File::open(&plan.path).expect("a file that cannot be written");
        let (stored, result) = file.store_at(&[entry(1, "more\n")], at(0));
        assert!(stored == 0 && matches!(result, Err(SinkError::File { doing: "write", .. })));
        assert_eq!(file.store_at(&[entry(1, "more\n")], at(0)).0, 1);
        check(&plan, &[("", "good\nmore\n")]);
    }

    #[test]
    fn a_half_line_of_an_earlier_process_is_ended_and_kept() {
        let directory = tempdir().expect("a directory");
        let plan = plan(&directory);
        fs::write(&plan.path, "whole\nha").expect("room");
        assert_eq!(RotatedFile::new(plan.clone()).store_at(&[entry(0, "new\n")], at(0)).0, 1);
        check(&plan, &[("", "whole\nha\nnew\n")]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew() {
        let directory = tempdir().expect("a directory");
        let plan = plan(&directory);
        let mut file = RotatedFile::new(plan.clone());
        assert_eq!(file.store_at(&[entry(0, "a\n")], at(0)).0, 1);
        fs::rename(&plan.path, plan.path.with_extension("json.moved")).expect("the same directory");
        assert_eq!(file.store_at(&[entry(1, "b\n")], at(0)).0, 1);
        check(&plan, &[(".moved", "a\n"), ("", "b\n")]);
    }

    #[tokio::test]
    async fn a_directory_that_is_missing_loses_nothing_and_a_second_run_goes_on() {
        let directory = tempdir().expect("a directory");
        let path = directory.path().join("later").join("out.json");
        let plan = FilePlan { path: path.clone(), ..plan(&directory) };
        for round in 0..2 {
            let mut relay = Relay::new(1);
            let sink = relay.start_plan(SinkKind::File(plan.clone()));
            relay.send(0..100).await;
            if round == 0 {
                relay.until(|relay| relay.states[0].counts().failures > 0).await;
                assert!(relay.states[0].last_error().expect("an error").text.contains("create the directory"));
                fs::create_dir(path.parent().expect("a directory")).expect("room");
            }
            relay.drain();
            relay.ends(sink).await.expect("all is delivered");
            relay.reconciles(0);
            assert_eq!(fs::read_to_string(&path).expect("text"), relay.text(0..100).repeat(round + 1));
        }
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_written_shows_before_the_first_event() {
        let directory = tempdir().expect("a directory");
        let plan = FilePlan { path: directory.path().join("absent/documents"), ..plan(&directory) };
        let mut relay = Relay::new(1);
        let sink = relay.start_plan(SinkKind::File(plan));
        relay.until(|relay| relay.states[0].condition() == crate::sink::Condition::Failed).await;
        let error = relay.states[0].last_error().expect("a reason");
        assert!(error.text.ends_with("create the directory"), "{}", error.text);
        relay.drain();
        relay.ends(sink).await.expect("nothing is left");
    }
}
