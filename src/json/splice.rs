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
use crate::enrich::fields::FIELD_NAME_BYTES_MAX;
use crate::enrich::fields::Field;
use crate::enrich::fields::Fields;
use crate::enrich::fields::NameFilter;
use crate::json::escape::unescape;
use crate::json::scan::Member;
use crate::json::scan::Scan;
use crate::json::writer::ESCAPE_GROWTH_MAX;
use crate::json::writer::Key;
use crate::json::writer::Writer;
use crate::time::parse_iso8601;

/// The tag of an event whose `@timestamp` was no ISO 8601 date-time.
pub const TIMESTAMP_TAG: &str = "_timestampparsefailure";

/// What an event gets from the moment it came in.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// When it was received.
    pub received: Micros,
    /// The same as text, as [`format_millis`](crate::time::format_millis) writes it.
    pub received_text: &'a [u8; 24],
    /// Its id. Without one no `event.id` is written and its mark holds zeros.
    pub id: Option<EventId>,
}

impl Envelope<'_> {
    fn mark_id(&self) -> EventId {
        self.id.unwrap_or(EventId([0; 16]))
    }
}

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
pub fn splice(
    scan: &Scan,
    chunk: &[u8],
    envelope: &Envelope<'_>,
    fields: &Fields,
    tags: &[&str],
    out: &mut BatchBuilder,
) -> Spliced {
    let known = Known::find(scan.members(), chunk, fields);
    let own_time = known.time(scan.members(), chunk);
    let renamed = known.timestamp.is_some() && own_time.is_none();
    let tags = Tags { asked: tags, timestamp: renamed };
    let mut writer = out.writer(bound(scan, fields, &tags, renamed));
    let start = writer.at();

    let object = scan.value().range();
    let insert = scan.members().last().map_or(object.start + 1, |last| last.value.end as usize);
    let mut copied = object.start;
    if renamed || !tags.is_empty() {
        copied = write_changed(&mut writer, scan.members(), chunk, copied, &known, &tags);
    }
    writer.copy(chunk, copied, insert);

    // What is added starts with a comma. In an empty object that comma takes the place of the brace, then becomes it.
    let behind = writer.at();
    let is_empty = scan.members().is_empty();
    if is_empty {
        writer.rewind(behind - 1);
    }
    let additions = Additions { envelope, fields, known: &known, tags: &tags, timestamp: own_time.is_none() };
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
    let time = own_time.unwrap_or(envelope.received);
    out.finish(end, envelope.mark_id(), time);
    Spliced { time, timestamp_renamed: renamed }
}

/// Writes the object that `scan` found in `chunk` as one document of `out`, adding and renaming nothing.
///
/// # Panics
/// When the scan is not one of an object in that chunk.
pub fn pass(scan: &Scan, chunk: &[u8], envelope: &Envelope<'_>, out: &mut BatchBuilder) -> Spliced {
    let known = Known::find(scan.members(), chunk, &Fields::new());
    let time = known.time(scan.members(), chunk).unwrap_or(envelope.received);
    let object = scan.value().range();
    let mut writer = out.writer(object.len() + 1);
    let start = writer.at();
    writer.copy(chunk, object.start, object.end);
    if scan.has_newline() {
        writer.blank_newlines(start);
    }
    writer.byte(b'\n');
    let end = writer.at();
    out.finish(end, envelope.mark_id(), time);
    Spliced { time, timestamp_renamed: false }
}

/// The most bytes a document can have.
#[inline(always)]
fn bound(scan: &Scan, fields: &Fields, tags: &Tags<'_>, renamed: bool) -> usize {
    // `@version` 15, `@timestamp` 40, `event.id` 46, `,"tags":[]` 10, the newline: 112 in all.
    const FIXED: usize = 128;
    let mut bytes = scan.value().range().len() + fields.tail().len() + FIXED;
    if renamed {
        bytes += scan.members().len();
    }
    for tag in tags.iter() {
        bytes += tag.len() * ESCAPE_GROWTH_MAX + 3;
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

/// The tags an event gets.
struct Tags<'a> {
    asked: &'a [&'a str],
    timestamp: bool,
}

impl Tags<'_> {
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.asked.is_empty() && !self.timestamp
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().copied().chain(self.timestamp.then_some(TIMESTAMP_TAG))
    }

    /// Writes the tags, with a comma between each two, and the closing bracket.
    fn write(&self, writer: &mut Writer<'_>, mut comma: bool) {
        for tag in self.iter() {
            if comma {
                writer.byte(b',');
            }
            writer.string(tag);
            comma = true;
        }
        writer.byte(b']');
    }

    /// Writes `text[start..end]`, the value of `tags` so far, with the tags behind: as elements of the array it is, or
    /// of an array whose first element it becomes.
    fn write_behind(&self, writer: &mut Writer<'_>, text: &[u8], start: usize, end: usize) {
        if text[start] == b'[' {
            let inside = &text[start + 1..end - 1];
            writer.copy(text, start, end - 1);
            self.write(writer, !inside.iter().all(u8::is_ascii_whitespace));
        } else {
            writer.byte(b'[');
            writer.copy(text, start, end);
            self.write(writer, true);
        }
    }
}

/// Copies the object from `copied` on up to behind its last change; returns where in the chunk that was.
#[cold]
fn write_changed(
    writer: &mut Writer<'_>,
    members: &[Member],
    chunk: &[u8],
    mut copied: usize,
    known: &Known,
    tags: &Tags<'_>,
) -> usize {
    for (index, member) in members.iter().enumerate() {
        if tags.timestamp && is_timestamp(member, chunk) {
            let key = member.key.start as usize;
            writer.copy(chunk, copied, key);
            writer.byte(b'_');
            copied = key;
        }
        if known.tags == Some(index) {
            let value = member.value.range();
            writer.copy(chunk, copied, value.start);
            tags.write_behind(writer, chunk, value.start, value.end);
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
    envelope: &'a Envelope<'a>,
    fields: &'a Fields,
    known: &'a Known,
    tags: &'a Tags<'a>,
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
            writer.raw(self.envelope.received_text);
            writer.byte(b'"');
        }
        if let Some(id) = self.envelope.id.filter(|_| !self.known.id) {
            writer.key(&ID_KEY);
            writer.short(&id.hex(), 32);
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
            writer.raw(b",\"tags\":[");
            self.tags.write(writer, false);
        }
    }

    fn write_field_tags(&self, writer: &mut Writer<'_>, field: &Field) {
        let (text, value) = (field.member(), field.value());
        let value_at = text.len() - value.len();
        writer.raw(&text[..value_at]);
        self.tags.write_behind(writer, text, value_at, text.len());
    }
}
