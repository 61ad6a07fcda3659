//! A server that speaks TLS and asks who somebody is: OpenSearch with its security plugin.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::Server;
use crate::support::lines::albs;
use crate::support::relay::Relay;
use crate::support::sender::Sender;
use crate::support::sender::send;
use crate::support::tls::Identity;
use crate::support::tls::trusting_roots;
use crate::support::wait_for;

const API: &str = "/_plugins/_security/api";

/// The server as its administrator sees it.
struct Secure {
    server: Server,
    /// Where certificates are.
    folder: PathBuf,
}

impl Secure {
    fn named() -> Option<Self> {
        let server = Server::named("ELBOW_OPENSEARCH_SECURE")?;
        let folder = PathBuf::from(env::var_os("ELBOW_OPENSEARCH_SECURE_TLS").expect("start.sh says where certificates are"));
        let read = |name| fs::read_to_string(folder.join(name)).expect("start.sh has made it");
        let admin = Identity { certificate: read("admin.pem"), key: read("admin-key.pem") };
        let authority = CertificateDer::from_pem_slice(read("root-ca.pem").as_bytes()).expect("a certificate");
        let tls = trusting_roots([authority], Some(&admin), rustls::ALL_VERSIONS);
        Some(Self { server: Server { tls: Some(tls), ..server }, folder })
    }

    /// Has these users, by name, do what a relay needs with indices that begin so, and nothing else.
    #[track_caller]
    fn lets_write(&self, users: &[&str], stem: &str) {
        let role = json!({
            "cluster_permissions": ["indices:data/write/bulk"],
            "index_permissions": [{
                "index_patterns": [format!("{stem}*")],
                "allowed_actions": ["indices:data/write/bulk*", "indices:data/write/index", "indices:admin/create", "indices:admin/mapping/put"],
            }],
        });
        self.put(&format!("roles/{stem}"), &role);
        self.put(&format!("rolesmapping/{stem}"), &json!({ "users": users }));
    }

    /// Gives a user this password from now on.
    #[track_caller]
    fn password(&self, user: &str, password: &str) {
        self.put(&format!("internalusers/{user}"), &json!({ "password": password }));
    }

    /// Puts something into what the plugin knows; again where another test has put something meanwhile.
    #[track_caller]
    fn put(&self, path: &str, body: &Value) {
        let put = || {
            let (status, answer) = self.server.ask("PUT", &format!("{API}/{path}"), &body.to_string());
            assert!(matches!(status, 200 | 201 | 409), "{path}: {status} {answer}");
            (status != 409).then_some(())
        };
        wait_for(put, || format!("{path} is never put"));
    }

    /// A sink's table without who it is.
    fn table(&self, index: &str, more: &str, tls: &str) -> String {
        let ca = self.folder.join("root-ca.pem");
        let address = &self.server.address;
        format!("hosts = [\"https://{address}\"]\nindex = \"{index}\"\n{more}\ntls = {{ ca = \"{}\"{tls} }}", ca.display())
    }
}

/// What a user's password is read from.
struct PasswordFile {
    folder: TempDir,
}

impl PasswordFile {
    fn new(password: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a folder") };
        file.write(password);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    fn write(&self, password: &str) {
        fs::write(self.path(), format!("{password}\n")).expect("the folder is ours");
    }

    fn keys(&self, user: &str) -> String {
        format!("user = \"{user}\"\npassword_file = \"{}\"", self.path().display())
    }
}

#[track_caller]
fn sink(relay: &Relay) -> Value {
    serde_json::from_str::<Value>(&relay.page("/ready").1).expect("JSON")["sinks"][0].clone()
}

/// Waits until the sink is paused because it is not who it says it is, as whoever looks after it sees that.
#[track_caller]
fn pauses(relay: &Relay) {
    let paused = || (sink(relay)["condition"] == "paused").then_some(());
    wait_for(paused, || format!("the sink is not paused: {}\n{}", sink(relay), relay.log_text()));
    let error = sink(relay)["last_error"].to_string();
    assert!(error.contains("answers 401") && error.contains("check the sink's credentials"), "{error}");
    assert_eq!(relay.metrics().sum_where("sink_condition", "condition=\"paused\""), 1);
    assert!(relay.log_text().contains("check the sink's credentials"), "{}", relay.log_text());
}

#[test]
#[ignore = "needs OpenSearch at ELBOW_OPENSEARCH_SECURE: tests/servers/start.sh opensearch-secure"]
fn documents_arrive_over_tls_by_a_password_and_by_a_certificate() {
    let Some(secure) = Secure::named() else { return };
    let stem = "servers-secure-who-";
    secure.server.ask("DELETE", &format!("/{stem}*"), "");
    secure.lets_write(&["writer", "relay"], stem);
    secure.password("writer", "known-To-Both-1");
    let file = PasswordFile::new("known-To-Both-1");
    let path = |name: &str| secure.folder.join(name).display().to_string();
    let certificate = format!(", certificate = \"{}\", key = \"{}\"", path("relay.pem"), path("relay-key.pem"));
    let by_password = secure.table(&format!("{stem}password"), &file.keys("writer"), "");
    let by_certificate = secure.table(&format!("{stem}certificate"), "", &certificate);
    let relay = Relay::to_sink("password", "elasticsearch", &by_password)
        .and_sink("certificate", "elasticsearch", &by_certificate)
        .start();
    send(relay.lines, albs(0..20_000));
    for name in ["password", "certificate"] {
        relay.until(|metrics| metrics.delivered(name) == 20_000);
    }
    relay.stop().cleanly();
    for name in ["password", "certificate"] {
        secure.server.holds_once(&format!("{stem}{name}"), 0..20_000);
    }
    secure.server.ask("DELETE", &format!("/{stem}*"), "");
}

/// Lines that come before the password changes, while it does, and while the sink is paused.
const LINES: u64 = 60_000;

#[test]
#[ignore = "needs OpenSearch at ELBOW_OPENSEARCH_SECURE: tests/servers/start.sh opensearch-secure"]
fn a_password_that_changes_pauses_the_sink_and_costs_no_document() {
    let Some(secure) = Secure::named() else { return };
    let stem = "servers-secure-changing";
    secure.server.ask("DELETE", &format!("/{stem}"), "");
    secure.lets_write(&["changing"], stem);
    secure.password("changing", "known-To-Both-1");
    let file = PasswordFile::new("known-To-Both-1");
    let directory = tempfile::tempdir().expect("a directory");
    let settings = secure.table(stem, &file.keys("changing"), "");
    let relay = Relay::to_sink("search", "elasticsearch", &settings).in_directory(directory.path()).buffer("256MiB").start();
    // Lines come at a steady pace, so that the change meets requests under way.
    let address = relay.lines;
    let sending = thread::spawn(move || {
        let mut sender = Sender::connect(address);
        for from in (0..LINES).step_by(1_000) {
            sender.send(albs(from..from + 1_000));
            thread::sleep(Duration::from_millis(50));
        }
        sender.finish();
    });
    relay.until(|metrics| metrics.delivered("search") >= 5_000);
    secure.password("changing", "known-To-The-Server-2");
    pauses(&relay);
    sending.join().expect("the relay takes all lines while the sink is paused");
    let metrics = relay.until(|metrics| metrics.delivered("search") + metrics.buffered("search") == LINES);
    let (delivered, waiting) = (metrics.delivered("search"), metrics.buffered("search"));
    assert!(waiting >= 5_000, "the change came too late to show anything: {delivered} were delivered");

    // The old password is good again: it goes on by itself.
    secure.password("changing", "known-To-Both-1");
    let metrics = relay.until(|metrics| metrics.delivered("search") == LINES);
    assert_eq!(sink(&relay)["condition"], "delivering");
    assert_eq!((metrics.sum("sink_refused_events_total"), metrics.sum("sink_dropped_events_total")), (0, 0));
    secure.server.holds_once(stem, 0..LINES);

    // It changes again, and this time the file is written a little later: that is noticed as well.
    secure.password("changing", "known-To-The-Server-3");
    send(relay.lines, albs(LINES..LINES + 10_000));
    pauses(&relay);
    file.write("known-To-The-Server-3");
    relay.until(|metrics| metrics.delivered("search") == LINES + 10_000);
    assert_eq!(sink(&relay)["condition"], "delivering");

    // Where the file is written first, nothing fails.
    let failures = relay.metrics().sum("sink_failures_total");
    file.write("known-To-The-Server-4");
    send(relay.lines, albs(LINES + 10_000..LINES + 20_000));
    secure.password("changing", "known-To-The-Server-4");
    send(relay.lines, albs(LINES + 20_000..LINES + 30_000));
    relay.until(|metrics| metrics.delivered("search") == LINES + 30_000);
    assert_eq!(relay.metrics().sum("sink_failures_total"), failures);
    let ended = relay.stop().cleanly();
    assert!(!ended.log_text.contains("known-To-"), "{}", ended.log_text);
    secure.server.holds_once(stem, 0..LINES + 30_000);
    secure.server.ask("DELETE", &format!("/{stem}"), "");
}
