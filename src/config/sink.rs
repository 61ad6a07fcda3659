//! `[[sink]]` tables, and the sinks a `--to` asks for.

mod aws;
mod elasticsearch;
mod fallback;
mod http;
mod http_post;
mod lumberjack;
mod tls;
pub mod when;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use crate::config::address::Address;
use crate::config::address::AddressError;
use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::decide::Shared;
use crate::config::decide::decide_name;
use crate::config::mask;
use crate::config::overrides::Given;
use crate::config::overrides::Overrides;
use crate::config::overrides::Target;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::sink::DialPlan;
use crate::sink::FilePlan;
use crate::sink::LogstashTcpPlan;
use crate::sink::Release;
use crate::sink::RotatePlan;
use crate::sink::SinkKind;
use crate::sink::SinkPlan;
use crate::sink::WhenFull;
use crate::units::size_text;

use fallback::Wish;

/// Reads all sinks; complains when there is none. Given ones replace those of the file, which are checked all the same.
pub fn decide_all(root: &mut Reader<'_, '_>, overrides: &Overrides, shared: &mut Shared) -> Vec<SinkPlan> {
    let written = root.has("sink");
    let tables = root.tables("sink");
    if tables.len() > SINKS_MAX || overrides.to.len() > SINKS_MAX {
        root.refuse_key("sink", "too many sinks", "at most 64 are possible");
    }
    let replaced = !overrides.to.is_empty();
    shared.sinks = if replaced { overrides.to.len() } else { tables.len() };
    let mut plans = Vec::new();
    let mut names = Vec::new();
    for (table, span) in tables {
        let sections = root.desk().report.len();
        plans.extend(decide_table(root, table, Place::File(span), shared, &mut names));
        if replaced {
            root.desk().report.cut(sections);
        }
    }
    if replaced {
        return decide_given(root, overrides, shared);
    }
    let plans = fallback::resolve(root, &names, plans);
    if !written {
        let complaint = Complaint::missing(root.place(), "sink", "there is no sink: nothing would be delivered");
        root.desk().complaints.push(complaint.remedy(SNIPPET));
    }
    if !plans.is_empty() && plans.iter().all(|plan| plan.when.is_some()) {
        root.desk().report.warn("every sink has a `when`: documents that none of them selects are delivered nowhere");
    }
    plans
}

fn decide_given(root: &mut Reader<'_, '_>, overrides: &Overrides, shared: &Shared) -> Vec<SinkPlan> {
    let mut plans = Vec::new();
    let mut names = Vec::new();
    for given in &overrides.to {
        let place = Place::Given(given.by.clone());
        let Some(target) = Target::parse(&given.value) else {
            let what = format!("{:?} is nowhere documents can go", mask::value("to", &given.value));
            let complaint = Complaint::wrong(place, "sink", what);
            root.desk().complaints.push(complaint.allowed(Target::ALLOWED));
            continue;
        };
        if has_user(&target) {
            // Before commas divide it: a password may have one.
            let what = format!("{:?} has a user in it", mask::value("to", &given.value));
            let remedy = "say who the relay is in a file: user and password of a [[sink]] that speaks HTTP";
            root.desk().complaints.push(Complaint::wrong(place, "sink", what).remedy(remedy));
            continue;
        }
        let (kind, name) = match target {
            Target::Stdout => ("stdout", "stdout"),
            Target::File(_) => ("file", "file"),
            Target::Logstash(_) => ("logstash_tcp", "logstash"),
            Target::Lumberjack(_) => ("lumberjack", "lumberjack"),
            Target::Elasticsearch(_) => ("elasticsearch", "elasticsearch"),
            Target::LogstashHttp(_) => ("logstash_http", "logstash"),
            Target::Http(_) => ("http", "http"),
        };
        let desk = root.desk();
        desk.report.begin("sink");
        let mut sink = Reader::new(desk, None, place, "sink");
        let mut give = |key, value: &str| sink.give(key, Given { value: value.to_owned(), by: given.by.clone() });
        give("name", &free_name(name, &names));
        give("type", kind);
        match target {
            Target::Stdout => {}
            Target::File(path) => give("path", path),
            Target::Logstash(hosts) | Target::Lumberjack(hosts) | Target::LogstashHttp(hosts) | Target::Http(hosts) => {
                give("hosts", hosts);
            }
            Target::Elasticsearch(url) => {
                // Slashes of a scheme are none of a path.
                let begin = url.rfind("://").map_or(0, |at| at + "://".len());
                let (hosts, index) = url[begin..].rfind('/').map_or((url, ""), |at| (&url[..begin + at], &url[begin + at + 1..]));
                give("hosts", hosts);
                give("index", if index.is_empty() { INDEX } else { index });
            }
        }
        plans.extend(decide_one(sink, shared, &mut names).map(|(plan, _)| plan));
    }
    plans
}

/// Whether hosts have a user before them, and perhaps a password.
fn has_user(target: &Target<'_>) -> bool {
    let (Target::Logstash(hosts)
    | Target::Lumberjack(hosts)
    | Target::LogstashHttp(hosts)
    | Target::Http(hosts)
    | Target::Elasticsearch(hosts)) = target
    else {
        return false;
    };
    let is_path = matches!(target, Target::Http(_));
    let authority = hosts.split_once("://").map_or(*hosts, |(_, rest)| rest);
    authority.split(['/', '?']).take(if is_path { 1 } else { usize::MAX }).any(|part| part.contains('@'))
}

/// `logstash`, `logstash-2`, `logstash-3`…
fn free_name(name: &str, taken: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

fn decide_table<'t>(
    root: &mut Reader<'_, 't>,
    table: &'t DeTable<'t>,
    place: Place,
    shared: &Shared,
    names: &mut Vec<String>,
) -> Option<(SinkPlan, Option<Wish>)> {
    let desk = root.desk();
    desk.report.begin("sink");
    decide_one(Reader::new(desk, Some(table), place, "sink"), shared, names)
}

fn decide_one(mut sink: Reader<'_, '_>, shared: &Shared, names: &mut Vec<String>) -> Option<(SinkPlan, Option<Wish>)> {
    let name = decide_name(&mut sink, names, "\"logstash\"").unwrap_or_default();
    names.push(name.clone());
    sink.desk().report.retitle(format!("[[sink]] {name}"));
    let written = sink.required("type", "\"logstash_tcp\"")?;
    let kinds = [
        ("stdout", Kind::Stdout),
        ("file", Kind::File),
        ("logstash_tcp", Kind::LogstashTcp),
        ("lumberjack", Kind::Lumberjack),
        ("elasticsearch", Kind::Elasticsearch),
        ("logstash_http", Kind::LogstashHttp),
        ("http", Kind::Http),
    ];
    let kind = sink.choose("type", &written, &Words { now: &kinds, later: &[] })?;
    let kind = match kind {
        Kind::Stdout => Some(SinkKind::Stdout),
        Kind::File => decide_file(&mut sink).map(SinkKind::File),
        Kind::LogstashTcp => decide_logstash_tcp(&mut sink, shared).map(SinkKind::LogstashTcp),
        Kind::Lumberjack => lumberjack::decide(&mut sink, shared).map(SinkKind::Lumberjack),
        Kind::Elasticsearch => elasticsearch::decide(&mut sink, shared).map(Box::new).map(SinkKind::Elasticsearch),
        Kind::LogstashHttp => http_post::decide(&mut sink, true, shared).map(Box::new).map(SinkKind::HttpPost),
        Kind::Http => http_post::decide(&mut sink, false, shared).map(Box::new).map(SinkKind::HttpPost),
    };
    let when = when::decide(&mut sink, shared);
    let when_full = decide_when_full(&mut sink, shared);
    sink.belongs(&["path"], "sinks of type \"file\", \"http\" or \"logstash_http\"");
    sink.belongs(&["compression"], "sinks of type \"lumberjack\", \"elasticsearch\", \"http\" or \"logstash_http\"");
    sink.belongs(
        &CONNECTION_KEYS,
        "sinks of type \"logstash_tcp\", \"lumberjack\", \"elasticsearch\", \"http\" or \"logstash_http\"",
    );
    sink.belongs(&FILE_KEYS, "sinks of type \"file\"");
    sink.belongs(&LOGSTASH_TCP_KEYS, "sinks of type \"logstash_tcp\"");
    sink.belongs(&lumberjack::KEYS, "sinks of type \"lumberjack\"");
    sink.belongs(&elasticsearch::KEYS, "sinks of type \"elasticsearch\"");
    sink.belongs(&http_post::KEYS, "sinks of type \"http\" or \"logstash_http\"");
    sink.belongs(&http_post::REQUEST_KEYS, "sinks that speak HTTP");
    sink.belongs(&http::HTTP_KEYS, "sinks that speak HTTP");
    sink.belongs(&["tls"], "sinks that connect to somebody");
    let wish = fallback::decide(&mut sink);
    sink.finish();
    Some((SinkPlan { name, kind: kind?, fallback: None, when, when_full }, wish))
}

fn decide_when_full(sink: &mut Reader<'_, '_>, shared: &Shared) -> WhenFull {
    let words = WhenFull::ALL.map(|word| (word.label(), word));
    let when_full = sink.one_of("when_full", &Words { now: &words, later: &[] }, ("block", WhenFull::Block));
    if when_full == WhenFull::DeadLetter && !shared.keeps_dead_letters {
        let remedy = "write data_dir = \"/var/lib/elbow\" at the top of the file, or when_full = \"drop_oldest\"";
        sink.refuse_key("when_full", "dead letters are kept on disk, and there is no data_dir", remedy);
    }
    when_full
}

#[derive(Clone, Copy)]
enum Kind {
    Stdout,
    File,
    LogstashTcp,
    Lumberjack,
    Elasticsearch,
    LogstashHttp,
    Http,
}

fn decide_file(sink: &mut Reader<'_, '_>) -> Option<FilePlan> {
    let path = sink.required("path", "\"/var/log/elbow/documents.json\"");
    if let Some(written) = &path {
        if written.text.is_empty() || written.text.ends_with('/') || written.text.contains('\0') {
            sink.refuse("path", written, "not the path of a file", None, None);
        }
        sink.record("path", written.text.clone(), written.origin());
    }
    let rotate_bytes = sink.size("rotate_bytes", ROTATE_BYTES, 100 << 20, Origin::Default);
    let rotate_interval = sink.duration_or_off("rotate_interval", ROTATE_INTERVAL, Duration::from_secs(3_600));
    let keep = sink.integer("keep", 1..=100_000, 10);
    Some(FilePlan { path: PathBuf::from(path?.text), rotate_bytes, rotate_interval, keep })
}

fn decide_logstash_tcp(sink: &mut Reader<'_, '_>, shared: &Shared) -> Option<LogstashTcpPlan> {
    let hosts = decide_hosts(sink);
    let connect_timeout = sink.duration("connect_timeout", SECONDS_TO_MINUTES, Duration::from_secs(10));
    let words = [("socket", false), ("rotate", true)];
    let is_rotate = sink.one_of("release", &Words { now: &words, later: &[] }, ("socket", false));
    let release = if is_rotate { decide_rotate(sink, shared) } else { decide_socket(sink, shared) };
    let user_timeout = sink.duration("user_timeout", USER_TIMEOUT, Duration::from_secs(300));
    let dial = DialPlan { connect_timeout, user_timeout, tls: tls::decide(sink, false) };
    Some(LogstashTcpPlan { hosts: hosts?, dial, release })
}

fn decide_rotate(sink: &mut Reader<'_, '_>, shared: &Shared) -> Release {
    let most = (shared.held_bytes(0) as u64 / RotatePlan::BATCHES_MAX).max(64 << 10);
    let is_written = sink.has("batch_bytes");
    let mut bytes = sink.size("batch_bytes", 64 << 10..=1 << 30, 8 << 20, Origin::Default);
    if bytes > most {
        // Documents that a destination does not take must leave room for reading.
        bytes = most;
        if is_written {
            let what = format!(
                "batch_bytes is taken as {}, so that four batches fit into this sink's part of the memory",
                size_text(most)
            );
            sink.desk().report.warn(what);
        }
    }
    let events = sink.integer("batch_events", 1..=1_000_000, 20_000);
    let interval = sink.duration("batch_interval", BATCH_INTERVAL, Duration::from_secs(5));
    let end_timeout = sink.duration("end_timeout", END_TIMEOUT, Duration::from_secs(300));
    sink.belongs(&SOCKET_KEYS, "release = \"socket\"");
    Release::Rotate(RotatePlan { bytes, events: u64::from(events), interval, end_timeout })
}

fn decide_socket(sink: &mut Reader<'_, '_>, shared: &Shared) -> Release {
    let settle = sink.duration("settle", SETTLE, Duration::from_secs(2));
    let default = RESEND_BYTES.min(shared.buffer_bytes_max);
    let from = if default == RESEND_BYTES { Origin::Default } else { Origin::Derived("all of buffer.max_bytes") };
    let resend_bytes = sink.size("resend_bytes", 1 << 16..=1 << 40, default, from);
    if resend_bytes > shared.buffer_bytes_max {
        let what = "more than the buffer holds: what may be sent again is kept in the buffer";
        sink.refuse_key("resend_bytes", what, "lower it, or raise max_bytes in [buffer]");
    }
    sink.belongs(&ROTATE_KEYS, "release = \"rotate\"");
    Release::Socket { settle, resend_bytes }
}

fn decide_hosts(sink: &mut Reader<'_, '_>) -> Option<Vec<String>> {
    if !sink.has("hosts") {
        // Complains that it is missing.
        sink.required("hosts", "[\"logstash.example:5000\"]");
        return None;
    }
    let hosts = sink.strings("hosts")?;
    if hosts.is_empty() || hosts.len() > HOSTS_MAX {
        sink.refuse_key("hosts", "needs between 1 and 64 hosts", "add one, such as \"logstash.example:5000\"");
        return None;
    }
    let mut seen: Vec<&str> = Vec::new();
    for written in &hosts {
        check_host(sink, written);
        if seen.contains(&written.text.as_str()) {
            sink.refuse("hosts", written, "named twice", None, None);
        }
        seen.push(&written.text);
    }
    let list: Vec<String> = hosts.iter().map(|written| written.text.clone()).collect();
    let from = hosts.first().map_or(Origin::Default, Written::origin);
    sink.record("hosts", list.join(", "), from);
    Some(list)
}

fn check_host(sink: &mut Reader<'_, '_>, written: &Written) {
    let example = "host:port, such as \"logstash.example:5000\"".to_owned();
    if let Some((scheme, _)) = written.text.split_once("://") {
        // Whoever writes a password there has no scheme of letters.
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let remedy =
            if is_scheme { format!("leave out {scheme}://") } else { "leave out what stands before the host".to_owned() };
        sink.refuse("hosts", written, "is a URL", Some(example), Some(remedy));
        return;
    }
    let error = match Address::parse(&written.text) {
        Ok(Address { port: 0, .. }) => AddressError::Port,
        Ok(_) => return,
        Err(error) => error,
    };
    sink.refuse("hosts", written, error, Some(example), None);
}

/// Keys of every sink that connects to somebody.
const CONNECTION_KEYS: [&str; 3] = ["hosts", "connect_timeout", "user_timeout"];
const FILE_KEYS: [&str; 4] = ["path", "rotate_bytes", "rotate_interval", "keep"];
const LOGSTASH_TCP_KEYS: [&str; 7] =
    ["release", SOCKET_KEYS[0], SOCKET_KEYS[1], ROTATE_KEYS[0], ROTATE_KEYS[1], ROTATE_KEYS[2], ROTATE_KEYS[3]];
const SOCKET_KEYS: [&str; 2] = ["settle", "resend_bytes"];
const ROTATE_KEYS: [&str; 4] = ["batch_bytes", "batch_events", "batch_interval", "end_timeout"];

const ROTATE_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
const ROTATE_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
const SECONDS_TO_MINUTES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// Below, a peer's kernel would be trusted as fast as it answers; above, the resend window only grows.
const SETTLE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// Below, connections come and go for a handful of documents; above, what is sent again after a break only grows.
const BATCH_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// A peer that is held back by its own destinations ends late, and everything sent again meanwhile makes that worse.
const END_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

/// The kernel applies it to a peer that lives with its window shut, so seconds would cut back-pressure short.
const USER_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(3_600);

/// Five times the usual maximum of a receive buffer (`tcp_rmem`, 6 MiB).
const RESEND_BYTES: u64 = 32 << 20;

/// Each is a set of metric series and a cursor in the buffer.
const SINKS_MAX: usize = 64;
const HOSTS_MAX: usize = 64;

/// The index of a `--to` that names none.
const INDEX: &str = "elb-%Y.%m.%d";

const SNIPPET: &str = "add one, for instance:
[[sink]]
name = \"logstash\"
type = \"logstash_tcp\"
hosts = [\"logstash.example:5000\"]";
