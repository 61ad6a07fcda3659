//! Loading, and loading again; and an authority for tests of whoever connects.

use std::fs;
use std::path::Path;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::CertifiedKey;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::date_time_ymd;
use rcgen::generate_simple_self_signed;
use tempfile::TempDir;

use super::*;

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for both sides and its key, in PEM.
    pub(crate) fn issue(&self, name: &str, has_expired: bool) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if has_expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }

    /// What answers with such a certificate and, where `asks`, lets in only who has one of this authority's.
    pub(crate) fn server(&self, folder: &TempDir, name: &str, has_expired: bool, asks: bool) -> ServerTls {
        let (certificate, key) = self.issue(name, has_expired);
        let mut plan = plan(folder);
        write(&plan.certificate, &certificate);
        write(&plan.key, &key);
        if asks {
            let path = folder.path().join("clients.pem");
            write(&path, &self.pem());
            (plan.client_ca, plan.client_auth) = (Some(path), ClientAuth::Required);
        }
        ServerTls::load(&plan, Speaks::Lines).expect("good files")
    }
}

fn plan(folder: &TempDir) -> TlsPlan {
    TlsPlan {
        certificate: folder.path().join("relay.pem"),
        key: folder.path().join("relay.key"),
        client_ca: None,
        client_auth: ClientAuth::None,
        client_names: Vec::new(),
        handshake_timeout: Duration::from_secs(10),
    }
}

/// Writes a new certificate and its key, as text.
fn issue() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["relay.example".to_owned()]).expect("a certificate");
    (cert.pem(), signing_key.serialize_pem())
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("it can be written");
}

fn loaded(folder: &TempDir, speaks: Speaks) -> ServerTls {
    let plan = plan(folder);
    let (certificate, key) = issue();
    write(&plan.certificate, &certificate);
    write(&plan.key, &key);
    ServerTls::load(&plan, speaks).expect("good files")
}

#[test]
fn only_http_offers_protocols_and_sessions_to_resume() {
    let folder = tempfile::tempdir().expect("a folder");
    for (speaks, tickets, protocols) in [(Speaks::Lines, 0, 0), (Speaks::Beats, 0, 0), (Speaks::Http, 1, 2)] {
        let config = loaded(&folder, speaks).current();
        let offered = (config.send_tls13_tickets, config.alpn_protocols.len(), config.ticketer.enabled());
        assert_eq!(offered, (tickets, protocols, speaks == Speaks::Http), "{speaks:?}");
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.session_storage.can_cache());
    }
}

#[test]
fn changed_files_take_effect_and_broken_ones_are_complained_of_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = loaded(&folder, Speaks::Lines);
    let plan = plan(&folder);
    let first = tls.current();
    assert_eq!(tls.reload(true).expect("good files"), Looked::Same);
    let (certificate, key) = issue();
    write(&plan.certificate, &certificate);
    assert_eq!(tls.reload(false).expect("the key may be on its way"), Looked::Same);
    let error = tls.reload(false).expect_err("it has not come").to_string();
    assert!(error.contains("relay.key does not belong to the first certificate in"), "{error}");
    assert_eq!(tls.reload(false).expect("it has been said"), Looked::Same);
    tls.reload(true).expect_err("whoever asks is told again");
    assert!(Arc::ptr_eq(&first, &tls.current()), "the old one is in use");
    write(&plan.key, &key);
    assert_eq!(tls.reload(false).expect("both are there"), Looked::Loaded);
    let second = tls.current();
    assert!(!Arc::ptr_eq(&first, &second));

    fs::remove_file(&plan.key).expect("it is there");
    tls.reload(false).expect("a new one may be on its way");
    let error = tls.reload(false).expect_err("it has not come").to_string();
    assert!(error.contains("relay.key cannot be read: "), "{error}");
    write(&plan.key, &key);
    assert_eq!(tls.reload(false).expect("as it was"), Looked::Same);
    assert!(Arc::ptr_eq(&second, &tls.current()));
}

#[test]
fn a_certificate_that_does_not_hold_is_warned_of_and_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = loaded(&folder, Speaks::Lines);
    // What rcgen makes holds from 1975 to 4096.
    assert_eq!(tls.warning(1_000_000_000), None);
    assert!(tls.warning(0).expect("too early").contains("is not valid before 1975-01-01T00:00:00Z"));
    assert!(tls.warning(tls.not_after() + 1).expect("too late").contains("has expired at 4096-01-01T00:00:00Z"));
}

#[test]
fn authorities_are_needed_where_senders_are_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    loaded(&folder, Speaks::Lines);
    let mut plan = plan(&folder);
    plan.client_ca = Some(plan.key.clone());
    plan.client_auth = ClientAuth::Required;
    let error = ServerTls::load(&plan, Speaks::Lines).expect_err("a key is no authority").to_string();
    assert!(error.contains("relay.key has no certificate in it"), "{error}");
    plan.client_ca = Some(plan.certificate.clone());
    ServerTls::load(&plan, Speaks::Lines).expect("a certificate is one");
}
