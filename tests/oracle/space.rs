//! No room: a full filesystem, a full buffer, a limit on the size of files. Senders wait; nothing is lost; it goes on by itself.

use std::fs;
use std::io::Write;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::prlimit;

use crate::harness::Oracle;
use crate::mounts::Mount;
use crate::producer::Mode;
use crate::support::http::Http;
use crate::support::wait_for;

const EVERY: &[Mode] = &[Mode::RawTrusted, Mode::Close, Mode::Line];

/// Lines confirmed after there was room again.
const RESUMED: u64 = 2_000;

/// Sends until nothing more is taken, makes room, and sees that it goes on.
fn full(mut oracle: Oracle, make_room: impl FnOnce(&mut Oracle)) {
    oracle.pause(Duration::ZERO);
    oracle.produce(EVERY);
    let full = oracle.until_held_back();
    oracle.seen(full.in_flight() > 0);
    oracle.cycles += 1;
    assert_eq!(oracle.relay().page("/health").0, 200, "waiting is no illness");
    make_room(&mut oracle);
    oracle.until(|totals| totals.confirmed > full.confirmed + RESUMED);
    oracle.finish();
}

#[test]
fn a_full_disk_holds_senders_back_until_the_sink_makes_room() {
    let Some(mount) = Mount::tmpfs("size=32m") else { return };
    let mut oracle = Oracle::at("disk full", &mount.path.join("data"))
        .with(|setup| setup.buffer("64MiB").buffer_settings("min_free_bytes = 0"));
    oracle.start();
    full(oracle, |oracle| oracle.sink.appear());
}

#[test]
fn a_disk_that_others_fill_holds_senders_back_until_they_make_room() {
    let Some(mount) = Mount::tmpfs("size=32m") else { return };
    let mut oracle = Oracle::at("disk filled by others", &mount.path.join("data"))
        .with_sink()
        .with(|setup| setup.buffer("64MiB").buffer_settings("min_free_bytes = 0"));
    oracle.start();
    let filler = mount.path.join("filler");
    let mut file = fs::File::create(&filler).expect("there is room");
    while file.write_all(&[0xff; 4096]).is_ok() {}
    drop(file);
    full(oracle, |_| fs::remove_file(&filler).expect("it is there"));
}

#[test]
fn a_full_buffer_holds_senders_back_until_the_sink_makes_room() {
    let mut oracle = Oracle::new("buffer full").with(|setup| setup.buffer("16MiB"));
    oracle.start();
    full(oracle, |oracle| oracle.sink.appear());
}

#[test]
fn a_limit_on_the_size_of_files_holds_senders_back_until_it_is_lifted() {
    let mut oracle = Oracle::new("file size limit").with_sink();
    oracle.start();
    oracle.send(10, 600);
    limit_files(&oracle, Some(256 << 10));
    full(oracle, |oracle| limit_files(oracle, None));
}

/// Bounds the size of files the relay may write, as `ulimit -f` does; SIGXFSZ comes with it.
fn limit_files(oracle: &Oracle, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(oracle.relay().pid()).expect("a pid"));
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("it is our child");
}

#[test]
fn a_relay_that_may_write_no_segment_says_so_or_waits() {
    let oracle = Oracle::new("no segment fits");
    // In blocks of 512 bytes.
    let mut relay = oracle.setup.clone().limited("-S -f 64").spawn();
    let said = wait_for(
        || {
            let log = relay.log_text();
            (!relay.runs() || log.contains("admin listener")).then_some(log)
        },
        || "it neither listens nor ends".to_owned(),
    );
    if relay.runs() {
        relay.terminate();
        relay.ended().cleanly();
    } else {
        relay.ended().with(1);
        assert!(said.contains(oracle.data.to_str().expect("text")), "it names the directory:\n{said}");
    }
}

/// Address space of a relay whose budget is 32 MiB, as `ulimit` takes it. Its threads' stacks and what the allocator keeps for
/// them are most of it; none of it is ever touched.
const ADDRESS_SPACE: &str = "-v 700000";

#[test]
fn a_relay_that_is_short_of_memory_asks_to_come_again_and_lives() {
    let mut oracle = Oracle::new("address space").with(|setup| setup.limited(ADDRESS_SPACE).memory("32MiB"));
    oracle.start();
    oracle.pause(Duration::ZERO);
    let address = oracle.relay().address_of("web");
    // Bodies that stand in the way of the others: each holds a long line whose end does not come.
    let held: Vec<_> = (0..64)
        .map(|_| {
            let mut http = Http::connect(address);
            // Some of them are refused before they are through.
            let _ = http.try_send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n{}", "x".repeat(900_000)));
            http
        })
        .collect();
    oracle.produce(&[Mode::Http, Mode::Http, Mode::Http, Mode::Http, Mode::Close, Mode::Line]);
    let relay = oracle.relay();
    let metrics = relay.until(|metrics| metrics.sum_where("http_requests_total", "status=\"429\"") > 0);
    oracle.seen(metrics.sum_where("http_requests_total", "status=\"429\"") > 0);
    oracle.cycles += 1;
    let before = oracle.ledger.totals().confirmed;
    oracle.until(|totals| totals.confirmed > before + 500);
    let most = oracle.relay().resident_bytes_max();
    assert!(most <= (40 + 32) << 20, "{most} bytes at the most");
    drop(held);
    oracle.finish();
}
