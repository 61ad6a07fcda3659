//! What the value of a field is held against: equals, prefix, suffix, range, network.
//!
//! A value is bytes as they stand somewhere; where it comes from, and what follows from the answer, is its users' business.
//! Nothing is allocated for a value.

mod networks;

use ipnet::IpNet;
use networks::Networks;

/// What a field without a value holds.
const NO_VALUE: &[u8] = b"-";

/// What a value is held against. `-`, which says that there is no value, passes only [`Test::Equals`] with `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is one of these texts, byte by byte.
    Equals(Vec<String>),
    /// It starts with one of these texts.
    Prefix(Vec<String>),
    /// It ends in one of these texts.
    Suffix(Vec<String>),
    /// It is a whole number, digits alone, from `min` to `max`, both included.
    Range {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// It is an address in one of these networks. IPv4 addresses written as IPv6 (`::ffff:192.0.2.1`) are IPv4 addresses.
    Cidr(Vec<IpNet>),
}

/// A test in the form that is quick to ask, the cheapest first.
#[derive(Debug)]
pub struct Compiled(Kind);

#[derive(Debug)]
enum Kind {
    Range {
        min: u64,
        max: u64,
    },
    /// In the order of [`by_length`].
    Equals(Box<[Box<[u8]>]>),
    Prefix(Box<[Box<[u8]>]>),
    Suffix(Box<[Box<[u8]>]>),
    Cidr(Networks),
}

impl Compiled {
    /// Makes a test ready; `None` when nothing could pass it.
    pub fn new(test: Test) -> Option<Self> {
        let bytes = |texts: Vec<String>| texts.into_iter().map(|text| text.into_bytes().into_boxed_slice());
        let compiled = match test {
            Test::Equals(texts) => {
                let mut texts: Vec<Box<[u8]>> = bytes(texts).collect();
                texts.sort_unstable_by(|one, other| by_length(one, other));
                Kind::Equals(texts.into())
            }
            Test::Prefix(texts) => Kind::Prefix(bytes(texts).collect()),
            Test::Suffix(texts) => Kind::Suffix(bytes(texts).collect()),
            Test::Range { min, max } => return (min <= max).then_some(Self(Kind::Range { min, max })),
            Test::Cidr(networks) => return (!networks.is_empty()).then(|| Self(Kind::Cidr(Networks::new(&networks)))),
        };
        match &compiled {
            Kind::Equals(texts) | Kind::Prefix(texts) | Kind::Suffix(texts) if texts.is_empty() => None,
            _ => Some(Self(compiled)),
        }
    }

    /// What asking costs beside other tests: of several that must all pass the lowest is asked first.
    pub fn cost(&self) -> u8 {
        match &self.0 {
            Kind::Range { .. } => 0,
            Kind::Equals(_) => 1,
            Kind::Prefix(_) | Kind::Suffix(_) => 2,
            Kind::Cidr(_) => 3,
        }
    }

    /// Whether a value passes.
    #[inline]
    pub fn passes(&self, value: &[u8]) -> bool {
        match &self.0 {
            Kind::Equals(texts) => texts.binary_search_by(|text| by_length(text, value)).is_ok(),
            _ if value == NO_VALUE => false,
            Kind::Range { min, max } => number(value).is_some_and(|number| (*min..=*max).contains(&number)),
            Kind::Prefix(texts) => texts.iter().any(|text| value.starts_with(text)),
            Kind::Suffix(texts) => texts.iter().any(|text| value.ends_with(text)),
            Kind::Cidr(networks) => networks.contain(value),
        }
    }
}

/// Shorter texts first, so that most comparisons end at the length.
#[inline]
fn by_length(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// The number that digits stand for; `None` for anything else and from 2^64 on.
#[inline]
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
