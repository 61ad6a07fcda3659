//! Many connections: idle ones by the thousand, new ones by the thousand, and peers that are gone without a word.

use std::io::BufRead;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

use crate::support::machine::skipped;
use crate::support::network::Neighbour;
use crate::support::relay::Relay;
use crate::support::wait_so_long;

/// Lets this process open so many descriptors, where the system does.
pub(crate) fn may_open(descriptors: u64) -> Option<()> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.map(|current| current.max(descriptors));
    match setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum }) {
        Ok(()) => Some(()),
        Err(error) => skipped(&format!("{descriptors} open files: {error}")),
    }
}

/// How long a line takes to be confirmed: the middle and the ninety-ninth of a hundred.
#[track_caller]
fn confirmed_within(address: SocketAddr) -> (Duration, Duration) {
    let mut stream = TcpStream::connect(address).expect("the relay listens");
    stream.set_nodelay(true).expect("an option");
    let mut acks = std::io::BufReader::new(stream.try_clone().expect("a descriptor"));
    let mut took: Vec<_> = (0..500)
        .map(|_| {
            let begun = Instant::now();
            stream.write_all(b"a line\n").expect("the relay reads");
            acks.read_line(&mut String::new()).expect("the relay confirms");
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

#[test]
#[ignore = "some seconds: 10 000 connections that stay open"]
fn ten_thousand_idle_connections_cost_little_and_hold_nobody_up() {
    let Some(()) = may_open(12_000) else { return };
    let relay = Relay::to_stdout().source("max_connections = 11000\nconfirm = \"line\"").start();
    let (middle, _) = confirmed_within(relay.lines);
    let base = relay.resident_bytes();
    let idle: Vec<_> = (0..10_000).map(|_| TcpStream::connect(relay.lines).expect("the relay listens")).collect();
    relay.until(|metrics| metrics.sum("source_connections_open") >= 10_000);
    let grown = relay.resident_bytes() - base;
    let (middle_beside, last_beside) = confirmed_within(relay.lines);
    println!(
        "{} bytes a connection; confirmed after {middle:?}, beside them {middle_beside:?} (p99 {last_beside:?})",
        grown / 10_000
    );
    assert!(grown <= 60 << 20, "{} MiB for 10 000 idle connections", grown >> 20);
    // Twice, and a millisecond for a machine that does other things, too.
    assert!(middle_beside <= middle * 2 + Duration::from_millis(1), "{middle:?}, beside them {middle_beside:?}");
    drop(idle);
    relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    relay.stop().cleanly();
}

/// Has 2 000 connections a second come and go, in so many waves of four seconds.
fn connections_come_and_go(waves: u64) {
    let relay = Relay::to_stdout().start();
    let open = |relay: &Relay| std::fs::read_dir(format!("/proc/{}/fd", relay.pid())).expect("it runs").count();
    let wave = |seconds: u64| {
        let begun = Instant::now();
        let mut made = 0_u64;
        while begun.elapsed() < Duration::from_secs(seconds) {
            let mut stream = TcpStream::connect(relay.lines).expect("the relay listens");
            stream.write_all(b"one line\n").expect("it reads");
            made += 1;
            // No faster than the aim, so that what is measured is the relay and not how the ports of this machine run out.
            let due = Duration::from_micros(made * 500);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        (made, begun.elapsed())
    };
    // Connections may still wait in the kernel to be accepted when none is open.
    let settled = |relay: &Relay, made: u64| {
        relay.until(|metrics| metrics.received() == made && metrics.sum("source_connections_open") == 0)
    };
    let (mut made, _) = wave(2);
    let mut metrics = settled(&relay, made);
    let (descriptors, resident) = (open(&relay), relay.resident_bytes());
    let (first, mut took) = (made, Duration::ZERO);
    for _ in 0..waves {
        let (more, longer) = wave(4);
        (made, took) = (made + more, took + longer);
        metrics = settled(&relay, made);
    }
    assert_eq!(metrics.sum("source_accept_errors_total"), 0, "{metrics}");
    let rate = (made - first) as f64 / took.as_secs_f64();
    let (descriptors_after, resident_after) = (open(&relay), relay.resident_bytes());
    println!("{rate:.0} connections a second; {} KiB before, {} KiB after", resident >> 10, resident_after >> 10);
    assert!(descriptors_after <= descriptors + 2, "{descriptors} descriptors have become {descriptors_after}");
    assert!(resident_after <= resident + (8 << 20), "{resident} bytes have become {resident_after}");
    relay.stop().cleanly();
}

#[test]
#[ignore = "half a minute: 2 000 connections a second"]
fn connections_that_come_and_go_leave_nothing_behind() {
    connections_come_and_go(5);
}

#[test]
#[ignore = "five minutes: 2 000 connections a second"]
fn connections_that_come_and_go_for_five_minutes_leave_nothing_behind() {
    connections_come_and_go(75);
}

#[test]
#[ignore = "two minutes, as root: a machine that vanishes"]
fn peers_that_vanish_are_let_go_within_two_minutes() {
    let Some(neighbour) = Neighbour::new(1) else { return };
    let settings = "confirm = \"line\"\nidle_timeout = \"1h\"";
    let relay = Relay::to_stdout().listening_on(&format!("{}:0", neighbour.here)).source(settings).start();
    let port = relay.lines.port().to_string();
    let here = neighbour.here.to_string();
    let words = [here.as_str(), port.as_str()];
    // One is silent in the middle of a line.
    let mut silent = neighbour.spawn("nc", &words);
    silent.stdin.as_mut().expect("it is piped").write_all(b"whole\nhalf").expect("it reads");
    // The other vanishes before it can take its confirmation: the relay has bytes under way to it.
    let mut waiting = neighbour.spawn("nc", &words);
    relay.until(|metrics| metrics.sum("source_connections_open") == 2);
    relay.writes(1);
    relay.freeze();
    waiting.stdin.as_mut().expect("it is piped").write_all(b"another\n").expect("it reads");
    std::thread::sleep(Duration::from_millis(300));
    neighbour.vanish();
    relay.thaw();
    relay.writes(2);
    let vanished = Instant::now();
    wait_so_long(
        Duration::from_secs(120),
        || Some(relay.metrics()).filter(|metrics| metrics.sum("source_connections_open") == 0),
        || format!("both are gone:\n{}", relay.metrics()),
    );
    println!("let go after {:?}", vanished.elapsed());
    for mut child in [silent, waiting] {
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len(), 2, "the half line is no event: {documents:#?}");
}
