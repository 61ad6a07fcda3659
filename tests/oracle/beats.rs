//! Beats through kills, stops and shortage of memory: what was acked is kept, whatever happens.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::harness::Oracle;
use crate::harness::STOPPED;
use crate::kills::killed_again_and_again;
use crate::ledger;
use crate::producer::LINES;
use crate::producer::Mode;
use crate::producer::Producer;
use crate::producer::Wire;
use crate::support::beats::packed;
use crate::support::beats::whole;

impl Producer {
    /// Sends windows, compressed or not, sometimes two at once, and takes the relay's word for as much as each ack says.
    pub(crate) fn window_by_window(&mut self, mut wire: Wire<'_>, unconfirmed: &mut VecDeque<u64>) -> io::Result<()> {
        let orders = self.orders.clone();
        loop {
            if unconfirmed.is_empty() {
                if orders.is_enough() {
                    return Ok(());
                }
                let count = 1 + self.draw.below(LINES);
                unconfirmed.extend(self.ledger.draw(self.number, count, self.payload_bytes_max));
            }
            let first = 1 + self.draw.below(unconfirmed.len());
            let windows = [first, unconfirmed.len() - first];
            let lines: Vec<String> = unconfirmed.iter().map(|&id| ledger::line(id)).collect();
            let (one, other) = lines.split_at(first);
            for window in [one, other].into_iter().filter(|window| !window.is_empty()) {
                let frames = if self.draw.below(2) == 0 { whole(window) } else { packed(window) };
                wire.write(&frames)?;
            }
            for window in windows {
                let mut confirmed = 0;
                while confirmed < window {
                    let said = acked(&mut wire)?;
                    if said > 0 {
                        assert!(confirmed < said && said <= window, "{said} of {window} after {confirmed}");
                        self.ledger.confirm(unconfirmed.drain(..said - confirmed));
                        confirmed = said;
                    }
                }
            }
            self.rest();
        }
    }
}

/// The number in the next ack.
fn acked(wire: &mut Wire<'_>) -> io::Result<usize> {
    let mut ack = [0; 6];
    wire.read(&mut ack)?;
    assert_eq!(ack[..2], *b"2A");
    let number = u32::from_be_bytes(ack[2..].try_into().expect("four bytes"));
    Ok(usize::try_from(number).expect("a number"))
}

const BEATS: &[Mode] = &[Mode::Beats, Mode::Beats, Mode::Beats, Mode::Close, Mode::Line];

#[test]
fn what_is_acked_to_beats_survives_kills() {
    killed_again_and_again(Oracle::new("SIGKILL, Beats"), BEATS, 5);
}

#[test]
#[ignore = "some minutes: 300 kills"]
fn long_what_is_acked_to_beats_survives_300_kills() {
    killed_again_and_again(Oracle::new("SIGKILL, Beats"), BEATS, 300);
}

#[test]
fn a_stop_under_load_of_beats_ends_soon_and_forgets_nothing() {
    let mut oracle = Oracle::new("SIGTERM, Beats").with_sink();
    oracle.start();
    oracle.pause(Duration::from_millis(1));
    oracle.produce(&[Mode::Beats, Mode::Beats, Mode::Beats, Mode::Beats]);
    for _ in 0..3 {
        let before = oracle.ledger.totals().confirmed;
        oracle.until(|totals| totals.confirmed > before + 500);
        oracle.relay().terminate();
        let in_flight = oracle.ledger.totals().in_flight();
        oracle.ends().cleanly().within(STOPPED);
        oracle.seen(in_flight > 0);
        oracle.cycles += 1;
        oracle.start();
    }
    let totals = oracle.finish();
    assert_eq!(totals.out_of_order, 0, "events of a producer arrive in its order: {totals:?}");
}

/// What the process may hold beside its budget.
const BASE_BYTES: u64 = 40 << 20;

#[test]
fn beats_that_push_against_a_full_buffer_are_held_back_and_take_no_more_memory_than_the_budget() {
    let mut oracle = Oracle::new("memory, Beats").with(|setup| setup.memory("32MiB").buffer("32MiB"));
    oracle.start();
    oracle.pause(Duration::ZERO);
    oracle.produce(&[Mode::Beats; 32]);
    let full = oracle.until_held_back();
    oracle.seen(full.in_flight() > 0);
    oracle.cycles += 1;
    let most = oracle.relay().resident_bytes_max();
    assert!(most <= BASE_BYTES + (32 << 20), "{} MiB at the most", most >> 20);
    // Whoever waits hears of it, or a Beat would give up and begin again.
    oracle.relay().until(|metrics| metrics.sum("source_beats_keep_alives_total") >= 32);
    assert_eq!(oracle.relay().page("/health").0, 200, "waiting is no illness");
    oracle.finish();
}
