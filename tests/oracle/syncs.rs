//! Syncs and writes that fail once: what was in them is not confirmed, the process ends, and the next one goes on.
//!
//! The failures are made by strace, between the relay and the kernel.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::Oracle;
use crate::producer::Mode;
use crate::producer::Producer;
use crate::support::PATIENCE;
use crate::support::machine::run;
use crate::support::machine::skipped;
use crate::support::relay::Setup;

/// What strace has seen of a relay.
pub(crate) struct Trace {
    directory: TempDir,
}

impl Trace {
    /// `None`: there is no strace here, or it may not trace, and that has been said.
    pub(crate) fn new() -> Option<Self> {
        match run("strace", &["-o", "/dev/null", "true"]) {
            Ok(_) => Some(Self { directory: tempfile::tempdir().expect("a directory") }),
            Err(why) => skipped(&why),
        }
    }

    /// A relay in which each thread's calls of this name fail so from its `nth` on: `nth` alone, or `nth+`.
    pub(crate) fn failing(&self, setup: &Setup, call: &str, error: &str, nth: &str) -> Setup {
        let inject = format!("inject={call}:error={error}:when={nth}");
        let file = self.file();
        // Traced by a grandchild, so that the relay is our own child.
        let words =
            ["strace", "-D", "-f", "-y", "-qq", "--seccomp-bpf", "-e", &format!("trace={call}"), "-e", &inject, "-o", &file];
        setup.clone().under(&words)
    }

    fn file(&self) -> String {
        self.directory.path().join("trace").to_str().expect("text").to_owned()
    }

    /// The first call that was made to fail. It is written down before the relay learns of it.
    pub(crate) fn failure(&self) -> Option<String> {
        let text = fs::read_to_string(Path::new(&self.file())).unwrap_or_default();
        text.lines().find(|line| line.contains("(INJECTED)")).map(str::to_owned)
    }
}

/// Syncs a thread makes at the most before the relay listens.
pub(crate) const AT_START: usize = 6;

/// One sender after the other, so that it is known which one was in the sync that failed.
fn a_failed_sync_confirms_nothing(error: &str) {
    let Some(trace) = Trace::new() else { return };
    let mut oracle = Oracle::new("failed sync");
    // A start syncs a few times, each by the thread that starts; most of the others are the writer's.
    let nth = AT_START + oracle.draw.below(6);
    assert!(oracle.start_as(|setup| trace.failing(setup, "fdatasync", error, &nth.to_string())));
    let producer = Producer { patience: PATIENCE, ..oracle.producer(Mode::Close) };
    let address = oracle.relay().address_of("close");
    let mut confirmed_then = true;
    while trace.failure().is_none() {
        assert!(oracle.cycles < 200, "no sync was made to fail:\n{}", oracle.relay().log_text());
        let ids = oracle.ledger.draw(producer.number, 3, 600);
        confirmed_then = producer.send_once(address, &ids);
        oracle.cycles += 1;
    }
    let failure = trace.failure().expect("there was one");
    // Other files are synced beside the senders.
    if failure.contains("/segment-") {
        assert!(!confirmed_then, "confirmed in spite of {failure}");
    }
    let ended = oracle.ends().with(1);
    ended.log.iter().find(|entry| entry["level"] == "ERROR").unwrap_or_else(|| panic!("it says nothing:\n{}", ended.log_text));
    oracle.seen(true);
    oracle.finish();
}

#[test]
fn a_sync_that_fails_confirms_nothing_and_ends_the_relay() {
    a_failed_sync_confirms_nothing("EIO");
}

#[test]
fn a_sync_that_finds_no_room_confirms_nothing_and_ends_the_relay() {
    a_failed_sync_confirms_nothing("ENOSPC");
}

#[test]
fn a_sync_that_fails_under_load_loses_nothing() {
    let Some(trace) = Trace::new() else { return };
    let mut oracle = Oracle::new("failed sync under load").with_sink();
    for _ in 0..2 {
        // In the second life it may be one of those that the start makes.
        let nth = 1 + oracle.draw.below(40) + if oracle.cycles == 0 { AT_START } else { 0 };
        let begun = oracle.start_as(|setup| trace.failing(setup, "fdatasync", "EIO", &nth.to_string()));
        if oracle.cycles == 0 {
            oracle.produce(&[Mode::Raw, Mode::Close, Mode::Close, Mode::Line, Mode::Line]);
        }
        if begun {
            oracle.ends().with(1);
        }
        oracle.seen(trace.failure().is_some());
        oracle.cycles += 1;
    }
    oracle.finish();
}

/// As when a filesystem is made read-only by its own errors: no write succeeds any more.
#[test]
fn writes_that_fail_for_good_stop_intake_and_what_is_stored_is_delivered() {
    let Some(trace) = Trace::new() else { return };
    let mut oracle = Oracle::new("read-only while it runs").with_sink();
    let nth = 20 + oracle.draw.below(40);
    assert!(oracle.start_as(|setup| trace.failing(setup, "pwritev", "EROFS", &format!("{nth}+"))));
    oracle.produce(&[Mode::Raw, Mode::Close, Mode::Close, Mode::Line]);
    let held_back = oracle.until_held_back();
    let failure = trace.failure();
    oracle.seen(failure.is_some());
    let delivered = oracle.until(|totals| totals.missing == 0);
    assert_eq!(delivered.confirmed, held_back.confirmed, "nothing is confirmed that cannot be stored");
    oracle.relay().terminate();
    oracle.ends().with(1);
    oracle.cycles += 1;
    oracle.finish();
}
