//! A Logstash that is absent, cut, stalled, replaced, rude.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::sink::Condition;
use crate::sink::DialPlan;
use crate::sink::SinkKind;
use crate::sink::tests::MOMENT;
use crate::sink::tests::Relay;

/// Above what the kernel of a [`Logstash`] holds for it.
const RESEND: usize = 2 << 20;

fn plan(hosts: &[SocketAddr]) -> LogstashTcpPlan {
    LogstashTcpPlan {
        hosts: hosts.iter().map(SocketAddr::to_string).collect(),
        dial: DialPlan { connect_timeout: Duration::from_secs(5), user_timeout: Duration::from_secs(300), tls: None },
        release: Release::Socket { settle: Duration::from_millis(400), resend_bytes: RESEND as u64 },
    }
}

/// A Logstash that does what it is told.
struct Logstash {
    listener: TcpListener,
    /// Everything read on connections that were told to read, torn last lines of cut ones removed.
    lines: Vec<String>,
}

impl Logstash {
    async fn new() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// An address at which nothing listens yet.
    async fn absent() -> SocketAddr {
        Self::new().await.address()
    }

    async fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.set_recv_buffer_size(256 << 10).expect("an option");
        socket.bind(address).expect("the port is free");
        Self { listener: socket.listen(16).expect("a listener"), lines: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    async fn accept(&self) -> TcpStream {
        timeout(MOMENT, self.listener.accept()).await.expect("a connection in time").expect("a connection").0
    }

    /// Reads about so many bytes and resets the connection with the rest unread.
    async fn read_and_cut(&mut self, mut stream: TcpStream, bytes: usize) {
        let mut text = vec![0; bytes];
        timeout(MOMENT, stream.read_exact(&mut text)).await.expect("bytes in time").expect("that many bytes");
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(stream);
        self.keep(&text);
    }

    async fn read_to_end(&mut self, mut stream: TcpStream) {
        let mut text = Vec::new();
        timeout(MOMENT, stream.read_to_end(&mut text)).await.expect("an end in time").expect("a clean end");
        assert!(text.is_empty() || text.ends_with(b"\n"), "a clean end is between lines");
        self.keep(&text);
    }

    fn keep(&mut self, text: &[u8]) {
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let text = str::from_utf8(&text[..whole]).expect("text");
        self.lines.extend(text.lines().map(str::to_owned));
    }

    /// Checks that every document arrived unharmed; gives how many came more than once.
    #[track_caller]
    fn has_all(&self, relay: &Relay, count: usize) -> usize {
        let mut seen = BTreeMap::<&str, usize>::new();
        for line in &self.lines {
            *seen.entry(line).or_default() += 1;
        }
        let text = relay.text(0..count);
        assert!(text.lines().all(|line| seen.contains_key(line)), "every line arrives");
        assert_eq!(seen.len(), count, "nothing else arrives");
        self.lines.len() - count
    }
}

#[tokio::test]
async fn an_absent_peer_that_appears_gets_everything_in_order() {
    let address = Logstash::absent().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[address])));
    relay.send(0..1_000).await;
    relay.until(|relay| relay.states[0].counts().failures > 0).await;
    assert!(relay.states[0].last_error().expect("an error").text.contains("cannot connect to 127.0.0.1"));
    let mut logstash = Logstash::at(address).await;
    let stream = logstash.accept().await;
    relay.drain();
    logstash.read_to_end(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(logstash.lines.join("\n") + "\n", relay.text(0..1_000));
    relay.reconciles(0);
    assert_eq!(relay.states[0].counts().events_retried, 0);
    assert_eq!(relay.states[0].condition(), Condition::Ended);
}

#[tokio::test]
async fn a_peer_that_is_cut_in_mid_stream_gets_every_line_whole_and_few_twice() {
    const COUNT: usize = 100_000;
    let mut logstash = Logstash::new().await;
    let mut relay = Relay::new(1);
    relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(200));
    // Nobody reads while the buffer is filled, so settle must not run out meanwhile: bytes alone release here.
    let plan = LogstashTcpPlan {
        release: Release::Socket { settle: MOMENT, resend_bytes: RESEND as u64 },
        ..plan(&[logstash.address()])
    };
    let sink = relay.start_plan(SinkKind::LogstashTcp(plan));
    relay.send(0..COUNT).await;
    for bytes in [1, 3_000_001, 12_000_003] {
        let stream = logstash.accept().await;
        logstash.read_and_cut(stream, bytes).await;
    }
    let stream = logstash.accept().await;
    relay.drain();
    logstash.read_to_end(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    let twice = logstash.has_all(&relay, COUNT);
    let retried = relay.states[0].counts().events_retried;
    assert!(twice as u64 <= retried, "{twice} came twice, {retried} were sent again");
    // Released late are the last resend_bytes, and what the send queue (4 MiB at most) moved since it was last read.
    let bound = (3_000_002 + RESEND + (5 << 20)) / 200;
    assert!(twice < bound, "{twice} came twice");
    relay.reconciles(0);
}

#[tokio::test]
async fn a_peer_that_stops_reading_stalls_and_loses_nothing() {
    let mut logstash = Logstash::new().await;
    let mut relay = Relay::bounded(1, 12 << 20);
    relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(2_000));
    let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
    let stream = logstash.accept().await;
    let sending = async {
        relay.send(0..20_000).await;
        relay.drain();
    };
    let reading = async {
        relay.until(|relay| relay.states[0].condition() == Condition::Stalled).await;
        let stat = relay.buffer.stat();
        assert!(stat.events > 0 && stat.bytes <= 12 << 20);
        logstash.read_to_end(stream).await;
    };
    tokio::join!(sending, reading);
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(logstash.has_all(&relay, 20_000), 0);
    relay.reconciles(0);
}

#[tokio::test]
async fn a_dead_sink_holds_another_back_only_at_the_bound() {
    let mut logstash = Logstash::new().await;
    let dead = Logstash::absent().await;
    let mut relay = Relay::bounded(2, 256 << 10);
    relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(1_000));
    let alive = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
    let dead = relay.start_plan(SinkKind::LogstashTcp(plan(&[dead])));
    let mut stream = logstash.accept().await;
    let batch = relay.text(0..10).len() as u64 * 2;
    tokio::select! {
        () = relay.send(0..1_000) => panic!("the bound holds it back"),
        () = relay.until(|relay| relay.buffer.stat().bytes > (256 << 10) - batch) => {}
    }
    let mut text = vec![0; 200 << 10];
    timeout(MOMENT, stream.read_exact(&mut text)).await.expect("it is not held back").expect("what fits in the buffer");
    relay.until(|relay| relay.buffer.stat().cursors[0].events == 0).await;
    let stat = relay.buffer.stat();
    assert!(stat.bytes <= 256 << 10 && stat.events == stat.events_appended && stat.events >= 200);
    relay.reconciles(0);
    relay.drain();
    logstash.read_to_end(stream).await;
    relay.ends(alive).await.expect("all is delivered");
    relay.stop.advance(Phase::Stop);
    relay.ends(dead).await.expect("it is stopped");
    assert_eq!(relay.buffer.stat().cursors[1].events, stat.events);
}

#[tokio::test]
async fn the_next_host_takes_over_when_one_ends() {
    let (mut first, mut second) = (Logstash::new().await, Logstash::new().await);
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[first.address(), second.address()])));
    let stream = first.accept().await;
    relay.send(0..10).await;
    first.read_and_cut(stream, 50).await;
    let stream = second.accept().await;
    relay.drain();
    second.read_to_end(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(second.has_all(&relay, 10), 0);
    assert_eq!(relay.states[0].counts().events_retried, 10);
}

#[tokio::test]
async fn an_idle_peers_end_is_noticed_and_what_it_says_is_thrown_away() {
    let logstash = Logstash::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
    let mut stream = logstash.accept().await;
    stream.write_all(b"hello, who is there?\n").await.expect("a connection");
    drop(stream);
    relay.until(|relay| relay.states[0].counts().failures == 1).await;
    let _again = logstash.accept().await;
    relay.drain();
    relay.ends(sink).await.expect("nothing is left");
}

#[tokio::test]
async fn a_peer_that_never_ends_is_released_by_settle() {
    let logstash = Logstash::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
    let mut stream = logstash.accept().await;
    relay.send(0..10).await;
    relay.drain();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.expect("a half-close");
    relay.ends(sink).await.expect("settle releases it");
    assert_eq!(text, relay.text(0..10).into_bytes());
    relay.reconciles(0);
}

#[tokio::test]
async fn the_hard_limit_leaves_what_is_unreleased_in_the_buffer() {
    let logstash = Logstash::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
    let _stream = logstash.accept().await;
    relay.padding = "x".repeat(1_000_000);
    relay.send(0..20).await;
    relay.until(|relay| relay.states[0].counts().bytes_written > 0).await;
    relay.drain();
    relay.stop.advance(Phase::Stop);
    relay.ends(sink).await.expect("it stops");
    relay.reconciles(20);
}
