//! Rules of the house that the compiler does not hold: which module may know which, and what may not be left lying about.
//!
//! It reads the source tree as text and knows just enough Rust to tell code from comments, literals and tests. It refuses
//! to judge taste. Every complaint names a file, a line and what to do; every rule is tried here on a planted violation.

use std::fs;
use std::path::Path;

/// The floors, lowest first, and the modules of `src/` that stand on each. Imports point down.
const FLOORS: &[(&str, &[&str])] = &[
    (
        "ground",
        &[
            "units",
            "seq",
            "tally",
            "batch",
            "event_id",
            "time",
            "backoff",
            "framing",
            "elb",
            "json",
            "enrich",
            "redact",
            "secret",
            "wire",
            "value_test",
            "select",
        ],
    ),
    ("buffer", &["buffer"]),
    ("hand-off", &["process", "metrics", "peer", "stop", "intake", "waiting", "tenant"]),
    ("io", &["net", "source", "sink"]),
    ("pipeline", &["pipeline"]),
    ("top", &["config", "cli"]),
];

/// The siblings a module may use on its own floor. An entry that nothing needs any more fails as well.
const SIBLINGS: &[(&str, &[&str])] = &[
    ("batch", &["json"]),
    ("cli", &["config"]),
    ("elb", &["batch", "enrich", "json", "redact", "time", "value_test"]),
    ("event_id", &["batch"]),
    ("json", &["batch", "enrich", "time"]),
    ("metrics", &["process"]),
    ("select", &["batch", "json", "value_test"]),
    ("sink", &["net"]),
    ("source", &["net"]),
    ("tally", &["batch", "elb", "redact"]),
    ("tenant", &["intake", "metrics", "peer"]),
    ("time", &["batch"]),
    ("wire", &["batch", "json", "redact", "secret", "seq", "time"]),
];

/// Lower floors a module must not know although they are below it.
const STRANGERS: &[(&str, &str, &str)] = &[
    ("source", "elb", "a source hands lines on and knows nothing of their format"),
    ("source", "enrich", "a source hands lines on and knows nothing of their fields"),
    ("sink", "elb", "a sink sends finished documents and knows nothing of log formats"),
    ("sink", "framing", "a sink sends finished documents and knows nothing of how they came in"),
];

/// What the ground does not have: everything that makes a function answer differently the second time.
const NOT_ON_THE_GROUND: &[(&str, &str)] = &[
    ("tokio", "move the waiting up and leave a function over bytes here"),
    ("std::fs", "take bytes as an argument"),
    ("std::net", "take bytes as an argument; an address is `core::net::IpAddr`"),
    ("std::env", "take the value as an argument"),
    ("SystemTime", "take the time as an argument"),
    ("Instant::now", "take the time as an argument"),
    ("tracing", "return what happened; the caller says it"),
    ("rand", "take the random number as an argument"),
    ("getrandom", "take the random number as an argument"),
    ("fastrand", "take the random number as an argument"),
];

/// Where files may be opened: a file, or a folder with its closing slash, and why.
const OPENS_FILES: &[(&str, &str)] = &[
    ("src/buffer/disk.rs", "the one place that touches data files"),
    ("src/sink/file.rs", "the file sink"),
    ("src/sink/stdout.rs", "standard output as a file, unbuffered"),
    ("src/sink/http/auth.rs", "reads a password, key or token again that a server does not take any more"),
    ("src/sink/http/auth/role.rs", "reads the token of a container's role, which is replaced now and then"),
    ("src/pipeline/lookups.rs", "the tables and databases that lines are looked up in"),
    ("src/pipeline/tenancy.rs", "the files with the tenants' tokens"),
    ("src/net/tls/files.rs", "reads certificates and keys"),
    ("src/process.rs", "reads the process's own figures from /proc"),
    ("src/config/", "reads the configuration and the secrets it names"),
    ("src/cli/", "reads the lines and files named on the command line"),
];

/// Where `unsafe` may stand, and why.
const UNSAFE: &[(&str, &str)] = &[("src/net/outq.rs", "no crate offers SIOCOUTQ as a safe call")];

/// Files longer than [`LINES_MAX`] before their tests that are one thing all the same, and why.
const LONG: &[(&str, &str)] = &[];

const LINES_MAX: usize = 400;

/// Words that mean somebody meant to come back. Written in halves, because this file is read too.
const LEFT_BEHIND: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("HA", "CK")];

/// The folders that are read; everything else beside the root's own files is none of ours.
const FOLDERS: &[&str] = &["src", "tests", "benches", "fuzz", "docs", "deploy", "dashboards", "scripts", ".ci"];

/// Folders inside those that hold what tools made, or data.
const NOT_OURS: &[&str] = &["tests/data", "fuzz/target", "fuzz/corpus", "fuzz/artifacts"];

#[test]
fn imports_point_down() {
    report(&each_source(complain_of_imports));
}

#[test]
fn every_module_has_a_floor_and_every_permission_a_use() {
    let sources = rust_sources();
    let mut complaints = Vec::new();
    for source in &sources {
        complain_of_homelessness(source, &mut complaints);
    }
    complain_of_unused_permissions(&sources, &mut complaints);
    report(&complaints);
}

#[test]
fn the_ground_has_no_clock_no_files_and_no_sockets() {
    report(&each_source(complain_of_ground));
}

#[test]
fn files_and_unsafe_code_stay_where_they_belong() {
    report(&each_source(complain_of_places));
}

#[test]
fn nothing_unwraps_outside_tests() {
    report(&each_source(complain_of_unwrap));
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    report(&each_source(complain_of_shape));
}

#[test]
fn links_lead_somewhere() {
    let mut complaints = Vec::new();
    for (path, text) in tree().iter().filter(|(path, _)| path.ends_with(".md")) {
        complain_of_links(path, text, &|target| root().join(target).exists(), &mut complaints);
    }
    report(&complaints);
}

#[test]
fn every_decision_is_dated_and_in_the_index() {
    let tree = tree();
    let pages: Vec<&str> = tree.iter().filter_map(|(path, _)| path.strip_prefix("docs/decisions/")).collect();
    let index = tree.iter().find(|(path, _)| path == "docs/decisions/README.md").map_or("", |(_, text)| text.as_str());
    let mut complaints = Vec::new();
    complain_of_decisions(&pages, index, &mut complaints);
    report(&complaints);
}

#[test]
fn nothing_is_left_for_later() {
    let mut complaints = Vec::new();
    for (path, text) in tree() {
        complain_of_leftovers(&path, &text, &mut complaints);
    }
    report(&complaints);
}

#[track_caller]
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// A Rust file, and the same text with everything blanked that is not code. All three have the same offsets.
struct Source {
    path: String,
    text: String,
    code: String,
    shipped: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = without_comments_and_literals(text);
        let shipped = if path.ends_with("/tests.rs") { blank(&code, 0, code.len()) } else { without_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    /// The module path below the crate: `elb, alb` for `src/elb/alb.rs`; none for the crate's root and outside `src/`.
    fn module(&self) -> Vec<&str> {
        let Some(path) = self.path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")) else { return Vec::new() };
        let mut names: Vec<&str> = path.split('/').collect();
        if matches!(names.last(), Some(&"mod" | &"lib" | &"main")) {
            names.pop();
        }
        names
    }

    fn complaint(&self, at: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, self.code[..at].matches('\n').count() + 1)
    }

    /// The modules of this crate that are named here: where, and the name below `crate`.
    fn modules_used(&self) -> Vec<(usize, String)> {
        let own = self.module();
        let mut used = Vec::new();
        for (at, path) in paths(&self.code).into_iter().filter(|_| !own.is_empty()) {
            let names: Vec<&str> = path.split("::").collect();
            let climbs = names.iter().take_while(|name| **name == "super").count();
            let in_tests = usize::from(self.code.as_bytes()[at] != self.shipped.as_bytes()[at]);
            let name = match names[0] {
                "crate" => names.get(1),
                "super" if climbs == own.len() + in_tests => names.get(climbs),
                _ => None,
            };
            used.extend(name.map(|name| (at, (*name).to_owned())));
        }
        used
    }
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

fn complain_of_imports(source: &Source, complaints: &mut Vec<String>) {
    let Some(own) = source.module().first().copied().map(str::to_owned) else { return };
    let Some(floor) = floor_of(&own) else { return };
    for (at, name) in source.modules_used() {
        let Some(other) = floor_of(&name) else {
            let what =
                format!("`crate::{name}` is on no floor: add it to FLOORS in tests/tidy.rs, or name the module it lives in");
            complaints.push(source.complaint(at, &what));
            continue;
        };
        let (here, there) = (FLOORS[floor].0, FLOORS[other].0);
        let listed = SIBLINGS.iter().any(|(module, siblings)| *module == own && siblings.contains(&name.as_str()));
        if other > floor {
            let what =
                format!("{own} ({here}) uses {name} ({there}), which is above it: pass in what it needs, or move the code up");
            complaints.push(source.complaint(at, &what));
        } else if other == floor && name != own && !listed {
            let what = format!("{own} uses its sibling {name}: do without, or list it under SIBLINGS in tests/tidy.rs");
            complaints.push(source.complaint(at, &what));
        }
        for (_, _, why) in STRANGERS.iter().filter(|(module, stranger, _)| *module == own && *stranger == name) {
            complaints.push(source.complaint(at, &format!("{own} must not use {name}: {why}")));
        }
    }
    for (at, _) in source.code.match_indices("crate::{") {
        complaints.push(source.complaint(at, "`crate::{` hides what is used: write one `use` per module"));
    }
}

fn complain_of_homelessness(source: &Source, complaints: &mut Vec<String>) {
    if let Some(name) = source.module().first().filter(|name| floor_of(name).is_none()) {
        complaints.push(source.complaint(0, &format!("module {name} is on no floor: add it to FLOORS in tests/tidy.rs")));
    }
}

/// A permission for a module that does not exist yet may wait for it.
fn complain_of_unused_permissions(sources: &[Source], complaints: &mut Vec<String>) {
    let uses = |module: &str, name: &str| {
        let mut own = sources.iter().filter(|source| source.module().first() == Some(&module)).peekable();
        own.peek().is_none() || own.any(|source| source.modules_used().iter().any(|(_, used)| used == name))
    };
    for (module, siblings) in SIBLINGS {
        for sibling in siblings.iter().filter(|sibling| !uses(module, sibling)) {
            complaints.push(format!("tests/tidy.rs: {module} does not use {sibling} any more: take it out of SIBLINGS"));
        }
    }
}

fn complain_of_ground(source: &Source, complaints: &mut Vec<String>) {
    if source.module().first().and_then(|name| floor_of(name)) != Some(0) {
        return;
    }
    for (at, path) in paths(&source.shipped) {
        for (_, remedy) in NOT_ON_THE_GROUND.iter().filter(|(name, _)| mentions(&path, name)) {
            complaints.push(source.complaint(at, &format!("the ground has no `{path}`: {remedy}")));
        }
    }
}

fn complain_of_places(source: &Source, complaints: &mut Vec<String>) {
    let listed = |places: &[(&str, &str)]| {
        places.iter().any(|(place, _)| source.path == *place || place.ends_with('/') && source.path.starts_with(place))
    };
    for (at, path) in paths(&source.code) {
        let shipped = source.path.starts_with("src/") && !source.shipped[at..].starts_with(char::is_whitespace);
        if shipped && (mentions(&path, "std::fs") || mentions(&path, "tokio::fs")) && !listed(OPENS_FILES) {
            let what = "only the files under OPENS_FILES in tests/tidy.rs open files: take what you need as an argument";
            complaints.push(source.complaint(at, what));
        }
        if path == "unsafe" && !listed(UNSAFE) {
            complaints.push(source.complaint(at, "`unsafe` has one home, src/net/outq.rs: find the safe way"));
        }
    }
}

fn complain_of_unwrap(source: &Source, complaints: &mut Vec<String>) {
    if source.path.starts_with("src/") {
        for (at, _) in source.shipped.match_indices(".unwrap()") {
            complaints.push(source.complaint(at, "`unwrap()` outside tests: return the error, or `expect` the invariant"));
        }
    }
}

fn complain_of_shape(source: &Source, complaints: &mut Vec<String>) {
    if !source.text.starts_with("//!") {
        complaints.push(source.complaint(0, "open with `//!`: what the file is, and what it refuses to be"));
    }
    let tests = source.code.match_indices("#[cfg(test)]").find(|(at, mark)| {
        let rest = source.code[at + mark.len()..].trim_start();
        rest.starts_with("mod ")
    });
    let lines = source.code[..tests.map_or(source.code.len(), |(at, _)| at)].lines().count();
    let listed = LONG.iter().any(|(path, _)| *path == source.path);
    let shipped = source.path.starts_with("src/") && !source.path.ends_with("/tests.rs");
    if shipped && lines > LINES_MAX && !listed {
        let what =
            format!("{lines} lines before the tests, {LINES_MAX} at most: look for the second thing in it, or list it in LONG");
        complaints.push(source.complaint(0, &what));
    } else if listed && lines <= LINES_MAX {
        complaints.push(source.complaint(0, "short again: take it out of LONG in tests/tidy.rs"));
    }
}

fn complain_of_links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool, complaints: &mut Vec<String>) {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        for part in line.split("](").skip(1).filter(|_| !fenced) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !exists(format!("{folder}/{target}").trim_start_matches('/')) {
                complaints.push(format!("{path}:{}: the link to {target} leads nowhere: mend or remove it", number + 1));
            }
        }
    }
}

fn complain_of_decisions(pages: &[&str], index: &str, complaints: &mut Vec<String>) {
    for page in pages.iter().filter(|page| **page != "README.md") {
        let date: Vec<&str> = page.splitn(4, '-').collect();
        let widths: Vec<usize> = date.iter().take(3).map(|part| part.len()).collect();
        if date.len() < 4 || widths != [4, 2, 2] || !date[..3].concat().bytes().all(|byte| byte.is_ascii_digit()) {
            complaints.push(format!("docs/decisions/{page}: name it YYYY-MM-DD-subject.md, by the day it was decided"));
        }
        if !index.contains(page) {
            complaints.push(format!("docs/decisions/{page}: add it to docs/decisions/README.md"));
        }
    }
}

fn complain_of_leftovers(path: &str, text: &str, complaints: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        for word in line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| LEFT_BEHIND.contains(word)) {
            complaints.push(format!("{path}:{}: {word} is left behind: do it now, or open an issue", number + 1));
        }
    }
}

/// Whether `name` stands in `path` as whole names in a row.
fn mentions(path: &str, name: &str) -> bool {
    format!("::{path}::").contains(&format!("::{name}::"))
}

/// Every path in the code with its offset, `use` groups written out: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<(usize, String)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        at = if is_name(bytes[at]) { read_path(code, at, "", &mut found) } else { at + 1 };
    }
    found
}

fn read_path(code: &str, start: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let bytes = code.as_bytes();
    let mut path = prefix.to_owned();
    let mut at = start;
    loop {
        let end = bytes[at..].iter().position(|byte| !is_name(*byte)).map_or(bytes.len(), |length| at + length);
        path.push_str(&code[at..end]);
        let rest = &bytes[end..];
        if rest.starts_with(b"::{") {
            at = end + 3;
            path.push_str("::");
            while at < bytes.len() && bytes[at] != b'}' {
                at = if is_name(bytes[at]) { read_path(code, at, &path, found) } else { at + 1 };
            }
            return at + 1;
        }
        if !rest.starts_with(b"::") || !rest.get(2).is_some_and(|byte| is_name(*byte)) {
            found.push((start, path));
            return end;
        }
        path.push_str("::");
        at = end + 2;
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The same text with comments, strings and characters turned into spaces.
fn without_comments_and_literals(text: &str) -> String {
    let mut code = text.to_owned();
    let mut at = 0;
    while at < text.len() {
        let end = end_of_non_code(text, at);
        if end > at {
            code = blank(&code, at, end);
        }
        at = end.max(at + 1);
    }
    code
}

/// Where the comment or literal that starts at `at` ends; `at` itself where none starts.
fn end_of_non_code(text: &str, at: usize) -> usize {
    let Some(rest) = text.get(at..) else { return at };
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(text.len(), |found| at + from + found + end.len());
    let hashes = rest.trim_start_matches('r').bytes().take_while(|byte| *byte == b'#').count();
    if rest.starts_with("//") {
        rest.find('\n').map_or(text.len(), |line| at + line)
    } else if rest.starts_with("/*") {
        until(2, "*/")
    } else if rest.starts_with('r') && rest[1 + hashes..].starts_with('"') {
        until(2 + hashes, &format!("\"{}", "#".repeat(hashes)))
    } else if rest.starts_with('"') {
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        end.map_or(text.len(), |end| at + end + 2)
    } else if rest.starts_with("'\\") {
        until(3, "'")
    } else if rest.starts_with('\'') && rest.chars().nth(2) == Some('\'') {
        until(1 + rest[1..].chars().next().map_or(0, char::len_utf8), "'")
    } else {
        at
    }
}

/// The same code with every item behind `#[cfg(test)]` turned into spaces.
fn without_tests(code: &str) -> String {
    let mut shipped = code.to_owned();
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let (mut round, mut braces) = (0_i32, 0_i32);
        let length = code[start + mark.len()..].bytes().position(|byte| {
            round += i32::from(matches!(byte, b'(' | b'[')) - i32::from(matches!(byte, b')' | b']'));
            braces += i32::from(byte == b'{') - i32::from(byte == b'}');
            round == 0 && braces <= 0 && matches!(byte, b'}' | b';')
        });
        shipped = blank(&shipped, start, length.map_or(code.len(), |length| start + mark.len() + length + 1));
    }
    shipped
}

/// The same text, as long as before, with the bytes of one range turned into spaces; lines stay lines.
fn blank(text: &str, start: usize, end: usize) -> String {
    let spaces: String = text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    format!("{}{spaces}{}", &text[..start], &text[end..])
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file that is ours, as its path from the root with `/` and its content.
fn tree() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<String> = FOLDERS.iter().map(|folder| (*folder).to_owned()).collect();
    folders.push(String::new());
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.expect("a folder of ours is readable");
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy()).trim_start_matches('/').to_owned();
            if entry.path().is_dir() {
                // The root's folders are those of FOLDERS and no others.
                folders.extend(Some(path).filter(|path| !folder.is_empty() && !NOT_OURS.contains(&path.as_str())));
            } else if let (false, Ok(text)) = (path.ends_with(".lock"), fs::read_to_string(entry.path())) {
                files.push((path, text));
            }
        }
    }
    files.sort();
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the tree is read from the package's folder");
    files
}

fn rust_sources() -> Vec<Source> {
    let tree = tree();
    tree.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| Source::new(path, text)).collect()
}

fn each_source(complain: fn(&Source, &mut Vec<String>)) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in rust_sources() {
        complain(&source, &mut complaints);
    }
    complaints
}

mod planted {
    //! Each rule on a violation made for it, and on its innocent twin.

    use super::*;

    /// Complaints about one made-up file: exactly one that contains `want`, or none where `want` is empty.
    #[track_caller]
    fn check(complain: fn(&Source, &mut Vec<String>), path: &str, text: &str, want: &str) {
        let mut complaints = Vec::new();
        complain(&Source::new(path, text), &mut complaints);
        let good = if want.is_empty() { complaints.is_empty() } else { complaints.len() == 1 && complaints[0].contains(want) };
        assert!(good, "wanted {want:?}, got {complaints:#?}");
    }

    #[test]
    fn an_import_that_points_up_is_seen() {
        let above = "src/elb/alb.rs:2: elb (ground) uses buffer (buffer), which is above it";
        check(complain_of_imports, "src/elb/alb.rs", "//! A\nuse crate::buffer::Entry;", above);
        check(complain_of_imports, "src/elb/alb.rs", "\nfn f(e: &crate::buffer::Entry) {}", above);
        check(complain_of_imports, "src/elb/alb.rs", "\nuse super::super::buffer::Entry;", above);
        check(complain_of_imports, "src/units.rs", "use super::config;", "config (top)");
        check(complain_of_imports, "src/units.rs", "#[cfg(test)]\nmod tests { use super::super::cli; }", "units.rs:2");
        check(complain_of_imports, "src/config/plan.rs", "use crate::sink::SinkPlan;", "");
        check(complain_of_imports, "src/units.rs", "mod x; use self::x::Y; #[cfg(test)] mod tests { use super::x; }", "");
        check(complain_of_imports, "src/main.rs", "use crate::cli;", "");
    }

    #[test]
    fn an_unlisted_sibling_is_seen() {
        check(complain_of_imports, "src/framing/mod.rs", "use crate::elb::parse;", "its sibling elb");
        check(complain_of_imports, "src/elb/mod.rs", "use crate::json::writer::Writer;", "");
        check(complain_of_imports, "src/elb/alb.rs", "use crate::elb::tokens;", "");
    }

    #[test]
    fn strangers_strays_and_groups_are_seen() {
        check(complain_of_imports, "src/source/tcp.rs", "use crate::elb::parse;", "source must not use elb");
        check(complain_of_imports, "src/source/tcp.rs", "use crate::cellar::Wine;", "`crate::cellar` is on no floor");
        check(complain_of_imports, "src/cli/run.rs", "use crate::{config, stop};", "one `use` per module");
        check(complain_of_homelessness, "src/cellar/mod.rs", "//! A", "module cellar is on no floor");
        check(complain_of_homelessness, "src/buffer/mod.rs", "//! A", "");
    }

    #[test]
    fn a_permission_without_use_is_seen() {
        let mut complaints = Vec::new();
        complain_of_unused_permissions(&[Source::new("src/time.rs", "use std::io;")], &mut complaints);
        assert_eq!(complaints, ["tests/tidy.rs: time does not use batch any more: take it out of SIBLINGS"]);
        complaints.clear();
        complain_of_unused_permissions(&[Source::new("src/time.rs", "use crate::batch::Micros;")], &mut complaints);
        assert_eq!(complaints, [""; 0]);
    }

    #[test]
    fn the_tables_agree_with_each_other() {
        for (module, siblings) in SIBLINGS {
            for sibling in *siblings {
                assert!(floor_of(module).is_some() && floor_of(module) == floor_of(sibling), "{module} and {sibling}");
            }
        }
        for (module, stranger, _) in STRANGERS {
            assert!(floor_of(module) > floor_of(stranger), "{stranger} is not below {module}");
        }
    }

    #[test]
    fn clocks_files_and_sockets_on_the_ground_are_seen() {
        for code in [
            "use tokio::time::sleep;",
            "fn f() { std::fs::read(p); }",
            "use std::{fs, io};",
            "use std::net::TcpStream;",
            "use std::time::{Duration, SystemTime};",
            "fn f() { let now = std::time::Instant::now(); }",
            "fn f() { tracing::warn!(\"lost\"); }",
            "fn f() { rand::random::<u8>(); }",
        ] {
            check(complain_of_ground, "src/backoff.rs", code, "src/backoff.rs:1: the ground has no");
            check(complain_of_ground, "src/backoff.rs", &format!("#[cfg(test)]\nmod tests {{ {code} }}"), "");
            check(complain_of_ground, "src/backoff.rs", &format!("// {code}\n"), "");
        }
        check(complain_of_ground, "src/backoff.rs", "use std::time::Instant; use core::net::IpAddr; let operand = 1;", "");
        check(complain_of_ground, "src/source/tcp.rs", "use tokio::net::TcpStream;", "");
    }

    #[test]
    fn files_and_unsafe_code_out_of_place_are_seen() {
        let files = "src/net/tls.rs:1: only the files under OPENS_FILES";
        check(complain_of_places, "src/net/tls.rs", "use std::fs::File;", files);
        check(complain_of_places, "src/net/tls.rs", "use tokio::fs;", files);
        check(complain_of_places, "src/net/tls.rs", "#[cfg(test)]\nuse std::fs;", "");
        check(complain_of_places, "src/config/raw.rs", "use std::fs;", "");
        check(complain_of_places, "tests/e2e.rs", "use std::fs;", "");
        check(complain_of_places, "tests/e2e.rs", "fn f() { unsafe { g() } }", "one home");
        check(complain_of_places, "src/net/outq.rs", "#[expect(unsafe_code)] fn f() { unsafe { g() } }", "");
    }

    #[test]
    fn an_unwrap_is_seen_unless_it_is_a_test_or_a_word() {
        check(complain_of_unwrap, "src/time.rs", "fn f() {\n    g().unwrap();\n}", "src/time.rs:2");
        check(complain_of_unwrap, "src/time.rs", "#[cfg(test)] mod tests { }\nfn f() { g().unwrap() }", "src/time.rs:2");
        check(complain_of_unwrap, "src/time.rs", "#[cfg(test)]\nfn f(x: [u8; 4]) { { g().unwrap() } }\nfn h() {}", "");
        check(
            complain_of_unwrap,
            "src/time.rs",
            "/// `x.unwrap()`\nfn f() { say(\"\\\".unwrap()\", r#\"\".unwrap()\"#, '\"') }",
            "",
        );
        check(complain_of_unwrap, "src/time/tests.rs", "g().unwrap()", "");
    }

    #[test]
    fn a_headless_file_and_a_long_one_are_seen() {
        check(complain_of_shape, "src/time.rs", "use std::io;\n", "open with `//!`");
        let long = format!("//! Long\n{}", "fn f() {}\n".repeat(LINES_MAX));
        check(complain_of_shape, "src/time.rs", &long, "401 lines before the tests");
        let tested = format!("//! Fine\n#[cfg(test)]\nmod tests {{\n{}}}", "fn f() {}\n".repeat(LINES_MAX));
        check(complain_of_shape, "src/time.rs", &tested, "");
    }

    #[test]
    fn a_dead_link_is_seen() {
        let mut complaints = Vec::new();
        let text = "[a](there.md#x) [b](gone.md)\n```\n[c](gone.md)\n```\n[d](https://example.org/x) [e](#here)\n";
        complain_of_links("docs/page.md", text, &|target| target == "docs/there.md", &mut complaints);
        assert_eq!(complaints, ["docs/page.md:1: the link to gone.md leads nowhere: mend or remove it"]);
    }

    #[test]
    fn an_undated_or_unlisted_decision_is_seen() {
        let mut complaints = Vec::new();
        complain_of_decisions(&["README.md", "2026-11-22-a.md", "b.md"], "[a](2026-11-22-a.md) [b](b.md)", &mut complaints);
        complain_of_decisions(&["2026-11-22-c.md"], "", &mut complaints);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].contains("YYYY-MM-DD") && complaints[1].contains("add it to"));
    }

    #[test]
    fn a_word_left_behind_is_seen() {
        let mut complaints = Vec::new();
        complain_of_leftovers("src/x.rs", &format!("fine\n// {}: later\nhackneyed", LEFT_BEHIND[0]), &mut complaints);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("src/x.rs:2: "));
    }

    #[test]
    fn groups_are_written_out() {
        let found: Vec<String> = paths("use a::{b, c::{d, e}};\nf::<g>::h(i)").into_iter().map(|(_, path)| path).collect();
        assert_eq!(found, ["use", "a::b", "a::c::d", "a::c::e", "f", "g", "h", "i"]);
    }
}
