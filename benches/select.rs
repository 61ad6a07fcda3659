//! What a sink's `when` costs a document: one core, batches of ALB documents as the relay makes them.
//!
//! `cargo bench --bench select` prints nanoseconds a document and how many were wanted, medians of 15 runs.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use elbow::batch::Batch;
use elbow::batch::BatchBuilder;
use elbow::batch::Origin;
use elbow::batch::SourceId;
use elbow::elb::Context;
use elbow::elb::Parser;
use elbow::elb::Schema;
use elbow::elb::Style;
use elbow::elb::StylePlan;
use elbow::elb::Treatment;
use elbow::json::envelope::Tags;
use elbow::select::ConditionPlan;
use elbow::select::Picked;
use elbow::select::Select;
use elbow::select::SelectPlan;
use elbow::select::Subject;
use elbow::value_test::Test;

const LINES: usize = 20_000;

/// Bytes of documents after which a batch ends, as one read of a busy source makes them.
const BATCH_BYTES: usize = 256 * 1024;

fn batches(schema: Schema) -> Vec<Batch> {
    let text = support::alb_lines(LINES);
    let style = Style::new(&StylePlan::plain(schema));
    let (mut parser, mut batches, mut out) = (Parser::default(), Vec::new(), BatchBuilder::default());
    let context = Context { style: &style, only: None, envelope: None, tags: Tags::NONE, treatment: Treatment::default() };
    let close = |out: BatchBuilder| {
        let batch = out.build(SourceId(3), 0, |mut buf, used| {
            buf.truncate(used);
            Bytes::from(buf)
        });
        Batch { tenant: Some(Arc::from("web")), ..batch }
    };
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', &text) {
        parser.document(&text, start, end, &context, &mut out).expect("the lines are good");
        if out.bytes() > BATCH_BYTES {
            batches.push(close(std::mem::take(&mut out)));
        }
        start = end + 1;
    }
    batches.push(close(out));
    batches
}

fn measure(name: &str, conditions: Vec<ConditionPlan>, batches: &[Batch]) {
    let select = Select::new(SelectPlan { conditions });
    let mut wanted = 0;
    let time = support::median(15, || {
        wanted = 0;
        for batch in batches {
            wanted += match black_box(select.pick(batch)) {
                Picked::All => batch.len(),
                Picked::Nothing => 0,
                Picked::Some(part) => part.len(),
            };
        }
    });
    let documents: usize = batches.iter().map(Batch::len).sum();
    let bytes: usize = batches.iter().map(|batch| batch.docs.len()).sum();
    println!(
        "{name:52} {:5} bytes {:3} % wanted {:8.2} ns a document",
        bytes / documents,
        wanted * 100 / documents,
        time.as_nanos() as f64 / documents as f64
    );
}

fn main() {
    let when = |subject| ConditionPlan { subject, negate: false };
    let field = |path: &str, test| when(Subject::Field { path: path.to_owned(), test });
    let failed = Test::Range { min: 500, max: 599 };
    let found = Test::Range { min: 200, max: 599 };
    for (schema, label, status, last) in [
        (Schema::Aws, "aws", "elb_status_code", "conn_trace_id"),
        (Schema::Ecs, "ecs", "http.response.status_code", "aws.elb.no_such_field"),
    ] {
        let batches = batches(schema);
        let measure = |name: &str, conditions| measure(&format!("{label}: {name}"), conditions, &batches);
        let tenants = |name: &str| when(Subject::Tenant(vec![Some("shop".to_owned()), Some(name.to_owned())]));
        let formats = |origins: &[Origin]| when(Subject::Format(origins.to_vec()));
        measure("tenant, wanted", vec![tenants("web")]);
        measure("tenant, not wanted", vec![tenants("lab")]);
        measure("tenant and source", vec![tenants("web"), when(Subject::Source(vec![SourceId(3)]))]);
        measure("format, wanted", vec![formats(&[Origin::Alb, Origin::Nlb])]);
        measure("format, not wanted", vec![formats(&[Origin::Json])]);
        measure("field, all wanted", vec![field(status, found.clone())]);
        measure("field, some wanted and copied", vec![field(status, failed.clone())]);
        let prefix = Test::Prefix(vec!["none of them begins so".to_owned()]);
        measure("field at the end or not there", vec![field(last, prefix)]);
        measure("two fields", vec![field(status, found.clone()), field("no.such.field", failed.clone())]);
    }
}
