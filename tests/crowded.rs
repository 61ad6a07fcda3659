//! Senders that stop in the middle of long lines must not stop the others.

use std::io::ErrorKind;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use elbow::buffer::BufferPlan;
use elbow::buffer::MemoryPlan;
use elbow::elb::Schema;
use elbow::event_id::IdKey;
use elbow::net::handed::Handed;
use elbow::pipeline::plan::Format;
use elbow::pipeline::plan::ParsePlan;
use elbow::pipeline::relay::Relay;
use elbow::pipeline::relay::RelayPlan;
use elbow::pipeline::relay::SourceKind;
use elbow::pipeline::relay::SourcePlan;
use elbow::sink::FilePlan;
use elbow::sink::SinkKind;
use elbow::sink::SinkPlan;
use elbow::sink::WhenFull;
use elbow::source::door::DoorPlan;
use elbow::source::tcp::Confirm;
use elbow::source::tcp::TcpSourcePlan;
use elbow::tenant::plan::TenantsPlan;

const LINE_BYTES_MAX: usize = 1 << 20;

fn plan(file: &Path) -> RelayPlan {
    let idle_timeout = Duration::from_secs(3_600);
    let door = DoorPlan {
        name: "in".to_owned(),
        address: "127.0.0.1:0".to_owned(),
        connections_max: 100,
        idle_timeout,
        shares_port: false,
        proxy: None,
        tls: None,
    };
    let kind = SourceKind::Tcp(TcpSourcePlan { confirm: Confirm::None, idle_timeout });
    let parse = ParsePlan { line_bytes_max: LINE_BYTES_MAX, ..ParsePlan::plain(Format::Auto, Schema::Aws) };
    let file = FilePlan { path: file.to_owned(), rotate_bytes: 1 << 30, rotate_interval: None, keep: 1 };
    RelayPlan {
        memory_bytes_max: 16 << 20,
        buffer: BufferPlan::Memory(MemoryPlan { bytes_max: 8 << 20 }),
        dead_letters: None,
        admin: None,
        health: None,
        sources: vec![SourcePlan { door, kind, parse }],
        sinks: vec![SinkPlan {
            name: "out".to_owned(),
            kind: SinkKind::File(file),
            fallback: None,
            when: None,
            when_full: WhenFull::Block,
        }],
        lookups: Vec::new(),
        tenants: TenantsPlan::default(),
        id_key: IdKey::PUBLISHED,
    }
}

/// Connections that have sent all of a line that the relay would take, but its newline.
fn half_lines(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let line = vec![b'x'; LINE_BYTES_MAX - 1];
    let mut all: Vec<_> = (0..count).map(|_| (TcpStream::connect(address).expect("a listener"), 0)).collect();
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        for (stream, sent) in &mut all {
            stream.set_nonblocking(true).expect("an option");
            match stream.write(&line[*sent..]) {
                Ok(bytes) => *sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The relay has given this one up.
                Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}"),
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    all.into_iter().map(|(stream, _)| stream).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_lines_that_fill_the_memory_do_not_stop_other_senders() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("out.json");
    let relay = Relay::start(plan(&file), Handed::default()).await.expect("free ports");
    let address = relay.sources[0].1;
    let half = tokio::task::spawn_blocking(move || half_lines(address, 40)).await.expect("no panic");
    let mut other = TcpStream::connect(address).expect("a listener");
    other.write_all(b"an ordinary line\n").expect("a connection");
    let end = Instant::now() + Duration::from_secs(30);
    while std::fs::read_to_string(&file).unwrap_or_default().is_empty() {
        assert!(Instant::now() < end, "an ordinary line waits behind unfinished ones:\n{}", relay.overview().metrics());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = relay.overview().metrics();
    let given_up = metrics.lines().find(|line| line.contains("connections_ended_total{reason=\"memory\""));
    assert!(given_up.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    drop((half, other));
    let ended = relay.run_until(std::future::ready(()), std::future::pending()).await;
    assert!(ended.is_complete() && ended.failure.is_none(), "{ended:?}");
}
