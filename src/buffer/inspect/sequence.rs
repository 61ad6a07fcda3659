//! What the segments hold together: which entries there are, once each, who waits for them, and which are missing.
//!
//! Counting is by places, which say how many events lie before them; so what is missing is known exactly without having it.

use crate::buffer::format::Checkpoint;
use crate::buffer::format::Point;
use crate::buffer::inspect::Head;
use crate::buffer::inspect::Inspection;
use crate::buffer::inspect::scan::Run;
use crate::buffer::inspect::scan::distance;

/// One sink's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFound {
    /// Its name.
    pub name: String,
    /// The first entry it has not acked.
    pub mark: Point,
    /// Entries, events and bytes that wait for it.
    pub waiting: Point,
}

/// Entries that should be there and are in no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where they would begin.
    pub from: Point,
    /// What comes behind them.
    pub to: Point,
    /// How many events of them at least one sink waits for.
    pub lost_events: u64,
    /// The segment and the run in it that begins there; `None`: nothing comes behind them.
    pub(super) by: Option<(usize, usize)>,
}

impl Inspection {
    /// Fills in what follows from the segments and the checkpoint: `claims` is the one read before the segments, `marks` the
    /// one read behind them.
    pub(super) fn account(&mut self, claims: Option<&Checkpoint>, marks: Option<&Checkpoint>) {
        let runs = self.runs();
        let found = runs.iter().map(|(run, ..)| run.to).max_by_key(|to| to.seq);
        let claimed = claims.map(|checkpoint| {
            let marks = checkpoint.marks.iter().map(|(_, mark)| *mark);
            marks.fold(checkpoint.durable, later)
        });
        let first = runs.first().map(|(run, ..)| run.from);
        let header = self.segments.iter().find_map(|segment| match segment.head {
            Head::Whole(first) => Some(first),
            _ => None,
        });
        let start = first.into_iter().chain(header).min_by_key(|place| place.seq).unwrap_or_default();
        // Places only a checkpoint knows of do not count where it is not to be believed itself.
        self.end = later(found.unwrap_or(start), claimed.unwrap_or_default());
        self.needed = match marks.or(claims) {
            Some(checkpoint) => checkpoint.marks.iter().map(|(_, mark)| *mark).min_by_key(|mark| mark.seq).unwrap_or(self.end),
            None => start,
        };
        let mut next = if self.needed.seq < start.seq { self.needed } else { start };
        for (run, segment, at) in runs {
            if run.to.seq <= next.seq {
                continue;
            }
            if run.from.seq > next.seq {
                self.gap(next, run.from, Some((segment, at)));
            }
            let held = distance(later(later(run.from, next), self.needed), run.to);
            self.held = Point {
                seq: self.held.seq.saturating_add(held.seq),
                event: self.held.event.saturating_add(held.event),
                byte: self.held.byte.saturating_add(held.byte),
            };
            next = run.to;
        }
        if self.end.seq > next.seq {
            self.gap(next, self.end, None);
        }
        let end = self.end;
        let sinks = marks.or(claims).into_iter().flat_map(|checkpoint| &checkpoint.marks);
        let sink = |(name, mark): &(String, Point)| SinkFound { name: name.clone(), mark: *mark, waiting: distance(*mark, end) };
        self.sinks = sinks.map(sink).collect();
    }

    /// All runs with their segment and their place in it, in the order of the sequence.
    fn runs(&self) -> Vec<(Run, usize, usize)> {
        let segments = self.segments.iter().enumerate();
        let each =
            segments.flat_map(|(segment, found)| found.scan.runs.iter().enumerate().map(move |(at, run)| (*run, segment, at)));
        let mut runs: Vec<_> = each.collect();
        runs.sort_by_key(|(run, ..)| run.from.seq);
        runs
    }

    fn gap(&mut self, from: Point, to: Point, by: Option<(usize, usize)>) {
        let lost_events = distance(later(from, self.needed), to).event;
        self.gaps.push(Gap { from, to, lost_events, by });
    }
}

/// The one further on in the sequence.
fn later(one: Point, other: Point) -> Point {
    if other.seq > one.seq { other } else { one }
}
