//! Any stream, cut into reads anywhere, gives documents that are JSON objects, and gives all memory back.
//!
//! The first byte chooses format and schema, the second the size of the reads; the rest is the stream.

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
use serde::de::IgnoredAny;

const LINE_BYTES_MAX: usize = 1024;

pub(crate) fn check(input: &[u8]) {
    let [choice, size, stream @ ..] = input else { return };
    let format = Format::ALL[usize::from(*choice) % Format::ALL.len()];
    let schema = Schema::ALL[usize::from(*choice >> 4) % Schema::ALL.len()];
    let plan = ParsePlan {
        fields: vec![("Environment".to_owned(), "ci".into())],
        line_bytes_max: LINE_BYTES_MAX,
        bare: *choice >> 7 == 1,
        ..ParsePlan::plain(format, schema)
    };
    let look = look(&plan, IdKey::PUBLISHED, &Lookups::load(&[]).expect("nothing to load")).expect("a look");
    let ids = Ids::new(IdKey::PUBLISHED, [0; 12], SourceId(0), 0);
    let metrics = Arc::new(Metrics::new().source("fuzz", &[]));
    let mut feed =
        LineFeed::new(LINE_BYTES_MAX, LineParser::new(&plan, Arc::new(look), ids), SourceId(0), Pool::new(1 << 20), metrics);
    let intake = Intake::new(1 << 30);
    let mut permit = intake.try_admit(1 << 20).expect("memory is free");
    let mut batches = Vec::new();
    for read in stream.chunks(usize::from(*size) + 1) {
        feed.feed(read, &mut permit, &mut batches);
    }
    feed.finish(true, &mut permit, &mut batches);
    for batch in &batches {
        for (document, _) in batch.documents() {
            // A lone surrogate in an escape is JSON by its grammar, though no text: it is passed on and not decoded here.
            let _: IgnoredAny = serde_json::from_slice(document).expect("a document is JSON");
            assert!(document.starts_with(b"{") && document.ends_with(b"}\n"));
        }
    }
    drop((batches, permit, feed));
    assert_eq!(intake.held_bytes(), 0);
}
