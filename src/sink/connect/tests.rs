//! Hosts that answer, and hosts that do not.

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::net::tls::tests::Authority;
use crate::net::tls::tests::write;
use crate::sink::Verdict;

fn dialer() -> Dialer {
    let (connect_timeout, user_timeout) = (Duration::from_secs(5), Duration::from_secs(300));
    Dialer::new(&DialPlan { connect_timeout, user_timeout, tls: None }, None)
}

#[tokio::test]
async fn each_host_is_tried_once_from_the_current_one_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut hosts = vec![address.clone(), "127.0.0.1:1".to_owned(), "no port".to_owned()];
    let mut host = 1;
    let (_, peer) = dialer().connect_any(&hosts, &mut host).await.expect("one host answers");
    assert_eq!((peer, host), (address, 0));
    hosts.remove(0);
    let error = dialer().connect_any(&hosts, &mut host).await.expect_err("no host answers");
    assert!(matches!(error, SinkError::Resolve { ref host, .. } if host == "no port"), "{error:?}");
    assert_eq!(error.verdict(), Verdict::Retry);
}

/// Connects over TLS, by this name, to a peer whose certificate is for `peer.example`.
async fn over_tls(server_name: &str, has_expired: bool) -> Result<(Stream, String), SinkError> {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let ca = folder.path().join("ca.pem");
    write(&ca, &authority.pem());
    let server = authority.server(&folder, "peer.example", has_expired, false);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = server.handshake(stream).await;
    });
    let (server_name, handshake_timeout) = (Some(server_name.to_owned()), Duration::from_secs(10));
    let plan = ClientTlsPlan { ca: Some(ca), certificate: None, key: None, server_name, handshake_timeout };
    let tls = Arc::new(ClientTls::load(&plan, &[]).expect("good files"));
    let (connect_timeout, user_timeout) = (Duration::from_secs(5), Duration::from_secs(30));
    let plan = DialPlan { connect_timeout, user_timeout, tls: Some(plan) };
    Dialer::new(&plan, Some(tls)).connect(&address).await
}

#[tokio::test]
async fn a_connection_over_tls_is_one_with_whom_it_was_meant_for() {
    let (stream, _) = over_tls("peer.example", false).await.expect("a good certificate");
    assert!(matches!(stream, Stream::Tls(_)));
    let error = over_tls("other.example", false).await.expect_err("another name");
    assert_eq!(error.verdict(), Verdict::Pause);
    assert!(error.remedy().contains("server_name"), "{}", error.words());
    let error = over_tls("peer.example", true).await.expect_err("an old certificate");
    assert_eq!(error.verdict(), Verdict::Pause);
    assert!(error.words().starts_with("no TLS with 127.0.0.1:") && error.words().contains("expired"), "{}", error.words());
}

#[tokio::test]
async fn the_gravest_of_several_failures_is_told() {
    let (listener, cutting) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
    let (listener, cutting) = (listener.expect("a free port"), cutting.expect("a free port"));
    let hosts = [listener.local_addr(), cutting.local_addr()].map(|address| address.expect("bound").to_string());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.write_all(b"no TLS here\r\n").await;
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
    });
    tokio::spawn(async move { drop(cutting.accept().await) });
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    write(&ca, &Authority::new().pem());
    let handshake_timeout = Duration::from_secs(10);
    let plan = ClientTlsPlan { ca: Some(ca), certificate: None, key: None, server_name: None, handshake_timeout };
    let tls = Arc::new(ClientTls::load(&plan, &[]).expect("good files"));
    let (connect_timeout, user_timeout) = (Duration::from_secs(5), Duration::from_secs(30));
    let dialer = Dialer::new(&DialPlan { connect_timeout, user_timeout, tls: Some(plan) }, Some(tls));
    let error = dialer.connect(&hosts[1]).await.expect_err("it hangs up");
    assert_eq!(error.verdict(), Verdict::Retry, "{}", error.words());
    let error = dialer.connect_any(&hosts, &mut 0).await.expect_err("neither has TLS");
    assert_eq!(error.verdict(), Verdict::Pause, "{}", error.words());
    assert!(error.remedy().contains("nothing is sent to it without"), "{}", error.words());
}
