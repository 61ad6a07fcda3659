//! `[sink.tls]`, and `https://`.

use super::*;
use crate::net::tls::ClientTlsPlan;

fn kind(settings: &str) -> SinkKind {
    plan(&GOOD.replace("type = 'stdout'", settings)).relay.sinks[0].kind.clone()
}

fn logstash(tls: &str) -> Option<ClientTlsPlan> {
    let SinkKind::LogstashTcp(plan) = kind(&format!("type = 'logstash_tcp'\nhosts = ['a:1']\n{tls}")) else {
        panic!("a Logstash")
    };
    plan.dial.tls
}

fn elasticsearch(settings: &str) -> Option<ClientTlsPlan> {
    let settings = format!("type = 'elasticsearch'\nindex = 'i'\n{settings}");
    let SinkKind::Elasticsearch(plan) = kind(&settings) else { panic!("an Elasticsearch") };
    plan.http.dial.tls
}

#[test]
fn a_sink_speaks_tls_where_it_says_so() {
    assert_eq!(logstash(""), None);
    let system = logstash("tls = {}").expect("TLS");
    assert_eq!((&system.ca, &system.certificate, &system.key, &system.server_name), (&None, &None, &None, &None));
    assert_eq!(system.handshake_timeout, Duration::from_secs(10));
    let all = "tls = { ca = '/a', certificate = '/c', key = '/k', server_name = 'x', handshake_timeout = '2s' }";
    let want = ClientTlsPlan {
        ca: Some("/a".into()),
        certificate: Some("/c".into()),
        key: Some("/k".into()),
        server_name: Some("x".to_owned()),
        handshake_timeout: Duration::from_secs(2),
    };
    assert_eq!(logstash(all), Some(want));
}

#[test]
fn a_url_says_whether_it_is_tls_and_an_address_follows_the_table() {
    assert_eq!(elasticsearch("hosts = ['http://a', 'b:1']"), None);
    assert!(elasticsearch("hosts = ['https://a', 'https://b:1']").is_some());
    assert!(elasticsearch("hosts = ['a:1']\ntls = {}").is_some());
    assert_eq!(elasticsearch("hosts = ['https://a', 'b:1']\ntls = { ca = '/a' }").and_then(|tls| tls.ca), Some("/a".into()));
}

#[test]
fn the_table_is_a_section_of_its_own_behind_the_whole_sink() {
    let text = GOOD.replace("type = 'stdout'", "type = 'elasticsearch'\nindex = 'i'\nhosts = ['https://a']");
    let shown = plan(&text).to_string();
    let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("no {words}: {shown}"));
    assert!(at("[[sink]] out") < at("concurrency") && at("concurrency") < at("[sink.tls] of out"));
    assert!(at("[sink.tls] of out") < at("those the system trusts"));
}

#[track_caller]
fn check_tls(settings: &str, key: &str, words: &str) {
    let text = GOOD.replace("type = 'stdout'", settings);
    let Err(complaints) = try_load(&text, &Overrides::default()) else { panic!("{settings} is taken") };
    let told = complaints.to_string();
    assert!(told.contains(&format!("sink.{key}: ")) && told.contains(words), "{told}");
}

#[test]
fn mistakes() {
    let logstash = |tls: &str| format!("type = 'logstash_tcp'\nhosts = ['a:1']\ntls = {{ {tls} }}");
    check_tls(&logstash("ca = ''"), "tls.ca", "not the path of a file");
    check_tls(&logstash("certificate = '/c'"), "tls.certificate", "has no key");
    check_tls(&logstash("key = '/k'"), "tls.key", "has no certificate");
    check_tls(&logstash("server_name = 'a:1'"), "tls.server_name", "no certificate can be for it");
    check_tls(&logstash("handshake_timeout = '1h'"), "tls.handshake_timeout", "allowed: 100ms to 2m");
    check_tls(&logstash("verify = false"), "tls.verify", "unknown key");
    let elasticsearch = |settings: &str| format!("type = 'elasticsearch'\nindex = 'i'\n{settings}");
    check_tls(&elasticsearch("hosts = ['http://a']\ntls = {}"), "hosts", "is spoken to without TLS");
    check_tls(&elasticsearch("hosts = ['https://a', 'http://b']"), "hosts", "some hosts are spoken to over TLS and some are not");
    check_tls("type = 'stdout'\ntls = {}", "tls", "belongs to sinks that connect to somebody");
}
