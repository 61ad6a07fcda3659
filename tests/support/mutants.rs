//! Lines of every kind and age from a seed, and ways to damage them.
//!
//! Most of what comes out is nearly a line: that is where two readings can differ. It refuses to know which lines are
//! good.

use crate::draw::Draw;

const TIMES: &[&str] = &[
    "2026-03-01T10:20:30.123456Z",
    "2015-05-20T08:09:10Z",
    "2018-12-20T02:59:40",
    "2026-12-31T23:59:60.5Z",
    "2026-02-30T10:20:30Z",
    "2024-02-29T00:00:00.1234567890Z",
];
const PAIRS: &[&str] = &[
    "192.0.2.1:443",
    "-",
    "2001:db8::7:51234",
    "[2001:db8::7]:443",
    "[::1]:x",
    ":80",
    "10.0.0.7:",
    "-:-",
    "a:007",
    "[:]",
    "x:-5",
    "]:1",
    "[]:1",
    "[::1:5",
    "::1]:65536",
];
const ADDRESSES: &[&str] = &["192.0.2.1", "2001:db8::77", "::", "1.2.3.4"];
const SECONDS: &[&str] = &["0.001", "-1", "0.000043", "5", "-", "0.000", "007.50", "-0", "-0.5", "12345678901234567890.5"];
const COUNTS: &[&str] = &["0", "200", "503", "-", "34", "-1", "9223372036854775807", "00", "-007", "123456789", "12345678"];
const STATUSES: &[&str] = &["200", "200", "404", "-", "0", "460", "301"];
const REQUESTS: &[&str] = &[
    "GET https://www.example.com:443/a?b=c HTTP/1.1",
    "- - - ",
    "- http://host:80- -",
    "- http://host:80- ",
    "GET http://www.example.com:80/a b c HTTP/1.0 ",
    "GET http://www.example.com:80/old",
    "GET",
    "",
    "-",
    " ",
    "GET  http://x/  HTTP/2",
    "POST https://[2001:db8::1]:443/%zz?q=\\x22a\\x22&p=.php HTTP/2.0",
    "GET -",
    "GET HTTP/1.1",
    " GET http://x/ HTTP/1.",
    "OPTIONS * HTTP/1.1",
    "GET https://user:pw@host.example:65536/a.tar.gz?x=1#f HTTP/3",
];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64)",
    "-",
    "",
    "curl/8.4.0",
    "\\\"bot\\\" 1.0",
    "ends\\\\",
    "ends\\",
    "10\\\" tablet",
    "in\"side",
    "caf\u{e9} \u{1f600}",
    "\\x22q\\x22 \\x00000022",
    "a \"b\" c",
    "tab\tand\u{7f}\u{1}",
];
const WORDS: &[&str] = &[
    "-",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "TLSv1.2",
    "tlsv13",
    "TLSv1.3",
    "tlsv12",
    "SSLv3",
    "TLSv1",
    "h2",
    "TID_0123456789abcdef",
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067",
    "10.0.0.9",
    "x",
    "Failed:ClientCertExpired",
    "NotBefore=2026-01-01T00:00:00Z;NotAfter=2027-01-01T00:00:00Z",
];
const TEXTS: &[&str] = &[
    "-",
    "-",
    "",
    "Root=1-58337364-23a8c76965a2ef7629b185e3",
    "www.example.com",
    " lead",
    "session-reused",
    "waf,forward",
    "waf,,forward,",
    ",",
    "  ",
    "10.0.0.7:80 10.0.0.8:80",
    "200 200",
    "https://www.example.com:443/?x=\\x22",
    "CN=a b,O=\"c",
    "Ambiguous",
];
const NAMES: &[&str] = &["my-lb", "app/web/0123456789abcdef", "net/edge/0123456789abcdef", "x"];

/// What stands in one place of a line.
#[derive(Clone, Copy)]
enum Place {
    One(&'static [&'static str]),
    Quoted(&'static [&'static str]),
    /// In quotes or bare, as public data has both.
    Either(&'static [&'static str]),
}

use Place::Either;
use Place::One;
use Place::Quoted;

/// The places of a kind's newest lines, and how many the lines of each age have.
fn layout(kind: usize) -> (Vec<Place>, &'static [usize]) {
    let mut places = Vec::new();
    let mut add = |list: &[Place]| places.extend_from_slice(list);
    let ages: &[usize] = match kind {
        0 => {
            add(&[One(TIMES), One(NAMES), One(PAIRS), One(PAIRS), One(SECONDS), One(SECONDS), One(SECONDS), One(STATUSES)]);
            add(&[One(STATUSES), One(COUNTS), One(COUNTS), Quoted(REQUESTS), Quoted(AGENTS), One(WORDS), One(WORDS)]);
            &[12, 15]
        }
        1 => {
            add(&[One(&["https", "http", "h2", "wss", "h3"]), One(TIMES), One(NAMES), One(PAIRS), One(PAIRS), One(SECONDS)]);
            add(&[One(SECONDS), One(SECONDS), One(STATUSES), One(STATUSES), One(COUNTS), One(COUNTS), Quoted(REQUESTS)]);
            add(&[Quoted(AGENTS), One(WORDS), One(WORDS), One(WORDS), Quoted(TEXTS), Either(TEXTS), Either(TEXTS)]);
            add(&[One(COUNTS), One(TIMES), Either(TEXTS), Quoted(TEXTS), Quoted(TEXTS), Either(TEXTS), Either(TEXTS)]);
            add(&[Quoted(TEXTS), Quoted(TEXTS), One(WORDS), Quoted(TEXTS), Quoted(TEXTS), Quoted(TEXTS), One(WORDS)]);
            &[13, 18, 20, 21, 23, 24, 25, 27, 29, 30, 33, 34]
        }
        2 => {
            add(&[
                One(&["tls", "quic"]),
                One(&["1.0", "2.0", "10.25"]),
                One(TIMES),
                One(NAMES),
                One(WORDS),
                One(PAIRS),
                One(PAIRS),
            ]);
            add(&[
                One(COUNTS),
                One(COUNTS),
                One(COUNTS),
                One(COUNTS),
                One(COUNTS),
                One(WORDS),
                One(WORDS),
                One(WORDS),
                One(WORDS),
            ]);
            add(&[One(WORDS), One(WORDS), One(WORDS), One(WORDS), Either(&["h2\",\"http/1.1", "-", "h2", "", "a\",\"b\",\"c"])]);
            add(&[One(TIMES)]);
            &[18, 21, 22]
        }
        3 => {
            add(&[
                One(TIMES),
                One(ADDRESSES),
                One(&["443", "51234", "0080"]),
                One(&["443"]),
                One(WORDS),
                One(WORDS),
                One(SECONDS),
            ]);
            add(&[Quoted(TEXTS), One(WORDS), One(WORDS), One(WORDS), One(WORDS), One(WORDS), One(NAMES), One(ADDRESSES)]);
            &[11, 12, 15]
        }
        _ => {
            add(&[One(&["http", "grpc", "lambda"]), One(TIMES), One(&["0.000123456", "7", "00.50"]), One(PAIRS), One(WORDS)]);
            add(&[Either(&["PASS", "FAIL"]), One(COUNTS), One(WORDS), One(NAMES), One(ADDRESSES)]);
            &[8, 10]
        }
    };
    (places, ages)
}

/// A line of any kind and age, whole and with what stands in such lines; with a few tokens more at times.
pub(crate) fn line(draw: &mut Draw) -> String {
    let (places, ages) = layout(draw.below(5));
    let count = ages[draw.below(ages.len())];
    let mut line = String::new();
    for place in &places[..count] {
        // The first of its texts is the ordinary one: half of all tokens are that.
        let (texts, quoted) = match *place {
            One(texts) => (texts, false),
            Quoted(texts) => (texts, true),
            Either(texts) => (texts, draw.below(2) == 0),
        };
        let text = texts[draw.below(2 * texts.len()).saturating_sub(texts.len())];
        let quoted = quoted || text.is_empty() || text.contains(' ');
        push(&mut line, text, quoted);
    }
    if draw.below(8) == 0 {
        let most = draw.one_of(&[&1, &3, &80]);
        for _ in 0..draw.below(*most) + 1 {
            let quoted = draw.below(2) == 0;
            let text = if quoted { draw.one_of(TEXTS) } else { draw.one_of(WORDS) };
            push(&mut line, text, quoted);
        }
    }
    line
}

fn push(line: &mut String, text: &str, quoted: bool) {
    if !line.is_empty() {
        line.push(' ');
    }
    if quoted {
        line.push('"');
    }
    line.push_str(text);
    if quoted {
        line.push('"');
    }
}

/// What is put somewhere into a line.
const INSERTS: &[&[u8]] = &[
    b"\"",
    b"\"",
    b" ",
    b" ",
    b"  ",
    b"\\",
    b"\\",
    b"\\\"",
    b"\\\\",
    b"\\x22",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\t",
    b"\n",
    b"\r",
    "\u{e9}".as_bytes(),
    "\u{1f600}".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{2028}".as_bytes(),
    b"\xc3",
    b"\xff",
    b",",
    b"\",\"",
    b"\" \"",
    b"-",
    b".",
    b":",
    b"0",
    b"{",
    b"[",
    b"Z",
];

/// What is put in the place of a token.
const STRAYS: &[&[u8]] = &[
    b"-",
    b"\"-\"",
    b"\"\"",
    b"\"",
    b"0",
    b"-0",
    b"-00.0",
    b"007",
    b"1e3",
    b"+1",
    b".5",
    b"5.",
    b"1.2.3",
    b"--1",
    b"0x10",
    b"NaN",
    b"99999999999999999999999999999999999999999999999",
    b"-0.0000000000000000000000000000000001",
    b"1_000",
    b"PASS",
    b"pass",
    b"192.0.2.1",
    b"1.2.3.4:5",
    b"::",
    b"2026-03-01T10:20:30Z",
    b"2026-03-01T10:20:30.Z",
    b"2026-03-01 10:20:30Z",
    b"2026-03-01T10:20:30.5",
    b"2026-03-01T10:20:30+00:00",
    b"2026-3-01T10:20:30Z",
    b"2026-03-01t10:20:30z",
    b"0000-00-00T00:00:00ZZ",
    b"2026/03/01T10:20:30Z",
    b"202:-03-01T10:20:30Z",
    b"2.0",
    b"https",
    b"Enable",
    b"\"a b\"",
    b"\"h2\",\"h3\"",
    b"\"a\\\"",
    b"\"a\\\\\"",
    b"12345678",
    b"123456789",
    b"00000001",
    b"1234567:",
    b"1234/678",
    b"\xff\xfe",
];

/// Damages a line, once to four times.
pub(crate) fn damage(draw: &mut Draw, line: &mut Vec<u8>) {
    for _ in 0..1 + draw.below(4) * draw.below(2) {
        damage_once(draw, line);
    }
}

fn damage_once(draw: &mut Draw, line: &mut Vec<u8>) {
    let at = draw.below(line.len() + 1);
    match draw.below(14) {
        0 if at < line.len() => line[at] ^= 1 << draw.below(8),
        1 if at < line.len() => line[at] = draw.below(256) as u8,
        2 if at < line.len() => {
            line.remove(at);
        }
        3 => line.truncate(at),
        4 | 5 => insert(line, at, draw.one_of(INSERTS)),
        // A quote or a backslash less.
        6 => {
            let byte = draw.one_of(&[&b'"', &b'\\', &b' ']);
            if let Some(found) = line[at..].iter().position(|other| other == byte) {
                line.remove(at + found);
            }
        }
        7 => insert(line, 0, draw.one_of(&["\u{feff}".as_bytes(), b" ", b"\"", b"x ", b"Enable ", b"{"])),
        8 => {
            let end = line.len();
            insert(
                line,
                end,
                draw.one_of(&[b"\r", b" ", b"\"", b"\n", b"\r\n", b" -", b" \"x y\"", b"\\", b" for ELB: x", b",\""]),
            );
        }
        _ => {
            let tokens = tokens(line);
            if tokens.is_empty() {
                return;
            }
            let (start, end) = tokens[draw.below(tokens.len())];
            let (from, to) = tokens[draw.below(tokens.len())];
            let token = line[start..end].to_vec();
            match draw.below(7) {
                // The one behind it moves up.
                0 => drop(line.drain(start..(end + 1).min(line.len()))),
                1 => insert(line, start, &[&token[..], b" "].concat()),
                2 if end <= from => {
                    let other = line[from..to].to_vec();
                    line.splice(from..to, token);
                    line.splice(start..end, other);
                }
                3 => {
                    let quotes: &[u8] = b"\"";
                    line.splice(start..end, [quotes, &token, quotes].concat());
                }
                4 => {
                    let bare = token.iter().copied().filter(|&byte| byte != b'"');
                    line.splice(start..end, bare);
                }
                _ => drop(line.splice(start..end, draw.one_of(STRAYS).iter().copied())),
            }
        }
    }
}

fn insert(line: &mut Vec<u8>, at: usize, text: &[u8]) {
    line.splice(at..at, text.iter().copied());
}

/// Where the words between spaces stand, with quoted ones in one piece where their quotes are in order.
fn tokens(line: &[u8]) -> Vec<(usize, usize)> {
    let mut tokens = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for at in 0..=line.len() {
        match line.get(at) {
            Some(b'"') => quoted = !quoted,
            Some(b' ') if quoted => {}
            None | Some(b' ') => {
                if at > start {
                    tokens.push((start, at));
                }
                start = at + 1;
            }
            Some(_) => {}
        }
    }
    tokens
}
