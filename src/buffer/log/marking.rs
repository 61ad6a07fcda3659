//! How far the sinks are, as the log keeps it, and letting go of what all of them have passed.

use super::Log;
use crate::buffer::commit::LogError;
use crate::buffer::format::Checkpoint;
use crate::buffer::format::Point;
use crate::buffer::format::segment_name;
use crate::buffer::segments::Segment;

impl Log {
    /// Writes the sinks' marks durably and lets go of the segments that all of them have passed.
    ///
    /// # Errors
    /// When the disk failed; this log must not be used again.
    pub fn checkpoint(&mut self, marks: Vec<(String, Point)>) -> Result<(), LogError> {
        assert!(!self.failed, "a log that has failed is not used again");
        let passed = marks.iter().map(|(_, mark)| mark.seq).min().unwrap_or(self.end.seq);
        let mut checkpoint = Checkpoint { uuid: self.uuid, epoch: 0, durable: self.durable, marks };
        if let Err((source, is_sync)) = self.marks_file.write(&mut checkpoint) {
            self.failed = true;
            return Err(self.error("write the checkpoint", is_sync, source));
        }
        while let Some(spent) = self.segments.take_spent(passed) {
            self.let_go(spent);
        }
        Ok(())
    }

    /// Writes the sinks' marks so that they outlive the process, if not the power; lets go of nothing.
    ///
    /// # Errors
    /// When the disk failed; this log must not be used again.
    pub fn note(&mut self, marks: Vec<(String, Point)>) -> Result<(), LogError> {
        assert!(!self.failed, "a log that has failed is not used again");
        let mut checkpoint = Checkpoint { uuid: self.uuid, epoch: 0, durable: self.durable, marks };
        self.marks_file.note(&mut checkpoint).map_err(|source| {
            self.failed = true;
            self.error("write the checkpoint", false, source)
        })
    }

    /// Keeps one spent file for the next segment and removes the others.
    fn let_go(&mut self, spent: Segment) {
        if self.spare.is_none() && spent.file_bytes == self.plan.segment_bytes {
            self.spare = Some(spent);
            return;
        }
        // A file that cannot be removed holds nothing anybody needs; the next start finds and removes it.
        let _ = self.disk.remove(&segment_name(spent.number));
    }
}
