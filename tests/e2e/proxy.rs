//! Senders behind a proxy: whose they are said to be, by whom that is believed, and what is refused.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::lines::alb;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::sender::Sender;
use crate::support::sender::send;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header as a Network Load Balancer writes it: checksum, VPC endpoint, padding.
pub(crate) fn of_load_balancer(sender: [u8; 4], endpoint: &str) -> Vec<u8> {
    let named = [b"\x01", endpoint.as_bytes()].concat();
    let additions = [addition(0x03, &[0; 4]), addition(0xEA, &named), addition(0x04, &[0; 36])].concat();
    let mut header = v2(0x21, 0x11, &[&sender[..], &[198, 51, 100, 2, 0xC0, 0, 0x13, 0x88], &additions].concat());
    let sum = crc32c::crc32c(&header);
    let at = 16 + 12 + 3;
    header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    header
}

fn v2(command: u8, protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it fits");
    [V2, &[command, protocol], &length.to_be_bytes(), body].concat()
}

fn addition(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("it fits");
    [&[kind][..], &length.to_be_bytes(), value].concat()
}

/// A relay whose source expects headers of these versions from this machine and shows in documents whose they are.
fn behind(versions: &str) -> Setup {
    Relay::to_stdout().source(&format!("proxy_protocol = \"{versions}\"\nproxy_from = [\"127.0.0.0/8\"]\nsender_fields = true"))
}

/// Refusals counted for a reason.
fn refused(relay: &Relay, reason: &str) -> u64 {
    relay.metrics().sum_where("source_proxy_refusals_total", &format!("reason=\"{reason}\""))
}

/// Says this in pieces and has the connection reset, then or meanwhile.
#[track_caller]
fn is_reset(mut sender: Sender, bytes: &[u8], piece_bytes: usize) {
    for piece in bytes.chunks(piece_bytes) {
        if sender.try_send(piece).is_err() {
            // The error has been told, and is not told again.
            return;
        }
        if piece_bytes < bytes.len() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    sender.ends().expect_err("it is reset");
}

/// Says this, ends where `ends`, and sees the connection reset, counted and without an event; another sender goes on.
#[track_caller]
fn check_refused(relay: &Relay, other: &mut Sender, bytes: &[u8], ends: bool, reason: &str) {
    let (before, documents) = (refused(relay, reason), relay.documents().len());
    let mut sender = relay.sender();
    if ends {
        sender.send(bytes);
        sender.half_close();
        sender.ends().expect_err("it is reset");
    } else {
        is_reset(sender, bytes, bytes.len());
    }
    relay.until(|_| refused(relay, reason) == before + 1);
    other.send("{\"other\":true}\n");
    let all = relay.writes(documents + 1);
    assert_eq!(all.len(), documents + 1, "{all:#?}");
    assert_eq!(all[documents]["other"], true);
    assert_eq!(all[documents]["sender_ip"], "203.0.113.9");
}

#[test]
fn a_connection_without_a_good_header_is_closed_and_nobody_else_notices() {
    let relay = behind("v2").start();
    let mut other = relay.sender();
    other.send(of_load_balancer([203, 0, 113, 9], "vpce-0a"));
    let good = of_load_balancer([192, 0, 2, 1], "vpce-08d2bf15fac5001c9");
    let line = b"{\"forged\":true}\n".as_slice();
    let with_line = |header: &[u8]| [header, line].concat();
    let mut damaged = good.clone();
    damaged[20] ^= 1;
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000\r\n";
    for (bytes, ends, reason) in [
        (line.to_vec(), false, "missing"),
        (alb(1).into_bytes(), false, "missing"),
        (vec![0xFF; 5000], false, "missing"),
        (with_line(v1), false, "version"),
        (with_line(&v2(0x31, 0x11, &[0; 12])), false, "version"),
        (with_line(&v2(0x21, 0x11, &[0; 11])), false, "malformed"),
        (with_line(&v2(0x21, 0x11, &[0; 13])), false, "malformed"),
        (with_line(&of_load_balancer([192, 0, 2, 1], "vpce \u{1b}[31m")), false, "malformed"),
        (with_line(&damaged), false, "checksum"),
        (with_line(&v2(0x21, 0x11, &[0; 4097])), false, "too_long"),
        (good[..40].to_vec(), true, "truncated"),
        (V2.to_vec(), true, "truncated"),
    ] {
        check_refused(&relay, &mut other, &bytes, ends, reason);
    }
    let metrics = relay.metrics();
    assert_eq!(metrics.sum("source_proxy_refusals_total"), 12);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"proxy_header\""), 12);
    assert_eq!(metrics.sum("source_connections_open"), 1);
    relay.says("a connection is closed for its PROXY header");
    assert!(!relay.log_text().contains('\u{1b}'));
    other.finish();
    relay.stop().cleanly();
}

#[test]
fn a_header_is_believed_from_trusted_peers_only() {
    let relay = Relay::to_stdout().source("proxy_protocol = \"any\"\nproxy_from = [\"192.0.2.0/24\", \"::1\"]").start();
    let header = of_load_balancer([192, 0, 2, 1], "vpce-1");
    for bytes in [header.as_slice(), b"{\"forged\":true}\n", b""] {
        // It is reset so soon that even connecting may fail.
        let said = TcpStream::connect(relay.lines).and_then(|mut stream| {
            stream.write_all(bytes)?;
            stream.read(&mut [0])
        });
        assert!(said.is_err(), "{said:?}");
    }
    relay.until(|_| refused(&relay, "untrusted") == 3);
    assert_eq!(relay.stop().cleanly().documents.len(), 0);
}

#[test]
fn a_header_nobody_expects_is_no_event() {
    let relay = Relay::to_stdout().start();
    let headers = [of_load_balancer([192, 0, 2, 1], "vpce-1"), b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000\r\n".to_vec()];
    for header in headers {
        for piece_bytes in [1, 5, 500] {
            is_reset(relay.sender(), &header, piece_bytes);
        }
    }
    relay.until(|_| refused(&relay, "unexpected") == 6);
    send(relay.lines, "PROX\n");
    send(relay.lines, "PROXY_PASS is a word\n");
    send(relay.lines, "\r\n\r\nbehind blank lines\n");
    send(relay.lines, "P");
    let said: Vec<Value> = relay.writes(4).into_iter().map(|document| document["message"].clone()).collect();
    assert_eq!(said, ["PROX", "PROXY_PASS is a word", "behind blank lines", "P"]);
    assert_eq!(relay.stop().cleanly().documents.len(), 4);
}

#[test]
fn documents_say_whose_they_are_however_the_header_comes() {
    let relay = behind("any").start();
    let header = of_load_balancer([192, 0, 2, 1], "vpce-08d2bf15fac5001c9");
    let mut late = relay.sender();
    // Byte by byte, the line in one piece with the header's last byte.
    let mut sender = relay.sender();
    let (last, first) = header.split_last().expect("it is long");
    for byte in first {
        sender.send([*byte]);
        thread::sleep(Duration::from_millis(1));
    }
    sender.send([&[*last][..], alb(1).as_bytes()].concat());
    sender.finish();
    let documents = relay.writes(1);
    assert_eq!((&documents[0]["sender_ip"], &documents[0]["type"]), (&"192.0.2.1".into(), &"https".into()), "{documents:#?}");
    assert_eq!(documents[0]["vpc_endpoint_id"], "vpce-08d2bf15fac5001c9");
    // A sender cannot say that it is somebody else.
    let lie = "{\"@elbow\":{\"fields\":{\"sender_ip\":\"8.8.8.8\",\"vpc_endpoint_id\":\"vpce-00\",\"team\":\"a\"}}}\ntext\n";
    late.send([&header, lie.as_bytes()].concat());
    late.finish();
    let documents = relay.writes(2);
    assert_eq!((&documents[1]["sender_ip"], &documents[1]["team"]), (&"192.0.2.1".into(), &"a".into()), "{documents:#?}");
    assert_eq!(documents[1]["vpc_endpoint_id"], "vpce-08d2bf15fac5001c9");
    // Version 1 over IPv6.
    send(relay.lines, "PROXY TCP6 2001:db8::1 2001:db8::2 49152 5000\r\n{\"a\":1}\n");
    let documents = relay.writes(3);
    assert_eq!((&documents[2]["sender_ip"], &documents[2]["a"]), (&"2001:db8::1".into(), &1.into()));
    assert_eq!(documents[2]["vpc_endpoint_id"], Value::Null);
    assert_eq!(relay.stop().cleanly().documents.len(), 3);
}

#[test]
fn a_proxy_that_speaks_for_itself_is_served_as_itself() {
    let relay = behind("any").start();
    let believed_nothing = addition(0xEA, b"\x01vpce-1");
    let local = [v2(0x20, 0x00, &[]), v2(0x20, 0x11, &[192, 0, 2, 1, 0, 0, 0, 0, 0, 1, 0, 1]), v2(0x20, 0x00, &believed_nothing)];
    let unknown = [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x21, 0x00, &[]), v2(0x21, 0x31, &[b'/'; 216])];
    let headers: Vec<Vec<u8>> = local.into_iter().chain(unknown).collect();
    for header in &headers {
        send(relay.lines, [header, b"{\"a\":1}\n".as_slice()].concat());
    }
    for document in relay.writes(headers.len()) {
        assert_eq!((&document["sender_ip"], &document["vpc_endpoint_id"]), (&"127.0.0.1".into(), &Value::Null));
    }
    // Health checks over TCP, with a header and without a byte.
    send(relay.lines, &headers[0]);
    send(relay.lines, "");
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum("source_proxy_refusals_total"), 0);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"closed\""), headers.len() as u64 + 2);
    relay.stop().cleanly();
}

#[test]
fn a_header_may_be_as_late_as_a_sender_may_be_silent() {
    let relay = behind("v2").source("idle_timeout = \"2s\"").start();
    let (mut silent, mut half, mut late) = (relay.sender(), relay.sender(), relay.sender());
    half.send(V2);
    thread::sleep(Duration::from_millis(1200));
    late.send(of_load_balancer([192, 0, 2, 1], "vpce-1"));
    thread::sleep(Duration::from_millis(1200));
    late.send("{\"late\":true}\n");
    late.finish();
    assert_eq!(relay.writes(1)[0]["late"], true);
    silent.ends().expect_err("it is reset");
    half.ends().expect_err("it is reset");
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"idle\""), 1);
    assert_eq!(metrics.sum("source_proxy_refusals_total"), 1);
    assert_eq!(refused(&relay, "truncated"), 1);
    // At a stop, whoever has not said a word is not waited for.
    let _silent = relay.sender();
    relay.until(|metrics| metrics.sum("source_connections_open") == 1);
    relay.stop().cleanly().within(Duration::from_secs(5));
}

#[test]
fn every_schema_says_whose_a_document_is() {
    for (schema, ip, endpoint) in [
        ("aws", "sender_ip", "vpc_endpoint_id"),
        ("classic", "sender_ip", "vpc_endpoint_id"),
        ("ecs", "log.source.address", "aws.vpc_endpoint.id"),
    ] {
        let relay = behind("v2").source(&format!("schema = \"{schema}\"")).start();
        let header = of_load_balancer([192, 0, 2, 1], "vpce-1");
        send(relay.lines, [&header, alb(1).as_bytes(), b"text\n{\"a\":1}\n"].concat());
        for document in relay.writes(3) {
            assert_eq!((&document[ip], &document[endpoint]), (&"192.0.2.1".into(), &"vpce-1".into()), "{schema}: {document:#}");
        }
        relay.stop().cleanly();
    }
}
