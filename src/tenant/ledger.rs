//! How much of the buffer each tenant holds: a machine that is told what is appended and what has been let go.
//!
//! Entries are let go in the order of their numbers, once every sink has them. So what is kept is not one record for each entry but
//! one for each stretch of them, which says how much of it is whose; a tenant's share is a little late in falling, by a
//! stretch at the most. It asks no buffer anything.

use std::collections::VecDeque;

/// Stretches a full buffer has. A tenant's share falls in steps of one of these parts.
const STRETCHES: u64 = 128;

/// What is held, by tenant.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Bytes of a stretch, at least.
    stretch_bytes: u64,
    stretches: VecDeque<Stretch>,
    /// Bytes held, by tenant.
    held: Vec<u64>,
}

#[derive(Debug, Default)]
struct Stretch {
    /// Number behind the last entry in it.
    end: u64,
    bytes: u64,
    by_tenant: Vec<(u32, u64)>,
}

impl Ledger {
    /// One for a buffer of so many bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { stretch_bytes: bytes_max / STRETCHES, stretches: VecDeque::new(), held: Vec::new() }
    }

    /// An entry of a tenant has been appended. Entries may be told of a little out of order.
    pub(super) fn append(&mut self, tenant: u32, seq: u64, bytes: u64) {
        let at = tenant as usize;
        if self.held.len() <= at {
            self.held.resize(at + 1, 0);
        }
        self.held[at] += bytes;
        if self.stretches.back().is_none_or(|last| last.bytes >= self.stretch_bytes) {
            self.stretches.push_back(Stretch::default());
        }
        let last = self.stretches.back_mut().expect("one has just been begun where there was none");
        last.end = last.end.max(seq + 1);
        last.bytes += bytes;
        match last.by_tenant.iter_mut().find(|(of, _)| *of == tenant) {
            Some((_, sum)) => *sum += bytes,
            None => last.by_tenant.push((tenant, bytes)),
        }
    }

    /// Every entry before this number has been let go.
    pub(super) fn let_go(&mut self, first: u64) {
        while let Some(stretch) = self.stretches.front().filter(|stretch| stretch.end <= first) {
            for (tenant, bytes) in &stretch.by_tenant {
                self.held[*tenant as usize] -= bytes;
            }
            self.stretches.pop_front();
        }
    }

    /// Bytes a tenant holds.
    pub(super) fn held(&self, tenant: u32) -> u64 {
        self.held.get(tenant as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_let_go_is_nobodys_any_more() {
        let mut ledger = Ledger::new(1_280);
        ledger.append(0, 0, 10);
        ledger.append(1, 1, 10);
        ledger.append(1, 2, 5);
        assert_eq!([0, 1, 2].map(|tenant| ledger.held(tenant)), [10, 15, 0]);
        ledger.let_go(1);
        assert_eq!([0, 1].map(|tenant| ledger.held(tenant)), [0, 15]);
        ledger.let_go(2);
        ledger.let_go(3);
        assert_eq!(ledger.held(1), 0);
    }

    proptest! {
        #[test]
        fn it_is_never_less_than_what_is_held_and_more_by_a_stretch_at_the_most(
            entries in vec((0..5u32, 1..400u64), 1..300), let_go in vec(0..300usize, 0..10),
        ) {
            let mut ledger = Ledger::new(12_800);
            for (seq, (tenant, bytes)) in entries.iter().enumerate() {
                ledger.append(*tenant, seq as u64, *bytes);
            }
            let mut let_go: Vec<usize> = let_go.into_iter().map(|first| first.min(entries.len())).collect();
            let_go.sort_unstable();
            for first in let_go {
                ledger.let_go(first as u64);
                for tenant in 0..5 {
                    let real: u64 = entries[first..].iter().filter(|(of, _)| *of == tenant).map(|(_, bytes)| bytes).sum();
                    let said = ledger.held(tenant);
                    prop_assert!(real <= said && said <= real + 100 + 400, "{real} of {tenant} is said to be {said}");
                }
            }
            ledger.let_go(entries.len() as u64);
            prop_assert!((0..5).all(|tenant| ledger.held(tenant) == 0));
        }

        #[test]
        fn it_stays_small_however_many_entries_there_are(entries in 1_000..5_000u64, bytes in 1..50u64) {
            let bytes_max = entries * bytes;
            let mut ledger = Ledger::new(bytes_max);
            for seq in 0..entries {
                ledger.append(0, seq, bytes);
            }
            prop_assert!(ledger.stretches.len() as u64 <= STRETCHES + 128, "{}", ledger.stretches.len());
        }
    }
}
