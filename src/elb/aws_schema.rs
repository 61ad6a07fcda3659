//! Documents in the `aws` schema: AWS's names in AWS's order, `-` as null, numbers as numbers.

use super::format::Field;
use super::format::Shape;
use super::line::Line;
use super::line::Writing;
use super::line::Written;
use super::reject::Reject;
use super::value;
use super::value::Token;
use crate::json::writer::Writer;

/// Writes the document, newline included.
#[inline(always)]
pub(super) fn write(line: &Line<'_>, context: &Writing<'_>, out: &mut Writer<'_>) -> Result<Written, Reject> {
    let base = out.at();
    let written = line.open(context, line.token(line.format.time), out);
    fields(line, out)?;
    line.close(context, base, &written, out);
    Ok(written)
}

/// Writes every field of the line.
#[inline(always)]
pub(super) fn fields(line: &Line<'_>, out: &mut Writer<'_>) -> Result<(), Reject> {
    let known = line.known();
    for (place, field) in line.format.fields[..known].iter().enumerate() {
        if !member(field, line.is_quoted(place), line.token(place), out) {
            return Err(line.misaligned(place));
        }
    }
    line.write_unknown_fields(known, out);
    Ok(())
}

/// Writes one field; `false` when its text is not what its place demands.
#[inline(always)]
pub(super) fn member(field: &Field, quoted: bool, token: Token<'_>, out: &mut Writer<'_>) -> bool {
    match &field.shape {
        Shape::Text | Shape::Ip | Shape::LooseTime => value::text(out, &field.key, token),
        Shape::WordList => value::word_list(out, &field.key, token, quoted),
        Shape::PassOrFail => {
            value::text(out, &field.key, token);
            return value::is_pass_or_fail(token);
        }
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
