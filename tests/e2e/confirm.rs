//! What senders are told: a clean end or a number only of what is stored, and a reset whenever nobody knows.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::lines::albs;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::scrape::Metrics;
use crate::support::sender::Sender;
use crate::support::stays;

/// The modes in which an end or a number means something.
const TOLD: [&str; 2] = ["close", "line"];

fn confirming(setup: Setup, confirm: &str) -> Setup {
    setup.source(&format!("confirm = \"{confirm}\""))
}

/// The number in the next confirmation; none at a clean end.
#[track_caller]
fn acked(reader: &mut BufReader<TcpStream>) -> Option<u64> {
    let mut line = String::new();
    if reader.read_line(&mut line).expect("no reset") == 0 {
        return None;
    }
    assert!(line.ends_with('\n'), "{line:?}");
    let ack: Value = serde_json::from_str(&line).expect("a confirmation is JSON");
    assert_eq!(ack.as_object().map(serde_json::Map::len), Some(1), "{ack}");
    ack["acked"].as_u64()
}

/// Reads confirmations up to this number, which must come, and no higher one.
#[track_caller]
fn acked_up_to(reader: &mut BufReader<TcpStream>, lines: u64) {
    let mut last = 0;
    while last < lines {
        let next = acked(reader).unwrap_or_else(|| panic!("an end after {last} of {lines}"));
        assert!(last < next && next <= lines, "{next} after {last}, of {lines}");
        last = next;
    }
}

#[track_caller]
fn is_reset(sender: &mut Sender) {
    let error = sender.ends().expect_err("it is reset and not ended");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Waits until the relay's only connection has ended, which must be so.
#[track_caller]
fn ends(relay: &Relay, reason: &str) -> Metrics {
    let metrics = relay.until(|metrics| metrics.sum("source_connections_ended_total") > 0);
    assert_eq!(metrics.sum_where("source_connections_ended_total", &format!("reason=\"{reason}\"")), 1, "{metrics}");
    metrics
}

fn messages(documents: &[Value]) -> Vec<&str> {
    documents.iter().map(|document| document["message"].as_str().expect("text")).collect()
}

#[test]
fn a_clean_end_comes_when_everything_is_in_the_buffer() {
    let dead = FakeLogstash::absent();
    let relay = confirming(Relay::to(dead.address()), "close").start();
    for sent in [1_000, 0, 1] {
        let before = relay.metrics().appended();
        let mut sender = relay.sender();
        sender.send(albs(0..sent));
        sender.half_close();
        assert_eq!(sender.ends().expect("a clean end"), 0);
        assert_eq!(relay.metrics().appended() - before, sent, "and not a moment earlier");
    }
}

/// A relay with a full buffer, and a sender that has half-closed and whose two lines have been read and wait for room.
fn full(confirm: &str, logstash: &FakeLogstash) -> (Relay, Sender, u64) {
    let lines = 3_000;
    let relay = confirming(Relay::to(logstash.address()).memory("16MiB").buffer("8MiB"), confirm).start();
    let filling: Vec<_> = (0..4)
        .map(|_| {
            let mut sender = relay.sender();
            thread::spawn(move || {
                // It may be cut off in the middle.
                let _ = sender.try_send(albs(0..lines));
                sender
            })
        })
        .collect();
    // What waits for room counts as buffered before it is appended.
    relay.until(|metrics| metrics.buffered("logstash") > metrics.appended());
    let mut sender = relay.sender();
    sender.send("one\ntwo\n");
    sender.half_close();
    relay.until(|metrics| metrics.sum_where("source_events_total", "format=\"text\"") == 2);
    drop(filling);
    (relay, sender, 4 * lines + 2)
}

#[test]
fn it_does_not_come_while_lines_wait_for_room() {
    let mut logstash = FakeLogstash::absent();
    let (relay, mut sender, lines) = full("close", &logstash);
    stays(Duration::from_millis(500), || assert!(sender.hears_nothing(), "there is no room for its lines"));
    logstash.appear();
    assert_eq!(sender.ends().expect("a clean end"), 0);
    relay.until(|metrics| metrics.appended() == lines);
    relay.stop().cleanly();
}

#[test]
fn a_relay_that_is_killed_resets_whoever_waits_for_its_end() {
    let dead = FakeLogstash::absent();
    for confirm in TOLD {
        let (relay, mut sender, _) = full(confirm, &dead);
        relay.kill();
        is_reset(&mut sender);
    }
}

#[test]
fn a_relay_that_is_killed_after_it_has_read_everything_resets_in_every_mode() {
    for confirm in ["none", "close", "line"] {
        let relay = confirming(Relay::to_stdout(), confirm).start();
        let mut sender = relay.sender();
        sender.send("one\ntwo\n");
        relay.writes(2);
        if confirm == "line" {
            acked_up_to(&mut sender.reader(), 2);
        }
        relay.kill();
        is_reset(&mut sender);
    }
}

#[test]
fn a_sender_that_falls_silent_is_reset_in_every_mode() {
    for confirm in TOLD {
        let relay = confirming(Relay::to_stdout(), confirm).source("idle_timeout = \"1s\"").start();
        let mut sender = relay.sender();
        sender.send("whole\nhalf");
        is_reset(&mut sender);
        assert_eq!(ends(&relay, "idle").sum("source_unfinished_bytes_total"), 4);
        assert_eq!(messages(&relay.stop().cleanly().documents), ["whole"]);
    }
}

#[test]
fn a_last_line_without_newline_counts_after_a_half_close() {
    for confirm in TOLD {
        let relay = confirming(Relay::to_stdout(), confirm).start();
        let mut sender = relay.sender();
        sender.send("one\ntwo");
        sender.half_close();
        let mut reader = sender.reader();
        if confirm == "line" {
            acked_up_to(&mut reader, 2);
        }
        assert_eq!(reader.read_to_end(&mut Vec::new()).expect("a clean end"), 0);
        let documents = relay.writes(2);
        assert_eq!(messages(&documents), ["one", "two"]);
        assert_eq!(documents[1]["tags"][0], "unterminated");
        ends(&relay, "closed");
        relay.stop().cleanly();
    }
}

#[test]
fn a_line_over_the_limit_resets_the_connection_and_is_no_event() {
    for confirm in TOLD {
        let relay = confirming(Relay::to_stdout(), confirm).source("max_line_bytes = \"1KiB\"").start();
        let mut sender = relay.sender();
        sender.send(format!("one\n{}\n", "x".repeat(1_024)));
        relay.writes(2);
        if confirm == "line" {
            acked_up_to(&mut sender.reader(), 2);
        }
        sender.send(format!("three\n{}\nfive\n", "y".repeat(1_025)));
        is_reset(&mut sender);
        let metrics = ends(&relay, "line_too_long");
        assert_eq!((metrics.sum("source_cut_lines_total"), metrics.sum("source_skipped_bytes_total")), (0, 1_026 + 5));
        assert_eq!(messages(&relay.stop().cleanly().documents), ["one", &"x".repeat(1_024), "three"]);
    }
}

#[test]
fn a_long_line_resets_before_its_end_has_come() {
    let relay = confirming(Relay::to_stdout(), "close").source("max_line_bytes = \"1KiB\"").start();
    let mut sender = relay.sender();
    sender.send("y".repeat(1_025));
    is_reset(&mut sender);
    assert_eq!(relay.metrics().received(), 0);
    relay.stop().cleanly();
}

#[test]
fn lines_are_confirmed_exactly_while_more_of_them_come() {
    const LINES: u64 = 10_000;
    let dead = FakeLogstash::absent();
    let relay = confirming(Relay::to(dead.address()), "line").start();
    let mut sender = relay.sender();
    let mut reader = sender.reader();
    let text = albs(0..LINES);
    let sending = thread::spawn(move || {
        // Pieces of a prime length end anywhere in a line.
        for piece in text.as_bytes().chunks(7_919) {
            sender.send(piece);
        }
        sender
    });
    let mut last = 0;
    while last < LINES {
        let next = acked(&mut reader).expect("no end");
        assert!(last < next && next <= LINES, "{next} after {last}");
        // What is in the buffer can only be more by the time it is looked at.
        assert!(relay.metrics().appended() >= next, "{next} are confirmed");
        last = next;
    }
    let mut sender = sending.join().expect("the relay reads");
    stays(Duration::from_millis(200), || assert!(sender.hears_nothing(), "there is no more to say"));
    sender.send("a last word");
    sender.half_close();
    assert_eq!((acked(&mut reader), acked(&mut reader)), (Some(LINES + 1), None));
    assert_eq!(relay.metrics().appended(), LINES + 1);
    ends(&relay, "closed");
}

#[test]
fn every_line_counts_whatever_becomes_of_it() {
    let dropped = "[[rule]]\nname = \"r\"\naction = \"drop\"\nwhen = [ { field = \"elb_status_code\", equals = \"200\" } ]\n";
    let relay = confirming(Relay::to_stdout(), "line").source("on_reject = \"drop\"").tables(dropped).start();
    let mut sender = relay.sender();
    let mut reader = sender.reader();
    let lines =
        ["{\"@elbow\":{\"fields\":{\"a\":\"b\"}}}\n", "\n", "   \r\n", "{broken\n", &albs(0..1), "text\n", "[{},{},{}]\n"];
    for (line, number) in lines.iter().zip(1..) {
        sender.send(line);
        assert_eq!(acked(&mut reader), Some(number), "{line:?}");
    }
    assert_eq!(relay.writes(4).len(), 4);
    sender.half_close();
    assert_eq!(acked(&mut reader), None, "all has been said");
    let metrics = relay.metrics();
    assert_eq!((metrics.sum("source_rule_dropped_events_total"), metrics.sum("source_preambles_total")), (1, 1));
    relay.stop().cleanly();
}

#[test]
fn a_sender_that_never_reads_its_confirmations_is_served_to_its_end() {
    let relay = confirming(Relay::to_stdout(), "line").start();
    let mut sender = relay.sender();
    for line in 0..2_000 {
        sender.send(albs(line..line + 1));
    }
    sender.half_close();
    assert_eq!(ends(&relay, "closed").received(), 2_000);
    assert_eq!(relay.stop().cleanly().documents.len(), 2_000);
}

#[test]
fn when_it_stops_the_end_that_confirms_does_not_come_first() {
    let relay = confirming(Relay::to_stdout(), "close").start();
    let (mut through, mut open) = (relay.sender(), relay.sender());
    through.send("before\n");
    relay.writes(1);
    open.send("whole\nhalf");
    relay.writes(2);
    relay.terminate();
    relay.says("no new connections");
    stays(Duration::from_millis(500), || assert!(through.hears_nothing(), "it has not said that it is through"));
    through.send("after\n");
    through.half_close();
    assert_eq!(through.ends().expect("a clean end"), 0);
    relay.writes(3);
    // The other one does not come to an end.
    is_reset(&mut open);
    let ended = relay.ended().cleanly().within(Duration::from_secs(10));
    assert_eq!(ended.entry("cut off")["connections"], 1);
    assert_eq!(messages(&ended.documents), ["before", "whole", "after"]);
}

#[test]
fn when_it_stops_the_last_numbers_come_before_its_end() {
    let relay = confirming(Relay::to_stdout(), "line").start();
    let mut sender = relay.sender();
    let mut reader = sender.reader();
    sender.send("one\n");
    acked_up_to(&mut reader, 1);
    // It may be read before the signal or after it.
    sender.send("two\nthree\n");
    relay.terminate();
    let mut last = 1;
    while let Some(next) = acked(&mut reader) {
        last = next;
    }
    assert_eq!(last, 3);
    // Nobody will say what becomes of this, and it is not lost all the same.
    sender.send("four\n");
    sender.close();
    let ended = relay.ended().cleanly().within(Duration::from_secs(4));
    assert_eq!(messages(&ended.documents), ["one", "two", "three", "four"]);
}

#[test]
fn when_it_stops_a_sender_that_never_pauses_is_told_and_asked_to_close_as_well() {
    let relay = confirming(Relay::to_stdout(), "line").start();
    let mut sender = relay.sender();
    let mut reader = sender.reader();
    let enough = AtomicBool::new(false);
    let (told, sent) = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0;
            let text = albs(0..100);
            while !enough.load(Ordering::Relaxed) {
                sender.send(&text);
                sent += 100;
            }
            sender.half_close();
            sent
        });
        let mut told = acked(&mut reader).expect("no end yet");
        relay.terminate();
        while let Some(next) = acked(&mut reader) {
            told = next;
        }
        enough.store(true, Ordering::Relaxed);
        (told, sending.join().expect("the relay reads"))
    });
    assert!(told <= sent, "{told} of {sent}");
    let ended = relay.ended().cleanly();
    assert_eq!(ended.documents.len() as u64, sent, "what came after its end is not lost either");
}

/// The sender in docs/confirm.md, with these lines; none where there is no Node.js.
fn node(address: SocketAddr, lines: &str) -> Option<Output> {
    let folder = tempfile::tempdir().expect("a folder");
    let (script, input) = (folder.path().join("send.js"), folder.path().join("lines"));
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/confirm.md")).expect("the page is there");
    let code = page.split_once("```js\n").and_then(|(_, rest)| rest.split_once("```")).expect("a sender").0;
    fs::write(&script, code).expect("the folder is ours");
    fs::write(&input, lines).expect("the folder is ours");
    let mut command = Command::new("node");
    command.arg(&script).args([address.ip().to_string(), address.port().to_string()]);
    command.stdin(Stdio::from(fs::File::open(&input).expect("it was written")));
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var("CI").as_deref() != Ok("true") => {
            eprintln!("skipped: node is not installed");
            None
        }
        Err(error) => panic!("node: {error}"),
    }
}

#[track_caller]
fn is_unknown(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    assert!(said.starts_with("unknown, send again: "), "{said}");
}

#[test]
fn the_sender_in_the_documentation_knows_what_is_stored() {
    let dead = FakeLogstash::absent();
    let relay = confirming(Relay::to(dead.address()), "close").source("max_line_bytes = \"1KiB\"").start();
    let Some(output) = node(relay.lines, &albs(0..5_000)) else { return };
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"stored\n"[..]), "{output:?}");
    assert_eq!(ends(&relay, "closed").appended(), 5_000);
    is_unknown(&node(relay.lines, &"x".repeat(2_000)).expect("it was there a moment ago"));
    relay.until(|metrics| metrics.sum_where("source_connections_ended_total", "reason=\"line_too_long\"") == 1);
}

#[test]
fn the_sender_in_the_documentation_is_not_taken_in_by_an_end_before_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let accepting = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a sender, or whoever says that none comes");
        stream.shutdown(Shutdown::Write).expect("the connection is open");
        stream
    });
    // More than the kernels keep for somebody who reads nothing.
    let output = node(address, &"x".repeat(64 << 20));
    if output.is_none() {
        drop(TcpStream::connect(address).expect("it listens"));
    }
    accepting.join().expect("somebody came");
    if let Some(output) = output {
        is_unknown(&output);
    }
}
