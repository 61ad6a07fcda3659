//! How fast JSON events are scanned and passed on: `cargo bench --bench json`.
//!
//! Prints the median over many rounds on a chunk of lines, as one read from a socket gives them.

use std::hint::black_box;
use std::time::Instant;

use elbow::batch::BatchBuilder;
use elbow::batch::EventId;
use elbow::enrich::fields::Fields;
use elbow::json::envelope::Envelope;
use elbow::json::envelope::Received;
use elbow::json::envelope::Tags;
use elbow::json::scan::Scan;
use elbow::json::splice::splice;

/// Rounds of which the median is taken.
const ROUNDS: usize = 400;

fn main() {
    let flat = lines(|n| {
        format!(
            concat!(
                r#"{{"@timestamp":"2026-03-01T10:20:30.{:03}Z","type":"https","elb":"app/my-loadbalancer/50dc6c495c0c9188","#,
                r#""client":{{"ip":"10.22.{}.{}","port":{}}},"target":{{"ip":"10.0.0.{}","port":8080}},"#,
                r#""request_processing_time":0.0{},"target_processing_time":0.{:03},"response_processing_time":0.0,"#,
                r#""elb_status_code":200,"target_status_code":200,"received_bytes":{},"sent_bytes":{},"#,
                r#""request":"GET https://www.example.com:443/orders/{}?page=2&sort=desc HTTP/1.1","#,
                r#""user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36","#,
                r#""ssl":{{"cipher":"ECDHE-RSA-AES128-GCM-SHA256","protocol":"TLSv1.2"}},"tags":["alb","eu-central-1"],"#,
                r#""target_group":"arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/tg/{:016x}"}}"#
            ),
            n % 1000,
            n % 256,
            n % 199,
            1024 + n * 37 % 60_000,
            n % 250,
            n % 10,
            n % 1000,
            n * 13 % 5000,
            n * 7919 % 100_000,
            n * 31,
            n * 0x9e37_79b9
        )
    });
    let small = lines(|n| format!(r#"{{"message":"line {n}","level":"info","count":{}}}"#, n * 7));
    let escaped = lines(|n| format!(r#"{{"a":"{}","n":{n}}}"#, r#"{\"k\":\"v\",\"path\":\"\/x\/y\"}"#.repeat(10)));
    let text = lines(|n| format!(r#"{{"message":"{}{n}"}}"#, "lorem ipsum dolor sit amet ".repeat(40)));
    println!("{:10} {:>6} {:>14} {:>22}", "lines", "bytes", "scan", "scan + splice");
    for (name, chunk) in [("alb", flat), ("small", small), ("escaped", escaped), ("text", text)] {
        measure(name, &chunk);
    }
}

/// About 128 KiB of lines.
fn lines(line: impl Fn(u64) -> String) -> Vec<u8> {
    let mut chunk = Vec::new();
    let mut n = 0;
    while chunk.len() < 128 * 1024 {
        chunk.extend_from_slice(line(n).as_bytes());
        chunk.push(b'\n');
        n += 1;
    }
    chunk
}

fn measure(name: &str, chunk: &[u8]) {
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', chunk).collect();
    let fields = ["Environment", "Application", "Component", "SourceModuleName"];
    let fields = Fields::from_pairs(fields.map(|name| (name.to_owned(), "production".into()))).expect("within the limits");
    let received = 1_772_360_430_000_000;
    let envelope = Envelope { received: Received::at(received), id: EventId([0x5a; 16]) };
    let mut scan = Scan::new();
    let mut out = BatchBuilder::default();

    let scanned = median(|| {
        let mut start = 0;
        for &end in &ends {
            black_box(scan.scan(black_box(chunk), start, end)).expect("the line is JSON");
            start = end + 1;
        }
    });
    let spliced = median(|| {
        out.clear();
        let mut start = 0;
        for &end in &ends {
            scan.scan(black_box(chunk), start, end).expect("the line is JSON");
            let _ = black_box(splice(&scan, chunk, &envelope, &fields, Tags::NONE, &mut out));
            start = end + 1;
        }
    });
    let figure =
        |seconds: f64| format!("{:.0} ns {:.2} GB/s", seconds / ends.len() as f64 * 1e9, chunk.len() as f64 / seconds / 1e9);
    println!("{name:10} {:6} {:>18} {:>18}", chunk.len() / ends.len(), figure(scanned), figure(spliced));
}

/// Seconds of the median round.
fn median(mut round: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            round();
            begin.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}
