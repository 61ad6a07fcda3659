//! Whatever a stream is cut into on its way, and whatever bytes it has, the documents are the same and are JSON.

use std::sync::Arc;

use elbow::batch::SourceId;
use elbow::elb::Schema;
use elbow::event_id::IdKey;
use elbow::intake::Intake;
use elbow::metrics::Metrics;
use elbow::pipeline::feed::LineFeed;
use elbow::pipeline::ids::Ids;
use elbow::pipeline::look::look;
use elbow::pipeline::lookups::Lookups;
use elbow::pipeline::parse::LineParser;
use elbow::pipeline::plan::Format;
use elbow::pipeline::plan::ParsePlan;
use elbow::pipeline::pool::Pool;
use elbow::source::Feed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

const LINE_BYTES_MAX: usize = 2048;

/// The documents of a stream that comes in these reads, as text.
fn documents(reads: &[&[u8]], format: Format, schema: Schema, bare: bool) -> String {
    let plan = ParsePlan {
        fields: vec![("Environment".to_owned(), "ci".into()), ("n".to_owned(), 7.into())],
        line_bytes_max: LINE_BYTES_MAX,
        bare,
        ..ParsePlan::plain(format, schema)
    };
    let look = look(&plan, IdKey::PUBLISHED, &Lookups::load(&[]).expect("nothing to load")).expect("a look");
    let ids = Ids::new(IdKey::PUBLISHED, [0; 12], SourceId(0), 0);
    let metrics = Arc::new(Metrics::new().source("test", &[]));
    let mut feed =
        LineFeed::new(LINE_BYTES_MAX, LineParser::new(&plan, Arc::new(look), ids), SourceId(0), Pool::new(1 << 20), metrics);
    let intake = Intake::new(1 << 30);
    let mut permit = intake.try_admit(1 << 20).expect("memory is free");
    let mut batches = Vec::new();
    for read in reads {
        feed.feed(read, &mut permit, &mut batches);
    }
    feed.finish(true, &mut permit, &mut batches);
    let mut text = String::new();
    for batch in &batches {
        assert_eq!(batch.documents().count(), batch.len());
        text += std::str::from_utf8(&batch.docs).expect("documents are UTF-8");
    }
    drop((batches, permit, feed));
    assert_eq!(intake.held_bytes(), 0, "everything held is given back");
    text
}

fn check_json(documents: &str) {
    assert!(documents.is_empty() || documents.ends_with('\n'));
    for document in documents.lines() {
        let document: Value = serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}: {document}"));
        assert!(document.is_object());
    }
}

/// Lines of every kind, well-formed and not.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let cases: Vec<String> = include_str!("data/edge-cases.jsonl")
        .lines()
        .map(|case| {
            serde_json::from_str::<Value>(case).expect("a case is JSON")["line"].as_str().expect("a case has a line").to_owned()
        })
        .collect();
    let known = proptest::sample::select(cases);
    let mutated = (known.clone(), any::<Index>(), any::<u8>()).prop_map(|(line, at, byte)| {
        let mut line = line.into_bytes();
        if !line.is_empty() {
            let at = at.index(line.len());
            line[at] = byte;
        }
        line
    });
    prop_oneof![
        4 => known.prop_map(String::into_bytes),
        4 => mutated,
        1 => vec(any::<u8>(), 0..100),
        1 => "[{}\\[\\]\",:0-9a@ \\\\]{0,40}".prop_map(String::into_bytes),
        1 => Just(br#"{"@timestamp":"2026-01-02T03:04:05Z","a":[1,{"b":null}],"Environment":"own"}"#.to_vec()),
        1 => Just(br#"[{"a":1},2,{"@timestamp":3,"tags":"x"}]"#.to_vec()),
        1 => Just(br#"{"@elbow":{"fields":{"Application":"shop"}}}"#.to_vec()),
        1 => (LINE_BYTES_MAX - 3..LINE_BYTES_MAX + 3).prop_map(|length| vec![b'x'; length]),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    (vec((line(), prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n")]), 0..20), line()).prop_map(|(lines, last)| {
        let mut stream: Vec<u8> = lines.into_iter().flat_map(|(line, end)| [line, end.as_bytes().to_vec()].concat()).collect();
        stream.extend(last);
        stream
    })
}

fn format() -> impl Strategy<Value = Format> {
    proptest::sample::select(Format::ALL.to_vec())
}

fn schema() -> impl Strategy<Value = Schema> {
    proptest::sample::select(Schema::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_into_reads_gives_the_same_documents(stream in stream(), cuts in vec(any::<Index>(), 0..20), format in format(), schema in schema()) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(documents(&reads, format, schema, true), documents(&[&stream], format, schema, true));
    }

    #[test]
    fn any_bytes_give_json(stream in stream(), format in format(), schema in schema(), bare: bool) {
        check_json(&documents(&[&stream], format, schema, bare));
    }

    #[test]
    fn nothing_but_noise_gives_json(stream in vec(any::<u8>(), 0..4096), format in format(), schema in schema()) {
        check_json(&documents(&[&stream], format, schema, false));
    }
}

#[test]
fn one_byte_at_a_time() {
    let stream: Vec<u8> = include_str!("data/edge-cases.jsonl")
        .lines()
        .flat_map(|case| {
            let case: Value = serde_json::from_str(case).expect("a case is JSON");
            format!("{}\n", case["line"].as_str().expect("a case has a line")).into_bytes()
        })
        .collect();
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let whole = documents(&[&stream], Format::Auto, Schema::Aws, true);
    assert!(whole.lines().count() > 60);
    assert_eq!(documents(&bytes, Format::Auto, Schema::Aws, true), whole);
}
