//! Certificates as files: replaced while senders send, broken, missing, and looked at before anything is started.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::support::lines::alb;
use crate::support::lines::all_arrived;
use crate::support::lines::id;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::elbow;
use crate::support::scrape::Metrics;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::Identity;
use crate::support::tls::TlsSender;
use crate::support::tls::trusting;
use crate::support::tls::trusting_roots;

#[track_caller]
fn reloads(metrics: &Metrics, result: &str) -> u64 {
    metrics.sum_where("source_tls_reloads_total", &format!("result=\"{result}\""))
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM")
}

/// Senders that never tire: half of them keep their connection, the others make a new one for each line.
struct Load {
    enough: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<JoinHandle<u64>>,
}

impl Load {
    fn start(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let (enough, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..4).map(|number| {
            let (config, enough, sent) = (config.clone(), enough.clone(), sent.clone());
            thread::spawn(move || {
                let mut kept = (number % 2 == 0).then(|| TlsSender::connect(address, &config));
                let mut lines = 0;
                while !enough.load(Ordering::Relaxed) {
                    let line = alb(id(number, lines));
                    match &mut kept {
                        Some(sender) => sender.send(line),
                        None => {
                            let mut sender = TlsSender::connect(address, &config);
                            sender.send(line);
                            sender.finish();
                        }
                    }
                    lines += 1;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                kept.into_iter().for_each(TlsSender::finish);
                lines
            })
        });
        Self { threads: threads.collect(), enough, sent }
    }

    /// Waits until so many more lines have been sent.
    #[track_caller]
    fn goes_on(&self) {
        let wanted = self.sent.load(Ordering::Relaxed) + 200;
        let further = || (self.sent.load(Ordering::Relaxed) >= wanted).then_some(());
        crate::support::wait_for(further, || "the senders are held up".to_owned());
    }

    /// Ends it, and gives the numbers of all lines.
    #[track_caller]
    fn finish(self) -> Vec<u64> {
        self.enough.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter().enumerate();
        let lines = threads.map(|(number, sender)| (number, sender.join().expect("no connection was dropped")));
        lines.flat_map(|(number, lines)| (0..lines).map(move |line| id(number, line))).collect()
    }
}

#[test]
fn certificates_are_replaced_under_load_and_a_broken_one_changes_nothing() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (first, second, third) = (old.relay(), new.relay(), new.relay());
    let files = Files::new(&first);
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).source(&files.settings("")).source("confirm = \"close\"").start();
    let config = trusting(&[&old, &new], None, rustls::ALL_VERSIONS);
    let shown = || TlsSender::connect(relay.lines, &config).shown();
    let load = Load::start(relay.lines, &config);
    load.goes_on();
    assert_eq!(shown(), der(&first));

    files.replace(&second);
    relay.hang_up();
    relay.until(|metrics| reloads(metrics, "loaded") == 1);
    assert_eq!(shown(), der(&second));
    load.goes_on();

    // Nothing of a certificate, half a certificate, and somebody else's key.
    let half = &second.certificate[..second.certificate.len() / 2];
    for (broken, refused) in [("", 1), (half, 2), (&third.certificate, 3)] {
        files.write("relay.pem", broken);
        relay.hang_up();
        let metrics = relay.until(|metrics| reloads(metrics, "refused") == refused);
        assert_eq!((shown(), reloads(&metrics, "loaded")), (der(&second), 1), "the old one stays in use");
    }
    for why in ["has no certificate in it", "is not PEM", "does not belong to the first certificate", "stays in use"] {
        relay.says(why);
    }
    load.goes_on();

    // Nobody asks this time.
    files.replace(&third);
    relay.until(|metrics| reloads(metrics, "loaded") == 2);
    assert_eq!(shown(), der(&third));
    load.goes_on();

    let sent = load.finish();
    let again = all_arrived(sent.iter().copied(), &logstash.receives(sent.len()));
    assert_eq!(again, 0, "nothing is sent twice");
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == sent.len() as u64);
    // What only looked at a certificate has ended without saying so.
    let cut = metrics.sum_where("source_connections_ended_total", "reason=\"reset\"");
    let closed = metrics.sum_where("source_connections_ended_total", "reason=\"closed\"");
    assert_eq!((cut, closed + cut), (6, metrics.sum("source_connections_ended_total")), "{metrics}");
    assert_eq!(metrics.sum_where("source_tls_handshakes_total", "result=\"done\""), metrics.sum("source_tls_handshakes_total"));
    relay.stop().cleanly();
}

#[test]
fn an_authority_that_is_replaced_lets_its_own_senders_in_and_no_others() {
    let (relays, old, new) = (Authority::new("relays"), Authority::new("old"), Authority::new("new"));
    let files = Files::new(&relays.relay());
    files.authority(&old);
    let relay = Relay::to_stdout().source(&files.mutual("")).source("confirm = \"close\"").start();
    let (of_old, of_new) = (old.sender("a.example"), new.sender("a.example"));
    let gets_in = |identity: &Identity| {
        let connected = TlsSender::try_connect(relay.lines, &relays.trusting(Some(identity)));
        connected
            .and_then(|mut sender| sender.try_send("an event\n").map(|()| sender.close_notify()).and_then(|()| sender.ends()))
            .is_ok()
    };
    let mut kept = TlsSender::connect(relay.lines, &relays.trusting(Some(&of_old)));
    kept.send("an event\n");
    relay.writes(1);
    assert!(gets_in(&of_old) && !gets_in(&of_new));
    files.authority(&new);
    relay.hang_up();
    relay.until(|metrics| reloads(metrics, "loaded") == 1);
    assert!(gets_in(&of_new) && !gets_in(&of_old));
    kept.send("an event\n");
    kept.finish();
    relay.writes(4);
    relay.stop().cleanly();
}

/// The exit status and the words of a command on a configuration that speaks TLS from these files.
#[track_caller]
fn tried(command: &str, files: &Files) -> (Option<i32>, String) {
    let config = Relay::to_stdout().source(&files.mutual("")).write_in(files.path("").as_path());
    let output = elbow().args([command, "-c"]).arg(config).stdin(Stdio::null()).output().expect("it runs");
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).expect("text"))
}

#[test]
fn files_are_looked_at_by_the_check_and_before_anything_starts() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    files.authority(&authority);
    let (status, said) = tried("check", &files);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("relay.pem") && !said.contains("expired"), "{said}");
    files.replace(&authority.expired_relay());
    let (status, said) = tried("check", &files);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("relay.pem has expired at 2020-01-01T00:00:00Z"), "{said}");
    files.write("relay.key", &authority.relay().key);
    for command in ["check", "run"] {
        let (status, said) = tried(command, &files);
        assert_eq!(status, Some(2), "{said}");
        assert!(
            said.contains("elbow: source in: the key in ") && said.contains("does not belong to the first certificate"),
            "{said}"
        );
    }
    fs::remove_file(files.path("senders.pem")).expect("it is there");
    let (status, said) = tried("check", &files);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("senders.pem cannot be read"), "{said}");
}

/// Whether there is an OpenSSL to try it with; says so where there is none.
fn has_openssl() -> bool {
    let version = Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = version.is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("there is no openssl here: this is not tried");
    }
    is_there
}

#[test]
fn the_certificates_that_the_page_on_tls_makes_are_good() {
    if !has_openssl() {
        return;
    }
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tls.md")).expect("the page is there");
    let (_, commands) = page.split_once("```sh\n").expect("commands");
    let (commands, _) = commands.split_once("```").expect("their end");
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new("sh").args(["-ec", commands]).current_dir(&folder).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name| fs::read_to_string(folder.path().join(name)).expect("it has been made");
    let identity = |name: &str| Identity { certificate: read(format!("{name}.pem")), key: read(format!("{name}.key")) };
    let files = Files::new(&identity("relay"));
    files.write("senders.pem", &read("ca.pem".to_owned()));
    let relay = Relay::to_stdout().source(&files.mutual("client_names = [\"lambda.example\"]")).start();
    let authority = CertificateDer::from_pem_slice(read("ca.pem".to_owned()).as_bytes()).expect("PEM");
    let mut sender =
        TlsSender::connect(relay.lines, &trusting_roots([authority], Some(&identity("sender")), rustls::ALL_VERSIONS));
    sender.send("an event\n");
    sender.finish();
    relay.writes(1);
    relay.stop().cleanly();
}

#[test]
fn a_sender_as_everybody_has_it_gets_in() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new("ours");
    let (files, sender) = (Files::new(&authority.relay()), authority.sender("lambda.example"));
    files.authority(&authority);
    files.write("sender.pem", &sender.certificate);
    files.write("sender.key", &sender.key);
    let relay = Relay::to_stdout().source(&files.mutual("")).start();
    let connect = |words: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-servername", "relay.example", "-connect"]);
        command.arg(relay.lines.to_string()).args(words);
        for (word, name) in [("-CAfile", "senders.pem"), ("-cert", "sender.pem"), ("-key", "sender.key")] {
            command.arg(word).arg(files.path(name));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
        // It may have been refused before it has read anything.
        let _ = child.stdin.take().expect("a pipe").write_all(b"an event\n");
        child.wait_with_output().expect("it ends")
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let output = connect(&[version, "-no_ign_eof"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    relay.writes(2);
    // Its own policy would not let it even try.
    let old = connect(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-no_ign_eof"]);
    assert!(!old.status.success());
    relay.until(|metrics| metrics.sum_where("source_tls_handshakes_total", "result=\"protocol_version\"") == 1);
    assert_eq!(relay.stop().cleanly().documents.len(), 2);
}
