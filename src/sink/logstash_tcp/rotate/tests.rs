//! Peers that end, peers that break, and peers that do neither.

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::sink::Condition;
use crate::sink::DialPlan;
use crate::sink::LogstashTcpPlan;
use crate::sink::Release;
use crate::sink::SinkKind;
use crate::sink::tests::MOMENT;
use crate::sink::tests::Relay;
use crate::stop::Phase;

fn plan(host: SocketAddr, rotate: RotatePlan) -> SinkKind {
    plan_of(&[host], rotate)
}

fn plan_of(hosts: &[SocketAddr], rotate: RotatePlan) -> SinkKind {
    let (connect_timeout, user_timeout) = (Duration::from_secs(5), Duration::from_secs(300));
    let dial = DialPlan { connect_timeout, user_timeout, tls: None };
    SinkKind::LogstashTcp(LogstashTcpPlan {
        hosts: hosts.iter().map(SocketAddr::to_string).collect(),
        dial,
        release: Release::Rotate(rotate),
    })
}

/// Ends a connection after two batches of ten documents.
const SMALL: RotatePlan =
    RotatePlan { bytes: 1 << 20, events: 20, interval: Duration::from_secs(60), end_timeout: Duration::from_secs(20) };

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(MOMENT, listener.accept()).await.expect("a connection in time").expect("a connection").0
}

/// Reads until the relay ends its half; the connection is left to whoever asked.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(MOMENT, stream.read_to_string(&mut text)).await.expect("an end in time").expect("an end in order");
    text
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

#[tokio::test]
async fn each_connection_carries_a_batch_and_releases_it_by_its_end() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    // There is room for half a batch more, and none is torn apart.
    let sink = relay.start_plan(plan(address, RotatePlan { events: 25, ..SMALL }));
    relay.send(0..50).await;
    let mut first = accept(&listener).await;
    assert_eq!(read(&mut first).await, relay.text(0..20));
    // The next one does not wait for the end of the first.
    let mut second = accept(&listener).await;
    assert_eq!(read(&mut second).await, relay.text(20..40));
    relay.reconciles(50);
    drop(first);
    relay.until(|relay| relay.buffer.stat().cursors[0].events == 30).await;
    drop(second);
    let mut third = accept(&listener).await;
    relay.drain();
    assert_eq!(read(&mut third).await, relay.text(40..50));
    drop(third);
    relay.ends(sink).await.expect("all is delivered");
    relay.reconciles(0);
    assert_eq!(relay.states[0].counts().events_retried, 0);
    assert_eq!(relay.states[0].counts().connections, 3);
}

#[tokio::test]
async fn ends_that_come_in_another_order_release_in_order() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(plan(address, SMALL));
    relay.send(0..40).await;
    let mut first = accept(&listener).await;
    read(&mut first).await;
    let mut second = accept(&listener).await;
    read(&mut second).await;
    drop(second);
    tokio::time::sleep(Duration::from_millis(50)).await;
    relay.reconciles(40);
    drop(first);
    relay.until(|relay| relay.buffer.stat().cursors[0].events == 0).await;
    relay.drain();
    relay.ends(sink).await.expect("all is delivered");
}

#[tokio::test]
async fn what_a_reset_took_comes_again_before_what_is_new() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(plan(address, SMALL));
    relay.send(0..20).await;
    let mut first = accept(&listener).await;
    read(&mut first).await;
    reset(first);
    relay.until(|relay| relay.states[0].condition() == Condition::Failed).await;
    relay.send(20..30).await;
    relay.drain();
    let mut second = accept(&listener).await;
    assert_eq!(read(&mut second).await, relay.text(0..20));
    let mut third = accept(&listener).await;
    assert_eq!(read(&mut third).await, relay.text(20..30));
    relay.reconciles(30);
    drop(second);
    drop(third);
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(relay.states[0].counts().events_retried, 20);
    relay.reconciles(0);
}

#[tokio::test]
async fn a_peer_that_ends_first_releases_nothing() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(plan(address, SMALL));
    relay.send(0..10).await;
    let mut first = accept(&listener).await;
    let mut some = vec![0; relay.text(0..10).len()];
    timeout(MOMENT, first.read_exact(&mut some)).await.expect("bytes in time").expect("all bytes");
    drop(first);
    relay.until(|relay| relay.states[0].counts().failures == 1).await;
    relay.reconciles(10);
    relay.drain();
    let mut second = accept(&listener).await;
    assert_eq!(read(&mut second).await, relay.text(0..10));
    drop(second);
    relay.ends(sink).await.expect("all is delivered");
}

#[tokio::test]
async fn a_peer_that_never_ends_is_given_up_and_all_is_sent_again() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    let rotate = RotatePlan { end_timeout: Duration::from_millis(300), ..SMALL };
    let sink = relay.start_plan(plan(address, rotate));
    relay.send(0..20).await;
    let mut first = accept(&listener).await;
    read(&mut first).await;
    let mut second = accept(&listener).await;
    assert!(relay.states[0].last_error().expect("an error").text.contains("has not answered within 300ms"));
    relay.drain();
    assert_eq!(read(&mut second).await, relay.text(0..20));
    drop(second);
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(relay.states[0].counts().events_retried, 20);
    drop(first);
}

#[tokio::test]
async fn a_peer_that_reads_and_never_ends_is_shown_as_stalled_and_not_as_well_when_it_is_connected_to_again() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    let rotate = RotatePlan { end_timeout: Duration::from_secs(2), ..SMALL };
    let sink = relay.start_plan(plan(address, rotate));
    relay.send(0..20).await;
    let mut first = accept(&listener).await;
    read(&mut first).await;
    relay.until(|relay| relay.states[0].condition() == Condition::Stalled).await;
    let mut second = accept(&listener).await;
    read(&mut second).await;
    relay.until(|relay| relay.states[0].counts().events_retried == 20).await;
    assert_ne!(relay.states[0].condition(), Condition::Delivering, "nothing has arrived yet");
    relay.drain();
    drop(second);
    let third = timeout(Duration::from_secs(3), listener.accept()).await;
    if let Ok(Ok((mut third, _))) = third {
        read(&mut third).await;
    }
    relay.ends(sink).await.expect("all is delivered");
}

#[tokio::test]
async fn what_fails_late_at_a_host_that_was_left_does_not_leave_the_next_one() {
    let ((hung, one), (good, two)) = (listener().await, listener().await);
    let mut relay = Relay::new(1);
    let rotate = RotatePlan { events: 10, end_timeout: Duration::from_secs(1), ..SMALL };
    let sink = relay.start_plan(plan_of(&[one, two], rotate));
    let hanging = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let Ok((stream, _)) = hung.accept().await else { return };
            open.push(stream);
        }
    });
    // Three batches wait for an end that the first host never gives; they fail one after the other.
    for from in [0, 10, 20] {
        relay.send(from..from + 10).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (told, mut tell) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = good.accept().await else { return };
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).await;
            let _ = told.send(text);
        }
    });
    relay.until(|relay| relay.buffer.stat().cursors[0].events == 0).await;
    let connections = relay.states[0].counts().connections;
    for from in (30..100).step_by(10) {
        relay.send(from..from + 10).await;
        relay.until(|relay| relay.buffer.stat().cursors[0].events == 0).await;
    }
    relay.drain();
    relay.ends(sink).await.expect("all is delivered");
    let mut text = String::new();
    while let Ok(more) = tell.try_recv() {
        text += &more;
    }
    let came: std::collections::BTreeSet<&str> = text.lines().collect();
    let sent = relay.text(0..100);
    assert_eq!(came, sent.lines().collect());
    assert!(relay.states[0].counts().connections <= connections + 8, "each batch went to the host that works");
    serving.abort();
    hanging.abort();
}

#[tokio::test]
async fn time_and_bytes_end_a_connection_as_well() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    let rotate = RotatePlan { events: 1_000, interval: Duration::from_millis(100), ..SMALL };
    let sink = relay.start_plan(plan(address, rotate));
    let mut first = accept(&listener).await;
    // Nothing on it yet: it stays.
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.send(0..10).await;
    assert_eq!(read(&mut first).await, relay.text(0..10));
    drop(first);
    relay.until(|relay| relay.buffer.stat().cursors[0].events == 0).await;
    relay.drain();
    relay.ends(sink).await.expect("all is delivered");

    let mut relay = Relay::new(1);
    let bytes = relay.text(0..10).len() as u64 + 1;
    let sink = relay.start_plan(plan(address, RotatePlan { bytes, ..SMALL }));
    relay.send(0..20).await;
    let mut first = accept(&listener).await;
    assert_eq!(read(&mut first).await, relay.text(0..10));
    drop(first);
    let mut second = accept(&listener).await;
    relay.drain();
    assert_eq!(read(&mut second).await, relay.text(10..20));
    drop(second);
    relay.ends(sink).await.expect("all is delivered");
}

#[tokio::test]
async fn no_more_than_three_connections_wait_for_their_end() {
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(plan(address, SMALL));
    relay.send(0..100).await;
    let mut open = Vec::new();
    for _ in 0..=ENDING_MAX {
        let mut stream = accept(&listener).await;
        read(&mut stream).await;
        open.push(stream);
    }
    timeout(Duration::from_millis(200), listener.accept()).await.expect_err("no further one");
    open.remove(0);
    let mut next = accept(&listener).await;
    assert_eq!(read(&mut next).await, relay.text(60..80));
    relay.stop.advance(Phase::Stop);
    relay.ends(sink).await.expect("it is stopped");
    relay.reconciles(80);
}

#[tokio::test]
async fn a_large_flood_through_peers_that_now_and_then_break_arrives_whole_and_in_order_on_each_connection() {
    const COUNT: usize = 20_000;
    let (listener, address) = listener().await;
    let mut relay = Relay::new(1);
    relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(200));
    let rotate = RotatePlan { bytes: 256 << 10, events: 100_000, ..SMALL };
    let sink = relay.start_plan(plan(address, rotate));
    let (tell, mut told) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut text = Vec::new();
                if number % 7 == 3 {
                    let mut some = vec![0; 100_000];
                    let _ = stream.read_exact(&mut some).await;
                    text = some;
                    reset(stream);
                } else {
                    let _ = stream.read_to_end(&mut text).await;
                }
                let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                let _ = tell.send(String::from_utf8_lossy(&text[..whole]).into_owned());
            });
        }
    });
    relay.send(0..COUNT).await;
    relay.drain();
    timeout(Duration::from_secs(60), sink).await.expect("in time").expect("no panic").expect("all is delivered");
    serving.abort();
    let mut seen = vec![0_usize; COUNT];
    while let Some(text) = told.recv().await {
        let numbers = text.lines().map(|line| {
            let digits = line.trim_start_matches("{\"n\":").split([',', '}']).next().expect("a number");
            digits.parse::<usize>().expect("a number")
        });
        let numbers: Vec<usize> = numbers.collect();
        assert!(numbers.is_sorted(), "in order on each connection");
        numbers.into_iter().for_each(|number| seen[number] += 1);
    }
    assert!(seen.iter().all(|&times| times > 0), "every document arrives");
    let twice = seen.iter().map(|times| times - 1).sum::<usize>() as u64;
    assert!(twice > 0 && twice <= relay.states[0].counts().events_retried, "{twice} came twice");
    relay.reconciles(0);
}
