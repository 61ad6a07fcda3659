//! Why and where a line is no JSON.

use std::fmt;

/// Why a line is no JSON, or none the relay takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonRejectReason {
    /// The text stops in the middle of a value.
    UnexpectedEnd,
    /// A byte that cannot stand where it does.
    UnexpectedByte,
    /// Something other than white space follows the value.
    TrailingBytes,
    /// A backslash followed by something that is no escape.
    InvalidEscape,
    /// A raw byte below 0x20 inside a string.
    ControlCharacter,
    /// A number with a leading zero, or without digits where there must be some.
    InvalidNumber,
    /// More than [`DEPTH_MAX`](crate::json::cursor::DEPTH_MAX) objects and arrays inside one another.
    TooDeep,
    /// JSON but for bytes inside strings that are not UTF-8: repair them and scan again.
    InvalidUtf8,
    /// The chunk is longer than offsets can say (4 GiB).
    TooLong,
}

impl JsonRejectReason {
    /// The reason as one word, for documents and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnexpectedEnd => "unexpected_end",
            Self::UnexpectedByte => "unexpected_byte",
            Self::TrailingBytes => "trailing_bytes",
            Self::InvalidEscape => "invalid_escape",
            Self::ControlCharacter => "control_character",
            Self::InvalidNumber => "invalid_number",
            Self::TooDeep => "too_deep",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooLong => "too_long",
        }
    }
}

impl fmt::Display for JsonRejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where and why a line is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonReject {
    /// Offset into the line, in bytes from zero.
    pub at: usize,
    /// What is wrong there.
    pub reason: JsonRejectReason,
}

impl fmt::Display for JsonReject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}

impl std::error::Error for JsonReject {}
