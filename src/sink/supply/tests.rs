//! Tests of a supply, with a selection and without: against a model, whatever is read, acked and rewound in which order.

use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::Origin;
use crate::batch::SourceId;
use crate::buffer::Buffer;
use crate::buffer::MemoryPlan;
use crate::buffer::Shedder;
use crate::buffer::Yields;
use crate::select::ConditionPlan;
use crate::select::SelectPlan;
use crate::select::Subject;

/// Bytes of the buffer: a handful of entries are given up at once.
const ROOM: u64 = 1 << 16;

/// Documents with a number each, of which the sink is to have those with `true`.
fn batch(seq: usize, wanted: &[bool]) -> Batch {
    let (mut docs, mut marks) = (String::new(), Vec::new());
    for (at, wanted) in wanted.iter().enumerate() {
        docs += &format!("{seq}.{at}\n");
        let origin = Some(if *wanted { Origin::Json } else { Origin::Text });
        marks.push(Mark { end: docs.len() as u32, id: EventId([at as u8; 16]), time: 0, origin });
    }
    let marks = marks.into();
    Batch { docs: docs.into(), marks, source: SourceId(0), received: 0, is_rejects: false, tenant: None, sink: None }
}

/// What of such a batch the sink is to have.
fn wanted_part(seq: usize, wanted: &[bool]) -> String {
    let documents = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
    documents.map(|(at, _)| format!("{seq}.{at}\n")).collect()
}

/// A supply, what it is made from, and what should come out of it.
struct World {
    buffer: Buffer,
    supply: Supply,
    state: Arc<SinkState>,
    /// Whether the sink has a selection.
    selects: bool,
    /// Every batch appended.
    all: Vec<Vec<bool>>,
    /// Of the entries with something for the sink, those acked, those given since, and those ever given.
    acked: usize,
    given: usize,
    furthest: usize,
    delivered: u64,
    shedder: Shedder,
    /// Events of entries that were given up: those the sink was to have, and the others.
    given_up: (u64, u64),
}

/// Whose a batch is.
#[derive(Clone, Copy, Debug)]
enum For {
    Everybody,
    ThisOne,
    Another,
}

impl World {
    fn new() -> Self {
        Self::that(true)
    }

    fn that(selects: bool) -> Self {
        Self::with_room(selects, ROOM)
    }

    fn with_room(selects: bool, bytes_max: u64) -> Self {
        let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max }, 1);
        let shedder = cursors[0].shedder(Yields::Last);
        let state = Arc::new(SinkState::new("sink"));
        let json = ConditionPlan { subject: Subject::Format(vec![Origin::Json]), negate: false };
        let select = Select::new(SelectPlan { conditions: vec![json] });
        let supply = Supply::new(cursors.pop().expect("one cursor"), selects.then_some(select), state.clone());
        let (all, acked, given, furthest, delivered, given_up) = Default::default();
        Self { buffer, supply, state, selects, all, acked, given, furthest, delivered, shedder, given_up }
    }

    fn append(&mut self, wanted: &[bool]) {
        self.append_for(For::Everybody, wanted);
    }

    fn append_for(&mut self, whose: For, wanted: &[bool]) {
        let batch = batch(self.all.len(), wanted);
        let (sink, wanted) = match whose {
            For::Everybody => (None, wanted.iter().map(|wanted| *wanted || !self.selects).collect()),
            For::ThisOne => (Some("sink".into()), vec![true; wanted.len()]),
            For::Another => (Some("another".into()), vec![false; wanted.len()]),
        };
        assert!(self.buffer.try_append(Batch { sink, ..batch }).is_ok(), "there is room");
        self.all.push(wanted);
    }

    /// The entries with something for the sink: number, text, events.
    fn wanted(&self) -> Vec<(u64, String, u64)> {
        let of = |(seq, wanted): (usize, &Vec<bool>)| {
            let events = wanted.iter().filter(|wanted| **wanted).count() as u64;
            (seq as u64, wanted_part(seq, wanted), events)
        };
        self.all.iter().enumerate().map(of).filter(|(_, _, events)| *events > 0).collect()
    }

    fn read(&mut self, entries_max: usize, bytes_max: usize) {
        let mut out = Vec::new();
        self.supply.read(entries_max, bytes_max, &mut out);
        assert!(out.len() <= entries_max);
        let wanted = self.wanted();
        for entry in &out {
            let (seq, text, _) = &wanted[self.given];
            assert_eq!((entry.seq.0, &entry.batch.docs[..]), (*seq, text.as_bytes()));
            self.given += 1;
        }
        if !out.is_empty() {
            self.furthest = self.furthest.max(self.given);
        }
        self.check();
    }

    /// Acks one of those ever given and all before it.
    fn ack(&mut self, which: usize) {
        let Some(at) = self.furthest.saturating_sub(self.acked).checked_sub(1).map(|last| self.acked + which.min(last)) else {
            return;
        };
        let wanted = self.wanted();
        let events: u64 = wanted[self.acked..=at].iter().map(|(_, _, events)| events).sum();
        let acked = self.supply.ack(Seq(wanted[at].0));
        assert_eq!(acked.events, events);
        self.delivered += events;
        self.acked = at + 1;
        self.given = self.given.max(self.acked);
        self.check();
    }

    /// Acks one of those ever given that is acked or was given up: that counts as nothing.
    fn ack_again(&mut self, which: usize) {
        let Some(last) = self.furthest.min(self.acked).checked_sub(1) else { return };
        let seq = Seq(self.wanted()[last.saturating_sub(which)].0);
        assert_eq!(self.supply.ack(seq).events, 0);
        self.check();
    }

    /// Gives up what the buffer asks for.
    fn shed(&mut self) {
        self.buffer.press();
        let is_asked = pin!(self.shedder.next()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert_eq!(is_asked, self.buffer.stat().cursors[0].events > 0);
        if !is_asked {
            return;
        }
        let mut told = None;
        self.shedder.shed(|shed| told = Some(shed));
        let shed = told.expect("nothing else has moved");
        for wanted in &self.all[shed.from.0 as usize..shed.to.0 as usize] {
            let of_sink = wanted.iter().filter(|wanted| **wanted).count() as u64;
            self.given_up.0 += of_sink;
            self.given_up.1 += wanted.len() as u64 - of_sink;
        }
        self.acked = self.wanted().iter().filter(|(seq, _, _)| *seq < shed.to.0).count();
        self.given = self.given.max(self.acked);
        self.check();
    }

    fn rewind(&mut self) {
        self.supply.rewind();
        self.given = self.acked;
        self.check();
    }

    /// Waits as long as that needs nothing new, which is nothing at all where it is not told.
    fn wait(&mut self) -> Option<bool> {
        let mut wait = pin!(self.supply.wait());
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..8 {
            if let Poll::Ready(more) = wait.as_mut().poll(&mut context) {
                return Some(more);
            }
        }
        None
    }

    /// Waits, and checks what that says and what it has let go of.
    fn wait_and_check(&mut self, is_closed: bool) {
        let wanted = self.wanted();
        let mut said = self.wait();
        while !self.selects && said == Some(true) && self.given == wanted.len() {
            // What is for others alone is let go of by looking.
            self.read(1, usize::MAX);
            said = self.wait();
        }
        if self.given < wanted.len() {
            assert_eq!(said, Some(true));
        } else {
            assert_eq!(said, is_closed.then_some(false));
            // Everything has been looked at: only what stands behind something outstanding is still held.
            let first = wanted.get(self.acked).map_or(self.all.len(), |(seq, _, _)| *seq as usize);
            let held: usize = self.all[first..].iter().map(Vec::len).sum();
            assert_eq!(self.buffer.stat().cursors[0].events, held as u64);
        }
        self.check();
    }

    /// What is let go of is delivered, skipped or given up, each once.
    fn check(&self) {
        let stat = &self.buffer.stat().cursors[0];
        assert_eq!(self.delivered + self.state.counts().events_skipped, stat.events_acked);
        assert_eq!(self.given_up.0 + self.given_up.1, stat.events_shed);
    }

    /// Delivers what is left.
    fn finish(&mut self) {
        self.buffer.close();
        for _ in 0..self.all.len() + 1 {
            self.wait_and_check(true);
            self.read(1, usize::MAX);
            self.ack(0);
        }
        self.wait_and_check(true);
        assert!(self.supply.is_finished());
        let (wanted, all): (usize, usize) =
            (self.all.iter().flatten().filter(|wanted| **wanted).count(), self.all.iter().map(Vec::len).sum());
        let skipped = self.state.counts().events_skipped;
        let (given_up, given_up_skipped) = self.given_up;
        assert_eq!((self.delivered + given_up, skipped + given_up_skipped), (wanted as u64, (all - wanted) as u64));
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append(For, Vec<bool>),
    Read(usize, usize),
    Wait,
    Ack(usize),
    AckAgain(usize),
    Rewind,
    Shed,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        vec(any::<bool>(), 1..4).prop_map(|wanted| Op::Append(For::Everybody, wanted)),
        vec(Just(false), 1..3).prop_map(|wanted| Op::Append(For::Everybody, wanted)),
        (prop_oneof![Just(For::ThisOne), Just(For::Another)], vec(any::<bool>(), 1..3))
            .prop_map(|(whose, wanted)| Op::Append(whose, wanted)),
        (0..4_usize, 1..20_usize).prop_map(|(entries, bytes)| Op::Read(entries, bytes)),
        Just(Op::Read(100, 1 << 20)),
        Just(Op::Wait),
        (0..4_usize).prop_map(Op::Ack),
        (0..4_usize).prop_map(Op::AckAgain),
        Just(Op::Rewind),
        Just(Op::Shed),
    ]
}

proptest! {
    #[test]
    fn a_sink_gets_exactly_what_it_is_to_have(selects in any::<bool>(), ops in vec(op(), 0..60)) {
        let mut world = World::that(selects);
        for op in ops {
            match op {
                Op::Append(whose, wanted) => world.append_for(whose, &wanted),
                Op::Read(entries, bytes) => world.read(entries, bytes),
                Op::Wait => world.wait_and_check(false),
                Op::Ack(which) => world.ack(which),
                Op::AckAgain(which) => world.ack_again(which),
                Op::Shed => world.shed(),
                Op::Rewind => world.rewind(),
            }
        }
        world.finish();
    }
}

#[test]
fn what_is_wanted_as_a_whole_is_not_copied() {
    let mut world = World::new();
    world.append(&[true, true]);
    world.append(&[false, true, true]);
    let (mut plain, mut out) = (Vec::new(), Vec::new());
    world.supply.cursor.read(10, usize::MAX, &mut plain);
    world.supply.cursor.rewind();
    world.supply.read(10, usize::MAX, &mut out);
    assert!(Arc::ptr_eq(&plain[0].batch, &out[0].batch));
    assert!(!Arc::ptr_eq(&plain[1].batch, &out[1].batch));
    assert_eq!(out[1].batch.docs.as_ptr(), plain[1].batch.docs[4..].as_ptr(), "documents that lie together stay where they are");
}

#[test]
fn a_long_row_of_what_it_is_not_to_have_is_gone_through_by_one_wait() {
    let mut world = World::with_room(true, 1 << 30);
    for _ in 0..LOOK_ENTRIES * 3 {
        world.append(&[false]);
    }
    world.append(&[true]);
    world.wait_and_check(false);
    assert_eq!(world.state.counts().events_skipped, LOOK_ENTRIES as u64 * 3);
    world.finish();
}

#[test]
fn what_stands_behind_something_given_up_does_not_wait_for_it() {
    let mut world = World::new();
    world.append(&[true; 20]);
    world.read(1, usize::MAX);
    for _ in 0..3 {
        world.append(&[false; 20]);
    }
    assert_eq!(world.wait(), None);
    world.shed();
    let left = world.buffer.stat().cursors[0].events;
    assert!(left > 0 && left < 80, "{left}: a part of it was given up");
    world.rewind();
    assert_eq!(world.wait(), None);
    assert_eq!(world.buffer.stat().cursors[0].events, 0);
    world.ack_again(0);
    world.finish();
    assert_eq!(world.given_up.0, 20);
}

#[test]
#[should_panic(expected = "acked but was never read")]
fn what_is_ready_but_not_given_cannot_be_acked() {
    let mut world = World::new();
    world.append(&[true]);
    assert_eq!(world.wait(), Some(true));
    let _ = world.supply.ack(Seq(0));
}
