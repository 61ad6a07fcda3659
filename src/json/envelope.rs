//! What the relay adds around an event, whatever the event is.

use super::writer::Writer;
use crate::batch::EventId;
use crate::batch::Micros;

/// The relay's own members of one document.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// When the line was received.
    pub received: Received,
    /// The event's id.
    pub id: EventId,
}

/// A receive time, as a number and as text; made once for all lines of a read.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Microseconds since 1970.
    pub micros: Micros,
    /// The same cut to milliseconds, RFC 3339.
    pub text: [u8; 24],
}

impl Received {
    /// A moment and its text.
    pub fn at(micros: Micros) -> Self {
        Self { micros, text: crate::time::format_millis(micros) }
    }
}

/// Tags the relay puts on an event it had to change or could not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags(u8);

/// One such tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The line has the shape of a load-balancer log but is none, or was declared one and is none.
    ElbParseFailure,
    /// The line starts like JSON, or was declared JSON, but is none.
    JsonParseFailure,
    /// The event's own time is none; the receive time stands in.
    TimestampParseFailure,
    /// Bytes that are no UTF-8 were replaced by U+FFFD.
    InvalidUtf8,
    /// The line was longer than the limit; this is its beginning.
    Truncated,
    /// The line's newline was missing at the end of a connection that was closed cleanly.
    Unterminated,
}

impl Tag {
    /// Every tag.
    pub const ALL: [Self; 6] = [
        Self::ElbParseFailure,
        Self::JsonParseFailure,
        Self::TimestampParseFailure,
        Self::InvalidUtf8,
        Self::Truncated,
        Self::Unterminated,
    ];

    /// The tag's text.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ElbParseFailure => "_elbparsefailure",
            Self::JsonParseFailure => "_jsonparsefailure",
            Self::TimestampParseFailure => "_timestampparsefailure",
            Self::InvalidUtf8 => "_invalid_utf8",
            Self::Truncated => "_elbow_truncated",
            Self::Unterminated => "unterminated",
        }
    }
}

impl Tags {
    /// No tag.
    pub const NONE: Self = Self(0);
    /// Most bytes the tags of one event take as the elements of an array, commas included.
    pub const BYTES_MAX: usize = 128;

    /// These and one more.
    #[must_use]
    pub const fn with(self, tag: Tag) -> Self {
        Self(self.0 | 1 << tag as u8)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The tags there are.
    pub fn iter(self) -> impl Iterator<Item = Tag> {
        Tag::ALL.into_iter().filter(move |&tag| self.0 >> tag as u8 & 1 == 1)
    }

    /// Writes the tags as elements of an array, with commas between them but none before.
    pub fn write_elements(self, out: &mut Writer<'_>) {
        for (at, tag) in self.iter().enumerate() {
            if at > 0 {
                out.byte(b',');
            }
            out.string(tag.label());
        }
    }

    /// Writes `,"tags":[…]`; nothing where there is no tag.
    pub fn write_member(self, out: &mut Writer<'_>) {
        if !self.is_empty() {
            out.raw(b",\"tags\":[");
            self.write_elements(out);
            out.byte(b']');
        }
    }
}

impl Envelope {
    /// Bytes of [`open`](Self::open) at the most, an event's own time of any length not included.
    pub const BYTES_MAX: usize = 128;

    /// Writes `{"@timestamp":"…","@version":"1","event":{"id":"…"}` with the receive time.
    pub fn open(&self, out: &mut Writer<'_>) {
        out.raw(b"{\"@timestamp\":\"");
        out.raw(&self.received.text);
        self.close_time(out);
    }

    /// Writes the same with a time of the event's own, as it is written there plus a `Z` where that is missing.
    #[inline(always)]
    pub fn open_with(&self, out: &mut Writer<'_>, chunk: &[u8], start: usize, end: usize) {
        out.short(b"{\"@timestamp\":\"                 ", 15);
        out.copy(chunk, start, end);
        if chunk[end.wrapping_sub(1)] != b'Z' {
            out.byte(b'Z');
        }
        self.close_time(out);
    }

    #[inline(always)]
    fn close_time(&self, out: &mut Writer<'_>) {
        out.short(b"\",\"@version\":\"1\",\"event\":{\"id\":\"", 32);
        out.short(&self.id.hex(), 32);
        out.raw(b"\"}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tags_together_keep_their_bound() {
        let all = Tag::ALL.into_iter().fold(Tags::NONE, Tags::with);
        let mut buf = vec![0; 1024];
        let mut out = Writer::new(&mut buf, 0);
        all.write_elements(&mut out);
        let end = out.at();
        assert!(end <= Tags::BYTES_MAX, "{end}");
        assert_eq!(buf[..end].iter().filter(|&&byte| byte == b',').count(), Tag::ALL.len() - 1);
    }
}
