//! `[source.tls]`.

use super::*;
use crate::net::tls::ClientAuth;
use crate::net::tls::TlsPlan;

fn parse(tls: &str) -> Option<TlsPlan> {
    let text = GOOD.replace("[[sink]]", &format!("{tls}\n[[sink]]"));
    plan(&text).relay.sources[0].door.tls.clone()
}

#[test]
fn a_source_speaks_tls_where_it_says_so_and_asks_senders_who_they_are_where_it_can_tell() {
    assert_eq!(parse(""), None);
    let plain = parse("tls = { certificate = '/c', key = '/k' }").expect("TLS");
    assert_eq!((plain.client_auth, plain.client_ca, plain.client_names.len()), (ClientAuth::None, None, 0));
    assert_eq!(plain.handshake_timeout, Duration::from_secs(10));
    let mutual = parse("tls = { certificate = '/c', key = '/k', client_ca = '/a', client_names = ['x', 'y'] }").expect("TLS");
    assert_eq!((mutual.client_auth, mutual.client_names.len()), (ClientAuth::Required, 2));
    let optional = parse("tls = { certificate = '/c', key = '/k', client_ca = '/a', client_auth = 'optional' }").expect("TLS");
    assert_eq!(optional.client_auth, ClientAuth::Optional);
}

#[track_caller]
fn check_tls(setting: &str, key: &str, words: &str) {
    let start = "tls={certificate='/c',key='/k',";
    let text = GOOD.replace("[[sink]]", &format!("{start}{setting}}}\n[[sink]]"));
    let Err(complaints) = try_load(&text, &Overrides::default()) else { panic!("{setting} is taken") };
    let told = complaints.to_string();
    assert!(told.contains(&format!("source.tls{key}: ")) && told.contains(words), "{told}");
}

#[test]
fn mistakes_in_a_tls_table() {
    check_source("tls = { key = '/k' }", 7, "source.tls.certificate", "is missing");
    check_source("tls = { certificate = '/c' }", 7, "source.tls.key", "is missing");
    check_source("tls = { certificate = '', key = '/k' }", 23, "source.tls.certificate", "not the path of a file");
    check_tls("keys='/k'", ".keys", "did you mean key?");
    check_tls("client_auth='required'", ".client_auth", "there is no client_ca");
    check_tls("client_auth='none',client_ca='/a'", ".client_ca", "senders are not asked for certificates");
    check_tls("client_auth='optinal',client_ca='/a'", ".client_auth", "did you mean \"optional\"?");
    check_tls("client_names=['a']", ".client_names", "senders are not asked for certificates");
    check_tls("client_ca='/a',client_names=[]", ".client_names", "names nobody");
    check_tls("client_ca='/a',client_names=['']", ".client_names", "not a name");
    check_tls("client_ca='/a',client_names=['*.example']", ".client_names", "* stands for nothing");
    check_tls("handshake_timeout='1h'", ".handshake_timeout", "allowed: 100ms to 2m");
}
