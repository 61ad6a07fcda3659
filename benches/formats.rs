//! What lines of each kind cost in each schema, and what each treatment adds: one core, lines as the relay parses them.
//!
//! `cargo bench --bench formats` prints gigabytes of raw lines and millions of lines a second, medians of 11 runs, and the
//! allocations a line makes once everything has been seen.

mod support;

#[path = "support/lines.rs"]
mod lines;

#[path = "../tests/support/mmdb.rs"]
#[allow(dead_code, reason = "each user has its part")]
mod mmdb;

use std::alloc::System;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use elbow::batch::BatchBuilder;
use elbow::elb::Context;
use elbow::elb::Parser;
use elbow::elb::Schema;
use elbow::elb::Style;
use elbow::elb::StylePlan;
use elbow::elb::Treatment;
use elbow::elb::enrichment::Enrichment;
use elbow::elb::enrichment::Step;
use elbow::elb::format::Kind;
use elbow::elb::rules::Action;
use elbow::elb::rules::ConditionPlan;
use elbow::elb::rules::RulePlan;
use elbow::elb::rules::Rules;
use elbow::elb::rules::Test;
use elbow::enrich::agent::Agents;
use elbow::enrich::geo::Geo;
use elbow::enrich::table::Match;
use elbow::enrich::table::Table;
use elbow::enrich::table::TablePlan;
use elbow::event_id::ContentIds;
use elbow::event_id::IdKey;
use elbow::json::envelope::Envelope;
use elbow::json::envelope::Received;
use elbow::json::envelope::Tags;
use elbow::redact::Redactor;
use elbow::redact::Replacement;
use mmdb::Data;
use stats_alloc::INSTRUMENTED_SYSTEM;
use stats_alloc::Region;
use stats_alloc::StatsAlloc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LINES: usize = 20_000;
const RUNS: usize = 11;

/// Documents are collected up to this size and thrown away, as a sink would free them.
const BATCH_BYTES: usize = 256 * 1024;

/// How lines become documents in one row of the table.
struct Row<'a> {
    schema: Schema,
    ids: Option<ContentIds>,
    treatment: Treatment<'a>,
    enriched: bool,
    keep_original: bool,
}

impl Row<'_> {
    fn plain(schema: Schema) -> Self {
        Self { schema, ids: None, treatment: Treatment::default(), enriched: false, keep_original: false }
    }

    fn documents(&self, style: &Style, parser: &mut Parser, text: &[u8], out: &mut BatchBuilder) {
        let received = Received::at(1_772_359_200_000_000);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text) {
            let id = self.ids.as_ref().map(|ids| ids.id(&text[start..end], 0));
            let envelope = id.map(|id| Envelope { received, id });
            let context = Context { style, only: None, envelope, tags: Tags::NONE, treatment: self.treatment };
            parser.document(text, start, end, &context, out).expect("the lines are good");
            if out.bytes() > BATCH_BYTES {
                black_box(out.documents());
                out.clear();
            }
            start = end + 1;
        }
    }

    fn measure(&self, name: &str, text: &[u8]) {
        let plan = StylePlan { enriched: self.enriched, keep_original: self.keep_original, ..StylePlan::plain(self.schema) };
        let style = Style::new(&plan);
        let mut parser = Parser::default();
        let mut out = BatchBuilder::default();
        let time = support::median(RUNS, || self.documents(&style, &mut parser, text, &mut out));
        let region = Region::new(ALLOCATOR);
        self.documents(&style, &mut parser, text, &mut out);
        let change = region.change();
        let allocations = (change.allocations + change.reallocations) as f64 / LINES as f64;
        let seconds = time.as_secs_f64();
        println!(
            "{name:38} {:6} {:8.2} {:12.2} {:8.0} {allocations:12.2}",
            text.len() / LINES,
            text.len() as f64 / seconds / 1e9,
            LINES as f64 / seconds / 1e6,
            seconds * 1e9 / LINES as f64,
        );
    }
}

fn rules() -> Rules {
    let when = |field: &str, test| ConditionPlan { field: field.to_owned(), test, negate: false };
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let networks = ["192.0.2.0/24", "198.51.100.0/24"].map(|network| network.parse().expect("a network"));
    let plans = [
        ("checkers", vec![when("user_agent", Test::Prefix(texts(&["ELB-HealthChecker/"])))], Action::Drop),
        ("scanners", vec![when("client_ip", Test::Cidr(networks.to_vec()))], Action::Drop),
        (
            "styles",
            vec![
                when("request_path", Test::Suffix(texts(&[".css", ".woff2"]))),
                when("elb_status_code", Test::Range { min: 200, max: 299 }),
            ],
            Action::KeepOneIn(NonZeroU32::new(100).expect("a number")),
        ),
    ];
    let plan = |(name, conditions, action): (&str, _, _)| RulePlan { name: name.to_owned(), conditions, action };
    Rules::new(plans.map(plan).to_vec()).expect("the rules can be")
}

fn table(key: &str, match_by: Match, rows: &str) -> Arc<Table> {
    let plan = TablePlan { key_column: key.to_owned(), match_by, columns: Vec::new(), numbers: Vec::new() };
    Arc::new(Table::from_csv(rows.as_bytes(), &plan).expect("a table"))
}

fn steps() -> [(&'static str, Step); 5] {
    let field = |name: &str| Kind::ALL.map(|kind| kind.format().find(name));
    let by_name = table("lb", Match::Exact, "lb,team,tier\napp/prod-web-alb/50dc6c495c0c9188,web,gold\n");
    let by_network = table("net", Match::Cidr, "net,zone\n0.0.0.0/1,low\n10.0.0.0/8,ten\n64.0.0.0/2,mid\n");
    let place = |code: &str, name: &str| {
        let country = Data::named(name, vec![("iso_code", Data::text(code))]);
        let location = Data::Map(vec![("latitude", Data::Double(52.5)), ("longitude", Data::Double(13.4))]);
        Data::Map(vec![("country", country), ("location", location)])
    };
    let networks = [("0.0.0.0", 2, place("DE", "Germany")), ("64.0.0.0", 2, place("AT", "Austria"))];
    let database = mmdb::database("GeoLite2-City", &networks);
    [
        ("table, exact", Step::Table { field: field("elb"), by: Match::Exact, table: by_name }),
        ("table, network", Step::Table { field: field("client_ip"), by: Match::Cidr, table: by_network }),
        ("GeoIP", Step::Geo { field: field("client_ip"), geo: Arc::new(Geo::from_bytes(database).expect("a database")) }),
        ("user agent", Step::Agent { field: field("user_agent"), agents: Arc::new(Agents::built_in()) }),
        ("URL parts", Step::Url { field: field("request_url") }),
    ]
}

fn main() {
    println!("{:38} {:>6} {:>8} {:>12} {:>8} {:>12}", "", "bytes", "GB/s", "M lines/s", "ns", "allocations");
    for (kind, make) in lines::KINDS {
        let text = make(LINES);
        for schema in Schema::ALL {
            Row::plain(schema).measure(&format!("{kind} -> {}", schema.label()), &text);
        }
    }
    let text = support::alb_lines(LINES);
    let key = IdKey::new([7; 32]);
    let redactor = Redactor::new(Replacement::Mask, &[]).expect("no names");
    let rules = rules();
    let aws = || Row::plain(Schema::Aws);
    aws().measure("alb -> aws", &text);
    Row { ids: Some(ContentIds::new(key, "")), ..aws() }.measure("  with ids by content", &text);
    Row { keep_original: true, ..aws() }.measure("  with the line as it came", &text);
    let treatment = Treatment { redactor: Some(&redactor), ..Treatment::default() };
    Row { treatment, ..aws() }.measure("  with redaction", &text);
    let treatment = Treatment { rules: Some(&rules), ..Treatment::default() };
    Row { treatment, ..aws() }.measure("  with three rules", &text);
    for (name, step) in steps() {
        let enrichment = Enrichment::new(vec![step]);
        let treatment = Treatment { enrichment: Some(&enrichment), ..Treatment::default() };
        Row { treatment, enriched: true, ..aws() }.measure(&format!("  with {name}"), &text);
    }
}
