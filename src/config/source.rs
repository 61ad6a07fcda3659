//! `[[source]]` tables.

use std::ops::Range;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Number;
use serde_json::Value;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::decide::Shared;
use crate::config::decide::check_listen;
use crate::config::decide::decide_name;
use crate::config::overrides::Given;
use crate::config::overrides::Overrides;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::elb::Schema;
use crate::pipeline::plan::Format;
use crate::pipeline::plan::OnReject;
use crate::pipeline::plan::ParsePlan;
use crate::pipeline::relay::SourcePlan;
use crate::source::tcp::TcpSourcePlan;

/// Reads all sources; complains when there is none.
pub fn decide_all(root: &mut Reader<'_, '_>, overrides: &Overrides, shared: &mut Shared) -> Vec<SourcePlan> {
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
    plans
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
    let kinds = Words { now: &[("tcp", ())], later: &["http", "beats"] };
    source.choose("type", &kind, &kinds)?;
    let plan = decide_tcp(&mut source, name, overrides, shared);
    source.finish();
    plan
}

fn decide_tcp(source: &mut Reader<'_, '_>, name: String, overrides: &Overrides, shared: &mut Shared) -> Option<SourcePlan> {
    let address = source.required("address", "\"0.0.0.0:5000\"");
    if let Some(written) = &address {
        check_listen(source, written, &format!("source {name:?}"), shared);
    }
    let (format, schema, on_reject) = decide_words(source);
    let line_bytes_max = decide_line_bytes(source, shared);
    let connections_max = source.integer("max_connections", 1..=1_000_000, 10_000);
    let idle_timeout = source.duration("idle_timeout", IDLE, Duration::from_secs(360));
    let fields = decide_fields(source, overrides);
    for key in ["tls", "proxy_protocol"] {
        source.later(key, "remove it, and let a load balancer or a tunnel in front do that part");
    }
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
    let address = address?.text;
    Some(SourcePlan {
        tcp: TcpSourcePlan {
            name,
            address,
            line_bytes_max,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            idle_timeout,
        },
        parse: ParsePlan { on_reject, fields, line_bytes_max, ..ParsePlan::plain(format, schema) },
    })
}

fn decide_words(source: &mut Reader<'_, '_>) -> (Format, Schema, OnReject) {
    let formats = Format::ALL.map(|format| (format.label(), format));
    let format = source.one_of("format", &Words { now: &formats, later: &[] }, ("auto", Format::Auto));
    let schemas = Schema::ALL.map(|schema| (schema.label(), schema));
    let schema = source.one_of("schema", &Words { now: &schemas, later: &[] }, ("aws", Schema::Aws));
    let choices = OnReject::ALL.map(|choice| (choice.label(), choice));
    let on_reject = source.one_of("on_reject", &Words { now: &choices, later: &["dead_letter"] }, ("tag", OnReject::Tag));
    source.one_of("confirm", &Words { now: &[("none", ())], later: &["close", "line"] }, ("none", ()));
    (format, schema, on_reject)
}

fn decide_line_bytes(source: &mut Reader<'_, '_>, shared: &Shared) -> usize {
    let bytes = source.size("max_line_bytes", LINE_BYTES, LINE_BYTES_DEFAULT, Origin::Default);
    if bytes.saturating_mul(EXPANSION) > shared.buffer_bytes_max {
        let what = "one such line could need more than the whole buffer (a document can be 8 times its line)";
        source.refuse_key("max_line_bytes", what, "lower it, or raise max_bytes in [memory] or [buffer]");
    }
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn decide_fields(source: &mut Reader<'_, '_>, overrides: &Overrides) -> Vec<(String, Value)> {
    let mut fields: Vec<(String, Value, Origin)> = Vec::new();
    for (name, value) in source.entries("fields") {
        let span = value.span();
        let key = format!("fields.{name}");
        let at = source.bare(name.to_owned(), span.clone());
        if !check_field_name(source, &key, name, &at) {
            continue;
        }
        let value = field_value(source, &key, value.get_ref(), span);
        fields.extend(value.map(|value| (name.to_owned(), value, at.origin())));
    }
    for given in &overrides.fields {
        let written = Written::given(given.clone());
        let Some((name, value)) = given.value.split_once('=') else {
            let allowed = Some("NAME=VALUE".to_owned());
            source.refuse("fields", &written, "not a field", allowed, None);
            continue;
        };
        if !check_field_name(source, "fields", name, &written) {
            continue;
        }
        let value = Value::String(value.to_owned());
        match fields.iter_mut().find(|(field, _, _)| field == name) {
            Some(field) => *field = (name.to_owned(), value, written.origin()),
            None => fields.push((name.to_owned(), value, written.origin())),
        }
    }
    if fields.len() > FIELDS_MAX {
        source.refuse_key("fields", "too many fields", "at most 64 are possible");
    }
    let bytes: usize = fields.iter().map(|(name, value, _)| name.len() + value.to_string().len()).sum();
    if bytes > FIELDS_BYTES_MAX {
        source.refuse_key("fields", "the fields are too long", "at most 16 KiB in all: they are written into every document");
    }
    for (name, value, from) in &fields {
        source.record(&format!("fields.{name}"), value.to_string(), from.clone());
    }
    fields.into_iter().map(|(name, value, _)| (name, value)).collect()
}

/// Whether a name may be that of a field; complains when not.
fn check_field_name(source: &mut Reader<'_, '_>, key: &str, name: &str, written: &Written) -> bool {
    if RESERVED.contains(&name) {
        let what = format!("{name:?} is written by the relay itself");
        source.refuse(key, written, what, None, Some("choose another name".to_owned()));
        return false;
    }
    let good = (1..=FIELD_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if !good {
        let allowed = Some("1 to 128 bytes without control characters".to_owned());
        source.refuse(key, written, "not a field name", allowed, None);
    }
    good
}

fn field_value(source: &mut Reader<'_, '_>, key: &str, value: &DeValue<'_>, span: Range<usize>) -> Option<Value> {
    let written = source.bare(String::new(), span.clone());
    let json = match value {
        DeValue::String(text) => return source.complete(key, text, span).map(|written| Value::String(written.text)),
        DeValue::Boolean(value) => Some(Value::Bool(*value)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from),
        DeValue::Float(number) => number.as_str().parse().ok().and_then(Number::from_f64).map(Value::Number),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    if json.is_none() {
        let allowed = "a string, true or false, or a number that JSON can hold".to_owned();
        source.refuse(key, &written, "not a field value", Some(allowed), None);
    }
    json
}

/// A document can be this many times its line: each control character of a text becomes six bytes, and what the relay
/// adds comes on top. Room for one such document must be in the buffer, or the line would wait for ever.
pub const EXPANSION: u64 = 8;

/// Longest line where nobody says otherwise.
pub const LINE_BYTES_DEFAULT: u64 = 1 << 20;
const LINE_BYTES: RangeInclusive<u64> = 1 << 10..=16 << 20;

const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// What the relay writes or interprets itself.
const RESERVED: [&str; 7] = ["@timestamp", "@version", "event", "event.id", "message", "tags", "elbow"];

/// What the original sender was configured with; it wrote their names in capitals where nobody had set them.
const CLASSIC_FIELDS: [&str; 3] = ["Component", "Environment", "Application"];

/// Each is a set of metric series.
const SOURCES_MAX: usize = 256;

/// All of them are written into every document.
const FIELDS_MAX: usize = 64;
const FIELDS_BYTES_MAX: usize = 16 << 10;
const FIELD_NAME_BYTES_MAX: usize = 128;

const SNIPPET: &str = "add one, for instance:
[[source]]
name = \"elb\"
type = \"tcp\"
address = \"0.0.0.0:5000\"";
