//! Identity by content: what a line says.
//!
//! For senders that can name nothing and may send twice. Lines that are equal are taken for one event unless the caller
//! counts its copies. It hashes the bytes it is given and does not decide which of them are the line.

use highway::HighwayHash;
use highway::HighwayHasher;
use highway::Key;

use super::IdKey;
use super::VERSION;
use super::bytes;
use super::identity;
use crate::batch::EventId;

/// The number of this kind of identity.
const CONTENT: u8 = 3;

/// The ids of one tenant's lines.
#[derive(Clone)]
pub struct ContentIds {
    key: [u64; 4],
    /// The header of an empty line's first copy.
    header: [u8; 32],
}

impl ContentIds {
    /// The ids of a tenant's lines: two tenants' equal lines are two events.
    ///
    /// The tenant's identity is the hash of version (1), kind of identity (1), the tenant's length (4) and bytes; numbers
    /// are little-endian.
    ///
    /// # Panics
    /// When the tenant is 4 GiB long.
    pub fn new(key: IdKey, tenant: &str) -> Self {
        let key = key.words();
        let mut header = [0; 32];
        header[0] = VERSION;
        header[1] = CONTENT;
        header[16..].copy_from_slice(&identity(key, CONTENT, &[tenant]));
        Self { key, header }
    }

    /// The id of a line; `copy` tells equal lines apart that are different events, zero for the first.
    ///
    /// What is hashed: version (1), kind of identity (1), zeros (2), copy (4), length of the line in bytes (8), the
    /// tenant's identity (16), then the line's bytes; numbers are little-endian. Nothing is copied, but each byte of the
    /// line is read: a line of 579 bytes costs 100 ns or so.
    #[inline]
    pub fn id(&self, line: &[u8], copy: u32) -> EventId {
        let mut header = self.header;
        header[4..8].copy_from_slice(&copy.to_le_bytes());
        header[8..16].copy_from_slice(&(line.len() as u64).to_le_bytes());
        // The header is one whole block of the hash, so that the line's blocks are read where they lie.
        let mut hasher = HighwayHasher::new(Key(self.key));
        hasher.append(&header);
        hasher.append(line);
        EventId(bytes(hasher.finalize128()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::num::u8::ANY;

    use super::*;

    const KEY: IdKey = IdKey::PUBLISHED;

    fn hex(id: EventId) -> String {
        String::from_utf8(id.hex().to_vec()).expect("ASCII")
    }

    /// The layout is a promise: an id made today must be made again by every later version.
    #[test]
    fn ids_of_lines_are_known() {
        let ids = ContentIds::new(KEY, "acme");
        let long: Vec<u8> = (0..579_u32).map(|at| (at % 251) as u8).collect();
        assert_eq!(
            [hex(ids.id(b"", 0)), hex(ids.id(b"a line", 0)), hex(ids.id(&long, 3))],
            ["2f58cd2ec35cbe34c089e333acd0a1c1", "99626fbbd8c1755eeabdb5234268c3c9", "62f5dee38582e11ac6a637ae467a4d95"]
        );
    }

    /// The documented bytes, put together by hand and hashed in one piece without the processor's vectors.
    #[test]
    fn what_is_hashed_is_what_is_written() {
        let hash = |message: &[u8]| {
            let [low, high] = highway::PortableHash::new(Key(KEY.words())).hash128(message);
            (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
        };
        let line = [b'x'; 300];
        let mut message = b"\x01\x03\0\0\x02\x01\0\0\x2c\x01\0\0\0\0\0\0".to_vec();
        message.extend(hash(b"\x01\x03\x04\0\0\0acme"));
        message.extend(line);
        assert_eq!(ContentIds::new(KEY, "acme").id(&line, 258), EventId(hash(&message)));
    }

    #[test]
    fn every_part_makes_another_id() {
        let mut seen = std::collections::HashSet::new();
        for key in [KEY, IdKey::new([7; 32])] {
            for tenant in ["", "acme", "acme2"] {
                for copy in [0, 1, u32::MAX] {
                    for line in [&b""[..], b"a", b"b", b"a ", b"\0", b"\0\0"] {
                        assert!(seen.insert(ContentIds::new(key, tenant).id(line, copy)), "{tenant} {copy} {line:?}");
                    }
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn equal_lines_are_one_event_and_others_are_not(one in vec(ANY, 0..100), two in vec(ANY, 0..100)) {
            let (ids, again) = (ContentIds::new(KEY, "acme"), ContentIds::new(KEY, "acme"));
            proptest::prop_assert_eq!(ids.id(&one, 0), again.id(&one.clone(), 0));
            proptest::prop_assert_eq!(ids.id(&one, 0) == ids.id(&two, 0), one == two);
        }

        #[test]
        fn one_bit_more_or_less_is_another_event(mut line in vec(ANY, 1..700), at: proptest::sample::Index, bit in 0_u8..8) {
            let ids = ContentIds::new(KEY, "acme");
            let before = ids.id(&line, 0);
            let at = at.index(line.len());
            line[at] ^= 1 << bit;
            proptest::prop_assert_ne!(ids.id(&line, 0), before);
        }
    }
}
