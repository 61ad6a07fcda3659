//! Where a writer stands in a run of entries: turns them into slices to write and moves on by what was written.

use std::io::IoSlice;

use crate::buffer::Entry;

/// Most slices given to one write. More save nothing: entries are kilobytes each.
pub(super) const SLICES: usize = 64;

/// The next byte to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of its entry.
    pub(super) entry: usize,
    /// Its offset there; behind the last entry, zero.
    pub(super) offset: usize,
}

impl Place {
    /// Points `slices` at what comes next and says how many of them are used. None is empty.
    pub(super) fn slices<'a>(self, entries: &'a [Entry], slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut used = 0;
        let mut offset = self.offset;
        for entry in &entries[self.entry..] {
            let bytes = &entry.batch.docs[offset..];
            offset = 0;
            if bytes.is_empty() {
                continue;
            }
            slices[used] = IoSlice::new(bytes);
            used += 1;
            if used == SLICES {
                break;
            }
        }
        used
    }

    /// Moves on by so many bytes, and past entries without any.
    pub(super) fn advance(&mut self, entries: &[Entry], mut bytes: usize) {
        while let Some(entry) = entries.get(self.entry) {
            let left = entry.batch.docs.len() - self.offset;
            if bytes < left {
                self.offset += bytes;
                return;
            }
            bytes -= left;
            self.entry += 1;
            self.offset = 0;
        }
        debug_assert_eq!(bytes, 0, "no more is written than there was");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::tests::entry;

    proptest! {
        #[test]
        fn any_sequence_of_short_writes_writes_everything_once(
            lengths in proptest::collection::vec(0..9usize, 0..150),
            writes in proptest::collection::vec(0..60usize, 1..50),
        ) {
            let entries: Vec<_> = lengths.iter().enumerate().map(|(at, &length)| entry(at as u64, &"x".repeat(length))).collect();
            let total: usize = lengths.iter().sum();
            let (mut place, mut written) = (Place::default(), 0);
            for write in writes.iter().cycle().take(100_000) {
                place.advance(&entries, 0);
                let mut slices = [IoSlice::new(&[]); SLICES];
                let used = place.slices(&entries, &mut slices);
                let offered: usize = slices[..used].iter().map(|slice| slice.len()).sum();
                prop_assert!(slices[..used].iter().all(|slice| !slice.is_empty()));
                prop_assert!(offered > 0 || written == total);
                let taken = offered.min(*write);
                place.advance(&entries, taken);
                written += taken;
                if written == total {
                    break;
                }
            }
            if writes.iter().any(|&write| write > 0) {
                prop_assert_eq!(written, total);
                prop_assert_eq!(place, Place { entry: entries.len(), offset: 0 });
            }
        }
    }
}
