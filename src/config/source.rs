//! `[[source]]` tables.

use std::ops::Range;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use toml::de::DeTable;

use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::decide::Shared;
use crate::config::decide::check_listen;
use crate::config::decide::decide_name;
use crate::config::fields::decide_fields;
use crate::config::growth::Growth;
use crate::config::listener::decide_proxy;
use crate::config::overrides::Given;
use crate::config::overrides::Overrides;
use crate::config::reader::Reader;
use crate::config::redaction::decide_redaction;
use crate::config::report::Origin;
use crate::config::tls::decide_tls;
use crate::config::words::Words;
use crate::elb::Schema;
use crate::elb::rules::RULES_MAX;
use crate::pipeline::plan::Format;
use crate::pipeline::plan::Identity;
use crate::pipeline::plan::LINE_BYTES_MAX;
use crate::pipeline::plan::OnReject;
use crate::pipeline::plan::ParsePlan;
use crate::pipeline::relay::SourceKind;
use crate::pipeline::relay::SourcePlan;
use crate::source::beats::BeatsSourcePlan;
use crate::source::door::DoorPlan;
use crate::source::http::HttpSourcePlan;
use crate::source::http::body::BodyLimits;
use crate::source::tcp::Confirm;
use crate::source::tcp::TcpSourcePlan;
use crate::wire::lumberjack::Limits;

/// Reads all sources; complains when there is none. Gives their plans, and their names as they were written.
pub fn decide_all(root: &mut Reader<'_, '_>, overrides: &Overrides, shared: &mut Shared) -> (Vec<SourcePlan>, Vec<String>) {
    let written = root.has("source");
    let tables = root.tables("source");
    if tables.len() > SOURCES_MAX {
        root.refuse_key("source", "too many sources", "at most 256 are possible");
    }
    if let Some(listen) = overrides.listen.as_ref().filter(|_| tables.len() > 1) {
        let what = format!("which of the {} sources shall listen on {:?}?", tables.len(), listen.value);
        let complaint = Complaint::wrong(Place::Given(listen.by.clone()), "source", what);
        root.desk().complaints.push(complaint.remedy("change their addresses in the file"));
    }
    let mut plans = Vec::new();
    let mut names = Vec::new();
    for (table, span) in &tables {
        plans.extend(decide_one(root, Some((table, span.clone())), overrides, shared, &mut names));
    }
    if tables.is_empty() && overrides.listen.is_some() {
        plans.extend(decide_one(root, None, overrides, shared, &mut names));
    } else if !written {
        let complaint = Complaint::missing(root.place(), "source", "there is no source: nothing would be received");
        root.desk().complaints.push(complaint.remedy(SNIPPET));
    }
    (plans, names)
}

type Table<'t> = (&'t DeTable<'t>, Range<usize>);

/// Reads one source; without a table, the one a `--listen` alone asks for.
fn decide_one<'t>(
    root: &mut Reader<'_, 't>,
    table: Option<Table<'t>>,
    overrides: &Overrides,
    shared: &mut Shared,
    names: &mut Vec<String>,
) -> Option<SourcePlan> {
    let title = format!("source {}", names.len() + 1);
    let place = table.as_ref().map_or(root.place(), |(_, span)| Place::File(span.clone()));
    let desk = root.desk();
    desk.report.begin(title);
    let mut source = Reader::new(desk, table.as_ref().map(|(table, _)| *table), place, "source");
    if table.is_none() {
        let by = overrides.listen.as_ref().map_or(String::new(), |given| given.by.clone());
        source.give("name", Given { value: "tcp".to_owned(), by: by.clone() });
        source.give("type", Given { value: "tcp".to_owned(), by });
    }
    let single = names.is_empty();
    if let Some(listen) = overrides.listen.as_ref().filter(|_| single) {
        source.give("address", listen.clone());
    }
    if let Some(schema) = &overrides.schema {
        source.give("schema", schema.clone());
    }
    let name = decide_name(&mut source, names, "\"elb\"");
    names.push(name.clone().unwrap_or_default());
    let name = name.unwrap_or_default();
    source.desk().report.retitle(format!("[[source]] {name}"));
    let kind = source.required("type", "\"tcp\"")?;
    let kinds = Words { now: &[("tcp", Kind::Tcp), ("http", Kind::Http), ("beats", Kind::Beats)], later: &[] };
    let kind = source.choose("type", &kind, &kinds)?;
    let plan = decide_plan(&mut source, kind, name, overrides, shared);
    source.finish();
    plan
}

/// What a source speaks, as its word says.
#[derive(Clone, Copy)]
enum Kind {
    Tcp,
    Http,
    Beats,
}

fn decide_plan(
    source: &mut Reader<'_, '_>,
    kind: Kind,
    name: String,
    overrides: &Overrides,
    shared: &mut Shared,
) -> Option<SourcePlan> {
    let address = source.required("address", "\"0.0.0.0:5000\"");
    if let Some(written) = &address {
        check_listen(source, "address", written, &format!("source {name:?}"), &mut shared.listening);
    }
    let parse = decide_parse(source, &name, shared);
    let confirm = matches!(kind, Kind::Tcp).then(|| decide_confirm(source));
    let refuses_long_lines = decide_long_lines(source, kind);
    let connections_max = source.integer("max_connections", 1..=1_000_000, 10_000);
    let idle_timeout = source.duration("idle_timeout", IDLE, Duration::from_secs(360));
    let kind = match kind {
        Kind::Tcp => SourceKind::Tcp(TcpSourcePlan { confirm: confirm.unwrap_or_default(), idle_timeout }),
        Kind::Http => SourceKind::Http(decide_http(source, &parse, idle_timeout, refuses_long_lines)),
        Kind::Beats => SourceKind::Beats(decide_beats(source, &parse, idle_timeout, refuses_long_lines)),
    };
    let fields = decide_fields(source, overrides);
    let proxy = decide_proxy(source);
    let shares_port = source.switch("reuse_port", false);
    warn_of_placeholders(source, &name, parse.schema, &fields);
    let tls = decide_tls(source, &name);
    let address = address?.text;
    Some(SourcePlan {
        door: DoorPlan {
            name,
            address,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            idle_timeout,
            shares_port,
            proxy,
            tls,
        },
        kind,
        parse: ParsePlan { fields, ..parse },
    })
}

/// Whether a line over the limit is refused. A TCP source with confirmation can do nothing else, and one without cannot refuse.
fn decide_long_lines(source: &mut Reader<'_, '_>, kind: Kind) -> bool {
    let words = Words { now: &[("refuse", true), ("cut", false)], later: &[] };
    if matches!(kind, Kind::Tcp) {
        if source.has("long_lines") {
            let _ = source.one_of("long_lines", &words, ("refuse", true));
            let what =
                "is for sources that answer: a TCP source cuts long lines with confirm = \"none\", and refuses them otherwise";
            source.refuse_key("long_lines", what, "remove it");
        }
        return false;
    }
    source.one_of("long_lines", &words, ("refuse", true))
}

fn decide_beats(
    source: &mut Reader<'_, '_>,
    parse: &ParsePlan,
    idle_timeout: Duration,
    refuses_long_lines: bool,
) -> BeatsSourcePlan {
    let window_events_max = source.integer("max_window_events", 1..=1_000_000, 65_536);
    let inflated_bytes_max = source.size("max_inflated_bytes", INFLATED_BYTES, 128 << 20, Origin::Default);
    let limits = Limits {
        window_events_max,
        event_bytes_max: refuses_long_lines.then(|| u32::try_from(parse.line_bytes_max).unwrap_or(u32::MAX)),
        inflated_bytes_max,
    };
    BeatsSourcePlan { limits, idle_timeout }
}

fn decide_confirm(source: &mut Reader<'_, '_>) -> Confirm {
    let confirms = Confirm::ALL.map(|confirm| (confirm.label(), confirm));
    source.one_of("confirm", &Words { now: &confirms, later: &[] }, ("none", Confirm::None))
}

fn decide_http(
    source: &mut Reader<'_, '_>,
    parse: &ParsePlan,
    idle_timeout: Duration,
    refuses_long_lines: bool,
) -> HttpSourcePlan {
    let packed = source.size("max_body_bytes", BODY_BYTES, BODY_BYTES_MAX, Origin::Default);
    let unpacked = source.size("max_unpacked_bytes", BODY_BYTES, UNPACKED_BYTES_MAX, Origin::Default);
    let ack_timeout = source.duration("ack_timeout", ACK, Duration::from_secs(4));
    let limits = BodyLimits { packed, unpacked };
    HttpSourcePlan { limits, line_bytes_max: parse.line_bytes_max, refuses_long_lines, ack_timeout, idle_timeout }
}

/// What says how lines become documents, its static fields aside.
fn decide_parse(source: &mut Reader<'_, '_>, name: &str, shared: &Shared) -> ParsePlan {
    let formats = Format::ALL.map(|format| (format.label(), format));
    let format = source.one_of("format", &Words { now: &formats, later: &[] }, ("auto", Format::Auto));
    let schemas = Schema::ALL.map(|schema| (schema.label(), schema));
    let schema = source.one_of("schema", &Words { now: &schemas, later: &[] }, ("aws", Schema::Aws));
    let classic_extra = source.switch("classic_extra", false);
    if classic_extra && schema != Schema::Classic {
        let what = "adds fields to the schema \"classic\", and this source has another one";
        source.refuse_key("classic_extra", what, "remove it, or write schema = \"classic\"");
    }
    let keep_original = source.switch("keep_original", false);
    let identities = Identity::ALL.map(|identity| (identity.label(), identity));
    let identity = source.one_of("identity", &Words { now: &identities, later: &[] }, ("auto", Identity::Auto));
    let sender_fields = source.switch("sender_fields", false);
    let (redact, redact_names) = decide_redaction(source, shared);
    let choices = OnReject::ALL.map(|choice| (choice.label(), choice));
    let on_reject = source.one_of("on_reject", &Words { now: &choices, later: &[] }, ("tag", OnReject::Tag));
    if on_reject == OnReject::DeadLetter && !shared.keeps_dead_letters {
        let remedy = "write data_dir = \"/var/lib/elbow\" at the top of the file, or on_reject = \"tag\"";
        source.refuse_key("on_reject", "dead letters are kept on disk, and there is no data_dir", remedy);
    }
    let rules: Vec<_> = shared.rules.iter().filter(|rule| rule.is_for(name)).filter_map(|rule| rule.what.clone()).collect();
    if rules.len() > RULES_MAX {
        let what = format!("{} rules are for this source", rules.len());
        source.refuse_key("rule", &what, "at most 64 are possible: every line is held against all of them until one matches");
    }
    let lookups: Vec<usize> = (0..shared.lookups.len()).filter(|at| shared.lookups[*at].is_for(name)).collect();
    let growth = Growth::of(
        schema,
        keep_original,
        lookups.iter().filter_map(|at| shared.lookups[*at].what.as_ref()).map(|lookup| &lookup.kind),
    );
    let line_bytes_max = decide_line_bytes(source, &growth, shared);
    let plain = ParsePlan::plain(format, schema);
    let plain = ParsePlan { classic_extra, keep_original, identity, sender_fields, redact, redact_names, ..plain };
    ParsePlan { rules, lookups, on_reject, line_bytes_max, ..plain }
}

fn decide_line_bytes(source: &mut Reader<'_, '_>, growth: &Growth, shared: &Shared) -> usize {
    // Room for one such document must be in the buffer, or it would be there alone and beyond its bound.
    let most = growth.line_bytes_max(shared.document_bytes_max);
    let usual = LINE_BYTES_MAX as u64;
    let default = usual.min(most / 1024 * 1024).max(*LINE_BYTES.start());
    let from = if default == usual { Origin::Default } else { Origin::Derived("what the buffer has room for") };
    let bytes = source.size("max_line_bytes", LINE_BYTES, default, from);
    if bytes > most {
        let what =
            format!("one such line could need more than the whole buffer (a document can be {} times its line)", growth.times());
        source.refuse_key("max_line_bytes", &what, "lower it, or raise max_bytes in [memory] or [buffer]");
    }
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn warn_of_placeholders(source: &mut Reader<'_, '_>, name: &str, schema: Schema, fields: &[(String, Value)]) {
    let field = |name: &&str| !fields.iter().any(|(field, _)| field == name);
    let absent: Vec<&str> = CLASSIC_FIELDS.into_iter().filter(field).collect();
    if schema == Schema::Classic && !absent.is_empty() {
        let placeholders: Vec<String> = absent.iter().map(|field| field.to_uppercase()).collect();
        source.desk().report.warn(format!(
            "source {name:?}: schema \"classic\" without the field{} {}: documents will say {}, as those of the original \
             sender did",
            if absent.len() == 1 { "" } else { "s" },
            absent.join(", "),
            placeholders.join(", "),
        ));
    }
}

const LINE_BYTES: RangeInclusive<u64> = 1 << 10..=16 << 20;

/// A window of Beats is some megabytes at the most; what a frame becomes is never in memory as a whole.
const INFLATED_BYTES: RangeInclusive<u64> = 1 << 20..=16 << 30;

/// A body may be anything from a line to what a day's log object has.
const BODY_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 40;

/// A log object of five busy minutes, packed, has some MiB.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Sixteen times as much: such lines pack to a tenth.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

const ACK: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// What the original sender was configured with; it wrote their names in capitals where nobody had set them.
const CLASSIC_FIELDS: [&str; 3] = ["Component", "Environment", "Application"];

/// Each is a set of metric series.
const SOURCES_MAX: usize = 256;

const SNIPPET: &str = "add one, for instance:
[[source]]
name = \"elb\"
type = \"tcp\"
address = \"0.0.0.0:5000\"";
