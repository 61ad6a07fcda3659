//! What the benches of the buffer on disk share: a folder to write in, a log there, and groups of entries.

use std::path::PathBuf;
use std::sync::Arc;

use elbow::batch::Batch;
use elbow::batch::EventId;
use elbow::batch::Mark;
use elbow::batch::SourceId;
use elbow::buffer::Entry;
use elbow::buffer::disk::RealDisk;
use elbow::buffer::frame::SourceNames;
use elbow::buffer::log::Durability;
use elbow::buffer::log::Log;
use elbow::buffer::log::LogPlan;
use elbow::seq::Seq;
use tempfile::TempDir;

/// Bytes of a segment.
pub(crate) const SEGMENT: u64 = 64 << 20;

/// Bytes of an entry's documents: what one read gives.
const ENTRY_BYTES: usize = 64 * 1024;

/// Bytes of a document, about those of an ALB line in the schema `aws`.
const DOCUMENT_BYTES: usize = 1300;

/// A folder in the one named on the command line, or where temporary files are.
pub(crate) fn folder() -> TempDir {
    let named = std::env::args().skip(1).find(|word| !word.starts_with("--")).map(PathBuf::from);
    tempfile::tempdir_in(named.unwrap_or_else(std::env::temp_dir)).expect("a folder can be made there")
}

/// A new log.
pub(crate) fn log(folder: &TempDir, durability: Durability) -> Log {
    let disk = Arc::new(RealDisk::open(folder.path()).expect("a folder"));
    let plan = LogPlan { bytes_max: 1 << 40, free_bytes_min: 0, segment_bytes: SEGMENT, durability };
    let names = Arc::new(SourceNames::new(&["elb".to_owned()]));
    Log::open(disk, plan, names, &["logstash".to_owned()], &[], [7; 16]).expect("it opens").0
}

/// Entries with about so many bytes together, numbered from `first` on; all share one batch.
pub(crate) fn group(batch: &Arc<Batch>, bytes: usize, first: u64) -> Vec<Entry> {
    (first..).take((bytes / ENTRY_BYTES).max(1)).map(|seq| Entry { seq: Seq(seq), batch: batch.clone() }).collect()
}

/// A batch as one read gives it.
pub(crate) fn batch() -> Arc<Batch> {
    let mut docs = Vec::new();
    let mut marks = Vec::new();
    while docs.len() + DOCUMENT_BYTES < ENTRY_BYTES {
        docs.extend((0..DOCUMENT_BYTES - 1).map(|at| b'a' + (at * 7 % 26) as u8));
        docs.push(b'\n');
        marks.push(Mark { end: docs.len() as u32, id: EventId([marks.len() as u8; 16]), time: marks.len() as i64, origin: None });
    }
    Arc::new(Batch {
        docs: docs.into(),
        marks: marks.into(),
        source: SourceId(0),
        received: 1,
        is_rejects: false,
        tenant: None,
        sink: None,
    })
}
