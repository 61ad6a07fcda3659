//! Documents in the `classic` schema: the seventeen keys of the Lambda that this relay replaces, in its order and with
//! its numbers to the last digit, so that dashboards built on them go on working.
//!
//! That Lambda ran JavaScript: times are `parseFloat(text) * 1000` in IEEE double precision and printed as JavaScript
//! prints numbers, artefacts included.

use serde_json::Value;

use super::aws_schema;
use super::format::Columns;
use super::format::Span;
use super::line::Line;
use super::line::Writing;
use super::line::Written;
use super::reject::Reject;
use super::style::render;
use super::value;
use super::value::Token;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::time::has_shape;

/// Most bytes of the seventeen members that do not depend on line or configuration: names, marks and five numbers of
/// at most 25 characters.
pub(super) const MEMBERS_BYTES_MAX: usize = 640;

const RECEIVED: Key = Key::new("EventReceivedTime");
const NAME: Key = Key::new("LoadBalancerName");
const CLIENT: Key = Key::new("PublicIpAndPort");
const BACKEND: Key = Key::new("InternalIpAndPort");
const TIMES: [Key; 3] = [Key::new("TimeToForwardRequest"), Key::new("TimeTaken"), Key::new("TimeToForwardResponse")];
const STATUS: [Key; 2] = [Key::new("Status"), Key::new("BackendStatus")];
const BYTES: [Key; 2] = [Key::new("BytesUploadedFromClient"), Key::new("BytesDownloadedByClient")];
const REQUEST: Key = Key::new("FullRequest");

/// The constant members in order: names whose values the configuration gives, and values that never change.
const CONSTANTS: [(&str, &str); 5] = [
    ("Component", "COMPONENT"),
    ("SourceModuleName", "ELB"),
    ("Environment", "ENVIRONMENT"),
    ("Application", "APPLICATION"),
    ("Type", "logs"),
];

/// Whether a member of this name is the same in all documents, and what the configuration says.
pub(super) fn is_constant(name: &str) -> bool {
    CONSTANTS.iter().any(|&(constant, _)| constant == name)
}

/// Whether the schema's documents have a member of this name.
pub(super) fn has_member(name: &str) -> bool {
    let keys = [&RECEIVED, &NAME, &CLIENT, &BACKEND, &REQUEST];
    let mut keys = keys.into_iter().chain(&TIMES).chain(&STATUS).chain(&BYTES);
    keys.any(|key| key.name() == name) || is_constant(name)
}

/// The five constant members, with values from the static fields where they have them.
///
/// Without one, the placeholder of the original stands there, as it did in a Lambda nobody had edited.
pub(super) fn constants(fields: &[(String, Value)]) -> Vec<u8> {
    let pairs = CONSTANTS.map(|(name, default)| {
        let own = fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
        (name.to_owned(), own.unwrap_or_else(|| Value::from(default)))
    });
    render(pairs.iter())
}

/// Writes the document, newline included.
// Apart from the others, so that what its loop needs stays in registers.
#[inline(never)]
pub(super) fn write(line: &Line<'_>, context: &Writing<'_>, out: &mut Writer<'_>) -> Result<Written, Reject> {
    let base = out.at();
    let Some(columns) = &line.format.columns else {
        let written = line.open(context, line.token(line.format.time), out);
        aws_schema::fields(line, out)?;
        out.raw(context.style.constants());
        line.close(context, base, &written, out);
        return Ok(written);
    };
    line.check()?;
    let time = received(line, columns);
    let written = line.open(context, time, out);
    members(line, columns, time, out);
    out.raw(context.style.constants());
    if context.style.has_classic_extra() {
        extra(line, columns, out)?;
    }
    line.close(context, base, &written, out);
    Ok(written)
}

/// Writes the twelve members that are the line's.
#[inline(always)]
fn members(line: &Line<'_>, columns: &Columns, time: Token<'_>, out: &mut Writer<'_>) {
    out.key(&RECEIVED);
    value::verbatim(out, time);
    if columns.zoneless && !time.bytes().ends_with(b"Z") {
        out.byte(b'Z');
    }
    out.byte(b'"');
    value::string(out, &NAME, line.token(columns.name));
    value::string(out, &CLIENT, line.token(columns.client));
    value::string(out, &BACKEND, line.token(columns.backend));
    for (key, span) in TIMES.iter().zip(&columns.times) {
        match *span {
            Span::None => out.null(key),
            Span::Seconds(place) => milliseconds(out, key, line.token(place)),
            Span::Milliseconds(place) => count(out, key, line.token(place)),
        }
    }
    for (key, place) in STATUS.iter().zip(&columns.status) {
        match *place {
            Some(place) => value::string(out, key, line.token(place)),
            None => {
                out.key(key);
                out.raw(b"-\"");
            }
        }
    }
    for (key, &place) in BYTES.iter().zip(&columns.bytes) {
        count(out, key, line.token(place));
    }
    out.key(&REQUEST);
    out.raw(b"\\\"");
    match columns.request {
        Some(place) => value::verbatim(out, line.token(place)),
        // What Classic writes for a connection that is no HTTP.
        None => out.raw(b"- - - "),
    }
    out.raw(b"\\\"\"");
}

/// Writes the fields that have no column, under their names in the `aws` schema.
fn extra(line: &Line<'_>, columns: &Columns, out: &mut Writer<'_>) -> Result<(), Reject> {
    let known = line.known();
    for (place, field) in line.format.fields[..known].iter().enumerate() {
        if !columns.has(place) && !aws_schema::member(field, line.is_quoted(place), line.token(place), out) {
            return Err(line.misaligned(place));
        }
    }
    line.write_unknown_fields(known, out);
    Ok(())
}

/// The moment the request was received: what the line calls its time, unless it has a creation time.
#[inline(always)]
fn received<'a>(line: &Line<'a>, columns: &Columns) -> Token<'a> {
    match columns.created {
        Some(place) if place < line.known() && has_shape(line.token(place).bytes()) => line.token(place),
        _ => line.token(line.format.time),
    }
}

/// Writes seconds as milliseconds; `-` is null.
#[inline(always)]
fn milliseconds(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    match value::decimal_text(token.bytes()) {
        Some(digits) => {
            out.bare_key(key);
            javascript_number(out, digits.to_f64() * 1000.0);
        }
        None => out.null(key),
    }
}

/// Writes a whole number as JavaScript's `parseInt` and `JSON.stringify` do; `-` is null.
#[inline(always)]
fn count(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    // Up to 15 digits a double holds every whole number.
    const EXACT_DIGITS: usize = 15;
    match value::integer_text(token.bytes()) {
        None => out.null(key),
        Some(digits) => {
            out.bare_key(key);
            if token.end - token.start <= EXACT_DIGITS && !digits.is_negative_zero() {
                value::number_text(out, digits);
            } else {
                javascript_number(out, digits.to_f64());
            }
        }
    }
}

/// Writes a number as `JSON.stringify` does.
#[inline(always)]
fn javascript_number(out: &mut Writer<'_>, value: f64) {
    if value == 0.0 {
        out.byte(b'0');
    } else if value.is_finite() {
        let mut digits = ryu_js::Buffer::new();
        out.raw(digits.format_finite(value).as_bytes());
    } else {
        out.raw(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_milliseconds(text: &str, want: &str) {
        let mut buf = vec![0; 256];
        let mut out = Writer::new(&mut buf, 0);
        milliseconds(&mut out, &Key::new("n"), Token { chunk: text.as_bytes(), start: 0, end: text.len(), escapes: true });
        let end = out.at();
        assert_eq!(std::str::from_utf8(&buf[..end]).expect("UTF-8"), format!(",\"n\":{want}"), "{text}");
    }

    /// The wanted texts were printed by Node 20.
    #[test]
    fn milliseconds_have_the_artefacts_of_the_original() {
        for (text, want) in [
            ("-1", "-1000"),
            ("0.000086", "0.08600000000000001"),
            ("0.001337", "1.3370000000000002"),
            ("0.000015", "0.015000000000000001"),
            ("0.000943", "0.9430000000000001"),
            ("0.000043", "0.043000000000000003"),
            ("0.000073", "0.073"),
            ("0.00491", "4.91"),
            ("5", "5000"),
            ("1.5", "1500"),
            ("0.000", "0"),
            ("-0", "0"),
            ("0.00000000012", "1.2e-7"),
            ("1000000000000000000", "1e+21"),
            ("-", "null"),
        ] {
            check_milliseconds(text, want);
        }
        check_milliseconds(&format!("1{}", "0".repeat(400)), "null");
    }
}
