//! What one connection carries, and whether that is enough. It refuses to know how it is written.

use std::time::Instant;

use crate::buffer::Entry;
use crate::sink::RotatePlan;
use crate::sink::place::Place;

/// What one connection carries.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// To which of the hosts.
    pub(super) host: usize,
    pub(super) entries: Vec<Entry>,
    pub(super) place: Place,
    pub(super) bytes: u64,
    pub(super) events: u64,
    pub(super) begun: Option<Instant>,
}

impl Batch {
    pub(super) fn is_written(&self) -> bool {
        self.place.entry == self.entries.len()
    }

    pub(super) fn is_full(&self, plan: &RotatePlan) -> bool {
        self.bytes >= plan.bytes || self.events >= plan.events
    }

    /// Whether there is room for this entry; for the first one there always is.
    pub(super) fn has_room(&self, plan: &RotatePlan, entry: &Entry) -> bool {
        let (bytes, events) = (entry.batch.docs.len() as u64, entry.batch.len() as u64);
        self.entries.is_empty() || self.bytes + bytes <= plan.bytes && self.events + events <= plan.events
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.begun.get_or_insert_with(Instant::now);
        self.bytes += entry.batch.docs.len() as u64;
        self.events += entry.batch.len() as u64;
        self.entries.push(entry);
    }

    /// Events of which at least a part was written.
    pub(super) fn touched(&self) -> u64 {
        let whole = self.entries[..self.place.entry].iter().map(|entry| entry.batch.len()).sum::<usize>();
        let cut = self.entries.get(self.place.entry).map_or(0, |entry| {
            entry.batch.marks.partition_point(|mark| (mark.end as usize) < self.place.offset) + usize::from(self.place.offset > 0)
        });
        (whole + cut) as u64
    }
}
