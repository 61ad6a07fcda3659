//! What an earlier process left at the end of a log, and nobody knows to be durable: it is copied before anything new is written.
//!
//! Where there is no room for that, it stays as it is, and is tried again by each commit. It decides nothing about what it copies.

use super::Active;
use super::Log;
use super::frame_bytes;
use crate::buffer::Entry;
use crate::buffer::commit::CommitError;
use crate::buffer::format::BLOCK;
use crate::buffer::format::Point;
use crate::buffer::segments::Segment;

impl Log {
    /// Takes frames of unknown durability, read from the end of an earlier process's segment, to be copied before anything
    /// new is written.
    pub(in crate::buffer) fn take_tail(&mut self, groups: Vec<(Point, Vec<Entry>)>) -> Result<(), CommitError> {
        self.durable = groups.first().map_or(self.durable, |(first, _)| *first);
        self.tail = groups;
        self.carry_over()
    }

    /// Copies the tail and syncs it whatever the plan says. New entries follow behind it in the same segment.
    pub(super) fn carry_over(&mut self) -> Result<(), CommitError> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let groups = std::mem::take(&mut self.tail);
        let copied = self.copy(&groups);
        if copied.is_err() {
            self.tail = groups;
        }
        copied
    }

    fn copy(&mut self, groups: &[(Point, Vec<Entry>)]) -> Result<(), CommitError> {
        let bytes = groups.iter().map(|(_, entries)| frame_bytes(entries, &self.names)).sum();
        self.make_room(bytes)?;
        for (place, entries) in groups {
            let header = match self.write(entries, *place) {
                Ok(header) => header,
                Err(error) => {
                    // The next try begins anew: nobody reads what is there until all of it is.
                    self.active.as_mut().expect("room was made in it").at = BLOCK;
                    return Err(error);
                }
            };
            let active = self.active.as_mut().expect("a frame was written to it");
            active.at += header.frame_bytes();
            active.file_bytes = active.file_bytes.max(active.at);
        }
        let active = self.active.as_ref().expect("frames were written to it");
        if let Err(source) = active.file.sync() {
            self.failed = true;
            return Err(self.error("sync a segment", true, source).into());
        }
        let Active { number, at, file_bytes, first, .. } = *active;
        self.segments.push(Segment { number, first, limit: at, file_bytes });
        self.durable = self.end;
        Ok(())
    }
}
