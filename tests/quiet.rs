//! Quiet tenants beside one that keeps on at a hundred times its rate: what they wait for their acknowledgements with and without it.
//!
//! Times are compared, so that this runs by itself: no other file of tests runs meanwhile, and one test here at a time. The short
//! form runs with all tests, the long one is ignored.

#[allow(dead_code, reason = "the stories of e2e.rs use the rest")]
mod support;

use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::http::Http;
use crate::support::http::request;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::relay::Relay;
use crate::support::sender::Sender;

/// What the noisy tenant may send, in events per second …
const RATE: u64 = 100;

/// … and what it does send.
const NOISE: u64 = 100 * RATE;

/// Events of each of its requests, and connections it sends them on.
const REQUEST: u64 = 100;
const CONNECTIONS: u64 = 16;

/// Senders of the quiet tenants, one each.
const QUIET: u64 = 10;

/// What a test takes the machine for; the other one waits.
static ALONE: Mutex<()> = Mutex::new(());

/// The 99th of a hundred times to an acknowledgement, of ten senders with a line at a time each.
#[track_caller]
fn p99(relay: &Relay, long: Duration) -> Duration {
    let address = relay.lines;
    let senders = (0..QUIET).map(|tenant| {
        thread::spawn(move || {
            let mut sender = Sender::connect_from(address, &format!("127.0.1.{}", tenant + 1));
            let mut reader = sender.reader();
            let (begun, mut times) = (Instant::now(), Vec::new());
            while begun.elapsed() < long {
                let asked = Instant::now();
                sender.send(alb(tenant << 32 | times.len() as u64));
                reader.read_line(&mut String::new()).expect("a confirmation");
                times.push(asked.elapsed());
                thread::sleep(Duration::from_millis(20));
            }
            times
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut times: Vec<Duration> = senders.into_iter().flat_map(|thread| thread.join().expect("it is answered")).collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// What became of the noise.
#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    offered: u64,
    turned_away: u64,
}

/// Sends a request whenever one is due, no sooner and no later, until it is enough.
fn noise(address: SocketAddr, connection: u64, enough: &AtomicBool) -> Noise {
    let mut http = Http::connect(address);
    let body = albs((0..REQUEST).map(|line| 1 << 50 | connection << 40 | line));
    let request = request("/", &[("X-Elbow-Token", "the-token-of-the-noisy-one")], body.as_bytes());
    let (begun, mut noise) = (Instant::now(), Noise::default());
    while !enough.load(Ordering::Relaxed) {
        let due = Duration::from_secs_f64(noise.offered as f64 / (NOISE / CONNECTIONS) as f64);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        http.send(&request);
        let answer = http.answer();
        noise.offered += REQUEST;
        match answer.status {
            200 => {}
            429 => noise.turned_away += REQUEST,
            _ => panic!("{answer:?}"),
        }
        if answer.header("connection") == Some("close") {
            http = Http::connect(address);
        }
    }
    noise
}

/// Measures for so long without noise, half of it before and half after, and for so long with it. A machine that does other things
/// adds `slack` to what it takes, and may not get as much noise together: `least` events a second have to be.
#[track_caller]
fn measured(without: Duration, with: Duration, slack: Duration, least: u64) -> Result<(), String> {
    let quiet: String =
        (1..=QUIET).map(|n| format!("[[tenant]]\nname = \"quiet-{n}\"\nnetworks = [\"127.0.1.{n}\"]\n")).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "the-token-of-the-noisy-one").expect("it is ours");
    let noisy = format!("[[tenant]]\nname = \"noisy\"\ntoken_file = \"{}\"\nevents_per_second = {RATE}\n", token.display());
    let setup = Relay::to_stdout().in_directory(directory.path()).source("confirm = \"line\"").and_http("");
    let relay = setup.tables(&format!("{quiet}{noisy}")).start();
    p99(&relay, Duration::from_millis(500));
    let before = p99(&relay, without / 2);
    let enough = Arc::new(AtomicBool::new(false));
    let web = relay.web();
    let begun = Instant::now();
    let senders = (0..CONNECTIONS).map(|connection| {
        let enough = enough.clone();
        thread::spawn(move || noise(web, connection, &enough))
    });
    let senders: Vec<_> = senders.collect();
    let beside = p99(&relay, with);
    enough.store(true, Ordering::Relaxed);
    let noises: Vec<Noise> = senders.into_iter().map(|sender| sender.join().expect("it is answered")).collect();
    let seconds = begun.elapsed().as_secs_f64();
    let after = p99(&relay, without / 2);
    let offered: u64 = noises.iter().map(|noise| noise.offered).sum();
    let taken = offered - noises.iter().map(|noise| noise.turned_away).sum::<u64>();
    let rate = offered as f64 / seconds;
    println!(
        "p99 {before:?} and {after:?} without noise, {beside:?} beside {rate:.0} events a second, of which {taken} were taken"
    );
    // A burst of a second, and a request of each connection that finds the bucket not yet empty.
    let may = (seconds + 1.0) * RATE as f64 + ((CONNECTIONS * REQUEST) as f64);
    assert!(taken as f64 <= may, "{taken} noisy events were taken in {seconds} s");
    relay.stop().cleanly();
    let alone = before.max(after);
    if rate < least as f64 {
        return Err(format!("the noise was {rate:.0} events a second"));
    }
    if beside > alone * 2 + slack { Err(format!("p99 {alone:?} became {beside:?}")) } else { Ok(()) }
}

/// The same up to three times, because the machine may do other things meanwhile: what tenants do to each other they do each time.
#[track_caller]
fn quiet_tenants_notice_little(without: Duration, with: Duration, slack: Duration, least: u64) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut why = String::new();
    for _ in 0..3 {
        match measured(without, with, slack, least) {
            Ok(()) => return,
            Err(error) => why = error,
        }
    }
    panic!("{why}");
}

#[test]
fn a_tenant_at_a_hundred_times_its_rate_is_hardly_noticed() {
    quiet_tenants_notice_little(Duration::from_secs(3), Duration::from_secs(5), Duration::from_millis(20), 10 * RATE);
}

#[test]
#[ignore = "80 s, and what it compares are times: a minute of noise"]
fn a_tenant_at_a_hundred_times_its_rate_for_a_minute_is_hardly_noticed() {
    quiet_tenants_notice_little(Duration::from_secs(20), Duration::from_secs(60), Duration::from_millis(1), 80 * RATE);
}
