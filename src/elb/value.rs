//! Fields as JSON members: numbers are checked and copied as text, addresses and requests are split.
//!
//! Every function writes whole members or says that the text is not what its place demands; it never guesses.

use super::request::request_parts;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::time::has_shape;

/// Tokens up to this size are copied in one step.
const SHORT: usize = 32;

/// A token of a chunk, and whether its text may need escapes.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) chunk: &'a [u8],
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) escapes: bool,
}

impl<'a> Token<'a> {
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        &self.chunk[self.start..self.end]
    }

    /// Whether the token is the mark for "no value".
    #[inline(always)]
    pub(crate) fn is_dash(&self) -> bool {
        self.end.wrapping_sub(self.start) == 1 && self.chunk[self.start] == b'-'
    }

    /// The token's first 32 bytes and its length, when it is no longer than that.
    #[inline(always)]
    pub(crate) fn short(&self) -> Option<(&'a [u8; SHORT], usize)> {
        let len = self.end.wrapping_sub(self.start);
        if len > SHORT {
            return None;
        }
        let bytes = self.chunk.get(self.start..self.start.wrapping_add(SHORT))?;
        Some((bytes.try_into().expect("the range is that long"), len))
    }

    #[inline(always)]
    pub(crate) fn part(&self, start: usize, end: usize) -> Self {
        Self { start, end, ..*self }
    }
}

/// Writes the text of a token, escaped where it must be, without quotes.
#[inline(always)]
pub(crate) fn verbatim(out: &mut Writer<'_>, token: Token<'_>) {
    if token.escapes {
        out.escaped(token.chunk, token.start, token.end);
    } else {
        out.copy(token.chunk, token.start, token.end);
    }
}

/// Writes a text member; `-` is null.
#[inline(always)]
pub(crate) fn text(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if !token.escapes
        && let Some((bytes, len)) = token.short()
    {
        return if len == 1 && bytes[0] == b'-' { out.null(key) } else { out.short_text(key, bytes, len) };
    }
    if token.is_dash() {
        return out.null(key);
    }
    out.key(key);
    verbatim(out, token);
    out.byte(b'"');
}

/// Writes a text member as it stands, `-` included.
#[inline(always)]
pub(crate) fn string(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if !token.escapes
        && let Some((bytes, len)) = token.short()
    {
        return out.short_text(key, bytes, len);
    }
    out.key(key);
    verbatim(out, token);
    out.byte(b'"');
}

/// Writes a text member with the quotes the token stands in; `-` is null.
pub(crate) fn word_list(out: &mut Writer<'_>, key: &Key, token: Token<'_>, quoted: bool) {
    if !quoted || token.is_dash() {
        return text(out, key, token);
    }
    out.key(key);
    out.raw(b"\\\"");
    verbatim(out, token);
    out.raw(b"\\\"\"");
}

/// Writes a text member that is null where it would be empty or `-`.
#[inline(always)]
fn part(out: &mut Writer<'_>, key: &Key, token: Token<'_>) {
    if token.start >= token.end { out.null(key) } else { text(out, key, token) }
}

/// Writes a whole number; `-` is null. `false`: it is neither, and nothing counts.
#[inline(always)]
pub(crate) fn integer(out: &mut Writer<'_>, key: &Key, token: Token<'_>) -> bool {
    if let Some((bytes, len)) = token.short() {
        let (word, _) = bytes.split_first_chunk().expect("a step has eight bytes");
        if is_short_integer(*word, len) {
            out.short_number(key, bytes, len);
            return true;
        }
    }
    unusual_number(out, key, token, integer_text)
}

/// Writes a number that is read byte by byte; `-` is null. `false`: it is neither, and nothing counts.
#[inline(always)]
fn unusual_number(out: &mut Writer<'_>, key: &Key, token: Token<'_>, read: fn(&[u8]) -> Option<Digits<'_>>) -> bool {
    if token.is_dash() {
        out.null(key);
        return true;
    }
    out.bare_key(key);
    let Some(digits) = read(token.bytes()) else { return false };
    number_text(out, digits);
    true
}

/// Whether a text is one to eight digits without a leading zero: the usual number, checked in one word.
#[inline(always)]
fn is_short_integer(word: [u8; 8], length: usize) -> bool {
    if length.wrapping_sub(1) >= 8 {
        return false;
    }
    // The digits move to the top; zeros, as digits, fill up from below.
    let shift = 64u32.wrapping_sub((length as u32).wrapping_mul(8));
    let filled = (u64::from_le_bytes(word) << shift)
        | (0x3030_3030_3030_3030u64.checked_shr((length as u32).wrapping_mul(8)).unwrap_or(0));
    let high = filled & 0xf0f0_f0f0_f0f0_f0f0;
    let carried = filled.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0;
    high == 0x3030_3030_3030_3030 && carried == high && (word[0] != b'0' || length == 1)
}

/// A checked number: sign, digits before the point without extra zeros, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits<'a> {
    negative: bool,
    /// From the first digit that counts to the end, fraction included.
    text: &'a [u8],
}

impl Digits<'_> {
    /// The value, correctly rounded.
    pub(crate) fn to_f64(self) -> f64 {
        let value: f64 = std::str::from_utf8(self.text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        if self.negative { -value } else { value }
    }

    /// Whether this is a `-0`, which JavaScript prints as `0`.
    pub(crate) fn is_negative_zero(self) -> bool {
        self.negative && self.text == b"0"
    }
}

/// Whether a token is a whole number or `-`.
#[inline(always)]
pub(crate) fn is_integer(token: Token<'_>) -> bool {
    if let Some((bytes, len)) = token.short() {
        let (word, _) = bytes.split_first_chunk().expect("a step has eight bytes");
        if is_short_integer(*word, len) {
            return true;
        }
    }
    token.is_dash() || integer_text(token.bytes()).is_some()
}

/// Whether a token is a decimal number or `-`.
#[inline(always)]
pub(crate) fn is_decimal(token: Token<'_>) -> bool {
    is_usual_decimal(token.bytes()) || token.is_dash() || decimal_text(token.bytes()).is_some()
}

/// Whether a token is a whole number that is written as it stands.
#[inline(always)]
pub(crate) fn is_plain_integer(token: Token<'_>) -> bool {
    if let Some((bytes, len)) = token.short() {
        let (word, _) = bytes.split_first_chunk().expect("a step has eight bytes");
        if is_short_integer(*word, len) {
            return true;
        }
    }
    is_plain(token.bytes(), integer_text)
}

/// Whether a token is a decimal number that is written as it stands.
#[inline(always)]
pub(crate) fn is_plain_decimal(token: Token<'_>) -> bool {
    is_usual_decimal(token.bytes()) || is_plain(token.bytes(), decimal_text)
}

#[inline(never)]
fn is_plain(text: &[u8], read: fn(&[u8]) -> Option<Digits<'_>>) -> bool {
    read(text).is_some_and(|digits| digits.text.len() == text.len())
}

/// Whether a token is `PASS` or `FAIL`.
#[inline(always)]
pub(crate) fn is_pass_or_fail(token: Token<'_>) -> bool {
    matches!(token.bytes(), b"PASS" | b"FAIL")
}

/// Whether a token is a timestamp or `-`.
#[inline(always)]
pub(crate) fn is_time(token: Token<'_>) -> bool {
    token.is_dash() || has_shape(token.bytes())
}

/// Whether a token has a colon or is `-`.
#[inline(always)]
pub(crate) fn is_endpoint(token: Token<'_>) -> bool {
    token.is_dash() || last_colon(token).is_some()
}

/// A whole number, `-`? digits.
pub(crate) fn integer_text(text: &[u8]) -> Option<Digits<'_>> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(Digits { negative, text: without_zeros(digits) })
}

/// A decimal number, `-`? digits (`.` digits)?.
pub(crate) fn decimal_text(text: &[u8]) -> Option<Digits<'_>> {
    let (negative, digits) = sign(text);
    let mut point = None;
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {}
            b'.' if point.is_none() && at > 0 => point = Some(at),
            _ => return None,
        }
    }
    if digits.is_empty() || point == Some(digits.len() - 1) {
        return None;
    }
    Some(Digits { negative, text: without_zeros(digits) })
}

#[inline(always)]
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    }
}

/// Drops zeros that another digit follows: JSON has no `007`.
#[inline(always)]
fn without_zeros(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        if !rest.first().is_some_and(u8::is_ascii_digit) {
            break;
        }
        digits = rest;
    }
    digits
}

/// Writes a checked number as it stands.
#[inline(always)]
pub(crate) fn number_text(out: &mut Writer<'_>, digits: Digits<'_>) {
    if digits.negative {
        out.byte(b'-');
    }
    out.raw(digits.text);
}

/// Writes a decimal number; `-` is null. `false`: it is neither, and nothing counts.
#[inline(always)]
pub(crate) fn decimal(out: &mut Writer<'_>, key: &Key, token: Token<'_>) -> bool {
    if let Some((bytes, len)) = token.short()
        && is_usual_decimal(&bytes[..len])
    {
        out.short_number(key, bytes, len);
        return true;
    }
    unusual_number(out, key, token, decimal_text)
}

/// Whether a text is `d.ddd` or `-1`, as nearly all processing times are.
#[inline(always)]
fn is_usual_decimal(text: &[u8]) -> bool {
    match *text {
        [whole, b'.', a, b, c] => whole.is_ascii_digit() & a.is_ascii_digit() & b.is_ascii_digit() & c.is_ascii_digit(),
        [b'-', b'1'] => true,
        _ => false,
    }
}

/// Writes address and port of `ip:port`; `-` makes both null. `false`: there is no colon.
#[inline(always)]
pub(crate) fn endpoint(out: &mut Writer<'_>, ip: &Key, port: &Key, token: Token<'_>) -> bool {
    if token.is_dash() {
        out.null(ip);
        out.null(port);
        return true;
    }
    let Some((address, number)) = endpoint_parts(token) else { return false };
    string(out, ip, address);
    let before = out.at();
    if number.bytes().first() == Some(&b'-') || !integer(out, port, number) {
        out.rewind(before);
        out.null(port);
    }
    true
}

/// Address and port of `ip:port`, split at the last colon, brackets stripped; `None`: there is no colon.
#[inline(always)]
pub(crate) fn endpoint_parts(token: Token<'_>) -> Option<(Token<'_>, Token<'_>)> {
    let colon = last_colon(token)?;
    let (mut start, mut end) = (token.start, colon);
    if start < end && token.chunk[start] == b'[' {
        start = start.wrapping_add(1);
    }
    if start < end && token.chunk[end.wrapping_sub(1)] == b']' {
        end = end.wrapping_sub(1);
    }
    Some((token.part(start, end), token.part(colon.wrapping_add(1), token.end)))
}

/// The last colon of a token: a port has at most five digits, so the search is short.
#[inline(always)]
fn last_colon(token: Token<'_>) -> Option<usize> {
    let bytes = token.bytes();
    let colon = bytes.iter().rposition(|&byte| byte == b':')?;
    Some(token.start.wrapping_add(colon))
}

/// Writes a request line and its three parts.
#[inline(always)]
pub(crate) fn request(out: &mut Writer<'_>, key: &Key, [verb, url, proto]: [&Key; 3], token: Token<'_>) {
    out.key(key);
    verbatim(out, token);
    out.byte(b'"');
    let parts = request_parts(token);
    part(out, verb, parts.verb);
    part(out, url, parts.url);
    part(out, proto, parts.proto);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>) -> bool) -> Option<String> {
        let mut buf = vec![0; 4096];
        let mut out = Writer::new(&mut buf, 0);
        let good = write(&mut out);
        let end = out.at();
        good.then(|| String::from_utf8(buf[..end].to_vec()).expect("UTF-8"))
    }

    fn token(text: &str) -> Token<'_> {
        Token { chunk: text.as_bytes(), start: 0, end: text.len(), escapes: true }
    }

    #[track_caller]
    fn check_integer(text: &str, want: Option<&str>) {
        let key = Key::new("n");
        let want = want.map(|value| format!(",\"n\":{value}"));
        assert_eq!(written(|out| integer(out, &key, token(text))), want, "{text}");
        // The same with bytes behind it, so that the word-at-a-time check is taken.
        let padded = format!("{text} 123456789");
        let padded = Token { chunk: padded.as_bytes(), start: 0, end: text.len(), escapes: false };
        assert_eq!(written(|out| integer(out, &key, padded)), want, "{text}");
    }

    #[test]
    fn whole_numbers() {
        for text in ["0", "7", "200", "12345678", "123456789", "9223372036854775807", "-1", "-0", "99999999999999999999999"] {
            check_integer(text, Some(text));
        }
        check_integer("-", Some("null"));
        check_integer("007", Some("7"));
        check_integer("-007", Some("-7"));
        check_integer("000", Some("0"));
        for text in ["", "1.5", "12a", "a12", "1e3", "--1", "+1", "1 ", ":", "1/", "1:2345"] {
            check_integer(text, None);
        }
    }

    #[track_caller]
    fn check_decimal(text: &str, want: Option<&str>) {
        let key = Key::new("n");
        assert_eq!(written(|out| decimal(out, &key, token(text))), want.map(|value| format!(",\"n\":{value}")), "{text}");
    }

    #[test]
    fn decimal_numbers() {
        for text in ["0.000", "0.001", "12.345", "-1", "5", "0.00491", "3600.000123", "-0.5"] {
            check_decimal(text, Some(text));
        }
        check_decimal("-", Some("null"));
        check_decimal("00.5", Some("0.5"));
        for text in ["", ".", ".5", "5.", "1.2.3", "1e400", "NaN", "abc", "0.00x", "x.000"] {
            check_decimal(text, None);
        }
    }

    #[track_caller]
    fn check_endpoint(text: &str, want: Option<&str>) {
        let (ip, port) = (Key::new("i"), Key::new("p"));
        assert_eq!(written(|out| endpoint(out, &ip, &port, token(text))).as_deref(), want, "{text}");
    }

    #[test]
    fn addresses_split_at_the_last_colon() {
        check_endpoint("192.0.2.1:443", Some(r#","i":"192.0.2.1","p":443"#));
        check_endpoint("2001:db8::1:443", Some(r#","i":"2001:db8::1","p":443"#));
        check_endpoint("[2001:db8::1]:443", Some(r#","i":"2001:db8::1","p":443"#));
        check_endpoint("-", Some(r#","i":null,"p":null"#));
        check_endpoint("192.0.2.1:-", Some(r#","i":"192.0.2.1","p":null"#));
        check_endpoint("192.0.2.1:", Some(r#","i":"192.0.2.1","p":null"#));
        check_endpoint("192.0.2.1:080", Some(r#","i":"192.0.2.1","p":80"#));
        check_endpoint(":", Some(r#","i":"","p":null"#));
        check_endpoint("192.0.2.1", None);
    }

    #[track_caller]
    fn check_request(text: &str, want: [Option<&str>; 3]) {
        let keys = [&Key::new("v"), &Key::new("u"), &Key::new("p")];
        let got = written(|out| {
            request(out, &Key::new("r"), keys, token(text));
            true
        });
        let got: serde_json::Value =
            serde_json::from_str(&format!("{{{}}}", &got.expect("a request never fails")[1..])).expect("JSON");
        assert_eq!(got["r"], text);
        let parts = [&got["v"], &got["u"], &got["p"]].map(serde_json::Value::as_str);
        assert_eq!(parts, want, "{text}");
    }

    #[test]
    fn requests_split_as_they_are_written() {
        let http = Some("HTTP/1.1");
        check_request("GET http://a:80/ HTTP/1.1", [Some("GET"), Some("http://a:80/"), http]);
        check_request("GET http://a:80/a b/c  d HTTP/1.1", [Some("GET"), Some("http://a:80/a b/c  d"), http]);
        check_request("GET http://a:80/ HTTP/1.0 ", [Some("GET"), Some("http://a:80/"), Some("HTTP/1.0")]);
        check_request("GET http://a:80/ HTTP/2", [Some("GET"), Some("http://a:80/"), Some("HTTP/2")]);
        check_request("GET http://a:80/old", [Some("GET"), Some("http://a:80/old"), None]);
        check_request("- http://a:80- -", [None, Some("http://a:80-"), None]);
        check_request("- http://a:80- ", [None, Some("http://a:80-"), None]);
        check_request("- - -", [None, None, None]);
        check_request("- - - ", [None, None, None]);
        check_request("-", [None, None, None]);
        check_request("", [None, None, None]);
        check_request("GET", [Some("GET"), None, None]);
        check_request("GET HTTP/1.1", [Some("GET"), None, http]);
        check_request("GET /a HTTP/x", [Some("GET"), Some("/a HTTP/x"), None]);
        check_request("GET \"\\\u{1} HTTP/1.1", [Some("GET"), Some("\"\\\u{1}"), http]);
    }
}
