//! Power that fails: the filesystem is cut off under the running relay, and what had not reached the disk is gone.
//!
//! It is an ext4 on a loop device, shut down without flushing its journal. What a disk loses from its own cache is beyond
//! this: the relay's flushes reach the loop device, not a disk's firmware.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::harness::Oracle;
use crate::mounts::Mount;
use crate::producer::Mode;
use crate::syncs::Trace;

const MEBIBYTES: u64 = 256;

/// Written without a sync just before each cut: that it is gone shows that the cut was one.
const UNSYNCED: &str = "unsynced";

/// Cuts the power so often; in every third life a sync has failed before.
fn cut_off_again_and_again(cuts: u64) {
    let Some(mut mount) = Mount::ext4(MEBIBYTES) else { return };
    let Some(trace) = Trace::new() else { return };
    let data = mount.path.join("data");
    let unsynced = mount.path.join(UNSYNCED);
    let mut oracle =
        Oracle::at("power loss", &data).with(|setup| setup.buffer("64MiB").buffer_settings("min_free_bytes = \"1MiB\""));
    oracle.sink.appear();
    oracle.start();
    oracle.produce(&[Mode::Raw, Mode::Close, Mode::Close, Mode::Line, Mode::Line]);
    while oracle.cycles < cuts {
        let before = oracle.ledger.totals().confirmed;
        let is_ending = oracle.cycles % 3 == 2;
        if is_ending {
            // Where it has not ended already while it started.
            if oracle.is_running() {
                oracle.ends().with(1);
            }
        } else {
            if oracle.draw.below(4) > 0 {
                oracle.until(|totals| totals.confirmed > before);
            }
            thread::sleep(Duration::from_millis(oracle.draw.below(300) as u64));
        }
        let in_flight = oracle.ledger.totals().in_flight();
        fs::write(&unsynced, "gone").expect("there is room");
        if is_ending {
            mount.lose_power();
        } else {
            // Nobody runs on without power. The kernel does here: a sync under way may come back without an error and without
            // having been one, which nobody must hear of.
            oracle.relay().freeze();
            mount.lose_power();
            oracle.kill();
        }
        mount.remount();
        let is_gone = fs::read(&unsynced).is_ok_and(|bytes| bytes != b"gone") || !unsynced.exists();
        oracle.seen(is_gone && in_flight > 0);
        // Otherwise it is there, and synced, when the next cut comes.
        let _ = fs::remove_file(&unsynced);
        oracle.cycles += 1;
        if oracle.cycles % 3 == 2 && oracle.cycles < cuts {
            let nth = 1 + oracle.draw.below(40);
            oracle.start_as(|setup| trace.failing(setup, "fdatasync", "EIO", &nth.to_string()));
        } else {
            oracle.start();
        }
    }
    oracle.finish();
}

#[test]
#[ignore = "some minutes, as root: 100 power cuts"]
fn long_what_is_confirmed_survives_100_power_cuts() {
    cut_off_again_and_again(100);
}
