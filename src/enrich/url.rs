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

use super::members::put_name;
use super::members::put_text;
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
/// unclosed bracket in the host: the caller then keeps the original alone. No allocation; about 25 ns for 100 bytes.
///
/// # Panics
/// When `start..end` is no range of `text`.
#[inline]
pub fn split(text: &[u8], start: usize, end: usize) -> Option<Url> {
    let url = &text[start..end];
    let scheme_len = scheme_len(url)?;
    let authority = scheme_len + 3;
    let authority_end = memchr3(b'/', b'?', b'#', &url[authority..]).map_or(url.len(), |found| authority + found);
    let at_sign = memrchr(b'@', &url[authority..authority_end]).map(|found| authority + found);
    let host = at_sign.map_or(authority, |found| found + 1);
    let (host_end, port_number) = port(&url[host..authority_end])?;
    let domain_end = host + host_end;
    let port = (domain_end < authority_end).then_some((start + domain_end + 1, start + authority_end));

    let tail = &url[authority_end..];
    let path_len = memchr2(b'?', b'#', tail).unwrap_or(tail.len());
    let path_end = authority_end + path_len;
    let (mut query, mut fragment) = (None, None);
    match url.get(path_end) {
        Some(b'?') => {
            let query_end = memchr(b'#', &url[path_end..]).map_or(url.len(), |found| path_end + found);
            query = Some((start + path_end + 1, start + query_end));
            fragment = (query_end < url.len()).then_some((start + query_end + 1, end));
        }
        Some(_) => fragment = Some((start + path_end + 1, end)),
        None => {}
    }
    let path = &tail[..path_len];
    let dot = memrchr2(b'/', b'.', path).filter(|found| path[*found] == b'.' && found + 1 < path.len());
    Some(Url {
        scheme: (start, start + scheme_len),
        user_info: at_sign.map(|found| (start + authority, start + found)),
        domain: (start + host, start + domain_end),
        port,
        port_number,
        path: (path_len > 0).then_some((start + authority_end, start + path_end)),
        query,
        fragment,
        extension: dot.map(|found| (start + authority_end + found + 1, start + path_end)),
    })
}

/// Bytes of the scheme, where `://` stands behind it.
#[inline(always)]
fn scheme_len(url: &[u8]) -> Option<usize> {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let len = url.iter().position(|byte| !inside(byte))?;
    (url[0].is_ascii_alphabetic() && url[len..].starts_with(b"://")).then_some(len)
}

/// Where the host ends in `host[:port]`, and the port's value or 0.
#[inline(always)]
fn port(text: &[u8]) -> Option<(usize, u16)> {
    let host_end = if text.first() == Some(&b'[') {
        memchr(b']', text).filter(|close| *close > 1)? + 1
    } else {
        memchr(b':', text).unwrap_or(text.len())
    };
    if host_end == 0 {
        return None;
    }
    let Some((colon, digits)) = text[host_end..].split_first() else { return Some((host_end, 0)) };
    if *colon != b':' || digits.is_empty() {
        return None;
    }
    let mut value = 0_u16;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u16::from(digit))?;
    }
    Some((host_end, value))
}

/// Appends the parts as members text under the names that ECS has below `url`, without `original` and `full`: `scheme`,
/// `domain`, `port` as a number, `path`, `query`, `fragment`, `extension`, `username` and `password`.
///
/// Parts that are absent or empty are left out. Takes at most six times the URL's bytes and 120 more.
///
/// # Panics
/// When the offsets are not those of this text.
pub fn append(text: &[u8], url: &Url, out: &mut Vec<u8>) {
    put_part(out, "scheme", text, Some(url.scheme));
    put_part(out, "domain", text, Some(url.domain));
    if url.port.is_some() {
        put_name(out, "port");
        out.extend_from_slice(itoa::Buffer::new().format(url.port_number).as_bytes());
    }
    put_part(out, "path", text, url.path);
    put_part(out, "query", text, url.query);
    put_part(out, "fragment", text, url.fragment);
    put_part(out, "extension", text, url.extension);
    if let Some((start, end)) = url.user_info {
        let colon = memchr(b':', &text[start..end]).map(|found| start + found);
        put_part(out, "username", text, Some((start, colon.unwrap_or(end))));
        put_part(out, "password", text, colon.map(|colon| (colon + 1, end)));
    }
}

fn put_part(out: &mut Vec<u8>, name: &str, text: &[u8], span: Option<Span>) {
    if let Some((start, end)) = span.filter(|(start, end)| start < end) {
        put_text(out, name, &text_of(&text[start..end]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::members::parsed;
    use super::*;
    use proptest::prelude::*;

    /// The parts of a URL that stands between other bytes, as one text: `name=part name=part`.
    fn parts(url: &[u8]) -> Option<String> {
        let text = [b"\"GET ", url, b" HTTP/1.1\"/.a?b#c@d:80"].concat();
        let found = split(&text, 5, 5 + url.len())?;
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
        let want = br#","scheme":"https","domain":"h.example","port":8443,"path":"/a\\b/x.css","query":"q=\"1\"","fragment":"f","extension":"css","username":"me","password":"s\"t""#;
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

    proptest! {
        #[test]
        fn the_parts_joined_again_are_the_original(url in near_urls()) {
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
                prop_assert!(out.len() <= 6 * url.len() + 120);
                let map = parsed(&out);
                prop_assert!(map.keys().all(|name| NAMES.contains(&name.as_str())));
                let path = found.path.map(|(start, end)| String::from_utf8_lossy(&url[start..end]).into_owned());
                prop_assert_eq!(map.get("path").and_then(|path| path.as_str()), path.as_deref());
            }
        }
    }
}
