//! Directories that cannot be used, and ones in which somebody else has left things.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::harness::Oracle;
use crate::mounts::Mount;

/// Nothing is waited for.
const QUICK: Duration = Duration::from_secs(5);

#[test]
fn a_directory_that_cannot_be_written_is_refused_by_name() {
    let Some(mount) = Mount::tmpfs("size=32m") else { return };
    let oracle = Oracle::at("read-only directory", &mount.path.join("data"));
    mount.make_read_only();
    let ended = oracle.setup.clone().spawn().ended().within(QUICK).with(1);
    let directory = oracle.data.to_str().expect("text");
    assert!(ended.log_text.contains(directory), "it names the directory:\n{}", ended.log_text);
    assert!(ended.log_text.contains("ead-only file system"), "it says what is wrong:\n{}", ended.log_text);
}

#[test]
fn a_directory_that_became_read_only_with_a_backlog_is_refused_and_keeps_it() {
    let Some(mount) = Mount::tmpfs("size=32m") else { return };
    let mut oracle = Oracle::at("read-only afterwards", &mount.path.join("data"))
        .with(|setup| setup.buffer("16MiB").buffer_settings("min_free_bytes = \"1MiB\""));
    oracle.start();
    oracle.send(100, 2_000);
    oracle.kill();
    mount.make_read_only();
    oracle.setup.clone().spawn().ended().within(QUICK).with(1);
    mount.make_writable();
    oracle.seen(true);
    oracle.cycles += 1;
    oracle.finish();
}

#[test]
fn what_is_none_of_its_files_is_named_once_and_left_alone() {
    let mut oracle = Oracle::new("foreign files");
    oracle.start();
    oracle.send(100, 2_000);
    oracle.kill();
    let buffer = oracle.buffer();
    let files = [
        "notes.txt",
        "segment-1",
        "segment-0000000000000000000x",
        "segment-00000000000000000009.tmp",
        "checkpoint.tmp",
        "checkpoint.bak",
    ];
    for name in files {
        fs::write(buffer.join(name), name).expect("there is room");
    }
    fs::create_dir(buffer.join("lost+found")).expect("there is room");
    symlink("/etc/passwd", buffer.join("passwd")).expect("there is room");
    oracle.start();
    let log = oracle.relay().log_text();
    let naming = log.lines().filter(|line| line.contains("notes.txt")).count();
    assert_eq!(naming, 1, "it is said once:\n{log}");
    let line = log.lines().find(|line| line.contains("notes.txt")).expect("it is said");
    for name in ["segment-1", "checkpoint.bak", "lost+found", "passwd"] {
        assert!(line.contains(name), "{name} is not in {line}");
    }
    oracle.seen(true);
    oracle.cycles += 1;
    oracle.pass();
    for name in ["notes.txt", "segment-1", "checkpoint.bak"] {
        assert_eq!(fs::read(buffer.join(name)).expect("it is still there"), name.as_bytes());
    }
    oracle.finish();
}
