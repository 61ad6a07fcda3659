//! The format is what the files in `tests/data/buffer-v1/` are: every later program reads them, and this one writes them.
//!
//! `ELBOW_REWRITE=1 cargo test --test buffer_files` writes them anew, which only a new version of the format may need.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use crc32c::crc32c;
use crc32c::crc32c_append;
use elbow::buffer::disk::RealDisk;
use elbow::buffer::format::Point;
use elbow::buffer::format::SLOT;
use elbow::buffer::log::Log;
use elbow::buffer::recovery::OpenError;
use serde_json::Value;
use tempfile::TempDir;

use crate::made;

/// A file of the repository's test data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A copy of the golden buffer to try things on.
pub(crate) fn copy() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    made::put(folder.path(), &made::files(&data("buffer-v1")));
    folder
}

/// The events of the golden buffer, one a line.
pub(crate) fn events() -> Vec<Value> {
    let text = fs::read_to_string(data("buffer-v1.jsonl")).expect("the events are there");
    text.lines().map(|line| serde_json::from_str(line).expect("an event is JSON")).collect()
}

fn moment(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).expect("a time");
    format!("{time:.6}")
}

/// What is said of the events of one entry.
fn lines(entry: &elbow::buffer::Entry, source: &str) -> String {
    let mut lines = String::new();
    for (document, mark) in entry.batch.documents() {
        let document: Value = serde_json::from_slice(document).expect("a document is JSON");
        let id = String::from_utf8(mark.id.hex().to_vec()).expect("hexadecimal digits");
        let (time, received) = (moment(mark.time), moment(entry.batch.received));
        let event = serde_json::json!({
            "seq": entry.seq.0, "id": id, "time": time, "received": received, "source": source, "document": document,
        });
        lines += &format!("{event}\n");
    }
    lines
}

#[test]
fn what_is_written_today_is_the_golden_buffer() {
    let folder = tempfile::tempdir().expect("a folder");
    made::write(|| made::open(folder.path()).0);
    let (written, golden) = (made::files(folder.path()), data("buffer-v1"));
    let events: String = (0..made::ENTRIES)
        .map(made::entry)
        .map(|entry| lines(&entry, made::SOURCES[usize::from(entry.batch.source.0)]))
        .collect();
    if std::env::var_os("ELBOW_REWRITE").is_some() {
        made::put(&golden, &written);
        fs::write(data("buffer-v1.jsonl"), &events).expect("it can be written");
    }
    let golden = made::files(&golden);
    assert_eq!(written.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
    for (name, bytes) in &written {
        let at = bytes.iter().zip(&golden[name]).position(|(one, other)| one != other);
        assert_eq!((at, bytes.len()), (None, golden[name].len()), "the first byte of {name} that differs, and its length");
    }
    assert!(events == fs::read_to_string(data("buffer-v1.jsonl")).expect("the events are there"));
}

/// Everything from a place on, as lines.
fn read(log: &Log, from: Point) -> String {
    let mut reader = log.reader(from);
    let mut read = String::new();
    loop {
        let out = reader.read().expect("it can be read");
        assert_eq!(out.lost, None);
        if out.entries.is_empty() {
            return read;
        }
        for (entry, _) in out.entries {
            read += &lines(&entry, made::SOURCES[usize::from(entry.batch.source.0)]);
        }
    }
}

#[test]
fn the_golden_buffer_is_read_whole() {
    let folder = copy();
    let (log, recovered) = made::open(folder.path());
    assert_eq!(recovered.marks, [made::point(1), made::point(4)]);
    let clean = (recovered.segments, recovered.lost_events, recovered.torn_tail, recovered.marks_lost);
    assert_eq!((clean, recovered.foreign), ((3, 0, false, false), Vec::new()));
    assert_eq!(log.end(), made::point(made::ENTRIES));
    let all = fs::read_to_string(data("buffer-v1.jsonl")).expect("the events are there");
    for from in [0, 1, 4, 11] {
        let wanted = all.lines().skip(usize::try_from(made::point(from).event).expect("few"));
        assert_eq!(read(&log, made::point(from)).lines().collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    }
}

/// Names, bytes and times of change of everything but the lock.
pub(crate) fn state(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let changed = |name: &str| fs::metadata(folder.join(name)).and_then(|metadata| metadata.modified()).expect("a time");
    made::files(folder).into_iter().map(|(name, bytes)| (name.clone(), (bytes, changed(&name)))).collect()
}

/// Sets the version at this place to 2, with a CRC that is right.
pub(crate) fn make_newer(folder: &Path, name: &str, at: usize) {
    let mut bytes = fs::read(folder.join(name)).expect("it is there");
    let block = &mut bytes[at..];
    block[8] = 2;
    let tail = if name == "checkpoint" { u32::from_le_bytes(block[68..72].try_into().expect("four bytes")) } else { 0 };
    let crc = crc32c_append(crc32c(&block[..64]), &block[72..72 + tail as usize]);
    block[64..68].copy_from_slice(&crc.to_le_bytes());
    fs::write(folder.join(name), bytes).expect("it can be written");
}

#[test]
fn a_later_version_is_refused_and_left_as_it_is() {
    let places = [0, 1, 2].map(|number| (format!("segment-{number:020}"), 0));
    for (name, at) in places.into_iter().chain([0, SLOT].map(|at| ("checkpoint".to_owned(), at))) {
        let folder = copy();
        make_newer(folder.path(), &name, at);
        let before = state(folder.path());
        let refused = made::try_open(std::sync::Arc::new(RealDisk::open(folder.path()).expect("a folder")));
        let error = refused.map(|_| ()).expect_err("it is newer");
        assert!(matches!(&error, OpenError::Newer { name: of, version: 2, .. } if *of == name), "{error}");
        assert_eq!(state(folder.path()), before, "{name}");
    }
}
