//! A sink that stands in for another one while that is down, and only then.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::lines::albs;
use crate::support::lines::all_arrived;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::relay::elbow;
use crate::support::sender::send;

fn sinks(page: &str) -> Value {
    serde_json::from_str::<Value>(page).expect("JSON")["sinks"].clone()
}

#[test]
fn a_fallback_gets_documents_only_while_the_other_one_is_down() {
    let mut first = FakeLogstash::listening();
    let second = FakeLogstash::listening();
    let relay = Relay::to(first.address())
        .sink("settle = \"200ms\"\nfallback = \"spare\"\nfallback_after = \"1s\"")
        .and_to("spare", second.address())
        .sink("settle = \"200ms\"")
        .start();
    let (_, ready) = relay.page("/ready");
    assert_eq!(sinks(&ready)[0]["fallback"], "spare");
    assert_eq!(sinks(&ready)[1]["condition"], "standing_by");
    send(relay.lines, albs(0..500));
    first.receives(500);
    relay.until(|metrics| metrics.delivered("logstash") == 500);
    assert_eq!((second.connections(), second.count()), (0, 0), "nobody needs it yet");

    first.vanish();
    send(relay.lines, albs(500..1_000));
    second.receives(500);
    relay.until(|metrics| metrics.delivered("spare") == 500 && metrics.buffered("logstash") == 0);

    first.appear();
    relay.says("its fallback rests");
    send(relay.lines, albs(1_000..1_500));
    first.receives(1_000);
    relay.until(|metrics| metrics.delivered("logstash") == 1_000);
    let (_, ready) = relay.page("/ready");
    assert_eq!(sinks(&ready)[1]["condition"], "standing_by", "{ready}");
    let ended = relay.stop().cleanly();
    ended.entry("the sink has been down for so long: its fallback stands in for it");
    let both = [first.ids(), second.ids()];
    assert_eq!(all_arrived(0..1_500, &both.concat()), 0, "and none twice: nothing was under way at a change");
    let taken: BTreeSet<u64> = both[1].iter().copied().collect();
    assert_eq!(taken, (500..1_000).collect(), "the fallback had what came while the other was down");
}

#[test]
fn a_short_outage_is_none() {
    let mut first = FakeLogstash::listening();
    let second = FakeLogstash::listening();
    let relay = Relay::to(first.address())
        .sink("settle = \"200ms\"\nfallback = \"spare\"\nfallback_after = \"30s\"")
        .and_to("spare", second.address())
        .start();
    first.vanish();
    send(relay.lines, albs(0..500));
    thread::sleep(Duration::from_secs(2));
    first.appear();
    first.receives(500);
    relay.stop().cleanly();
    assert_eq!(second.count(), 0);
}

#[test]
fn a_relay_that_stops_while_the_fallback_works_delivers_there_what_is_left() {
    let first = FakeLogstash::absent();
    let second = FakeLogstash::listening();
    let relay = Relay::to(first.address())
        .sink("fallback = \"spare\"\nfallback_after = \"1s\"")
        .and_to("spare", second.address())
        .sink("settle = \"200ms\"")
        .start();
    send(relay.lines, albs(0..500));
    second.receives(500);
    second.stop_reading();
    send(relay.lines, albs(500..1_000));
    relay.terminate();
    second.read_again();
    relay.ended().cleanly();
    assert_eq!(all_arrived(0..1_000, &second.ids()), 0);
}

#[test]
fn a_fallback_that_cannot_be_is_complained_about() {
    let check = |sinks: &str, words: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elbow.toml");
        let source = "[[source]]\nname = 'in'\ntype = 'tcp'\naddress = '127.0.0.1:0'\n";
        std::fs::write(&path, format!("{source}{sinks}")).unwrap();
        let done = elbow().args(["check", "-c"]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{sinks}\n{text}");
        assert!(text.contains(words), "{sinks}\n{text}");
    };
    let sink = |name: &str, more: &str| format!("[[sink]]\nname = '{name}'\ntype = 'file'\npath = '/tmp/{name}'\n{more}\n");
    let two = |a: &str, b: &str| sink("a", a) + &sink("b", b);
    check(&two("fallback = 'c'", ""), "there is no sink \"c\"");
    check(&two("fallback = 'a'", ""), "cannot stand in for itself");
    check(&two("fallback = 'b'", "fallback = 'a'"), "has a fallback itself");
    check(&(two("fallback = 'c'", "fallback = 'c'") + &sink("c", "")), "already stands in for \"a\"");
    check(&two("fallback_after = '1m'", ""), "belongs to sinks with a fallback");
    check(&two("fallback = 'b'\nfallback_after = '1ms'", ""), "allowed: 1s to");
}
