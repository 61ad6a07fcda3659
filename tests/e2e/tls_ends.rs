//! How connections end over TLS: an end that is said is one, a cut is not, in both directions.

use std::io;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustls::version::TLS12;
use rustls::version::TLS13;

use crate::support::lines::albs;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::stays;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::TlsSender;
use crate::support::tls::trusting;

/// What stands on both ends of these stories.
struct Stage {
    authority: Authority,
    files: Files,
}

impl Stage {
    #[track_caller]
    fn new() -> Self {
        let authority = Authority::new("relays");
        let files = Files::new(&authority.relay());
        Self { authority, files }
    }

    /// A relay that speaks TLS and confirms so.
    #[track_caller]
    fn relay(&self, setup: Setup, confirm: &str) -> Relay {
        setup.source(&format!("confirm = \"{confirm}\"\n{}", self.files.settings(""))).start()
    }

    #[track_caller]
    fn sender(&self, relay: &Relay) -> TlsSender {
        TlsSender::connect(relay.lines, &self.authority.trusting(None))
    }
}

/// The relay's end was not said: a reset, or an end of the connection below.
#[track_caller]
fn is_cut(sender: &mut TlsSender) {
    let error = sender.ends().expect_err("it is no clean end");
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof), "{error}");
}

#[track_caller]
fn ended(relay: &Relay, reason: &str) {
    let metrics = relay.until(|metrics| metrics.sum("source_connections_ended_total") > 0);
    assert_eq!(metrics.sum_where("source_connections_ended_total", &format!("reason=\"{reason}\"")), 1, "{metrics}");
}

#[test]
fn a_clean_end_over_tls_comes_when_everything_is_in_the_buffer() {
    let (stage, dead) = (Stage::new(), FakeLogstash::absent());
    let relay = stage.relay(Relay::to(dead.address()), "close");
    for version in [&TLS12, &TLS13] {
        for sent in [1_000, 0, 1] {
            let before = relay.metrics().appended();
            let mut sender = TlsSender::connect(relay.lines, &trusting(&[&stage.authority], None, &[version]));
            sender.send(albs(0..sent));
            sender.close_notify();
            assert_eq!(sender.ends().expect("a clean end"), 0);
            assert_eq!(relay.metrics().appended() - before, sent, "and not a moment earlier");
        }
    }
}

#[test]
fn the_end_a_sender_says_is_not_answered_before_its_lines_are_stored() {
    let lines = 3_000;
    let (stage, mut logstash) = (Stage::new(), FakeLogstash::absent());
    let relay = stage.relay(Relay::to(logstash.address()).memory("16MiB").buffer("8MiB"), "close");
    let filling: Vec<_> = (0..4)
        .map(|_| {
            let mut sender = stage.sender(&relay);
            thread::spawn(move || {
                sender.send(albs(0..lines));
                sender.finish();
            })
        })
        .collect();
    relay.until(|metrics| metrics.buffered("logstash") > metrics.appended());
    let mut sender = stage.sender(&relay);
    sender.send("one\ntwo\n");
    sender.close_notify();
    stays(Duration::from_millis(500), || assert!(sender.hears_nothing(), "there is no room for its lines"));
    logstash.appear();
    assert_eq!(sender.ends().expect("a clean end"), 0);
    filling.into_iter().for_each(|sender| sender.join().expect("a clean end"));
    relay.until(|metrics| metrics.appended() == 4 * lines + 2);
    relay.stop().cleanly();
}

#[test]
fn lines_are_confirmed_over_tls_while_the_sender_goes_on() {
    let stage = Stage::new();
    let relay = stage.relay(Relay::to_stdout(), "line");
    let mut sender = stage.sender(&relay);
    for line in 1..=50 {
        sender.send("one\n");
        let mut told = sender.line().expect("a confirmation");
        assert_eq!(told.pop(), Some('\n'));
        assert_eq!(told, format!("{{\"acked\":{line}}}"));
    }
    sender.send("no newline");
    sender.close_notify();
    assert_eq!(sender.line().expect("the last one"), "{\"acked\":51}\n");
    assert_eq!(sender.ends().expect("a clean end"), 0);
    ended(&relay, "closed");
    assert_eq!(relay.stop().cleanly().documents.len(), 51);
}

#[test]
fn an_end_that_the_sender_has_not_said_is_a_cut() {
    for confirm in ["none", "close", "line"] {
        let stage = Stage::new();
        let relay = stage.relay(Relay::to_stdout(), confirm);
        let mut sender = stage.sender(&relay);
        sender.send("whole\nhalf");
        sender.truncate();
        if confirm == "line" {
            assert_eq!(sender.line().expect("a confirmation"), "{\"acked\":1}\n");
        }
        is_cut(&mut sender);
        ended(&relay, "reset");
        assert_eq!(relay.metrics().sum("source_unfinished_bytes_total"), 4, "{confirm}");
        let documents = relay.stop().cleanly().documents;
        assert_eq!(documents.len(), 1, "{confirm}");
        assert_eq!(documents[0]["message"], "whole", "{confirm}");
    }
}

#[test]
fn a_last_line_without_newline_counts_after_an_end_that_was_said() {
    let stage = Stage::new();
    let relay = stage.relay(Relay::to_stdout(), "close");
    let mut sender = stage.sender(&relay);
    sender.send("one\ntwo");
    sender.close_notify();
    assert_eq!(sender.ends().expect("a clean end"), 0);
    assert_eq!(relay.stop().cleanly().documents.len(), 2);
}

#[test]
fn rubbish_behind_good_lines_breaks_the_connection_at_once() {
    let stage = Stage::new();
    let relay = stage.relay(Relay::to_stdout(), "close");
    let mut sender = stage.sender(&relay);
    sender.send("one\n");
    relay.writes(1);
    // In one write, so that both are read at once.
    sender.send_and_spoil("two\nhalf", b"\x17\x03\x03\x00\x20................................");
    let begun = Instant::now();
    assert!(sender.ends().is_err(), "it is no clean end");
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for the idle timeout");
    ended(&relay, "reset");
    assert_eq!(relay.stop().cleanly().documents.len(), 2);
}

#[test]
fn a_relay_that_is_killed_gives_no_clean_end_over_tls() {
    for confirm in ["none", "close", "line"] {
        let stage = Stage::new();
        let relay = stage.relay(Relay::to_stdout(), confirm);
        let mut sender = stage.sender(&relay);
        sender.send("one\ntwo\n");
        relay.writes(2);
        if confirm == "line" {
            while sender.line().expect("a confirmation") != "{\"acked\":2}\n" {}
        }
        relay.kill();
        is_cut(&mut sender);
    }
}

#[test]
fn a_relay_that_is_killed_while_a_sender_waits_for_its_end_gives_none() {
    let (stage, dead) = (Stage::new(), FakeLogstash::absent());
    let relay = stage.relay(Relay::to(dead.address()).memory("16MiB").buffer("8MiB"), "close");
    let mut filling = stage.sender(&relay);
    let config = stage.authority.trusting(None);
    let address = relay.lines;
    let more = thread::spawn(move || {
        let mut sender = TlsSender::connect(address, &config);
        // It is cut off in the middle.
        let _ = sender.try_send(albs(0..20_000));
        sender
    });
    relay.until(|metrics| metrics.buffered("logstash") > metrics.appended());
    filling.send("one\ntwo\n");
    filling.close_notify();
    stays(Duration::from_millis(300), || assert!(filling.hears_nothing(), "there is no room for its lines"));
    relay.kill();
    is_cut(&mut filling);
    drop(more.join().expect("it comes to an end"));
}

#[test]
fn a_stopping_relay_reads_on_over_tls_and_waits_for_no_handshake() {
    let stage = Stage::new();
    for confirm in ["none", "close", "line"] {
        let relay = stage.relay(Relay::to_stdout(), confirm);
        let mut sender = stage.sender(&relay);
        let _silent: Vec<_> = (0..10).map(|_| relay.sender()).collect();
        relay.until(|metrics| metrics.sum("source_connections_open") == 11);
        sender.send("before\n");
        relay.writes(1);
        relay.terminate();
        relay.says("received SIGTERM");
        sender.send("after\n");
        relay.writes(2);
        sender.close_notify();
        let told = sender.ends().expect("a clean end");
        assert_eq!(told > 0, confirm == "line");
        assert_eq!(relay.ended().cleanly().within(Duration::from_secs(5)).documents.len(), 2, "{confirm}");
    }
}
