//! What the commands say of a buffer that is whole, damaged or none, and that they change nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use elbow::buffer::format::SLOT;
use elbow::buffer::quarantine::QUARANTINE;
use proptest::prelude::*;
use serde_json::Value;

use crate::goldens::copy;
use crate::goldens::events;
use crate::goldens::make_newer;
use crate::goldens::state;
use crate::made;

/// What a command said and how it ended.
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

/// Runs `elbow buffer` with these words in a folder.
fn run(folder: &Path, words: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbow"));
    let output = command.arg("buffer").args(words).current_dir(folder).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn segment(number: u64) -> String {
    format!("segment-{number:020}")
}

/// Changes a file's bytes.
fn change(folder: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(folder.join(name)).expect("it is there");
    change(&mut bytes);
    fs::write(folder.join(name), bytes).expect("it can be written");
}

/// Runs all commands on a changed copy of the golden buffer and holds them to what is wanted of `check`, its lines and its exit
/// status, and to the numbers of the entries that `dump` must give.
#[track_caller]
fn check(change: impl FnOnce(&Path), status: i32, lines: &[&str], entries: &[u64]) {
    let folder = copy();
    change(folder.path());
    let before = state(folder.path());
    let said = run(folder.path(), &["check", "."]);
    let (told, err): (Vec<&str>, _) = (said.out.lines().collect(), said.err);
    assert_eq!((told, said.status), (lines.to_vec(), Some(status)), "{err}");
    let stat = run(folder.path(), &["stat", "."]);
    assert_eq!((stat.status, stat.err.as_str()), (Some(0), ""));
    let dump = run(folder.path(), &["dump", "--with-meta", "."]);
    assert_eq!(dump.status, Some(0), "{}", dump.err);
    let got: Vec<Value> = dump.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let wanted = events().into_iter().filter(|event| entries.contains(&event["seq"].as_u64().expect("a number")));
    assert_eq!(got, wanted.collect::<Vec<_>>());
    assert!(state(folder.path()) == before, "nothing is changed");
    assert!(!folder.path().join("lock").exists());
}

const ALL: [u64; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

#[test]
fn a_whole_buffer_is_said_to_be_whole() {
    check(|_| {}, 0, &["3 segments, 6 frames; 11 entries with 23 events held; no damage"], &ALL);
}

fn flip(name: &str, at: usize) -> impl FnOnce(&Path) {
    move |folder| change(folder, name, |bytes| bytes[at] ^= 1)
}

/// So many bytes in a frame's payload, behind its head.
const IN_PAYLOAD: usize = 100;

#[test]
fn a_flipped_bit_costs_its_frame_and_nothing_more() {
    let (first, second, third) = (segment(0), segment(1), segment(2));
    check(
        flip(&third, 8192 + IN_PAYLOAD),
        1,
        &[
            "./segment-00000000000000000002:8192: 4096 bytes are damaged: entries 7 to 10 are missing, 8 events lost",
            "3 segments, 5 frames; 7 entries with 15 events held; 1 finding of damage, 8 events lost",
        ],
        &[0, 1, 2, 3, 4, 5, 6, 11],
    );
    // Every sink has entry 0.
    check(
        flip(&first, 4096),
        1,
        &[
            "./segment-00000000000000000000:4096: 4096 bytes are damaged: entry 1 is missing, 2 events lost",
            "3 segments, 5 frames; 10 entries with 21 events held; 1 finding of damage, 2 events lost",
        ],
        &ALL[2..],
    );
    check(
        flip(&first, 8192 + IN_PAYLOAD),
        1,
        &[
            "./segment-00000000000000000000:8192: the payload of the segment's last frame is damaged: entries 2 to 4 are missing, 6 events lost",
            "3 segments, 5 frames; 8 entries with 17 events held; 1 finding of damage, 6 events lost",
        ],
        &[0, 1, 5, 6, 7, 8, 9, 10, 11],
    );
    // Its entries were carried over at the restart.
    check(
        flip(&second, 4096 + IN_PAYLOAD),
        1,
        &[
            "./segment-00000000000000000001:4096: the payload of the segment's last frame is damaged: no event lost",
            "3 segments, 5 frames; 11 entries with 23 events held; 1 finding of damage, 0 events lost",
        ],
        &ALL,
    );
    check(
        flip(&third, 12288 + IN_PAYLOAD),
        1,
        &[
            "./segment-00000000000000000002:12288: the payload of the segment's last frame is damaged: entry 11 is missing, 3 events lost",
            "3 segments, 5 frames; 10 entries with 20 events held; 1 finding of damage, 3 events lost",
        ],
        &ALL[..11],
    );
}

#[test]
fn a_segment_is_read_without_its_header_and_missed_when_it_is_gone() {
    check(
        flip(&segment(1), 10),
        1,
        &[
            "./segment-00000000000000000001:0: the segment's header is damaged; its frames are read all the same: no event lost",
            "3 segments, 6 frames; 11 entries with 23 events held; 1 finding of damage, 0 events lost",
        ],
        &ALL,
    );
    check(
        |folder| fs::remove_file(folder.join(segment(0))).expect("it is there"),
        1,
        &[
            "./segment-00000000000000000001:4096: part of the sequence is not there: entries 1 to 4 are missing, 8 events lost",
            "2 segments, 4 frames; 7 entries with 15 events held; 1 finding of damage, 8 events lost",
        ],
        &ALL[5..],
    );
    check(
        |folder| (0..3).for_each(|number| fs::remove_file(folder.join(segment(number))).expect("it is there")),
        1,
        &[
            "./checkpoint:0: part of the sequence is not there: entries 1 to 11 are missing, 23 events lost",
            "0 segments, 0 frames; 0 entries with 0 events held; 1 finding of damage, 23 events lost",
        ],
        &[],
    );
}

#[test]
fn one_slot_of_the_checkpoint_is_enough() {
    for at in [0, SLOT] {
        let said = format!("./checkpoint:{at}: one slot of the checkpoint was cut short or is damaged; the other one counts");
        let summary = "3 segments, 6 frames; 11 entries with 23 events held; no damage";
        check(flip("checkpoint", at + 64), 0, &[&said, summary], &ALL);
    }
    let want = [
        "./checkpoint:0: no checkpoint can be read; each sink will begin again with the oldest entry: no event lost",
        "3 segments, 6 frames; 12 entries with 24 events held; 1 finding of damage, 0 events lost",
    ];
    let both = |bytes: &mut Vec<u8>| {
        bytes[20] ^= 1;
        bytes[SLOT + 20] ^= 1;
    };
    check(|folder| change(folder, "checkpoint", both), 1, &want, &ALL);
    check(|folder| fs::remove_file(folder.join("checkpoint")).expect("it is there"), 1, &want, &ALL);
}

#[test]
fn a_write_cut_short_at_the_very_end_is_no_damage() {
    let torn = |folder: &Path| {
        let (mut log, _) = made::open(folder);
        made::commit(&mut log, 12..20);
        drop(log);
        // Only the first block of the frame reached the disk.
        let last = made::files(folder).keys().next_back().expect("segments").clone();
        let at = made::files(folder)[&last].iter().rposition(|&byte| byte != 0).expect("a frame");
        change(folder, &last, |bytes| bytes[at] = 0);
        fs::remove_file(folder.join("lock")).expect("it is there");
    };
    let folder = copy();
    torn(folder.path());
    let said = run(folder.path(), &["check", "."]);
    assert_eq!(said.status, Some(0), "{}{}", said.out, said.err);
    let told: Vec<&str> = said.out.lines().collect();
    assert!(told.len() == 2 && told[0].ends_with(": the last write was cut short; its sender was told nothing"), "{}", said.out);
    assert!(told[1].ends_with("11 entries with 23 events held; no damage"), "{}", said.out);
}

#[test]
fn what_is_not_of_the_buffer_is_named_and_left_alone() {
    let strange = |folder: &Path| {
        fs::write(folder.join("notes.txt"), "mine").expect("it can be written");
        fs::create_dir(folder.join("pictures")).expect("it can be made");
        fs::create_dir(folder.join(QUARANTINE)).expect("it can be made");
        fs::write(folder.join(QUARANTINE).join("segment-00000000000000000000-at-4096"), "x").expect("it can be written");
    };
    let want = [
        "./quarantine:0: one damaged range was set aside here while it was read",
        "./notes.txt:0: not of this buffer, and left alone",
        "./pictures:0: not of this buffer, and left alone",
        "3 segments, 6 frames; 11 entries with 23 events held; no damage",
    ];
    check(strange, 0, &want, &ALL);
    let file = |folder: &Path| fs::write(folder.join(QUARANTINE), "no folder").expect("it can be written");
    check(file, 0, &want[3..], &ALL);
}

#[test]
fn what_is_no_buffer_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name);
    fs::create_dir(inside("empty")).expect("it can be made");
    fs::write(inside("file"), "x").expect("it can be written");
    made::put(&inside("garbage"), &[(segment(0), vec![7; 9000]), ("checkpoint".to_owned(), vec![9; 20_000])].into());
    made::put(&inside("newer"), &made::files(copy().path()));
    make_newer(&inside("newer"), &segment(1), 0);
    made::put(&inside("later"), &made::files(copy().path()));
    make_newer(&inside("later"), "checkpoint", SLOT);
    for (name, parts) in [
        ("empty", ["empty is no buffer", "name the data_dir"]),
        ("file", ["file cannot be read: Not a directory", "name the folder"]),
        ("gone", ["gone cannot be read: No such file", "name the data_dir"]),
        ("garbage", ["garbage: neither the checkpoint nor", "restore them from a backup"]),
        ("newer", ["newer/segment-00000000000000000001 has format version 2", "a later one"]),
        ("later", ["later/checkpoint has format version 2", "a later one"]),
    ] {
        for command in ["stat", "check", "dump"] {
            let said = run(folder.path(), &[command, name]);
            assert_eq!((said.status, said.out.as_str()), (Some(2), ""), "{command} {name}");
            assert!(said.err.starts_with("elbow: ") && parts.iter().all(|part| said.err.contains(part)), "{}", said.err);
        }
    }
}

#[test]
fn a_data_directory_is_as_good_as_the_folder_in_it() {
    let data = tempfile::tempdir().expect("a folder");
    let files = made::files(copy().path());
    made::put(&data.path().join("buffer"), &files);
    for directory in [".", "buffer", "./buffer/"] {
        let said = run(data.path(), &["check", directory]);
        assert_eq!(said.status, Some(0), "{directory}: {}", said.err);
    }
    let said = run(data.path(), &["stat", "--dead-letters", "."]);
    assert_eq!(said.status, Some(2));
    assert!(said.err.contains(". has no dead-letters in it; name the data_dir"), "{}", said.err);
    made::put(&data.path().join("dead-letters"), &files);
    change(&data.path().join("dead-letters"), &segment(1), |bytes| bytes[0] = 0);
    for directory in [".", "dead-letters"] {
        assert_eq!(run(data.path(), &["check", "--dead-letters", directory]).status, Some(1), "{directory}");
    }
    assert_eq!(run(data.path(), &["check", "."]).status, Some(0));
}

#[test]
fn a_buffer_in_use_is_said_to_be() {
    let folder = copy();
    let (mut log, _) = made::open(folder.path());
    made::commit(&mut log, 12..14);
    for command in ["stat", "check", "dump"] {
        let said = run(folder.path(), &[command, "."]);
        assert_eq!(said.status, Some(0), "{}{}", said.out, said.err);
        let told = if command == "dump" { said.err } else { said.out };
        assert!(told.contains("a relay is running on this directory: figures may be moving"), "{told}");
    }
    drop(log);
    let said = run(folder.path(), &["stat", "."]);
    assert!(!said.out.contains("running"), "{}", said.out);
    // Looking does not keep a relay from starting.
    let (log, _) = made::open(folder.path());
    assert_eq!(log.end(), made::point(14));
}

#[test]
fn stat_says_what_waits_for_whom() {
    let folder = copy();
    let said = run(folder.path(), &["stat", "."]);
    let rows: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let end = made::point(made::ENTRIES);
    for (sink, next) in [("archive", 1), ("logstash", 4)] {
        let mark = made::point(next);
        let (events, bytes) = ((end.event - mark.event).to_string(), (end.byte - mark.byte).to_string());
        assert!(rows.contains(&vec![sink, &events, &bytes, &next.to_string()]), "{}", said.out);
    }
    let oldest = events().into_iter().find(|event| event["seq"] == 1).expect("an event")["received"].clone();
    assert!(rows.contains(&vec!["oldest", "received", oldest.as_str().expect("text")]), "{}", said.out);
    let newest = events().last().expect("an event")["received"].clone();
    assert!(rows.contains(&vec!["newest", "received", newest.as_str().expect("text")]), "{}", said.out);
}

#[test]
fn dump_begins_and_ends_where_it_is_told_to() {
    let folder = copy();
    let all = events();
    let said = run(folder.path(), &["dump", "."]);
    let documents: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(documents, all.iter().map(|event| event["document"].clone()).collect::<Vec<_>>());
    for (from, limit) in [(0, 2), (5, 100), (6, 0), (11, 2), (12, 5)] {
        let words = ["dump", "--from", &format!("{from}"), "--limit", &format!("{limit}"), "--with-meta", "."];
        let said = run(folder.path(), &words);
        let got: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let wanted = all.iter().filter(|event| event["seq"].as_u64() >= Some(from)).take(limit);
        assert_eq!(got, wanted.cloned().collect::<Vec<_>>(), "{words:?}");
    }
}

#[test]
fn a_reader_who_has_enough_ends_it_quietly() {
    let folder = copy();
    for command in ["stat", "check", "dump"] {
        let mut running = Command::new(env!("CARGO_BIN_EXE_elbow"));
        let running = running.args(["buffer", command, "."]).current_dir(&folder).stderr(Stdio::piped());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = running.stdout(writer).output().expect("it runs");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{command}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_held_and_what_is_lost_are_all_there_was(
        number in 0..3u64, flips in proptest::collection::vec((any::<u16>(), 1..=255u8), 1..6),
    ) {
        let folder = copy();
        change(folder.path(), &segment(number), |bytes| {
            for (at, with) in flips {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= with;
            }
        });
        let said = run(folder.path(), &["check", "."]);
        let summary = said.out.lines().last().unwrap_or_default();
        let counts: Vec<u64> = summary.split(' ').filter_map(|word| word.parse().ok()).collect();
        // Segments, frames, entries, events, and where there is damage findings and events.
        let (held, lost) = (counts[3], counts.get(5).copied().unwrap_or(0));
        prop_assert_eq!(held + lost, 23, "{}", said.out);
        let dump = run(folder.path(), &["dump", "--from", "1", "."]);
        prop_assert_eq!(dump.out.lines().count() as u64, held, "{}", said.out);
    }
}
