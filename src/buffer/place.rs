//! One sink's place in a buffer on disk: what it has read and not acked, and where it reads next.
//!
//! It takes entries from memory where they are there, and from segments where they are not. Reads from segments run on a
//! thread of their own; abandoning the wait for one leaves it running, and its entries are taken the next time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::task::spawn_blocking;

use crate::buffer::Acked;
use crate::buffer::Entry;
use crate::buffer::Yields;
use crate::buffer::format::Point;
use crate::buffer::reader::Lost;
use crate::buffer::reader::Reader;
use crate::buffer::shedder::OfDisk;
use crate::buffer::store::DiskRead;
use crate::buffer::store::Store;
use crate::seq::Seq;

/// Where the next entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lagging {
    /// In memory.
    InMemory,
    /// In a segment.
    OnDisk,
    /// Nowhere yet.
    Wait,
    /// There will be none.
    End,
    /// It was given up, and so was everything before this place.
    Passed(Point),
}

/// A place that is moved by reading and acking.
#[derive(Debug)]
pub(super) struct Place {
    store: Arc<Store>,
    sink: usize,
    /// What has been given last ends there, or what is ready where there is something.
    next: Point,
    /// Away while a job has it.
    reader: Option<Reader>,
    /// What further readers are made of.
    origin: Reader,
    job: Option<JoinHandle<DiskRead>>,
    /// Read from a segment and not given yet.
    ready: VecDeque<Given>,
    /// Given and not acked.
    given: VecDeque<Given>,
    /// Number behind the furthest entry ever given.
    given_end: u64,
    /// Whether entries may be given up in its name.
    yields: bool,
    scratch: Vec<(Entry, Point)>,
}

#[derive(Debug)]
struct Given {
    entry: Option<Entry>,
    seq: u64,
    events: u64,
    bytes: u64,
    /// The place behind it, and behind what is missing there where nothing follows.
    end: Point,
}

/// Between two tries to read what a disk does not give.
const RETRY: Duration = Duration::from_secs(1);

impl Place {
    pub(super) fn new(store: Arc<Store>, sink: usize, reader: Reader) -> Self {
        let next = store.mark(sink);
        let (ready, given) = Default::default();
        let (reader, origin) = (Some(reader.again(next)), reader);
        let (job, given_end, yields, scratch) = (None, next.seq, false, Vec::new());
        Self { store, sink, next, reader, origin, job, ready, given, given_end, yields, scratch }
    }

    pub(super) fn shedder(&mut self, yields: Yields) -> OfDisk {
        self.yields = true;
        OfDisk::new(self.store.clone(), self.sink, yields, self.origin.again(self.next))
    }

    pub(super) fn given_up_before(&self) -> Option<Seq> {
        self.yields.then(|| Seq(self.store.mark(self.sink).seq))
    }

    pub(super) fn read(&mut self, entries_max: usize, bytes_max: usize, out: &mut Vec<Entry>) {
        let mut bytes = 0;
        if self.ready.is_empty() {
            if self.job.is_some() {
                return;
            }
            self.store.read(self.sink, self.next.seq, entries_max, bytes_max, &mut self.scratch);
            for (entry, end) in self.scratch.drain(..) {
                self.next = end;
                self.given_end = self.given_end.max(end.seq);
                self.given.push_back(Given::new(&entry, end));
                out.push(entry);
            }
            return;
        }
        if self.store.is_settled() {
            return;
        }
        if self.yields {
            let mark = self.store.mark(self.sink);
            while self.ready.pop_front_if(|ready| ready.end.seq <= mark.seq).is_some() {}
        }
        let mut count = 0;
        while count < entries_max
            && bytes < bytes_max
            && let Some(mut ready) = self.ready.pop_front()
        {
            if let Some(entry) = ready.entry.take() {
                bytes += entry.batch.docs.len();
                count += 1;
                out.push(entry);
            }
            self.given_end = self.given_end.max(ready.end.seq);
            self.given.push_back(ready);
        }
    }

    pub(super) async fn wait(&mut self) -> bool {
        loop {
            if self.store.is_settled() {
                return false;
            }
            if !self.ready.is_empty() {
                return true;
            }
            if let Some(job) = &mut self.job {
                // Abandoned here, the job goes on, and the next wait takes what it gave.
                let done = job.await;
                self.job = None;
                let (reader, result) = done.expect("reading does not panic");
                self.reader = Some(reader);
                match result {
                    Ok(out) => self.take(out.entries, out.lost),
                    Err(error) => {
                        tracing::error!(%error, "the buffer cannot be read; trying again in {RETRY:?}");
                        // Abandoned here, the next wait tries at once.
                        tokio::time::sleep(RETRY).await;
                    }
                }
                continue;
            }
            match self.store.look(self.sink, self.next.seq) {
                Lagging::InMemory => return true,
                Lagging::End => return false,
                Lagging::Wait => self.store.changed(self.sink).await,
                Lagging::Passed(mark) => self.next = mark,
                Lagging::OnDisk => {
                    let mut reader = self.reader.take().expect("no job has it");
                    reader.seek(self.next);
                    self.job = Some(spawn_blocking(move || {
                        let out = reader.read();
                        (reader, out)
                    }));
                }
            }
        }
    }

    /// Makes what was read ready to be given.
    fn take(&mut self, entries: Vec<(Entry, Point)>, lost: Option<Lost>) {
        if let Some(lost) = &lost {
            say_lost(lost);
            self.store.lost(lost);
            self.next = lost.to;
        }
        for (entry, end) in entries {
            self.next = end;
            self.ready.push_back(Given { entry: Some(entry.clone()), ..Given::new(&entry, end) });
        }
        if let Some(lost) = lost.filter(|_| self.ready.is_empty()) {
            // Nothing follows: the loss goes with what was given before it, or counts at once.
            match self.given.back_mut() {
                Some(last) => last.end = lost.to,
                None => self.store.ack(self.sink, lost.to, |_| 0),
            }
        }
    }

    pub(super) fn ack(&mut self, through: Seq, told: impl FnOnce(&Acked)) -> Acked {
        assert!(through.0 < self.given_end, "entry {} is acked but was never read", through.0);
        let mut acked = Acked::default();
        let count = self.given.partition_point(|given| given.seq <= through.0);
        let Some(last) = count.checked_sub(1).map(|last| self.given[last].end) else { return acked };
        let given = self.given.range(..count);
        self.store.ack(self.sink, last, |from| {
            (acked.from, acked.to) = (Seq(from.seq), Seq(last.seq));
            for given in given.filter(|given| given.seq >= from.seq) {
                acked.events += given.events;
                acked.bytes += given.bytes;
            }
            told(&acked);
            acked.events
        });
        self.given.drain(..count);
        acked
    }

    pub(super) fn rewind(&mut self) {
        self.given.clear();
        self.ready.clear();
        self.next = self.store.mark(self.sink);
        // A job under way reads on from where it was told to; what it gives is not what comes next.
        if self.job.take().is_some() {
            self.reader = Some(self.origin.again(self.next));
        }
    }

    pub(super) fn has_more(&self) -> bool {
        !self.store.is_settled() && (!self.ready.is_empty() || self.store.has_more(self.sink, self.next.seq))
    }

    pub(super) fn is_settled(&self) -> bool {
        self.store.is_settled()
    }

    pub(super) async fn settled(&self) {
        self.store.until_settled().await;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.store.is_finished(self.sink, self.given.is_empty())
    }
}

/// Says that entries cannot be read, which nobody has given up.
pub(super) fn say_lost(lost: &Lost) {
    tracing::error!(
        events = lost.events(),
        from = lost.from.seq,
        to = lost.to.seq,
        "entries in the buffer are damaged or missing; what there is of them is in its quarantine"
    );
}

impl Given {
    fn new(entry: &Entry, end: Point) -> Self {
        let (events, bytes) = (entry.batch.len() as u64, entry.batch.bytes() as u64);
        Self { entry: None, seq: entry.seq.0, events, bytes, end }
    }
}
