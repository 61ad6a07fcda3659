//! A line on its way to a document allocates nothing once its parser has seen its like. One test alone in its process,
//! because the allocations of every thread are counted.

use std::alloc::System;
use std::sync::Arc;

use elbow::batch::BatchBuilder;
use elbow::batch::SourceId;
use elbow::elb::Schema;
use elbow::event_id::IdKey;
use elbow::framing::lines::Whole;
use elbow::json::envelope::Received;
use elbow::pipeline::ids::Ids;
use elbow::pipeline::look::look;
use elbow::pipeline::lookups::Lookups;
use elbow::pipeline::parse::LineParser;
use elbow::pipeline::plan::Format;
use elbow::pipeline::plan::ParsePlan;
use elbow::pipeline::plan::Redact;
use stats_alloc::INSTRUMENTED_SYSTEM;
use stats_alloc::Region;
use stats_alloc::StatsAlloc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One line of each kind, and what else a source receives.
const LINES: [&str; 7] = [
    "https 2026-03-01T10:20:30.123456Z app/web/0123456789abcdef 192.0.2.10:34567 10.0.1.5:8080 0.000 0.004 0.000 200 200 120 5120 \
     \"GET https://www.example.com:443/a?b=c&token=secret HTTP/1.1\" \"Mozilla/5.0 \\x22odd\\x22\" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 \
     arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef \"Root=1-5e6f7a8b-0123456789abcdef\" \
     \"www.example.com\" \"-\" 1 2026-03-01T10:20:30.119000Z \"waf,forward\" \"-\" \"-\" \"10.0.1.5:8080\" \"200\" \"-\" \"-\" TID_0011",
    "2026-03-01T10:20:30.123456Z my-lb 192.0.2.20:51234 10.0.0.1:80 0.1 0.2 0.3 200 200 0 9 \"GET http://a.example:80/ HTTP/1.1\" \"curl/8\" - -",
    "tls 2.0 2026-02-03T04:05:06 net/edge/fedcba9876543210 0011223344556677 198.51.100.9:52222 10.0.9.9:443 1500 12 640 9000 - - - - - - - \
     h2 http/1.1 \"h2\",\"http/1.1\" 2026-02-03T04:05:05",
    "2026-03-01T10:20:29.900000Z 192.0.2.10 40001 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.021 \"-\" - - Success TID_0011",
    "http 2025-11-22T12:44:59.875678Z 0.019584011 10.0.1.5:80 web-targets PASS 200 -",
    r#"{"a":{"b":[1,2,3]},"message":"text \u00e9"}"#,
    "plain text with http://u:p@h.example/",
];

#[test]
fn a_line_allocates_nothing() {
    for schema in Schema::ALL {
        let plan = ParsePlan { redact: Redact::Mask, keep_original: true, ..ParsePlan::plain(Format::Auto, schema) };
        let look = look(&plan, IdKey::PUBLISHED, &Lookups::load(&[]).expect("nothing to load")).expect("a look");
        let mut parser = LineParser::new(&plan, Arc::new(look), Ids::new(IdKey::PUBLISHED, [0; 12], SourceId(0), 0));
        let mut out = BatchBuilder::new(vec![0; 1 << 20]);
        let mut pass = || {
            for line in LINES {
                parser.line(line.as_bytes(), 0, line.len(), Whole::Yes, Received::at(0), &mut out);
            }
            assert_eq!(out.len(), LINES.len());
            out.clear();
        };
        pass();
        // The thread that waits for this test may allocate now and then; a line that does, does so in every pass.
        let fewest = (0..20).map(|_| {
            let region = Region::new(ALLOCATOR);
            pass();
            let change = region.change();
            change.allocations + change.reallocations
        });
        assert_eq!(fewest.min(), Some(0), "{}", schema.label());
    }
}
