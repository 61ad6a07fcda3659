//! `[[lookup]]` tables: what load-balancer lines are looked up in. Nothing is opened here.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::aims::Aimed;
use crate::config::aims::check_address_field;
use crate::config::aims::check_field;
use crate::config::aims::decide_sources;
use crate::config::complaint::Place;
use crate::config::decide::decide_name;
use crate::config::fields::check_field_name;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::enrich::table::Match;
use crate::enrich::table::TablePlan;
use crate::pipeline::lookups::LookupKind;
use crate::pipeline::lookups::LookupPlan;

/// Reads all lookups, in order.
pub fn decide_all(root: &mut Reader<'_, '_>) -> Vec<Aimed<LookupPlan>> {
    let tables = root.tables("lookup");
    if tables.len() > LOOKUPS_MAX {
        root.refuse_key("lookup", "too many lookups", "at most 64 are possible");
    }
    let mut lookups = Vec::new();
    let mut names = Vec::new();
    for (table, span) in tables {
        let desk = root.desk();
        desk.report.begin("lookup");
        lookups.extend(decide_one(Reader::new(desk, Some(table), Place::File(span), "lookup"), &mut names));
    }
    lookups
}

#[derive(Clone, Copy)]
enum Kind {
    Table,
    GeoIp,
    UserAgent,
    Url,
}

fn decide_one(mut lookup: Reader<'_, '_>, names: &mut Vec<String>) -> Option<Aimed<LookupPlan>> {
    let name = decide_name(&mut lookup, names, "\"teams\"").unwrap_or_default();
    names.push(name.clone());
    lookup.desk().report.retitle(format!("[[lookup]] {name}"));
    let written = lookup.required("type", "\"table\"")?;
    let kinds = [("table", Kind::Table), ("geoip", Kind::GeoIp), ("user_agent", Kind::UserAgent), ("url", Kind::Url)];
    let kind = lookup.choose("type", &written, &Words { now: &kinds, later: &[] })?;
    let sources = decide_sources(&mut lookup);
    let field = decide_field(&mut lookup, kind);
    let kind = match kind {
        Kind::Table => decide_table(&mut lookup, field.as_ref()),
        Kind::GeoIp => decide_path(&mut lookup, "\"/var/lib/GeoIP/GeoLite2-City.mmdb\"").map(|path| LookupKind::GeoIp { path }),
        Kind::UserAgent if !lookup.has("path") => {
            lookup.known("path");
            lookup.record("path", "built in", Origin::Default);
            Some(LookupKind::UserAgent { path: None })
        }
        Kind::UserAgent => decide_path(&mut lookup, "").map(|path| LookupKind::UserAgent { path: Some(path) }),
        Kind::Url => Some(LookupKind::Url),
    };
    lookup.belongs(&["path"], "lookups of the other types: a URL needs no file");
    lookup.belongs(&TABLE_KEYS, "lookups of type \"table\"");
    lookup.finish();
    let title = format!("lookup {name:?}");
    let what = kind.zip(field).map(|(kind, field)| LookupPlan { name, kind, field: field.text });
    Some(Aimed { what, title, path: "lookup.sources", sources })
}

/// The field that is looked up; where it is not written, the one that this type is about.
fn decide_field(lookup: &mut Reader<'_, '_>, kind: Kind) -> Option<Written> {
    let default = match kind {
        Kind::Table => None,
        Kind::GeoIp => Some("client_ip"),
        Kind::UserAgent => Some("user_agent"),
        Kind::Url => Some("request_url"),
    };
    if let Some(default) = default.filter(|_| !lookup.has("field")) {
        lookup.known("field");
        lookup.record("field", default, Origin::Default);
        return Some(lookup.bare(default.to_owned(), 0..0));
    }
    let written = lookup.required("field", "\"elb\"")?;
    if !check_field(lookup, &written) {
        return None;
    }
    if matches!(kind, Kind::GeoIp) {
        check_address_field(lookup, &written);
    }
    lookup.record("field", written.text.clone(), written.origin());
    Some(written)
}

fn decide_path(lookup: &mut Reader<'_, '_>, example: &str) -> Option<PathBuf> {
    let written = lookup.required("path", example)?;
    if written.text.is_empty() || written.text.ends_with('/') || written.text.contains('\0') {
        lookup.refuse("path", &written, "not the path of a file", None, None);
    }
    lookup.record("path", written.text.clone(), written.origin());
    Some(PathBuf::from(written.text))
}

fn decide_table(lookup: &mut Reader<'_, '_>, field: Option<&Written>) -> Option<LookupKind> {
    let path = decide_path(lookup, "\"/etc/elbow/teams.csv\"");
    let key_column = lookup.required("key_column", "\"load_balancer\"");
    if let Some(written) = &key_column {
        lookup.record("key_column", written.text.clone(), written.origin());
    }
    let matches = Words { now: &[("exact", Match::Exact), ("cidr", Match::Cidr)], later: &[] };
    let match_by = lookup.one_of("match", &matches, ("exact", Match::Exact));
    if let Some(field) = field.filter(|_| match_by == Match::Cidr) {
        check_address_field(lookup, field);
    }
    let columns = decide_columns(lookup);
    let numbers = lookup.strings("numbers");
    if let Some(list) = &numbers {
        let names: Vec<&str> = list.iter().map(|written| written.text.as_str()).collect();
        lookup.record("numbers", names.join(", "), list.first().map_or(Origin::Default, Written::origin));
    }
    let numbers = numbers.into_iter().flatten().map(|written| written.text).collect();
    let plan = TablePlan { key_column: key_column?.text, match_by, columns, numbers };
    Some(LookupKind::Table { path: path?, plan })
}

/// The columns and the member each becomes; none means all of them under their own names.
fn decide_columns(lookup: &mut Reader<'_, '_>) -> Vec<(String, String)> {
    let mut columns: Vec<(String, String)> = Vec::new();
    let entries = lookup.entries("columns");
    if entries.is_empty() && lookup.has("columns") {
        lookup.refuse_key("columns", "names no column", "name one, or leave the key out to take all of them");
    }
    if entries.len() > COLUMNS_MAX {
        lookup.refuse_key("columns", "too many columns", "at most 64 are possible");
    }
    for (column, value) in entries {
        let key = format!("columns.{column}");
        let DeValue::String(text) = value.get_ref() else {
            lookup.wrong_type(&key, value.span(), "the name of a member", value.get_ref());
            continue;
        };
        let Some(written) = lookup.complete(&key, text, value.span()) else { continue };
        if !check_field_name(lookup, &key, &written.text, &written) {
            continue;
        }
        if columns.iter().any(|(_, member)| *member == written.text) {
            lookup.refuse(&key, &written, "another column becomes this member", None, Some("choose another name".to_owned()));
            continue;
        }
        lookup.record(&key, written.text.clone(), written.origin());
        columns.push((column.to_owned(), written.text));
    }
    columns
}

const TABLE_KEYS: [&str; 4] = ["key_column", "match", "columns", "numbers"];

/// Each is a file in memory and a set of metric series.
const LOOKUPS_MAX: usize = 64;

/// All of them may be in every document.
const COLUMNS_MAX: usize = 64;
