//! Whose a sender is where its certificate says so, and where it is a Beat.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use rustls::ClientConfig;
use serde_json::Value;

use crate::support::beats::Beat;
use crate::support::beats::packed;
use crate::support::beats::whole;
use crate::support::http::request;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::scrape::Metrics;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::TlsSender;

const TOKEN_OF_B: &str = "the-token-of-tenant-b";

/// A relay with a source of each kind behind TLS, to which senders may show a certificate, and three tenants: two that are known
/// by names in theirs, and one of these by a token and a network, too.
struct World {
    authority: Authority,
    files: Files,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new("ours");
        let files = Files::new(&authority.relay());
        files.authority(&authority);
        files.write("token", TOKEN_OF_B);
        Self { authority, files }
    }

    fn setup(&self, unknown: &str) -> Setup {
        let tls = self.files.mutual("client_auth = \"optional\"");
        let source = |kind: &str| format!("[[source]]\nname = \"{kind}\"\ntype = \"{kind}\"\naddress = \"127.0.0.1:0\"\n{tls}\n");
        let token = self.files.path("token");
        Relay::to_stdout().source(&tls).tables(&source("http")).tables(&source("beats")).tables(&format!(
            "[tenants]\nunknown = \"{unknown}\"\n\
             [[tenant]]\nname = \"a\"\ncertificate_names = [\"a.example\", \"common.example (common)\"]\nfields = {{ team = \"A\" }}\n\
             [[tenant]]\nname = \"b\"\ncertificate_names = [\"b.example\"]\ntoken_file = \"{}\"\nfields = {{ team = \"B\" }}\n\
             [[tenant]]\nname = \"c\"\nnetworks = [\"127.0.0.0/8\"]\nfields = {{ team = \"C\" }}\n",
            token.display()
        ))
    }

    /// A sender whose certificate has this name; none where it has none.
    fn named(&self, name: &str) -> Arc<ClientConfig> {
        let identity = (!name.is_empty()).then(|| self.authority.sender(name));
        self.authority.trusting(identity.as_ref())
    }
}

#[track_caller]
fn of_tenant(metrics: &Metrics, family: &str, tenant: &str) -> u64 {
    metrics.sum_where(&format!("tenant_{family}"), &format!("tenant=\"{tenant}\""))
}

/// Posts a body over TLS, with these lines of a head, and gives the status.
#[track_caller]
fn posted(address: SocketAddr, config: &Arc<ClientConfig>, headers: &[(&str, &str)], body: &str) -> u16 {
    let mut sender = TlsSender::connect(address, config);
    sender.send(request("/", headers, body.as_bytes()));
    let line = sender.line().expect("an answer");
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {line:?}"))
}

/// Who stands in the documents, in the order of their member `n`.
fn teams(mut documents: Vec<Value>) -> Vec<String> {
    documents.sort_by_key(|document| document["n"].as_u64());
    documents.iter().map(|document| document["team"].as_str().unwrap_or("none").to_owned()).collect()
}

#[test]
fn a_name_in_a_certificate_says_whose_a_sender_is() {
    let world = World::new();
    let relay = world.setup("allow").start();
    let send = |name: &str, bytes: &str| {
        let mut sender = TlsSender::connect(relay.lines, &world.named(name));
        sender.send(bytes);
        sender.finish();
    };
    send("a.example", "{\"n\":1,\"team\":\"mine\"}\n");
    send("b.example", "{\"n\":2}\n");
    // The common name counts as well, as it is written.
    send("common.example", "{\"n\":3}\n");
    // A name that is nobody's leaves it to the network, and so does no certificate.
    send("A.example.org", "{\"n\":4}\n");
    send("", "{\"n\":5}\n");
    // What is said on purpose counts before the certificate.
    send("a.example", &format!("{{\"@elbow\":{{\"token\":\"{TOKEN_OF_B}\"}}}}\n{{\"n\":6}}\n"));
    assert_eq!(teams(relay.writes(6)), ["A", "B", "A", "C", "C", "B"]);
    let web = relay.lines_of("http");
    let a = world.named("a.example");
    let bearer = format!("Bearer {TOKEN_OF_B}");
    assert_eq!(posted(web, &a, &[], "{\"n\":7}"), 200);
    assert_eq!(posted(web, &a, &[("Authorization", &bearer)], "{\"n\":8}"), 200);
    assert_eq!(
        posted(web, &a, &[("Authorization", "Bearer nobody-s-token-at-all")], "{\"n\":9}"),
        401,
        "it is not taken for a's"
    );
    assert_eq!(posted(web, &world.named(""), &[], "{\"n\":10}"), 200);
    assert_eq!(teams(relay.writes(9))[6..], ["A", "B", "C"]);
    let metrics = relay.metrics();
    assert_eq!(["a", "b", "c", "_unknown"].map(|tenant| of_tenant(&metrics, "events_total", tenant)), [3, 3, 3, 0]);
    relay.stop().cleanly();
}

#[test]
fn a_certificate_with_names_of_two_tenants_is_refused() {
    let world = World::new();
    let common = "[[tenant]]\nname = \"d\"\ncertificate_names = [\"a.example (common)\"]\n";
    let relay = world.setup("allow").tables(common).start();
    let sent = TlsSender::try_connect(relay.lines, &world.named("a.example")).and_then(|mut sender| {
        sender.try_send("{\"n\":1}\n")?;
        sender.ends()
    });
    sent.expect_err("nobody could tell whose it is");
    let metrics = relay.until(|metrics| metrics.sum_where("tenant_refused_connections_total", "reason=\"several\"") == 1);
    assert_eq!(metrics.received(), 0, "{metrics}");
    assert!(relay.stop().cleanly().documents.is_empty());
}

#[test]
fn a_beat_is_whose_its_certificate_or_its_network_is() {
    let world = World::new();
    let relay = world.setup("allow").start();
    let beats = relay.lines_of("beats");
    let send = |name: &str, bytes: Vec<u8>, last: u8| {
        let mut sender = TlsSender::connect(beats, &world.named(name));
        sender.send(bytes);
        let mut ack = [0; 6];
        sender.read_exact(&mut ack);
        assert_eq!(ack, [b'2', b'A', 0, 0, 0, last]);
    };
    send("a.example", whole(&["{\"n\":1,\"team\":\"mine\"}", "{\"n\":2}"]), 2);
    send("b.example", packed(&["{\"n\":3}", "{\"n\":4}", "{\"n\":5}"]), 3);
    send("", whole(&["{\"n\":6}"]), 1);
    // A Beat has no first line: one that looks so is an event.
    send("a.example", whole(&[format!("{{\"n\":7,\"@elbow\":{{\"token\":\"{TOKEN_OF_B}\"}}}}")]), 1);
    assert_eq!(teams(relay.writes(7)), ["A", "A", "B", "B", "B", "C", "A"]);
    let metrics = relay.metrics();
    assert_eq!(["a", "b", "c"].map(|tenant| of_tenant(&metrics, "events_total", tenant)), [3, 3, 1]);
    assert_eq!(of_tenant(&metrics, "cut_members_total", "a"), 1);
    relay.stop().cleanly();
}

/// A source for Beats without TLS, and one tenant, who is here.
fn with_one(of_tenant: &str) -> Setup {
    Relay::to_stdout().tables(&format!(
        "[[source]]\nname = \"beats\"\ntype = \"beats\"\naddress = \"127.0.0.1:0\"\n\
         [tenants]\nunknown = \"refuse\"\n[[tenant]]\nname = \"a\"\n{of_tenant}\n"
    ))
}

#[test]
fn a_beat_that_is_nobody_is_closed_and_nothing_of_it_is_kept() {
    let relay = with_one("networks = [\"192.0.2.0/24\"]").start();
    let mut beat = Beat::connect(relay.lines_of("beats"));
    // It may be closed while it still speaks.
    let _ = beat.try_send(&whole(&["{\"n\":1}"]));
    assert!(!matches!(beat.try_ack(), Ok(Some(_))), "nothing is acked");
    let metrics = relay.until(|metrics| metrics.sum_where("tenant_refused_connections_total", "reason=\"unknown\"") == 1);
    assert_eq!(metrics.received(), 0, "{metrics}");
    assert!(relay.stop().cleanly().documents.is_empty());
}

#[test]
fn a_beat_over_its_tenant_s_rate_waits_and_is_acked_in_full() {
    let relay = with_one("networks = [\"127.0.0.0/8\"]\nevents_per_second = 100").start();
    let mut beat = Beat::connect(relay.lines_of("beats"));
    let events: Vec<String> = (0..100).map(|n| format!("{{\"n\":{n}}}")).collect();
    let begun = Instant::now();
    for _ in 0..3 {
        beat.send(whole(&events));
        beat.is_acked(100);
    }
    let metrics = relay.until(|metrics| metrics.delivered("out") == 300);
    assert_eq!(of_tenant(&metrics, "events_total", "a"), 300);
    assert!(begun.elapsed() >= Duration::from_millis(950), "a burst of a second is free, and the rest is not:\n{metrics}");
    relay.stop().cleanly();
}
