//! Secrets that are known by their shape: user information, JSON Web Tokens, AWS access key ids.
//!
//! Each is looked at from one place that a hint named. It reads shapes and verifies nothing: no token is decoded further than
//! its shape needs.

use super::Finding;
use super::MASK;
use super::Rule;

/// `eyJ` and seven more: `{"a":1}`, the shortest object with a member, has ten digits. Frameworks sign cookies of this
/// shape, too, whose first part is the content.
const HEADER_MIN: usize = 10;

/// `e30`, the empty object, has three digits and two are what one byte takes.
const PAYLOAD_MIN: usize = 2;

/// 96 bits, the shortest tag in use, are 16 digits.
const SIGNATURE_MIN: usize = 16;

/// Digits of a header that are searched for its algorithm.
const ALGORITHM_WITHIN: usize = 256;

/// Digits and capital letters behind the four that say what an access key id is.
const ACCESS_KEY_REST: usize = 16;

/// The user information around `at`: what stands between `://` and the last `@` before the authority ends, if `at` lies in
/// between. Nothing before `floor` counts.
///
/// The value of a parameter that has been replaced ends an authority, too: what stood there may have held its end.
pub(super) fn userinfo(text: &[u8], floor: usize, at: usize) -> Option<Finding> {
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b' ' | b'"');
    let before = &text[floor..at];
    let start = before.iter().rposition(ends).map(|last| last + 1).filter(|&start| before[..start].ends_with(b"://"))? + floor;
    let length = text[start..].iter().position(ends).unwrap_or(text.len() - start);
    let authority = &text[start..start + length];
    let replaced = |at: &usize| matches!(authority[..*at], [.., b'='] | [.., b'3', b'D' | b'd']);
    let mut masks = authority.windows(MASK.len()).enumerate().filter(|(_, part)| *part == MASK).map(|(at, _)| at);
    let length = masks.find(replaced).unwrap_or(length);
    let end = start + authority[..length].iter().rposition(|&byte| byte == b'@')?;
    (end > start && end >= at).then_some(Finding { start, end, rule: Rule::Userinfo })
}

/// The JSON Web Token at `start`: three parts (RFC 7515), the last of which may be empty if nothing signs it (RFC 7519,
/// section 6), or five (RFC 7516).
pub(super) fn jwt(text: &[u8], floor: usize, start: usize) -> Option<Finding> {
    if !text[start..].starts_with(b"eyJ") || !is_edge(text, floor, start, is_base64url) {
        return None;
    }
    let mut ends = [start; 5];
    let mut lengths = [0; 5];
    let mut parts = 0;
    let mut at = start;
    while parts < 5 {
        let length = text[at..].iter().position(|&byte| !is_base64url(byte)).unwrap_or(text.len() - at);
        (ends[parts], lengths[parts]) = (at + length, length);
        parts += 1;
        at += length;
        // Another part can only matter if this one can be what it must be. What has been replaced is no part of a token.
        if text[ends[parts - 1] - length..].starts_with(MASK) && length == MASK.len() {
            return None;
        }
        if text.get(at) != Some(&b'.') || lengths[0] < HEADER_MIN {
            break;
        }
        at += 1;
    }
    let [header, payload, signature, ciphertext, tag] = lengths;
    let signed = parts >= 3 && payload >= PAYLOAD_MIN && signature >= SIGNATURE_MIN;
    let unsigned = || parts >= 3 && payload >= PAYLOAD_MIN && signature == 0 && says_none(&text[start..start + header]);
    let encrypted = parts == 5 && signature > 0 && ciphertext > 0 && tag >= SIGNATURE_MIN;
    let last = if encrypted { 4 } else { 2 };
    let whole = header >= HEADER_MIN && (encrypted || signed || unsigned());
    whole.then_some(Finding { start, end: ends[last], rule: Rule::Jwt })
}

/// The access key id at `start`. Of the prefixes AWS lists for unique ids (IAM user guide, "Understanding unique ID prefixes")
/// these name keys and tokens: `AKIA` a long-term key, `ASIA` a temporary one, `ABIA` a bearer token. The others name
/// users, roles and the like.
pub(super) fn access_key(text: &[u8], floor: usize, start: usize) -> Option<Finding> {
    let end = start + 4 + ACCESS_KEY_REST;
    let prefix = matches!(text[start..].first_chunk(), Some(b"AKIA" | b"ASIA" | b"ABIA"));
    let rest = text.get(start + 4..end)?.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let bounded =
        is_edge(text, floor, start, |byte| byte.is_ascii_alphanumeric()) && !text.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (prefix && rest && bounded).then_some(Finding { start, end, rule: Rule::AccessKey })
}

/// Whether no byte of a kind stands before `start`; the digits of a percent-encoded byte are none.
fn is_edge(text: &[u8], floor: usize, start: usize, kind: fn(u8) -> bool) -> bool {
    let before = &text[floor..start];
    match before {
        [.., b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => true,
        [.., byte] => !kind(*byte),
        [] => true,
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether a header in base64url has the text `"none"`, in any case.
fn says_none(header: &[u8]) -> bool {
    let mut text = [0; ALGORITHM_WITHIN];
    let mut length = 0;
    let (mut bits, mut count) = (0_u32, 0);
    for &digit in header.iter().take(ALGORITHM_WITHIN) {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 & 0xffff | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            text[length] = (bits >> count) as u8;
            length += 1;
        }
    }
    text[..length].windows(6).any(|six| six.eq_ignore_ascii_case(b"\"none\""))
}
