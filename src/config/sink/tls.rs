//! `[sink.tls]` tables: whom a sink trusts and what it shows, the same for every type that speaks TLS. Nothing is opened here.

use std::time::Duration;

use crate::config::reader::Reader;
use crate::config::report::Origin;
use crate::config::tls::HANDSHAKE;
use crate::config::tls::decide_path;
use crate::net::tls::ClientTlsPlan;
use crate::net::tls::is_server_name;

/// Reads the table of a sink; where there is none but TLS `is_needed`, all of it has its default. It becomes a section of the report.
pub(super) fn decide(sink: &mut Reader<'_, '_>, is_needed: bool) -> Option<ClientTlsPlan> {
    if !sink.has("tls") && !is_needed {
        sink.known("tls");
        return None;
    }
    let report = &mut sink.desk().report;
    let name = report.title().trim_start_matches("[[sink]] ").to_owned();
    let outer = report.begin_within(format!("[sink.tls] of {name}"));
    let mut tls = sink.table("tls");
    let ca = decide_path(&mut tls, "ca", None);
    if !tls.has("ca") {
        tls.record("ca", "those the system trusts", Origin::Default);
    }
    let certificate = decide_path(&mut tls, "certificate", None);
    let key = decide_path(&mut tls, "key", None);
    match (tls.has("certificate"), tls.has("key")) {
        (true, false) => tls.refuse_key("certificate", "has no key", "add key = \"/etc/elbow/relay.key\""),
        (false, true) => tls.refuse_key("key", "has no certificate", "add certificate = \"/etc/elbow/relay.pem\""),
        (true, true) => {}
        (false, false) => ["certificate", "key"].iter().for_each(|key| tls.record(key, "none", Origin::Default)),
    }
    let server_name = decide_server_name(&mut tls);
    let handshake_timeout = tls.duration("handshake_timeout", HANDSHAKE, Duration::from_secs(10));
    tls.finish();
    sink.desk().report.resume(outer);
    Some(ClientTlsPlan { ca, certificate, key, server_name, handshake_timeout })
}

fn decide_server_name(tls: &mut Reader<'_, '_>) -> Option<String> {
    let Some(written) = tls.string("server_name") else {
        if !tls.has("server_name") {
            tls.record("server_name", "the host's", Origin::Default);
        }
        return None;
    };
    if !is_server_name(&written.text) {
        let allowed = "a DNS name or an IP address, without a port".to_owned();
        tls.refuse("server_name", &written, "no certificate can be for it", Some(allowed), None);
        return None;
    }
    tls.record("server_name", written.text.clone(), written.origin());
    Some(written.text)
}
