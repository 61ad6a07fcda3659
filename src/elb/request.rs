//! The request line of HTTP as load balancers log it: a method, a URL that may hold anything, a protocol.
//!
//! Any of them may be missing; nothing here decides what that means.

use memchr::memchr;
use memchr::memrchr;

use super::value::Token;

/// The parts of a request line; one that is missing is empty.
#[derive(Clone, Copy)]
pub(crate) struct RequestParts<'a> {
    pub(crate) verb: Token<'a>,
    pub(crate) url: Token<'a>,
    pub(crate) proto: Token<'a>,
}

/// Splits a request line.
///
/// The method ends at the first space; the protocol is the last word if it is `HTTP/n`, `HTTP/n.n` or `-`; the URL is
/// everything between, spaces included. Trailing spaces are no part of anything.
#[inline(always)]
pub(crate) fn request_parts(token: Token<'_>) -> RequestParts<'_> {
    let mut end = token.end;
    while end > token.start && token.chunk[end.wrapping_sub(1)] == b' ' {
        end = end.wrapping_sub(1);
    }
    let line = &token.chunk[token.start..end];
    let none = token.part(end, end);
    let Some(first) = memchr(b' ', line) else {
        return RequestParts { verb: token.part(token.start, end), url: none, proto: none };
    };
    let verb = token.part(token.start, token.start.wrapping_add(first));
    let rest = token.start.wrapping_add(first).wrapping_add(1);
    let last = last_space(line).map_or(rest, |space| token.start.wrapping_add(space).wrapping_add(1));
    if is_protocol(&token.chunk[last..end]) {
        RequestParts { verb, url: token.part(rest, last.wrapping_sub(1).max(rest)), proto: token.part(last, end) }
    } else {
        RequestParts { verb, url: token.part(rest, end), proto: none }
    }
}

/// The last space of a request line: nearly always nine bytes before its end.
#[inline(always)]
fn last_space(line: &[u8]) -> Option<usize> {
    if let [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = line
        && major.is_ascii_digit()
        && minor.is_ascii_digit()
    {
        return Some(line.len().wrapping_sub(9));
    }
    memrchr(b' ', line)
}

/// Whether a word is `HTTP/n`, `HTTP/n.n` or `-`.
#[inline(always)]
fn is_protocol(word: &[u8]) -> bool {
    match word {
        b"-" => true,
        [b'H', b'T', b'T', b'P', b'/', version @ ..] => match version.iter().position(|&byte| byte == b'.') {
            None => is_digits(version),
            Some(point) => is_digits(&version[..point]) && is_digits(&version[point.wrapping_add(1)..]),
        },
        _ => false,
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
