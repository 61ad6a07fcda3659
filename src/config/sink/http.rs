//! What all sinks that speak HTTP have in common: hosts as URLs, credentials, times.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::address::Address;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::secret::Secret;
use crate::sink::Auth;
use crate::sink::DialPlan;
use crate::sink::HttpHost;
use crate::sink::HttpPlan;

use super::HOSTS_MAX;
use super::SECONDS_TO_MINUTES;
use super::aws;
use super::tls;

/// Keys that belong to sinks that speak HTTP.
pub(super) const HTTP_KEYS: [&str; 19] = [
    "hosts",
    "connect_timeout",
    "user_timeout",
    "request_timeout",
    "user",
    "password",
    "password_file",
    "api_key",
    "api_key_file",
    "token",
    "token_file",
    "aws_region",
    "aws_service",
    "aws_credentials",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_secret_access_key_file",
    "aws_session_token",
    "aws_session_token_file",
];

/// Reads them. `ports` are those of a URL without one, without and with TLS; `is_whole` says that requests go to a URL as it is,
/// with its query and its last slash, and not to paths behind it.
pub(super) fn decide(sink: &mut Reader<'_, '_>, ports: (u16, u16), is_whole: bool) -> Option<HttpPlan> {
    let hosts = decide_hosts(sink, ports, is_whole);
    let connect_timeout = sink.duration("connect_timeout", SECONDS_TO_MINUTES, Duration::from_secs(10));
    let user_timeout = sink.duration("user_timeout", SECONDS_TO_MINUTES, Duration::from_secs(30));
    let request_timeout = sink.duration("request_timeout", REQUEST_TIMEOUT, Duration::from_secs(60));
    let auth = decide_auth(sink);
    let is_https = hosts.as_ref().is_some_and(|(_, is_https)| *is_https);
    let dial = DialPlan { connect_timeout, user_timeout, tls: tls::decide(sink, is_https) };
    let (hosts, _) = hosts?;
    Some(HttpPlan { hosts, dial, request_timeout, auth: auth?, headers: Vec::new() })
}

/// Below, a busy destination could never answer; above, a request that is lost on its way would be missed for too long.
const REQUEST_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

const EXAMPLE: &str = "a URL, such as \"https://search.example:9200\"";

/// Reads the hosts, and whether they are spoken to over TLS: all of them or none.
fn decide_hosts(sink: &mut Reader<'_, '_>, ports: (u16, u16), is_whole: bool) -> Option<(Vec<HttpHost>, bool)> {
    if !sink.has("hosts") {
        sink.required("hosts", "[\"https://search.example:9200\"]");
        return None;
    }
    let written = sink.strings("hosts")?;
    if written.is_empty() || written.len() > HOSTS_MAX {
        sink.refuse_key("hosts", "needs between 1 and 64 hosts", "add one, such as \"https://search.example:9200\"");
        return None;
    }
    let has_tls = sink.has("tls");
    let mut hosts: Vec<HttpHost> = Vec::new();
    let mut is_https = None;
    for one in &written {
        match host(&one.text, ports, is_whole) {
            Ok((host, _)) if hosts.contains(&host) => sink.refuse("hosts", one, "named twice", None, None),
            Ok((_, Some(false))) if has_tls => {
                let remedy = "write https://, or remove the sink's tls".to_owned();
                sink.refuse("hosts", one, "is spoken to without TLS, and there is a table tls", None, Some(remedy));
            }
            Ok((host, scheme)) => {
                let this = scheme.unwrap_or(has_tls);
                if *is_https.get_or_insert(this) != this {
                    let remedy = "make them two sinks, or write https:// everywhere".to_owned();
                    sink.refuse("hosts", one, "some hosts are spoken to over TLS and some are not", None, Some(remedy));
                }
                hosts.push(host);
            }
            // A URL may have a password in it.
            Err(what) => sink.refuse_key("hosts", &what, &format!("write {EXAMPLE}")),
        }
    }
    let is_https = is_https.unwrap_or(false);
    let scheme = if is_https { "https" } else { "http" };
    let list: Vec<String> = hosts.iter().map(|host| format!("{scheme}://{}{}", host.address, shown(&host.prefix))).collect();
    sink.record("hosts", list.join(", "), written.first().map_or(Origin::Default, Written::origin));
    (hosts.len() == written.len()).then_some((hosts, is_https))
}

/// A path without what its query says: that may be a token.
pub(super) fn shown(target: &str) -> String {
    target.split_once('?').map_or_else(|| target.to_owned(), |(path, _)| format!("{path}?***"))
}

/// Takes a URL, or a host with its port, apart. A URL says whether it is one of TLS.
fn host(text: &str, ports: (u16, u16), is_whole: bool) -> Result<(HttpHost, Option<bool>), String> {
    let (is_https, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Some(false), rest),
        Some(("https", rest)) => (Some(true), rest),
        Some((scheme, _)) => return Err(format!("{scheme:?} is neither https nor http")),
        None => (None, text),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("has a user in it: say who in user and password".to_owned());
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let port = if is_https == Some(true) { ports.1 } else { ports.0 };
    let address = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
    Address::parse(&address).map_err(|error| error.to_string())?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    if !path.bytes().all(|byte| is_plain(byte) && (is_whole || byte != b'?')) {
        let query = if is_whole { "" } else { "no query and " };
        return Err(format!("the path may have {query}only characters that stand in a URL"));
    }
    let prefix = match path {
        _ if !is_whole => path.trim_end_matches('/').to_owned(),
        "/" => String::new(),
        query if query.starts_with('?') => format!("/{query}"),
        path => path.to_owned(),
    };
    Ok((HttpHost { address, prefix }, is_https))
}

fn decide_auth(sink: &mut Reader<'_, '_>) -> Option<Auth> {
    let user = sink.string("user");
    let password = secret(sink, "password", "password_file");
    let api_key = secret(sink, "api_key", "api_key_file");
    let token = secret(sink, "token", "token_file");
    let is_aws = aws::is_wanted(sink);
    let ways = [user.is_some() || password.is_some(), api_key.is_some(), token.is_some(), is_aws];
    if ways.iter().filter(|way| **way).count() > 1 {
        let key = if is_aws {
            "aws_region"
        } else if user.is_some() {
            "user"
        } else {
            "api_key"
        };
        sink.refuse_key(
            key,
            "more than one way to say who the relay is",
            "keep one of user with password, api_key, token, and aws_region",
        );
        return None;
    }
    if is_aws {
        return aws::decide(sink).map(Box::new).map(Auth::Aws);
    }
    match (user, password, api_key, token) {
        (None, None, None, None) => Some(Auth::None),
        (Some(user), Some(password), ..) if !user.text.contains(':') => {
            sink.record("user", user.text.clone(), user.origin());
            Some(Auth::Basic { user: user.text, password: password? })
        }
        (Some(user), Some(_), ..) => {
            sink.refuse("user", &user, "has a colon, which ends it in the header", None, None);
            None
        }
        (Some(_), None, ..) => {
            sink.refuse_key("user", "has no password", "add password = \"${PASSWORD}\", or password_file");
            None
        }
        (None, Some(_), ..) => {
            sink.refuse_key("password", "has no user", "add user");
            None
        }
        (.., Some(key), None) => Some(Auth::ApiKey(key?)),
        (.., Some(token)) => Some(Auth::Bearer(token?)),
    }
}

/// A secret, written or in a file; the inner `None` is one with a mistake.
pub(super) fn secret(sink: &mut Reader<'_, '_>, key: &'static str, file_key: &'static str) -> Option<Option<Secret>> {
    let written = sink.string(key);
    let file = sink.string(file_key);
    let remedy = format!("write it as {key} = \"${{VARIABLE}}\", or name a file in {file_key}");
    let (secret, from) = match (written, file) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            sink.refuse_key(key, &format!("is given twice, here and in {file_key}"), "keep one of them");
            return Some(None);
        }
        (Some(written), None) => (Secret::new(written.text.clone()), written.origin()),
        (None, Some(file)) => match std::fs::read_to_string(&file.text) {
            Ok(text) => (Secret::of_file(&file.text, &text), file.origin()),
            Err(error) => {
                sink.refuse(file_key, &file, format!("cannot be read: {error}"), None, None);
                return Some(None);
            }
        },
    };
    sink.record(key, "***", from);
    if !secret.fits_a_header() {
        sink.refuse_key(key, "is empty, or has characters that cannot stand in a header", &remedy);
        return Some(None);
    }
    Some(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<(&str, &str), &str>) {
        check_as(false, text, want);
    }

    #[track_caller]
    fn check_as(is_whole: bool, text: &str, want: Result<(&str, &str), &str>) {
        let got = host(text, (9200, 9201), is_whole);
        assert_eq!(got.as_ref().map(|(host, _)| (&*host.address, &*host.prefix)).map_err(|error| &**error), want, "{text}");
    }

    #[test]
    fn hosts_are_urls_or_addresses() {
        check("http://a", Ok(("a:9200", "")));
        check("http://a:1/", Ok(("a:1", "")));
        check("a:1", Ok(("a:1", "")));
        check("https://a/es", Ok(("a:9201", "/es")));
        check("http://[::1]/es/", Ok(("[::1]:9200", "/es")));
        check("http://[::1]:1/a/b", Ok(("[::1]:1", "/a/b")));
        check("ftp://a", Err("\"ftp\" is neither https nor http"));
        check("http://u:p@a", Err("has a user in it: say who in user and password"));
        check("http://a/?x", Err("the path may have no query and only characters that stand in a URL"));
        check("http://", Err("has no host"));
        check("http://a:0x", Err("the port is not a number from 0 to 65535"));
        check("http://a?x", Err("the path may have no query and only characters that stand in a URL"));
    }

    #[test]
    fn a_whole_url_keeps_its_query_and_its_last_slash() {
        check_as(true, "http://a", Ok(("a:9200", "")));
        check_as(true, "http://a/", Ok(("a:9200", "")));
        check_as(true, "http://a/in/", Ok(("a:9200", "/in/")));
        check_as(true, "https://a/in?x=1&y", Ok(("a:9201", "/in?x=1&y")));
        check_as(true, "http://a:1?x", Ok(("a:1", "/?x")));
        check_as(true, "http://a/#x", Err("the path may have only characters that stand in a URL"));
        assert_eq!(shown("/in?x=1&y"), "/in?***");
    }
}
