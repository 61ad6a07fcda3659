//! Identity by members: what a JSON object says, in whatever order it says it.
//!
//! For senders that write the members of an object in another order each time, as programs in Go do whose maps have none. What
//! counts is the names and values as they are written: `1` and `1.0` are two values, and so are two ways to escape a letter.
//! White space between them does not count, and elements of arrays count in their order.

use highway::HighwayHash;
use highway::HighwayHasher;
use highway::Key;
use memchr::memchr2;

use super::IdKey;
use super::VERSION;
use super::bytes;
use super::identity;
use crate::batch::EventId;

/// The number of this kind of identity.
const MEMBERS: u8 = 4;

/// What a hash within an object is of: no hash of one is taken for that of another.
const OBJECT: u8 = b'{';
const MEMBER: u8 = b':';
const ARRAY: u8 = b'[';
const STRING: u8 = b'"';
const SCALAR: u8 = b'0';

/// Values within one another that are looked into; what lies deeper is compared as it is written.
const DEPTH_MAX: u32 = 64;

/// The ids of one tenant's objects.
#[derive(Clone)]
pub struct MemberIds {
    key: [u64; 4],
    /// What is hashed of the first copy of an object, the object aside.
    message: [u8; 48],
}

impl MemberIds {
    /// The ids of a tenant's objects: two tenants' equal objects are two events. The tenant's identity is as that of
    /// [`ContentIds`](super::ContentIds), of this kind.
    ///
    /// # Panics
    /// When the tenant is 4 GiB long.
    pub fn new(key: IdKey, tenant: &str) -> Self {
        let key = key.words();
        let mut message = [0; 48];
        message[0] = VERSION;
        message[1] = MEMBERS;
        message[16..32].copy_from_slice(&identity(key, MEMBERS, &[tenant]));
        Self { key, message }
    }

    /// The id of an object; `copy` tells equal ones apart that are different events, zero for the first. What is no JSON has
    /// an id as well, of little meaning.
    ///
    /// What is hashed, 48 bytes: version, kind of identity, zeros (2), copy (4), zeros (8), the tenant's identity (16), the
    /// object's hash (16); numbers are little-endian. The hash of a value is that of
    ///
    /// - `{`, the number of its members (8), and the sum of their hashes modulo 2^128 (16). A member's is that of `:`, its
    ///   value's hash (16), and its name as it is written;
    /// - `[` and the hashes of its elements (16 each);
    /// - `"` and what stands between its quotes;
    /// - `0` and a number, `true`, `false` or `null` as it is written.
    ///
    /// Nothing is copied. An event of a Beat, of 1 kB with 40 members, costs 6 µs or so.
    pub fn id(&self, object: &[u8], copy: u32) -> EventId {
        let mut message = self.message;
        message[4..8].copy_from_slice(&copy.to_le_bytes());
        let hash = Walk { key: self.key, json: object, at: 0 }.value(DEPTH_MAX);
        message[32..].copy_from_slice(&hash);
        EventId(bytes(HighwayHasher::new(Key(self.key)).hash128(&message)))
    }
}

/// A way through a value. Everywhere it goes on by a byte at least, or is at its end.
struct Walk<'j> {
    key: [u64; 4],
    json: &'j [u8],
    at: usize,
}

impl<'j> Walk<'j> {
    fn value(&mut self, depth: u32) -> [u8; 16] {
        match self.next() {
            Some(b'{') if depth > 0 => self.object(depth - 1),
            Some(b'[') if depth > 0 => self.array(depth - 1),
            Some(b'"') => {
                let text = self.string();
                self.hash(STRING, &[text])
            }
            _ => {
                let start = self.at;
                // A byte that cannot begin a value is taken for one.
                let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
                let length =
                    self.json[start..].iter().skip(1).position(ends).map_or(self.json.len() - start, |length| length + 1);
                self.at = start + length;
                self.hash(SCALAR, &[&self.json[start..self.at]])
            }
        }
    }

    fn object(&mut self, depth: u32) -> [u8; 16] {
        self.at += 1;
        let (mut count, mut sum) = (0_u64, 0_u128);
        loop {
            match self.next() {
                None => break,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b'"') => {
                    let name = self.string();
                    if self.next() == Some(b':') {
                        self.at += 1;
                    }
                    let value = self.value(depth);
                    count += 1;
                    sum = sum.wrapping_add(u128::from_le_bytes(self.hash(MEMBER, &[&value, name])));
                }
                // A comma, in what is JSON.
                Some(_) => self.at += 1,
            }
        }
        self.hash(OBJECT, &[&count.to_le_bytes(), &sum.to_le_bytes()])
    }

    fn array(&mut self, depth: u32) -> [u8; 16] {
        self.at += 1;
        let mut hasher = self.hasher(ARRAY);
        loop {
            match self.next() {
                None => break,
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                Some(b',') => self.at += 1,
                Some(_) => hasher.append(&self.value(depth)),
            }
        }
        bytes(hasher.finalize128())
    }

    /// What stands between the quotes of which the first is next.
    fn string(&mut self) -> &'j [u8] {
        let start = self.at + 1;
        self.at = start;
        while let Some(length) = memchr2(b'"', b'\\', self.json.get(self.at..).unwrap_or_default()) {
            let stop = self.at + length;
            if self.json[stop] == b'"' {
                self.at = stop + 1;
                return &self.json[start..stop];
            }
            self.at = stop + 2;
        }
        self.at = self.json.len();
        &self.json[start..]
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        while self.json.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }

    fn hasher(&self, what: u8) -> HighwayHasher {
        let mut hasher = HighwayHasher::new(Key(self.key));
        hasher.append(&[VERSION, MEMBERS, what]);
        hasher
    }

    fn hash(&self, what: u8, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = self.hasher(what);
        for part in parts {
            hasher.append(part);
        }
        bytes(hasher.finalize128())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn ids() -> MemberIds {
        MemberIds::new(IdKey::PUBLISHED, "")
    }

    fn id(json: &str) -> EventId {
        ids().id(json.as_bytes(), 0)
    }

    #[test]
    fn what_is_hashed_is_a_promise() {
        let hex = |id: EventId| String::from_utf8(id.hex().to_vec()).expect("digits");
        let object = r#"{"message":"x","n":1.0,"tags":["a",null],"host":{"name":"h"}}"#;
        assert_eq!(hex(id(object)), "8879f4b15316602a03b00fb554ee7912");
        assert_eq!(hex(MemberIds::new(IdKey::PUBLISHED, "web").id(object.as_bytes(), 2)), "c17236d655bfbbd925cda1c0f8dd65ee");
        assert_eq!(hex(id("{}")), "3e104051dcb04c3d7612d9903424876d");
    }

    #[test]
    fn order_and_white_space_do_not_count_and_everything_else_does() {
        let object = id(r#"{"a":1,"b":{"c":"x","d":[1,2]}}"#);
        for same in [
            r#"{"b":{"c":"x","d":[1,2]},"a":1}"#,
            r#"{"b":{"d":[1,2],"c":"x"},"a":1}"#,
            "{ \"a\" : 1 ,\n\"b\":{\"c\":\"x\",\"d\":[ 1 ,\t2 ] } }",
        ] {
            assert_eq!(id(same), object, "{same}");
        }
        for other in [
            r#"{"a":1.0,"b":{"c":"x","d":[1,2]}}"#,
            r#"{"a":"1","b":{"c":"x","d":[1,2]}}"#,
            r#"{"a":1,"b":{"c":"x","d":[2,1]}}"#,
            r#"{"a":1,"b":{"c":"\u0078","d":[1,2]}}"#,
            r#"{"a":1,"b":{"d":"x","c":[1,2]}}"#,
            r#"{"a":1,"a":1,"b":{"c":"x","d":[1,2]}}"#,
            r#"{"a":1,"c":"x","b":{"d":[1,2]}}"#,
            r#"{"a":1,"b":{"c":"x","d":[[1,2]]}}"#,
            r#"{"a":1,"b":{"c":"x","d":[12]}}"#,
            r#"{"a":1}"#,
        ] {
            assert_ne!(id(other), object, "{other}");
        }
        assert_ne!(id("{}"), id("[]"));
        assert_ne!(ids().id(b"{}", 0), ids().id(b"{}", 1));
        assert_ne!(id("{}"), MemberIds::new(IdKey::PUBLISHED, "web").id(b"{}", 0));
        assert_ne!(id("{}"), MemberIds::new(IdKey::new([7; 32]), "").id(b"{}", 0));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9..9).prop_map(Value::from),
            "[a-c\"\\\\{\\[]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\"\\\\]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// A value with its members the other way round.
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let members =
                    members.iter().rev().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), reversed(value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            Value::Array(elements) => format!("[{}]", elements.iter().map(reversed).collect::<Vec<_>>().join(",")),
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn values_that_are_equal_have_one_id_and_others_have_others(one in value(), other in value()) {
            prop_assert_eq!(id(&reversed(&one)), id(&one.to_string()));
            prop_assert_eq!(id(&format!("{one:#}")), id(&one.to_string()));
            prop_assert_eq!(id(&one.to_string()) == id(&other.to_string()), one == other);
        }

        #[test]
        fn any_bytes_have_an_id(json in "[\\[\\]{}:,\"\\\\ a1]{0,40}") {
            id(&json);
        }

        #[test]
        fn depth_costs_no_stack(opened in 0usize..100_000) {
            id(&"[".repeat(opened));
        }
    }
}
