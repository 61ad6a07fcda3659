//! Speed of the parser alone, one core: raw ALB lines to finished documents.
//!
//! `cargo bench --bench parse` prints gigabytes of raw lines a second and nanoseconds a line, medians of 15 runs.
//! `cargo bench --bench parse -- STEP LINES` runs one step once over that many lines, for counting instructions.

mod support;

use std::hint::black_box;

use elbow::batch::BatchBuilder;
use elbow::batch::SourceId;
use elbow::elb::Context;
use elbow::elb::Parser;
use elbow::elb::Schema;
use elbow::elb::Style;
use elbow::elb::StylePlan;
use elbow::elb::Treatment;
use elbow::elb::tokens::Tokens;
use elbow::event_id::ArrivalIds;
use elbow::event_id::ContentIds;
use elbow::event_id::IdKey;
use elbow::event_id::SourceIds;
use elbow::json::envelope::Envelope;
use elbow::json::envelope::Received;
use elbow::json::envelope::Tags;
use elbow::redact::Redactor;
use elbow::redact::Replacement;

const STEPS: [&str; 12] =
    ["none", "split", "tokenise", "id", "source-id", "content-id", "aws", "aws+id", "classic", "classic+id", "ecs", "ecs+id"];

/// Documents are collected up to this size and thrown away, as a sink would free them.
const BATCH_BYTES: usize = 256 * 1024;

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).map(move |end| {
        let line = (start, end);
        start = end + 1;
        line
    })
}

fn documents(text: &[u8], schema: Schema, with_id: bool, treatment: Treatment<'_>, out: &mut BatchBuilder) {
    let mut parser = Parser::default();
    let style = Style::new(&StylePlan::plain(schema));
    let received = Received::at(1_709_251_200_000_000);
    let ids = ContentIds::new(IdKey::new([7; 32]), "");
    for (start, end) in lines(text) {
        let envelope = with_id.then(|| Envelope { received, id: ids.id(&text[start..end], 0) });
        let context = Context { style: &style, only: None, envelope, tags: Tags::NONE, treatment };
        parser.document(text, start, end, &context, out).expect("the lines are ALB lines");
        if out.bytes() > BATCH_BYTES {
            black_box(out.documents());
            out.clear();
        }
    }
}

fn step(name: &str, text: &[u8], out: &mut BatchBuilder) {
    match name {
        "none" => {}
        "split" => {
            black_box(lines(text).map(|(start, end)| end - start).sum::<usize>());
        }
        "tokenise" => {
            let mut tokens = Tokens::default();
            for (start, end) in lines(text) {
                assert!(black_box(tokens.cut_plain(text, start, end)), "the lines are plain");
            }
        }
        "id" => {
            let mut ids = ArrivalIds::new(IdKey::new([7; 32]), [1; 12], SourceId(0), 1);
            for _ in lines(text) {
                black_box(ids.draw().hex());
            }
        }
        "source-id" => {
            let ids = SourceIds::new(IdKey::new([7; 32]), "tenant", "bucket", "key", "etag", 1);
            for (at, _) in lines(text).enumerate() {
                black_box(ids.id(at as u64, 0).hex());
            }
        }
        "content-id" => {
            let ids = ContentIds::new(IdKey::new([7; 32]), "tenant");
            for (start, end) in lines(text) {
                black_box(ids.id(&text[start..end], 0).hex());
            }
        }
        "aws" => documents(text, Schema::Aws, false, Treatment::default(), out),
        "aws+id" => documents(text, Schema::Aws, true, Treatment::default(), out),
        "aws+redact" => {
            let redactor = Redactor::new(Replacement::Mask, &[]).expect("no names");
            let treatment = Treatment { redactor: Some(&redactor), ..Treatment::default() };
            documents(text, Schema::Aws, false, treatment, out);
        }
        "classic" => documents(text, Schema::Classic, false, Treatment::default(), out),
        "ecs" => documents(text, Schema::Ecs, false, Treatment::default(), out),
        "ecs+id" => documents(text, Schema::Ecs, true, Treatment::default(), out),
        "classic+id" => documents(text, Schema::Classic, true, Treatment::default(), out),
        _ => panic!("a step is one of {STEPS:?}"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut out = BatchBuilder::default();
    if let [name, count] = arguments.as_slice() {
        let text = support::alb_lines(count.parse().expect("LINES is a number"));
        step(name, &text, &mut out);
        return;
    }
    let count = 100_000;
    let text = support::alb_lines(count);
    println!("{count} lines of {} bytes", text.len() / count);
    for name in STEPS.into_iter().skip(1) {
        let time = support::median(15, || step(name, &text, &mut out));
        println!(
            "{name:12} {:6.2} GB/s {:6.0} ns a line",
            text.len() as f64 / time.as_secs_f64() / 1e9,
            time.as_nanos() as f64 / count as f64
        );
    }
}
