//! Limits over HTTP: sizes, times, memory and room, and that whoever keeps to them notices nothing of others.

use std::io::Write;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::http::Http;
use crate::support::http::gzip;
use crate::support::http::post;
use crate::support::lines::alb;
use crate::support::lines::albs;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Relay;
use crate::support::scrape::Metrics;

fn at_most(relay: &Relay, extra_bytes: u64) {
    let most = relay.resident_bytes_max();
    assert!(most <= (40 << 20) + extra_bytes, "{most} bytes at the most");
}

#[test]
fn sizes_are_limited_as_they_come_and_unpacked() {
    let limits = "max_body_bytes = \"4KiB\"\nmax_unpacked_bytes = \"8KiB\"\nmax_line_bytes = \"1KiB\"";
    let relay = Relay::to_stdout().and_http(limits).start();
    let line = "x".repeat(1_023) + "\n";
    post(relay.web(), &[], line.repeat(4)).took(4, 0);
    let refused = post(relay.web(), &[], line.repeat(4) + "x").refused(413, "body_too_large");
    assert_eq!((&refused["limit"], &refused["stored"]), (&4_096.into(), &0.into()));
    post(relay.web(), &[], gzip(line.repeat(8).as_bytes())).took(8, 0);
    let refused = post(relay.web(), &[], gzip((line.repeat(8) + "x").as_bytes())).refused(413, "unpacked_too_large");
    assert_eq!(refused["limit"], 8_192);
    // In chunks nobody knows beforehand how large it is.
    let mut http = Http::connect(relay.web());
    http.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        http.send(format!("400\r\n{line}\r\n"));
    }
    http.answer().refused(413, "body_too_large");
    let refused = post(relay.web(), &[], format!("one\n{}\nthree\n", "y".repeat(1_025))).refused(413, "line_too_long");
    assert_eq!((&refused["limit"], &refused["stored"]), (&1_024.into(), &1.into()));
    let element = format!("[{{\"a\":1}},{{\"b\":\"{}\"}}]", "y".repeat(1_025));
    assert_eq!(post(relay.web(), &[], element).refused(413, "line_too_long")["stored"], 1);
    relay.stop().cleanly();
}

#[test]
fn bombs_cost_little_memory_and_damaged_bodies_are_refused() {
    let relay = Relay::to_stdout().memory("32MiB").and_http("max_unpacked_bytes = \"64MiB\"\nmax_line_bytes = \"1MiB\"").start();
    let newlines = vec![b'\n'; 1 << 20];
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    for _ in 0..200 {
        bomb.write_all(&newlines).expect("memory takes everything");
    }
    let bomb = bomb.finish().expect("memory takes everything");
    assert!(bomb.len() < 1 << 20);
    post(relay.web(), &[], &bomb).refused(413, "unpacked_too_large");
    let mut bomb = zstd::Encoder::new(Vec::new(), 19).expect("memory takes everything");
    for _ in 0..200 {
        bomb.write_all(&newlines).expect("memory takes everything");
    }
    let bomb = bomb.finish().expect("memory takes everything");
    post(relay.web(), &[("Content-Encoding", "zstd")], &bomb).refused(413, "unpacked_too_large");
    post(relay.web(), &[], gzip(&vec![b'x'; 100 << 20])).refused(413, "line_too_long");
    at_most(&relay, 32 << 20);

    let text = albs(0..100);
    let packed = gzip(text.as_bytes());
    let gzipped = [("Content-Encoding", "gzip")];
    for body in [&packed[..packed.len() - 1], &packed[..packed.len() / 2], &packed[..3], b"no gzip at all"] {
        let refused = post(relay.web(), &gzipped, body).refused(400, "bad_coding");
        assert!(refused["stored"].as_u64().is_some_and(|stored| stored <= 100), "{refused}");
    }
    post(relay.web(), &gzipped, [&packed[..], b"behind"].concat()).refused(400, "bad_coding");
    let zstd = zstd::encode_all(text.as_bytes(), 3).expect("memory takes everything");
    post(relay.web(), &[("Content-Encoding", "zstd")], &zstd[..zstd.len() - 1]).refused(400, "bad_coding");
    for coding in ["br", "gzip, gzip", "compress", "*"] {
        post(relay.web(), &[("Content-Encoding", coding)], "x").refused(415, "unsupported_coding");
    }
    let twice = [("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")];
    post(relay.web(), &twice, "x").refused(415, "unsupported_coding");
    post(relay.web(), &[], "fresh").took(1, 0);
}

#[test]
fn what_is_remembered_of_a_request_is_bounded_however_many_lines_it_has() {
    let settings = "format = \"alb\"\non_reject = \"drop\"\nidentity = \"content\"";
    let relay = Relay::to_stdout().memory("16MiB").and_http(settings).start();
    let lines: String = (0..300_000).map(|number| format!("{number}\n")).collect();
    let packed = gzip(lines.as_bytes());
    for _ in 0..2 {
        post(relay.web(), &[], &packed).took(0, 300_000);
    }
    relay.until(|metrics| metrics.sum("memory_bytes") == 0);
    relay.stop().cleanly();
}

#[test]
fn a_head_that_does_not_come_in_time_is_answered_and_closed_and_an_idle_connection_is_closed() {
    let relay = Relay::to_stdout().and_http("idle_timeout = \"3s\"").start();
    let begun = Instant::now();
    let (mut slow, mut idle) = (Http::connect(relay.web()), Http::connect(relay.web()));
    idle.post("/", &[], "one").took(1, 0);
    slow.send("POST / HTTP/1.1\r\n");
    idle.ends();
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    // It says something all the time.
    for _ in 0..4 {
        slow.send("X: y\r\n");
        thread::sleep(Duration::from_secs(1));
    }
    slow.answer().refused(408, "head_timeout");
    let took = begun.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&took), "{took:?}");
    slow.ends();
    let metrics = relay.until(|metrics| metrics.sum("source_connections_open") == 0);
    assert_eq!(metrics.sum_where("http_requests_total", "status=\"408\""), 1);
}

#[test]
fn a_thousand_slow_senders_disturb_nobody_and_are_turned_out() {
    let relay = Relay::to_stdout().and_http("").descriptors(4_096).start();
    let slow: Vec<_> = (0..1_000)
        .map(|number| {
            let mut http = Http::connect(relay.web());
            // Half of them are slow with their heads, the others with their bodies.
            let bytes =
                if number % 2 == 0 { "POST / HTTP" } else { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nab" };
            http.send(bytes);
            http
        })
        .collect();
    relay.until(|metrics| metrics.sum("http_requests_in_flight") == 500);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let sent = Instant::now();
        post(relay.web(), &[], alb(1)).took(1, 0);
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    }
    let mut statuses = [0, 0];
    for (number, mut http) in slow.into_iter().enumerate() {
        if number % 100 == 0 {
            // The admin listener closes connections on which nothing is asked.
            relay.metrics();
        }
        let answer = http.answer();
        match answer.json()["cause"].as_str() {
            Some("head_timeout") => statuses[0] += 1,
            Some("body_timeout") => statuses[1] += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(answer.status, 408);
    }
    assert_eq!(statuses, [500, 500]);
    relay.until(|metrics| metrics.sum("source_connections_open") == 0);
}

#[test]
fn many_slow_packed_bodies_leave_memory_for_others() {
    let relay = Relay::to_stdout().memory("32MiB").and_http("").start();
    let packed = zstd::encode_all(&b"a line of text"[..], 3).expect("memory takes everything");
    let slow: Vec<_> = (0..60)
        .map(|_| {
            let mut http = Http::connect(relay.web());
            http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: zstd\r\nContent-Length: 100\r\n\r\n");
            http.send(&packed[..6]);
            http
        })
        .collect();
    relay.until(|metrics| metrics.sum("http_requests_in_flight") == 60);
    let begun = Instant::now();
    post(relay.web(), &[], "plain").took(1, 0);
    post(relay.web(), &[], &packed).took(1, 0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(slow);
    relay.until(|metrics| metrics.sum("memory_bytes") == 0);
    relay.stop().cleanly();
}

/// Whether the books balance: what was received is buffered, delivered or dropped for a reason.
fn balance(metrics: &Metrics) {
    let received = metrics.sum("source_events_total");
    let dropped = metrics.sum("source_dropped_events_total");
    assert_eq!(received, metrics.delivered("logstash") + metrics.buffered("logstash") + dropped, "{metrics}");
}

#[test]
fn a_full_buffer_is_answered_soon_with_when_to_come_again() {
    let mut logstash = FakeLogstash::absent();
    let relay = Relay::to(logstash.address()).memory("24MiB").buffer("8MiB").and_http("").start();
    let text = albs(0..2_000);
    let mut stored = 0;
    let refused = loop {
        let begun = Instant::now();
        let answer = post(relay.web(), &[], &text);
        if answer.status != 200 {
            assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
            break answer;
        }
        stored += 2_000;
    };
    assert_eq!(refused.status, 429, "{refused:?}");
    stored += refused.json()["stored"].as_u64().expect("a number");
    let begun = Instant::now();
    let refused = post(relay.web(), &[], albs(0..200));
    refused.refused(429, "buffer_full");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(refused.header("retry-after"), Some("60"), "nothing leaves");
    let metrics = relay.until(|metrics| metrics.sum("http_requests_in_flight") == 0);
    assert_eq!(metrics.appended(), stored);
    balance(&metrics);
    assert_eq!(relay.page("/health").0, 200, "back-pressure is no illness");
    logstash.appear();
    let metrics = relay.until(|metrics| metrics.buffered("logstash") == 0);
    balance(&metrics);
    post(relay.web(), &[], alb(1)).took(1, 0);
    relay.stop().cleanly();
}

#[test]
fn a_full_disk_buffer_is_answered_soon_and_nothing_more_is_queued() {
    let mut logstash = FakeLogstash::absent();
    let folder = tempfile::tempdir().expect("a folder");
    let full = "min_free_bytes = 0\nmax_bytes = \"16MiB\"\n";
    let relay = Relay::to(logstash.address()).in_directory(folder.path()).buffer_settings(full).and_http("ack_timeout = \"1s\"");
    let relay = relay.start();
    let text = albs(0..500);
    // The requests that find the bound cannot be told in time whether they will be stored.
    while post(relay.web(), &[], &text).status == 200 {}
    relay.until(|metrics| metrics.sum_where("buffer_condition", "condition=\"full\"") == 1);
    let queued = relay.metrics().sum("buffer_queued_events");
    for _ in 0..3 {
        let begun = Instant::now();
        let answers: Vec<_> = thread::scope(|scope| {
            let senders: Vec<_> = (0..8).map(|_| scope.spawn(|| post(relay.web(), &[], alb(1)))).collect();
            senders.into_iter().map(|sender| sender.join().expect("it is answered")).collect()
        });
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        for answer in answers {
            assert_eq!(answer.refused(429, "buffer_full")["stored"], 0);
        }
    }
    let metrics = relay.until(|metrics| metrics.sum("http_requests_in_flight") == 0);
    assert_eq!(metrics.sum("buffer_queued_events"), queued, "a repeat adds nothing");
    balance(&metrics);
    logstash.appear();
    relay.until(|metrics| metrics.buffered("logstash") == 0);
    post(relay.web(), &[], alb(1)).took(1, 0);
    relay.stop().cleanly();
}

#[test]
fn many_requests_at_once_keep_to_the_memory() {
    let dead = FakeLogstash::absent();
    let relay = Relay::to(dead.address()).memory("32MiB").and_http("").start();
    let text = albs(0..3_000);
    let answers: Vec<_> = thread::scope(|scope| {
        let senders: Vec<_> =
            (0..32).map(|_| scope.spawn(|| (0..4).map(|_| post(relay.web(), &[], &text).status).collect::<Vec<_>>())).collect();
        senders.into_iter().flat_map(|sender| sender.join().expect("it is answered")).collect()
    });
    assert!(answers.iter().all(|status| matches!(status, 200 | 429)), "{answers:?}");
    assert!(answers.contains(&429), "they do not all fit");
    at_most(&relay, 32 << 20);
    let metrics = relay.until(|metrics| metrics.sum("http_requests_in_flight") == 0);
    balance(&metrics);
}
