//! The books balance: whatever was received was delivered, is buffered or was dropped for a reason.

use crate::support::flood::Flood;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::scrape::Metrics;
use crate::support::sender::send;

/// What a line of each kind is for the books: an ALB line, a Classic one, JSON, an array of two objects and a number, text.
fn medley() -> String {
    let classic = "2018-07-02T22:23:00.186641Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 \
                   29 \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.38.0\" - -";
    let cut = alb(3);
    let cut = &cut[..cut.find(" 200 512").expect("a status")];
    format!(
        "{{\"@elbow\":{{\"fields\":{{\"a\":\"b\"}},\"what\":1}}}}\n{}{classic}\n{{\"j\":1}}\n[{{\"j\":2}},{{\"j\":3}},4]\ntext\n\n  \n{cut}\n{{\"broken\n{}\n",
        alb(1),
        "t".repeat(3_000)
    )
}

#[track_caller]
fn events(metrics: &Metrics, format: &str) -> u64 {
    metrics.sum_where("source_events_total", &format!("format=\"{format}\""))
}

/// The medley's figures, whatever becomes of its rejects.
#[track_caller]
fn has_counted_the_medley(metrics: &Metrics) {
    let by_format = ["alb", "classic", "json", "text", "reject"].map(|format| events(metrics, format));
    // The over-long line is text; the broken JSON, the number in the array and the ALB line cut short are rejects.
    assert_eq!(by_format, [1, 1, 3, 2, 3], "{metrics}");
    assert_eq!(metrics.received(), 10);
    assert_eq!(metrics.sum("source_rejects_total"), 3);
    let rejects = |reason| metrics.sum_where("source_rejects_total", &format!("reason=\"{reason}\""));
    assert_eq!((rejects("invalid_json"), rejects("too_few_fields")), (2, 1), "{metrics}");
    assert_eq!(metrics.sum("source_blank_lines_total"), 2);
    assert_eq!(metrics.sum("source_preambles_total"), 1);
    assert_eq!(metrics.sum("source_preamble_members_ignored_total"), 1);
    assert_eq!(metrics.sum("source_cut_lines_total"), 1);
    assert_eq!(metrics.sum("source_received_bytes_total"), medley().len() as u64);
}

#[track_caller]
fn balances(metrics: &Metrics, sink: &str) {
    let accounted = metrics.delivered(sink) + metrics.buffered(sink) + metrics.dropped();
    assert_eq!(metrics.received(), accounted, "sink {sink}:\n{metrics}");
}

#[test]
fn at_rest_every_sink_accounts_for_every_event() {
    let (alive, dead) = (FakeLogstash::listening(), FakeLogstash::absent());
    let relay = Relay::to(alive.address())
        .sink("settle = \"200ms\"")
        .and_to("dead", dead.address())
        .source("max_line_bytes = \"2KiB\"")
        .start();
    send(relay.lines, medley());
    let metrics = relay.until(|metrics| metrics.delivered("logstash") == 10);
    has_counted_the_medley(&metrics);
    assert_eq!(metrics.dropped(), 0);
    assert_eq!((metrics.buffered("logstash"), metrics.buffered("dead")), (0, 10));
    balances(&metrics, "logstash");
    balances(&metrics, "dead");
    assert_eq!(alive.documents().len(), 10);
}

#[test]
fn a_dropped_reject_is_counted_with_its_reason() {
    let relay = Relay::to_stdout().source("max_line_bytes = \"2KiB\"\non_reject = \"drop\"").start();
    send(relay.lines, medley());
    let metrics = relay.until(|metrics| metrics.delivered("out") == 7);
    has_counted_the_medley(&metrics);
    assert_eq!(metrics.sum_where("source_dropped_events_total", "reason=\"reject\""), 3);
    balances(&metrics, "out");
    let documents = relay.stop().cleanly().documents;
    assert_eq!(documents.len(), 7);
    assert!(documents.iter().all(|document| document.get("elbow").is_none()), "{documents:#?}");
}

#[test]
fn under_load_every_scrape_accounts_for_every_event() {
    let (prompt, cut) = (FakeLogstash::listening(), FakeLogstash::listening());
    let relay = Relay::to(prompt.address())
        .sink("settle = \"200ms\"")
        .and_to("cut", cut.address())
        .memory("64MiB")
        .source("on_reject = \"drop\"")
        .start();
    let flood = Flood::start(relay.lines, 4, 0, 4_000);
    send(relay.lines, "{\n".repeat(100));
    let (mut scrapes, mut before) = (0, 0);
    let total = 4 * 4_000 + 100;
    relay.until(|metrics| {
        scrapes += 1;
        for sink in ["logstash", "cut"] {
            // The buffer has room for everything here, so that nothing is counted but what is in it.
            let held = metrics.delivered(sink) + metrics.buffered(sink);
            assert_eq!(held, metrics.appended(), "sink {sink}:\n{metrics}");
        }
        // What a connection has parsed and not yet handed over is received already.
        assert!(metrics.received() >= metrics.appended() + metrics.dropped(), "{metrics}");
        assert!(metrics.received() >= before, "{metrics}");
        before = metrics.received();
        if scrapes % 5 == 0 && scrapes <= 15 {
            cut.cut();
        }
        metrics.received() == total && metrics.buffered("logstash") == 0 && metrics.buffered("cut") == 0
    });
    let sent = flood.finish().len() as u64;
    let metrics = relay.metrics();
    for sink in ["logstash", "cut"] {
        balances(&metrics, sink);
        assert_eq!(metrics.delivered(sink), sent);
    }
    assert_eq!(metrics.dropped(), 100);
    assert!(metrics.sum_where("sink_failures_total", "sink=\"cut\"") > 0, "it was felt:\n{metrics}");
    let again = cut.count() as u64 - sent;
    assert!(again <= metrics.sum_where("sink_retried_events_total", "sink=\"cut\""), "resends count as retried:\n{metrics}");
    relay.stop().cleanly();
}

#[test]
fn at_the_buffer_s_bound_the_books_balance_too() {
    let dead = FakeLogstash::absent();
    let relay = Relay::to(dead.address()).memory("16MiB").buffer("8MiB").start();
    let mut sender = relay.sender();
    sender.send(albs(0..6_900));
    let (mut last, mut same) = (0, 0);
    let metrics = relay.until(|metrics| {
        same = if metrics.received() == std::mem::replace(&mut last, metrics.received()) { same + 1 } else { 0 };
        same > 50 && metrics.received() > metrics.appended()
    });
    balances(&metrics, "logstash");
    assert!(metrics.buffered("logstash") > metrics.appended(), "some wait for room:\n{metrics}");
}
