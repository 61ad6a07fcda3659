//! Identity by source: which line of which object an event is.
//!
//! For senders that name what they send. The same line of the same object has the same id whoever sends it, how often,
//! from where on, and over which connection. It believes what the sender names and looks at no line.

use highway::HighwayHash;
use highway::HighwayHasher;
use highway::Key;

use super::IdKey;
use super::VERSION;
use super::bytes;
use super::identity;
use crate::batch::EventId;

/// The number of this kind of identity.
const SOURCE: u8 = 2;

/// The ids of the lines of one object, made once for each of its connections. Making them costs one hash.
#[derive(Clone)]
pub struct SourceIds {
    key: [u64; 4],
    /// The message of the first line and element.
    message: [u8; 32],
    first_line: u64,
}

impl SourceIds {
    /// The ids of an object's lines from its `first_line` on, which is the number of the line that comes first here, as the
    /// sender counts them. Another version of the object has another ETag and other ids; whether the ETag stands in
    /// quotes does not matter.
    ///
    /// The object's identity is the hash of version (1), kind of identity (1), and of tenant, bucket, key and ETag each
    /// the length (4) and the bytes; numbers are little-endian.
    ///
    /// # Panics
    /// When a text is 4 GiB long.
    pub fn new(key: IdKey, tenant: &str, bucket: &str, object_key: &str, etag: &str, first_line: u64) -> Self {
        let key = key.words();
        let mut message = [0; 32];
        message[0] = VERSION;
        message[1] = SOURCE;
        message[16..].copy_from_slice(&identity(key, SOURCE, &[tenant, bucket, object_key, unquoted(etag)]));
        Self { key, message, first_line }
    }

    /// The id of the line that comes `line` lines behind the first one here, zero for the first itself; `element` is the place
    /// in the line's array, zero where the line is one event.
    ///
    /// What is hashed, 32 bytes: version (1), kind of identity (1), zeros (2), element (4), number of the line in the
    /// object (8), the object's identity (16); numbers are little-endian. The number of the line is `first_line + line`
    /// modulo 2^64; a caller that has it makes these with `first_line` zero and passes it as it is.
    #[inline]
    pub fn id(&self, line: u64, element: u32) -> EventId {
        let mut message = self.message;
        message[4..8].copy_from_slice(&element.to_le_bytes());
        message[8..16].copy_from_slice(&self.first_line.wrapping_add(line).to_le_bytes());
        EventId(bytes(HighwayHasher::new(Key(self.key)).hash128(&message)))
    }
}

/// An ETag without the quotes it has in HTTP.
fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: IdKey = IdKey::PUBLISHED;

    fn hex(id: EventId) -> String {
        String::from_utf8(id.hex().to_vec()).expect("ASCII")
    }

    fn object(first_line: u64) -> SourceIds {
        SourceIds::new(KEY, "acme", "logs", "AWSLogs/123456789012/a.log.gz", "9b2cf535f27731c974343645a3985328", first_line)
    }

    /// The layout is a promise: an id made today must be made again by every later version.
    #[test]
    fn ids_of_lines_are_known() {
        let ids = object(1);
        assert_eq!(
            [hex(ids.id(0, 0)), hex(ids.id(41, 7)), hex(object(u64::MAX).id(1, u32::MAX))],
            ["db75d4967d3282f0ac77481f8a54a9d9", "07f967457b11c892b2bcc56ecf11f1c2", "ab290f3f856fe8164499f721193239e4"]
        );
    }

    /// The documented bytes, put together by hand and hashed without the processor's vectors.
    #[test]
    fn what_is_hashed_is_what_is_written() {
        let hash = |message: &[u8]| {
            let [low, high] = highway::PortableHash::new(Key(KEY.words())).hash128(message);
            (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
        };
        let mut object_message = b"\x01\x02\x04\0\0\0acme\x04\0\0\0logs\x1d\0\0\0AWSLogs/123456789012/a.log.gz".to_vec();
        object_message.extend(b"\x20\0\0\x009b2cf535f27731c974343645a3985328");
        let mut message = b"\x01\x02\0\0\x07\0\0\0\x2a\x01\0\0\0\0\0\0".to_vec();
        message.extend(hash(&object_message));
        assert_eq!(object(1).id(297, 7), EventId(hash(&message)));
    }

    #[test]
    fn every_part_makes_another_id() {
        let names = ["tenant", "bucket", "key", "etag"];
        let ids = |names: [&str; 4], first| SourceIds::new(KEY, names[0], names[1], names[2], names[3], first);
        let mut seen = std::collections::HashSet::new();
        assert!(seen.insert(ids(names, 1).id(0, 0)));
        for at in 0..names.len() {
            let mut other = names;
            other[at] = "another";
            assert!(seen.insert(ids(other, 1).id(0, 0)), "{other:?}");
        }
        assert!(seen.insert(ids(names, 2).id(0, 0)));
        assert!(seen.insert(ids(names, 1).id(5, 0)));
        assert!(seen.insert(ids(names, 1).id(0, 1)));
        let other_key = SourceIds::new(IdKey::new([7; 32]), names[0], names[1], names[2], names[3], 1);
        assert!(seen.insert(other_key.id(0, 0)));
    }

    #[test]
    fn where_one_name_ends_and_the_next_begins_matters() {
        let id = |names: [&str; 4]| SourceIds::new(KEY, names[0], names[1], names[2], names[3], 0).id(0, 0);
        let mut seen = std::collections::HashSet::new();
        for names in
            [["a", "bc", "d", "e"], ["ab", "c", "d", "e"], ["a", "b", "cd", "e"], ["a", "bc", "de", ""], ["", "abc", "d", "e"]]
        {
            assert!(seen.insert(id(names)), "{names:?}");
        }
    }

    #[test]
    fn only_the_quotes_around_an_etag_are_no_part_of_it() {
        let id = |etag: &str| SourceIds::new(KEY, "t", "b", "k", etag, 0).id(0, 0);
        assert_eq!(id("\"abc\""), id("abc"));
        assert_eq!(id("\"\""), id(""));
        for other in ["\"abc", "abc\"", "\"\"abc\"\"", "\"", "a\"b\"c"] {
            assert_ne!(id(other), id("abc"), "{other}");
            assert_ne!(id(other), id(""), "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn where_sending_starts_does_not_matter(first: u64, line in 0_u64..1 << 40, more in 0_u64..1 << 40, element: u32) {
            let later = object(first.wrapping_add(line));
            proptest::prop_assert_eq!(object(first).id(line + more, element), later.id(more, element));
        }

        #[test]
        fn two_elements_or_lines_are_two_events(one: (u64, u32), two: (u64, u32)) {
            let ids = object(0);
            proptest::prop_assert_eq!(ids.id(one.0, one.1) == ids.id(two.0, two.1), one == two);
        }
    }
}
