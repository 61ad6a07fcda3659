//! What is worth a line in a report: each damaged place with what it costs.
//!
//! Costs are events that at least one sink waits for and nobody will get. Every missing entry is counted at one place only.

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Display;

use crate::buffer::format::BLOCK;
use crate::buffer::format::SLOT;
use crate::buffer::format::segment_name;
use crate::buffer::inspect::Head;
use crate::buffer::inspect::Inspection;
use crate::buffer::inspect::SegmentFound;
use crate::buffer::inspect::Slot;
use crate::buffer::inspect::scan::Tail;
use crate::buffer::inspect::sequence::Gap;
use crate::buffer::marks::CHECKPOINT;
use crate::buffer::quarantine::QUARANTINE;

/// One thing to say about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name in the directory.
    pub file: String,
    /// The offset in it, in bytes.
    pub at: u64,
    /// What is there.
    pub what: What,
    /// What a sink waits for and is missing because of that.
    pub lost: Option<Missing>,
}

/// Entries that are in no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Number of the first.
    pub from: u64,
    /// Number behind the last.
    pub to: u64,
    /// Events in them.
    pub events: u64,
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The head of a segment is damaged; its frames say where it begins.
    Head,
    /// The head of a segment says that it is another one, although this one holds frames.
    HeadOfAnother(u64),
    /// So many bytes before a frame are no frame.
    NoFrame(u64),
    /// A frame with a good head and a damaged payload ends the segment.
    Payload,
    /// Nothing wrong, but something should stand there or before it.
    Nothing,
    /// No checkpoint can be read.
    NoCheckpoint,
    /// One slot of two cannot be read.
    SlotTorn,
    /// The last write to a segment was cut short: nobody was told that it is stored.
    TornTail,
    /// Readers have set so many damaged ranges aside here.
    SetAside(usize),
    /// A file or folder of something else.
    Foreign,
}

impl What {
    /// Whether it is damage, and not only worth mentioning.
    pub fn is_damage(self) -> bool {
        match self {
            Self::Head | Self::HeadOfAnother(_) | Self::NoFrame(_) | Self::Payload | Self::Nothing | Self::NoCheckpoint => true,
            Self::SlotTorn | Self::TornTail | Self::SetAside(_) | Self::Foreign => false,
        }
    }
}

impl Display for What {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => write!(to, "the segment's header is damaged; its frames are read all the same"),
            Self::HeadOfAnother(number) => write!(to, "the header is that of segment {number}; the frames are read all the same"),
            Self::NoFrame(bytes) => write!(to, "{bytes} bytes are damaged"),
            Self::Payload => write!(to, "the payload of the segment's last frame is damaged"),
            Self::Nothing => write!(to, "part of the sequence is not there"),
            Self::NoCheckpoint => write!(to, "no checkpoint can be read; each sink will begin again with the oldest entry"),
            Self::SlotTorn => write!(to, "one slot of the checkpoint was cut short or is damaged; the other one counts"),
            Self::TornTail => write!(to, "the last write was cut short; its sender was told nothing"),
            Self::SetAside(1) => write!(to, "one damaged range was set aside here while it was read"),
            Self::SetAside(ranges) => write!(to, "{ranges} damaged ranges were set aside here while they were read"),
            Self::Foreign => write!(to, "not of this buffer, and left alone"),
        }
    }
}

impl Display for Missing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.to.saturating_sub(1);
        match last.cmp(&self.from) {
            Ordering::Greater => write!(to, "entries {} to {last} are missing", self.from)?,
            Ordering::Equal | Ordering::Less => write!(to, "entry {} is missing", self.from)?,
        }
        write!(to, ", {} events lost", self.events)
    }
}

impl Inspection {
    /// Everything worth saying: segments in their order and each by offset, then the rest.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |file: &str, at, what| findings.push(Finding { file: file.to_owned(), at, what, lost: None });
        let holding = self.segments.iter().rposition(|segment| !segment.scan.runs.is_empty());
        for (index, segment) in self.segments.iter().enumerate() {
            let name = segment_name(segment.number);
            let holds = !segment.scan.runs.is_empty();
            match segment.head {
                Head::Damaged => add(&name, 0, What::Head),
                Head::Blank if holds => add(&name, 0, What::Head),
                Head::Earlier(number) if holds => add(&name, 0, What::HeadOfAnother(number)),
                // Made ahead of need, and not begun.
                Head::Whole(_) | Head::Blank | Head::Earlier(_) => {}
            }
            for damage in &segment.scan.damage {
                add(&name, damage.at, What::NoFrame(damage.bytes));
            }
            if segment.scan.tail == Tail::Torn {
                let is_last = holding.is_none_or(|holding| holding <= index);
                add(&name, segment.scan.end, if is_last { What::TornTail } else { What::Payload });
            }
        }
        for gap in self.gaps.iter().filter(|gap| gap.lost_events > 0) {
            let (file, at) = self.place(gap);
            let lost = Some(Missing { from: gap.from.seq.max(self.needed.seq), to: gap.to.seq, events: gap.lost_events });
            let behind = findings.partition_point(|finding| (&finding.file, finding.at) <= (&file, at));
            match findings[..behind]
                .iter_mut()
                .rfind(|finding| finding.file == file && finding.at == at && finding.lost.is_none())
            {
                // What was said to be durable was not only cut short.
                Some(finding) if finding.what == What::TornTail => (finding.what, finding.lost) = (What::Payload, lost),
                Some(finding) if finding.what != What::Head => finding.lost = lost,
                _ => findings.insert(behind, Finding { file, at, what: What::Nothing, lost }),
            }
        }
        self.checkpoint_findings(&mut findings);
        let mut add = |file: &str, what| findings.push(Finding { file: file.to_owned(), at: 0, what, lost: None });
        if !self.quarantine.is_empty() {
            add(QUARANTINE, What::SetAside(self.quarantine.len()));
        }
        for name in &self.foreign {
            add(name, What::Foreign);
        }
        findings
    }

    fn checkpoint_findings(&self, findings: &mut Vec<Finding>) {
        let holds = self.segments.iter().any(|segment| !segment.scan.runs.is_empty());
        let mut add = |at, what| findings.push(Finding { file: CHECKPOINT.to_owned(), at, what, lost: None });
        let Some(slots) = &self.slots else {
            if holds {
                add(0, What::NoCheckpoint);
            }
            return;
        };
        if slots.iter().any(|slot| matches!(slot, Slot::Whole(_))) {
            for (slot, at) in slots.iter().zip([0, SLOT as u64]) {
                if *slot == Slot::Damaged {
                    add(at, What::SlotTorn);
                }
            }
        } else if holds || slots.contains(&Slot::Damaged) {
            add(0, What::NoCheckpoint);
        }
    }

    /// Where a person looks for what is missing: the file and the offset in it. That is the damage before the entry behind it,
    /// or where the segment before it ends.
    fn place(&self, gap: &Gap) -> (String, u64) {
        let end = |segment: &SegmentFound| (segment_name(segment.number), segment.scan.end);
        let Some((index, run)) = gap.by else {
            let last = self.segments.iter().rfind(|segment| segment.scan.end > BLOCK);
            return last.map_or((CHECKPOINT.to_owned(), 0), end);
        };
        let segment = &self.segments[index];
        let at = segment.scan.runs[run].at;
        if let Some(damage) = segment.scan.damage.iter().rfind(|damage| damage.at < at && damage.at + damage.bytes == at) {
            return (segment_name(segment.number), damage.at);
        }
        match index.checked_sub(1) {
            Some(before) if run == 0 => end(&self.segments[before]),
            _ => (segment_name(segment.number), at),
        }
    }
}
