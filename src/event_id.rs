//! The id an event gets when it arrives and keeps for life.
//!
//! It is HighwayHash-128 under a configured key, so that nobody outside can make two events share an id. There are four
//! kinds of identity, and what each hashes is a promise, held by its tests:
//!
//! | kind | number | two events are one when | |
//! |---|---|---|---|
//! | arrival | 1 | never | [`ArrivalIds`] |
//! | source | 2 | they are the same line of the same object | [`SourceIds`] |
//! | content | 3 | their lines are equal, and which of the equal ones they are | [`ContentIds`] |
//! | members | 4 | they are JSON objects with equal members, in whatever order, and which of the equal ones they are | [`MemberIds`] |
//!
//! Every message starts with the version and the kind's number, so that ids of different kinds never share a message.
//! This module has no random source: what makes an arrival unique is passed in.

mod content;
mod members;
mod source;

pub use content::ContentIds;
pub use members::MemberIds;
pub use source::SourceIds;

use std::fmt;

use highway::HighwayHash;
use highway::HighwayHasher;
use highway::Key;

use crate::batch::EventId;
use crate::batch::SourceId;

/// Version of the layout of what is hashed; a change of layout changes it.
const VERSION: u8 = 1;

/// Identity by arrival: unique, so that events that are equal are never taken for one.
const ARRIVAL: u8 = 1;

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

    /// A key from its 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes, for whoever derives something else from them.
    pub(crate) const fn bytes(self) -> [u8; 32] {
        self.0
    }

    fn words(self) -> [u64; 4] {
        let (words, _) = self.0.as_chunks::<8>();
        [0, 1, 2, 3].map(|at| u64::from_le_bytes(words[at]))
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

/// Names the identity of lines that come without one: a process draws `nonce` once, counts its connections, and each
/// connection counts its events.
#[derive(Clone)]
pub struct ArrivalIds {
    key: [u64; 4],
    message: [u8; 32],
    next: u64,
}

impl ArrivalIds {
    /// The ids of one connection's events.
    ///
    /// What is hashed, 32 bytes: version, kind of identity, source (2), nonce (12), connection (8), event (8); numbers
    /// are little-endian.
    pub fn new(key: IdKey, nonce: [u8; 12], source: SourceId, connection: u64) -> Self {
        let mut message = [0; 32];
        message[0] = VERSION;
        message[1] = ARRIVAL;
        message[2..4].copy_from_slice(&source.0.to_le_bytes());
        message[4..16].copy_from_slice(&nonce);
        message[16..24].copy_from_slice(&connection.to_le_bytes());
        Self { key: key.words(), message, next: 0 }
    }

    /// The next event's id.
    #[inline]
    pub fn draw(&mut self) -> EventId {
        self.message[24..].copy_from_slice(&self.next.to_le_bytes());
        self.next = self.next.wrapping_add(1);
        EventId(bytes(HighwayHasher::new(Key(self.key)).hash128(&self.message)))
    }
}

/// A hash as bytes: its lower word first, each little-endian.
#[inline(always)]
fn bytes([low, high]: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&high.to_le_bytes());
    bytes
}

/// What a number of texts hash to as a whole, once for many events: version, kind of identity, and of each text its length
/// (4, little-endian) and its bytes. The lengths keep `a`, `bc` apart from `ab`, `c`.
///
/// # Panics
/// When a text is 4 GiB long; callers bound theirs.
fn identity(key: [u64; 4], kind: u8, texts: &[&str]) -> [u8; 16] {
    let mut hasher = HighwayHasher::new(Key(key));
    hasher.append(&[VERSION, kind]);
    for text in texts {
        let length = u32::try_from(text.len()).expect("names are shorter than 4 GiB");
        hasher.append(&length.to_le_bytes());
        hasher.append(text.as_bytes());
    }
    bytes(hasher.finalize128())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(connection: u64) -> ArrivalIds {
        ArrivalIds::new(IdKey::PUBLISHED, *b"twelve bytes", SourceId(3), connection)
    }

    #[test]
    fn ids_are_unique_and_come_again_from_the_same_beginning() {
        let mut seen = std::collections::HashSet::new();
        let (mut one, mut two, mut again) = (ids(1), ids(2), ids(1));
        for _ in 0..10_000 {
            let id = one.draw();
            assert!(seen.insert(id) && seen.insert(two.draw()));
            assert_eq!(id, again.draw());
        }
    }

    /// The layout is a promise: an id made today must be made again by every later version.
    #[test]
    fn the_first_ids_of_a_connection_are_known() {
        let mut ids = ids(7);
        let text = |id: EventId| String::from_utf8(id.hex().to_vec()).expect("ASCII");
        assert_eq!(
            [text(ids.draw()), text(ids.draw())],
            ["735de64ad96cdc9cbbfaa6904a3e9a3d", "34f12a10b22bacff3e501f152bfa6313"]
        );
    }

    #[test]
    fn a_key_is_read_from_its_digits_and_never_shown() {
        let key = IdKey::from_hex(&"0aF1".repeat(16)).expect("a key");
        assert_eq!(key.0[..], [0x0a, 0xf1].repeat(16)[..]);
        assert_eq!(format!("{key:?}"), "IdKey(***)");
    }

    #[test]
    fn anything_but_64_digits_is_no_key() {
        for digits in [String::new(), "0".repeat(63), "0".repeat(65), "g".repeat(64), "ü".repeat(32)] {
            assert!(IdKey::from_hex(&digits).is_none(), "{digits}");
        }
    }
}
