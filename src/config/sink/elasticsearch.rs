//! `[[sink]]` tables of type `elasticsearch`.

use crate::config::decide::Shared;
use crate::config::reader::Reader;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::sink::ElasticsearchPlan;
use crate::sink::PacePlan;
use crate::sink::Target;

use super::http;

/// Keys that only these sinks have.
pub(super) const KEYS: [&str; 1] = ["index"];

/// The port Elasticsearch and OpenSearch listen on by default.
const PORT: u16 = 9200;

/// Reads one.
pub(super) fn decide(sink: &mut Reader<'_, '_>, shared: &Shared) -> Option<ElasticsearchPlan> {
    let http = http::decide(sink, (PORT, PORT), false);
    let target = decide_target(sink);
    let words = [("none", false), ("gzip", true)];
    let gzip = sink.one_of("compression", &Words { now: &words, later: &[] }, ("none", false));
    let bytes = sink.size("request_bytes", 64 << 10..=100 << 20, 5 << 20, Origin::Default);
    let concurrency = sink.integer("concurrency", 1..=64, 8);
    let bytes = usize::try_from(bytes).expect("its range ends far below");
    let concurrency = usize::try_from(concurrency).expect("its range ends far below");
    Some(ElasticsearchPlan {
        http: http?,
        target: target?,
        gzip,
        pace: PacePlan { bytes, concurrency, held_bytes: shared.held_bytes(bytes) },
    })
}

fn decide_target(sink: &mut Reader<'_, '_>) -> Option<Target> {
    let written = sink.required("index", "\"elb-%Y.%m.%d\"")?;
    match Target::parse(&written.text) {
        Ok(target) => {
            sink.record("index", target.as_str(), written.origin());
            Some(target)
        }
        Err(error) => {
            let allowed = "a name in lower case, with %Y, %m, %d, %H, %G, %V for the event's time";
            sink.refuse("index", &written, error, Some(allowed.to_owned()), None);
            None
        }
    }
}
