//! Documents in the `aws` schema: AWS's names in AWS's order, `-` as null, numbers as numbers.

use super::Context;
use super::Line;
use super::Written;
use super::format::Field;
use super::format::Shape;
use super::reject::Reject;
use super::value;
use super::value::Token;
use crate::json::writer::Writer;

/// Writes the document, newline included.
#[inline(always)]
pub(super) fn write(line: &Line<'_>, context: &Context<'_>, out: &mut Writer<'_>) -> Result<Written, Reject> {
    let base = out.at();
    let written = line.open(context, line.token(line.format.time), out);
    let known = line.known();
    for (place, field) in line.format.fields[..known].iter().enumerate() {
        if !member(field, line.token(place), out) {
            return Err(line.misaligned(place));
        }
    }
    unknown_fields(line, known, out);
    line.close(context, base, &written, out);
    Ok(written)
}

/// Writes one field; `false` when its text is not what its place demands.
#[inline(always)]
fn member(field: &Field, token: Token<'_>, out: &mut Writer<'_>) -> bool {
    match &field.shape {
        Shape::Text => value::text(out, &field.key, token),
        Shape::Integer => return value::integer(out, &field.key, token),
        Shape::Number => return value::decimal(out, &field.key, token),
        Shape::Time => {
            value::text(out, &field.key, token);
            return value::is_time(token);
        }
        Shape::Endpoint { ip, port } => return value::endpoint(out, ip, port, token),
        Shape::Request { verb, url, proto } => value::request(out, &field.key, [verb, url, proto], token),
    }
    true
}

/// Writes the tokens AWS has not told us about, as texts in order.
#[inline(always)]
fn unknown_fields(line: &Line<'_>, known: usize, out: &mut Writer<'_>) {
    if known == line.tokens.len() {
        return;
    }
    let named = (known..line.tokens.len()).map(|place| line.token(place));
    let rest = line.tokens.rest().iter().map(|&(start, end)| Token { start: start as usize, end: end as usize, ..line.token(0) });
    out.raw(b",\"unknown_fields\":[");
    for (at, token) in named.chain(rest).enumerate() {
        if at > 0 {
            out.byte(b',');
        }
        out.byte(b'"');
        value::verbatim(out, token);
        out.byte(b'"');
    }
    out.byte(b']');
}
