//! Pages and files made from the field tables are what the tables say today: docs/formats.md and deploy/elasticsearch/.
//!
//! `ELBOW_REWRITE=1 cargo test --test generated` writes them anew.

use std::fmt::Write;
use std::path::PathBuf;

use elbow::batch::BatchBuilder;
use elbow::batch::EventId;
use elbow::cli::schema::mapping_text;
use elbow::elb::Context;
use elbow::elb::Parser;
use elbow::elb::Schema;
use elbow::elb::Style;
use elbow::elb::StylePlan;
use elbow::elb::Treatment;
use elbow::elb::format::Columns;
use elbow::elb::format::Kind;
use elbow::elb::format::Shape;
use elbow::elb::format::Span;
use elbow::elb::format::Target;
use elbow::elb::format::When;
use elbow::elb::mapping::template;
use elbow::elb::trim;
use elbow::json::envelope::Envelope;
use elbow::json::envelope::Received;
use elbow::json::envelope::Tags;
use serde_json::Value;

fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Holds a file to what it must be, or writes it so.
#[track_caller]
fn hold(path: &str, want: &str) {
    if std::env::var_os("ELBOW_REWRITE").is_some() {
        std::fs::write(root(path), want).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert!(read(path) == want, "{path} is not what the field tables say: ELBOW_REWRITE=1 cargo test --test generated writes it");
}

/// The member of the classic schema that a place becomes.
fn classic(columns: &Columns, place: usize) -> &'static str {
    const TIMES: [&str; 3] = ["TimeToForwardRequest", "TimeTaken", "TimeToForwardResponse"];
    const STATUS: [&str; 2] = ["Status", "BackendStatus"];
    const BYTES: [&str; 2] = ["BytesUploadedFromClient", "BytesDownloadedByClient"];
    let is = |span: &Span| matches!(span, Span::Seconds(at) | Span::Milliseconds(at) if *at == place);
    if let Some(at) = columns.times.iter().position(is) {
        return TIMES[at];
    }
    if let Some(at) = columns.status.iter().position(|at| *at == Some(place)) {
        return STATUS[at];
    }
    if let Some(at) = columns.bytes.iter().position(|at| *at == place) {
        return BYTES[at];
    }
    match place {
        _ if columns.created == Some(place) => "EventReceivedTime",
        _ if columns.name == place => "LoadBalancerName",
        _ if columns.client == place => "PublicIpAndPort",
        _ if columns.backend == place => "InternalIpAndPort",
        _ if columns.request == Some(place) => "FullRequest",
        _ => "",
    }
}

fn type_of(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::WordList | Shape::PassOrFail => "text",
        Shape::Ip => "text, an address",
        Shape::Integer => "whole number",
        Shape::Number => "number",
        Shape::Time | Shape::LooseTime => "text, a time",
        Shape::Endpoint { .. } => "text and whole number",
        Shape::Request { .. } => "four texts",
    }
}

fn code(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn ecs(target: &Target) -> String {
    match target.when {
        When::Always => format!("`{}`", target.path),
        When::Http => format!("`{}` (HTTP)", target.path),
        When::Tcp => format!("`{}` (TCP)", target.path),
    }
}

/// The table of a kind's fields.
fn table(kind: Kind) -> String {
    let format = kind.format();
    let mut text = String::from("| # | AWS's name | `aws` | type in `aws` | `classic` | `ecs` |\n|---|---|---|---|---|---|\n");
    for (place, field) in format.fields.iter().enumerate() {
        let mut classic = match &format.columns {
            Some(columns) => classic(columns, place).to_owned(),
            None => "as in `aws`".to_owned(),
        };
        if classic.is_empty() && place == format.time {
            classic = "EventReceivedTime".to_owned();
        }
        if !classic.is_empty() && format.columns.is_some() {
            classic = format!("`{classic}`");
        }
        let mut targets: Vec<String> = Vec::new();
        for target in field.ecs {
            // A member that differs only in what it says of `-` is one to a reader.
            let same = |other: &&Target| other.path == target.path && other.when != target.when;
            let name = if field.ecs.iter().any(|other| same(&other)) { format!("`{}`", target.path) } else { ecs(target) };
            if !targets.contains(&name) {
                targets.push(name);
            }
        }
        writeln!(
            text,
            "| {} | `{}` | {} | {} | {classic} | {} |",
            place + 1,
            field.name(),
            code(field.members().map(str::to_owned)),
            type_of(&field.shape),
            targets.join(", "),
        )
        .expect("a string takes everything");
    }
    text
}

#[test]
fn the_formats_page_has_the_field_tables() {
    const PAGE: &str = "docs/formats.md";
    let page = read(PAGE);
    let mut want = String::new();
    let mut rest = page.as_str();
    for kind in Kind::ALL {
        let (start, end) = (format!("<!-- fields of {} -->\n", kind.label()), "<!-- end of fields -->\n");
        let (before, behind) = rest.split_once(&start).unwrap_or_else(|| panic!("{PAGE} has no mark {start}"));
        let (_, behind) = behind.split_once(end).unwrap_or_else(|| panic!("{PAGE}: a table of {} has no end", kind.label()));
        write!(want, "{before}{start}\n{}\n{end}", table(kind)).expect("a string takes everything");
        rest = behind;
    }
    want.push_str(rest);
    hold(PAGE, &want);
}

#[test]
fn the_index_templates_are_those_of_the_field_tables() {
    for schema in Schema::ALL {
        hold(&format!("deploy/elasticsearch/elbow-{}.json", schema.label()), &mapping_text(schema));
    }
}

/// A JSON event may say "n/a" where another one had a day, and has to be taken all the same.
#[test]
fn a_text_that_looks_like_a_date_makes_no_field_of_dates() {
    for schema in Schema::ALL {
        assert_eq!(template(schema)["template"]["mappings"]["date_detection"], false, "{}", schema.label());
    }
}

#[test]
fn what_says_whose_a_document_is_has_a_type() {
    for (schema, path, kind) in [
        (Schema::Aws, "sender_ip", "ip"),
        (Schema::Aws, "vpc_endpoint_id", "keyword"),
        (Schema::Classic, "sender_ip", "ip"),
        (Schema::Classic, "vpc_endpoint_id", "keyword"),
        (Schema::Ecs, "log.source.address", "keyword"),
        (Schema::Ecs, "aws.vpc_endpoint.id", "keyword"),
    ] {
        let mappings = &template(schema)["template"]["mappings"];
        let mapping = path.split('.').fold(mappings, |mapping, name| &mapping["properties"][name]);
        assert_eq!(mapping["type"], kind, "{path} in {}", schema.label());
    }
}

/// Complains about every member of a document that the template has no type for, or a type it does not fit.
fn complain(at: &str, value: &Value, mapping: Option<&Value>, complaints: &mut Vec<String>) {
    let Some(mapping) = mapping else {
        complaints.push(format!("{at} is not mapped"));
        return;
    };
    if let (Some(members), Some(properties)) = (value.as_object(), mapping.get("properties")) {
        for (name, value) in members {
            complain(&format!("{at}.{name}"), value, properties.get(name), complaints);
        }
        return;
    }
    let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    for value in values.iter().filter(|value| !value.is_null()) {
        let good = match mapping["type"].as_str() {
            Some("keyword" | "text" | "ip") => value.is_string(),
            Some("long") => value.is_i64() || value.is_u64() || value.as_f64().is_some(),
            Some("integer") => value.is_u64(),
            Some("double") => value.is_number(),
            Some("date") => value.as_str().is_some_and(|text| text.len() >= 19 && text.as_bytes()[10] == b'T'),
            _ => false,
        };
        if !good {
            complaints.push(format!("{at} is {value} and mapped as {mapping}"));
        }
    }
}

#[test]
fn every_member_of_every_document_is_mapped() {
    let text = read("tests/data/edge-cases.jsonl");
    let mut documents = 0;
    for schema in Schema::ALL {
        let style = Style::new(&StylePlan { classic_extra: true, keep_original: true, ..StylePlan::plain(schema) });
        let envelope = Envelope { received: Received::at(0), id: EventId([1; 16]) };
        let treatment = Treatment::default();
        let context = Context { style: &style, only: None, envelope: Some(envelope), tags: Tags::NONE, treatment };
        let mapping = &template(schema)["template"]["mappings"];
        let mut complaints = Vec::new();
        for case in text.lines() {
            let case: Value = serde_json::from_str(case).expect("a case is JSON");
            let line = case["line"].as_str().expect("a case has a line").as_bytes();
            let Some((start, end)) = trim(line, 0, line.len()) else { continue };
            let mut out = BatchBuilder::default();
            if Parser::default().document(line, start, end, &context, &mut out).is_ok() {
                let document: Value = serde_json::from_slice(out.documents()).expect("a document is JSON");
                complain(schema.label(), &document, Some(mapping), &mut complaints);
                documents += 1;
            }
        }
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
    assert!(documents > 180, "{documents}");
}
