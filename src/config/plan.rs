//! What was decided: everything the relay needs to start, with nothing left to parse and nothing left to choose.

use std::fmt;

use crate::admin::AdminPlan;
use crate::buffer::BufferPlan;
use crate::config::report::Report;
use crate::pipeline::parse::ParsePlan;
use crate::sink::SinkPlan;
use crate::source::tcp::TcpSourcePlan;

/// The whole configuration as decided. Its `Display` is what `elbow check` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Most bytes of log data held in memory at once, wherever they are.
    pub memory_bytes_max: u64,
    /// The buffer.
    pub buffer: BufferPlan,
    /// The admin listener; `None` when it is switched off.
    pub admin: Option<AdminPlan>,
    /// The sources, in the order of the file; at least one.
    pub sources: Vec<SourcePlan>,
    /// The sinks, in the order of the file; at least one.
    pub sinks: Vec<SinkPlan>,
    /// The key event ids are computed under.
    pub id_key: IdKey,
    /// Every setting, for people.
    pub report: Report,
}

/// A source and what becomes of its lines, as decided.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePlan {
    /// Where lines come from.
    pub tcp: TcpSourcePlan,
    /// How they become documents.
    pub parse: ParsePlan,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)
    }
}

/// The 256-bit key event ids are computed under; a secret unless it is the published default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdKey([u8; 32]);

impl IdKey {
    /// The key used when none is configured: 32 bytes of ASCII text anyone may know. Ids are then the same on every
    /// node without any set-up, and anyone who knows a line can compute its id.
    pub const PUBLISHED: Self = Self(*b"elbow event id key, version 1!!!");

    /// A key from its 64 hexadecimal digits; `None` when it is anything else.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
        let mut key = [0; 32];
        for (byte, [high, low]) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(key))
    }

    /// The key itself, for the one place that computes ids.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Says that there is a key, never which.
impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_its_digits_and_never_shown() {
        let key = IdKey::from_hex(&"0aF1".repeat(16)).unwrap();
        assert_eq!(key.bytes(), &[0x0a, 0xf1].repeat(16)[..]);
        assert_eq!(format!("{key:?}"), "IdKey(***)");
    }

    #[test]
    fn anything_but_64_digits_is_no_key() {
        for digits in [String::new(), "0".repeat(63), "0".repeat(65), "g".repeat(64), "ü".repeat(32)] {
            assert!(IdKey::from_hex(&digits).is_none(), "{digits}");
        }
    }
}
