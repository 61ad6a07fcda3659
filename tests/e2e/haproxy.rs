//! A real HAProxy in front: what it writes before its connections, and its health checks.
//!
//! Ignored where it is not asked for, because the program has to be there; CI installs it.

use std::fs;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::Domain;
use socket2::Socket;
use socket2::Type;
use tempfile::TempDir;

use crate::support::lines::alb;
use crate::support::relay::Relay;
use crate::support::sender::Sender;
use crate::support::wait_for;

/// HAProxy as a process. Dropping it kills it.
struct Proxy {
    child: Child,
    /// Where it takes connections, over IPv4 and IPv6.
    ports: [SocketAddr; 2],
    _directory: TempDir,
}

impl Proxy {
    /// Has it pass connections on to a server with these options.
    #[track_caller]
    fn start(relay: SocketAddr, options: &str, backend: &str) -> Self {
        let free = |ip: &str| TcpListener::bind((ip, 0)).and_then(|socket| socket.local_addr()).expect("a free port");
        let ports = [free("127.0.0.1"), free("::1")];
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("haproxy.cfg");
        let [v4, v6] = ports;
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             listen relay\n  bind {v4}\n  bind {v6}\n  {backend}\n  server relay {relay} {options}\n"
        );
        fs::write(&file, text).expect("the file is ours");
        let mut haproxy = Command::new("haproxy");
        let started = haproxy.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = started.expect("haproxy can be started: apt-get install haproxy");
        let proxy = Self { child, ports, _directory: directory };
        wait_for(|| TcpStream::connect(v4).ok(), || "haproxy does not listen".to_owned());
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends lines through a proxy, from this address of this machine.
#[track_caller]
fn send_from(from: &str, to: SocketAddr, lines: &str) {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    let from: IpAddr = from.parse().expect("an address");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
    socket.connect(&to.into()).expect("haproxy listens");
    let mut sender = Sender::over(socket.into());
    sender.send(lines);
    sender.finish();
}

#[test]
#[ignore = "needs haproxy: apt-get install haproxy"]
fn haproxy_says_who_the_sender_is_in_both_versions() {
    for (versions, options) in [
        ("v1", "send-proxy"),
        ("v2", "send-proxy-v2"),
        ("v2", "send-proxy-v2 proxy-v2-options crc32c"),
        ("any", "send-proxy-v2 proxy-v2-options crc32c,authority,ssl,cert-cn"),
        ("any", "send-proxy"),
    ] {
        let source = format!("proxy_protocol = \"{versions}\"\nproxy_from = [\"127.0.0.1\"]\nsender_fields = true");
        let relay = Relay::to_stdout().source(&source).source("confirm = \"close\"").start();
        let proxy = Proxy::start(relay.lines, options, "");
        let [v4, v6] = proxy.ports;
        send_from("127.0.0.2", v4, &format!("{}{{\"a\":1}}\n", alb(1)));
        send_from("127.0.0.77", v4, "text\n");
        send_from("::1", v6, "text\n");
        let senders: Vec<Value> = relay.writes(4).iter().map(|document| document["sender_ip"].clone()).collect();
        assert_eq!(senders, ["127.0.0.2", "127.0.0.2", "127.0.0.77", "::1"], "{options}");
        assert_eq!(relay.metrics().sum("source_proxy_refusals_total"), 0, "{options}");
        // Whoever is not the proxy has no business here.
        let direct = thread::spawn(move || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("an address of this machine");
            let _ = socket.connect(&relay.lines.into());
            relay.until(|metrics| metrics.sum_where("source_proxy_refusals_total", "reason=\"untrusted\"") == 1);
            relay.stop().cleanly().documents.len()
        });
        assert_eq!(direct.join().expect("no panic"), 4);
    }
}

#[test]
#[ignore = "needs haproxy: apt-get install haproxy"]
fn haproxys_health_checks_are_no_events_and_no_errors() {
    let relay = Relay::to_stdout().source("proxy_protocol = \"v2\"\nproxy_from = [\"127.0.0.1\"]\nconfirm = \"close\"").start();
    let proxy = Proxy::start(relay.lines, "send-proxy-v2 check check-send-proxy inter 100ms", "");
    // It resets them, so that none of its ports stays in TIME_WAIT.
    let metrics = relay.until(|metrics| metrics.sum("source_connections_ended_total") >= 10);
    assert_eq!(metrics.sum("source_proxy_refusals_total"), 0, "{metrics}");
    send_from("127.0.0.2", proxy.ports[0], "text\n");
    assert_eq!(relay.stop().cleanly().documents.len(), 1);
}

#[test]
#[ignore = "needs haproxy: apt-get install haproxy"]
fn haproxy_asks_the_health_listener_and_believes_it() {
    for header in ["check-send-proxy", ""] {
        let settings = "health_address = \"127.0.0.1:0\"\nhealth_proxy_from = [\"127.0.0.1\"]";
        let relay = Relay::to_stdout()
            .admin(settings)
            .source("proxy_protocol = \"v2\"\nproxy_from = [\"127.0.0.1\"]\nconfirm = \"close\"")
            .start();
        let health = relay.says_where("health listener").port();
        let options = format!("send-proxy-v2 check {header} port {health} inter 50ms fall 1 rise 1");
        let proxy = Proxy::start(relay.lines, &options, "option httpchk GET /ready\n  http-check expect status 200");
        // One check that fails would have it refuse connections, and there are some meanwhile.
        thread::sleep(Duration::from_millis(500));
        send_from("127.0.0.2", proxy.ports[0], "text\n");
        assert_eq!(relay.stop().cleanly().documents.len(), 1);
    }
}
