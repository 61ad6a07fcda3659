//! Dead letters: what no parser takes is kept beside the buffer, also when they are full.
//!
//! They are looked for in their files, where documents lie as they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use memchr::memmem;
use serde_json::Value;

use crate::damage::frames;
use crate::damage::segments;
use crate::harness::Oracle;
use crate::ledger::Totals;
use crate::producer::Mode;
use crate::support::relay::Setup;

/// Lines confirmed after they were full.
const RESUMED: u64 = 1_000;

const BYTES_MAX: &str = "16MiB";

/// A relay with one more source, whose rejects become dead letters, and how it is set up without a bound to them.
fn with_letters(fault: &'static str) -> (Oracle, Setup) {
    let oracle = Oracle::new(fault).with_sink();
    let source = "confirm = \"close\"\nformat = \"elb\"\non_reject = \"dead_letter\"";
    let setup = oracle.setup.clone().and_source("letters", source);
    oracle.pause(Duration::ZERO);
    (oracle, setup)
}

fn bounded(setup: &Setup, bytes_max: &str, when_full: &str) -> Setup {
    setup.clone().tables(&format!("[dead_letters]\nmax_bytes = \"{bytes_max}\"\nwhen_full = \"{when_full}\"\n"))
}

/// The documents in the files, by event id.
fn letters(directory: &Path) -> BTreeMap<String, Value> {
    let mut letters = BTreeMap::new();
    for path in segments(directory) {
        let segment = fs::read(path).expect("readable");
        for frame in frames(&segment) {
            // Before the first document of an entry stand bytes that may look like anything.
            for piece in segment[frame].split(|&byte| byte == b'\n') {
                let starts = memmem::find_iter(piece, b"{\"");
                let read = starts.filter_map(|at| serde_json::from_slice::<Value>(&piece[at..]).ok());
                let whole = read.filter_map(|document| Some((document["event"]["id"].as_str()?.to_owned(), document))).next();
                letters.extend(whole);
            }
        }
    }
    letters
}

/// Ends the run, with the dead letters among what was delivered; gives how many there are.
fn finish(mut oracle: Oracle, forgotten: impl FnOnce(&Oracle)) -> (usize, Totals) {
    oracle.pass();
    let letters = letters(&oracle.data.join("dead-letters"));
    letters.values().for_each(|document| oracle.ledger.found(document));
    forgotten(&oracle);
    oracle.report(oracle.ledger.totals());
    (letters.len(), oracle.judge())
}

#[test]
fn full_dead_letters_hold_their_senders_back_until_there_is_room() {
    let (mut oracle, setup) = with_letters("dead letters full");
    oracle.setup = bounded(&setup, BYTES_MAX, "block");
    oracle.start();
    oracle.produce(&[Mode::Letters, Mode::Letters]);
    let full = oracle.until_held_back();
    oracle.seen(full.in_flight() > 0);
    oracle.cycles += 1;
    assert_eq!(oracle.relay().page("/health").0, 200, "waiting is no illness");
    // Whoever sends no rejects is answered meanwhile.
    oracle.send(20, 2_000);
    // Only a person takes dead letters away. A larger bound makes room, too.
    oracle.kill();
    oracle.setup = bounded(&setup, "64MiB", "block");
    oracle.start();
    oracle.until(|totals| totals.confirmed > full.confirmed + RESUMED);
    finish(oracle, |_| {});
}

#[test]
fn full_dead_letters_can_give_up_the_oldest_and_count_them() {
    let (mut oracle, setup) = with_letters("dead letters, drop_oldest");
    oracle.setup = bounded(&setup, BYTES_MAX, "drop_oldest");
    oracle.start();
    oracle.produce(&[Mode::Letters, Mode::Letters]);
    oracle.relay().until(|metrics| metrics.sum("dead_letters_dropped_events_total") > 0);
    let full = oracle.ledger.totals();
    oracle.until(|totals| totals.confirmed > full.confirmed + RESUMED);
    oracle.seen(true);
    oracle.cycles += 1;
    let dropped = oracle.drain().sum("dead_letters_dropped_events_total");
    finish(oracle, |oracle| {
        let missing = oracle.ledger.missing();
        assert_eq!(missing.len() as u64, dropped, "what is given up is counted");
        oracle.ledger.forgive(&missing);
    });
}
