//! Sinks over TLS: peers that are who they should be, and peers that are not.

use serde_json::Value;

use crate::support::endings::Ending;
use crate::support::endings::Ends;
use crate::support::endings::server;
use crate::support::lines::albs;
use crate::support::lines::all_arrived;
use crate::support::relay::Relay;
use crate::support::relay::elbow;
use crate::support::sender::send;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::RELAY;
use crate::support::wait_for;

/// A table for a sink whose peer has a certificate for this name, by the authority in `ca.pem` of these files.
fn table(files: &Files, name: &str, more: &str) -> String {
    format!("tls = {{ ca = \"{}\", server_name = \"{name}\"{more} }}", files.path("ca.pem").display())
}

fn numbers(documents: &[Value]) -> Vec<u64> {
    let number = |document: &Value| crate::support::lines::id_of(document.to_string().as_bytes()).expect("a number");
    documents.iter().map(number).collect()
}

/// Waits until the sink is paused and says so in these words.
#[track_caller]
fn pauses(relay: &Relay, words: &str) {
    let sink = || serde_json::from_str::<Value>(&relay.page("/ready").1).expect("JSON")["sinks"][0].clone();
    let paused = || (sink()["condition"] == "paused" && sink()["last_error"].to_string().contains(words)).then_some(());
    wait_for(paused, || format!("the sink is not paused by {words:?}: {}", sink()));
}

#[test]
fn logstash_gets_documents_over_tls_from_a_relay_that_says_who_it_is() {
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let authority = Authority::new("all");
        let files = Files::new(&authority.sender("relay.example"));
        files.write("ca.pem", &authority.pem());
        let logstash = Ends::start(&[Ending::InOrder], Some(server(&authority.relay(), Some(&authority), versions)));
        let own = [("certificate", "relay.pem"), ("key", "relay.key")];
        let own = own.map(|(key, name)| format!(", {key} = \"{}\"", files.path(name).display())).concat();
        let relay = Relay::to(logstash.address).sink(&table(&files, RELAY, &own)).sink("settle = \"200ms\"").start();
        send(relay.lines, albs(0..20_000));
        logstash.receives(20_000);
        relay.until(|metrics| metrics.delivered("logstash") == 20_000);
        relay.stop().cleanly();
        assert_eq!(all_arrived(0..20_000, &numbers(&logstash.documents())), 0);
        assert_eq!(logstash.raw(), b"");
    }
}

#[test]
fn a_relay_without_the_certificate_that_is_asked_for_is_paused() {
    let authority = Authority::new("all");
    let files = Files::new(&authority.relay());
    files.write("ca.pem", &authority.pem());
    let server = server(&authority.relay(), Some(&authority), rustls::ALL_VERSIONS);
    let logstash = Ends::start(&[Ending::InOrder], Some(server));
    let relay = Relay::to(logstash.address).sink(&table(&files, RELAY, "")).start();
    send(relay.lines, albs(0..100));
    relay.says("check certificate and key of the sink's tls");
    assert_eq!(logstash.documents().len(), 0);
    assert_eq!(relay.metrics().buffered("logstash"), 100);
}

/// A peer that shows a certificate the sink cannot take: nothing is sent until somebody mends it, and then everything.
#[track_caller]
fn check_pause(
    settings: &str,
    shown: &crate::support::tls::Identity,
    trusted: &Authority,
    words: &str,
    mend: impl FnOnce(&Ends, &Files),
) {
    let files = Files::new(shown);
    files.write("ca.pem", &trusted.pem());
    let logstash = Ends::start(&[Ending::InOrder], Some(server(shown, None, rustls::ALL_VERSIONS)));
    let relay = Relay::to(logstash.address).sink(&table(&files, RELAY, "")).sink(settings).start();
    send(relay.lines, albs(0..200));
    pauses(&relay, words);
    relay.until(|metrics| metrics.buffered("logstash") == 200);
    assert_eq!(logstash.documents().len(), 0, "nothing goes to whom nobody knows");
    let raw = logstash.raw();
    // A record of the type handshake, as RFC 8446 numbers them; what comes after it is an alert and no document.
    assert_eq!(raw.first(), Some(&22), "{raw:?}");
    assert!(memchr::memmem::find(&raw, b"@timestamp").is_none(), "never plaintext");
    mend(&logstash, &files);
    logstash.receives(200);
    relay.until(|metrics| metrics.delivered("logstash") == 200);
    relay.stop().cleanly();
    assert_eq!(all_arrived(0..200, &numbers(&logstash.documents())), 0);
}

#[test]
fn a_peers_expired_certificate_pauses_the_sink_until_it_is_renewed() {
    let authority = Authority::new("all");
    let good = server(&authority.relay(), None, rustls::ALL_VERSIONS);
    let renew = |logstash: &Ends, _: &Files| logstash.shows(good);
    check_pause("", &authority.expired_relay(), &authority, "renew the peer's certificate", renew);
}

#[test]
fn a_peer_of_another_name_pauses_the_sink() {
    let authority = Authority::new("all");
    let good = server(&authority.relay(), None, rustls::ALL_VERSIONS);
    let renew = |logstash: &Ends, _: &Files| logstash.shows(good);
    let other = authority.server("other.example");
    check_pause("release = \"rotate\"", &other, &authority, "write that name as server_name", renew);
}

#[test]
fn a_new_authority_pauses_the_sink_until_its_file_is_replaced() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let replace = |_: &Ends, files: &Files| files.write("ca.pem", &new.pem());
    check_pause("", &new.relay(), &old, "name the authority that signed the peer's certificate in ca", replace);
    // Somebody made it anew under its old name.
    let (old, new) = (Authority::new("same"), Authority::new("same"));
    let replace = |_: &Ends, files: &Files| files.write("ca.pem", &new.pem());
    check_pause("", &new.relay(), &old, "name the authority that signed the peer's certificate in ca", replace);
}

#[test]
fn a_search_engine_with_a_wrong_certificate_gets_no_request() {
    let authority = Authority::new("all");
    let files = Files::new(&authority.relay());
    files.write("ca.pem", &authority.pem());
    let engine = Ends::start(&[Ending::InOrder], Some(server(&authority.expired_relay(), None, rustls::ALL_VERSIONS)));
    let sink = format!(
        "[[sink]]\nname = \"search\"\ntype = \"elasticsearch\"\nhosts = [\"https://{}\"]\nindex = \"elb\"\npassword = \"hunter2\"\n\
         user = \"relay\"\n{}\n",
        engine.address,
        table(&files, RELAY, "")
    );
    let nobody = Ends::start(&[Ending::InOrder], None);
    let relay = Relay::to(nobody.address).tables(&sink).start();
    send(relay.lines, albs(0..10));
    relay.says("renew the peer's certificate");
    let raw = engine.raw();
    assert_eq!(raw.first(), Some(&22), "{raw:?}");
    assert!(memchr::memmem::find(&raw, b"HTTP/1.1").is_none() && engine.documents().is_empty());
    assert!(!relay.log_text().contains("hunter2"));
}

#[test]
fn files_that_are_no_use_are_found_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("elbow.toml");
    std::fs::write(folder.path().join("ca.pem"), "nothing").unwrap();
    let ca = folder.path().join("ca.pem");
    let sink = "[[source]]\nname = 'in'\ntype = 'tcp'\naddress = '127.0.0.1:0'\n[[sink]]\nname = 'out'\ntype = 'logstash_tcp'\nhosts = ['a:1']\n";
    std::fs::write(&path, format!("{sink}tls = {{ ca = '{}' }}\n", ca.display())).unwrap();
    for command in ["check", "run"] {
        let done = elbow().args([command, "-c"]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{command}: {text}");
        assert!(text.contains("sink out: ") && text.contains("ca.pem has no certificate in it"), "{command}: {text}");
    }
}
