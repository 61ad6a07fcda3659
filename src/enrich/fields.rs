//! Static fields: names and values known before an event is, rendered once and copied into every document.
//!
//! A handful per source or connection. It refuses the names the relay itself writes, and sets that are so large that
//! each event would be mostly them.

use serde_json::Value;

/// Names no static field can have: the relay decides what they hold.
pub const RESERVED: [&str; 4] = ["@timestamp", "_@timestamp", "@version", "event.id"];

/// Most fields in one set: one bit of a word each.
pub const FIELDS_MAX: usize = 64;

/// Most bytes of one rendered set. A sender may name fields once and pay for them once, but every one of its events
/// carries them.
pub const FIELDS_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of a field's name. Keys written with escapes are compared in a room of this size.
pub const FIELD_NAME_BYTES_MAX: usize = 128;

/// Why a set of fields cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// One of [`RESERVED`].
    #[error("field {name:?} is written by the relay itself")]
    Reserved {
        /// The name.
        name: String,
    },
    /// A name longer than [`FIELD_NAME_BYTES_MAX`].
    #[error("a field's name of {bytes} bytes is longer than {FIELD_NAME_BYTES_MAX}")]
    NameTooLong {
        /// Bytes of the name.
        bytes: usize,
    },
    /// More than [`FIELDS_MAX`].
    #[error("{count} fields are more than {FIELDS_MAX}")]
    TooMany {
        /// How many there were.
        count: usize,
    },
    /// More than [`FIELDS_BYTES_MAX`].
    #[error("fields of {bytes} bytes are larger than {FIELDS_BYTES_MAX}")]
    TooLarge {
        /// Bytes of the rendered set.
        bytes: usize,
    },
}

/// One static field, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    /// `,"name":value`
    text: Box<[u8]>,
    value_at: usize,
}

impl Field {
    fn new(name: String, value: &Value) -> Self {
        let mut text = format!(",{}:", Value::from(name.as_str()));
        let value_at = text.len();
        text.push_str(&value.to_string());
        Self { name, text: text.into_bytes().into_boxed_slice(), value_at }
    }

    /// Its name, unescaped.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value as JSON text without any newline.
    pub fn value(&self) -> &[u8] {
        &self.text[self.value_at..]
    }

    /// The whole member behind a comma: `,"name":value`.
    pub fn member(&self) -> &[u8] {
        &self.text
    }
}

/// An ordered set of static fields, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    list: Vec<Field>,
    tail: Vec<u8>,
    names: NameFilter,
}

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Renders fields in the order given. Of several with one name the last one counts, in the place of the first.
    ///
    /// # Errors
    /// A reserved name, one that is too long, or more than the limits allow.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, Value)>) -> Result<Self, FieldsError> {
        let mut list: Vec<Field> = Vec::new();
        for (name, value) in pairs {
            if RESERVED.contains(&name.as_str()) {
                return Err(FieldsError::Reserved { name });
            }
            if name.len() > FIELD_NAME_BYTES_MAX {
                return Err(FieldsError::NameTooLong { bytes: name.len() });
            }
            put(&mut list, Field::new(name, &value));
            if list.len() > FIELDS_MAX {
                return Err(FieldsError::TooMany { count: list.len() });
            }
        }
        Self::from_list(list)
    }

    /// These fields and those of `over`, which win where both have a name.
    ///
    /// # Errors
    /// When both together are more than the limits allow.
    pub fn merge(&self, over: &Self) -> Result<Self, FieldsError> {
        let mut list = self.list.clone();
        for field in &over.list {
            put(&mut list, field.clone());
        }
        Self::from_list(list)
    }

    fn from_list(list: Vec<Field>) -> Result<Self, FieldsError> {
        if list.len() > FIELDS_MAX {
            return Err(FieldsError::TooMany { count: list.len() });
        }
        let tail = list.iter().map(Field::member).collect::<Vec<_>>().concat();
        if tail.len() > FIELDS_BYTES_MAX {
            return Err(FieldsError::TooLarge { bytes: tail.len() });
        }
        let mut names = NameFilter::default();
        for field in &list {
            names.add(field.name.as_bytes());
        }
        Ok(Self { list, tail, names })
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.list.iter()
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The field of that name.
    pub fn find(&self, name: &str) -> Option<&Field> {
        self.list.iter().find(|field| field.name == name)
    }

    /// All of them behind one another, `,"name":value,"name":value`: what goes before an object's closing brace.
    #[inline(always)]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// What their names may be, to tell cheaply that a key is none of them.
    #[inline(always)]
    pub fn names(&self) -> &NameFilter {
        &self.names
    }
}

fn put(list: &mut Vec<Field>, field: Field) {
    match list.iter_mut().find(|old| old.name == field.name) {
        Some(old) => *old = field,
        None => list.push(field),
    }
}

/// A small Bloom filter over names: says "maybe" or "certainly not" from a name's length and outer bytes.
///
/// With the dozen names there usually are, one other key in twenty is a false alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    bits: [u64; 4],
}

impl NameFilter {
    /// Remembers a name.
    pub const fn add(&mut self, name: &[u8]) {
        let slot = Self::slot(name);
        self.bits[slot >> 6] |= 1 << (slot & 63);
    }

    /// Whether the name may be one of those remembered.
    #[inline(always)]
    pub const fn may_hold(&self, name: &[u8]) -> bool {
        let slot = Self::slot(name);
        self.bits[slot >> 6] >> (slot & 63) & 1 == 1
    }

    /// The filter of some names.
    pub const fn of(names: &[&str]) -> Self {
        let mut filter = Self { bits: [0; 4] };
        let mut at = 0;
        while at < names.len() {
            filter.add(names[at].as_bytes());
            at += 1;
        }
        filter
    }

    /// A filter that holds what either holds.
    #[inline(always)]
    pub const fn union(&self, other: &Self) -> Self {
        let (a, b) = (&self.bits, &other.bits);
        Self { bits: [a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]] }
    }

    #[inline(always)]
    const fn slot(name: &[u8]) -> usize {
        match name {
            [first, .., last] => {
                let outer = (*first as usize).wrapping_mul(7) ^ (*last as usize).wrapping_mul(29);
                (outer ^ name.len().wrapping_mul(17)) & 255
            }
            [only] => *only as usize,
            [] => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(pairs: &[(&str, Value)]) -> Fields {
        Fields::from_pairs(pairs.iter().map(|(name, value)| (name.to_string(), value.clone()))).expect("within the limits")
    }

    #[test]
    fn fields_are_rendered_in_order() {
        let set = fields(&[("Environment", json!("ci")), ("a\"b\n", json!({"x": [1, null]})), ("n", json!(7))]);
        assert_eq!(set.tail(), br#","Environment":"ci","a\"b\n":{"x":[1,null]},"n":7"#);
        let field = set.find("a\"b\n").expect("a field");
        assert_eq!(field.value(), br#"{"x":[1,null]}"#);
        assert_eq!(field.member(), br#","a\"b\n":{"x":[1,null]}"#);
        assert_eq!(set.len(), 3);
        assert!(set.find("other").is_none());
    }

    #[test]
    fn later_fields_win_in_the_place_of_the_earlier() {
        let under = fields(&[("a", json!(1)), ("b", json!(2)), ("a", json!(3))]);
        assert_eq!(under.tail(), br#","a":3,"b":2"#);
        let over = fields(&[("c", json!(4)), ("b", json!(5))]);
        assert_eq!(under.merge(&over).expect("within the limits").tail(), br#","a":3,"b":5,"c":4"#);
        assert_eq!(Fields::new().merge(&over).expect("within the limits"), over);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let reserved = Fields::from_pairs([("@version".to_owned(), json!("2"))]);
        assert_eq!(reserved, Err(FieldsError::Reserved { name: "@version".to_owned() }));
        let long = Fields::from_pairs([("a".repeat(129), json!(1))]);
        assert_eq!(long, Err(FieldsError::NameTooLong { bytes: 129 }));
        let many = Fields::from_pairs((0..65).map(|n| (n.to_string(), json!(n))));
        assert_eq!(many, Err(FieldsError::TooMany { count: 65 }));
        let large = Fields::from_pairs([("a".to_owned(), json!("x".repeat(FIELDS_BYTES_MAX)))]);
        assert_eq!(large, Err(FieldsError::TooLarge { bytes: FIELDS_BYTES_MAX + 7 }));
    }

    proptest::proptest! {
        #[test]
        fn a_filter_never_denies_a_name_it_holds(names in proptest::collection::vec("[a-zA-Z@_.]{0,12}", 0..20)) {
            let mut filter = NameFilter::default();
            names.iter().for_each(|name| filter.add(name.as_bytes()));
            proptest::prop_assert!(names.iter().all(|name| filter.may_hold(name.as_bytes())));
        }
    }
}
