//! Beats: events that are acked once they are stored, connections that end in every possible way, and nothing a sender can
//! do to others.

use std::collections::BTreeSet;
use std::io::Read;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::beats::Beat;
use crate::support::beats::compressed;
use crate::support::beats::event;
use crate::support::beats::packed;
use crate::support::beats::whole;
use crate::support::beats::window;
use crate::support::lines::alb;
use crate::support::lines::id_of;
use crate::support::lines::json;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::scrape::Metrics;
use crate::support::stays;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::tls::TlsSender;

/// A relay that has a source for Beats beside the one for lines.
fn with_beats(setup: Setup, settings: &str) -> Setup {
    setup.tables(&format!("[[source]]\nname = \"beats\"\ntype = \"beats\"\naddress = \"127.0.0.1:0\"\n{settings}\n"))
}

#[track_caller]
fn beat(relay: &Relay) -> Beat {
    Beat::connect(relay.lines_of("beats"))
}

/// Waits until so many connections of Beats have ended like this.
#[track_caller]
fn ends(relay: &Relay, reason: &str, connections: u64) -> Metrics {
    let label = format!("reason=\"{reason}\",source=\"beats\"");
    relay.until(|metrics| metrics.sum_where("source_connections_ended_total", &label) == connections)
}

fn jsons(ids: impl IntoIterator<Item = u64>) -> Vec<String> {
    ids.into_iter().map(json).collect()
}

fn ids_of(documents: &[Value]) -> Vec<u64> {
    documents.iter().map(|document| id_of(document.to_string().as_bytes()).expect("a number")).collect()
}

#[test]
fn events_pass_as_they_are_and_each_window_is_acked_with_its_last_number() {
    let relay = with_beats(Relay::to_stdout(), "fields = { Environment = \"ci\" }").start();
    let mut beat = beat(&relay);
    let line = alb(7);
    let event_of_filebeat = serde_json::json!({
        "@timestamp": "2026-11-23T09:21:56.667Z",
        "@metadata": { "beat": "filebeat", "type": "_doc", "version": "8.19.0" },
        "message": line.trim_end(),
    });
    beat.send(whole(&[event_of_filebeat.to_string(), "{\n\"a\": 1\r\n}".to_owned(), "no JSON".to_owned(), line]));
    beat.is_acked(4);
    let documents = relay.writes(4);
    let [first, second, third, fourth] = &documents[..] else { panic!("{documents:#?}") };
    assert_eq!(first["@metadata"]["beat"], "filebeat");
    assert_eq!(first["@timestamp"], "2026-11-23T09:21:56.667Z");
    assert_eq!(first["message"], event_of_filebeat["message"], "a log line within an event stays what it is");
    assert_eq!(first["Environment"], "ci");
    assert_eq!(second["a"], 1);
    assert_eq!((&third["message"], &third["tags"]), (&"no JSON".into(), &Value::Null));
    assert_eq!(fourth["elb_status_code"], 200, "an event that is a log line becomes what such lines become");
    beat.send([whole(&["{\"@elbow\":{\"fields\":{}}}"]), packed(&jsons(1..=3)), window(0), whole(&jsons(4..=5))].concat());
    assert_eq!([beat.ack(), beat.ack(), beat.ack()], [Some(1), Some(3), Some(2)]);
    relay.writes(10);
    beat.half_close();
    assert_eq!(beat.ends(), [0; 0]);
    let metrics = ends(&relay, "closed", 1);
    assert_eq!(metrics.sum("source_beats_windows_total"), 4);
    assert_eq!(metrics.sum_where("source_events_total", "source=\"beats\""), 10);
    relay.stop().cleanly();
}

/// Sends so much of a stream, ends, and gives the acks that came.
fn cut(relay: &Relay, stream: &[u8], bytes: usize, resets: bool) -> Vec<u32> {
    let mut beat = beat(relay);
    beat.send(&stream[..bytes]);
    if resets {
        beat.reset();
        return Vec::new();
    }
    beat.half_close();
    beat.ends()
}

#[test]
fn wherever_a_stream_is_cut_what_is_acked_is_there_and_nothing_is_that_was_not_whole() {
    let relay = with_beats(Relay::to_stdout(), "").start();
    let mut acked = BTreeSet::new();
    let (mut sent, mut next) = (BTreeSet::new(), 0);
    let mut connections = 0;
    loop {
        let ids: Vec<u64> = (next..next + 5).collect();
        let stream = [whole(&jsons(ids[..2].iter().copied())), packed(&jsons(ids[2..].iter().copied()))].concat();
        let bytes = connections;
        if bytes > stream.len() {
            break;
        }
        let resets = bytes % 5 == 4;
        let acks = cut(&relay, &stream, bytes, resets);
        let told: Vec<u64> = match acks[..] {
            [] => Vec::new(),
            // At the end a sender is told of a part of a window, too.
            [first] => ids[..first as usize].to_vec(),
            [2, second] => ids[..2 + second as usize].to_vec(),
            _ => panic!("{acks:?}"),
        };
        if bytes == stream.len() && !resets {
            assert_eq!(acks, [2, 3]);
        }
        acked.extend(told);
        sent.extend(ids);
        (next, connections) = (next + 5, connections + 1);
    }
    assert!(acked.len() > 200, "{} were acked", acked.len());
    let all = u64::try_from(connections).expect("few");
    relay.until(|metrics| metrics.sum_where("source_connections_ended_total", "source=\"beats\"") == all);
    let documents = relay.stop().cleanly().documents;
    let arrived = ids_of(&documents);
    let arrived_once: BTreeSet<u64> = arrived.iter().copied().collect();
    assert_eq!(arrived.len(), arrived_once.len(), "nothing is there twice");
    assert!(acked.is_subset(&arrived_once), "{:?} were acked and are not there", acked.difference(&arrived_once));
    assert!(arrived_once.is_subset(&sent));
    for document in &documents {
        assert_eq!(document["tags"], Value::Null, "a piece of an event is none: {document}");
    }
}

#[test]
fn a_sender_that_breaks_the_rules_is_told_what_is_stored_and_disturbs_nobody() {
    let settings = "max_line_bytes = \"1KiB\"\nmax_window_events = 100\nmax_inflated_bytes = \"1MiB\"";
    let relay = with_beats(Relay::to_stdout(), settings).start();
    let mut bystander = beat(&relay);
    let zeros = compressed(&vec![0; 4 << 20]);
    let bomb = compressed(&(0..40_000).flat_map(|_| [window(1), event(1, [b' '; 100])].concat()).collect::<Vec<u8>>());
    let bad: [(&str, Vec<u8>); 12] = [
        ("version", b"1W\0\0\0\x01".to_vec()),
        ("version", b"\x16\x03\x01\x02\0\x01".to_vec()),
        ("version", zeros),
        ("frame_type", b"2A\0\0\0\x01".to_vec()),
        ("key_value_frame", b"2D\0\0\0\x01".to_vec()),
        ("window_too_large", window(101)),
        ("outside_window", event(2, "{}")),
        ("sequence_gap", [window(3), event(1, " "), event(3, " ")].concat()),
        ("event_too_long", [window(1), event(1, [b' '; 1025])].concat()),
        ("inflated_too_long", bomb),
        ("compression", b"2C\0\0\0\x04oops".to_vec()),
        ("nested", compressed(&compressed(b""))),
    ];
    for (at, (reason, bytes)) in (1..).zip(bad) {
        let mut beat = beat(&relay);
        beat.send(whole(&jsons([at])));
        // The relay may close while it is still being sent to.
        let _ = beat.try_send(&bytes);
        let acks = beat.ends();
        assert_eq!(acks[0], 1, "{reason}");
        let metrics = ends(&relay, "protocol", at);
        let label = format!("reason=\"{reason}\"");
        assert!(metrics.sum_where("source_beats_refused_connections_total", &label) > 0, "{reason}: {metrics}");
        bystander.send(whole(&jsons([1_000 + at])));
        bystander.is_acked(1);
    }
    let most = relay.resident_bytes_max();
    assert!(most < 80 << 20, "{most} bytes at the most");
    let log = relay.log();
    let said: Vec<&Value> = log.iter().filter(|entry| entry["reason"] == "event_too_long").collect();
    assert_eq!(said.len(), 1, "{log:#?}");
    assert!(said[0]["message"].as_str().is_some_and(|message| message.contains("max_line_bytes")), "{:?}", said[0]);
    assert_eq!(log.iter().filter(|entry| entry["reason"] == "version").count(), 1, "it is not said again and again");
}

#[test]
fn an_event_that_comes_again_has_its_id_in_whatever_order_its_members_stand() {
    let first =
        r#"{"@timestamp":"2026-11-23T09:21:56.667Z","message":"x","log":{"offset":7,"file":{"path":"/a"}},"tags":["a","b"]}"#;
    let again =
        r#"{"tags":["a","b"],"log":{"file":{"path":"/a"},"offset":7},"message":"x","@timestamp":"2026-11-23T09:21:56.667Z"}"#;
    let other = first.replace("7,", "8,");
    for (settings, same) in [("identity = \"content\"", true), ("", false)] {
        let relay = with_beats(Relay::to_stdout(), settings).start();
        for event in [first, again, &other] {
            let mut beat = beat(&relay);
            beat.send(whole(&[event.to_owned()]));
            beat.is_acked(1);
        }
        let documents = relay.stop().cleanly().documents;
        let id = |at: usize| documents[at]["event.id"].as_str().expect("an id");
        assert_eq!(id(0) == id(1), same, "{documents:?}");
        assert_ne!(id(0), id(2));
        assert_eq!(documents[1]["log"]["offset"], 7);
    }
}

#[test]
fn where_long_events_are_cut_a_sender_goes_on_behind_them() {
    let relay = with_beats(Relay::to_stdout(), "max_line_bytes = \"1KiB\"\nlong_lines = \"cut\"").start();
    let long = format!("{{\"n\":1,\"text\":\"{}\"}}", "y\n".repeat(50_000));
    let mut beat = beat(&relay);
    for (at, packs) in [false, true].into_iter().enumerate() {
        let first = 100 * at as u64;
        let frames = whole(&[json(first), long.clone(), json(first + 1)]);
        beat.send(if packs { compressed(&frames) } else { frames });
        beat.is_acked(3);
    }
    let metrics = relay.metrics();
    assert_eq!(metrics.sum("source_cut_lines_total"), 2);
    assert_eq!(metrics.sum("source_skipped_bytes_total"), 2 * (long.len() as u64 - 1_024));
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len(), 6);
    for cut in [&documents[1], &documents[4]] {
        assert_eq!(cut["tags"], serde_json::json!(["_elbow_truncated"]));
        assert_eq!(cut["message"], long[..1_024].replace('\n', " ").as_str());
    }
    assert_eq!(ids_of(&[&documents[..1], &documents[2..4], &documents[5..]].concat()), [0, 1, 100, 101]);
}

#[test]
fn a_sender_that_resets_in_the_middle_leaves_what_was_whole() {
    let relay = with_beats(Relay::to_stdout(), "").start();
    let mut beat = beat(&relay);
    let frames = whole(&jsons(0..4));
    beat.send(&frames[..frames.len() - 10]);
    let documents = relay.writes(3);
    beat.reset();
    ends(&relay, "reset", 1);
    assert_eq!(ids_of(&documents), [0, 1, 2]);
    assert_eq!(relay.stop().cleanly().documents.len(), 3);
}

#[test]
fn a_sender_that_pauses_within_a_window_is_told_how_far_it_is() {
    let relay = with_beats(Relay::to_stdout(), "").start();
    let mut beat = beat(&relay);
    let line = json(1);
    beat.send([window(3), event(11, &line), event(12, &line)].concat());
    assert!(beat.hears_nothing(Duration::from_secs(1)), "there are senders that expect one answer");
    assert_eq!(beat.ack(), Some(12));
    assert_eq!(beat.ack(), Some(0));
    beat.send(event(13, &line));
    assert_eq!(beat.ack(), Some(13));
    assert!(relay.metrics().sum("source_beats_keep_alives_total") >= 2);
}

#[test]
fn a_sender_that_waits_for_room_hears_that_there_is_life_and_no_ack_before_there_is_room() {
    let mut logstash = FakeLogstash::absent();
    let relay = with_beats(Relay::to(logstash.address()).memory("16MiB").buffer("8MiB"), "").start();
    let mut beat = beat(&relay);
    let mut windows = 0;
    loop {
        beat.send(packed(&jsons((0..2_000).map(|line| windows * 2_000 + line))));
        windows += 1;
        match beat.ack() {
            Some(2_000) => assert!(windows < 100, "the buffer takes everything"),
            // A part of it may have found room, or none.
            Some(part) => break assert!(part < 2_000, "{part}"),
            None => panic!("the relay has ended the connection"),
        }
    }
    assert_eq!(beat.ack(), Some(0));
    let before = relay.metrics();
    stays(Duration::from_millis(500), || assert!(beat.hears_nothing(Duration::from_millis(1)), "there is no room"));
    assert!(before.received() > before.appended(), "{before}");
    logstash.appear();
    while beat.ack().expect("no end") < 2_000 {}
    let sent: Vec<u64> = (0..windows * 2_000).collect();
    let mut arrived = logstash.receives(sent.len());
    arrived.sort_unstable();
    assert_eq!(arrived, sent);
    relay.stop().cleanly();
}

#[test]
fn a_sender_that_says_nothing_is_closed_in_order() {
    // Longer than until the first sign of life, which must not count as one of the sender's.
    let relay = with_beats(Relay::to_stdout(), "idle_timeout = \"4s\"").start();
    let mut beat = beat(&relay);
    beat.send([whole(&jsons(0..2)), window(5), event(1, json(2))].concat());
    assert_eq!(beat.ends(), [2, 1], "what is stored is told before the end");
    ends(&relay, "idle", 1);
}

#[test]
fn a_stop_takes_no_further_window_and_acks_what_is_stored() {
    let relay = with_beats(Relay::to_stdout(), "").start();
    let [mut idle, mut halfway, mut silent] = [beat(&relay), beat(&relay), beat(&relay)];
    idle.send(whole(&jsons([0])));
    idle.is_acked(1);
    let frames = whole(&jsons(1..5));
    halfway.send(&frames[..frames.len() - 5]);
    silent.send([window(9), event(1, json(5))].concat());
    relay.writes(5);
    relay.terminate();
    assert_eq!(idle.ends(), [0; 0]);
    // It is about to be asked; what it finishes now is still taken, and the window behind it is not.
    thread::sleep(Duration::from_millis(200));
    halfway.send([&frames[frames.len() - 5..], &whole(&jsons([100]))].concat());
    assert_eq!(halfway.ends(), [4]);
    assert_eq!(silent.ends(), [1]);
    // Whoever never closes is not waited for longer than that.
    let ended = relay.ended().cleanly().within(Duration::from_secs(4));
    let mut arrived = ids_of(&ended.documents);
    arrived.sort_unstable();
    assert_eq!(arrived, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn over_tls_acks_come_and_the_end_is_said() {
    let authority = Authority::new("relays");
    let files = Files::new(&authority.relay());
    let relay = with_beats(Relay::to_stdout(), &files.settings("")).start();
    let config = authority.trusting(None);
    let mut sender = TlsSender::connect(relay.lines_of("beats"), &config);
    // More than a record, and than is read at once.
    sender.send(packed(&jsons(0..5_000)));
    sender.send(whole(&jsons(5_000..10_000)));
    let mut acks = [0; 12];
    sender.reading().read_exact(&mut acks).expect("two acks");
    assert_eq!(acks, *b"2A\0\0\x13\x882A\0\0\x13\x88");
    sender.send([window(2), event(1, json(10_000))].concat());
    relay.writes(10_001);
    relay.terminate();
    let mut rest = Vec::new();
    sender.reading().read_to_end(&mut rest).expect("an end that was said");
    assert_eq!(rest, b"2A\0\0\0\x01");
    drop(sender);
    relay.ended().cleanly();
}

#[test]
fn a_relay_that_is_killed_acks_nothing_more() {
    let dead = FakeLogstash::absent();
    let relay = with_beats(Relay::to(dead.address()), "").start();
    let mut beat = beat(&relay);
    beat.send([window(2), event(1, json(0))].concat());
    relay.until(|metrics| metrics.appended() == 1);
    relay.kill();
    assert!(!matches!(beat.try_ack(), Ok(Some(_))));
}
