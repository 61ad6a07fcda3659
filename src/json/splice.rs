//! Writes a JSON event as it came, with the relay's own members spliced in behind the last of its own.
//!
//! Nothing is encoded anew: numbers keep their digits, strings their escapes, members their order and duplicates. Only
//! three things change inside: line breaks between tokens become spaces, a bad `@timestamp` gets another name, and
//! `tags` may get longer. It refuses to add a name the object has, whatever escapes that is written with.
//!
//! Where a name occurs twice, the last one is the event's, as it is for almost every reader: the last `@timestamp`
//! decides whether it is valid, and the last `tags` is the one that gets longer. A bad last `@timestamp` takes all
//! others with it, so that the one spliced in is the only one of its name.

use crate::batch::BatchBuilder;
use crate::batch::EventId;
use crate::batch::Micros;
use crate::batch::Origin;
use crate::enrich::fields::FIELD_NAME_BYTES_MAX;
use crate::enrich::fields::Field;
use crate::enrich::fields::Fields;
use crate::enrich::fields::NameFilter;
use crate::json::envelope::Envelope;
use crate::json::envelope::Tag;
use crate::json::envelope::Tags;
use crate::json::escape::unescape;
use crate::json::scan::Member;
use crate::json::scan::Scan;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::time::parse_iso8601;

/// What became of an event.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spliced {
    /// The event's own time; the receive time where it has none that is valid.
    pub time: Micros,
    /// Whether its `@timestamp` was bad and has been renamed.
    pub timestamp_renamed: bool,
}

/// Writes the object that `scan` found in `chunk` as one document of `out`, with what `envelope` and `fields` add.
///
/// `tags` are added to the event's `tags`, or to those of `fields` where the event has none.
/// Allocates nothing but what `out` needs to grow.
///
/// # Panics
/// When the scan is not one of an object in that chunk.
pub fn splice(scan: &Scan, chunk: &[u8], envelope: &Envelope, fields: &Fields, tags: Tags, out: &mut BatchBuilder) -> Spliced {
    let known = Known::find(scan.members(), chunk, fields);
    let own_time = known.time(scan.members(), chunk);
    let renamed = known.timestamp.is_some() && own_time.is_none();
    let tags = if renamed { tags.with(Tag::TimestampParseFailure) } else { tags };
    let mut writer = out.writer(bound(scan, fields, renamed));
    let start = writer.at();

    let object = scan.value().range();
    let insert = scan.members().last().map_or(object.start + 1, |last| last.value.end as usize);
    let mut copied = object.start;
    if renamed || !tags.is_empty() {
        copied = write_changed(&mut writer, scan.members(), chunk, copied, &known, tags, renamed);
    }
    writer.copy(chunk, copied, insert);

    // What is added starts with a comma. In an empty object that comma takes the place of the brace, then becomes it.
    let behind = writer.at();
    let is_empty = scan.members().is_empty();
    if is_empty {
        writer.rewind(behind - 1);
    }
    let additions = Additions { envelope, fields, known: &known, tags, timestamp: own_time.is_none() };
    additions.write(&mut writer);
    if is_empty {
        if writer.at() < behind {
            writer.byte(b'{');
        }
        writer.patch(behind - 1, b'{');
    }
    writer.copy(chunk, insert, object.end);
    if scan.has_newline() {
        writer.blank_newlines(start);
    }
    writer.byte(b'\n');
    let end = writer.at();
    let time = own_time.unwrap_or(envelope.received.micros);
    out.finish(end, envelope.id, time, Some(Origin::Json));
    Spliced { time, timestamp_renamed: renamed }
}

/// Writes the object that `scan` found in `chunk` as one document of `out`, adding and renaming nothing.
///
/// # Panics
/// When the scan is not one of an object in that chunk.
pub fn pass(scan: &Scan, chunk: &[u8], received: Micros, out: &mut BatchBuilder) -> Spliced {
    let known = Known::find(scan.members(), chunk, &Fields::new());
    let time = known.time(scan.members(), chunk).unwrap_or(received);
    let object = scan.value().range();
    let mut writer = out.writer(object.len() + 1);
    let start = writer.at();
    writer.copy(chunk, object.start, object.end);
    if scan.has_newline() {
        writer.blank_newlines(start);
    }
    writer.byte(b'\n');
    let end = writer.at();
    out.finish(end, EventId([0; 16]), time, Some(Origin::Json));
    Spliced { time, timestamp_renamed: false }
}

/// The most bytes a document can have.
#[inline(always)]
fn bound(scan: &Scan, fields: &Fields, renamed: bool) -> usize {
    // `@version` 15, `@timestamp` 40, `event.id` 46, `,"tags":[]` 10, the newline: 112 in all.
    const FIXED: usize = 128 + Tags::BYTES_MAX;
    let mut bytes = scan.value().range().len() + fields.tail().len() + FIXED;
    if renamed {
        bytes += scan.members().len();
    }
    bytes
}

/// The names the relay looks for in every object.
const NAMES: NameFilter = NameFilter::of(&[TIMESTAMP, VERSION, EVENT_ID, TAGS]);

const TIMESTAMP: &str = "@timestamp";
const VERSION: &str = "@version";
const EVENT_ID: &str = "event.id";
const TAGS: &str = "tags";

/// Which of the names that matter an object has.
#[derive(Default)]
struct Known {
    /// Index of the last `@timestamp`.
    timestamp: Option<usize>,
    /// Index of the last `tags`.
    tags: Option<usize>,
    version: bool,
    id: bool,
    /// One bit per static field.
    fields: u64,
}

impl Known {
    #[inline(always)]
    fn find(members: &[Member], chunk: &[u8], fields: &Fields) -> Self {
        let mut known = Self::default();
        let names = fields.names().union(&NAMES);
        for (index, member) in members.iter().enumerate() {
            let key = &chunk[member.key.range()];
            if member.key_escaped {
                known.note_escaped(index, key, fields);
            } else if names.may_hold(key) {
                known.note(index, key, fields);
            }
        }
        known
    }

    #[inline(never)]
    fn note_escaped(&mut self, index: usize, key: &[u8], fields: &Fields) {
        let mut room = [0; FIELD_NAME_BYTES_MAX];
        if let Some(name) = unescape(key, &mut room) {
            self.note(index, name, fields);
        }
    }

    #[inline(never)]
    fn note(&mut self, index: usize, name: &[u8], fields: &Fields) {
        if name == TIMESTAMP.as_bytes() {
            self.timestamp = Some(index);
        } else if name == VERSION.as_bytes() {
            self.version = true;
        } else if name == EVENT_ID.as_bytes() {
            self.id = true;
        } else {
            if name == TAGS.as_bytes() {
                self.tags = Some(index);
            }
            if let Some(field) = fields.iter().position(|field| field.name().as_bytes() == name) {
                self.fields |= 1 << field;
            }
        }
    }

    /// The time `@timestamp` names; `None` when it is missing or bad.
    #[inline(always)]
    fn time(&self, members: &[Member], chunk: &[u8]) -> Option<Micros> {
        let member = members[self.timestamp?];
        if member.first != b'"' {
            return None;
        }
        let value = member.value.range();
        let inside = &chunk[value.start + 1..value.end - 1];
        parse_iso8601(inside).or_else(|| escaped_time(inside))
    }
}

/// The time a text with escapes names. One of more than 64 bytes is none.
#[cold]
fn escaped_time(inside: &[u8]) -> Option<Micros> {
    memchr::memchr(b'\\', inside)?;
    parse_iso8601(unescape(inside, &mut [0; 64])?)
}

/// Writes `text[start..end]`, the value of `tags` so far, with the tags behind: as elements of the array it is, or of an
/// array whose first element it becomes.
fn write_tags_behind(tags: Tags, writer: &mut Writer<'_>, text: &[u8], start: usize, end: usize) {
    let mut is_empty = false;
    if text[start] == b'[' {
        is_empty = text[start + 1..end - 1].iter().all(u8::is_ascii_whitespace);
        writer.copy(text, start, end - 1);
    } else {
        writer.byte(b'[');
        writer.copy(text, start, end);
    }
    if !is_empty {
        writer.byte(b',');
    }
    tags.write_elements(writer);
    writer.byte(b']');
}

/// Copies the object from `copied` on up to behind its last change; returns where in the chunk that was.
#[cold]
fn write_changed(
    writer: &mut Writer<'_>,
    members: &[Member],
    chunk: &[u8],
    mut copied: usize,
    known: &Known,
    tags: Tags,
    renamed: bool,
) -> usize {
    for (index, member) in members.iter().enumerate() {
        if renamed && is_timestamp(member, chunk) {
            let key = member.key.start as usize;
            writer.copy(chunk, copied, key);
            writer.byte(b'_');
            copied = key;
        }
        if known.tags == Some(index) && !tags.is_empty() {
            let value = member.value.range();
            writer.copy(chunk, copied, value.start);
            write_tags_behind(tags, writer, chunk, value.start, value.end);
            copied = value.end;
        }
    }
    copied
}

fn is_timestamp(member: &Member, chunk: &[u8]) -> bool {
    let key = &chunk[member.key.range()];
    let mut room = [0; TIMESTAMP.len()];
    let name = if member.key_escaped { unescape(key, &mut room) } else { Some(key) };
    name == Some(TIMESTAMP.as_bytes())
}

/// What goes behind the last member.
struct Additions<'a> {
    envelope: &'a Envelope,
    fields: &'a Fields,
    known: &'a Known,
    tags: Tags,
    /// Whether the receive time is the event's.
    timestamp: bool,
}

impl Additions<'_> {
    #[inline(always)]
    fn write(&self, writer: &mut Writer<'_>) {
        const VERSION_KEY: Key = Key::new(VERSION);
        const TIMESTAMP_KEY: Key = Key::new(TIMESTAMP);
        const ID_KEY: Key = Key::new(EVENT_ID);
        if !self.known.version {
            writer.key(&VERSION_KEY);
            writer.raw(b"1\"");
        }
        if self.timestamp {
            writer.key(&TIMESTAMP_KEY);
            writer.raw(&self.envelope.received.text);
            writer.byte(b'"');
        }
        if !self.known.id {
            writer.key(&ID_KEY);
            writer.short(&self.envelope.id.hex(), 32);
            writer.byte(b'"');
        }
        let tags_missing = !self.tags.is_empty() && self.known.tags.is_none();
        if self.known.fields == 0 && !tags_missing {
            writer.copy(self.fields.tail(), 0, self.fields.tail().len());
        } else {
            self.write_one_by_one(writer, tags_missing);
        }
    }

    #[cold]
    fn write_one_by_one(&self, writer: &mut Writer<'_>, mut tags_missing: bool) {
        for (index, field) in self.fields.iter().enumerate() {
            if self.known.fields >> index & 1 == 1 {
                continue;
            }
            if tags_missing && field.name() == TAGS {
                self.write_field_tags(writer, field);
                tags_missing = false;
            } else {
                writer.raw(field.member());
            }
        }
        if tags_missing {
            self.tags.write_member(writer);
        }
    }

    fn write_field_tags(&self, writer: &mut Writer<'_>, field: &Field) {
        let (text, value) = (field.member(), field.value());
        let value_at = text.len() - value.len();
        writer.raw(&text[..value_at]);
        write_tags_behind(self.tags, writer, text, value_at, text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::envelope::Received;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    const RECEIVED: Micros = 1_772_360_430_123_456;
    const RECEIVED_TEXT: &str = "2026-03-01T10:20:30.123Z";
    const ID: EventId = EventId([0xab; 16]);
    /// What is spliced into an object that has none of it.
    const ADDED: &str = r#""@version":"1","@timestamp":"2026-03-01T10:20:30.123Z","event.id":"abababababababababababababababab""#;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let value = |text: &str| serde_json::from_str(text).expect("JSON");
        Fields::from_pairs(pairs.iter().map(|(name, text)| (name.to_string(), value(text)))).expect("within the limits")
    }

    fn spliced(text: &str, fields: &Fields, tags: Tags) -> (String, Spliced) {
        let mut scan = Scan::new();
        // A line stands amid others; what is there must not leak into it.
        let chunk = format!("before\n{text}\n{{\"behind\":\"it\"}}\n");
        scan.scan(chunk.as_bytes(), 7, 7 + text.len()).expect("JSON");
        let mut out = BatchBuilder::default();
        let envelope = Envelope { received: Received::at(RECEIVED), id: ID };
        let result = splice(&scan, chunk.as_bytes(), &envelope, fields, tags, &mut out);
        assert_eq!(out.marks()[0].time, result.time);
        assert_eq!(out.marks()[0].end as usize, out.documents().len());
        assert_eq!(out.marks()[0].id, ID);
        (String::from_utf8(out.documents().to_vec()).expect("UTF-8"), result)
    }

    #[track_caller]
    fn check_with(text: &str, fields: &Fields, tags: Tags, want: &str) {
        let (document, _) = spliced(text, fields, tags);
        assert_eq!(document, want.replace("<added>", ADDED) + "\n");
        serde_json::from_str::<IgnoredAny>(&document).expect("a document is JSON");
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        check_with(text, &Fields::new(), Tags::NONE, want);
    }

    #[test]
    fn what_is_missing_goes_behind_the_last_member() {
        check("{}", "{<added>}");
        check("{ }", "{<added> }");
        check(" {\"a\":1} ", "{\"a\":1,<added>}");
        check("{\"a\":{} }", "{\"a\":{},<added> }");
        check_with("{\"a\":1}", &fields(&[("x", "[1]"), ("y", "\"z\"")]), Tags::NONE, "{\"a\":1,<added>,\"x\":[1],\"y\":\"z\"}");
    }

    #[test]
    fn what_the_event_has_wins() {
        let own = r#"{"@version":"2","@timestamp":"2020-01-01T00:00:00+01:00","event.id":7,"Environment":null}"#;
        let (document, result) = spliced(own, &fields(&[("Environment", "\"ci\"")]), Tags::NONE);
        assert_eq!(document, format!("{own}\n"));
        assert_eq!(result, Spliced { time: 1_577_833_200_000_000, timestamp_renamed: false });
        let escaped =
            r#"{"\u0040version":"2","@tim\u0065stamp":"2020-01-01T00:00:00\u005a","event\u002eid":7,"\u0045nvironment":0}"#;
        let (document, result) = spliced(escaped, &fields(&[("Environment", "1"), ("x", "2")]), Tags::NONE);
        assert_eq!(document, format!("{},\"x\":2}}\n", &escaped[..escaped.len() - 1]));
        assert_eq!(result.time, 1_577_836_800_000_000);
    }

    #[test]
    fn an_empty_object_may_get_nothing() {
        let scanned = |text: &str| {
            let mut scan = Scan::new();
            scan.scan(text.as_bytes(), 0, text.len()).expect("JSON");
            let mut out = BatchBuilder::default();
            let _ = pass(&scan, text.as_bytes(), RECEIVED, &mut out);
            String::from_utf8(out.documents().to_vec()).expect("UTF-8")
        };
        assert_eq!(scanned("{}"), "{}\n");
        assert_eq!(scanned(" {\"@timestamp\":\r\n7} \n"), "{\"@timestamp\":  7}\n");
    }

    #[test]
    fn a_bad_timestamp_is_renamed_and_tagged() {
        let tail = r#""@version":"1","@timestamp":"2026-03-01T10:20:30.123Z","event.id":"abababababababababababababababab""#;
        for bad in ["7", "null", "\"yesterday\"", "\"2021-02-29T00:00:00Z\"", "{\"a\":1}", "\"\""] {
            check(
                &format!("{{\"a\":0,\"@timestamp\":{bad},\"b\":1}}"),
                &format!("{{\"a\":0,\"_@timestamp\":{bad},\"b\":1,{tail},\"tags\":[\"_timestampparsefailure\"]}}"),
            );
        }
        check(r#"{"tags":["a"],"\u0040timestamp":1}"#, r#"{"tags":["a","_timestampparsefailure"],"_\u0040timestamp":1,<added>}"#);
        check(
            r#"{"_@timestamp":0,"@timestamp":1,"tags":[ ]}"#,
            r#"{"_@timestamp":0,"_@timestamp":1,"tags":[ "_timestampparsefailure"],<added>}"#,
        );
        let (_, result) = spliced("{\"@timestamp\":1}", &Fields::new(), Tags::NONE);
        assert_eq!(result, Spliced { time: RECEIVED, timestamp_renamed: true });
    }

    #[test]
    fn the_last_of_several_timestamps_decides() {
        let (document, result) = spliced(
            r#"{"@timestamp":"x","@timestamp":"2020-01-01T00:00:00Z","@version":1,"event.id":0}"#,
            &Fields::new(),
            Tags::NONE,
        );
        assert_eq!(document, "{\"@timestamp\":\"x\",\"@timestamp\":\"2020-01-01T00:00:00Z\",\"@version\":1,\"event.id\":0}\n");
        assert_eq!(result.time, 1_577_836_800_000_000);
        check(
            r#"{"@timestamp":"2020-01-01T00:00:00Z","tags":[],"@timestamp":"x"}"#,
            r#"{"_@timestamp":"2020-01-01T00:00:00Z","tags":["_timestampparsefailure"],"_@timestamp":"x",<added>}"#,
        );
    }

    #[test]
    fn tags_asked_for_are_added_to_what_there_is() {
        let none = Fields::new();
        let one = Tags::NONE.with(Tag::InvalidUtf8);
        let two = one.with(Tag::Unterminated);
        check_with("{}", &none, two, r#"{<added>,"tags":["_invalid_utf8","unterminated"]}"#);
        check_with(r#"{"tags":"x"}"#, &none, two, r#"{"tags":["x","_invalid_utf8","unterminated"],<added>}"#);
        check_with(r#"{"tags":{"x":[]},"a":1}"#, &none, one, r#"{"tags":[{"x":[]},"_invalid_utf8"],"a":1,<added>}"#);
        check_with(r#"{"tags":[1],"t\u0061gs":[2 ]}"#, &none, one, r#"{"tags":[1],"t\u0061gs":[2 ,"_invalid_utf8"],<added>}"#);
        let fields = fields(&[("x", "1"), ("tags", "[\"elb\"]"), ("y", "2")]);
        check_with("{}", &fields, Tags::NONE, r#"{<added>,"x":1,"tags":["elb"],"y":2}"#);
        check_with("{}", &fields, one, r#"{<added>,"x":1,"tags":["elb","_invalid_utf8"],"y":2}"#);
        check_with(r#"{"tags":[]}"#, &fields, one, r#"{"tags":["_invalid_utf8"],<added>,"x":1,"y":2}"#);
    }

    #[test]
    fn nothing_else_is_touched() {
        let odd = r#"{"n":12345678901234567890.10e400,"a":1,"a":2,"\ud800":"\/","_id":"x","_index":"y","v":"\n{\"index\":{}}"#;
        check(&format!("{odd}\"}}"), &format!("{odd}\",<added>}}"));
        check("{\"a\":\r\n[1,\n2]\n}", "{\"a\":  [1, 2],<added> }");
        let long = format!("{{\"n\":{}", "7".repeat(2_000_000));
        check(&format!("{long}}}"), &format!("{long},<added>}}"));
    }

    #[test]
    fn documents_stand_behind_one_another() {
        let chunk = b"{\"a\":1}\n{}\n{\"@timestamp\":0}\n";
        let mut scan = Scan::new();
        let mut out = BatchBuilder::default();
        let envelope = Envelope { received: Received::at(RECEIVED), id: ID };
        for (start, end) in [(0, 7), (8, 10), (11, 27)] {
            scan.scan(chunk, start, end).expect("JSON");
            let _ = splice(&scan, chunk, &envelope, &Fields::new(), Tags::NONE, &mut out);
        }
        let added = ADDED;
        let want =
            format!("{{\"a\":1,{added}}}\n{{{added}}}\n{{\"_@timestamp\":0,{added},\"tags\":[\"_timestampparsefailure\"]}}\n");
        assert_eq!(std::str::from_utf8(out.documents()), Ok(want.as_str()));
    }

    /// A member as a test makes it up: its name, how it is written, its value and the white space around them.
    #[derive(Clone, Debug)]
    struct Made {
        name: String,
        written: String,
        value: String,
        spaces: [&'static str; 4],
    }

    fn member() -> impl Strategy<Value = Made> {
        let name = prop_oneof![
            2 => Just("@timestamp".to_owned()),
            2 => Just("tags".to_owned()),
            1 => Just("@version".to_owned()),
            1 => Just("event.id".to_owned()),
            1 => Just("_@timestamp".to_owned()),
            2 => Just("Environment".to_owned()),
            1 => Just("é\"".to_owned()),
            4 => "[a-zA-Z]{0,12}",
            1 => ".{0,6}",
        ];
        let value = prop_oneof![
            Just("\"2020-02-03T04:05:06.789Z\""),
            Just("\"2020-02-03T04:05+02\""),
            Just("\"no time\""),
            Just("[]"),
            Just("[ \n]"),
            Just("[\"a\", 1\n]"),
            Just("{\"x\":\n{}}"),
            Just("null"),
            Just("100000000000000000000000000000.0"),
            Just("\"long \\u0041 text \\n that is copied in several steps, as most texts are\""),
        ];
        let space = || prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")];
        (name, any::<bool>(), value, [space(), space(), space(), space()]).prop_map(|(name, escape, value, spaces)| {
            let written = if escape {
                format!("\"{}\"", name.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>())
            } else {
                serde_json::to_string(&name).expect("text is JSON")
            };
            Made { name, written, value: value.to_owned(), spaces }
        })
    }

    fn text_of(members: &[Made], added: &str) -> String {
        let mut text = "{".to_owned();
        for (index, Made { written, value, spaces: [a, b, c, d], .. }) in members.iter().enumerate() {
            let last = index + 1 == members.len();
            let (added, comma) = if last { (added, "") } else { ("", ",") };
            text += &format!("{a}{written}{b}:{c}{value}{added}{d}{comma}");
        }
        if members.is_empty() {
            text += added.strip_prefix(',').unwrap_or(added);
        }
        text + "}"
    }

    fn with_tags(old: &str, tags: &[&str]) -> String {
        let mut all: Vec<String> = tags.iter().map(|tag| format!("{tag:?}")).collect();
        match old.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')) {
            Some(inside) if inside.trim().is_empty() => return format!("[{inside}{}]", all.join(",")),
            Some(inside) => all.insert(0, inside.to_owned()),
            None => all.insert(0, old.to_owned()),
        }
        format!("[{}]", all.join(","))
    }

    /// The rules once more, on a list of members instead of on bytes.
    fn model(mut members: Vec<Made>, fields: &[(&str, &str)], asked: Tags) -> (String, Spliced) {
        let last = |members: &[Made], name: &str| members.iter().rposition(|member| member.name == name);
        let stamp = last(&members, "@timestamp").map(|index| members[index].value.clone());
        let time = stamp.as_ref().and_then(|value| parse_iso8601(value.strip_prefix('"')?.strip_suffix('"')?.as_bytes()));
        let renamed = stamp.is_some() && time.is_none();
        let tags = if renamed { asked.with(Tag::TimestampParseFailure) } else { asked };
        let tags: Vec<&str> = tags.iter().map(Tag::label).collect();
        let mut added: Vec<(String, String)> = Vec::new();
        if last(&members, "@version").is_none() {
            added.push(("@version".to_owned(), "\"1\"".to_owned()));
        }
        if time.is_none() {
            added.push(("@timestamp".to_owned(), format!("\"{RECEIVED_TEXT}\"")));
        }
        if last(&members, "event.id").is_none() {
            added.push(("event.id".to_owned(), format!("\"{}\"", "ab".repeat(16))));
        }
        for (name, value) in fields {
            if last(&members, name).is_none() {
                added.push((name.to_string(), value.to_string()));
            }
        }
        if renamed {
            for member in members.iter_mut().filter(|member| member.name == "@timestamp") {
                member.written.insert(1, '_');
            }
        }
        if !tags.is_empty() {
            if let Some(index) = last(&members, "tags") {
                members[index].value = with_tags(&members[index].value, &tags);
            } else if let Some((_, value)) = added.iter_mut().find(|(name, _)| name == "tags") {
                *value = with_tags(value, &tags);
            } else {
                added.push(("tags".to_owned(), with_tags("[]", &tags)));
            }
        }
        let added: String = added.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        let text = text_of(&members, &added).replace(['\n', '\r'], " ") + "\n";
        (text, Spliced { time: time.unwrap_or(RECEIVED), timestamp_renamed: renamed })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn any_object_becomes_what_the_rules_say(
            members in proptest::collection::vec(member(), 0..12),
            static_tags in proptest::option::of(prop_oneof![Just("\"elb\""), Just("[]"), Just("[1]")]),
            asked in prop_oneof![4 => Just(Tags::NONE), 1 => Just(Tags::NONE.with(Tag::InvalidUtf8)), 1 => Just(Tags::NONE.with(Tag::InvalidUtf8).with(Tag::Unterminated))],
        ) {
            let mut pairs = vec![("Environment", "\"ci\""), ("q", "{\"a\":[true]}")];
            pairs.extend(static_tags.map(|value| ("tags", value)));
            let text = text_of(&members, "");
            let (document, result) = spliced(&text, &fields(&pairs), asked);
            prop_assert!(serde_json::from_str::<Value>(&document).is_ok(), "{}", document);
            prop_assert_eq!(document.find('\n'), Some(document.len() - 1));
            let (want, want_result) = model(members, &pairs, asked);
            prop_assert_eq!(document, want);
            prop_assert_eq!(result, want_result);
        }
    }
}
