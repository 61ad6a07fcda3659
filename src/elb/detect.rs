//! Tells the kind of a line from the shape of its first tokens, never from closed lists of words.

use super::format::Kind;
use crate::time::has_shape;

/// What a line looks like before it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A load-balancer log line of this kind.
    Elb(Kind),
    /// A message AWS leaves in the bucket when logging is switched on.
    Control,
    /// JSON, by its first byte.
    Json,
    /// Nothing known.
    Unknown,
}

impl Shape {
    /// The kind of load-balancer log, where it is one.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Elb(kind) => Some(kind),
            Self::Control | Self::Json | Self::Unknown => None,
        }
    }
}

/// The shape of a line without its line end.
pub fn shape(line: &[u8]) -> Shape {
    match line.first() {
        Some(b'{' | b'[') => return Shape::Json,
        Some(b'E') if is_control(line) => return Shape::Control,
        _ => {}
    }
    let mut tokens = line.split(|&byte| byte == b' ').filter(|token| !token.is_empty());
    let mut next = || tokens.next().unwrap_or_default();
    match kind([next(), next(), next(), next()]) {
        Some(kind) => Shape::Elb(kind),
        None => Shape::Unknown,
    }
}

fn is_control(line: &[u8]) -> bool {
    line.starts_with(b"Enable ") && memchr::memmem::find(line, b" for ELB: ").is_some()
}

/// The kind of a line that starts with these tokens; missing ones are empty.
#[inline(always)]
pub fn kind(first: [&[u8]; 4]) -> Option<Kind> {
    if has_shape(first[1]) && is_word(first[0]) && !has_shape(first[0]) {
        return Some(if is_decimal(first[2]) { Kind::AlbHealthCheck } else { Kind::Alb });
    }
    if has_shape(first[0]) {
        let is_connection = is_digits(first[2]) && is_digits(first[3]) && is_address(first[1]);
        return Some(if is_connection { Kind::AlbConnection } else { Kind::Classic });
    }
    if has_shape(first[2]) && is_word(first[0]) && is_version(first[1]) {
        return Some(Kind::Nlb);
    }
    None
}

/// Whether a token is a word such as `https`: not quoted, not empty.
fn is_word(token: &[u8]) -> bool {
    token.first().is_some_and(|&byte| byte != b'"')
}

fn is_digits(token: &[u8]) -> bool {
    !token.is_empty() && token.iter().all(u8::is_ascii_digit)
}

/// Whether a token is a bare number such as the latency of a health check.
#[inline(always)]
fn is_decimal(token: &[u8]) -> bool {
    match token.iter().position(|&byte| !byte.is_ascii_digit()) {
        None => !token.is_empty(),
        Some(point) => point > 0 && token[point] == b'.' && is_digits(&token[point + 1..]),
    }
}

/// Whether a token is a version such as `2.0`.
fn is_version(token: &[u8]) -> bool {
    token.contains(&b'.') && is_decimal(token)
}

/// Whether a token is an address and nothing else: a load balancer's name never is.
fn is_address(token: &[u8]) -> bool {
    std::str::from_utf8(token).is_ok_and(|text| text.parse::<core::net::IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Shape) {
        assert_eq!(shape(line.as_bytes()), want, "{line}");
    }

    #[test]
    fn structure_decides() {
        check("2015-05-20T08:09:10.123456Z my-lb 192.0.2.20:51234 -", Shape::Elb(Kind::Classic));
        check("2017-08-10T18:25:56 my-lb", Shape::Elb(Kind::Classic));
        check("2017-08-10T18:25:56 2017-08-10T18:25:56 my-lb", Shape::Elb(Kind::Classic));
        check("h3   2026-03-01T10:20:30Z app/web/01 1.2.3.4:5", Shape::Elb(Kind::Alb));
        check("https 2026-03-01T10:20:30.1Z 0.000123456 10.0.0.1:80", Shape::Elb(Kind::AlbHealthCheck));
        check("https 2026-03-01T10:20:30.1Z 7 10.0.0.1:80", Shape::Elb(Kind::AlbHealthCheck));
        for name in ["1.2.3", "1.", ".5", "\"0.1\"", "app/1"] {
            check(&format!("https 2026-03-01T10:20:30.1Z {name} 10.0.0.1:80"), Shape::Elb(Kind::Alb));
        }
        check("2026-03-01T10:20:30Z 192.0.2.1 443 443 -", Shape::Elb(Kind::AlbConnection));
        check("2026-03-01T10:20:30Z 2001:db8::77 443 443 -", Shape::Elb(Kind::AlbConnection));
        check("2026-03-01T10:20:30Z 192.0.2.1 443 4a3 -", Shape::Elb(Kind::Classic));
        check("2026-03-01T10:20:30Z 192.0.2.1", Shape::Elb(Kind::Classic));
        check("tls 2.0 2018-12-20T02:59:40 net/edge/01", Shape::Elb(Kind::Nlb));
        check("quic 10.25 2018-12-20T02:59:40Z net/edge/01", Shape::Elb(Kind::Nlb));
        for version in ["2", "2.", ".0", "v2.0", "-"] {
            check(&format!("tls {version} 2018-12-20T02:59:40 net/edge/01"), Shape::Unknown);
        }
        check("Enable AccessLog for ELB: app/web/01 at 2026-03-01T10:00:00.781Z", Shape::Control);
        check("Enable nothing", Shape::Unknown);
        check("{\"a\":1}", Shape::Json);
        check("[1]", Shape::Json);
        check("\"https\" 2026-03-01T10:20:30Z app/web/01", Shape::Unknown);
        check("192.0.2.1 - - [01/Mar/2026:10:20:30 +0000] \"GET / HTTP/1.1\" 200 12", Shape::Unknown);
        check("", Shape::Unknown);
    }
}
