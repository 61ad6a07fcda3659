//! `[source.tls]` tables: which files a source's TLS is made from, and who may come in. Nothing is opened here.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::Reader;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::net::tls::ClientAuth;
use crate::net::tls::TlsPlan;

/// Reads the table of the source of this name, where it has one. It becomes a section of the report, so what the source itself
/// says has been read before.
pub fn decide_tls(source: &mut Reader<'_, '_>, name: &str) -> Option<TlsPlan> {
    if !source.has("tls") {
        source.known("tls");
        return None;
    }
    source.desk().report.begin(format!("[source.tls] of {name}"));
    let mut tls = source.table("tls");
    let certificate = decide_path(&mut tls, "certificate", Some("\"/etc/elbow/relay.pem\""));
    let key = decide_path(&mut tls, "key", Some("\"/etc/elbow/relay.key\""));
    let client_ca = decide_path(&mut tls, "client_ca", None);
    if !tls.has("client_ca") {
        tls.record("client_ca", "none", Origin::Default);
    }
    let client_auth = decide_client_auth(&mut tls);
    let client_names = decide_names(&mut tls, client_auth);
    let handshake_timeout = tls.duration("handshake_timeout", HANDSHAKE, Duration::from_secs(10));
    tls.finish();
    Some(TlsPlan { certificate: certificate?, key: key?, client_ca, client_auth, client_names, handshake_timeout })
}

/// A path; with an example, one that has to be there.
pub(super) fn decide_path(tls: &mut Reader<'_, '_>, key: &'static str, example: Option<&str>) -> Option<PathBuf> {
    let written = match example {
        Some(example) => tls.required(key, example)?,
        None => tls.string(key)?,
    };
    if written.text.is_empty() || written.text.ends_with('/') || written.text.contains('\0') {
        tls.refuse(key, &written, "not the path of a file", None, None);
        return None;
    }
    tls.record(key, written.text.clone(), written.origin());
    Some(PathBuf::from(written.text))
}

/// Whether senders show a certificate: they have to where nothing else is said and there are authorities to ask.
fn decide_client_auth(tls: &mut Reader<'_, '_>) -> ClientAuth {
    let has_authorities = tls.has("client_ca");
    let default = if has_authorities { ClientAuth::Required } else { ClientAuth::None };
    let words = ClientAuth::ALL.map(|auth| (auth.label(), auth));
    let client_auth = tls.one_of("client_auth", &Words { now: &words, later: &[] }, (default.label(), default));
    if client_auth != ClientAuth::None && !has_authorities {
        let remedy = "add client_ca = \"/etc/elbow/senders-ca.pem\", the authorities that signed senders' certificates";
        tls.refuse_key("client_auth", "there is no client_ca to tell good certificates by", remedy);
    }
    if client_auth == ClientAuth::None && has_authorities {
        tls.refuse_key("client_ca", "senders are not asked for certificates", "remove it, or client_auth = \"none\"");
    }
    client_auth
}

fn decide_names(tls: &mut Reader<'_, '_>, client_auth: ClientAuth) -> Vec<String> {
    let Some(written) = tls.strings("client_names") else {
        if !tls.has("client_names") {
            tls.record("client_names", "any", Origin::Default);
        }
        return Vec::new();
    };
    if client_auth == ClientAuth::None {
        tls.refuse_key("client_names", "senders are not asked for certificates", "add client_ca, or remove it");
    } else if written.is_empty() {
        tls.refuse_key(
            "client_names",
            "names nobody",
            "name somebody, or leave the key out to let in whoever client_ca signed for",
        );
    } else if written.len() > NAMES_MAX {
        tls.refuse_key(
            "client_names",
            "too many names",
            "at most 1024 are possible; let another authority sign for these senders",
        );
    }
    for name in written.iter().filter(|name| name.text.is_empty() || name.text.len() > NAME_BYTES_MAX) {
        let allowed = "1 to 256 bytes, as the name stands in the certificate".to_owned();
        tls.refuse("client_names", name, "not a name", Some(allowed), None);
    }
    for name in written.iter().filter(|name| name.text.contains('*')) {
        let remedy = "write each name out, as it stands in the certificate".to_owned();
        tls.refuse("client_names", name, "names are compared whole: * stands for nothing", None, Some(remedy));
    }
    let names: Vec<String> = written.iter().map(|name| name.text.clone()).collect();
    tls.record("client_names", names.join(", "), written.first().map_or(Origin::Default, |first| first.origin()));
    names
}

/// A handshake is four messages: within a second between continents. What lies far above that is not there any more.
pub(super) const HANDSHAKE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(120);

/// All of them are compared with all names in a certificate, at each handshake.
const NAMES_MAX: usize = 1024;

/// DNS names have 253 bytes at most.
const NAME_BYTES_MAX: usize = 256;
