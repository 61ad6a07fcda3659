//! Peers of all kinds, and files that change.

use std::path::Path;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::net::tls::ServerTls;
use crate::net::tls::tests::Authority;
use crate::net::tls::tests::write;

const PEER: &str = "peer.example";

fn plan(ca: &Path) -> ClientTlsPlan {
    let handshake_timeout = Duration::from_secs(10);
    ClientTlsPlan { ca: Some(ca.to_owned()), certificate: None, key: None, server_name: None, handshake_timeout }
}

/// A folder with an authority's certificate in it, and what it is called there.
fn trusting(authority: &Authority) -> (TempDir, ClientTlsPlan) {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    write(&ca, &authority.pem());
    (folder, plan(&ca))
}

/// Shakes hands with a server, which then waits for the first byte; gives what the first read says.
async fn meet(tls: &ClientTls, host: &str, server: ServerTls) -> Result<(), HandshakeFailed> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        if let Ok(mut session) = server.handshake(stream).await {
            let _ = session.stream.write_all(b"!").await;
            let _ = session.stream.read_u8().await;
        }
    });
    let stream = TcpStream::connect(address).await.expect("a listener");
    let shaken = tls.handshake(host, stream).await;
    let met = match shaken {
        Err(failed) => Err(failed),
        Ok(mut stream) => match stream.read_u8().await {
            Ok(_) => Ok(()),
            Err(source) => Err(HandshakeFailed { unacceptable: unacceptable(&source), source }),
        },
    };
    serving.await.expect("the server does not panic");
    met
}

/// What the server's certificate is for, whether it has expired, who signed it, and what comes of it.
#[track_caller]
fn check(name: &str, has_expired: bool, is_ours: bool, change: impl FnOnce(&mut ClientTlsPlan), want: Option<Unacceptable>) {
    let (ours, others) = (Authority::new(), Authority::new());
    let (folder, mut plan) = trusting(&ours);
    change(&mut plan);
    let tls = ClientTls::load(&plan, &[]).expect("good files");
    let server = if is_ours { &ours } else { &others }.server(&folder, name, has_expired, false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let met = runtime.block_on(meet(&tls, PEER, server));
    match (met, want) {
        (Ok(()), None) => {}
        (Err(failed), Some(want)) => assert_eq!(failed.unacceptable, Some(want), "{:?}", failed.source),
        (met, want) => panic!("{met:?}, and not {want:?}"),
    }
}

#[test]
fn a_peer_is_who_its_certificate_says_and_nobody_else() {
    let as_it_is = |_: &mut ClientTlsPlan| {};
    check(PEER, false, true, as_it_is, None);
    check(PEER, false, false, as_it_is, Some(Unacceptable::UnknownCa));
    check(PEER, true, true, as_it_is, Some(Unacceptable::Expired));
    check("other.example", false, true, as_it_is, Some(Unacceptable::OtherName));
    check("other.example", false, true, |plan| plan.server_name = Some("other.example".to_owned()), None);
    check(PEER, false, true, |plan| plan.server_name = Some("10.0.0.1".to_owned()), Some(Unacceptable::OtherName));
    check("10.0.0.1", false, true, |plan| plan.server_name = Some("10.0.0.1".to_owned()), None);
}

#[tokio::test]
async fn a_peer_that_asks_for_a_certificate_gets_the_one_there_is() {
    let authority = Authority::new();
    let (folder, mut plan) = trusting(&authority);
    let bare = ClientTls::load(&plan, &[]).expect("good files");
    let failed = meet(&bare, PEER, authority.server(&folder, PEER, false, true)).await.expect_err("it is asked for one");
    assert_eq!(failed.unacceptable, Some(Unacceptable::OursRefused), "{:?}", failed.source);

    let (certificate, key) = authority.issue("relay.example", false);
    (plan.certificate, plan.key) = (Some(folder.path().join("own.pem")), Some(folder.path().join("own.key")));
    write(&folder.path().join("own.pem"), &certificate);
    write(&folder.path().join("own.key"), &key);
    let known = ClientTls::load(&plan, &[]).expect("good files");
    meet(&known, PEER, authority.server(&folder, PEER, false, true)).await.expect("it is let in");
}

#[test]
fn nothing_shows_the_key() {
    let authority = Authority::new();
    let (folder, mut plan) = trusting(&authority);
    let (certificate, key) = authority.issue("relay.example", false);
    (plan.certificate, plan.key) = (Some(folder.path().join("own.pem")), Some(folder.path().join("own.key")));
    write(&folder.path().join("own.pem"), &certificate);
    write(&folder.path().join("own.key"), &key);
    let shown = format!("{:?}", ClientTls::load(&plan, &[]).expect("good files"));
    // The same text as the list of numbers a `Vec<u8>` is shown as, and as the characters they stand for.
    let as_numbers = format!("{:?}", &key.as_bytes()[60..100]);
    assert!(shown.contains("***") && !shown.contains(&key[60..100]));
    assert!(!shown.contains(as_numbers.trim_matches(['[', ']'])));
}

#[test]
fn what_the_caller_speaks_is_offered_and_nothing_is_resumed() {
    let (_folder, plan) = trusting(&Authority::new());
    let tls = ClientTls::load(&plan, &[b"http/1.1"]).expect("good files");
    assert_eq!(tls.current().alpn_protocols, [b"http/1.1".to_vec()]);
    assert!(!tls.current().enable_early_data);
    let text = format!("{:?}", tls.current().resumption);
    assert!(text.contains("NoClientSessionStorage"), "{text}");
}

#[tokio::test]
async fn a_new_authority_takes_effect_and_a_broken_one_does_not() {
    let (first, second) = (Authority::new(), Authority::new());
    let (folder, plan) = trusting(&first);
    let ca = folder.path().join("ca.pem");
    let tls = ClientTls::load(&plan, &[]).expect("good files");
    assert_eq!(tls.reload(false).expect("good files"), Looked::Same);
    write(&ca, "no certificate");
    assert_eq!(tls.reload(false).expect("the rest may be on its way"), Looked::Same);
    let error = tls.reload(false).expect_err("it has not come").to_string();
    assert!(error.contains("ca.pem has no certificate in it"), "{error}");
    assert_eq!(tls.reload(false).expect("it has been said"), Looked::Same);
    meet(&tls, PEER, first.server(&folder, PEER, false, false)).await.expect("the old one is in use");
    write(&ca, &second.pem());
    assert_eq!(tls.reload(false).expect("good files"), Looked::Loaded);
    meet(&tls, PEER, second.server(&folder, PEER, false, false)).await.expect("the new one is in use");
    let failed = meet(&tls, PEER, first.server(&folder, PEER, false, false)).await.expect_err("the old one is not");
    assert_eq!(failed.unacceptable, Some(Unacceptable::UnknownCa));
}

/// What comes of a peer that reads the first flight and answers with these bytes; `None`: never.
async fn answered(bytes: Option<&'static [u8]>) -> (HandshakeFailed, Vec<u8>) {
    let (_folder, mut plan) = trusting(&Authority::new());
    plan.handshake_timeout = Duration::from_millis(300);
    let tls = ClientTls::load(&plan, &[]).expect("good files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut heard = Vec::new();
        let _ = stream.read_buf(&mut heard).await;
        if let Some(bytes) = bytes {
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let stream = TcpStream::connect(address).await.expect("a listener");
    let failed = tls.handshake(PEER, stream).await.expect_err("there is no TLS");
    (failed, serving.await.expect("the peer does not panic"))
}

#[tokio::test]
async fn a_peer_without_tls_gets_a_greeting_in_tls_and_an_alert_and_nothing_else() {
    let (failed, heard) = answered(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    assert_eq!(failed.unacceptable, Some(Unacceptable::NotTls), "{:?}", failed.source);
    // Records of the type handshake, then alert, as RFC 8446 numbers them.
    assert_eq!(heard[0], 22);
    let behind = 5 + usize::from(u16::from_be_bytes([heard[3], heard[4]]));
    assert!(heard.len() == behind || heard[behind] == 21, "{heard:?}");
}

#[tokio::test]
async fn a_peer_that_refuses_all_versions_has_to_be_mended_and_one_that_hangs_up_has_not() {
    // An alert: fatal (2), protocol_version (70).
    let (failed, _) = answered(Some(&[21, 3, 3, 0, 2, 2, 70])).await;
    assert_eq!(failed.unacceptable, Some(Unacceptable::NothingInCommon), "{:?}", failed.source);
    let (failed, _) = answered(Some(b"")).await;
    assert_eq!((failed.unacceptable, failed.source.kind()), (None, io::ErrorKind::UnexpectedEof));
    let (failed, _) = answered(None).await;
    assert_eq!((failed.unacceptable, failed.source.kind()), (None, io::ErrorKind::TimedOut));
}

#[test]
fn names_and_addresses_can_stand_in_certificates() {
    for good in ["peer.example", "a", "10.0.0.1", "::1", "[::1]"] {
        assert!(is_server_name(good), "{good}");
    }
    for bad in ["", "peer.example:443", "a b", "https://a", "[peer.example]"] {
        assert!(!is_server_name(bad), "{bad}");
    }
}
