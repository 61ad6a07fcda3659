//! Tenants: whose a sender is, what it cannot change, what it may use, and what that is to the others.

use std::fs;
use std::io::BufRead;
use std::io::ErrorKind;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::proxy::of_load_balancer;
use crate::support::http::gzip;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::lines::json;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::relay::elbow;
use crate::support::scrape::Metrics;
use crate::support::sender::Sender;
use crate::support::stays;

const TOKEN_OF_A: &str = "the-token-of-tenant-a";
const TOKEN_OF_B: &str = "the-token-of-tenant-b";

/// A directory with the tokens of two tenants.
fn tokens() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a"), format!("{TOKEN_OF_A}\n")).expect("it is ours");
    fs::write(directory.path().join("b"), format!("an-older-token-of-b\n{TOKEN_OF_B}\n")).expect("it is ours");
    directory
}

/// The tenant `a` with a network and a token, and `b` with a token alone.
fn with_two(setup: Setup, tokens: &tempfile::TempDir, unknown: &str) -> Setup {
    let path = tokens.path().display();
    setup.tables(&format!(
        "[tenants]\nunknown = \"{unknown}\"\n\
         [[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\ntoken_file = \"{path}/a\"\nfields = {{ team = \"A\" }}\n\
         [[tenant]]\nname = \"b\"\ntoken_file = \"{path}/b\"\nfields = {{ team = \"B\", floor = 3 }}\n"
    ))
}

fn preamble(token: &str) -> String {
    format!("{{\"@elbow\":{{\"token\":\"{token}\",\"fields\":{{\"team\":\"mine\",\"room\":\"7\"}}}}}}\n")
}

/// One connection from this address, sent to and finished.
#[track_caller]
fn send_from(relay: &Relay, address: &str, bytes: &str) {
    let mut sender = Sender::connect_from(relay.lines, address);
    sender.send(bytes);
    sender.finish();
}

/// A sender from this address that is not let in: its connection is reset, at once or when it has said this.
#[track_caller]
fn is_refused(relay: &Relay, address: &str, bytes: &str) {
    match Sender::try_connect_from(relay.lines, address) {
        Ok(sender) => is_reset(sender, bytes),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// Its connection is reset when it has said this.
#[track_caller]
fn is_reset(mut sender: Sender, bytes: &str) {
    // It may be reset before everything is written, and is told so once.
    if sender.try_send(bytes).is_ok() {
        let ended = sender.ends().map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::ConnectionReset));
    }
}

#[track_caller]
fn of_tenant(metrics: &Metrics, family: &str, tenant: &str) -> u64 {
    metrics.sum_where(&format!("tenant_{family}"), &format!("tenant=\"{tenant}\""))
}

/// The documents in the order of their member `n`.
fn by_number(mut documents: Vec<Value>) -> Vec<Value> {
    documents.sort_by_key(|document| document["n"].as_u64());
    documents
}

#[test]
fn an_address_or_a_token_says_whose_a_sender_is() {
    let tokens = tokens();
    let relay = with_two(Relay::to_stdout(), &tokens, "allow").start();
    send_from(&relay, "127.0.0.2", "{\"n\":1}\n");
    send_from(&relay, "127.0.0.3", "{\"n\":2,\"team\":\"none\"}\n");
    send_from(&relay, "127.0.0.3", &format!("{}{{\"n\":3}}\n", preamble(TOKEN_OF_B)));
    send_from(&relay, "127.0.0.2", &format!("{}{{\"n\":4}}\n", preamble("an-older-token-of-b")));
    is_refused(&relay, "127.0.0.2", &format!("{}{{\"n\":5}}\n", preamble("nobody-s-token-at-all")));
    let documents = by_number(relay.writes(4));
    let teams: Vec<&Value> = documents.iter().map(|document| &document["team"]).collect();
    assert_eq!(teams, ["A", "none", "B", "B"], "{documents:?}");
    assert_eq!((&documents[2]["floor"], &documents[2]["room"]), (&Value::from(3), &Value::from("7")));
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(["a", "b", "_unknown"].map(|tenant| of_tenant(&metrics, "events_total", tenant)), [1, 2, 1]);
    assert_eq!(metrics.sum_where("tenant_refused_connections_total", "reason=\"token\""), 1);
    assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"refused\""), 1);
    assert_eq!(of_tenant(&metrics, "cut_members_total", "b"), 2, "a field of a preamble, twice");
    let ended = relay.stop().cleanly();
    assert_eq!(ended.documents.len(), 4, "nothing of a refused sender is kept");
    assert!(!ended.log_text.contains("token-of"), "tokens are never shown:\n{}", ended.log_text);
}

#[test]
fn where_only_tenants_may_send_everybody_else_is_refused_and_nothing_of_it_is_kept() {
    let tokens = tokens();
    let relay = with_two(Relay::to_stdout(), &tokens, "refuse").start();
    for first in [alb(1), json(1), "text\n".to_owned(), "{\"@elbow\":{}}\ntext\n".to_owned(), "\n\ntext\n".to_owned()] {
        is_refused(&relay, "127.0.0.3", &first);
    }
    let mut unfinished = Sender::connect_from(relay.lines, "127.0.0.3");
    unfinished.send("a last line without its newline");
    unfinished.half_close();
    is_reset(unfinished, "");
    send_from(&relay, "127.0.0.3", &format!("\n{}{{\"n\":1}}\n", preamble(TOKEN_OF_B)));
    send_from(&relay, "127.0.0.2", "{\"n\":2}\n");
    assert_eq!(by_number(relay.writes(2))[0]["team"], "B");
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum_where("tenant_refused_connections_total", "reason=\"unknown\""), 6);
    assert_eq!((metrics.received(), of_tenant(&metrics, "events_total", "_unknown")), (2, 0));
    assert_eq!(relay.stop().cleanly().documents.len(), 2);
}

/// What a sender is told that says this from an address that is nobody's, half-closes where it has said everything, and is reset.
#[track_caller]
fn told_before_the_reset(relay: &Relay, bytes: &str, half_closes: bool) -> String {
    let mut sender = Sender::connect_from(relay.lines, "127.0.0.3");
    let mut told = Vec::new();
    // It may be reset before everything is written.
    if sender.try_send(bytes).is_ok() && (!half_closes || sender.try_half_close()) {
        let ended = sender.reader().read_to_end(&mut told).map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::ConnectionReset), "{}", told.escape_ascii());
    }
    String::from_utf8(told).expect("text")
}

#[test]
fn a_sender_that_is_refused_is_never_told_that_its_lines_are_stored() {
    let tokens = tokens();
    let path = tokens.path().display();
    let one =
        format!("[tenants]\nunknown = \"refuse\"\n[[tenant]]\nname = \"b\"\ntoken_file = \"{path}/b\"\nmax_connections = 1\n");
    for confirm in ["close", "line"] {
        let relay = Relay::to_stdout().source(&format!("confirm = \"{confirm}\"")).tables(&one).start();
        let mut holds_the_place = relay.sender();
        holds_the_place.send(preamble(TOKEN_OF_B) + "one\n");
        relay.writes(1);
        let lines = "two\n".repeat(100);
        for refused in [
            preamble("nobody-s-token-at-all") + &lines,
            preamble(TOKEN_OF_B) + &lines,
            lines.clone(),
            "\n\n".to_owned() + &lines,
            "a last line without its newline".to_owned(),
        ] {
            for half_closes in [true, !refused.ends_with('\n')] {
                assert_eq!(told_before_the_reset(&relay, &refused, half_closes), "", "{confirm}: {refused:?}");
            }
        }
        let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 1);
        assert_eq!(metrics.sum_where("source_connections_ended_total", "reason=\"refused\""), 10, "{metrics}");
        assert_eq!(relay.documents().len(), 1, "nothing of a refused sender is kept");
    }
}

#[test]
fn a_token_that_is_said_too_late_is_shown_by_no_document() {
    let tokens = tokens();
    let relay = with_two(Relay::to_stdout().and_http(""), &tokens, "allow").start();
    let late = preamble(TOKEN_OF_B);
    send_from(&relay, "127.0.0.3", &format!("{late}{late}"));
    assert_eq!(post(relay.web(), "127.0.0.3", "", &late).0, 200);
    assert_eq!(post(relay.web(), "127.0.0.3", "Content-Type: text/plain\r\n", &late).0, 200);
    for document in relay.writes(3) {
        assert_eq!(document["@elbow"]["token"], "***", "{document}");
        assert_eq!(document["@elbow"]["fields"]["room"], "7", "{document}");
    }
    relay.stop().cleanly();
}

#[test]
fn without_tokens_an_unknown_sender_is_refused_at_the_door() {
    let only = "[tenants]\nunknown = \"refuse\"\n[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\n";
    let relay = Relay::to_stdout().source("confirm = \"close\"").tables(only).start();
    is_refused(&relay, "127.0.0.1", &preamble(TOKEN_OF_A));
    let mut known = Sender::connect_from(relay.lines, "127.0.0.2");
    known.send(format!("{}{{\"n\":1}}\n", preamble(TOKEN_OF_A)));
    known.finish();
    relay.writes(1);
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum("source_received_bytes_total"), preamble(TOKEN_OF_A).len() as u64 + 8, "nothing else was read");
    assert_eq!(relay.stop().cleanly().documents.len(), 1);
}

#[test]
fn fields_of_a_tenant_win_over_everything_in_every_schema() {
    let tenant = "[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.0/8\"]\n\
                  fields = { Application = \"ours\", \"labels.team\" = \"A\", rank = 1 }\n";
    let static_fields = "fields = { Application = \"static\", Environment = \"ci\" }\n";
    let relay = Relay::to_stdout()
        .source(&format!("schema = \"aws\"\n{static_fields}"))
        .and_source("classic", &format!("schema = \"classic\"\n{static_fields}"))
        .and_source("ecs", &format!("schema = \"ecs\"\n{static_fields}"))
        .tables(tenant)
        .start();
    let text = format!(
        "{{\"@elbow\":{{\"fields\":{{\"Application\":\"preamble\",\"rank\":9}}}}}}\n{}{}{}{}{}{}",
        "{\"Application\":\"theirs\",\"rank\":{\"rank\":2},\"labels.team\":[],\"labels\":{\"team\":\"B\"},\"k\":1.50}\n",
        "{\"Appl\\u0069cation\":\"theirs\",\"rank\":3,\"x\":\"Application\",\"rank\":4}\n",
        "[{\"rank\":5},{\"y\":1},7]\n",
        "{ }\n",
        "words\n",
        alb(1),
    );
    for source in ["in", "classic", "ecs"] {
        let mut sender = Sender::connect(relay.lines_of(source));
        sender.send(&text);
        sender.finish();
    }
    let documents = relay.writes(24);
    for document in &documents {
        assert_eq!((&document["Application"], &document["rank"]), (&Value::from("ours"), &Value::from(1)), "{document}");
        assert_eq!(document["labels.team"], "A", "{document}");
        assert_eq!(document["Environment"], "ci", "{document}");
    }
    assert_eq!(documents.iter().filter(|document| document["labels"]["team"] == "B").count(), 3, "another member is left alone");
    assert_eq!(documents.iter().filter(|document| document["x"] == "Application").count(), 3);
    let metrics = relay.metrics();
    assert_eq!(of_tenant(&metrics, "cut_members_total", "a"), 3 * (2 + 3 + 3 + 1));
    let ended = relay.stop().cleanly();
    assert!(ended.documents.iter().any(|document| document["k"] == 1.5));
}

#[test]
fn equal_lines_of_two_tenants_are_two_events() {
    let tokens = tokens();
    let relay = with_two(Relay::to_stdout(), &tokens, "allow").start();
    for address in ["127.0.0.2", "127.0.0.2", "127.0.0.3"] {
        send_from(&relay, address, &alb(1));
    }
    let ids: Vec<String> = relay.writes(3).iter().map(|document| document["event"]["id"].to_string()).collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 2, "{ids:?}");
    relay.stop().cleanly();
}

#[test]
fn a_tenant_over_its_rate_is_held_back_loses_nothing_and_keeps_nobody_waiting() {
    let limited = "[[tenant]]\nname = \"loud\"\nnetworks = [\"127.0.0.2\"]\nevents_per_second = 1000\nburst = \"100ms\"\n";
    let relay = Relay::to_stdout().tables(limited).start();
    let begun = Instant::now();
    let address = relay.lines;
    let loud: Vec<_> = (0..4_u64)
        .map(|connection| {
            thread::spawn(move || {
                let mut sender = Sender::connect_from(address, "127.0.0.2");
                sender.send(albs((0..500).map(|line| connection << 32 | line)));
                sender.finish();
            })
        })
        .collect();
    relay.until(|metrics| of_tenant(metrics, "events_total", "loud") > 0);
    let asked = Instant::now();
    let mut quiet = relay.sender();
    quiet.send("quiet\n");
    relay.until(|metrics| of_tenant(metrics, "events_total", "_unknown") == 1);
    let answered = asked.elapsed();
    for sender in loud {
        sender.join().expect("it is held back and not cut off");
    }
    // The burst and one read of each worker are free; the rest comes at a thousand a second.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_200), "2000 lines took {took:?}");
    assert!(answered < took, "{answered:?} while the loud one took {took:?}");
    let metrics = relay.until(|metrics| metrics.delivered("out") == 2_001);
    assert_eq!(of_tenant(&metrics, "events_total", "loud"), 2_000);
    assert!(of_tenant(&metrics, "throttled_seconds_total", "loud") >= 1, "{metrics}");
    assert_eq!(of_tenant(&metrics, "throttled_seconds_total", "_unknown"), 0);
    quiet.finish();
    relay.stop().cleanly();
}

#[test]
fn a_tenant_has_as_many_connections_as_it_may_and_no_more() {
    let limited = "[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\nmax_connections = 2\n";
    let relay = Relay::to_stdout().tables(limited).start();
    let mut held = [Sender::connect_from(relay.lines, "127.0.0.2"), Sender::connect_from(relay.lines, "127.0.0.2")];
    held[0].send("one\n");
    held[1].send("two\n");
    relay.writes(2);
    is_refused(&relay, "127.0.0.2", "");
    send_from(&relay, "127.0.0.3", "another one's\n");
    let metrics = relay.until(|metrics| of_tenant(metrics, "refused_connections_total", "a") == 1);
    assert_eq!(of_tenant(&metrics, "connections_open", "a"), 2);
    let [first, second] = held;
    first.finish();
    relay.until(|metrics| of_tenant(metrics, "connections_open", "a") == 1);
    send_from(&relay, "127.0.0.2", "three\n");
    second.finish();
    relay.writes(4);
    relay.stop().cleanly();
}

#[test]
fn it_is_known_when_a_tenant_was_last_heard_of() {
    let two = "[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\n[[tenant]]\nname = \"b\"\nnetworks = [\"127.0.0.3\"]\n";
    let relay = Relay::to_stdout().tables(two).start();
    send_from(&relay, "127.0.0.2", "heard\n");
    let metrics = relay.until(|metrics| of_tenant(metrics, "last_seen_timestamp_seconds", "a") > 0);
    assert!(of_tenant(&metrics, "silent_seconds", "a") <= 2, "{metrics}");
    assert_eq!(of_tenant(&metrics, "last_seen_timestamp_seconds", "b"), 0);
    let metrics = relay.until(|metrics| of_tenant(metrics, "silent_seconds", "a") >= 2);
    assert_eq!(of_tenant(&metrics, "silent_seconds", "b"), 0, "one that was never heard of is not silent");
    send_from(&relay, "127.0.0.2", "again\n");
    relay.until(|metrics| of_tenant(metrics, "silent_seconds", "a") <= 1);
    relay.stop().cleanly();
}

#[test]
fn changed_tokens_take_effect_and_broken_ones_change_nothing() {
    let tokens = tokens();
    let relay = with_two(Relay::to_stdout(), &tokens, "refuse").start();
    let file = tokens.path().join("b");
    fs::write(&file, "short\n").expect("it is ours");
    relay.until(|metrics| metrics.sum_where("tenant_reloads_total", "result=\"refused\"") == 1);
    send_from(&relay, "127.0.0.3", &format!("{}{{\"n\":1}}\n", preamble(TOKEN_OF_B)));
    fs::write(&file, format!("{TOKEN_OF_A}\n")).expect("it is ours");
    relay.until(|metrics| metrics.sum_where("tenant_reloads_total", "result=\"refused\"") == 2);
    relay.says("have the same token");
    send_from(&relay, "127.0.0.3", &format!("{}{{\"n\":2}}\n", preamble(TOKEN_OF_B)));
    fs::write(&file, "a-new-token-of-tenant-b\n").expect("it is ours");
    relay.until(|metrics| metrics.sum_where("tenant_reloads_total", "result=\"loaded\"") == 1);
    is_refused(&relay, "127.0.0.3", &preamble(TOKEN_OF_B));
    send_from(&relay, "127.0.0.3", &format!("{}{{\"n\":3}}\n", preamble("a-new-token-of-tenant-b")));
    assert!(relay.writes(3).iter().all(|document| document["team"] == "B"));
    relay.stop().cleanly();
}

/// Posts a body with these lines of a head from this address; gives the status and the whole answer.
#[track_caller]
fn post(address: SocketAddr, from: &str, head: &str, body: impl AsRef<[u8]>) -> (u16, String) {
    let mut sender = Sender::connect_from(address, from);
    let (body, length) = (body.as_ref(), body.as_ref().len());
    let head = format!("POST / HTTP/1.1\r\nHost: elbow\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n");
    sender.send([head.as_bytes(), body].concat());
    let mut answer = String::new();
    sender.reader().read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
}

#[test]
fn a_request_says_its_token_in_its_head_and_is_told_what_is_wrong() {
    let tokens = tokens();
    let http = "[[source]]\nname = \"http\"\ntype = \"http\"\naddress = \"127.0.0.1:0\"\nfields = { team = \"static\" }\n";
    let relay = with_two(Relay::to_stdout(), &tokens, "refuse").tables(http).start();
    let address = relay.lines_of("http");
    let body = "{\"n\":1,\"team\":\"mine\"}\n";
    for head in [
        format!("X-Elbow-Token: {TOKEN_OF_B}\r\nX-Elbow-Fields: {{\"team\":\"mine\",\"room\":\"7\"}}\r\n"),
        format!("Authorization: Bearer {TOKEN_OF_B}\r\n"),
        // shipper:the-token-of-tenant-b
        "Authorization: Basic c2hpcHBlcjp0aGUtdG9rZW4tb2YtdGVuYW50LWI=\r\n".to_owned(),
    ] {
        assert_eq!(post(address, "127.0.0.3", &head, body).0, 200, "{head}");
    }
    assert_eq!(post(address, "127.0.0.2", "", body).0, 200);
    for head in ["", "Authorization: Bearer nobody-s-token-at-all\r\n", "Authorization: Basic what\r\n"] {
        let (status, answer) = post(address, "127.0.0.3", head, body);
        assert!(
            status == 401 && answer.contains("\"unauthorized\"") && answer.to_lowercase().contains("www-authenticate"),
            "{answer}"
        );
    }
    let teams: Vec<Value> = relay.writes(4).iter().map(|document| document["team"].clone()).collect();
    assert_eq!(teams, ["B", "B", "B", "A"]);
    let metrics = relay.metrics();
    assert_eq!((of_tenant(&metrics, "events_total", "b"), of_tenant(&metrics, "cut_members_total", "b")), (3, 4));
    assert_eq!(metrics.sum_where("tenant_refused_connections_total", "reason=\"token\""), 2);
    assert_eq!(metrics.sum_where("tenant_refused_connections_total", "reason=\"unknown\""), 1);
    let ended = relay.stop().cleanly();
    assert!(ended.documents.len() == 4 && !ended.log_text.contains("token-of"), "{}", ended.log_text);
}

#[test]
fn a_request_over_its_tenant_s_rate_is_told_when_to_come_again() {
    let http = "[[source]]\nname = \"http\"\ntype = \"http\"\naddress = \"127.0.0.1:0\"\n";
    let limited = "[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\nevents_per_second = 10\n";
    let relay = Relay::to_stdout().tables(http).tables(limited).start();
    let address = relay.lines_of("http");
    let lines: String = (0..40).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(post(address, "127.0.0.2", "", &lines).0, 200, "a burst and one read are free");
    let (status, answer) = post(address, "127.0.0.2", "", "{\"n\":40}\n");
    assert!(status == 429 && answer.contains("\"over_rate\"") && answer.contains("\"stored\":0"), "{answer}");
    let seconds = answer.to_lowercase().lines().find_map(|line| line.strip_prefix("retry-after: ").map(str::to_owned));
    let seconds: u64 = seconds.expect("it is told when").parse().expect("seconds");
    assert!((2..=4).contains(&seconds), "{seconds}");
    assert_eq!(post(address, "127.0.0.3", "", "{\"n\":41}\n").0, 200, "nobody else is");
    thread::sleep(Duration::from_secs(seconds));
    assert_eq!(post(address, "127.0.0.2", "", "{\"n\":42}\n").0, 200, "and then it is right");
    let metrics = relay.until(|metrics| metrics.delivered("out") == 42);
    assert_eq!(of_tenant(&metrics, "turned_away_requests_total", "a"), 1);
    relay.stop().cleanly();
}

#[test]
fn a_small_request_that_unpacks_to_very_much_is_held_to_its_tenant_s_limits() {
    let dead = FakeLogstash::absent();
    let packed = gzip("a line of text\n".repeat(200_000).as_bytes());
    assert!(packed.len() < 16 << 10, "it comes in one read: {} bytes", packed.len());
    for (limit, cause, most) in
        [("bytes_per_second = \"4KiB\"", "over_rate", 256 << 10), ("buffer_percent = 10", "over_share", 3 << 20)]
    {
        let limited = format!("[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\n{limit}\n");
        let relay = Relay::to(dead.address()).memory("64MiB").buffer("24MiB").and_http("").tables(&limited).start();
        let (status, answer) = post(relay.web(), "127.0.0.2", "Content-Encoding: gzip\r\n", &packed);
        assert!(status == 429 && answer.contains(cause), "{answer}");
        let metrics = relay.metrics();
        let taken = of_tenant(&metrics, "received_bytes_total", "a").max(of_tenant(&metrics, "events_total", "a") * 15);
        assert!(taken > 0 && taken < most, "{taken} bytes: {metrics}");
        assert_eq!(post(relay.web(), "127.0.0.3", "", "another one's").0, 200);
    }
}

#[test]
fn whose_an_event_is_is_kept_beside_it_and_a_letter_stays_its_tenant_s() {
    let directory = tempfile::tempdir().expect("a directory");
    let tenant = "[[tenant]]\nname = \"pay\"\nnetworks = [\"127.0.0.2\"]\nfields = { team = \"A\" }\n";
    let setup = |format: &str| {
        let source = format!("format = \"{format}\"\non_reject = \"dead_letter\"");
        // Nobody is there, so that everything stays in the buffer.
        Relay::to(FakeLogstash::absent().address()).in_directory(directory.path()).source(&source).tables(tenant)
    };
    let relay = setup("alb").start();
    send_from(&relay, "127.0.0.2", &format!("{}{{\"n\":1,\"team\":\"mine\"}}\n", alb(1)));
    send_from(&relay, "127.0.0.3", &alb(2));
    relay.until(|metrics| metrics.appended() == 2 && metrics.sum("dead_letters_events") == 1);
    relay.stop().with(0);
    let config = setup("json").write_in(directory.path());
    let config = config.to_str().expect("text");
    let run = |words: &[&str]| {
        let output = elbow().args(words).output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let data = directory.path().join("data");
    let dump = ["buffer", "dump", "--with-meta", data.to_str().expect("text")];
    let dumped = run(&dump);
    let tenants: Vec<Value> = dumped.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(tenants.iter().map(|event| &event["tenant"]).collect::<Vec<_>>(), [&Value::from("pay"), &Value::Null], "{dumped}");
    let address = run(&["dead-letters", "list", "-c", config]).split(' ').next().expect("an address").to_owned();
    let shown = run(&["dead-letters", "show", "-c", config, &address]);
    assert!(shown.contains("\ntenant    pay\n"), "{shown}");
    run(&["dead-letters", "replay", "-c", config]);
    let replayed = run(&dump);
    let last: Value = serde_json::from_str(replayed.lines().last().expect("events")).expect("JSON");
    assert_eq!(
        (&last["tenant"], &last["document"]["team"], &last["document"]["n"]),
        (&"pay".into(), &"A".into(), &1.into()),
        "{last}"
    );
}

#[test]
fn the_endpoint_that_a_trusted_proxy_names_says_whose_a_sender_is() {
    let two = "[[tenant]]\nname = \"a\"\nendpoints = [\"vpce-0a\"]\nfields = { team = \"A\" }\n\
               [[tenant]]\nname = \"b\"\nnetworks = [\"192.0.2.0/24\", \"127.0.0.0/8\"]\nfields = { team = \"B\" }\n\
               [tenants]\nunknown = \"refuse\"\n";
    let proxied = "proxy_protocol = \"v2\"\nproxy_from = [\"127.0.0.0/8\"]\nsender_fields = true";
    let relay = Relay::to_stdout().source(proxied).tables(two).start();
    let send = |sender: [u8; 4], endpoint: &str, bytes: &str| {
        let mut connection = relay.sender();
        connection.send(of_load_balancer(sender, endpoint));
        connection.send(bytes);
        connection
    };
    send([198, 51, 100, 7], "vpce-0a", "{\"n\":1}\n").finish();
    send([192, 0, 2, 7], "vpce-0c", "{\"n\":2}\n").finish();
    // Its own address is the proxy's and so nobody's.
    is_reset(send([198, 51, 100, 7], "vpce-0c", "{\"n\":3}\n"), "");
    let documents = by_number(relay.writes(2));
    assert_eq!((&documents[0]["team"], &documents[1]["team"]), (&Value::from("A"), &Value::from("B")));
    assert_eq!(relay.stop().cleanly().documents.len(), 2);
}

#[test]
fn a_changed_configuration_changes_tenants_when_it_is_told_to_and_is_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let setup = || Relay::to_stdout().in_directory(directory.path());
    let tenant = |name: &str, team: &str| {
        format!("[[tenant]]\nname = \"{name}\"\nnetworks = [\"127.0.0.2\"]\nfields = {{ team = \"{team}\" }}\n")
    };
    let relay = setup().tables(&tenant("a", "A")).start();
    let mut open = Sender::connect_from(relay.lines, "127.0.0.2");
    open.send("{\"n\":1}\n");
    relay.writes(1);
    for (bad, said) in
        [("[[tenant]]\n", "the configuration has mistakes"), (&*tenant("b", "\\\"").replace("team", "elb"), "cannot send")]
    {
        setup().tables(bad).write_in(directory.path());
        relay.hang_up();
        relay.says(said);
    }
    send_from(&relay, "127.0.0.2", "{\"n\":2}\n");
    setup().tables(&tenant("a", "C")).tables("[tenants]\nunknown = \"refuse\"\n").write_in(directory.path());
    relay.hang_up();
    relay.says("the tenants of the changed configuration are in force");
    send_from(&relay, "127.0.0.2", "{\"n\":3}\n");
    open.send("{\"n\":4}\n");
    open.finish();
    is_refused(&relay, "127.0.0.1", "{\"n\":5}\n");
    let teams: Vec<Value> = by_number(relay.writes(4)).iter().map(|document| document["team"].clone()).collect();
    assert_eq!(teams, ["A", "A", "C", "A"], "an open connection goes on as it was");
    let metrics = relay.metrics();
    assert_eq!(of_tenant(&metrics, "events_total", "a"), 4);
    assert_eq!(metrics.sum_where("tenant_reloads_total", "result=\"loaded\""), 1);
    relay.stop().cleanly();
}

#[test]
fn tenants_that_cannot_be_are_said_at_the_start() {
    let start = |tables: &str| Relay::to_stdout().tables(tables).try_start().map(drop).expect_err("it does not start");
    let tenant = "[[tenant]]\nname = \"a\"\nnetworks = [\"127.0.0.2\"]\n";
    let no_file = start(&format!("{tenant}token_file = \"/nowhere/at/all\"\n")).with(2);
    assert!(no_file.log_text.contains("the tokens of tenant \"a\" cannot be read: /nowhere/at/all"), "{}", no_file.log_text);
    let of_lines = start(&format!("{tenant}fields = {{ user_agent = \"x\" }}\n")).with(2);
    assert!(
        of_lines.log_text.contains("tenant \"a\" cannot send to source in: the field \"user_agent\""),
        "{}",
        of_lines.log_text
    );
}

#[test]
fn a_tenant_whose_events_nobody_takes_leaves_room_for_the_others() {
    let logstash = FakeLogstash::listening();
    let two =
        "[[tenant]]\nname = \"loud\"\nnetworks = [\"127.0.0.2\"]\n[[tenant]]\nname = \"quiet\"\nnetworks = [\"127.0.0.3\"]\n";
    let relay = Relay::to(logstash.address()).sink("settle = \"500ms\"").memory("32MiB").tables(two).start();
    logstash.stop_reading();
    let enough = Arc::new(AtomicBool::new(false));
    let (address, told) = (relay.lines, enough.clone());
    let loud = thread::spawn(move || {
        let mut sender = Sender::connect_from(address, "127.0.0.2");
        let mut next = 0;
        while !told.load(Ordering::Relaxed) {
            sender.send(albs(next..next + 16));
            next += 16;
        }
        sender.finish();
        next
    });
    // It has filled what a single tenant may have, and waits.
    let mut last = (0, Instant::now());
    relay.until(|metrics| {
        let taken = of_tenant(metrics, "events_total", "loud");
        if taken != last.0 {
            last = (taken, Instant::now());
        }
        taken > 1_000 && last.1.elapsed() > Duration::from_secs(1)
    });
    for number in 0..100 {
        send_from(&relay, "127.0.0.3", &alb(1 << 40 | number));
    }
    let metrics = relay.until(|metrics| of_tenant(metrics, "events_total", "quiet") == 100);
    assert!(metrics.sum("memory_bytes") < metrics.sum("memory_max_bytes") * 3 / 4, "{metrics}");
    stays(Duration::from_millis(300), || {
        assert_eq!(of_tenant(&relay.metrics(), "events_total", "loud"), last.0, "the loud one waits on");
    });
    enough.store(true, Ordering::Relaxed);
    logstash.read_again();
    let sent = loud.join().expect("it is held back and not cut off");
    relay.until(|metrics| metrics.delivered("logstash") == sent + 100);
    relay.stop().cleanly();
}

/// Of senders there may be any number, of series only as many as the configuration is worth.
#[test]
fn very_many_tenants_hosts_and_user_agents_have_few_series() {
    let tenants: String = (0..300)
        .map(|tenant| {
            format!("[[tenant]]\nname = \"t{tenant}\"\nnetworks = [\"127.0.{}.{}\"]\n", 1 + tenant / 200, 1 + tenant % 200)
        })
        .collect();
    let logstash = FakeLogstash::listening();
    let relay = Relay::to(logstash.address()).sink("settle = \"200ms\"").tables(&tenants).start();
    for tenant in 0..300 {
        send_from(&relay, &format!("127.0.{}.{}", 1 + tenant / 200, 1 + tenant % 200), "{\"a\":1}\n");
    }
    let before = relay.page("/metrics").1.len();
    let mut sender = relay.sender();
    for from in (0..100_000).step_by(1_000) {
        let text: String = (from..from + 1_000)
            .map(|n| match n % 2 {
                0 => alb(n).replace("www.example.com", &format!("host-{n}.example")).replace("curl/8.5.0", &format!("agent/{n}")),
                _ => format!("{{\"host\":\"host-{n}\",\"tenant\":\"t-{n}\",\"user_agent\":\"agent/{n}\",\"_index\":\"i{n}\"}}\n"),
            })
            .collect();
        sender.send(text);
    }
    sender.finish();
    let metrics = relay.until(|metrics| metrics.received() == 100_300);
    // Everybody who is no tenant and 255 tenants have series of their own.
    assert_eq!(of_tenant(&metrics, "events_total", "_other"), 45);
    assert_eq!(metrics.sum("tenant_events_total"), 100_300);
    let text = relay.page("/metrics").1;
    assert_eq!(text.lines().filter(|line| line.starts_with("elbow_tenant_events_total{")).count(), 257);
    assert!(text.len() < before + 10_000, "{} bytes and then {}", before, text.len());
    assert!(!text.contains("host-") && !text.contains("agent/"));
    relay.until(|metrics| metrics.delivered("logstash") == 100_300);
    relay.stop().cleanly();
}

/// The times of acknowledgements of ten quiet senders, each a line at a time, the slowest last.
fn acknowledgements(relay: &Relay, long: Duration) -> Vec<Duration> {
    let address = relay.lines;
    let quiet: Vec<_> = (0..10_u64)
        .map(|tenant| {
            thread::spawn(move || {
                let mut sender = Sender::connect_from(address, &format!("127.0.1.{}", tenant + 1));
                let mut reader = sender.reader();
                let (begun, mut times) = (Instant::now(), Vec::new());
                while begun.elapsed() < long {
                    let asked = Instant::now();
                    sender.send(alb(tenant << 32 | times.len() as u64));
                    reader.read_line(&mut String::new()).expect("a confirmation");
                    times.push(asked.elapsed());
                    thread::sleep(Duration::from_millis(20));
                }
                times
            })
        })
        .collect();
    let mut times: Vec<Duration> = quiet.into_iter().flat_map(|thread| thread.join().expect("it is answered")).collect();
    times.sort_unstable();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

#[test]
#[ignore = "20 s, and what it compares are times: ten quiet tenants with and without a noisy one"]
fn a_noisy_tenant_at_a_hundred_times_its_limit_costs_ten_quiet_ones_next_to_nothing() {
    let quiet: String = (1..=10).map(|n| format!("[[tenant]]\nname = \"quiet-{n}\"\nnetworks = [\"127.0.1.{n}\"]\n")).collect();
    let noisy = "[[tenant]]\nname = \"noisy\"\nnetworks = [\"127.0.0.2\"]\nevents_per_second = 100\n";
    let directory = tempfile::tempdir().expect("a directory");
    let setup = Relay::to_stdout().in_directory(directory.path()).source("confirm = \"line\"");
    let relay = setup.tables(&format!("{quiet}{noisy}")).start();
    acknowledgements(&relay, Duration::from_secs(1));
    let alone = acknowledgements(&relay, Duration::from_secs(8));
    let address = relay.lines;
    // Eight connections that send all they can: 10 000 lines a second are a hundred times what it may, and the kernel alone takes
    // as many at once.
    let senders: Vec<_> = (0..8_u64)
        .map(|connection| {
            thread::spawn(move || {
                let mut sender = Sender::connect_from(address, "127.0.0.2");
                let mut next = 1 << 50 | connection << 40;
                while sender.try_send(albs(next..next + 100)).is_ok() {
                    next += 100;
                }
                next & 0xff_ffff_ffff
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let beside = acknowledgements(&relay, Duration::from_secs(8));
    let metrics = relay.metrics();
    // It is held back for far longer than anybody wants to wait.
    drop(relay);
    let offered: u64 = senders.into_iter().map(|sender| sender.join().expect("no panic")).sum();
    let noisy = of_tenant(&metrics, "events_total", "noisy");
    let (before, after) = (p99(&alone), p99(&beside));
    println!("p99 of {} acknowledgements {before:?} alone, of {} {after:?} beside", alone.len(), beside.len());
    println!("{noisy} of {offered} noisy events were taken");
    assert!(noisy <= 100 * 12 + 8 * 200, "{noisy} events at 100 a second");
    assert!(offered > 10_000, "{offered} were offered");
    assert!(of_tenant(&metrics, "throttled_seconds_total", "noisy") > 10, "it was held back:\n{metrics}");
    assert!(after < before * 2, "p99 {before:?} became {after:?}");
}
