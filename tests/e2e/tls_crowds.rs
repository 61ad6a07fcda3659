//! What TLS costs: connections that are idle, connections that are new, lines that are many. Figures are printed, and only held
//! to bounds that any machine keeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustls::ClientConfig;

use crate::crowds::may_open;
use crate::support::lines::albs;
use crate::support::relay::Relay;
use crate::support::sender::Sender;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::TlsSender;

/// A relay that asks senders for certificates, and a sender that has one.
#[track_caller]
fn mutual(more: &str) -> (Relay, Files, Arc<ClientConfig>) {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.relay());
    files.authority(&authority);
    let relay = Relay::to_stdout().source(&files.mutual("")).source(more).start();
    let config = authority.trusting(Some(&authority.sender("lambda.example")));
    (relay, files, config)
}

/// How long a connection takes that sends one line and has it confirmed.
#[track_caller]
fn confirmed_within(address: SocketAddr, config: &Arc<ClientConfig>) -> Duration {
    let mut took: Vec<_> = (0..50)
        .map(|_| {
            let begun = Instant::now();
            let mut sender = TlsSender::connect(address, config);
            sender.send("a line\n");
            sender.finish();
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

#[test]
#[ignore = "half a minute: 10 000 handshakes, and connections that stay open"]
fn ten_thousand_idle_connections_over_tls_cost_little_and_hold_nobody_up() {
    const IDLE: u64 = 10_000;
    let Some(()) = may_open(12_000) else { return };
    let (relay, _files, config) = mutual("max_connections = 11000\nconfirm = \"close\"");
    let middle = confirmed_within(relay.lines, &config);
    let base = relay.resident_bytes();
    // Each has said a line, so that what reading takes is there.
    let idle: Vec<_> = (0..IDLE)
        .map(|_| {
            let mut sender = TlsSender::connect(relay.lines, &config);
            sender.send("a line\n");
            sender.into_tcp()
        })
        .collect();
    relay.until(|metrics| metrics.sum("source_connections_open") >= IDLE && metrics.received() >= IDLE);
    let grown = relay.resident_bytes() - base;
    let beside = confirmed_within(relay.lines, &config);
    println!("{} bytes a connection; confirmed after {middle:?}, beside them {beside:?}", grown / IDLE);
    assert!(grown <= 400 << 20, "{} MiB for {IDLE} connections", grown >> 20);
    assert!(beside < Duration::from_millis(200), "{beside:?}");
    drop(idle);
    relay.until(|metrics| metrics.sum("source_connections_open") == 0);
}

#[test]
#[ignore = "a measurement, to be run in release mode"]
fn new_connections_with_certificates_on_both_sides() {
    const EACH: u64 = 2_000;
    const SENDERS: u64 = 4;
    let (relay, _files, config) = mutual("confirm = \"close\"");
    let (begun, spent) = (Instant::now(), relay.processor_time());
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (config, address) = (config.clone(), relay.lines);
            thread::spawn(move || {
                for _ in 0..EACH {
                    let mut sender = TlsSender::connect(address, &config);
                    sender.send("a line\n");
                    sender.finish();
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().expect("each is confirmed"));
    let (took, cost) = (begun.elapsed(), relay.processor_time() - spent);
    let rate = (EACH * SENDERS) as f64 / took.as_secs_f64();
    println!(
        "{rate:.0} a second, both ends on this machine; {:?} of the relay's processor time each",
        cost / (EACH * SENDERS) as u32
    );
    assert_eq!(relay.metrics().sum_where("source_tls_handshakes_total", "result=\"done\""), EACH * SENDERS);
}

/// Lines that one connection sends at once.
const LINES: u64 = 1_000;

/// How often it does.
const TIMES: u64 = 150;

/// Sends the same lines through two connections, and says how fast they were taken and what that cost the relay.
#[track_caller]
fn measure(relay: &Relay, what: &str, send: impl Fn(&str) + Clone + Send + 'static) {
    const SENDERS: u64 = 2;
    let lines: Arc<str> = albs(0..LINES).into();
    let (begun, spent) = (Instant::now(), relay.processor_time());
    let senders = [(); SENDERS as usize].map(|()| {
        let (send, lines) = (send.clone(), lines.clone());
        thread::spawn(move || send(&lines))
    });
    senders.into_iter().for_each(|sender| sender.join().expect("it is confirmed"));
    let (took, cost) = (begun.elapsed(), relay.processor_time() - spent);
    let megabytes = (lines.len() as u64 * TIMES * SENDERS) as f64 / 1e6;
    let million = (LINES * TIMES * SENDERS) as f64 / 1e6;
    let (rate, cost) = (megabytes / took.as_secs_f64(), cost.as_secs_f64() / million);
    println!("{what}: {rate:.0} MB/s; {cost:.2} s of the relay's processor time a million lines");
}

#[test]
#[ignore = "a measurement, to be run in release mode"]
fn lines_over_tls_beside_plain_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("ours");
    let files = Files::new(&authority.relay());
    let to_file = |name: &str| Relay::to_file(&folder.path().join(name)).source("confirm = \"close\"");
    let (plain, tls) = (to_file("plain").start(), to_file("tls").source(&files.settings("")).start());
    let (plain_lines, tls_lines, config) = (plain.lines, tls.lines, authority.trusting(None));
    let send_plain = move |lines: &str| {
        let mut sender = Sender::connect(plain_lines);
        (0..TIMES).for_each(|_| sender.send(lines));
        sender.finish();
    };
    let send_tls = move |lines: &str| {
        let mut sender = TlsSender::connect(tls_lines, &config);
        (0..TIMES).for_each(|_| sender.send(lines));
        sender.finish();
    };
    for _ in 0..3 {
        measure(&plain, "plain", send_plain);
        measure(&tls, "TLS", send_tls.clone());
    }
}
