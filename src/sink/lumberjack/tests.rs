//! The sink against servers that do what they are told: over sockets, and over pipes on a clock that is held.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::DuplexStream;
use tokio::io::duplex;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::*;
use crate::sink::Condition;
use crate::sink::SinkKind;
use crate::sink::lumberjack::talk::End;
use crate::sink::lumberjack::talk::Line;
use crate::sink::lumberjack::talk::Talk;
use crate::sink::parcel::Run;
use crate::sink::tests::MOMENT;
use crate::sink::tests::Relay;
use crate::sink::tests::entry;
use crate::wire::lumberjack::Limits;
use crate::wire::lumberjack::Server;

impl Line for DuplexStream {
    fn allow(&self, _limit: Duration) {}
}

fn plan(hosts: &[SocketAddr]) -> LumberjackPlan {
    LumberjackPlan {
        hosts: hosts.iter().map(SocketAddr::to_string).collect(),
        load_balance: false,
        dial: DialPlan { connect_timeout: Duration::from_secs(5), user_timeout: Duration::from_secs(30), tls: None },
        compression: 0,
        window_events: 10,
        window_bytes: 1 << 20,
        held_bytes: 1 << 30,
        pipeline: 3,
        ack_timeout: Duration::from_secs(60),
        progress_timeout: Duration::from_secs(300),
    }
}

fn ack(number: u32) -> Vec<u8> {
    [b"2A".as_slice(), &number.to_be_bytes()].concat()
}

/// A window of these events.
fn window(events: &[&str]) -> Vec<u8> {
    let (mut packer, mut out) = (Packer::new(0), Vec::new());
    packer.begin(events.len() as u32, &mut out);
    events.iter().for_each(|event| packer.event(event.as_bytes(), &mut out));
    packer.end(&mut out);
    out
}

/// Documents of one entry, and how they look in a window.
fn parcel(seq: u64, documents: &[&str]) -> Parcel {
    let text: String = documents.iter().map(|document| format!("{document}\n")).collect();
    let mut parcel = Parcel::default();
    parcel.push(Run { entry: entry(seq, &text), from: 0, to: documents.len() as u32 });
    parcel
}

fn texts(parcels: &[Parcel]) -> Vec<String> {
    let documents = parcels.iter().flat_map(Parcel::documents);
    documents.map(|(document, ..)| str::from_utf8(document).expect("text").trim_end().to_owned()).collect()
}

/// What became of a connection's documents.
#[derive(Debug)]
struct Outcome {
    released: Vec<String>,
    unreleased: Vec<String>,
    begun: u64,
    end: End,
    stalled: bool,
}

/// Sends windows of `a b c`, `d e` and `f` to a server over a pipe of so many bytes; what has nothing left to send parts.
async fn talk<F: Future<Output = ()>>(bytes: usize, server: impl FnOnce(DuplexStream) -> F) -> Outcome {
    let (ours, theirs) = duplex(bytes);
    let (link, parcels) = mpsc::channel(3);
    for parcel in [parcel(1, &["a", "b", "c"]), parcel(2, &["d", "e"]), parcel(3, &["f"])] {
        link.try_send(parcel).expect("there is room");
    }
    let (say, mut news) = mpsc::channel(64);
    let state = Arc::new(SinkState::new("sink"));
    let mut talk = Talk::new(ours, "pipe".to_owned(), parcels, &plan(&[]), state);
    let (mut released, mut stalled, mut link) = (Vec::new(), false, Some(link));
    let hearing = async {
        while let Some((_, news)) = news.recv().await {
            match news {
                News::Released { parcel, .. } => released.extend(texts(&[parcel])),
                News::Stalled => stalled = true,
                news => panic!("{news:?}"),
            }
            if released.len() == 6 {
                link = None;
            }
        }
    };
    let talking = async {
        let end = talk.serve(&say, 0).await;
        drop(say);
        let begun = talk.begun();
        let unreleased = texts(&talk.unreleased());
        // Also for a server that waits for the end.
        drop(talk);
        (end, begun, unreleased)
    };
    let ((end, begun, unreleased), (), ()) = tokio::join!(talking, hearing, server(theirs));
    Outcome { released, unreleased, begun, end, stalled }
}

fn all() -> Vec<u8> {
    [window(&["a", "b", "c"]), window(&["d", "e"]), window(&["f"])].concat()
}

/// Waits for all three windows.
async fn take_all(stream: &mut DuplexStream) {
    let mut bytes = vec![0; all().len()];
    stream.read_exact(&mut bytes).await.expect("three windows");
    assert_eq!(bytes, all());
}

#[tokio::test(start_paused = true)]
async fn windows_go_out_one_behind_the_other_and_acks_release_them_in_order() {
    let outcome = talk(7, |mut stream| async move {
        take_all(&mut stream).await;
        for number in [2, 0, 3, 2, 1] {
            stream.write_all(&ack(number)).await.expect("it reads");
        }
        assert_eq!(stream.read(&mut [0]).await.expect("an end in order"), 0);
    });
    let outcome = outcome.await;
    assert_eq!(outcome.released, ["a", "b", "c", "d", "e", "f"]);
    assert!(matches!(outcome.end, End::Parted), "{outcome:?}");
    assert!(outcome.unreleased.is_empty() && outcome.begun == 0);
}

#[tokio::test(start_paused = true)]
async fn wherever_a_window_is_cut_nothing_of_it_is_released_and_all_is_given_back() {
    let bytes = all();
    // Documents of windows of which something was written when so many bytes had been taken; a pipe of one byte is ahead by one.
    let ends = [window(&["a", "b", "c"]).len(), window(&["a", "b", "c"]).len() + window(&["d", "e"]).len()];
    for cut in 0..=bytes.len() {
        let outcome = talk(1, |mut stream| async move {
            let mut taken = vec![0; cut];
            stream.read_exact(&mut taken).await.expect("so many bytes");
        });
        let outcome = outcome.await;
        assert_eq!(outcome.unreleased, ["a", "b", "c", "d", "e", "f"], "cut at {cut}");
        assert!(outcome.released.is_empty() && matches!(outcome.end, End::Failed(_)), "cut at {cut}: {outcome:?}");
        let (least, most) = match cut {
            0 => (0, 3),
            cut if cut < ends[0] => (3, 3),
            cut if cut == ends[0] => (3, 5),
            cut if cut < ends[1] => (5, 5),
            cut if cut == ends[1] => (5, 6),
            _ => (6, 6),
        };
        assert!((least..=most).contains(&outcome.begun), "cut at {cut}: {} begun", outcome.begun);
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_an_ack_is_cut_only_whole_ones_release() {
    let acks = [ack(1), ack(3), ack(0), ack(2), ack(1)].concat();
    for cut in 0..=acks.len() {
        let acks = &acks[..cut];
        let outcome = talk(1 << 10, |mut stream| async move {
            take_all(&mut stream).await;
            stream.write_all(acks).await.expect("it reads");
        });
        let outcome = outcome.await;
        let released = [0, 1, 3, 3, 5, 6][cut / 6];
        let documents = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(
            (&outcome.released[..], &outcome.unreleased[..]),
            (&documents.map(String::from)[..released], &documents.map(String::from)[released..])
        );
        assert_eq!(outcome.begun, 6 - released as u64);
        assert_eq!(matches!(outcome.end, End::Failed(SinkError::PeerEnded { .. })), released < 6, "cut at {cut}: {outcome:?}");
    }
}

/// What a connection ends with whose server says this after all windows have come, and what was released before.
#[track_caller]
fn check_fault(said: Vec<u8>, released: usize, words: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let outcome = runtime.block_on(talk(1 << 10, |mut stream| async move {
        take_all(&mut stream).await;
        stream.write_all(&said).await.expect("it reads");
        // It does not end the connection: the sink does.
        let _ = stream.read(&mut [0]).await;
    }));
    let End::Failed(error) = &outcome.end else { panic!("{outcome:?}") };
    assert!(matches!(error, SinkError::Unreadable { .. }) && error.words().contains(words), "{}", error.words());
    assert_eq!((outcome.released.len(), outcome.unreleased.len()), (released, 6 - released));
}

#[test]
fn answers_that_cannot_be_believed_end_the_connection() {
    check_fault(ack(4), 0, "acks events that were not sent");
    check_fault([ack(3), ack(3)].concat(), 3, "acks events that were not sent");
    check_fault([ack(2), ack(1)].concat(), 2, "fewer events");
    check_fault([ack(1), b"1A\0\0\0\x03".to_vec()].concat(), 1, "not version 2");
    check_fault(b"HTTP/1.1 400 Bad Request\r\n".to_vec(), 0, "not version 2");
    check_fault(b"2W\0\0\0\x01".to_vec(), 0, "no ack");
}

/// A server that says every half minute that it is working, for so many seconds, and then acks everything.
async fn working(seconds: u64) -> Outcome {
    talk(1 << 10, |mut stream| async move {
        take_all(&mut stream).await;
        for _ in 0..seconds / 30 {
            sleep(Duration::from_secs(30)).await;
            if stream.write_all(&ack(0)).await.is_err() {
                return;
            }
        }
        let _ = stream.write_all(&[ack(3), ack(2), ack(1)].concat()).await;
        let _ = stream.read(&mut [0]).await;
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_working_for_minutes_is_waited_for() {
    let outcome = working(270).await;
    assert!(matches!(outcome.end, End::Parted) && outcome.stalled, "{outcome:?}");
    assert_eq!(outcome.released.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_working_for_ever_is_not() {
    let start = crate::sink::now();
    let outcome = working(3_600).await;
    let End::Failed(SinkError::Late { after, .. }) = outcome.end else { panic!("{outcome:?}") };
    assert_eq!(after, Duration::from_secs(300));
    assert!(outcome.stalled && outcome.unreleased.len() == 6 && outcome.begun == 6);
    assert!(crate::sink::now() - start >= after);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_late() {
    let start = crate::sink::now();
    let outcome = talk(1 << 10, |mut stream| async move {
        take_all(&mut stream).await;
        let _ = stream.read(&mut [0]).await;
    });
    let outcome = outcome.await;
    let End::Failed(SinkError::Late { after, .. }) = outcome.end else { panic!("{outcome:?}") };
    assert_eq!((after, crate::sink::now() - start), (Duration::from_secs(60), Duration::from_secs(60)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_nothing_is_late() {
    let outcome = talk(10, |stream| async move {
        sleep(Duration::from_secs(3_600)).await;
        drop(stream);
    });
    let outcome = outcome.await;
    assert!(matches!(outcome.end, End::Failed(SinkError::Late { .. })), "{outcome:?}");
    assert_eq!(outcome.begun, 3, "of the second window nothing was written");
}

/// A server over a socket.
struct Scripted {
    listener: TcpListener,
    /// Every event that came whole, in order.
    events: Vec<String>,
}

impl Scripted {
    async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port"), events: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    async fn accept(&self) -> TcpStream {
        timeout(MOMENT, self.listener.accept()).await.expect("a connection in time").expect("a connection").0
    }

    /// Takes a window that is not compressed, and gives its number of events; 0 at the end.
    async fn take(&mut self, stream: &mut TcpStream) -> u32 {
        timeout(MOMENT, self.try_take(stream)).await.expect("a window in time").unwrap_or(0)
    }

    async fn try_take(&mut self, stream: &mut TcpStream) -> std::io::Result<u32> {
        assert_eq!(stream.read_u16().await?, u16::from_be_bytes(*b"2W"));
        let events = stream.read_u32().await?;
        for number in 1..=events {
            assert_eq!(stream.read_u16().await?, u16::from_be_bytes(*b"2J"));
            assert_eq!(stream.read_u32().await?, number, "each window is numbered from 1");
            let mut event = vec![0; stream.read_u32().await? as usize];
            stream.read_exact(&mut event).await?;
            self.events.push(String::from_utf8(event).expect("text"));
        }
        Ok(events)
    }

    /// Acks every window until the sink parts.
    async fn serve(&mut self, mut stream: TcpStream) {
        loop {
            match self.take(&mut stream).await {
                0 => return,
                events => stream.write_all(&ack(events)).await.expect("it reads"),
            }
        }
    }
}

#[tokio::test]
async fn everything_arrives_in_order_and_parts_in_order() {
    let mut server = Scripted::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan(&[server.address()])));
    let stream = server.accept().await;
    relay.send(0..1_000).await;
    relay.drain();
    server.serve(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(server.events.join("\n") + "\n", relay.text(0..1_000));
    let counts = relay.states[0].counts();
    assert_eq!((counts.events_delivered, counts.events_retried, counts.failures, counts.connections), (1_000, 0, 0, 1));
    assert_eq!(counts.bytes_written, relay.text(0..1_000).len() as u64);
    assert_eq!(relay.states[0].condition(), Condition::Ended);
    relay.reconciles(0);
}

#[tokio::test]
async fn what_was_not_acked_goes_out_again_before_anything_else() {
    let mut server = Scripted::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan(&[server.address()])));
    relay.send(0..100).await;
    let mut stream = server.accept().await;
    for _ in 0..3 {
        assert_eq!(server.take(&mut stream).await, 10);
    }
    stream.write_all(&[ack(10), ack(4)].concat()).await.expect("it reads");
    relay.until(|relay| relay.buffer.stat().cursors[0].events == 90).await;
    drop(stream);
    let stream = server.accept().await;
    relay.drain();
    server.serve(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    let before = relay.text(0..30);
    let came: Vec<&str> = server.events.iter().map(String::as_str).collect();
    let again = came[30..].join("\n") + "\n";
    assert_eq!(came[..30].join("\n") + "\n", before);
    assert_eq!(again, relay.text(14..100), "only what was not acked, in order");
    let counts = relay.states[0].counts();
    // A fourth window may have gone out when the first was acked.
    assert!([16, 26].contains(&counts.events_retried), "{counts:?}");
    assert_eq!((counts.events_delivered, counts.failures), (100, 1));
    relay.reconciles(0);
}

#[tokio::test]
async fn the_next_host_takes_over_when_one_is_lost() {
    let (mut first, mut second) = (Scripted::new().await, Scripted::new().await);
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan(&[first.address(), second.address()])));
    let mut stream = first.accept().await;
    relay.send(0..10).await;
    assert_eq!(first.take(&mut stream).await, 10);
    drop(stream);
    let stream = second.accept().await;
    relay.drain();
    second.serve(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(second.events, first.events);
    assert_eq!(relay.states[0].counts().events_retried, 10);
}

#[tokio::test]
async fn each_host_has_a_connection_where_load_is_balanced_and_a_dead_one_holds_nobody_back() {
    let (mut first, mut second, dead) = (Scripted::new().await, Scripted::new().await, Scripted::new().await);
    let absent = dead.address();
    drop(dead);
    let plan = LumberjackPlan { load_balance: true, ..plan(&[first.address(), absent, second.address()]) };
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan));
    let (one, two) = (first.accept().await, second.accept().await);
    relay.until(|relay| relay.states[0].counts().failures > 0).await;
    relay.send(0..1_000).await;
    relay.drain();
    tokio::join!(first.serve(one), second.serve(two));
    relay.ends(sink).await.expect("all is delivered");
    assert!(first.events.len() >= 100 && second.events.len() >= 100, "{} and {}", first.events.len(), second.events.len());
    let came: BTreeSet<&String> = first.events.iter().chain(&second.events).collect();
    assert_eq!((came.len(), first.events.len() + second.events.len()), (1_000, 1_000));
    assert_eq!(relay.states[0].counts().events_retried, 0);
    relay.reconciles(0);
}

#[tokio::test]
async fn a_lost_one_of_several_hosts_has_its_windows_sent_by_the_others() {
    let (mut first, mut second) = (Scripted::new().await, Scripted::new().await);
    let plan = LumberjackPlan { load_balance: true, ..plan(&[first.address(), second.address()]) };
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan));
    let (mut one, two) = (first.accept().await, second.accept().await);
    relay.until(|relay| relay.states[0].counts().connections == 2).await;
    relay.send(0..500).await;
    let losing = async {
        first.take(&mut one).await;
        drop(one);
        // Nobody is there any more.
        drop(first.listener);
    };
    relay.drain();
    tokio::join!(losing, second.serve(two));
    relay.ends(sink).await.expect("all is delivered");
    let came: BTreeSet<&String> = second.events.iter().collect();
    assert_eq!((came.len(), second.events.len()), (500, 500));
    assert_eq!(relay.states[0].condition(), Condition::Ended);
    relay.reconciles(0);
}

#[tokio::test]
async fn an_idle_connection_may_end_and_another_one_is_made_when_there_is_something_to_send() {
    let mut server = Scripted::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan(&[server.address()])));
    let mut stream = server.accept().await;
    relay.send(0..10).await;
    assert_eq!(server.take(&mut stream).await, 10);
    stream.write_all(&ack(10)).await.expect("it reads");
    relay.until(|relay| relay.states[0].counts().events_delivered == 10).await;
    drop(stream);
    let early = timeout(Duration::from_millis(1_500), server.listener.accept()).await;
    assert!(early.is_err(), "nothing is to be sent");
    relay.send(10..20).await;
    let stream = server.accept().await;
    relay.drain();
    server.serve(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(server.events.join("\n") + "\n", relay.text(0..20));
    assert_eq!((relay.states[0].counts().failures, relay.states[0].counts().events_retried), (0, 0));
}

#[tokio::test]
async fn what_is_not_acked_keeps_no_more_in_memory_than_its_part() {
    let mut server = Scripted::new().await;
    let mut relay = Relay::new(1);
    relay.padding = ",\"padding\":\"".to_owned() + &"x".repeat(1_000) + "\"";
    let plan = LumberjackPlan { held_bytes: 40_000, window_bytes: 12_000, pipeline: 64, ..plan(&[server.address()]) };
    let sink = relay.start_plan(SinkKind::Lumberjack(plan));
    let mut stream = server.accept().await;
    relay.send(0..1_000).await;
    let mut windows = 0;
    while timeout(Duration::from_millis(500), server.try_take(&mut stream)).await.is_ok() {
        windows += 1;
    }
    assert!((3..=6).contains(&windows), "{windows} windows of 10 kB");
    for _ in 0..windows {
        stream.write_all(&ack(10)).await.expect("it reads");
    }
    relay.drain();
    server.serve(stream).await;
    relay.ends(sink).await.expect("all is delivered");
    assert_eq!(server.events.join("\n") + "\n", relay.text(0..1_000));
}

#[tokio::test]
async fn a_dead_host_beside_one_that_rests_is_no_failure_of_the_whole() {
    let (mut first, dead) = (Scripted::new().await, Scripted::new().await);
    let absent = dead.address();
    drop(dead);
    let plan = LumberjackPlan { load_balance: true, ..plan(&[first.address(), absent]) };
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan));
    let mut one = first.accept().await;
    relay.send(0..10).await;
    assert_eq!(first.take(&mut one).await, 10);
    one.write_all(&ack(10)).await.expect("it reads");
    relay.until(|relay| relay.states[0].counts().events_delivered == 10).await;
    drop(one);
    let failures = relay.states[0].counts().failures;
    relay.until(|relay| relay.states[0].counts().failures >= failures + 2).await;
    assert_eq!(relay.states[0].condition(), Condition::Delivering);
    relay.drain();
    relay.ends(sink).await.expect("nothing is left");
}

#[tokio::test]
async fn a_server_that_ends_every_connection_at_once_is_a_failure() {
    let server = Scripted::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan(&[server.address()])));
    for _ in 0..2 {
        drop(server.accept().await);
    }
    relay.until(|relay| relay.states[0].counts().failures >= 1).await;
    assert!(relay.states[0].last_error().expect("an error").text.contains("closed the connection"));
    relay.drain();
    relay.ends(sink).await.expect("nothing is left");
}

#[tokio::test]
async fn the_hard_limit_leaves_what_is_not_acked_in_the_buffer() {
    let mut server = Scripted::new().await;
    let mut relay = Relay::new(1);
    let sink = relay.start_plan(SinkKind::Lumberjack(plan(&[server.address()])));
    let mut stream = server.accept().await;
    relay.send(0..20).await;
    assert_eq!(server.take(&mut stream).await, 10);
    stream.write_all(&ack(10)).await.expect("it reads");
    relay.until(|relay| relay.states[0].counts().events_delivered == 10).await;
    relay.drain();
    relay.stop.advance(Phase::Stop);
    relay.ends(sink).await.expect("it stops");
    relay.reconciles(10);
}

#[tokio::test]
async fn compressed_windows_arrive_in_a_server_that_acks_what_it_has() {
    let server = Scripted::new().await;
    let mut relay = Relay::new(1);
    relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(300));
    let plan = LumberjackPlan { compression: 3, window_events: 2_048, window_bytes: 64 << 10, ..plan(&[server.address()]) };
    let sink = relay.start_plan(SinkKind::Lumberjack(plan));
    let mut stream = server.accept().await;
    let serving = async {
        let limits = Limits { window_events_max: 2_048, event_bytes_max: Some(1 << 20), inflated_bytes_max: 1 << 20 };
        let (mut server, mut lines, mut bytes) = (Server::new(limits), Vec::new(), Vec::new());
        while stream.read_buf(&mut bytes).await.expect("no reset") > 0 {
            let step = server.step(&bytes, &mut lines, usize::MAX - 1).expect("good windows");
            bytes.drain(..step.consumed);
            server.handle_committed(server.events());
            let acks: Vec<u8> = std::iter::from_fn(|| {
                let ack = server.poll_transmit().to_vec();
                server.handle_transmitted(ack.len());
                (!ack.is_empty()).then_some(ack)
            })
            .flatten()
            .collect();
            stream.write_all(&acks).await.expect("it reads");
        }
        (lines, server.windows())
    };
    let sending = async {
        relay.send(0..5_000).await;
        relay.drain();
    };
    let ((), (lines, windows)) = tokio::join!(sending, serving);
    relay.ends(sink).await.expect("all is delivered");
    assert!(lines == relay.text(0..5_000).into_bytes(), "{} bytes", lines.len());
    assert!(windows >= 24, "{windows} windows, each of at most 64 KiB");
    relay.reconciles(0);
}
