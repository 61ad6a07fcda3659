//! A buffer on disk read back: by a sink's reader, by `elbow buffer check` and by `elbow buffer stat`, and opened as a start does.
//!
//! `cargo bench --bench replay [-- FOLDER]` writes 1 GiB there, or where temporary files are, and prints medians of five; the bytes
//! come from the system's cache, so that the program is measured and not the disk.

mod support;

#[path = "support/buffer.rs"]
mod buffer;

use elbow::buffer::disk::RealDisk;
use elbow::buffer::format::Point;
use elbow::buffer::inspect::Depth;
use elbow::buffer::inspect::Inspection;
use elbow::buffer::log::Durability;

const BYTES: u64 = 1 << 30;

const GROUP_BYTES: usize = 256 << 10;

fn main() {
    let folder = buffer::folder();
    let batch = buffer::batch();
    let mut log = buffer::log(&folder, Durability::Os);
    while log.end().byte < BYTES {
        let entries = buffer::group(&batch, GROUP_BYTES, log.end().seq);
        let _ = log.commit(&entries).expect("there is room");
    }
    let end = log.end();
    log.checkpoint(vec![("logstash".to_owned(), Point::default())]).expect("the disk works");
    let read = support::median(5, || {
        let mut reader = log.reader(Point::default());
        let mut events = 0;
        loop {
            let out = reader.read().expect("it can be read");
            if out.entries.is_empty() {
                break;
            }
            events += out.entries.iter().map(|(entry, _)| entry.batch.len() as u64).sum::<u64>();
        }
        assert_eq!(events, end.event);
    });
    drop(log);
    let disk = RealDisk::read_only(folder.path());
    let quarantine = RealDisk::read_only(&folder.path().join("quarantine"));
    let look = |depth| {
        support::median(5, || {
            let found = Inspection::of(&disk, &quarantine, depth).expect("it is a buffer");
            assert_eq!((found.held.event, found.findings().len()), (end.event, 0));
        })
    };
    let (check, stat) = (look(Depth::Everything), look(Depth::Heads));
    let start = support::median(5, || drop(buffer::log(&folder, Durability::Os)));
    for (name, time) in [("read", read), ("check", check), ("stat", stat), ("start", start)] {
        let seconds = time.as_secs_f64();
        println!("{name:8} {:>10.3} s {:>10.2} GB/s", seconds, end.byte as f64 / seconds / 1e9);
    }
}
