//! A Logstash that confirms by ending connections: in order, by a reset, without a word, or never.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::endings::Ending;
use crate::support::endings::Ends;
use crate::support::endings::server;
use crate::support::lines::albs;
use crate::support::lines::id_of;
use crate::support::relay::Relay;
use crate::support::sender::send;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::RELAY;

const LINES: u64 = 4_000;

/// Sends lines through connections that end so, and gives how many documents came more than once and over how many connections.
#[track_caller]
fn rotate(endings: &[Ending], over_tls: bool, settings: &str) -> (usize, usize) {
    let authority = Authority::new("all");
    let files = Files::new(&authority.relay());
    files.write("ca.pem", &authority.pem());
    let tls = over_tls.then(|| server(&authority.relay(), None, rustls::ALL_VERSIONS));
    let logstash = Ends::start(endings, tls);
    let mut setup = Relay::to(logstash.address).sink(&format!("release = \"rotate\"\nbatch_interval = \"200ms\"\n{settings}"));
    if over_tls {
        let ca = files.path("ca.pem");
        setup = setup.sink(&format!("tls = {{ ca = \"{}\", server_name = \"{RELAY}\" }}", ca.display()));
    }
    let relay = setup.start();
    for from in (0..LINES).step_by(500) {
        send(relay.lines, albs(from..from + 500));
    }
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == LINES);
    assert_eq!(metrics.buffered("logstash"), 0);
    relay.stop().cleanly();
    let documents = logstash.documents();
    let mut ids = BTreeMap::<u64, Vec<Value>>::new();
    for document in &documents {
        let number = id_of(document.to_string().as_bytes()).expect("a number");
        ids.entry(number).or_default().push(document["event"]["id"].clone());
    }
    assert_eq!(ids.len() as u64, LINES, "everything arrives");
    for (number, ids) in &ids {
        assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "document {number} is one event: {ids:?}");
    }
    (documents.len() - ids.len(), logstash.connections())
}

#[test]
fn connections_that_end_in_order_release_what_they_carried() {
    for over_tls in [false, true] {
        let (twice, connections) = rotate(&[Ending::InOrder], over_tls, "batch_bytes = \"64KiB\"");
        assert_eq!(twice, 0, "over TLS: {over_tls}");
        // 4000 documents of more than 300 bytes each.
        assert!(connections > 1_200_000 / 65_536, "{connections} connections");
    }
}

#[test]
fn what_came_on_a_connection_that_was_reset_comes_again() {
    for over_tls in [false, true] {
        let endings = [Ending::InOrder, Ending::Reset, Ending::InOrder, Ending::Reset, Ending::InOrder];
        let (twice, _) = rotate(&endings, over_tls, "batch_events = 500");
        assert!(twice > 0 && twice <= 1_000, "{twice} came twice");
    }
}

#[test]
fn an_end_that_tls_was_not_told_of_is_none() {
    let (twice, _) = rotate(&[Ending::Truncated, Ending::InOrder], true, "batch_events = 500");
    assert!(twice > 0 && twice <= 500, "{twice} came twice");
}

#[test]
fn a_peer_that_never_ends_is_sent_everything_again() {
    for over_tls in [false, true] {
        let endings = [Ending::InOrder, Ending::Never, Ending::InOrder];
        let (twice, _) = rotate(&endings, over_tls, "batch_events = 500\nend_timeout = \"1s\"");
        assert!(twice > 0 && twice <= 500, "{twice} came twice");
    }
}
