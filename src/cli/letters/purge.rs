//! `elbow dead-letters purge`: removes letters for good.

use std::sync::Arc;

use super::Trouble;
use super::address;
use super::change::open;
use super::counted;
use super::directory;
use super::say;
use crate::buffer::frame::SourceNames;
use crate::buffer::log::CommitError;
use crate::buffer::log::Durability;
use crate::buffer::log::LogPlan;
use crate::buffer::sift;
use crate::buffer::sift::Event;
use crate::buffer::sift::Sieve;
use crate::buffer::sift::Sifted;
use crate::cli::args::LettersPlace;
use crate::cli::args::Purged;
use crate::pipeline::letters::KEPT;

/// Bytes of a segment where no file says how large the log may be: a few writes' worth, each of which is 4 MiB at the most.
const SEGMENT_BYTES: u64 = 16 << 20;

/// What was asked for.
struct Purge<'p> {
    what: &'p Purged,
    names: &'p SourceNames,
}

impl Sieve for Purge<'_> {
    fn goes(&mut self, event: &Event<'_>) -> bool {
        match self.what {
            Purged::All => true,
            Purged::Through(last) => address(event) <= *last,
            Purged::Source(source) => *self.names.name(event.entry.batch.source) == **source,
        }
    }

    fn take(&mut self, event: &Event<'_>) -> Result<bool, CommitError> {
        Ok(self.goes(event))
    }

    fn settle(&mut self) -> Result<(), CommitError> {
        Ok(())
    }
}

pub(super) fn purge(place: &LettersPlace, what: &Purged) -> Result<u8, Trouble> {
    let (path, plan) = directory(place)?;
    if !path.exists() {
        say(&format!("0 letters removed: {} does not exist", path.display()));
        return Ok(0);
    }
    let plan = plan.as_ref().map_or(
        LogPlan { bytes_max: u64::MAX, free_bytes_min: 0, segment_bytes: SEGMENT_BYTES, durability: Durability::Disk },
        sift::plan_for,
    );
    let names = Arc::new(SourceNames::default());
    let (mut log, recovered) = open(&path, plan, names.clone(), &[KEPT.to_owned()], &[])?;
    let mut purge = Purge { what, names: &names };
    let sifted = sift::sift(&mut log, KEPT, recovered.marks[0], &mut purge);
    let Sifted { gone, stayed, moved, lost } =
        sifted.map_err(|error| Trouble::Said(format!("{error}; what has been removed is removed, the rest is there")))?;
    if lost > 0 {
        say(&format!("{lost} letters are damaged or missing and were passed over"));
    }
    say(&format!("{} removed; {stayed} stay, {moved} of them under a new address", counted(gone)));
    Ok(0)
}
