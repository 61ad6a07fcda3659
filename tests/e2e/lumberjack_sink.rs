//! Windows to another relay and to servers that do what they are told: everything arrives, in order, and what comes again has the same id.

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use crate::support::PATIENCE;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::lines::id_of;
use crate::support::logstash::Reserved;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::sender::send;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::wait_for;

/// A relay that writes documents to standard output and sends them on.
fn sending_on(address: SocketAddr, settings: &str) -> Setup {
    let sink = format!("[[sink]]\nname = \"central\"\ntype = \"lumberjack\"\nhosts = [\"{address}\"]\n{settings}\n");
    Relay::to_stdout().tables(&sink)
}

/// A relay that takes them.
fn central(address: &str, settings: &str) -> Setup {
    let source = format!("[[source]]\nname = \"beats\"\ntype = \"beats\"\naddress = \"{address}\"\n{settings}\n");
    Relay::to_stdout().tables(&source)
}

fn number(document: &Value) -> u64 {
    id_of(document.to_string().as_bytes()).expect("a number")
}

fn numbers(documents: &[Value]) -> Vec<u64> {
    documents.iter().map(number).collect()
}

/// The id that the first relay has given it: what comes to the second one is JSON as it is, with an id of its own beside.
fn event_id(document: &Value) -> String {
    document["event"]["id"].as_str().expect("an id").to_owned()
}

/// The id of each number; asserts that it is always the same.
#[track_caller]
fn ids(documents: &[Value]) -> BTreeMap<u64, String> {
    let mut ids = BTreeMap::new();
    for document in documents {
        let (number, id) = (number(document), event_id(document));
        let before = ids.insert(number, id.clone());
        assert!(before.as_ref().is_none_or(|before| *before == id), "{number} is {before:?} and {id}");
    }
    ids
}

/// A server.
struct Server {
    listener: TcpListener,
}

impl Server {
    fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    #[track_caller]
    fn accept(&self) -> Connection {
        self.listener.set_nonblocking(true).expect("an option");
        let stream = wait_for(|| self.listener.accept().ok(), || "no connection".to_owned()).0;
        stream.set_nonblocking(false).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        Connection { stream }
    }
}

struct Connection {
    stream: TcpStream,
}

impl Connection {
    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.stream.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn frame(&mut self) -> io::Result<[u8; 2]> {
        let mut bytes = [0; 2];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn try_window(&mut self) -> io::Result<Vec<Value>> {
        assert_eq!(self.frame()?, *b"2W");
        let events = self.number()?;
        let mut documents = Vec::new();
        for number in 1..=events {
            assert_eq!((self.frame()?, self.number()?), (*b"2J", number));
            let mut event = vec![0; self.number()? as usize];
            self.stream.read_exact(&mut event)?;
            documents.push(serde_json::from_slice(&event).expect("an event is JSON"));
        }
        Ok(documents)
    }

    /// The events of the next window.
    #[track_caller]
    fn window(&mut self) -> Vec<Value> {
        self.try_window().expect("a window in time")
    }

    #[track_caller]
    fn ack(&mut self, events: usize) {
        let events = u32::try_from(events).expect("few events");
        self.stream.write_all(&[b"2A".as_slice(), &events.to_be_bytes()].concat()).expect("it reads");
    }

    fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }

    /// Takes and acks windows until the relay ends the connection.
    #[track_caller]
    fn serve(mut self) -> Vec<Value> {
        let mut documents = Vec::new();
        loop {
            match self.try_window() {
                Ok(window) => {
                    self.ack(window.len());
                    documents.extend(window);
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return documents,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn from_relay_to_relay_every_document_arrives_as_it_is_with_its_id() {
    for settings in ["", "compression = \"zlib\"\nwindow_events = 100"] {
        let second = central("127.0.0.1:0", "").start();
        let first = sending_on(second.lines_of("beats"), settings).start();
        send(first.lines, albs(0..3_000));
        let mut arrived = second.writes(3_000);
        first.until(|metrics| metrics.delivered("central") == 3_000 && metrics.buffered("central") == 0);
        let sent = first.stop().cleanly().documents;
        for (arrived, sent) in arrived.iter_mut().zip(&sent) {
            arrived.as_object_mut().expect("an object").remove("event.id");
            assert_eq!(arrived, sent, "{settings}");
        }
        assert_eq!(numbers(&arrived), (0..3_000).collect::<Vec<_>>());
        let metrics = second.metrics();
        let windows = metrics.sum("source_beats_windows_total");
        let least = if settings.is_empty() { 2 } else { 30 };
        assert!(windows >= least, "{windows} windows");
        assert_eq!(second.stop().cleanly().documents.len(), 3_000);
    }
}

#[test]
fn a_relay_that_is_killed_in_the_middle_has_everything_after_it_is_back() {
    let place = Reserved::new();
    let folder = tempfile::tempdir().expect("a folder");
    let address = place.address.to_string();
    let starts = || central(&address, "").in_directory(folder.path()).start();
    let mut second = starts();
    let first = sending_on(place.address, "window_events = 50").start();
    let mut arrived = Vec::new();
    for part in 0..3 {
        send(first.lines, albs(part * 2_000..(part + 1) * 2_000));
        first.until(|metrics| metrics.delivered("central") > part * 2_000);
        second.kill();
        arrived.extend(second.ended().documents);
        second = starts();
    }
    let metrics = first.until(|metrics| metrics.delivered("central") == 6_000);
    let sent = ids(&first.stop().cleanly().documents);
    // What the first has been told of is stored, and comes out at the end.
    arrived.extend(second.stop().cleanly().documents);
    assert_eq!(sent.len(), 6_000);
    assert_eq!(ids(&arrived), sent, "all of it, under the same ids");
    assert!(metrics.sum("sink_connections_total") >= 4, "{metrics}");
}

#[test]
fn over_tls_documents_arrive_and_a_stranger_gets_none() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    files.write("ca.pem", &authority.pem());
    let trusts = |files: &Files| {
        let ca = files.path("ca.pem");
        format!("tls = {{ ca = \"{}\", server_name = \"relay.example\" }}", ca.display())
    };
    let second = central("127.0.0.1:0", &files.settings("")).start();
    let first = sending_on(second.lines_of("beats"), &trusts(&files)).start();
    send(first.lines, albs(0..5_000));
    assert_eq!(numbers(&second.writes(5_000)), (0..5_000).collect::<Vec<_>>());
    first.until(|metrics| metrics.delivered("central") == 5_000);
    first.stop().cleanly();

    let strangers = Files::new(&authority.relay());
    strangers.write("ca.pem", &Authority::new("others").pem());
    let wary = sending_on(second.lines_of("beats"), &trusts(&strangers)).start();
    send(wary.lines, alb(5_000));
    wary.until(|metrics| metrics.sum("sink_failures_total") > 0 && metrics.buffered("central") == 1);
    assert_eq!(second.stop().cleanly().documents.len(), 5_000);
}

#[test]
fn what_was_not_acked_comes_again_in_order_under_the_same_ids() {
    let server = Server::new();
    let relay = sending_on(server.address(), "window_events = 10\npipeline = 2").start();
    let mut connection = server.accept();
    send(relay.lines, albs(0..100));
    let mut came = Vec::new();
    while came.len() < 2 {
        came.push(connection.window());
    }
    // All of the first, a part of the second; then it is gone without a word.
    connection.ack(came[0].len());
    connection.ack(came[1].len() / 2);
    let acked = came[0].len() + came[1].len() / 2;
    // Only whole entries show as delivered, so that nothing tells when the relay has read this.
    thread::sleep(Duration::from_millis(300));
    connection.reset();
    let connection = server.accept();
    let serving = thread::spawn(move || connection.serve());
    let metrics = relay.until(|metrics| metrics.delivered("central") == 100);
    let documents = relay.stop().cleanly().documents;
    let again = serving.join().expect("it serves");
    assert_eq!(numbers(&again), (acked as u64..100).collect::<Vec<_>>(), "only what was not acked, in order");
    let all: Vec<Value> = came.into_iter().flatten().chain(again).collect();
    assert_eq!(ids(&all), ids(&documents));
    assert!(metrics.sum("sink_retried_events_total") as usize >= all.len() - 100, "{metrics}");
}

#[test]
fn a_server_that_makes_no_sense_is_left_and_loses_nothing() {
    let server = Server::new();
    let relay = sending_on(server.address(), "").start();
    send(relay.lines, albs(0..10));
    let nonsense: [&[u8]; 4] = [b"2A\xff\xff\xff\xff", b"1A\0\0\0\x01", b"HTTP/1.1 400 Bad Request\r\n", b"2J\0\0"];
    for (at, answer) in (1..).zip(nonsense) {
        let mut connection = server.accept();
        assert!(!connection.window().is_empty());
        connection.stream.write_all(answer).expect("it reads");
        relay.until(|metrics| metrics.sum("sink_failures_total") == at);
    }
    let (_, ready) = relay.page("/ready");
    assert!(ready.contains("cannot be believed"), "{ready}");
    assert_eq!(relay.metrics().delivered("central"), 0);
    let connection = server.accept();
    let serving = thread::spawn(move || connection.serve());
    relay.until(|metrics| metrics.delivered("central") == 10);
    relay.stop().cleanly();
    assert_eq!(numbers(&serving.join().expect("it serves")), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_server_that_cannot_be_reached_holds_nothing_that_it_is_not_to_have() {
    let place = Reserved::new();
    let relay = sending_on(place.address, "when = [ { format = \"json\" } ]").memory("16MiB").buffer("8MiB").start();
    relay.until(|metrics| metrics.sum("sink_failures_total") > 0);
    // More than the buffer holds.
    send(relay.lines, albs(0..20_000));
    let metrics = relay.until(|metrics| metrics.delivered("out") == 20_000 && metrics.buffered("central") == 0);
    assert_eq!(metrics.sum_where("sink_skipped_events_total", "sink=\"central\""), 20_000);
    relay.stop().cleanly();
}

#[test]
fn a_stop_waits_for_the_acks_of_what_is_under_way() {
    let server = Server::new();
    let relay = sending_on(server.address(), "").start();
    let mut connection = server.accept();
    send(relay.lines, albs(0..10));
    let mut came = 0;
    let mut windows = Vec::new();
    while came < 10 {
        let window = connection.window();
        came += window.len();
        windows.push(window.len());
    }
    relay.terminate();
    thread::sleep(Duration::from_millis(300));
    for events in windows {
        connection.ack(0);
        connection.ack(events);
    }
    let ended = relay.ended().cleanly();
    assert_eq!(ended.entry("sink has ended")["delivered"], 10, "{}", ended.log_text);
    assert_eq!(connection.stream.read(&mut [0]).expect("an end in order"), 0);
    let _ = connection.stream.shutdown(Shutdown::Both);
}
