//! Which copy of its content an event is, among those of one request, in memory that is bounded however many there are.
//!
//! The first contents are counted one by one. Of those that come when there are too many, only traces are kept: one whose traces
//! are not there has not come before, and is the first. One whose traces are there has come before, or seems to have, and is
//! told apart by its place in the request. All of this follows from the request alone, so that a repeat gets the same; and the
//! number only ever tells equal contents apart. It knows no ids and keeps no content.

use std::collections::HashMap;

/// Contents that are counted one by one.
const COUNTED_MAX: usize = 1 << 14;

/// Bits of the traces, as a power of two: half a MiB, with which one of twenty among a million contents is mistaken for an
/// earlier one.
const TRACE_BITS_LOG: u32 = 22;

/// Traces each content leaves.
const TRACES: u64 = 4;

/// What makes a place in the request no number of a copy.
const PLACE: u32 = 1 << 31;

/// What a content that is counted costs in a table at its emptiest: key, count and a byte of the table's, twice for the room it
/// keeps.
const COUNTED_BYTES: usize = 2 * (size_of::<(u64, u32)>() + 1);

/// The contents of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    /// How often each has come, by half of its hash.
    counted: HashMap<u64, u32>,
    /// Traces of those that are not counted; nothing where all are.
    traces: Vec<u64>,
    /// Contents so far.
    place: u32,
}

impl Copies {
    /// The number of the next event, whose content has this hash: 0 for the first of a content, and another for each further one.
    pub(super) fn next(&mut self, hash: [u8; 16]) -> u32 {
        let hash = u128::from_le_bytes(hash);
        let (half, other) = (hash as u64, (hash >> 64) as u64);
        self.place = self.place.wrapping_add(1);
        if self.counted.len() < COUNTED_MAX {
            return one_more(self.counted.entry(half).or_default());
        }
        if let Some(copies) = self.counted.get_mut(&half) {
            return one_more(copies);
        }
        if self.leave_traces(half, other) { 0 } else { PLACE | self.place }
    }

    /// Leaves the traces of a content; says whether one of them was not there yet.
    fn leave_traces(&mut self, half: u64, other: u64) -> bool {
        if self.traces.is_empty() {
            self.traces = vec![0; 1 << (TRACE_BITS_LOG - u64::BITS.ilog2())];
        }
        let mut is_new = false;
        for trace in 0..TRACES {
            let bit = half.wrapping_add(trace.wrapping_mul(other | 1)) >> (u64::BITS - TRACE_BITS_LOG);
            let (word, mask) = (&mut self.traces[(bit / 64) as usize], 1 << (bit % 64));
            is_new |= *word & mask == 0;
            *word |= mask;
        }
        is_new
    }

    /// Bytes of memory held, or some more: two MiB at the most.
    pub(super) fn held_bytes(&self) -> usize {
        self.counted.capacity() * COUNTED_BYTES + size_of_val::<[u64]>(&self.traces)
    }
}

/// Counts one more, and gives how many there were.
fn one_more(copies: &mut u32) -> u32 {
    let before = *copies;
    *copies = before.saturating_add(1);
    before
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A hash as good as any.
    fn hash(content: u64) -> [u8; 16] {
        let mixed = |seed: u64| {
            let mut x = content.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        (u128::from(mixed(1)) << 64 | u128::from(mixed(2))).to_le_bytes()
    }

    fn numbers(contents: impl IntoIterator<Item = u64>) -> Vec<u32> {
        let mut copies = Copies::default();
        contents.into_iter().map(|content| copies.next(hash(content))).collect()
    }

    #[test]
    fn a_million_contents_take_little_memory_and_nearly_all_are_the_first_of_their_own() {
        let mut copies = Copies::default();
        let others = (0..1_000_000).filter(|content| copies.next(hash(*content)) != 0).count();
        assert!(copies.held_bytes() <= 2 << 20, "{} bytes", copies.held_bytes());
        assert!(others < 50_000, "{others} seemed to have come before");
        let mut few = Copies::default();
        assert!((0..10_000).all(|content| few.next(hash(content)) == 0));
        assert!((0..10_000).all(|content| few.next(hash(content)) == 1), "they are counted");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn equal_contents_have_different_numbers_and_a_repeat_has_the_same(
            before in 0..2 * COUNTED_MAX as u64,
            contents in vec(0..60_000u64, 1..2_000),
        ) {
            let all: Vec<u64> = (0..before).chain(contents).collect();
            let first = numbers(all.iter().copied());
            prop_assert_eq!(&numbers(all.iter().copied()), &first);
            let pairs: HashSet<(u64, u32)> = all.iter().copied().zip(first).collect();
            prop_assert_eq!(pairs.len(), all.len(), "two equal ones have one number");
        }
    }
}
