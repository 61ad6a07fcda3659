//! Connections whose buffer or sender misbehaves in ways that are hard to bring about from outside.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use socket2::Domain;
use socket2::Socket;
use socket2::Type;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::SourceId;
use crate::buffer::Buffer;
use crate::buffer::Cursor;
use crate::buffer::MemoryPlan;
use crate::intake::Intake;
use crate::intake::IntakePermit;
use crate::metrics::Metrics;
use crate::source::Passed;
use crate::source::door::Door;
use crate::source::door::DoorPlan;
use crate::stop::Phase;
use crate::stop::StopHandle;
use crate::stop::stop;
use crate::tenant::Tenants;
use crate::waiting::WaitingEvents;

const MOMENT: Duration = Duration::from_secs(20);

/// The smallest buffers the kernel gives, so that little fills them.
const SMALL_BYTES: usize = 2048;

/// Makes one document of each newline, and counts them.
struct Newlines(Arc<AtomicU64>);

impl Feed for Newlines {
    fn admission_bytes(&self, read_bytes: usize) -> u64 {
        read_bytes as u64
    }

    fn feed(&mut self, read: &[u8], _: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed {
        let lines = read.iter().filter(|byte| **byte == b'\n').count();
        let marks = (1..=lines as u32).map(|line| Mark { end: line * 3, id: EventId([0; 16]), time: 0, origin: None }).collect();
        out.push(Batch {
            docs: Bytes::from("{}\n".repeat(lines)),
            marks,
            source: SourceId(0),
            received: 0,
            is_rejects: false,
            tenant: None,
            sink: None,
        });
        self.0.fetch_add(lines as u64, Ordering::Relaxed);
        Passed { lines: lines as u64, accepted: lines as u64, ..Passed::default() }
    }

    fn finish(&mut self, _: bool, _: &mut IntakePermit, _: &mut Vec<Batch>) -> Passed {
        Passed::default()
    }

    fn held_bytes(&self) -> usize {
        0
    }
}

/// A source that runs, and what can be seen of it.
struct Running {
    address: std::net::SocketAddr,
    buffer: Buffer,
    /// Newlines read.
    lines: Arc<AtomicU64>,
    metrics: Metrics,
    stop: StopHandle,
    task: JoinHandle<()>,
    _cursors: Vec<Cursor>,
}

fn running(confirm: Confirm) -> Running {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.set_linger(Some(Duration::ZERO)).expect("an option");
    listener.set_send_buffer_size(SMALL_BYTES).expect("an option");
    listener.set_nonblocking(true).expect("an option");
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    listener.listen(8).expect("it is bound");
    let listener = TcpListener::from_std(listener.into()).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let idle_timeout = Duration::from_secs(2);
    let door = DoorPlan {
        name: "in".to_owned(),
        address: address.to_string(),
        connections_max: 8,
        idle_timeout,
        shares_port: false,
        proxy: None,
        tls: None,
    };
    let (buffer, cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 30 }, 1);
    let (metrics, lines, (stop, watch)) = (Metrics::new(), Arc::new(AtomicU64::new(0)), stop());
    let counted = lines.clone();
    let metrics_in = metrics.source("in", &[]);
    let means = Means {
        intake: Intake::new(1 << 30),
        unfinished: Intake::new(1 << 30),
        buffer: buffer.clone(),
        waiting: WaitingEvents::default(),
        metrics: metrics_in.clone(),
        make_feed: move |_: &Opening<'_>| Newlines(counted.clone()),
    };
    let tenants = Tenants::none(means.intake.clone(), means.unfinished.clone());
    let source = TcpSource { plan: TcpSourcePlan { confirm, idle_timeout }, means };
    let task = tokio::spawn(Door::new(door, metrics_in, None, tenants).run(listener, source, watch));
    Running { address, buffer, lines, metrics, stop, task, _cursors: cursors }
}

impl Running {
    async fn sender(&self) -> TcpStream {
        let sender = TcpSocket::new_v4().expect("a socket");
        sender.set_recv_buffer_size(SMALL_BYTES as u32).expect("an option");
        let sender = sender.connect(self.address).await.expect("it listens");
        sender.set_nodelay(true).expect("an option");
        sender
    }

    async fn has_read(&self, lines: u64) {
        let reading = async {
            while self.lines.load(Ordering::Relaxed) < lines {
                tokio::task::yield_now().await;
            }
        };
        timeout(MOMENT, reading).await.expect("it reads");
    }

    /// Ends the source and gives the ends it counted for this reason.
    async fn ended(self, end: ConnectionEnd) -> String {
        self.stop.advance(Phase::Drain);
        timeout(MOMENT, self.task).await.expect("it ends").expect("no panic");
        let text = self.metrics.render(&crate::metrics::Figures::default());
        let series = format!("elbow_source_connections_ended_total{{reason=\"{}\",source=\"in\"}} ", end.label());
        text.lines().find_map(|line| line.strip_prefix(&series)).expect("a series").to_owned()
    }
}

/// What the sender reads until the end, and how that is.
async fn read_to_end(sender: &mut TcpStream) -> Result<String, ErrorKind> {
    let mut text = Vec::new();
    let read = timeout(MOMENT, sender.read_to_end(&mut text)).await.expect("an end");
    read.map(|_| String::from_utf8(text).expect("text")).map_err(|error| error.kind())
}

#[tokio::test]
async fn what_the_buffer_does_not_take_is_not_confirmed() {
    for confirm in [Confirm::Close, Confirm::Line] {
        let source = running(confirm);
        let mut sender = source.sender().await;
        source.buffer.close();
        sender.write_all(b"one\n").await.expect("a connection");
        assert_eq!(read_to_end(&mut sender).await, Err(ErrorKind::ConnectionReset));
        assert_eq!(source.ended(ConnectionEnd::NotStored).await, "1");
    }
    let source = running(Confirm::None);
    let mut sender = source.sender().await;
    source.buffer.close();
    sender.write_all(b"one\n").await.expect("a connection");
    sender.shutdown().await.expect("a connection");
    assert_eq!(read_to_end(&mut sender).await, Ok(String::new()), "an end says nothing here");
    assert_eq!(source.ended(ConnectionEnd::Closed).await, "1");
}

#[tokio::test]
async fn a_sender_that_takes_no_confirmation_is_read_to_its_end_and_not_waited_for_without_end() {
    let source = running(Confirm::Line);
    let mut sender = source.sender().await;
    // Each line is a read and a confirmation of its own; these are far more than the two queues hold.
    for line in 1..=3_000 {
        sender.write_all(b"\n").await.expect("it reads on");
        source.has_read(line).await;
    }
    sender.shutdown().await.expect("a connection");
    let gone = async {
        while source.metrics.render(&crate::metrics::Figures::default()).contains("connections_open{source=\"in\"} 1") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(MOMENT, gone).await.expect("it is given up");
    assert_eq!(read_to_end(&mut sender).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(source.buffer.stat().events_appended, 3_000);
    assert_eq!(source.ended(ConnectionEnd::Idle).await, "1");
}

#[tokio::test]
async fn a_sender_that_reads_late_gets_the_last_number_and_a_clean_end() {
    let source = running(Confirm::Line);
    let mut sender = source.sender().await;
    for line in 1..=3_000 {
        sender.write_all(b"\n").await.expect("it reads on");
        source.has_read(line).await;
    }
    sender.shutdown().await.expect("a connection");
    let text = read_to_end(&mut sender).await.expect("a clean end");
    assert!(text.ends_with("{\"acked\":3000}\n"), "{text}");
    assert!(text.lines().count() < 3_000, "what was not taken was not kept");
    assert_eq!(source.ended(ConnectionEnd::Closed).await, "1");
}
