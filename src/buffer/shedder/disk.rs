//! Giving up entries on disk: read from the oldest segment as a sink would read them, up to where that can be let go of.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::task::spawn_blocking;

use super::Counted;
use super::Piece;
use super::Shed;
use crate::buffer::Entry;
use crate::buffer::Yields;
use crate::buffer::format::Point;
use crate::buffer::place::say_lost;
use crate::buffer::reader::Reader;
use crate::buffer::store::DiskRead;
use crate::buffer::store::Store;
use crate::seq::Seq;

/// The right to give up a sink's oldest entries in a store.
#[derive(Debug)]
pub(in crate::buffer) struct OfDisk {
    store: Arc<Store>,
    sink: usize,
    /// What has been read ends there.
    next: Point,
    /// Where entries are given up to in this round; nothing between two of them.
    to: Option<Point>,
    counted: Counted,
    /// Away while a job has it.
    reader: Option<Reader>,
    job: Option<JoinHandle<DiskRead>>,
}

/// Between two tries to read what a disk does not give.
const RETRY: Duration = Duration::from_secs(1);

impl OfDisk {
    pub(in crate::buffer) fn new(store: Arc<Store>, sink: usize, yields: Yields, reader: Reader) -> Self {
        store.let_shed(sink, Some(yields));
        let next = store.mark(sink);
        Self { store, sink, next, to: None, counted: Counted::default(), reader: Some(reader), job: None }
    }

    pub(super) async fn next(&mut self) -> Piece {
        loop {
            if let Some(job) = &mut self.job {
                // Abandoned here, the job goes on, and the next call takes what it gave.
                let done = job.await;
                self.job = None;
                let (reader, result) = done.expect("reading does not panic");
                let behind = reader.place();
                self.reader = Some(reader);
                let to = self.store.asked(self.sink).map(|(_, to)| to);
                match result {
                    // What was read for a place that is wanted no more is read again when it is needed.
                    Ok(out) if to.is_some() && to == self.to => {
                        if let Some(lost) = &out.lost {
                            say_lost(lost);
                            self.store.lost(lost);
                        }
                        return self.piece(out.entries, behind);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "the buffer cannot be read, and nothing is given up; trying again in {RETRY:?}");
                        // Abandoned here, the next call tries at once.
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
            let Some((mark, to)) = self.store.asked(self.sink) else {
                self.to = None;
                self.store.asking(self.sink).await;
                continue;
            };
            if self.to != Some(to) {
                (self.next, self.to) = (mark, Some(to));
                self.counted.clear();
            }
            self.next = self.next.at_least(mark);
            if self.next.seq >= to.seq {
                return self.piece(Vec::new(), to);
            }
            let mut reader = self.reader.take().expect("no job has it");
            reader.seek(self.next);
            self.job = Some(spawn_blocking(move || {
                let out = reader.read();
                (reader, out)
            }));
        }
    }

    /// What was read, as far as it is to be given up.
    fn piece(&mut self, entries: Vec<(Entry, Point)>, behind: Point) -> Piece {
        let to = self.to.expect("it is wanted");
        let is_first = self.counted.is_empty();
        let entries: Vec<Entry> = entries.into_iter().map(|(entry, _)| entry).filter(|entry| entry.seq.0 < to.seq).collect();
        self.counted.add(&entries);
        let is_last = behind.seq >= to.seq;
        self.next = if is_last { to } else { behind };
        Piece { entries, is_first, is_last }
    }

    pub(super) fn shed(&mut self, told: impl FnOnce(Shed)) {
        let (counted, to) = (&self.counted, self.next);
        self.store.shed(self.sink, to, |from| {
            told(Shed { from: Seq(from.seq), to: Seq(to.seq) });
            counted.from(from.seq)
        });
        self.counted.clear();
        // Read anew from the mark where that has not moved.
        self.to = self.to.filter(|to| self.next.seq < to.seq);
    }
}

impl Drop for OfDisk {
    fn drop(&mut self) {
        self.store.let_shed(self.sink, None);
    }
}
