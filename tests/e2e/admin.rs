//! The admin listener and the one for health checks: what is served to whom, and that nothing asked there changes anything.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::PATIENCE;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::sender::send;

/// An answer: status, head and body; status 0 where the connection ended without one.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Sends these bytes on a connection of their own, and gives what comes until its end.
#[track_caller]
fn ask(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    // It may be closed while it still speaks.
    let _ = stream.write_all(bytes.as_ref());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// A request of one connection.
fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:9600\r\nConnection: close\r\n{more}\r\n")
}

#[track_caller]
fn check(address: SocketAddr, bytes: impl AsRef<[u8]>, status: u16) -> Answer {
    let answer = ask(address, bytes.as_ref());
    assert_eq!(answer.status, status, "{}: {answer:?}", bytes.as_ref().escape_ascii());
    answer
}

#[test]
fn nothing_that_is_asked_of_the_admin_listener_changes_anything() {
    let relay = Relay::to_stdout().start();
    for path in [
        "/../metrics",
        "/metrics/../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/metrics/",
        "//metrics",
        "/METRICS",
        "/metrics%00",
        "/\\..\\..\\etc\\passwd",
        "/shutdown",
        "/reload",
        "/ready/set",
        "/debug/pprof/",
        "/favicon.ico",
        "/index.html",
    ] {
        check(relay.admin, request("GET", path, ""), 404);
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"] {
        for path in ["/", "/health", "/ready", "/metrics", "/shutdown"] {
            let answer = check(relay.admin, request(method, path, "Content-Length: 0\r\n"), 405);
            assert!(answer.head.contains("\r\nallow: get, head"), "{answer:?}");
        }
    }
    // A query is no command.
    for path in ["/ready?ready=false", "/health?stop=1", "/metrics?reset=true", "/?quit"] {
        check(relay.admin, request("GET", path, ""), 200);
    }
    let override_method = "X-HTTP-Method-Override: DELETE\r\n";
    assert_eq!(check(relay.admin, request("GET", "/health", override_method), 200).body, "ok\n");
    assert_eq!(check(relay.admin, request("HEAD", "/ready", ""), 200).body, "");
    send(relay.lines, "still there\n");
    relay.writes(1);
    assert_eq!(relay.page("/ready").0, 200);
    relay.stop().cleanly();
}

#[test]
fn pages_of_other_sites_get_nothing_from_the_admin_listener() {
    let relay = Relay::to_stdout().start();
    for path in ["/", "/health", "/ready", "/metrics"] {
        for origin in ["https://evil.example", "http://127.0.0.1:9601", "null"] {
            check(relay.admin, request("GET", path, &format!("Origin: {origin}\r\n")), 403);
        }
        let answer = check(relay.admin, request("GET", path, "Origin: http://127.0.0.1:9600\r\n"), 200);
        assert!(!answer.head.contains("access-control"), "{answer:?}");
    }
    relay.stop().cleanly();
}

#[test]
fn scripts_in_what_senders_say_stay_text() {
    let relay = Relay::to_stdout().start();
    let script = "<script>alert(1)</script>";
    send(relay.lines, format!("{script}\n{{\"{script}\":\"{script}\"}}\n{{\"@elbow\":{{\"{script}\":1}}}}\n"));
    send(relay.lines, format!("{{\"@elbow\":{{\"{script}\":1}}}}\nhttps 2026 {script}\n"));
    relay.writes(4);
    for path in ["/", "/health", "/ready", "/metrics", "/%3Cscript%3E"] {
        let answer = ask(relay.admin, request("GET", path, ""));
        assert!(!format!("{answer:?}").contains("<script"), "{answer:?}");
        assert!(answer.head.contains("\r\nx-content-type-options: nosniff"), "{answer:?}");
        assert!(answer.head.contains("\r\ncontent-security-policy: default-src 'none'"), "{answer:?}");
        assert!(!answer.head.contains("text/html"), "{answer:?}");
    }
    assert_eq!(check(relay.admin, request("GET", &format!("/{script}"), ""), 400).body, "");
    relay.stop().cleanly();
}

#[test]
fn heads_that_are_too_large_or_late_hold_nothing_up() {
    let relay = Relay::to_stdout().start();
    let large = request("GET", "/health", &format!("X: {}\r\n", "x".repeat(100_000)));
    assert_ne!(ask(relay.admin, large).status, 200);
    let mut slow: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(relay.admin).expect("it listens")).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /health HT").expect("a connection");
    }
    assert_eq!(relay.page("/health").0, 200);
    relay.stop().cleanly();
}

/// A relay with a health listener, and where that is.
fn with_health(setup: Setup, settings: &str) -> (Relay, SocketAddr) {
    let relay = setup.admin(&format!("health_address = \"127.0.0.1:0\"\n{settings}")).start();
    let address = relay.says_where("health listener");
    (relay, address)
}

#[test]
fn the_health_listener_serves_two_paths() {
    let (relay, health) = with_health(Relay::to_stdout(), "");
    assert_eq!(check(health, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200).body, "ok\n", "and closes");
    assert_eq!(check(health, "GET /ready HTTP/1.0\r\n\r\n", 200).body, "ready\n");
    assert_eq!(check(health, request("HEAD", "/ready", ""), 200).body, "");
    for path in ["/", "/metrics", "/health/", "/ready/..", "/../metrics"] {
        check(health, request("GET", path, ""), 404);
    }
    check(health, request("POST", "/health", "Content-Length: 0\r\n"), 405);
    check(health, request("GET", "/health", "Origin: https://evil.example\r\n"), 403);
    // Nobody is trusted with a header here.
    assert_ne!(ask(health, ["PROXY UNKNOWN\r\n", &request("GET", "/health", "")].concat()).status, 200);
    relay.stop().cleanly();
}

const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x07\x03\0\x04\0\0\0\0";

#[test]
fn health_checks_may_begin_with_a_header_of_a_trusted_proxy() {
    let (relay, health) = with_health(Relay::to_stdout(), "health_proxy_from = [\"127.0.0.1\"]");
    let question = request("GET", "/health", "");
    let text = b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 9601\r\n".as_slice();
    for header in [b"".as_slice(), text, b"PROXY UNKNOWN\r\n", V2_LOCAL] {
        check(health, [header, question.as_bytes()].concat(), 200);
    }
    // In pieces.
    let mut stream = TcpStream::connect(health).expect("it listens");
    for byte in [V2_LOCAL, question.as_bytes()].concat() {
        stream.write_all(&[byte]).expect("a connection");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for header in [b"PROXY TCP4 x\r\n".as_slice(), b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n", &V2_LOCAL[..14]] {
        let answer = ask(health, [header, question.as_bytes()].concat());
        assert_ne!(answer.status, 200, "{}", header.escape_ascii());
    }
    relay.stop().cleanly();
}

#[test]
fn a_stop_is_seen_by_ready_first() {
    let (relay, health) = with_health(Relay::to_stdout(), "");
    let mut sender = relay.sender();
    sender.send("a line without its en");
    relay.until(|metrics| metrics.sum("source_received_bytes_total") > 0);
    relay.terminate();
    // The half line holds the stop up.
    let begun = Instant::now();
    while ask(health, request("GET", "/ready", "")).status != 503 {
        assert!(begun.elapsed() < PATIENCE, "it is not ready any more");
        thread::sleep(Duration::from_millis(5));
    }
    check(health, request("GET", "/health", ""), 200);
    sender.send("d\n");
    sender.finish();
    assert_eq!(relay.ended().cleanly().documents.len(), 1);
}
