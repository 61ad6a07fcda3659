//! Signature Version 4 of AWS: a request's header `Authorization`, made of the request, a secret and the time.
//!
//! A function over bytes, as <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html> has it for
//! services other than S3, whose paths are encoded twice. It knows nothing of where a secret comes from.

use std::fmt::Write;

use aws_lc_rs::digest;
use aws_lc_rs::digest::SHA256;
use aws_lc_rs::hmac;
use aws_lc_rs::hmac::HMAC_SHA256;
use aws_lc_rs::hmac::Key;

use crate::batch::Micros;
use crate::secret::Secret;
use crate::time::format_millis;

/// What a request is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The id of the key, which is no secret.
    pub id: String,
    /// The key.
    pub key: Secret,
    /// What a role's key is good with only.
    pub token: Option<Secret>,
}

/// What a signature is good for, beside the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Such as `eu-west-1`.
    pub region: &'a str,
    /// Such as `es`.
    pub service: &'a str,
}

/// A request as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// Path and query, encoded for a URL.
    pub target: &'a str,
    /// The headers that are signed: names in lower case, with their values. `host` and `x-amz-date` have to be among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The SHA-256 of its body in hexadecimal digits, as [`hex_sha256`] gives it.
    pub body: &'a str,
}

/// The moment as `x-amz-date` has it: `20150830T123600Z`. Cuts off what is below a second.
pub fn amz_date(time: Micros) -> String {
    let text = format_millis(time);
    let seconds = text[..19].iter().filter(|byte| !b"-:".contains(byte)).map(|byte| char::from(*byte));
    seconds.chain(['Z']).collect()
}

/// The SHA-256 of pieces one behind the other, in hexadecimal digits.
pub fn hex_sha256(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut digest = digest::Context::new(&SHA256);
    pieces.into_iter().for_each(|piece| digest.update(piece.as_ref()));
    hex(digest.finish().as_ref())
}

/// The value of `Authorization` for a request whose `x-amz-date` is `date`.
///
/// # Panics
/// When `date` is none of [`amz_date`].
pub fn authorization(request: &Request<'_>, credentials: &Credentials, scope: Scope<'_>, date: &str) -> String {
    let mut headers: Vec<(&str, String)> = request.headers.iter().map(|(name, value)| (*name, trimmed(value))).collect();
    headers.sort();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let mut text = format!("{}\n{}\n{}\n", request.method, encoded(normal(path), true), sorted(query));
    for (name, value) in &headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&names);
    text.push('\n');
    text.push_str(request.body);
    let day = &date[..8];
    let scope_text = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope_text}\n{}", hex_sha256([text.as_bytes()]));
    let first = format!("AWS4{}", credentials.key.reveal());
    let mut key = Key::new(HMAC_SHA256, first.as_bytes());
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = Key::new(HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    let signature = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    format!("AWS4-HMAC-SHA256 Credential={}/{scope_text}, SignedHeaders={names}, Signature={signature}", credentials.id)
}

/// A header's value without spaces around it, and with one where there are several.
fn trimmed(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A path without empty parts, `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

/// The parts of a query in order, each encoded in the one way that counts.
fn sorted(query: &str) -> String {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let mut parts: Vec<(String, String)> = parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (encoded(decoded(name), false), encoded(decoded(value), false))
        })
        .collect();
    parts.sort();
    parts.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A text in which all but unreserved characters (RFC 3986) are encoded, and slashes where they part nothing.
fn encoded(text: impl AsRef<[u8]>, keeps_slashes: bool) -> String {
    let mut out = String::new();
    for &byte in text.as_ref() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keeps_slashes && byte == b'/' {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes everything");
        }
    }
    out
}

/// What a text stands for; an escape that is none stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                out.push(escaped);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a string takes everything");
    }
    out
}

#[cfg(test)]
mod tests;
