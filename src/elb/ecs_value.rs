//! Values of the `ecs` schema that are not a field's text as it stands: lists, times, protocols and the parts of a URL.
//!
//! Every function writes a whole member or nothing; none of them knows where a field stands in its line.

use super::value;
use super::value::Token;
use crate::batch::Micros;
use crate::enrich::url;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::time::format_millis;
use crate::time::has_shape;
use crate::time::parse_shaped;

/// Writes a text that is something.
#[inline(always)]
pub(super) fn text(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if token.start < token.end && !token.is_dash() {
        value::string(out, key, token);
    }
}

/// Whether a number starts with a minus; `-` alone, which is none, does as well.
#[inline(always)]
pub(super) fn is_negative(token: Token<'_>) -> bool {
    token.bytes().first() == Some(&b'-')
}

pub(super) fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Where the first colon of a token stands in its chunk.
pub(super) fn colon(token: Token<'_>) -> Option<usize> {
    memchr::memchr(b':', token.bytes()).map(|at| token.start + at)
}

/// Whether a status, which is a number, tells of success.
#[inline(always)]
pub(super) fn is_success(status: &[u8]) -> bool {
    match *status {
        [hundreds, _, _] => hundreds < b'4',
        _ => value::integer_text(status).is_some_and(|status| status.to_f64() < 400.0),
    }
}

/// Writes what a status says of the request.
#[inline(always)]
pub(super) fn outcome(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    out.key(key);
    out.raw(if is_success(token.bytes()) { b"success\"" } else { b"failure\"" });
}

/// Writes the parts of a list as texts; empty parts are none.
pub(super) fn list(out: &mut Writer<'_>, key: &Key, token: Token<'_>, divider: u8) {
    if token.start == token.end || token.is_dash() {
        return;
    }
    if let Some((bytes, len)) = token.short().filter(|_| !token.escapes)
        && !bytes[..len].contains(&divider)
    {
        out.bare_key(key);
        out.raw(b"[\"");
        out.short(bytes, len);
        return out.raw(b"\"]");
    }
    let before = out.at();
    out.bare_key(key);
    let first = out.at();
    let mut start = token.start;
    for end in memchr::memchr_iter(divider, token.bytes()).map(|at| token.start + at).chain([token.end]) {
        if start < end {
            out.raw(b",\"");
            value::verbatim(out, token.part(start, end));
            out.byte(b'"');
        }
        start = end + 1;
    }
    if out.at() == first {
        out.rewind(before);
    } else {
        out.patch(first, b'[');
        out.byte(b']');
    }
}

/// Writes a time cut to milliseconds; what is no time is left out.
pub(super) fn date(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if !has_shape(token.bytes()) {
        return;
    }
    if let Some(time) = parse_shaped(token.bytes()) {
        out.short_text(key, &millis_text(token.bytes(), Some(time), time), MILLIS_BYTES);
    }
}

/// Bytes of a time in milliseconds.
pub(super) const MILLIS_BYTES: usize = 24;

/// The time `written` names, where `own` says that it names one, cut to milliseconds; the text of `time` otherwise.
#[inline(always)]
pub(super) fn millis_text(written: &[u8], own: Option<Micros>, time: Micros) -> [u8; 32] {
    let mut text = [0; 32];
    match written.first_chunk::<23>() {
        // The digits are there already. A 60th second is not: it is the first of the next minute.
        Some(digits)
            if own.is_some() && digits[19] == b'.' && digits[21..].iter().all(u8::is_ascii_digit) && digits[17] != b'6' =>
        {
            text[..23].copy_from_slice(digits);
            text[23] = b'Z';
        }
        _ => match <[u8; 19]>::try_from(written.strip_suffix(b"Z").unwrap_or(written)).ok() {
            Some(seconds) if own.is_some() && seconds[17] != b'6' => {
                text[..19].copy_from_slice(&seconds);
                text[19..MILLIS_BYTES].copy_from_slice(b".000Z");
            }
            _ => text[..MILLIS_BYTES].copy_from_slice(&format_millis(time)),
        },
    }
    text
}

/// Writes one of the times of `NotBefore=…;NotAfter=…`.
pub(super) fn validity(out: &mut Writer<'_>, key: &Key, token: Token<'_>, name: &[u8]) {
    let Some(at) = memchr::memmem::find(token.bytes(), name) else { return };
    let start = token.start + at + name.len();
    let end = memchr::memchr(b';', &token.chunk[start..token.end]).map_or(token.end, |length| start + length);
    date(out, key, token.part(start, end));
}

/// The name and the number of a protocol such as `TLSv1.2` or `tlsv12`.
pub(super) fn protocol(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digit = text.iter().position(u8::is_ascii_digit)?;
    let (name, number) = text.split_at(digit);
    let name = name.strip_suffix(b"v").or_else(|| name.strip_suffix(b"V"))?;
    (!name.is_empty() && name.iter().all(u8::is_ascii_alphabetic)).then_some((name, number))
}

/// The number of such a protocol as ECS writes it, `1.2`.
#[inline(always)]
pub(super) fn protocol_number(text: &[u8]) -> Option<[u8; 3]> {
    if let &[b'T', b'L', b'S', b'v', b'1', b'.', minor @ b'0'..=b'9'] = text {
        return Some([b'1', b'.', minor]);
    }
    let (_, number) = protocol(text)?;
    match *number {
        [major] if major.is_ascii_digit() => Some([major, b'.', b'0']),
        [major, minor] if minor.is_ascii_digit() => Some([major, b'.', minor]),
        [major, b'.', minor] if minor.is_ascii_digit() => Some([major, b'.', minor]),
        _ => None,
    }
}

pub(super) fn protocol_version(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if let Some(number) = protocol_number(token.bytes()) {
        out.key(key);
        out.raw(&number);
        out.byte(b'"');
    }
}

pub(super) fn protocol_name(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    let Some((name, _)) = protocol(token.bytes()) else { return };
    out.key(key);
    for byte in name {
        out.byte(byte.to_ascii_lowercase());
    }
    out.byte(b'"');
}

/// Writes a URL as it stands and its parts beside it.
#[inline(always)]
pub(super) fn url(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if token.start < token.end && !token.is_dash() {
        value::string(out, key, token);
        url_parts(out, token);
    }
}

/// Writes the parts of a URL; one that cannot be split has none.
pub(super) fn url_parts(out: &mut Writer<'_>, token: Token<'_>) {
    const SCHEME: Key = Key::new("scheme");
    const USERNAME: Key = Key::new("username");
    const PASSWORD: Key = Key::new("password");
    const DOMAIN: Key = Key::new("domain");
    const PORT: Key = Key::new("port");
    const PATH: Key = Key::new("path");
    const QUERY: Key = Key::new("query");
    const FRAGMENT: Key = Key::new("fragment");
    const EXTENSION: Key = Key::new("extension");
    let Some(url) = url::split(token.chunk, token.start, token.end) else { return };
    let part = |(start, end): url::Span| token.part(start, end);
    value::string(out, &SCHEME, part(url.scheme));
    if let Some((start, end)) = url.user_info {
        let colon = memchr::memchr(b':', &token.chunk[start..end]).map(|at| start + at);
        text(out, &USERNAME, part((start, colon.unwrap_or(end))));
        if let Some(colon) = colon {
            text(out, &PASSWORD, part((colon + 1, end)));
        }
    }
    value::string(out, &DOMAIN, part(url.domain));
    if let Some(port) = url.port {
        let _ = value::integer(out, &PORT, part(port));
    }
    for (key, span) in [(&PATH, url.path), (&QUERY, url.query), (&FRAGMENT, url.fragment), (&EXTENSION, url.extension)] {
        if let Some(span) = span.filter(|(start, end)| start < end) {
            value::string(out, key, part(span));
        }
    }
}
