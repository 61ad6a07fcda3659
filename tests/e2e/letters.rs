//! Dead letters: lines that no parser took are kept apart, outlive the relay, and become events once they can be parsed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::relay::elbow;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::stays;

/// What a command said and how it ended.
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// `elbow dead-letters` with these words and the configuration in this directory.
fn letters(directory: &Path, words: &str) -> Said {
    let mut words = words.split(' ');
    let mut command = elbow();
    command.arg("dead-letters").arg(words.next().expect("a command")).arg("-c").arg(directory.join("elbow.toml"));
    said(command.args(words))
}

/// The same, which must end so.
#[track_caller]
fn letters_with(directory: &Path, words: &str, status: i32) -> Said {
    let said = letters(directory, words);
    assert_eq!(said.status, Some(status), "{words}\n{}\n{}", said.out, said.err);
    said
}

#[track_caller]
fn exported(directory: &Path) -> Vec<Value> {
    let said = letters_with(directory, "export", 0);
    said.out.lines().map(|line| serde_json::from_str(line).expect("a document is JSON")).collect()
}

fn ids(documents: &[Value]) -> BTreeSet<String> {
    let ids = documents.iter().map(|document| document["event"]["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A relay that keeps rejects of this format apart and answers its senders.
fn keeping(directory: &Path, format: &str) -> Setup {
    let source = format!("format = \"{format}\"\non_reject = \"dead_letter\"\nconfirm = \"close\"");
    Relay::to_stdout().in_directory(directory).buffer("64MiB").source(&source)
}

/// Lines no format takes that is not text.
fn rejects(numbers: impl IntoIterator<Item = u64>, bytes: usize) -> String {
    numbers.into_iter().map(|number| format!("no such log {number} {}\n", "x".repeat(bytes))).collect()
}

#[test]
fn rejects_are_kept_apart_and_good_lines_go_on() {
    let directory = directory();
    let relay = keeping(directory.path(), "alb").start();
    send(relay.lines, format!("{}{}{}", alb(1), "no log\u{1b}[2J\n", alb(2)));
    // Both are there when the sender has its answer.
    let listed = letters_with(directory.path(), "list", 0);
    let line = listed.out.lines().next().expect("a letter");
    for part in ["0:0 ", " in unrecognised_format ", "no log\\u{1b}[2J"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(listed.out.lines().count(), 1);
    assert_eq!(listed.err, "1 letter\n        1 in unrecognised_format\n");
    let shown = letters_with(directory.path(), "show 0:0", 0);
    for part in ["address   0:0\n", "source    in\n", "\"message\": \"no log\\u001b[2J\"", "_elbparsefailure"] {
        assert!(shown.out.contains(part), "{part} in {}", shown.out);
    }
    let missing = letters_with(directory.path(), "show 0:0 0:1", 1);
    assert!(missing.err.contains("there is no letter 0:1"), "{}", missing.err);
    assert_eq!(exported(directory.path())[0]["message"], "no log\u{1b}[2J");
    assert_eq!(relay.writes(2).len(), 2);
    let ended = relay.stop().cleanly();
    assert_eq!(ended.documents.len(), 2, "the rejected line is no document of the sink");
}

#[test]
fn a_killed_relay_leaves_every_letter_whose_sender_was_answered() {
    let directory = directory();
    let relay = keeping(directory.path(), "alb").start();
    send(relay.lines, rejects(0..500, 100));
    relay.kill();
    relay.ended();
    assert_eq!(exported(directory.path()).len(), 500);
    let relay = keeping(directory.path(), "alb").start();
    send(relay.lines, rejects(500..501, 100));
    relay.stop().cleanly();
    let messages: BTreeSet<String> = exported(directory.path()).iter().map(|letter| letter["message"].to_string()).collect();
    assert_eq!(messages.len(), 501);
}

#[test]
fn what_can_be_parsed_later_is_replayed_once_with_the_ids_it_had() {
    let directory = directory();
    let relay = keeping(directory.path(), "nlb").start();
    send(relay.lines, albs(0..300) + &rejects(0..2, 10) + &albs(300..310));
    let before = exported(directory.path());
    assert_eq!(before.len(), 312);
    let refused = letters_with(directory.path(), "replay", 2);
    assert!(refused.err.contains("in use by a running relay; stop it"), "{}", refused.err);
    relay.stop().cleanly();
    // Nothing has changed: nothing goes.
    assert!(letters_with(directory.path(), "replay", 1).out.starts_with("0 letters replayed\n312 still rejected"));
    keeping(directory.path(), "alb").write_in(directory.path());
    assert!(letters_with(directory.path(), "replay --dry-run", 1).out.starts_with("310 letters would be replayed\n2 still"));
    assert_eq!(exported(directory.path()), before, "a dry run changes nothing");
    assert!(letters_with(directory.path(), "replay", 1).out.starts_with("310 letters replayed\n2 still rejected"));
    let stayed = exported(directory.path());
    assert_eq!(stayed, before[300..302], "they are what they were");
    assert!(letters_with(directory.path(), "replay", 1).out.starts_with("0 letters replayed\n2 still rejected"));
    let relay = keeping(directory.path(), "alb").start();
    relay.writes(310);
    let ended = relay.stop().cleanly();
    assert_eq!(ended.documents.len(), 310, "each once");
    let mut wanted = ids(&before);
    wanted.retain(|id| !ids(&stayed).contains(id));
    assert_eq!(ids(&ended.documents), wanted);
    assert_eq!(ended.documents[0]["elb_status_code"], 200, "{}", ended.documents[0]);
}

#[test]
fn what_stays_a_reject_goes_as_it_is_where_that_is_asked_for() {
    let directory = directory();
    let relay = keeping(directory.path(), "alb").start();
    send(relay.lines, rejects(0..20, 10));
    relay.stop().cleanly();
    let before = exported(directory.path());
    let replayed = letters_with(directory.path(), "replay --as-is --source in", 0);
    assert_eq!(replayed.out, "0 letters replayed\n20 put into the buffer as they are\n");
    assert_eq!(exported(directory.path()), [] as [Value; 0]);
    let relay = keeping(directory.path(), "alb").start();
    assert_eq!(relay.writes(20), before);
    relay.stop().cleanly();
}

#[test]
fn purged_letters_are_gone_and_the_others_stay() {
    let directory = directory();
    let relay = keeping(directory.path(), "alb").start();
    for number in 0..4 {
        send(relay.lines, rejects([number * 2, number * 2 + 1], 10));
    }
    assert_eq!(letters_with(directory.path(), "purge --all", 2).out, "");
    relay.stop().cleanly();
    let before = exported(directory.path());
    let listed = letters_with(directory.path(), "list --limit 2", 0);
    assert_eq!(listed.out.lines().count(), 2);
    assert!(listed.err.starts_with("8 letters\n"), "{}", listed.err);
    let second = listed.out.lines().nth(1).expect("two").split(' ').next().expect("an address");
    let purged = letters_with(directory.path(), &format!("purge --through {second}"), 0);
    assert!(purged.err.starts_with("2 letters removed; 6 stay"), "{}", purged.err);
    assert_eq!(exported(directory.path()), before[2..]);
    assert!(letters_with(directory.path(), "purge --source other", 0).err.starts_with("0 letters removed; 6 stay"));
    assert!(letters_with(directory.path(), "purge --source in", 0).err.starts_with("6 letters removed; 0 stay"));
    assert_eq!(exported(directory.path()), [] as [Value; 0]);
}

/// The bytes of a reject in stories of full dead letters.
const BYTES: usize = 4_000;

/// A second source, whose lines are good, beside the one of rejects.
const SECOND: &str = "[[source]]\nname = \"good\"\ntype = \"tcp\"\naddress = \"127.0.0.1:0\"\nformat = \"alb\"\n";

fn bounded(directory: &Path, when_full: &str) -> Setup {
    let tables = format!("[dead_letters]\nmax_bytes = \"16MiB\"\nwhen_full = \"{when_full}\"\n{SECOND}");
    keeping(directory, "alb").memory("32MiB").tables(&tables)
}

/// Sends rejects with these numbers from a connection that is held back sooner or later.
fn flood(address: SocketAddr, numbers: std::ops::Range<u64>) -> thread::JoinHandle<std::io::Result<usize>> {
    thread::spawn(move || {
        let mut sender = Sender::connect(address);
        for number in numbers {
            sender.try_send(rejects([number], BYTES))?;
        }
        sender.half_close();
        sender.ends()
    })
}

#[test]
fn full_dead_letters_hold_back_who_sends_rejects_and_nobody_else() {
    let directory = directory();
    let relay = bounded(directory.path(), "block").start();
    let sent = 8_000;
    let flooding = flood(relay.lines, 0..sent);
    relay.until(|_| relay.page("/ready").1.contains("\"condition\": \"full\""));
    let kept = || letters_with(directory.path(), "list --limit 0", 0).err;
    let full = kept();
    // Its good lines are delivered meanwhile, and so are those of a second connection to the same source.
    send_without_answer(relay.lines_of("good"), &albs(0..100));
    send_without_answer(relay.lines, &albs(100..200));
    relay.writes(200);
    stays(Duration::from_millis(500), || assert!(!flooding.is_finished(), "it is not answered"));
    assert_eq!(kept(), full, "nothing is taken and nothing given up");
    assert_eq!(relay.metrics().sum("dead_letters_dropped_events_total"), 0);
    relay.terminate();
    let ended = relay.ended_after(Duration::from_secs(60));
    assert!(flooding.join().expect("no panic").is_err(), "nobody was told that all is stored: {}", ended.log_text);
    let counted = exported(directory.path()).len();
    // After a purge there is room, and what was not answered is sent again.
    letters_with(directory.path(), "purge --all", 0);
    let relay = bounded(directory.path(), "block").start();
    send(relay.lines, rejects(0..1_000, BYTES));
    relay.stop().cleanly();
    assert!(counted > 1_000 && counted < 8_000, "{counted}");
    assert_eq!(exported(directory.path()).len(), 1_000);
}

fn send_without_answer(address: SocketAddr, text: &str) {
    let mut sender = Sender::connect(address);
    sender.send(text);
    sender.half_close();
}

#[test]
fn where_the_oldest_are_dropped_each_of_them_is_counted() {
    let directory = directory();
    let relay = bounded(directory.path(), "drop_oldest").start();
    let sent = 8_000;
    assert_eq!(flood(relay.lines, 0..sent).join().expect("no panic").expect("a clean end"), 0);
    let metrics = relay.metrics();
    let dropped = metrics.sum("dead_letters_dropped_events_total");
    relay.stop().cleanly();
    let kept = exported(directory.path());
    assert_eq!(kept.len() as u64 + dropped, sent);
    assert!(dropped > 1_000, "{dropped}");
    let last = kept.last().expect("some are kept")["message"].as_str().expect("text");
    assert!(last.starts_with(&format!("no such log {} ", sent - 1)), "the newest are kept");
}
