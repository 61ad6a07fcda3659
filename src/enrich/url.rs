//! Cuts an absolute URL, as load balancers log it, into its parts: offsets into the text it stands in.
//!
//! Follows the outline of RFC 3986, appendix B, and is strict only where a part would come out wrong: the scheme, the host
//! and the port. Everything else may hold any bytes, because senders put spaces, braces and broken escapes there. It
//! refuses relative references, and it neither decodes nor normalises anything.

use memchr::memchr;
use memchr::memchr2;
use memchr::memchr3;
use memchr::memrchr;
use memchr::memrchr2;
use wide::u8x16;

use super::members::put_escaped;
use super::members::text_of;

/// Where a part starts and where it ends, exclusive, in the text the URL stands in.
pub type Span = (usize, usize);

/// The parts of one URL. A part that is there may be empty only where its mark alone is there: `?`, `#` or `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url {
    /// What stands before `://`.
    pub scheme: Span,
    /// What stands before the last `@` of the authority.
    pub user_info: Option<Span>,
    /// The host; an IPv6 address with its brackets. Never empty.
    pub domain: Span,
    /// The port's digits.
    pub port: Option<Span>,
    /// The port's value; 0 where there is none.
    pub port_number: u16,
    /// From the first `/` behind the authority up to `?` or `#`. Never empty.
    pub path: Option<Span>,
    /// Between `?` and `#`.
    pub query: Option<Span>,
    /// Behind `#`.
    pub fragment: Option<Span>,
    /// Behind the last `.` of the path's last segment. Never empty.
    pub extension: Option<Span>,
}

/// Cuts `text[start..end]`; `None` where that is no absolute URL with a host.
///
/// A port of more than 65535, an empty one, or anything else behind the host's colon gives `None`, and so does a colon or an
/// unclosed bracket in the host: the caller then keeps the original alone. No allocation; about 30 ns for 100 bytes, and
/// somewhat more where fewer than 64 bytes of `text` stand behind `start`.
///
/// # Panics
/// When `start..end` is no range of `text`.
#[inline]
pub fn split(text: &[u8], start: usize, end: usize) -> Option<Url> {
    let url = &text[start..end];
    let cuts = match text.get(start..start.wrapping_add(WINDOW)) {
        Some(window) => quick_cuts(url, window.try_into().expect("the range is one window long")),
        None => None,
    };
    let cuts = match cuts {
        Some(cuts) => cuts,
        None => slow_cuts(url)?,
    };
    let Cuts { scheme_end, at_sign, colon, authority_end, path_end, query_end, dot } = cuts;
    let authority = scheme_end.wrapping_add(3);
    let host = at_sign.map_or(authority, |found| found.wrapping_add(1));
    let domain_end = domain_end(url, host, colon, authority_end)?;
    let port_number = if domain_end < authority_end { port_number(&url[domain_end..authority_end])? } else { 0 };
    let span = |from: usize, to: usize| (start.wrapping_add(from), start.wrapping_add(to));
    let some = |there: bool, from: usize, to: usize| there.then_some(span(from, to));
    Some(Url {
        scheme: span(0, scheme_end),
        user_info: at_sign.map(|found| span(authority, found)),
        domain: span(host, domain_end),
        port: some(domain_end < authority_end, domain_end.wrapping_add(1), authority_end),
        port_number,
        path: some(path_end > authority_end, authority_end, path_end),
        query: some(query_end > path_end, path_end.wrapping_add(1), query_end),
        fragment: some(query_end < url.len(), query_end.wrapping_add(1), url.len()),
        extension: dot.filter(|dot| dot.wrapping_add(1) < path_end).map(|dot| span(dot.wrapping_add(1), path_end)),
    })
}

/// Where a URL is cut, as offsets into it.
#[derive(Debug, PartialEq, Eq)]
struct Cuts {
    scheme_end: usize,
    /// The last `@` of the authority.
    at_sign: Option<usize>,
    /// The first `:` of the authority behind that, or the authority's end.
    colon: usize,
    authority_end: usize,
    /// At `?`, `#` or the end.
    path_end: usize,
    /// At `#` or the end; as `path_end` where there is no query.
    query_end: usize,
    /// The last `.` of the path's last segment.
    dot: Option<usize>,
}

/// Bytes that are looked at in one go: those of most URLs, and of nearly every authority.
const WINDOW: usize = 64;

/// The cuts of a URL whose authority ends within the window; other URLs and what is none give `None`.
///
/// The window starts with the URL and may show what stands behind it.
#[inline(always)]
fn quick_cuts(url: &[u8], window: &[u8; WINDOW]) -> Option<Cuts> {
    let inside = if url.len() < WINDOW { !(u64::MAX << url.len()) } else { u64::MAX };
    let find = |byte: u8| {
        let byte = u8x16::splat(byte);
        let part = |at: usize| {
            let block: [u8; 16] = window[at..at + 16].try_into().expect("the range is 16 bytes long");
            u64::from(u8x16::new(block).simd_eq(byte).to_bitmask()) << at
        };
        (part(0) | part(16) | part(32) | part(48)) & inside
    };
    let (slash, question, hash, colons) = (find(b'/'), find(b'?'), find(b'#'), find(b':'));
    let scheme_end = if url.starts_with(b"https://") {
        5
    } else if url.starts_with(b"http://") {
        4
    } else {
        scheme_len(&url[..url.len().min(WINDOW)])?
    };
    let from = |at: usize| if at < WINDOW { u64::MAX << at } else { 0 };
    let authority = scheme_end.wrapping_add(3);
    let ends = (slash | question | hash) & from(authority);
    if ends == 0 {
        return None;
    }
    let authority_end = ends.trailing_zeros() as usize;
    let at_sign = last(find(b'@') & from(authority) & !from(authority_end));
    let colon = (colons & from(at_sign.unwrap_or(authority))).trailing_zeros() as usize;
    let colon = colon.min(authority_end);

    let path_ends = (question | hash) & from(authority_end);
    let (path_end, dot) = if path_ends != 0 || url.len() <= WINDOW {
        let path_end = if path_ends != 0 { path_ends.trailing_zeros() as usize } else { url.len() };
        let path = from(authority_end) & !from(path_end);
        (path_end, last((slash | find(b'.')) & path))
    } else {
        let path_end = memchr2(b'?', b'#', &url[WINDOW..]).map_or(url.len(), |found| found.wrapping_add(WINDOW));
        (path_end, memrchr2(b'/', b'.', &url[authority_end..path_end]).map(|found| found.wrapping_add(authority_end)))
    };
    let query_end = match hash & from(path_end) {
        0 => query_end(url, path_end, WINDOW.max(path_end)),
        found => found.trailing_zeros() as usize,
    };
    Some(Cuts { scheme_end, at_sign, colon, authority_end, path_end, query_end, dot: dot.filter(|dot| url[*dot] == b'.') })
}

/// The place of the highest bit.
#[inline(always)]
fn last(bits: u64) -> Option<usize> {
    bits.checked_ilog2().map(|bit| bit as usize)
}

/// The cuts of any URL.
fn slow_cuts(url: &[u8]) -> Option<Cuts> {
    let scheme_end = scheme_len(url)?;
    let authority = scheme_end + 3;
    let authority_end = memchr3(b'/', b'?', b'#', &url[authority..]).map_or(url.len(), |found| authority + found);
    let at_sign = memrchr(b'@', &url[authority..authority_end]).map(|found| authority + found);
    let host = at_sign.unwrap_or(authority);
    let colon = memchr(b':', &url[host..authority_end]).map_or(authority_end, |found| host + found);
    let path_end = memchr2(b'?', b'#', &url[authority_end..]).map_or(url.len(), |found| authority_end + found);
    let dot = memrchr2(b'/', b'.', &url[authority_end..path_end]).map(|found| authority_end + found);
    let query_end = query_end(url, path_end, path_end);
    Some(Cuts { scheme_end, at_sign, colon, authority_end, path_end, query_end, dot: dot.filter(|dot| url[*dot] == b'.') })
}

/// The first `#` from `path_end` on, none of which stands before `from`, or the end.
#[inline(always)]
fn query_end(url: &[u8], path_end: usize, from: usize) -> usize {
    if url.get(path_end) == Some(&b'#') {
        return path_end;
    }
    let rest = url.get(from..).unwrap_or_default();
    memchr(b'#', rest).map_or(url.len(), |found| from.wrapping_add(found))
}

/// Bytes of the scheme, where `://` stands behind it.
#[inline(always)]
fn scheme_len(url: &[u8]) -> Option<usize> {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let len = url.iter().position(|byte| !inside(byte))?;
    (url[0].is_ascii_alphabetic() && url[len..].starts_with(b"://")).then_some(len)
}

/// Where the host ends that starts at `host`: at the first colon of the authority, or behind the bracket of an IPv6 address.
#[inline(always)]
fn domain_end(url: &[u8], host: usize, colon: usize, authority_end: usize) -> Option<usize> {
    let authority = &url[host..authority_end];
    if authority.first() == Some(&b'[') {
        let close = memchr(b']', authority).filter(|close| *close > 1)?;
        return Some(host.wrapping_add(close).wrapping_add(1));
    }
    (colon > host).then_some(colon)
}

/// The value of `:digits`.
#[inline(always)]
fn port_number(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b":").filter(|digits| !digits.is_empty())?;
    let mut value = 0_u32;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
        if digit > 9 || value > u32::from(u16::MAX) {
            return None;
        }
    }
    u16::try_from(value).ok()
}

/// Appends the parts as members text under the names that ECS has below `url`, without `original` and `full`: `scheme`,
/// `domain`, `path`, `query`, `fragment`, `extension`, `username`, `password`, and `port` as a number.
///
/// Parts that are absent or empty are left out. Takes at most six times the URL's bytes and 140 more; about 45 ns for
/// 100 bytes without anything to escape.
///
/// # Panics
/// When the offsets are not those of this text.
pub fn append(text: &[u8], url: &Url, out: &mut Vec<u8>) {
    let ends = [url.port, url.path, url.query, url.fragment];
    let end = ends.into_iter().flatten().fold(url.domain.1, |end, span| end.max(span.1));
    let whole = &text[url.scheme.0..end];
    out.reserve(whole.len() + NAMES_BYTES);
    let put = if whole.iter().fold(true, |plain, byte| plain & is_plain(*byte)) { put_plain } else { put_any };
    let mut part = |opening: &str, span: Option<Span>| {
        if let Some((start, end)) = span.filter(|(start, end)| start < end) {
            out.extend_from_slice(opening.as_bytes());
            put(out, &text[start..end]);
        }
    };
    part(",\"scheme\":\"", Some(url.scheme));
    part(",\"domain\":\"", Some(url.domain));
    part(",\"path\":\"", url.path);
    part(",\"query\":\"", url.query);
    part(",\"fragment\":\"", url.fragment);
    part(",\"extension\":\"", url.extension);
    if let Some((start, end)) = url.user_info {
        let colon = memchr(b':', &text[start..end]).map(|found| start + found);
        part(",\"username\":\"", Some((start, colon.unwrap_or(end))));
        part(",\"password\":\"", colon.map(|colon| (colon + 1, end)));
    }
    if url.port.is_some() {
        out.extend_from_slice(b",\"port\":");
        out.extend_from_slice(itoa::Buffer::new().format(url.port_number).as_bytes());
    }
}

/// Bytes of all the names with what stands around them and of the port's five digits, rounded up.
const NAMES_BYTES: usize = 140;

/// Whether a byte stands in a JSON string as it is, whatever stands beside it.
fn is_plain(byte: u8) -> bool {
    (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// Appends plain text and the closing quote.
fn put_plain(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Appends any text, escaped, and the closing quote.
fn put_any(out: &mut Vec<u8>, text: &[u8]) {
    put_escaped(out, text_of(text).as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::members::parsed;
    use super::*;
    use proptest::prelude::*;

    /// The parts of a URL that stands between other bytes, as one text: `name=part name=part`.
    #[track_caller]
    fn parts(url: &[u8]) -> Option<String> {
        let alone = split(url, 0, url.len());
        let text = [b"\"GET ", url, b" HTTP/1.1\"/.a?b#c@d:80", &[b'/'; WINDOW]].concat();
        let found = split(&text, 5, 5 + url.len());
        assert_eq!(alone.is_some(), found.is_some(), "what stands behind a URL does not matter");
        let (alone, found) = (alone?, found?);
        assert_eq!(alone.domain, (found.domain.0 - 5, found.domain.1 - 5));
        let part = |name: &str, span: Option<Span>| {
            span.map(|(start, end)| format!("{name}={} ", String::from_utf8_lossy(&text[start..end])))
        };
        let all = [
            part("scheme", Some(found.scheme)),
            part("user", found.user_info),
            part("domain", Some(found.domain)),
            found.port.map(|_| format!("port={} ", found.port_number)),
            part("path", found.path),
            part("query", found.query),
            part("fragment", found.fragment),
            part("extension", found.extension),
        ];
        Some(all.into_iter().flatten().collect::<String>().trim_end().to_owned())
    }

    #[track_caller]
    fn check(url: &str, want: &str) {
        assert_eq!(parts(url.as_bytes()).as_deref(), Some(want).filter(|want| !want.is_empty()), "{url}");
    }

    #[test]
    fn urls_of_log_lines_are_cut() {
        check("https://www.example.com:443/", "scheme=https domain=www.example.com port=443 path=/");
        check(
            "http://h:80/a/b.c.js?q=1.x/y#z",
            "scheme=http domain=h port=80 path=/a/b.c.js query=q=1.x/y fragment=z extension=js",
        );
        check("ws://10.0.0.30:80/.awscfg", "scheme=ws domain=10.0.0.30 port=80 path=/.awscfg extension=awscfg");
        check("http://h:80/a.b/c", "scheme=http domain=h port=80 path=/a.b/c");
        check("http://h:80/a.", "scheme=http domain=h port=80 path=/a.");
        check("http://h:80/a b/{c}/%%32\\x22", "scheme=http domain=h port=80 path=/a b/{c}/%%32\\x22");
        check("https://[2001:db8::1]:443/", "scheme=https domain=[2001:db8::1] port=443 path=/");
        check("https://[2001:db8::1]", "scheme=https domain=[2001:db8::1]");
    }

    #[test]
    fn parts_may_be_absent() {
        check("http://h", "scheme=http domain=h");
        check("http://h?a", "scheme=http domain=h query=a");
        check("http://h#a?b", "scheme=http domain=h fragment=a?b");
        check("http://h/?#", "scheme=http domain=h path=/ query= fragment=");
        check("http://h:0/", "scheme=http domain=h port=0 path=/");
        check("http://h:00065535", "scheme=http domain=h port=65535");
        check("a+b-c.1://h", "scheme=a+b-c.1 domain=h");
    }

    #[test]
    fn user_info_ends_at_the_last_at_sign_of_the_authority() {
        check("http://u:p@h:80/@", "scheme=http user=u:p domain=h port=80 path=/@");
        check("http://a@b@h/", "scheme=http user=a@b domain=h path=/");
        check("http://@h/", "scheme=http user= domain=h path=/");
        check("http://h?a@b", "scheme=http domain=h query=a@b");
    }

    #[test]
    fn what_has_no_host_or_an_odd_port_is_no_url() {
        for url in [
            "",
            "-",
            "/path",
            "http:",
            "http:/h",
            "://h",
            "1http://h",
            "ht tp://h",
            "http://",
            "http:///path",
            "http://:80/",
            "http://u@/",
            "http://u@:80",
            "http://h:80-",
            "http://-:80-",
            "http://h:/",
            "http://h:65536/",
            "http://h:99999999999999999999/",
            "http://h:8 0/",
            "http://h:+80/",
            "http://2001:db8::1/",
            "http://[]/",
            "http://[::1/",
            "http://[::1]80/",
            "http://[::1]:/",
        ] {
            check(url, "");
        }
    }

    #[test]
    fn parts_are_appended_under_the_names_of_ecs() {
        let url = br##"https://me:s"t@h.example:8443/a\b/x.css?q="1"#f"##;
        let found = split(url, 0, url.len()).expect("a URL");
        let mut out = Vec::new();
        append(url, &found, &mut out);
        let want = br#","scheme":"https","domain":"h.example","path":"/a\\b/x.css","query":"q=\"1\"","fragment":"f","extension":"css","username":"me","password":"s\"t","port":8443"#;
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(want));
        out.clear();
        append(b"http://@h/?#", &split(b"http://@h/?#", 0, 12).expect("a URL"), &mut out);
        assert_eq!(out, br#","scheme":"http","domain":"h","path":"/""#);
    }

    /// Bytes that mean something in a URL, more often than others.
    fn near_urls() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => proptest::sample::select(b"/:?#@[].%09a\"\\ ".to_vec()), 1 => any::<u8>()];
        let start = proptest::sample::select(vec!["", "http://", "https://h", "http://h:80", "http://u@h:1/", "wss://[::1]"]);
        (start, prop::collection::vec(byte, 0..40)).prop_map(|(start, rest)| [start.as_bytes(), &rest].concat())
    }

    /// URLs around and beyond the window, with the marks anywhere.
    fn long_urls() -> impl Strategy<Value = Vec<u8>> {
        let run = (proptest::sample::select(b"/?#@.:a".to_vec()), 0_usize..40);
        (proptest::sample::select(vec!["http://", "https://h.a:80/", "h://u@", "http:"]), prop::collection::vec(run, 0..8))
            .prop_map(|(start, runs)| {
                let mut url = start.as_bytes().to_vec();
                runs.into_iter().for_each(|(mark, more)| {
                    url.push(mark);
                    url.resize(url.len() + more, b'x');
                });
                url
            })
    }

    proptest! {
        #[test]
        fn a_window_at_once_and_a_search_for_each_mark_agree(url in prop_oneof![near_urls(), long_urls()], behind in near_urls()) {
            let text = [url.as_slice(), &behind, &[b'#'; WINDOW]].concat();
            let window = text[..WINDOW].try_into().expect("it is that long");
            if let Some(cuts) = quick_cuts(&url, window) {
                prop_assert_eq!(Some(cuts), slow_cuts(&url));
            }
            prop_assert_eq!(split(&text, 0, url.len()), split(&url, 0, url.len()));
        }

        #[test]
        fn the_window_is_enough_for_usual_urls(host in "[a-z.]{1,20}", path in "/[a-z/?]{0,100}") {
            let url = format!("https://{host}:443{path}");
            let text = [url.as_bytes(), &[b' '; WINDOW]].concat();
            prop_assert!(quick_cuts(url.as_bytes(), text[..WINDOW].try_into().expect("it is that long")).is_some());
        }

        #[test]
        fn the_parts_joined_again_are_the_original(url in prop_oneof![near_urls(), long_urls()]) {
            if let Some(found) = split(&url, 0, url.len()) {
                let mut joined = Vec::new();
                let mut join = |before: &str, span: Option<Span>, behind: &str| {
                    if let Some((start, end)) = span {
                        joined.extend([before.as_bytes(), &url[start..end], behind.as_bytes()].concat());
                    }
                };
                join("", Some(found.scheme), "://");
                join("", found.user_info, "@");
                join("", Some(found.domain), "");
                join(":", found.port, "");
                join("", found.path, "");
                join("?", found.query, "");
                join("#", found.fragment, "");
                prop_assert_eq!(&joined, &url);
                let digits = found.port.map(|(start, end)| String::from_utf8_lossy(&url[start..end]).parse::<u16>().expect("digits"));
                prop_assert_eq!(digits.unwrap_or(0), found.port_number);
            }
        }

        #[test]
        fn any_url_gives_members_of_known_names(url in near_urls()) {
            const NAMES: [&str; 9] = ["scheme", "domain", "port", "path", "query", "fragment", "extension", "username", "password"];
            if let Some(found) = split(&url, 0, url.len()) {
                let mut out = Vec::new();
                append(&url, &found, &mut out);
                prop_assert!(out.len() <= 6 * url.len() + NAMES_BYTES);
                let map = parsed(&out);
                prop_assert!(map.keys().all(|name| NAMES.contains(&name.as_str())));
                let path = found.path.map(|(start, end)| String::from_utf8_lossy(&url[start..end]).into_owned());
                prop_assert_eq!(map.get("path").and_then(|path| path.as_str()), path.as_deref());
            }
        }
    }
}
