//! The buffer in memory: a deque of batches under one lock, room handed out by a fair semaphore.
//!
//! The lock is held for a few moves of pointers, once per append and once per read of many entries; batches are freed
//! outside of it. It refuses to know what a sink does between reading and acking.

mod shedding;

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use tokio::sync::Notify;
use tokio::sync::Semaphore;

use crate::batch::Batch;
use crate::buffer::Acked;
use crate::buffer::BufferStat;
use crate::buffer::Closed;
use crate::buffer::CursorStat;
use crate::buffer::Entry;
use crate::buffer::Fill;
use crate::buffer::MemoryPlan;
use crate::buffer::Yields;
use crate::buffer::shedder::OfMemory;
use crate::seq::Seq;

/// The entries and what each sink has left of them.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: u64,
    /// One permit per byte. A waiting append takes what is free before anyone behind it, which makes the order fair.
    room: Semaphore,
    state: Mutex<State>,
    /// One per sink.
    wakes: Box<[Notify]>,
    /// The same for who gives up its oldest entries.
    asks: Box<[Notify]>,
}

#[derive(Debug)]
struct State {
    held: VecDeque<Held>,
    /// Number of the first entry held, or of the next one where none is.
    first: u64,
    bytes: u64,
    events: u64,
    events_appended: u64,
    closed: bool,
    /// Room that is taken.
    permits: u64,
    /// Room that each append needs that waits for it, by a number of its own.
    waiting: BTreeMap<u64, u32>,
    tickets: u64,
    /// Whether memory is short elsewhere, so that nothing more comes here although there is room.
    pressed: bool,
    sinks: Box<[Progress]>,
}

#[derive(Debug)]
struct Held {
    batch: Arc<Batch>,
    bytes: u64,
    permits: u32,
}

#[derive(Debug, Default)]
struct Progress {
    /// Number of the first entry not acked.
    next: u64,
    events: u64,
    bytes: u64,
    events_acked: u64,
    events_shed: u64,
    /// Whether an append has to wake this sink.
    waits: bool,
    /// Nothing where its entries stay until it has acked them.
    yields: Option<Yields>,
}

impl State {
    /// The number the next entry will have.
    fn end(&self) -> u64 {
        self.first + self.held.len() as u64
    }

    /// Moves a sink on to the entry `to`; says what it has passed, where that is anything.
    fn pass(&mut self, sink: usize, to: u64) -> Option<Acked> {
        let Self { held, first, sinks, .. } = self;
        let progress = &mut sinks[sink];
        if progress.next >= to {
            return None;
        }
        let mut passed = Acked { from: Seq(progress.next), to: Seq(to), ..Acked::default() };
        let index = |seq: u64| usize::try_from(seq - *first).expect("held entries fit in memory");
        for held in held.range(index(progress.next)..index(to)) {
            passed.events += held.batch.len() as u64;
            passed.bytes += held.bytes;
        }
        progress.next = to;
        progress.events -= passed.events;
        progress.bytes -= passed.bytes;
        Some(passed)
    }

    /// Whether there is not even room for one of those that wait, of whom nobody knows here which is the next.
    fn is_short(&self, bytes_max: u64) -> bool {
        let needed = self.waiting.values().max();
        self.pressed || needed.is_some_and(|needed| self.permits + u64::from(*needed) > bytes_max)
    }
}

impl Memory {
    pub(super) fn new(plan: MemoryPlan, sinks: usize) -> Self {
        let bytes_max = plan.bytes_max.clamp(1, Semaphore::MAX_PERMITS as u64);
        let state = State {
            held: VecDeque::new(),
            first: 0,
            bytes: 0,
            events: 0,
            events_appended: 0,
            closed: false,
            permits: 0,
            waiting: BTreeMap::new(),
            tickets: 0,
            pressed: false,
            sinks: (0..sinks).map(|_| Progress::default()).collect(),
        };
        let room = Semaphore::new(usize::try_from(bytes_max).expect("clamped to a number of permits"));
        let bells = || (0..sinks).map(|_| Notify::new()).collect();
        Self { bytes_max, room, state: Mutex::new(state), wakes: bells(), asks: bells() }
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Seq, Closed> {
        let permits = self.permits(&batch);
        let mut waiting = None;
        let permit = match self.room.try_acquire_many(permits) {
            Ok(permit) => permit,
            Err(_) => {
                waiting = Some(Waiting::new(self, permits));
                // Abandoned here, the semaphore takes the call out of its queue and the batch is dropped.
                self.room.acquire_many(permits).await.map_err(|_| Closed)?
            }
        };
        let seq = self.push(batch, permits).map_err(|_| Closed)?;
        permit.forget();
        drop(waiting);
        Ok(seq)
    }

    pub(super) fn try_append(&self, batch: Batch) -> Result<Seq, Batch> {
        let permits = self.permits(&batch);
        let Ok(permit) = self.room.try_acquire_many(permits) else { return Err(batch) };
        let seq = self.push(batch, permits)?;
        permit.forget();
        Ok(seq)
    }

    /// Room a batch takes: its bytes, or all there is for one that is larger. Never none, so that an empty batch queues too.
    fn permits(&self, batch: &Batch) -> u32 {
        let bytes = (batch.bytes() as u64).clamp(1, self.bytes_max);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn push(&self, batch: Batch, permits: u32) -> Result<Seq, Batch> {
        let (bytes, events) = (batch.bytes() as u64, batch.len() as u64);
        let batch = Arc::new(batch);
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Err(Arc::into_inner(batch).expect("nobody else has seen the batch"));
        }
        let seq = state.end();
        state.bytes += bytes;
        state.events += events;
        state.events_appended += events;
        let mut waits = false;
        for sink in &mut state.sinks {
            sink.events += events;
            sink.bytes += bytes;
            waits |= sink.waits;
        }
        state.held.push_back(Held { batch, bytes, permits });
        state.permits += u64::from(permits);
        if waits {
            self.wake(&mut state);
        }
        let asks = !state.waiting.is_empty();
        drop(state);
        if asks {
            // What this one has taken may be what another one lacks.
            self.ask_all();
        }
        Ok(Seq(seq))
    }

    /// Wakes every sink that waits. A wake-up is remembered by the sink's `Notify` until it looks.
    fn wake(&self, state: &mut State) {
        for (sink, wake) in state.sinks.iter_mut().zip(&self.wakes) {
            if std::mem::take(&mut sink.waits) {
                wake.notify_one();
            }
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(&mut state);
        drop(state);
        self.room.close();
    }

    pub(super) fn fill(&self) -> Fill {
        let state = self.lock();
        let stays = || state.sinks.iter().filter(|sink| sink.yields.is_none());
        let first = stays().map(|sink| sink.next).min().unwrap_or(state.end());
        let bytes = stays().map(|sink| sink.bytes).max().unwrap_or(0);
        Fill { first: Seq(first), bytes, bytes_max: self.bytes_max }
    }

    pub(super) fn stat(&self) -> BufferStat {
        let mut cursors = Vec::with_capacity(self.wakes.len());
        let state = self.lock();
        let each = state.sinks.iter();
        cursors.extend(each.map(|sink| {
            let Progress { events, bytes, events_acked, events_shed, .. } = *sink;
            CursorStat { events, bytes, events_acked, events_shed, ..CursorStat::default() }
        }));
        BufferStat {
            bytes: state.bytes,
            bytes_max: self.bytes_max,
            entries: state.held.len() as u64,
            events: state.events,
            oldest: state.held.front().map(|held| held.batch.received),
            events_appended: state.events_appended,
            cursors,
            ..BufferStat::default()
        }
    }

    /// Lets go of what every sink has passed; `freed` is where that is put to be freed outside the lock.
    fn free(&self, mut state: MutexGuard<'_, State>, freed: &mut Vec<Held>) {
        let done = state.sinks.iter().map(|sink| sink.next).min().unwrap_or(state.first);
        let mut room = 0;
        while state.first < done {
            let entry = state.held.pop_front().expect("what a sink has passed was held");
            state.first += 1;
            state.bytes -= entry.bytes;
            state.events -= entry.batch.len() as u64;
            state.permits -= u64::from(entry.permits);
            room += entry.permits as usize;
            freed.push(entry);
        }
        state.pressed &= room == 0;
        drop(state);
        freed.clear();
        if room > 0 {
            self.room.add_permits(room);
        }
    }

    /// Wakes whoever gives up entries.
    fn ask_all(&self) {
        self.asks.iter().for_each(Notify::notify_one);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under the buffer's lock")
    }
}

/// An append that waits for room; dropping it says that it does so no more.
struct Waiting<'m> {
    memory: &'m Memory,
    ticket: u64,
}

impl<'m> Waiting<'m> {
    fn new(memory: &'m Memory, permits: u32) -> Self {
        let mut state = memory.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.insert(ticket, permits);
        drop(state);
        memory.ask_all();
        Self { memory, ticket }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.memory.lock().waiting.remove(&self.ticket);
    }
}

/// One sink's place in the deque.
#[derive(Debug)]
pub(super) struct Place {
    memory: Arc<Memory>,
    sink: usize,
    /// Number of the entry to read next.
    next: u64,
    /// Number behind the furthest entry ever read.
    read_end: u64,
    /// Whether entries may be given up in its name.
    yields: bool,
    /// Entries on their way to be freed outside the lock; kept for its memory.
    freed: Vec<Held>,
}

impl Place {
    pub(super) fn new(memory: Arc<Memory>, sink: usize) -> Self {
        Self { memory, sink, next: 0, read_end: 0, yields: false, freed: Vec::new() }
    }

    pub(super) fn shedder(&mut self, yields: Yields) -> OfMemory {
        self.yields = true;
        OfMemory::new(self.memory.clone(), self.sink, yields)
    }

    pub(super) fn given_up_before(&self) -> Option<Seq> {
        self.yields.then(|| Seq(self.memory.lock().sinks[self.sink].next))
    }

    pub(super) fn read(&mut self, entries_max: usize, bytes_max: usize, out: &mut Vec<Entry>) {
        let state = self.memory.lock();
        self.next = self.next.max(state.sinks[self.sink].next);
        let from = usize::try_from(self.next - state.first).expect("held entries fit in memory");
        let mut bytes = 0;
        for held in state.held.range(from..).take(entries_max) {
            out.push(Entry { seq: Seq(self.next), batch: held.batch.clone() });
            self.next += 1;
            bytes += held.batch.docs.len();
            if bytes >= bytes_max {
                break;
            }
        }
        self.read_end = self.read_end.max(self.next);
    }

    pub(super) async fn wait(&mut self) -> bool {
        loop {
            {
                let mut state = self.memory.lock();
                self.next = self.next.max(state.sinks[self.sink].next);
                if self.next < state.end() {
                    return true;
                }
                if state.closed {
                    return false;
                }
                state.sinks[self.sink].waits = true;
            }
            // Abandoned here, the next append leaves a wake-up behind that only makes the next wait look twice.
            self.memory.wakes[self.sink].notified().await;
        }
    }

    pub(super) fn ack(&mut self, through: Seq, told: impl FnOnce(&Acked)) -> Acked {
        assert!(through.0 < self.read_end, "entry {} is acked but was never read", through.0);
        let memory = &*self.memory;
        let mut state = memory.lock();
        let mut acked = Acked::default();
        if let Some(passed) = state.pass(self.sink, through.0 + 1) {
            acked = passed;
            told(&acked);
            state.sinks[self.sink].events_acked += acked.events;
            self.next = self.next.max(acked.to.0);
        }
        let asks = state.is_short(memory.bytes_max);
        memory.free(state, &mut self.freed);
        if asks {
            // Where a sink that gives up nothing has moved on, it may make room now that others do.
            memory.ask_all();
        }
        acked
    }

    pub(super) fn rewind(&mut self) {
        self.next = self.memory.lock().sinks[self.sink].next;
    }

    pub(super) fn has_more(&self) -> bool {
        let state = self.memory.lock();
        self.next.max(state.sinks[self.sink].next) < state.end()
    }

    pub(super) fn is_finished(&self) -> bool {
        let state = self.memory.lock();
        state.closed && state.sinks[self.sink].next == state.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;
    use crate::batch::EventId;
    use crate::batch::Mark;
    use crate::batch::SourceId;
    use crate::buffer::Buffer;
    use crate::buffer::Cursor;
    use crate::buffer::Receipt;

    const MOMENT: Duration = Duration::from_secs(20);

    fn batch(events: u32, received: i64) -> Batch {
        let marks = (1..=events).map(|end| Mark { end: end * 3, id: EventId([0; 16]), time: 0, origin: None }).collect();
        Batch {
            docs: Bytes::from("{}\n".repeat(events as usize)),
            marks,
            source: SourceId(0),
            received,
            is_rejects: false,
            tenant: None,
            sink: None,
        }
    }

    fn bytes(events: u32) -> u64 {
        batch(events, 0).bytes() as u64
    }

    fn buffer(bytes_max: u64, sinks: usize) -> (Buffer, Vec<Cursor>) {
        Buffer::memory(MemoryPlan { bytes_max }, sinks)
    }

    fn read_one(cursor: &mut Cursor) -> Option<Entry> {
        let mut out = Vec::new();
        cursor.read(1, usize::MAX, &mut out);
        out.pop()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(u32),
        Read { sink: usize, entries: usize, bytes: usize },
        Ack { sink: usize, back: u64 },
        Rewind(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..40u32).prop_map(Step::Append),
            3 => (0..3usize, 0..6usize, 0..200usize).prop_map(|(sink, entries, bytes)| Step::Read { sink, entries, bytes }),
            3 => (0..3usize, 0..4u64).prop_map(|(sink, back)| Step::Ack { sink, back }),
            1 => (0..3usize).prop_map(Step::Rewind),
        ];
        vec(step, 1..120)
    }

    /// The buffer as one would write it without a thought for speed: nothing is ever removed.
    #[derive(Default)]
    struct Model {
        /// Events of every entry ever appended.
        entries: Vec<u32>,
        acked: [usize; 3],
        read: [usize; 3],
        furthest: [usize; 3],
    }

    impl Model {
        fn held(&self) -> &[u32] {
            &self.entries[self.acked.into_iter().min().expect("three sinks")..]
        }

        fn stat(&self, bytes_max: u64) -> BufferStat {
            let events = |entries: &[u32]| entries.iter().map(|&events| u64::from(events)).sum::<u64>();
            let size = |entries: &[u32]| entries.iter().map(|&events| bytes(events)).sum::<u64>();
            let oldest = self.entries.len() - self.held().len();
            BufferStat {
                bytes: size(self.held()),
                bytes_max,
                entries: self.held().len() as u64,
                events: events(self.held()),
                oldest: (!self.held().is_empty()).then_some(oldest as i64),
                events_appended: events(&self.entries),
                cursors: self
                    .acked
                    .iter()
                    .map(|&acked| CursorStat {
                        events: events(&self.entries[acked..]),
                        bytes: size(&self.entries[acked..]),
                        events_acked: events(&self.entries[..acked]),
                        ..CursorStat::default()
                    })
                    .collect(),
                ..BufferStat::default()
            }
        }
    }

    fn act(step: &Step, buffer: &Buffer, cursors: &mut [Cursor], model: &mut Model, bytes_max: u64) {
        match *step {
            Step::Append(events) => {
                let fits = is_room(model, bytes_max, events);
                let taken = buffer.try_append(batch(events, model.entries.len() as i64));
                assert_eq!(taken.is_ok(), fits || model.held().is_empty());
                if let Ok(receipt) = taken {
                    assert_eq!(receipt.seq(), Seq(model.entries.len() as u64));
                    model.entries.push(events);
                }
            }
            Step::Read { sink, entries, bytes } => {
                let mut out = Vec::new();
                cursors[sink].read(entries, bytes, &mut out);
                let mut left = bytes;
                for entry in &out {
                    assert!(left > 0 || bytes == 0, "no further entry once the bytes are passed");
                    assert_eq!(entry.seq, Seq(model.read[sink] as u64));
                    assert_eq!(entry.batch.len(), model.entries[model.read[sink]] as usize);
                    left = left.saturating_sub(entry.batch.docs.len());
                    model.read[sink] += 1;
                }
                let cut = out.len() == entries || left == 0;
                assert!(cut || model.read[sink] == model.entries.len(), "a read gives what there is");
                model.furthest[sink] = model.furthest[sink].max(model.read[sink]);
            }
            Step::Ack { sink, back } => {
                let Some(through) = (model.furthest[sink] as u64).checked_sub(back + 1) else { return };
                let to = model.acked[sink].max(through as usize + 1);
                let events: u32 = model.entries[model.acked[sink]..to].iter().sum();
                let size = model.entries[model.acked[sink]..to].iter().map(|&events| bytes(events)).sum();
                let acked = cursors[sink].ack(Seq(through));
                let range = if to > model.acked[sink] { (model.acked[sink] as u64, to as u64) } else { (0, 0) };
                assert_eq!((acked.from.0, acked.to.0, acked.events, acked.bytes), (range.0, range.1, events.into(), size));
                model.acked[sink] = to;
                model.read[sink] = model.read[sink].max(to);
            }
            Step::Rewind(sink) => {
                cursors[sink].rewind();
                model.read[sink] = model.acked[sink];
            }
        }
        for (cursor, read) in cursors.iter().zip(model.read) {
            assert_eq!(cursor.has_more(), read < model.entries.len());
        }
    }

    /// An empty batch holds a byte of room, so that it queues like any other.
    fn is_room(model: &Model, bytes_max: u64, events: u32) -> bool {
        let room = |events: u32| bytes(events).clamp(1, bytes_max);
        model.held().iter().map(|&events| room(events)).sum::<u64>() + room(events) <= bytes_max
    }

    proptest! {
        #[test]
        fn it_is_a_list_with_places_and_a_bound(steps in steps(), bytes_max in 1..1500u64) {
            let (buffer, mut cursors) = buffer(bytes_max, 3);
            let mut model = Model::default();
            for step in &steps {
                act(step, &buffer, &mut cursors, &mut model, bytes_max);
                let stat = buffer.stat();
                prop_assert_eq!(&stat, &model.stat(bytes_max));
                prop_assert!(stat.bytes <= bytes_max || stat.entries == 1);
                for cursor in &stat.cursors {
                    prop_assert_eq!(cursor.events + cursor.events_acked, stat.events_appended);
                }
            }
        }
    }

    #[test]
    fn an_entry_is_freed_by_the_last_ack_and_not_before() {
        let (buffer, mut cursors) = buffer(10_000, 2);
        let _ = buffer.try_append(batch(1, 0)).expect("there is room");
        let held = Arc::downgrade(&read_one(&mut cursors[0]).expect("an entry").batch);
        let _ = read_one(&mut cursors[1]);
        let _ = cursors[0].ack(Seq(0));
        assert!(held.upgrade().is_some());
        let _ = cursors[1].ack(Seq(0));
        assert!(held.upgrade().is_none());
    }

    #[test]
    #[should_panic(expected = "never read")]
    fn what_was_never_read_cannot_be_acked() {
        let (buffer, mut cursors) = buffer(10_000, 1);
        let _ = buffer.try_append(batch(1, 0)).expect("there is room");
        let _ = cursors[0].ack(Seq(0));
    }

    #[tokio::test]
    async fn whoever_waits_is_served_in_order_and_nobody_slips_past() {
        let (buffer, mut cursors) = buffer(bytes(4), 1);
        let _ = buffer.append(batch(3, 0)).await.expect("open");
        let mut large = Box::pin(buffer.append(batch(4, 1)));
        assert!(timeout(Duration::ZERO, &mut large).await.is_err());
        assert!(buffer.try_append(batch(1, 2)).is_err(), "there is room for it, but another one waits");
        let mut small = Box::pin(buffer.append(batch(1, 3)));
        assert!(timeout(Duration::ZERO, &mut small).await.is_err());

        let _ = read_one(&mut cursors[0]);
        let _ = cursors[0].ack(Seq(0));
        assert_eq!(timeout(MOMENT, large).await.expect("there is room").map(|receipt| receipt.seq()), Ok(Seq(1)));
        assert!(timeout(Duration::ZERO, &mut small).await.is_err());
        let _ = read_one(&mut cursors[0]);
        let _ = cursors[0].ack(Seq(1));
        let receipt = timeout(MOMENT, small).await.expect("there is room").expect("open");
        assert_eq!(receipt.seq(), Seq(2));
        assert_eq!(receipt.stored().await, crate::buffer::Stored::Yes);
    }

    #[tokio::test]
    async fn an_abandoned_wait_leaves_nothing_behind() {
        let (buffer, mut cursors) = buffer(bytes(4), 1);
        let _ = buffer.append(batch(4, 0)).await.expect("open");
        assert!(timeout(Duration::from_millis(5), buffer.append(batch(2, 1))).await.is_err());
        let _ = read_one(&mut cursors[0]);
        let _ = cursors[0].ack(Seq(0));
        assert!(!cursors[0].has_more());
        assert_eq!(buffer.try_append(batch(4, 2)).map(|receipt| receipt.seq()).ok(), Some(Seq(1)));
    }

    #[tokio::test]
    async fn closing_turns_the_waiting_away_and_keeps_what_is_held() {
        let (buffer, mut cursors) = buffer(bytes(1), 1);
        let _ = buffer.append(batch(1, 0)).await.expect("open");
        let waiting = tokio::spawn({
            let buffer = buffer.clone();
            async move { buffer.append(batch(1, 1)).await.map(|receipt: Receipt| receipt.seq()) }
        });
        tokio::task::yield_now().await;
        buffer.close();
        assert_eq!(timeout(MOMENT, waiting).await.expect("turned away").expect("no panic"), Err(Closed));
        assert!(buffer.try_append(batch(1, 2)).is_err());
        assert!(cursors[0].wait().await && !cursors[0].is_finished());
        let _ = read_one(&mut cursors[0]);
        assert!(!cursors[0].wait().await && !cursors[0].is_finished());
        let _ = cursors[0].ack(Seq(0));
        assert!(cursors[0].is_finished());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_up_is_lost_between_many_tasks() {
        const SENDERS: i64 = 4;
        const EACH: i64 = 2_000;
        let (buffer, cursors) = buffer(bytes(1) * 3, 2);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let buffer = buffer.clone();
                tokio::spawn(async move {
                    for at in 0..EACH {
                        let _ = buffer.append(batch(1, sender * EACH + at)).await.expect("open");
                    }
                })
            })
            .collect();
        let sinks: Vec<_> = cursors.into_iter().map(|cursor| tokio::spawn(drain(cursor))).collect();
        for sender in senders {
            timeout(MOMENT, sender).await.expect("senders end").expect("no panic");
        }
        buffer.close();
        for sink in sinks {
            let mut seen = timeout(MOMENT, sink).await.expect("sinks end").expect("no panic");
            for sender in 0..SENDERS {
                let own: Vec<i64> = seen.iter().copied().filter(|at| at / EACH == sender).collect();
                assert!(own.is_sorted(), "each sender's order is kept");
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..SENDERS * EACH).collect::<Vec<_>>());
        }
        assert_eq!(buffer.stat().bytes, 0);
    }

    #[tokio::test]
    async fn what_waits_has_the_oldest_given_up_and_no_more_than_that() {
        for yields in [Yields::First, Yields::Last] {
            given_up_for_one_that_waits(yields).await;
        }
    }

    async fn given_up_for_one_that_waits(yields: Yields) {
        // A step is one entry.
        let (buffer, mut cursors) = buffer(bytes(1) * 64, 2);
        let mut shedder = cursors[0].shedder(yields);
        for at in 0..64 {
            let _ = buffer.append(batch(1, at)).await.expect("open");
        }
        assert!(timeout(Duration::ZERO, shedder.next()).await.is_err(), "nobody waits");
        let mut waiting = Box::pin(buffer.append(batch(2, 64)));
        assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
        assert!(timeout(Duration::ZERO, shedder.next()).await.is_err(), "the other sink has it all");
        let mut out = Vec::new();
        cursors[1].read(64, usize::MAX, &mut out);
        let _ = cursors[1].ack(Seq(40));
        cursors[0].read(3, usize::MAX, &mut out);
        for at in 0..2 {
            let piece = timeout(MOMENT, shedder.next()).await.expect("somebody waits");
            assert_eq!(piece.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [at]);
            shedder.shed(|shed| assert_eq!((shed.from.0, shed.to.0), (at, at + 1)));
        }
        assert!(timeout(Duration::ZERO, shedder.next()).await.is_err(), "that is enough for who waits");
        assert_eq!(timeout(MOMENT, waiting).await.expect("there is room").map(|receipt| receipt.seq()), Ok(Seq(64)));
        let acked = cursors[0].ack(Seq(2));
        assert_eq!((acked.from, acked.to, acked.events), (Seq(2), Seq(3), 1), "the first two were given up");
        assert_eq!(cursors[0].ack(Seq(1)).events, 0);
        let stat = buffer.stat();
        assert_eq!((stat.cursors[0].events_shed, stat.cursors[0].events_acked, stat.cursors[0].events), (2, 1, 63));
        assert_eq!((stat.cursors[1].events_shed, stat.cursors[1].events_acked), (0, 41));
    }

    #[tokio::test]
    async fn a_sink_reads_on_behind_what_was_given_up() {
        let (buffer, mut cursors) = buffer(bytes(1) * 64, 1);
        let mut shedder = cursors[0].shedder(Yields::First);
        for at in 0..10 {
            let _ = buffer.append(batch(1, at)).await.expect("open");
        }
        for _ in 0..4 {
            buffer.press();
            let _ = timeout(MOMENT, shedder.next()).await.expect("it is asked");
            shedder.shed(|_| {});
        }
        assert_eq!(read_one(&mut cursors[0]).map(|entry| entry.seq), Some(Seq(4)));
        cursors[0].rewind();
        for _ in 0..6 {
            buffer.press();
            let _ = timeout(MOMENT, shedder.next()).await.expect("it is asked");
            shedder.shed(|_| {});
        }
        assert!(!cursors[0].has_more() && read_one(&mut cursors[0]).is_none());
        buffer.press();
        assert!(timeout(Duration::ZERO, shedder.next()).await.is_err(), "there is nothing");
        buffer.close();
        assert!(!timeout(MOMENT, cursors[0].wait()).await.expect("it is closed") && cursors[0].is_finished());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_up_is_lost_while_the_oldest_are_given_up() {
        const SENDERS: i64 = 4;
        const EACH: i64 = 1_000;
        let (buffer, mut cursors) = buffer(bytes(1) * 5, 2);
        let mut shedder = cursors[1].shedder(Yields::Last);
        let shed = tokio::spawn(async move {
            loop {
                let _ = shedder.next().await;
                shedder.shed(|_| {});
            }
        });
        let good = tokio::spawn(drain(cursors.remove(0)));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let buffer = buffer.clone();
                tokio::spawn(async move {
                    for at in 0..EACH {
                        let events = 1 + (at % 4) as u32;
                        let _ = buffer.append(batch(events, sender * EACH + at)).await.expect("open");
                    }
                })
            })
            .collect();
        for sender in senders {
            timeout(MOMENT, sender).await.expect("senders end").expect("no panic");
        }
        buffer.close();
        assert_eq!(timeout(MOMENT, good).await.expect("it ends").expect("no panic").len() as i64, SENDERS * EACH);
        let stat = buffer.stat();
        assert_eq!(stat.cursors[0].events_shed, 0, "who keeps up loses nothing");
        assert_eq!(stat.cursors[1].events_shed + stat.cursors[1].events, stat.events_appended);
        shed.abort();
    }

    async fn drain(mut cursor: Cursor) -> Vec<i64> {
        let (mut seen, mut out) = (Vec::new(), Vec::new());
        while cursor.wait().await {
            cursor.read(2, usize::MAX, &mut out);
            let last = out.last().expect("there was something to read").seq;
            seen.extend(out.drain(..).map(|entry| entry.batch.received));
            let _ = cursor.ack(last);
        }
        assert!(cursor.is_finished());
        seen
    }
}
