//! Commits to a buffer on disk, in groups of several sizes, beside plain writes of as many bytes to preallocated files of the same
//! size, synced as often.
//!
//! `cargo bench --bench append [-- FOLDER]` writes some hundred MiB there, or where temporary files are, and prints medians of
//! rounds taken in turn. Disks differ and other people use them: what is worth comparing is the ratio.

mod support;

#[path = "support/buffer.rs"]
mod buffer;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use std::time::Instant;

use elbow::buffer::format::BLOCK;
use elbow::buffer::log::Durability;
use rustix::fs::FallocateFlags;
use rustix::fs::fallocate;
use tempfile::TempDir;

const ROUNDS: usize = 5;

/// Bytes and groups of a round at the most.
const ROUND_BYTES: usize = 96 << 20;
const ROUND_GROUPS: usize = 256;

/// One round of the log: the time, and the bytes of each write.
fn log_round(group_bytes: usize, groups: usize, durability: Durability) -> (Duration, Vec<u64>) {
    let folder = buffer::folder();
    let mut log = buffer::log(&folder, durability);
    let batch = buffer::batch();
    log.prepare().expect("there is room");
    let begun = Instant::now();
    let mut written = Vec::new();
    for _ in 0..groups {
        let entries = buffer::group(&batch, group_bytes, log.end().seq);
        written.push(log.commit(&entries).expect("there is room").disk_bytes);
    }
    (begun.elapsed(), written)
}

/// One file with its room taken.
fn file(folder: &TempDir, number: usize) -> File {
    let file = File::create(folder.path().join(number.to_string())).expect("a file can be made");
    fallocate(&file, FallocateFlags::empty(), 0, buffer::SEGMENT).expect("there is room");
    file.sync_all().expect("the disk works");
    file
}

/// The same writes without a log, behind as much room as a header takes. A file that is full is synced before the next one is
/// begun, as segments are.
fn plain_round(writes: &[u64], durability: Durability) -> Duration {
    let folder = buffer::folder();
    let bytes = vec![b'x'; writes.iter().max().copied().unwrap_or(0) as usize];
    let (mut open, mut files, mut at) = (file(&folder, 0), 1, BLOCK);
    let begun = Instant::now();
    for &write in writes {
        if at + write > buffer::SEGMENT {
            open.sync_data().expect("the disk works");
            (open, files, at) = (file(&folder, files), files + 1, BLOCK);
        }
        open.write_all_at(&bytes[..write as usize], at).expect("there is room");
        if durability == Durability::Disk {
            open.sync_data().expect("the disk works");
        }
        at += write;
    }
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn main() {
    println!("{:10} {:>10} {:>14} {:>14} {:>8} {:>12}", "durability", "group", "log MB/s", "plain MB/s", "ratio", "commit ms");
    for durability in [Durability::Disk, Durability::Os] {
        for group_bytes in [64 << 10, 256 << 10, 1 << 20, 4 << 20] {
            let groups = (ROUND_BYTES / group_bytes).min(ROUND_GROUPS);
            let (mut logged, mut plain, mut bytes) = (Vec::new(), Vec::new(), 0);
            for _ in 0..ROUNDS {
                let (time, writes) = log_round(group_bytes, groups, durability);
                bytes = writes.iter().sum();
                logged.push(time);
                plain.push(plain_round(&writes, durability));
            }
            let (log, plain) = (median(logged), median(plain));
            println!(
                "{:10} {:>6} KiB {:>14.0} {:>14.0} {:>8.2} {:>12.3}",
                durability.label(),
                group_bytes >> 10,
                bytes as f64 / log / 1e6,
                bytes as f64 / plain / 1e6,
                plain / log,
                log / groups as f64 * 1e3,
            );
        }
    }
}
