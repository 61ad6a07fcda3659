//! The Elasticsearch sink against a server that can be told to say anything: nothing is lost, and nothing is believed too soon.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::support::http_server::HttpServer;
use crate::support::http_server::Reply;
use crate::support::http_server::Request;
use crate::support::lines::alb;
use crate::support::lines::alb_padded;
use crate::support::lines::albs;
use crate::support::lines::id_of;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::relay::elbow;
use crate::support::scrape::Metrics;
use crate::support::sender::send;
use crate::support::wait_for;

/// What an index holds: under each index and id the number of its document.
#[derive(Default)]
struct Held {
    documents: BTreeMap<(String, String), u64>,
    /// Documents that came again.
    again: usize,
}

/// A cluster of one that keeps what it creates.
#[derive(Clone, Default)]
struct Cluster {
    held: Arc<Mutex<Held>>,
}

impl Cluster {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nobody panics holding it")
    }

    /// Answers as a server does; `fate` may say otherwise of a document: a status.
    fn answer(&self, request: &Request, mut fate: impl FnMut(u64) -> Option<u16>) -> Reply {
        if !request.target.starts_with("/_bulk") {
            return Reply::elasticsearch(request);
        }
        let documents = request.documents();
        let actions: Vec<Value> = request.body.split(|byte| *byte == b'\n').step_by(2).flat_map(serde_json::from_slice).collect();
        Reply::items(request, |position, id| {
            let number = id_of(documents[position].to_string().as_bytes()).expect("one of ours");
            if let Some(status) = fate(number) {
                return status;
            }
            let index = actions[position]["create"]["_index"].as_str().expect("an index").to_owned();
            let mut held = self.lock();
            if held.documents.insert((index, id.to_owned()), number).is_some() {
                held.again += 1;
                return 409;
            }
            201
        })
    }

    fn count(&self) -> usize {
        self.lock().documents.len()
    }

    /// Waits until exactly these are there, each under one id.
    #[track_caller]
    fn holds(&self, numbers: impl IntoIterator<Item = u64>) {
        let want: Vec<u64> = numbers.into_iter().collect();
        wait_for(
            || (self.count() >= want.len()).then_some(()),
            || format!("{} documents, there are {}", want.len(), self.count()),
        );
        let mut have: Vec<u64> = self.lock().documents.values().copied().collect();
        have.sort_unstable();
        assert_eq!(have, want);
    }
}

fn serving(cluster: &Cluster) -> HttpServer {
    let cluster = cluster.clone();
    HttpServer::answering(move |request| cluster.answer(request, |_| None))
}

fn setup(server: &HttpServer) -> Setup {
    to(&format!("http://{}", server.address()))
}

fn to(url: &str) -> Setup {
    Relay::to_sink("elasticsearch", "elasticsearch", &format!("hosts = [\"{url}\"]\nindex = \"elb-%Y.%m.%d\""))
}

fn exported(directory: &Path) -> Vec<Value> {
    let done = elbow().args(["dead-letters", "export", "-c"]).arg(directory.join("elbow.toml")).output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A relay with dead letters, its configuration in that directory.
fn keeping(server: &HttpServer, directory: &TempDir) -> Setup {
    setup(server).in_directory(directory.path())
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn documents_are_created_under_their_ids_in_the_index_of_their_day() {
    let cluster = Cluster::default();
    let server = serving(&cluster);
    let relay = setup(&server).start();
    send(relay.lines, albs(0..2_000));
    cluster.holds(0..2_000);
    let metrics = relay.until(|metrics| metrics.delivered("elasticsearch") == 2_000);
    assert_eq!(metrics.sum_where("sink_condition", "condition=\"delivering\""), 1);
    relay.stop().cleanly();
    let held = cluster.lock();
    assert!(held.documents.keys().all(|(index, _)| index == "elb-2026.03.01"), "the day the lines are of");
    assert_eq!(held.again, 0);
    for request in server.requests().iter().filter(|request| request.method == "POST") {
        for (document, id) in request.documents().iter().zip(request.bulk_ids()) {
            assert_eq!(document["event"]["id"], id);
        }
    }
}

#[test]
fn requests_may_be_packed_and_say_who_asks() {
    let cluster = Cluster::default();
    let server = serving(&cluster);
    let relay = setup(&server).sink("compression = \"gzip\"\napi_key = \"${KEY:-id:secret}\"").start();
    send(relay.lines, albs(0..500));
    cluster.holds(0..500);
    let log = relay.stop().cleanly().log_text;
    let requests = server.requests();
    // What ID:SECRET is in base64.
    assert!(requests.iter().all(|request| request.header("authorization") == Some("ApiKey aWQ6c2VjcmV0")));
    let bulk = requests.iter().find(|request| request.method == "POST").expect("there was one");
    assert_eq!(bulk.header("content-encoding"), Some("gzip"));
    assert!(bulk.packed < bulk.body.len() / 2);
    assert!(!log.contains("aWQ6c2VjcmV0") && !log.contains("id:secret"), "{log}");
}

#[test]
fn a_mixed_answer_is_read_document_by_document() {
    let directory = directory();
    let cluster = Cluster::default();
    let answering = cluster.clone();
    let mut asked: BTreeMap<u64, u32> = BTreeMap::new();
    let server = HttpServer::answering(move |request| {
        answering.answer(request, |number| {
            let times = asked.entry(number).or_default();
            *times += 1;
            match (number % 10, *times) {
                (1, _) => Some(400),
                (2, 1..=2) => Some(429),
                (3, 1) => Some(503),
                (4, 1) => Some(500),
                (5, 1) => Some(599),
                _ => None,
            }
        })
    });
    let relay = keeping(&server, &directory).start();
    send(relay.lines, albs(0..1_000));
    cluster.holds((0..1_000).filter(|number| number % 10 != 1));
    let metrics = relay.until(|metrics| metrics.buffered("elasticsearch") == 0);
    assert_eq!(metrics.delivered("elasticsearch"), 900);
    assert_eq!(metrics.sum("sink_refused_events_total"), 100);
    assert_eq!(metrics.sum("sink_dropped_events_total"), 0);
    assert!(metrics.sum("sink_retried_events_total") >= 500);
    let ended = relay.stop().cleanly();
    let entry = ended.entry("everything is delivered or refused");
    assert_eq!((&entry["delivered"], &entry["refused"]), (&json!(900), &json!(100)));
    let listed = elbow().args(["dead-letters", "list", "-c"]).arg(directory.path().join("elbow.toml")).output().expect("it runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.lines().all(|line| line.contains(" in refused ") && line.ends_with(" elasticsearch: as told")), "{listed}");
    let letters = exported(directory.path());
    assert_eq!(letters.len(), 100);
    for letter in &letters {
        assert_eq!(
            letter["elbow"],
            json!({"reason": "refused", "sink": "elasticsearch", "status": 400, "error": "scripted_400", "words": "as told"})
        );
        assert_eq!(letter["document"]["event"]["id"], letter["event"]["id"]);
        assert_eq!(id_of(letter["document"].to_string().as_bytes()).map(|number| number % 10), Some(1));
    }
}

#[test]
fn what_an_answer_repeats_of_the_request_is_neither_kept_nor_logged() {
    let directory = directory();
    let server = HttpServer::answering(|request| {
        if request.method == "GET" {
            return Reply::elasticsearch(request);
        }
        let who = request.header("authorization").expect("it says who").to_owned();
        let error = json!({"type": "x".repeat(100_000) + &who, "reason": format!("not for {who}, whose password is hush-hush")});
        let item = |id: String| json!({"create": {"_id": id, "status": 400, "error": error}});
        let items: Vec<Value> = request.bulk_ids().into_iter().map(item).collect();
        Reply::status(200).json(&json!({"errors": true, "items": items}))
    });
    let relay = keeping(&server, &directory).sink("user = \"relay\"\npassword = \"${HUSH:-hush-hush}\"").start();
    send(relay.lines, albs(0..3));
    relay.until(|metrics| metrics.sum("sink_refused_events_total") == 3);
    let log = relay.stop().cleanly().log_text;
    let letters = exported(directory.path());
    assert_eq!(letters.len(), 3);
    // What relay:hush-hush is in base64.
    for secret in ["hush-hush", "cmVsYXk6aHVzaC1odXNo"] {
        assert!(!log.contains(secret), "{log}");
        assert!(letters.iter().all(|letter| !letter.to_string().contains(secret)), "{}", letters[0]);
    }
    assert_eq!(letters[0]["elbow"]["words"], "not for ***, whose password is ***");
    assert!(letters[0]["elbow"]["error"].as_str().is_some_and(|kind| kind.chars().count() <= 100), "{}", letters[0]);
}

/// What replaying says, with this status.
#[track_caller]
fn replayed(directory: &Path, words: &[&str], status: i32) -> String {
    let mut command: Command = elbow();
    let done = command.args(["dead-letters", "replay", "-c"]).arg(directory.join("elbow.toml")).args(words).output();
    let done = done.expect("it runs");
    assert_eq!(done.status.code(), Some(status), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn refused_documents_can_be_replayed_after_the_index_was_mended() {
    let directory = directory();
    let cluster = Cluster::default();
    let (answering, mended) = (cluster.clone(), Arc::new(Mutex::new(false)));
    let is_mended = mended.clone();
    let server = HttpServer::answering(move |request| {
        let is_mended = *is_mended.lock().expect("no panic");
        answering.answer(request, |number| (!is_mended && number % 2 == 0).then_some(400))
    });
    let starts = || keeping(&server, &directory).tables("[[sink]]\nname = \"out\"\ntype = \"stdout\"\n").start();
    let delivered = |metrics: &Metrics| ["elasticsearch", "out"].iter().all(|sink| metrics.buffered(sink) == 0);
    let relay = starts();
    send(relay.lines, albs(0..100));
    relay.until(delivered);
    assert_eq!(relay.stop().cleanly().documents.len(), 100);
    *mended.lock().expect("no panic") = true;
    assert_eq!(replayed(directory.path(), &[], 0), "50 letters replayed\n");
    assert_eq!(exported(directory.path()).len(), 0);
    let relay = starts();
    cluster.holds(0..100);
    relay.until(delivered);
    assert_eq!(relay.stop().cleanly().documents.len(), 0, "who did not refuse them does not get them again");
    assert_eq!(cluster.lock().again, 0, "the others were not sent again");
}

#[test]
fn what_a_sink_refused_that_is_not_configured_any_more_stays_or_goes_to_all() {
    let directory = directory();
    let cluster = Cluster::default();
    let answering = cluster.clone();
    let server = HttpServer::answering(move |request| answering.answer(request, |_| Some(400)));
    let relay = keeping(&server, &directory).start();
    send(relay.lines, albs(0..10));
    relay.until(|metrics| metrics.buffered("elasticsearch") == 0);
    relay.stop().cleanly();
    let other = Relay::to_stdout().in_directory(directory.path());
    other.clone().start().stop().cleanly();
    let stay = "0 letters replayed\n10 refused by sinks that are not configured: they stay\n";
    assert_eq!(replayed(directory.path(), &[], 1), stay);
    assert_eq!(replayed(directory.path(), &["--as-is"], 0), "10 letters replayed\n");
    let relay = other.start();
    relay.until(|metrics| metrics.buffered("out") == 0);
    assert_eq!(relay.stop().cleanly().documents.len(), 10);
}

/// What is answered instead of the truth.
type Lie = Box<dyn Fn(&Request) -> Reply + Send>;

/// Bytes of a document of the stories about full dead letters.
const LARGE: usize = 8_000;

/// A relay with the least dead letters there can be, and a server that refuses the first documents.
fn refusing(directory: &TempDir, when_full: &str, count: u64) -> (Cluster, HttpServer, Setup) {
    let cluster = Cluster::default();
    let answering = cluster.clone();
    let server = HttpServer::answering(move |request| answering.answer(request, |number| (number < count).then_some(400)));
    let letters = format!("[dead_letters]\nmax_bytes = \"16MiB\"\nwhen_full = \"{when_full}\"\n");
    let setup = keeping(&server, directory).tables(&letters);
    (cluster, server, setup)
}

fn large(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| alb_padded(number, LARGE)).collect()
}

#[test]
fn what_is_refused_while_the_dead_letters_are_full_waits_in_the_buffer() {
    let directory = directory();
    let (cluster, server, setup) = refusing(&directory, "block", 2_000);
    let relay = setup.start();
    send(relay.lines, large(0..2_000));
    relay.until(|_| relay.page("/ready").1.contains("\"condition\": \"full\""));
    relay.until(|metrics| metrics.received() == 2_000 && metrics.buffered("elasticsearch") > 0);
    let metrics = relay.metrics();
    assert_eq!(metrics.sum("sink_dropped_events_total") + metrics.sum("dead_letters_dropped_events_total"), 0);
    relay.stop().cleanly();
    let kept = exported(directory.path());
    assert!((500..2_000).contains(&kept.len()), "{}", kept.len());
    let purged = elbow().args(["dead-letters", "purge", "--all", "-c"]).arg(directory.path().join("elbow.toml")).status();
    assert!(purged.expect("it runs").success());
    // The index has been mended meanwhile.
    let answering = cluster.clone();
    server.answer(move |request| answering.answer(request, |_| None));
    let relay = keeping(&server, &directory).start();
    relay.until(|metrics| metrics.buffered("elasticsearch") == 0);
    relay.stop().cleanly();
    let kept = kept.iter().map(|letter| id_of(letter["document"].to_string().as_bytes()).expect("one of ours"));
    let held: BTreeSet<u64> = cluster.lock().documents.values().copied().chain(kept).collect();
    assert_eq!(held, (0..2_000).collect());
}

#[test]
fn of_what_is_refused_while_the_dead_letters_are_full_each_that_is_dropped_is_counted() {
    let directory = directory();
    let (cluster, _server, setup) = refusing(&directory, "drop_oldest", 3_000);
    let relay = setup.start();
    send(relay.lines, large(0..3_000) + &albs(3_000..3_100));
    relay.until(|metrics| metrics.sum("sink_refused_events_total") == 3_000);
    cluster.holds(3_000..3_100);
    let dropped = relay.metrics().sum("dead_letters_dropped_events_total");
    relay.stop().cleanly();
    assert!(dropped > 500, "{dropped}");
    assert_eq!(exported(directory.path()).len() as u64 + dropped, 3_000);
}

#[test]
fn answers_that_cannot_be_true_count_for_nothing() {
    let cluster = Cluster::default();
    let server = serving(&cluster);
    let whole = |request: &Request| Reply::items(request, |_, _| 201);
    let lies: Vec<Lie> = vec![
        Box::new(|_| Reply::status(200)),
        Box::new(|_| Reply::status(200).body("<html>all is well</html>")),
        Box::new(|_| Reply::status(200).json(&json!({"took": 1, "errors": false, "items": []}))),
        Box::new(|_| Reply::status(200).json(&json!({"took": 1, "errors": false}))),
        Box::new(move |request| whole(request).cut(150)),
        Box::new(|_| Reply::close()),
        Box::new(|_| Reply::reset()),
        Box::new(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{\"items\":[")),
        Box::new(|_| Reply::raw("200 OK\r\n\r\n")),
        Box::new(|_| Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")),
        Box::new(|request| {
            let ids: Vec<String> = request.bulk_ids();
            let items: Vec<Value> = ids.iter().rev().map(|id| json!({"create": {"_id": id, "status": 201}})).collect();
            Reply::status(200).json(&json!({"errors": false, "items": items}))
        }),
        Box::new(|request| Reply::items(request, |_, _| 301)),
        Box::new(|_| Reply::status(204)),
        Box::new(|_| Reply::status(500)),
        Box::new(|_| Reply::status(599)),
        Box::new(|_| Reply::status(408)),
        Box::new(|_| Reply::status(425)),
    ];
    let (answering, next) = (cluster.clone(), Arc::new(Mutex::new(None::<Lie>)));
    let lie = next.clone();
    server.answer(move |request| {
        if request.method == "GET" {
            return Reply::elasticsearch(request);
        }
        let lie = lie.lock().expect("no panic").take();
        lie.map_or_else(|| answering.answer(request, |_| None), |lie| lie(request))
    });
    let relay = setup(&server).start();
    let mut sent = 0;
    for lie in lies {
        *next.lock().expect("no panic") = Some(lie);
        send(relay.lines, alb(sent) + &alb(sent + 1));
        sent += 2;
        cluster.holds(0..sent);
        assert!(next.lock().expect("no panic").is_none(), "it was told");
    }
    let metrics = relay.until(|metrics| metrics.buffered("elasticsearch") == 0);
    assert_eq!((metrics.delivered("elasticsearch"), metrics.sum("sink_refused_events_total")), (sent, 0));
    relay.stop().cleanly();
}

#[test]
fn too_large_a_request_is_sent_in_parts_and_only_one_document_stays_behind() {
    let directory = directory();
    let cluster = Cluster::default();
    let server = serving(&cluster);
    server.body_max(100_000);
    let relay = keeping(&server, &directory).start();
    send(relay.lines, albs(0..200) + &alb_padded(200, 200_000) + &albs(201..400));
    cluster.holds((0..400).filter(|number| *number != 200));
    relay.until(|metrics| metrics.buffered("elasticsearch") == 0 && metrics.sum("sink_refused_events_total") == 1);
    relay.stop().cleanly();
    let letters = exported(directory.path());
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["elbow"]["status"], id_of(letters[0].to_string().as_bytes())), (&json!(413), Some(200)));
}

#[test]
fn credentials_that_are_refused_pause_it_until_they_are_good_again() {
    for status in [401, 403] {
        let directory = directory();
        let cluster = Cluster::default();
        let server = serving(&cluster);
        let relay = keeping(&server, &directory).start();
        send(relay.lines, albs(0..100));
        cluster.holds(0..100);
        let reason = json!({"error": {"type": "security_exception", "reason": "no"}, "status": status});
        server.answer(move |_| Reply::status(status).json(&reason));
        send(relay.lines, albs(100..200));
        relay.until(|metrics| metrics.sum_where("sink_condition", "condition=\"paused\"") == 1);
        let (ready, page) = relay.page("/ready");
        assert_eq!(ready, 200);
        let remedy = if status == 401 { "check the sink's credentials" } else { "the right to write there" };
        assert!(page.contains(remedy) && page.contains("security_exception: no"), "{page}");
        let answering = cluster.clone();
        server.answer(move |request| answering.answer(request, |_| None));
        cluster.holds(0..200);
        relay.until(|metrics| metrics.sum_where("sink_condition", "condition=\"delivering\"") == 1);
        let ended = relay.stop().cleanly();
        assert!(ended.log_text.contains("sink failed and will try again"), "{}", ended.log_text);
        assert_eq!(exported(directory.path()).len(), 0);
    }
}

#[test]
fn a_storm_of_too_many_requests_ends_and_nothing_was_lost() {
    let cluster = Cluster::default();
    let server = serving(&cluster);
    let (answering, mut count) = (cluster.clone(), 0);
    let until = Instant::now() + Duration::from_secs(5);
    server.answer(move |request| {
        count += 1;
        if Instant::now() > until || request.method == "GET" {
            return answering.answer(request, |_| None);
        }
        match count % 3 {
            0 => Reply::status(429),
            1 => Reply::status(429).header("Retry-After", "1"),
            _ => answering.answer(request, |number| (number % 3 != 0).then_some(429)),
        }
    });
    let relay = setup(&server).start();
    for from in (0..5_000).step_by(500) {
        send(relay.lines, albs(from..from + 500));
        thread::sleep(Duration::from_millis(300));
    }
    let patience = Instant::now();
    while cluster.count() < 5_000 && patience.elapsed() < Duration::from_secs(90) {
        thread::sleep(Duration::from_millis(20));
    }
    cluster.holds(0..5_000);
    let metrics = relay.until(|metrics| metrics.delivered("elasticsearch") == 5_000);
    assert!(metrics.sum("sink_retried_events_total") > 0, "there was a storm");
    relay.stop().cleanly();
}

#[test]
fn a_server_that_takes_requests_and_says_nothing_is_asked_again() {
    let cluster = Cluster::default();
    let server = serving(&cluster);
    let relay = setup(&server).sink("request_timeout = \"1s\"").start();
    send(relay.lines, albs(0..100));
    cluster.holds(0..100);
    server.next([Reply::stall()]);
    send(relay.lines, albs(100..200));
    cluster.holds(0..200);
    relay.until(|metrics| metrics.delivered("elasticsearch") == 200 && metrics.sum("sink_failures_total") == 1);
    relay.stop().cleanly();
}

#[test]
fn a_server_that_is_away_loses_nothing_and_one_that_has_no_name_neither() {
    let cluster = Cluster::default();
    let answering = cluster.clone();
    let mut server = HttpServer::absent(move |request| answering.answer(request, |_| None));
    let relay = setup(&server).start();
    send(relay.lines, albs(0..1_000));
    let metrics = relay.until(|metrics| metrics.sum("sink_failures_total") > 1);
    assert_eq!(metrics.buffered("elasticsearch"), 1_000);
    server.appear();
    cluster.holds(0..1_000);
    relay.stop().cleanly();

    let relay = to("http://nowhere.invalid:9200").start();
    send(relay.lines, albs(0..10));
    relay.until(|metrics| metrics.sum("sink_failures_total") > 1);
    let (_, page) = relay.page("/ready");
    assert!(page.contains("cannot resolve nowhere.invalid:9200") && page.contains("check the host's spelling"), "{page}");
    relay.kill();
}

#[test]
fn of_several_hosts_those_that_are_there_share_the_work() {
    let cluster = Cluster::default();
    let (one, two) = (serving(&cluster), serving(&cluster));
    let absent = HttpServer::absent(|_| Reply::status(500));
    let hosts = [&absent, &one, &two].map(|server| format!("\"http://{}\"", server.address())).join(", ");
    let settings = format!("hosts = [{hosts}]\nindex = \"elb\"\nrequest_bytes = \"64KiB\"");
    let relay = Relay::to_sink("elasticsearch", "elasticsearch", &settings).start();
    send(relay.lines, albs(0..5_000));
    cluster.holds(0..5_000);
    relay.stop().cleanly();
    assert!(one.requests().len() > 3 && two.requests().len() > 3, "{} and {}", one.requests().len(), two.requests().len());
}

#[test]
fn one_of_several_hosts_that_lies_or_refuses_costs_nothing_and_nobody_waits_for_it() {
    for lie in [Reply::status(200).body("<html>all is well</html>"), Reply::status(400), Reply::status(413), Reply::status(500)] {
        let cluster = Cluster::default();
        let good = serving(&cluster);
        let said = lie.clone();
        let bad = HttpServer::answering(move |request| match &*request.method {
            "GET" => Reply::elasticsearch(request),
            _ => said.clone(),
        });
        let hosts = format!("hosts = [\"http://{}\", \"http://{}\"]\nindex = \"elb-%Y.%m.%d\"", bad.address(), good.address());
        let relay = Relay::to_sink("elasticsearch", "elasticsearch", &hosts).start();
        for from in (0..3_000).step_by(100) {
            send(relay.lines, albs(from..from + 100));
        }
        cluster.holds(0..3_000);
        let metrics = relay.until(|metrics| metrics.buffered("elasticsearch") == 0);
        assert_eq!((metrics.delivered("elasticsearch"), metrics.sum("sink_refused_events_total")), (3_000, 0), "{lie:?}");
        assert!(bad.requests().len() < 12, "{} requests to one that answers with {lie:?}", bad.requests().len());
        relay.stop().cleanly();
    }
}

#[test]
fn a_killed_relay_creates_nothing_twice() {
    let directory = directory();
    let cluster = Cluster::default();
    let server = serving(&cluster);
    let answering = cluster.clone();
    server.answer(move |request| answering.answer(request, |_| None).after(Duration::from_millis(30)));
    let mut sent = 0;
    for _ in 0..3 {
        let relay = keeping(&server, &directory).sink("request_bytes = \"64KiB\"").source("confirm = \"close\"").start();
        let mut sender = relay.sender();
        sender.send(albs(sent..sent + 2_000));
        sender.finish();
        sent += 2_000;
        relay.kill();
    }
    let relay = keeping(&server, &directory).start();
    cluster.holds(0..sent);
    relay.until(|metrics| metrics.buffered("elasticsearch") == 0);
    relay.stop().cleanly();
}

#[test]
fn something_else_at_that_address_is_given_nothing() {
    for (about, words) in [
        (json!({"version": {"number": "6.8.0"}, "tagline": "You Know, for Search"}), "too old"),
        (json!({"name": "a shop"}), "neither Elasticsearch nor OpenSearch"),
    ] {
        let server = HttpServer::answering(move |_| Reply::status(200).json(&about));
        let relay = setup(&server).start();
        send(relay.lines, albs(0..10));
        relay.until(|metrics| metrics.sum("sink_failures_total") > 0);
        let (_, page) = relay.page("/ready");
        assert!(page.contains(words), "{page}");
        assert!(server.requests().iter().all(|request| request.method == "GET"));
        relay.kill();
    }
}

#[test]
fn one_that_is_dead_and_one_that_is_slow_cost_a_third_nothing() {
    let (dead, cluster) = (FakeLogstash::absent(), Cluster::default());
    let slow = HttpServer::answering(|request| Reply::elasticsearch(request).after(Duration::from_secs(2)));
    let server = serving(&cluster);
    let relay = setup(&server)
        .and_to("dead", dead.address())
        .and_sink("slow", "elasticsearch", &format!("hosts = [\"http://{}\"]\nindex = \"x\"", slow.address()))
        .start();
    let begun = Instant::now();
    send(relay.lines, albs(0..20_000));
    cluster.holds(0..20_000);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let metrics = relay.metrics();
    assert_eq!(metrics.delivered("dead"), 0);
    relay.kill();
}
