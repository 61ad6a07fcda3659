//! Sockets that outlive a process: handed over by systemd, or shared with the process that takes over.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::relay::Ended;
use crate::support::relay::Relay;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::wait_for;

/// A listening socket on a free port.
fn socket() -> (Arc<TcpListener>, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    (Arc::new(socket), address)
}

fn numbers<'a>(documents: impl IntoIterator<Item = &'a Value>) -> BTreeSet<u64> {
    documents.into_iter().map(|document| document["n"].as_u64().expect("a number")).collect()
}

#[test]
fn what_comes_while_nobody_runs_waits_for_the_next_relay() {
    let (socket, address) = socket();
    let setup = Relay::to_stdout().source("confirm = \"close\"").handed("in", &socket);
    // This connection is there before anybody has set an option.
    let mut early = Sender::connect(address);
    early.send("{\"n\":0}\n");
    let relay = setup.clone().start();
    assert_eq!(relay.lines, address, "where it listens is the socket's");
    early.finish();
    send(address, "{\"n\":1}\n");
    assert_eq!(numbers(&relay.stop().cleanly().documents), [0, 1].into());
    let mut between = Sender::connect(address);
    between.send("{\"n\":2}\n");
    between.half_close();
    let relay = setup.start();
    assert_eq!(between.ends().expect("a clean end"), 0, "it is confirmed");
    assert_eq!(numbers(&relay.stop().cleanly().documents), [2].into());
}

#[test]
fn a_connection_from_before_is_reset_where_it_is_not_confirmed() {
    let (socket, address) = socket();
    let mut early = Sender::connect(address);
    early.send("{\"n\":0}\nhalf");
    let relay = Relay::to_stdout().source("confirm = \"close\"\nidle_timeout = \"1s\"").handed("in", &socket).start();
    early.ends().expect_err("an end in order would be a confirmation");
    relay.stop().cleanly();
}

#[test]
fn a_socket_is_given_to_the_source_of_its_name() {
    let (socket, address) = socket();
    let setup = Relay::to_stdout().and_source("second", "");
    let relay = setup.clone().handed("second", &socket).start();
    assert_eq!(relay.lines_of("second"), address);
    assert_ne!(relay.lines, address);
    send(address, "{\"n\":1}\n");
    relay.writes(1);
    relay.stop().cleanly();
    let ended = setup.handed("third", &socket).try_start().err().expect("nobody wants it").with(1);
    assert!(ended.log_text.contains("the socket \"third\" on 127.0.0.1:"), "{}", ended.log_text);
    let (mut near, far) = (TcpStream::connect(address).expect("it listens"), socket.accept().expect("a connection").0);
    near.set_nodelay(true).expect("an option");
    let connection = Arc::new(TcpListener::from(std::os::fd::OwnedFd::from(far)));
    let ended = Relay::to_stdout().handed("in", &connection).try_start().err().expect("it is no listener").with(1);
    assert!(ended.log_text.contains("is no listening TCP socket"), "{}", ended.log_text);
    std::io::Write::write_all(&mut near, b"x").expect("a connection");
}

#[test]
fn systemd_starts_it_with_the_first_connection() {
    const ACTIVATE: &str = "/usr/bin/systemd-socket-activate";
    if !Path::new(ACTIVATE).exists() {
        eprintln!("not tried: there is no {ACTIVATE} (package systemd)");
        return;
    }
    let (socket, address) = socket();
    drop(socket);
    let relay = Relay::to_stdout().under(&[ACTIVATE, "--listen", &address.to_string(), "--fdname", "in"]).spawn();
    let mut sender = wait_for(|| TcpStream::connect(address).ok().map(|_| Sender::connect(address)), || relay.log_text());
    sender.send("{\"n\":1}\n");
    sender.finish();
    relay.says(&format!("\"address\":\"{address}\""));
    relay.writes(1);
    let ended: Ended = relay.stop().cleanly();
    assert_eq!(numbers(&ended.documents), [1].into());
}

#[test]
fn a_new_process_takes_the_port_over_and_nothing_confirmed_is_lost() {
    let (socket, address) = socket();
    drop(socket);
    let setup = Relay::to_stdout().listening_on(&address.to_string()).source("confirm = \"close\"\nreuse_port = true");
    let old = setup.clone().start();
    let goes_on = Arc::new(AtomicBool::new(true));
    let senders: Vec<_> = (0..4u64)
        .map(|sender| {
            let goes_on = goes_on.clone();
            thread::spawn(move || {
                let (mut sent, mut again) = (0, 0);
                while goes_on.load(Ordering::Relaxed) {
                    let line = format!("{{\"n\":{}}}\n", sender * 1_000_000 + sent);
                    // Whatever is not confirmed is sent again.
                    let mut connection = Sender::connect(address);
                    let confirmed =
                        connection.try_send(&line).is_ok() && connection.try_half_close() && connection.ends().is_ok();
                    if confirmed {
                        sent += 1
                    } else {
                        again += 1
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                (sender, sent, again)
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    let new = setup.start();
    wait_for(|| (!new.documents().is_empty()).then_some(()), || new.log_text());
    let old = old.stop().cleanly();
    thread::sleep(Duration::from_millis(300));
    goes_on.store(false, Ordering::Relaxed);
    let counts: Vec<(u64, u64, u64)> =
        senders.into_iter().map(|sender| sender.join().expect("the port is never closed")).collect();
    println!("sender, confirmed, sent again: {counts:?}");
    let new = new.stop().cleanly();
    let stored = numbers(old.documents.iter().chain(&new.documents));
    let confirmed: BTreeSet<u64> =
        counts.iter().flat_map(|(sender, sent, _)| (0..*sent).map(move |n| sender * 1_000_000 + n)).collect();
    assert!(confirmed.is_subset(&stored), "{counts:?}");
    assert!(!old.documents.is_empty() && new.documents.len() > 10, "both had some: {counts:?}");
}

#[test]
fn a_port_is_shared_by_those_only_that_say_so() {
    let relay = Relay::to_stdout().source("reuse_port = true").start();
    let address = relay.lines.to_string();
    let ended = Relay::to_stdout().listening_on(&address).try_start().err().expect("the port is taken").with(1);
    assert!(ended.log_text.contains("another process listens there"), "{}", ended.log_text);
    relay.stop().cleanly();
}
