//! SIGKILL at random moments, also while the relay starts.

use std::thread;
use std::time::Duration;

use crate::harness::Oracle;
use crate::producer::Mode;

const EVERY: &[Mode] = &[Mode::Raw, Mode::Close, Mode::Close, Mode::Line, Mode::Line, Mode::Http];

const HTTP: &[Mode] = &[Mode::Http, Mode::Http, Mode::Http, Mode::Http];

/// Ends the relay so often while these producers send.
pub(crate) fn killed_again_and_again(mut oracle: Oracle, producers: &[Mode], kills: u64) {
    oracle.sink.appear();
    oracle.start();
    oracle.produce(producers);
    while oracle.cycles < kills {
        let before = oracle.ledger.totals().confirmed;
        // Some lives are shorter than a commit, and in some the sink gets nothing.
        let is_brief = oracle.draw.below(4) == 0;
        let is_unread = oracle.draw.below(3) == 0;
        if is_unread {
            oracle.sink.stop_reading();
        }
        if !is_brief {
            oracle.until(|totals| totals.confirmed > before);
        }
        thread::sleep(Duration::from_millis(oracle.draw.below(300) as u64));
        let in_flight = oracle.ledger.totals().in_flight();
        oracle.kill();
        oracle.seen(in_flight > 0);
        oracle.cycles += 1;
        oracle.sink.read_again();
        if oracle.draw.below(3) == 0 {
            let stillborn = oracle.setup.clone().spawn();
            thread::sleep(Duration::from_millis(oracle.draw.below(60) as u64));
            stillborn.kill();
            stillborn.ended();
        }
        oracle.start();
    }
    oracle.finish();
}

#[test]
fn what_is_confirmed_survives_kills() {
    killed_again_and_again(Oracle::new("SIGKILL"), EVERY, 5);
}

#[test]
fn what_the_kernel_has_survives_kills() {
    let oracle = Oracle::new("SIGKILL, durability os");
    killed_again_and_again(oracle.with(|setup| setup.buffer_settings("durability = \"os\"")), EVERY, 3);
}

#[test]
#[ignore = "some minutes: 300 kills"]
fn long_what_is_confirmed_survives_300_kills() {
    killed_again_and_again(Oracle::new("SIGKILL"), EVERY, 300);
}

#[test]
fn every_request_that_was_answered_with_200_survives_kills() {
    killed_again_and_again(Oracle::new("SIGKILL under HTTP"), HTTP, 5);
}

#[test]
#[ignore = "some minutes: 300 kills"]
fn long_every_request_that_was_answered_with_200_survives_300_kills() {
    killed_again_and_again(Oracle::new("SIGKILL under HTTP"), HTTP, 300);
}
