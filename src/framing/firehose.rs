//! The body of a request of Amazon Data Firehose: a JSON object whose `records` carry `data` in base64.
//!
//! It hands on what the records hold, each ended by a newline where it has none, and builds no tree: a record of any size is
//! decoded as it comes. It does not unpack what is in a record: those of CloudWatch Logs are packed once more and none of ours.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr3;

/// Bytes of base64 that stand for three others.
const GROUP: usize = 4;

/// Levels of nesting that are followed; three have a meaning.
const DEPTH_MAX: usize = 64;

/// Longest key that is looked at: those that mean something are shorter.
const KEY_BYTES_MAX: usize = 16;

/// Why a body is no such request. Nothing behind it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes of the body before it.
    pub at: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// What an object or array is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Top,
    Records,
    Record,
    Object,
    Array,
}

/// What a string is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Key,
    Data,
    Other,
}

/// A place in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Value,
    FirstValue,
    Key,
    FirstKey,
    Colon,
    Separator,
    Text(Text),
    Escape(Text),
    Scalar,
    Done,
}

/// One request on its way.
#[derive(Debug)]
pub struct Firehose {
    levels: Vec<Level>,
    at: At,
    /// The last key, as far as it matters.
    key: Vec<u8>,
    /// What of a record's data is no whole group yet.
    carry: Vec<u8>,
    /// Where the record stands, whether its end has come by its padding, and the last byte it holds.
    record_at: u64,
    is_padded: bool,
    last: Option<u8>,
    /// Bytes of the body that were passed.
    passed: u64,
    records: u64,
    fault: Option<Fault>,
}

impl Default for Firehose {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            at: At::Value,
            key: Vec::new(),
            carry: Vec::new(),
            record_at: 0,
            is_padded: false,
            last: None,
            passed: 0,
            records: 0,
            fault: None,
        }
    }
}

impl Firehose {
    /// Takes the bytes of one read and adds what the records hold that became complete to `out`.
    pub fn feed(&mut self, read: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while at < read.len() && self.fault.is_none() {
            at = match self.at {
                At::Text(text) => self.text(read, at, text, out),
                At::Scalar => {
                    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                    match read[at..].iter().position(|byte| !is_part(byte)) {
                        None => read.len(),
                        Some(length) => {
                            self.at = At::Separator;
                            at + length
                        }
                    }
                }
                _ => self.step(read, at, out),
            };
        }
        self.passed += read.len() as u64;
    }

    /// Ends the body.
    pub fn finish(&mut self) {
        if self.at != At::Done {
            self.fail(0, "the body ends too early");
        }
    }

    /// Why nothing is taken any more, if so.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Records that were handed on.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes one byte outside of strings and scalars; gives where to go on.
    fn step(&mut self, read: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
        let byte = read[at];
        let level = self.levels.last().copied();
        let is_object = matches!(level, Some(Level::Top | Level::Record | Level::Object));
        match (self.at, byte) {
            (At::Escape(text), _) => {
                self.at = At::Text(text);
                match (text, byte) {
                    (Text::Data, b'/') => self.data(b"/", out),
                    // Of what base64 is made of, only the slash may be escaped so.
                    (Text::Data, _) => self.fail_record(),
                    _ => {}
                }
            }
            (_, b' ' | b'\t' | b'\r' | b'\n') => {}
            (At::Value, b'{') if level.is_none() => self.open(Level::Top, at),
            (At::Value | At::FirstValue, b'{') if level == Some(Level::Records) => self.open(Level::Record, at),
            (At::Value | At::FirstValue, b'{') if level.is_some() => self.open(Level::Object, at),
            (At::Value, b'[') if level == Some(Level::Top) && self.key == b"records" => self.open(Level::Records, at),
            (At::Value | At::FirstValue, b'[') if level.is_some() => self.open(Level::Array, at),
            (At::Value, b'"') if level == Some(Level::Record) && self.key == b"data" => {
                (self.record_at, self.is_padded, self.last) = (self.passed + at as u64, false, None);
                self.at = At::Text(Text::Data);
            }
            (At::Value | At::FirstValue, b'"') if level.is_some() => self.at = At::Text(Text::Other),
            (At::Value | At::FirstValue, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') if level.is_some() => self.at = At::Scalar,
            (At::Key | At::FirstKey, b'"') => {
                self.key.clear();
                self.at = At::Text(Text::Key);
            }
            (At::Colon, b':') => self.at = At::Value,
            (At::Separator, b',') => self.at = if is_object { At::Key } else { At::Value },
            (At::Separator | At::FirstKey, b'}') if is_object => self.close(),
            (At::Separator | At::FirstValue, b']') if !is_object => self.close(),
            _ => self.fail(at, "this is no JSON object as Firehose sends it"),
        }
        at + 1
    }

    fn open(&mut self, level: Level, at: usize) {
        if self.levels.len() == DEPTH_MAX {
            return self.fail(at, "this is nested too deeply");
        }
        self.levels.push(level);
        self.at = if matches!(level, Level::Records | Level::Array) { At::FirstValue } else { At::FirstKey };
    }

    fn close(&mut self) {
        self.levels.pop();
        self.at = if self.levels.is_empty() { At::Done } else { At::Separator };
    }

    /// Goes on in a string; gives where to go on then.
    fn text(&mut self, read: &[u8], at: usize, text: Text, out: &mut Vec<u8>) -> usize {
        let stop = memchr3(b'"', b'\\', b'\n', &read[at..]).map(|length| at + length);
        let part = &read[at..stop.unwrap_or(read.len())];
        match text {
            // A key that is cut off here is longer than those that mean something, and stays so.
            Text::Key => self.key.extend_from_slice(&part[..part.len().min(KEY_BYTES_MAX.saturating_sub(self.key.len()))]),
            Text::Data => self.data(part, out),
            Text::Other => {}
        }
        let Some(stop) = stop else { return read.len() };
        match read[stop] {
            b'\\' => {
                if text == Text::Key {
                    self.key.push(b'\\');
                }
                self.at = At::Escape(text);
            }
            b'"' => {
                if text == Text::Data {
                    self.end_record(out);
                }
                self.at = if text == Text::Key { At::Colon } else { At::Separator };
            }
            _ => self.fail(stop, "a text goes on over the end of its line"),
        }
        stop + 1
    }

    /// Decodes a part of a record, but for what is no group of four yet.
    fn data(&mut self, mut part: &[u8], out: &mut Vec<u8>) {
        while !self.carry.is_empty() && !part.is_empty() {
            self.carry.push(part[0]);
            part = &part[1..];
            if self.carry.len() == GROUP {
                let group = std::mem::take(&mut self.carry);
                self.decode(&group, out);
            }
        }
        let (groups, rest) = part.split_at(part.len() / GROUP * GROUP);
        self.decode(groups, out);
        self.carry.extend_from_slice(rest);
    }

    fn decode(&mut self, groups: &[u8], out: &mut Vec<u8>) {
        if groups.is_empty() || self.fault.is_some() {
            return;
        }
        let before = out.len();
        if self.is_padded {
            return self.fail_record();
        }
        if STANDARD.decode_vec(groups, out).is_err() {
            out.truncate(before);
            if groups.len() == GROUP {
                return self.fail_record();
            }
            // What stands before the mistake is taken, wherever the read was cut.
            for group in groups.chunks(GROUP) {
                self.decode(group, out);
            }
            return;
        }
        self.is_padded = groups.ends_with(b"=");
        self.last = out.last().copied();
    }

    fn end_record(&mut self, out: &mut Vec<u8>) {
        if !self.carry.is_empty() {
            return self.fail_record();
        }
        if self.fault.is_none() {
            self.records += 1;
            if self.last.is_some_and(|last| last != b'\n') {
                out.push(b'\n');
            }
        }
    }

    #[cold]
    fn fail_record(&mut self) {
        self.carry = Vec::new();
        self.fault = self.fault.or(Some(Fault { at: self.record_at, what: "a record is no base64" }));
    }

    #[cold]
    fn fail(&mut self, at: usize, what: &'static str) {
        self.carry = Vec::new();
        if self.fault.is_none() {
            self.fault = Some(Fault { at: self.passed + at as u64, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prop_assert_eq;
    use proptest::prop_oneof;
    use proptest::proptest;

    use super::*;

    /// What is handed on, records, and the fault.
    fn run(reads: &[&[u8]]) -> (String, u64, Option<Fault>) {
        let mut firehose = Firehose::default();
        let mut out = Vec::new();
        for read in reads {
            firehose.feed(read, &mut out);
        }
        firehose.finish();
        (String::from_utf8_lossy(&out).into_owned(), firehose.records(), firehose.fault())
    }

    #[track_caller]
    fn check(body: &str, want: &str, records: u64) {
        assert_eq!(run(&[body.as_bytes()]), (want.to_owned(), records, None), "{body}");
    }

    #[track_caller]
    fn check_fault(body: &str, want: &str, at: u64, what: &'static str) {
        let (out, _, fault) = run(&[body.as_bytes()]);
        assert_eq!((out.as_str(), fault), (want, Some(Fault { at, what })), "{body}");
    }

    #[test]
    fn what_records_hold_is_handed_on() {
        check("{}", "", 0);
        check(r#" {"records":[]} "#, "", 0);
        check(r#"{"requestId":"a","timestamp":1,"records":[{"data":"aGVsbG8="},{"data":"YQpiCg=="}]}"#, "hello\na\nb\n", 2);
        check(r#"{"records":[{"x":[{"data":"YQ=="}],"data":"YQ==","y":null}],"more":{"records":[{"data":"Yg=="}]}}"#, "a\n", 1);
        check(r#"{"data":"YQ==","records":{"data":"YQ=="}}"#, "", 0);
        check(r#"{"records":[{"data":""},{"data":"/w=="},{"data":"\/w=="},{"dat\u0061":"YQ=="}]}"#, "\u{fffd}\n\u{fffd}\n", 3);
    }

    #[test]
    fn a_record_that_is_no_base64_ends_the_request() {
        const NONE: &str = "a record is no base64";
        check_fault(r#"{"records":[{"data":"YQ=="},{"data":"YQ"}]}"#, "a\n", 36, NONE);
        check_fault(r#"{"records":[{"data":"YWFhYQ==YQ=="}]}"#, "aaaa", 20, NONE);
        check_fault(r#"{"records":[{"data":"YWFhYWFh!!!!"}]}"#, "aaaaaa", 20, NONE);
        check_fault(r#"{"records":[{"data":"YWFh\"YWF"}]}"#, "aaa", 20, NONE);
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
        const NONE: &str = "this is no JSON object as Firehose sends it";
        check_fault("", "", 0, "the body ends too early");
        check_fault(r#"{"records":[{"data":"YQ=="}]"#, "a\n", 28, "the body ends too early");
        check_fault("[]", "", 0, NONE);
        check_fault("{} {}", "", 3, NONE);
        check_fault(r#"{"records":[{"data":"YQ=="}}]}"#, "a\n", 27, NONE);
        check_fault(r#"{"records":[{"data" "YQ=="}]}"#, "", 20, NONE);
        check_fault("{\"records\":[{\"data\":\"YQ\n==\"}]}", "", 23, "a text goes on over the end of its line");
        let deep = format!("{{\"a\":{}", "[".repeat(DEPTH_MAX));
        check_fault(&deep, "", deep.len() as u64 - 1, "this is nested too deeply");
    }

    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            "([A-Za-z0-9+/]{4}){0,9}([A-Za-z0-9+/]=*)?".prop_map(|data| format!("{{\"data\":\"{data}\"}}")),
            "([A-Za-z0-9+]{4}){0,3}[\\PC\\\\\"]{0,6}".prop_map(|data| format!("{{\"data\":\"{data}\"}}")),
            "(\"data\"|[\\[\\]{}:,\"\\\\ 1a]){0,6}",
        ]
    }

    proptest! {
        #[test]
        fn how_a_body_was_cut_into_reads_changes_nothing(parts in vec(part(), 0..9), cuts in vec(any::<u8>(), 1..9)) {
            let body = format!("{{\"records\":[{}]}}", parts.join(",")).into_bytes();
            let mut reads = Vec::new();
            let mut rest = body.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (read, behind) = rest.split_at(rest.len().min(usize::from(*cut % 16) + 1));
                reads.push(read);
                rest = behind;
            }
            prop_assert_eq!(run(&reads), run(&[&body]));
        }
    }
}
