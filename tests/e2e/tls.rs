//! Who gets in over TLS: good senders of both versions, and none of the others, whom the relay tells why and never waits for.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use rustls::ClientConfig;
use rustls::version::TLS12;
use rustls::version::TLS13;
use tokio_rustls::TlsConnector;

use crate::support::PATIENCE;
use crate::support::beats::packed;
use crate::support::beats::whole;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::relay::Relay;
use crate::support::scrape::Metrics;
use crate::support::sender::Sender;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::Flaw;
use crate::support::tls::Identity;
use crate::support::tls::RELAY;
use crate::support::tls::TlsSender;
use crate::support::tls::trusting;
use crate::support::wait_for;

/// Handshakes that ended so.
#[track_caller]
fn handshakes(metrics: &Metrics, result: &str) -> u64 {
    metrics.sum_where("source_tls_handshakes_total", &format!("result=\"{result}\""))
}

#[track_caller]
fn ended(metrics: &Metrics, reason: &str) -> u64 {
    metrics.sum_where("source_connections_ended_total", &format!("reason=\"{reason}\""))
}

#[test]
fn lines_come_through_both_versions_and_large_ones_whole() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let relay = Relay::to_stdout().source(&files.settings("")).start();
    for (version, connection) in [&TLS12, &TLS13].into_iter().zip(1..) {
        let mut sender = TlsSender::connect(relay.lines, &trusting(&[&authority], None, &[version]));
        // Far more than a record, and than is read at once.
        sender.send(albs(0..1_000));
        sender.send(format!("{}\n", "x".repeat(500_000)));
        sender.finish();
        let documents = relay.writes(connection * 1_001);
        assert_eq!(documents.last().expect("one").get("message").and_then(|text| text.as_str()).map(str::len), Some(500_000));
    }
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!((handshakes(&metrics, "done"), metrics.sum("source_tls_handshakes_total")), (2, 2));
    assert_eq!((ended(&metrics, "closed"), metrics.received()), (2, 2_002));
    // What rcgen makes holds until 4096.
    assert_eq!(metrics.sum("source_tls_certificate_not_after_seconds"), 67_090_118_400);
    relay.stop().cleanly();
}

#[test]
fn a_sender_that_goes_without_reading_is_not_reset() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let relay = Relay::to_stdout().source(&files.settings("")).start();
    let config = authority.trusting(None);
    for line in 0..100 {
        // A session ticket would lie in its kernel unread, and make a reset of its close.
        let mut sender = TlsSender::connect(relay.lines, &config);
        sender.send(alb(line));
        sender.close();
    }
    relay.writes(100);
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(ended(&metrics, "closed"), 100, "{metrics}");
    relay.stop().cleanly();
}

/// A relay that lets in `lambda.example` as this authority signs for it, with what its files are made from.
#[track_caller]
fn mutual(authority: &Authority, more: &str) -> (Relay, Files) {
    let files = Files::new(&authority.relay());
    files.authority(authority);
    (Relay::to_stdout().source(&files.mutual(more)).start(), files)
}

/// What a sender that sends a line is told instead of being let in.
#[track_caller]
fn refused(address: SocketAddr, config: &Arc<ClientConfig>) -> AlertDescription {
    let sent = TlsSender::try_connect(address, config).and_then(|mut sender| {
        // With TLS 1.3 a sender believes it is in before the relay has seen its certificate.
        let _ = sender.try_send("not an event\n");
        sender.ends()
    });
    let error = sent.expect_err("it is refused");
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("it is not told why: {error}"),
    }
}

#[test]
fn senders_without_a_good_certificate_are_told_why_and_make_no_events() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (relay, _files) = mutual(&ours, "client_names = [\"other.example\", \"LAMBDA.example\"]");
    let good = ours.sender("lambda.example");
    let cases: [(&str, Option<Identity>, AlertDescription); 6] = [
        ("no_certificate", None, AlertDescription::CertificateRequired),
        ("unknown_ca", Some(others.sender("lambda.example")), AlertDescription::UnknownCA),
        ("expired", Some(ours.flawed_sender("lambda.example", Flaw::Expired)), AlertDescription::CertificateExpired),
        ("not_yet_valid", Some(ours.flawed_sender("lambda.example", Flaw::NotYetValid)), AlertDescription::CertificateExpired),
        ("wrong_usage", Some(ours.flawed_sender("lambda.example", Flaw::WrongUsage)), AlertDescription::UnsupportedCertificate),
        ("name_not_allowed", Some(ours.sender("web.example")), AlertDescription::AccessDenied),
    ];
    for (result, identity, alert) in &cases {
        for version in [&TLS12, &TLS13] {
            let config = trusting(&[&ours], identity.as_ref(), &[version]);
            assert_eq!(refused(relay.lines, &config), *alert, "{result} {version:?}");
        }
        let metrics = relay.until(|metrics| handshakes(metrics, result) == 2);
        // What is counted is said a moment later.
        let is_said = || relay.log().iter().any(|entry| entry["result"] == *result).then_some(());
        wait_for(is_said, || format!("nobody says {result}:\n{}", relay.log_text()));
        assert_eq!((metrics.received(), handshakes(&metrics, "done")), (0, 0), "{metrics}");
    }
    relay.says("needs the extended key usage clientAuth");
    let mut sender = TlsSender::connect(relay.lines, &ours.trusting(Some(&good)));
    sender.send("an event\n");
    sender.finish();
    assert_eq!(relay.writes(1)[0]["message"], "an event");
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!((ended(&metrics, "tls_handshake"), ended(&metrics, "closed")), (12, 1), "{metrics}");
    assert_eq!(relay.stop().cleanly().documents.len(), 1);
}

#[test]
fn where_a_certificate_is_optional_only_a_wrong_one_is_refused() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (relay, _files) = mutual(&ours, "client_auth = \"optional\"");
    let wrong = others.sender("lambda.example");
    assert_eq!(refused(relay.lines, &ours.trusting(Some(&wrong))), AlertDescription::UnknownCA);
    for identity in [None, Some(&ours.sender("anybody.example"))] {
        let mut sender = TlsSender::connect(relay.lines, &ours.trusting(identity));
        sender.send("an event\n");
        sender.finish();
    }
    relay.writes(2);
    relay.stop().cleanly();
}

#[test]
fn a_sender_that_does_not_trust_the_relay_is_counted_apart() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let relay = Relay::to_stdout().source(&files.settings("")).start();
    let refused = TlsSender::try_connect(relay.lines, &Authority::new("others").trusting(None));
    assert!(refused.is_err(), "it does not know who that is");
    relay.until(|metrics| handshakes(metrics, "refused_by_peer") == 1);
    relay.says("does not trust the authority that signed the relay's certificate");
    relay.stop().cleanly();
}

/// What a connection that sends these bytes reads until its end, however that is.
#[track_caller]
fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.write_all(bytes).expect("a new connection takes bytes");
    let mut read = Vec::new();
    let end = stream.read_to_end(&mut read);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset), "it is closed");
    read
}

#[test]
fn what_is_no_tls_is_closed_counted_and_said_seldom() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let relay = Relay::to_stdout().source(&files.settings("")).start();
    let rubbish: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n",
        b"a plain line that nobody asked for\n",
        &[0xff; 4_096],
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16\x03\x01\xff\xff",
    ];
    for _ in 0..20 {
        for bytes in rubbish {
            let told = answer(relay.lines, bytes);
            // A fatal alert (RFC 8446, section 6), as those who speak TLS after all understand it.
            assert!(told.starts_with(&[0x15, 0x03]) && told.get(5) == Some(&2), "{bytes:?} is told {told:?}");
        }
    }
    let metrics = relay.until(|metrics| ended(metrics, "tls_handshake") == 100);
    assert_eq!((handshakes(&metrics, "not_tls"), metrics.received(), metrics.sum("source_received_bytes_total")), (100, 0, 0));
    let mut sender = TlsSender::connect(relay.lines, &authority.trusting(None));
    sender.send("an event\n");
    sender.finish();
    let ended = relay.stop().cleanly();
    assert_eq!(ended.documents.len(), 1);
    let said = ended.log.iter().filter(|entry| entry["result"] == "not_tls").count();
    assert!((1..=5).contains(&said), "said {said} times of 100:\n{}", ended.log_text);
}

#[test]
fn tls_on_a_plain_port_becomes_no_event() {
    let relay = Relay::to_stdout().start();
    let config = Authority::new("relays").trusting(None);
    for _ in 0..10 {
        assert!(TlsSender::try_connect(relay.lines, &config).is_err(), "nobody answers it");
    }
    // The first two bytes apart.
    let mut slow = relay.sender();
    slow.send([0x16]);
    thread::sleep(Duration::from_millis(100));
    slow.send(b"\x03\x01\x00\x05hello\n");
    slow.ends().expect_err("it is reset");
    let metrics = relay.until(|metrics| ended(metrics, "unexpected_tls") == 11);
    assert_eq!((metrics.received(), metrics.sum("source_rejects_total")), (0, 0), "{metrics}");
    relay.says("a sender speaks TLS where none is spoken");
    let mut odd = relay.sender();
    odd.send(b"\x16 begins a line\nand \x16\x03 stands in one\n\x16");
    odd.finish();
    let documents = relay.writes(3);
    let messages: Vec<_> = documents.iter().map(|document| document["message"].as_str().expect("text")).collect();
    assert_eq!(messages, ["\u{16} begins a line", "and \u{16}\u{3} stands in one", "\u{16}"]);
    let ended = relay.stop().cleanly();
    let said = ended.log.iter().filter(|entry| entry["message"].as_str().is_some_and(|text| text.contains("speaks TLS")));
    assert!((1..=3).contains(&said.count()), "{}", ended.log_text);
}

#[test]
fn a_thousand_silent_handshakes_hold_nobody_up_and_are_closed_by_their_deadline() {
    const SILENT: usize = 1_000;
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let relay = Relay::to_stdout().source(&files.settings("handshake_timeout = \"3s\"")).start();
    let config = authority.trusting(None);
    let begun = Instant::now();
    let mut silent: Vec<Sender> = (0..SILENT).map(|_| relay.sender()).collect();
    // Every other one says half a word.
    for sender in silent.iter_mut().step_by(2) {
        sender.send(b"\x16\x03\x01\x02\x00\x01");
    }
    relay.until(|metrics| metrics.sum("source_connections_open") == SILENT as u64);
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let connecting = Instant::now();
        let mut sender = TlsSender::connect(relay.lines, &config);
        sender.send("an event\n");
        sender.finish();
        slowest = slowest.max(connecting.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "a sender took {slowest:?} beside them");
    for sender in &mut silent {
        sender.ends().expect_err("it is reset");
    }
    let took = begun.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(10)).contains(&took), "{took:?}");
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!((handshakes(&metrics, "timeout"), handshakes(&metrics, "done")), (SILENT as u64, 20), "{metrics}");
    relay.writes(20);
    relay.stop().cleanly();
}

#[test]
fn a_connection_that_says_nothing_is_no_warning() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let relay = Relay::to_stdout().source(&files.settings("")).start();
    // As a load balancer looks whether somebody listens, in both ways it may end.
    for _ in 0..5 {
        relay.sender().close();
        relay.sender().reset();
    }
    let metrics = relay.until(|metrics| ended(metrics, "tls_handshake") == 10);
    assert_eq!(handshakes(&metrics, "closed"), 10, "{metrics}");
    let ended = relay.stop().cleanly();
    assert!(!ended.log.iter().any(|entry| entry["level"] == "WARN"), "{}", ended.log_text);
}

#[test]
fn a_load_balancers_header_goes_before_the_handshake() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let config = authority.trusting(None);
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.2 40000 5000\r\n";
    let behind = "proxy_protocol = \"v1\"\nproxy_from = [\"127.0.0.0/8\"]\nsender_fields = true\n";
    let relay = Relay::to_stdout().source(behind).source(&files.settings("handshake_timeout = \"1s\"")).start();
    let mut sender = TlsSender::try_connect_behind(relay.lines, header, &config).expect("it gets in");
    sender.send("an event\n");
    sender.finish();
    assert_eq!(relay.writes(1)[0]["sender_ip"], "192.0.2.7");
    // Who says nothing, not even by a load balancer, is not waited for as long as a plain connection may be silent.
    relay.sender().ends().expect_err("it is reset");
    relay.until(|metrics| ended(metrics, "idle") == 1);
    relay.stop().cleanly();

    let relay = Relay::to_stdout().source(&files.settings("")).start();
    assert!(TlsSender::try_connect_behind(relay.lines, header, &config).is_err(), "nobody expects a header here");
    relay.until(|metrics| handshakes(metrics, "not_tls") == 1);
    relay.says("or a load balancer sends a PROXY header first");
    relay.stop().cleanly();
}

#[test]
fn tls_on_a_plain_port_for_http_becomes_no_event_either() {
    let relay = Relay::to_stdout().tables("[[source]]\nname = \"web\"\ntype = \"http\"\naddress = \"127.0.0.1:0\"\n").start();
    assert!(
        TlsSender::try_connect(relay.lines_of("web"), &Authority::new("relays").trusting(None)).is_err(),
        "nobody answers it"
    );
    let is_over =
        |metrics: &Metrics| metrics.sum("source_connections_ended_total") == 1 && metrics.sum("source_connections_open") == 0;
    let metrics = relay.until(is_over);
    assert_eq!(metrics.received(), 0, "{metrics}");
    relay.stop().cleanly();
}

/// One request of one line, over HTTP of the version that both ends agree on; gives that version and the answer's status.
#[track_caller]
fn post(address: SocketAddr, config: &Arc<ClientConfig>) -> (http::Version, u16) {
    let asking = async {
        let tcp = tokio::net::TcpStream::connect(address).await.expect("the relay listens");
        let name = rustls_pki_types::ServerName::try_from(RELAY).expect("a name");
        let stream = TlsConnector::from(config.clone()).connect(name, tcp).await.expect("a handshake");
        let is_second = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let request = http::Request::post(format!("https://{RELAY}/")).header("host", RELAY);
        let request = request.body(Full::new(Bytes::from_static(b"an event\n"))).expect("a request");
        let stream = TokioIo::new(stream);
        let answer = if is_second {
            let (mut requests, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            requests.send_request(request).await
        } else {
            let (mut requests, connection) = hyper::client::conn::http1::handshake(stream).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            requests.send_request(request).await
        };
        let answer = answer.expect("an answer");
        (answer.version(), answer.status().as_u16())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(asking)
}

#[test]
fn http_is_agreed_on_in_the_handshake_and_takes_what_comes() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.relay());
    files.authority(&authority);
    let web = format!("[[source]]\nname = \"web\"\ntype = \"http\"\naddress = \"127.0.0.1:0\"\n{}", files.mutual(""));
    let relay = Relay::to_stdout().tables(&web).start();
    let address = relay.lines_of("web");
    let mut config = Arc::unwrap_or_clone(authority.trusting(Some(&authority.sender("lambda.example"))));
    for (offered, version) in [
        (vec!["h2", "http/1.1"], http::Version::HTTP_2),
        (vec!["http/1.1"], http::Version::HTTP_11),
        (vec![], http::Version::HTTP_11),
    ] {
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(post(address, &Arc::new(config.clone())), (version, 200), "{offered:?}");
    }
    relay.writes(3);
    config.alpn_protocols = vec![b"imap".to_vec()];
    assert_eq!(refused(address, &Arc::new(config)), AlertDescription::NoApplicationProtocol);
    assert_eq!(refused(address, &authority.trusting(None)), AlertDescription::CertificateRequired);
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!((handshakes(&metrics, "done"), handshakes(&metrics, "nothing_in_common")), (3, 1), "{metrics}");
    relay.stop().cleanly();
}

#[test]
fn beats_are_acked_over_tls() {
    const EVENTS: usize = 2_000;
    let authority = Authority::new("ours");
    let files = Files::new(&authority.relay());
    files.authority(&authority);
    let beats = format!("[[source]]\nname = \"beats\"\ntype = \"beats\"\naddress = \"127.0.0.1:0\"\n{}", files.mutual(""));
    let relay = Relay::to_stdout().tables(&beats).start();
    let address = relay.lines_of("beats");
    assert_eq!(refused(address, &authority.trusting(None)), AlertDescription::CertificateRequired);
    let sender = authority.sender("filebeat.example");
    for version in [&TLS12, &TLS13] {
        let mut sender = TlsSender::connect(address, &trusting(&[&authority], Some(&sender), &[version]));
        let events = vec!["{\"a\":1}"; EVENTS];
        for window in [whole(&events), packed(&events)] {
            sender.send(window);
            let mut ack = [0; 6];
            // Zero is a sign of life.
            while ack[2..] == [0; 4] {
                sender.read_exact(&mut ack);
            }
            assert_eq!(ack, *b"2A\0\0\x07\xd0", "{version:?}");
        }
        sender.finish();
    }
    assert_eq!(relay.stop().cleanly().documents.len(), 4 * EVENTS);
}
