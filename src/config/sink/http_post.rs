//! `[[sink]]` tables of types `logstash_http` and `http`.

use std::ops::Range;

use hyper::Method;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::decide::Shared;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::sink::BodyFormat;
use crate::sink::HttpPostPlan;
use crate::sink::PacePlan;

use super::http;

/// Keys that only these sinks have.
pub(super) const KEYS: [&str; 5] = ["path", "method", "body", "headers", "request_events"];

/// Keys that they share with Elasticsearch's.
pub(super) const REQUEST_KEYS: [&str; 3] = ["compression", "request_bytes", "concurrency"];

/// The port of Logstash's `http` input.
const LOGSTASH_PORT: u16 = 8080;

/// Reads one.
pub(super) fn decide(sink: &mut Reader<'_, '_>, is_logstash: bool, shared: &Shared) -> Option<HttpPostPlan> {
    let ports = if is_logstash { (LOGSTASH_PORT, LOGSTASH_PORT) } else { (80, 443) };
    let http = http::decide(sink, ports, !sink.has("path"));
    let target = decide_path(sink);
    let methods = [("POST", false), ("PUT", true)];
    let is_put = sink.one_of("method", &Words { now: &methods, later: &[] }, ("POST", false));
    let bodies = [("array", BodyFormat::Array), ("lines", BodyFormat::Lines)];
    let default = if is_logstash { bodies[0] } else { bodies[1] };
    let format = sink.one_of("body", &Words { now: &bodies, later: &[] }, default);
    let headers = decide_headers(sink);
    let words = [("none", false), ("gzip", true)];
    let gzip = sink.one_of("compression", &Words { now: &words, later: &[] }, ("none", false));
    let bytes = sink.size("request_bytes", 1 << 10..=100 << 20, 1 << 20, Origin::Default);
    let events = sink.integer("request_events", 1..=20_000, 2_000);
    let concurrency = sink.integer("concurrency", 1..=64, 1);
    let bytes = usize::try_from(bytes).expect("its range ends far below");
    let events_max = usize::try_from(events).expect("its range ends far below");
    let concurrency = usize::try_from(concurrency).expect("its range ends far below");
    let http = http.zip(headers).map(|(http, headers)| crate::sink::HttpPlan { headers, ..http });
    Some(HttpPostPlan {
        is_logstash,
        http: http?,
        method: if is_put { Method::PUT } else { Method::POST },
        target: target?,
        format,
        gzip,
        pace: PacePlan { bytes, concurrency, held_bytes: shared.held_bytes(bytes) },
        events_max,
    })
}

/// Path and query; empty where there is none.
fn decide_path(sink: &mut Reader<'_, '_>) -> Option<String> {
    let Some(written) = sink.string("path") else { return Some(String::new()) };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    if !written.text.starts_with('/') || !written.text.bytes().all(is_plain) {
        let allowed = "a path that begins with a slash, with a query if need be, such as \"/ingest?kind=elb\"".to_owned();
        sink.refuse("path", &written, "not a path", Some(allowed), None);
        return None;
    }
    sink.record("path", http::shown(&written.text), written.origin());
    Some(written.text)
}

fn decide_headers(sink: &mut Reader<'_, '_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    let entries = sink.entries("headers");
    let wanted = entries.len();
    for (name, value) in entries {
        let key = format!("headers.{name}");
        let span = value.span();
        let written = match value.get_ref() {
            DeValue::String(text) => sink.complete(&key, text, span.clone()),
            DeValue::Table(table) => from_file(sink, &key, table, span.clone()),
            other => {
                sink.wrong_type(&key, span.clone(), "a string or a table with file", other);
                None
            }
        };
        let Some(written) = written else { continue };
        let at = sink.bare(name.to_owned(), span);
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            sink.refuse(&key, &at, "not a header's name", None, None);
            continue;
        };
        if OURS.contains(&header.as_str()) {
            sink.refuse(&key, &at, "is written by the relay itself", None, Some("remove it".to_owned()));
            continue;
        }
        let Ok(mut value) = HeaderValue::from_str(&written.text) else {
            sink.refuse(&key, &at, "has a character that cannot stand in a header", None, None);
            continue;
        };
        value.set_sensitive(true);
        sink.record(&key, "***", written.origin());
        headers.push((header, value));
    }
    (headers.len() == wanted).then_some(headers)
}

/// A value that is in a file: `{ file = "PATH" }`.
fn from_file<'t>(sink: &mut Reader<'_, 't>, key: &str, table: &'t DeTable<'t>, span: Range<usize>) -> Option<Written> {
    let at = sink.bare(String::new(), span.clone());
    let file = table.get("file").map(Spanned::get_ref);
    let (Some(DeValue::String(path)), 1) = (file, table.len()) else {
        sink.refuse(key, &at, "needs a file and nothing else", Some("{ file = \"/run/secrets/token\" }".to_owned()), None);
        return None;
    };
    let path = sink.complete(key, path, span.clone())?;
    match std::fs::read_to_string(&path.text) {
        Ok(text) => Some(sink.bare(text.trim_end_matches(['\r', '\n']).to_owned(), span)),
        Err(error) => {
            sink.refuse(key, &at, format!("{:?} cannot be read: {error}", path.text), None, None);
            None
        }
    }
}

/// Headers that say what a request is.
const OURS: [&str; 9] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
];
