//! Static fields of a source: members of every document.

use std::ops::Range;

use serde_json::Number;
use serde_json::Value;
use toml::de::DeValue;

use crate::config::overrides::Overrides;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;

/// The static fields of a source, those that are given over those of the file.
pub fn decide_fields(source: &mut Reader<'_, '_>, overrides: &Overrides) -> Vec<(String, Value)> {
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

/// Whether a name may be that of a member that is added; complains when not.
pub fn check_field_name(source: &mut Reader<'_, '_>, key: &str, name: &str, written: &Written) -> bool {
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

/// What the relay writes or interprets itself.
const RESERVED: [&str; 7] = ["@timestamp", "@version", "event", "event.id", "message", "tags", "elbow"];

/// All of them are written into every document.
const FIELDS_MAX: usize = 64;

/// Most bytes of all names and values of a source.
pub const FIELDS_BYTES_MAX: usize = 16 << 10;

const FIELD_NAME_BYTES_MAX: usize = 128;
