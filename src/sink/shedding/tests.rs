//! What is given up, beside a sink that does nothing, from a buffer in memory that is told to be short.

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::Origin;
use crate::batch::SourceId;
use crate::buffer::Buffer;
use crate::buffer::MemoryPlan;
use crate::select::ConditionPlan;
use crate::select::SelectPlan;
use crate::select::Subject;
use crate::stop::StopHandle;
use crate::stop::stop;

const MOMENT: Duration = Duration::from_secs(20);

/// Documents with a number each, of which a sink that wants JSON is to have the even ones.
fn batch(numbers: std::ops::Range<u64>, sink: Option<&str>) -> Batch {
    let (mut docs, mut marks) = (String::new(), Vec::new());
    for number in numbers {
        docs += &format!("{{\"n\":{number}}}\n");
        let origin = Some(if number % 2 == 0 { Origin::Json } else { Origin::Text });
        marks.push(Mark { end: docs.len() as u32, id: EventId([number as u8; 16]), time: 7_000_000, origin });
    }
    Batch {
        docs: docs.into(),
        marks: marks.into(),
        source: SourceId(3),
        received: 9,
        is_rejects: false,
        tenant: Some("web".into()),
        sink: sink.map(Into::into),
    }
}

/// A sink that does nothing, and what gives up its documents.
struct World {
    buffer: Buffer,
    cursor: Cursor,
    state: Arc<SinkState>,
    stop: StopHandle,
    task: JoinHandle<()>,
}

impl World {
    fn new(when_full: WhenFull, letters: Option<Buffer>, selects: bool) -> Self {
        let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 30 }, 1);
        let mut cursor = cursors.remove(0);
        let state = Arc::new(SinkState::new("out"));
        let json = ConditionPlan { subject: Subject::Format(vec![Origin::Json]), negate: false };
        let select = selects.then(|| Select::new(SelectPlan { conditions: vec![json] }));
        let letters = DeadLetters::new(letters);
        let shedding = Shedding::new(when_full, &mut cursor, select, &letters, state.clone()).expect("it gives up");
        let (stop, watch) = stop();
        let task = tokio::spawn(shedding.run(watch));
        Self { buffer, cursor, state, stop, task }
    }

    fn append(&self, batch: Batch) {
        assert!(self.buffer.try_append(batch).is_ok(), "there is room");
    }

    /// Has what there is given up, which is less than a step.
    async fn press(&self) {
        self.buffer.press();
        let gone = async {
            while self.buffer.stat().events > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(MOMENT, gone).await.expect("it is given up");
    }

    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.state.counts();
        (counts.events_given_up, counts.events_given_up_dropped, counts.events_skipped)
    }
}

fn letters() -> (Buffer, Cursor) {
    let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
    (buffer, cursors.remove(0))
}

fn read(cursor: &mut Cursor) -> Vec<serde_json::Value> {
    let mut entries = Vec::new();
    cursor.read(100, usize::MAX, &mut entries);
    let of = |entry: &Entry| entry.batch.documents().map(|(document, _)| serde_json::from_slice(document).unwrap()).collect();
    entries.iter().flat_map(|entry| -> Vec<serde_json::Value> { of(entry) }).collect()
}

#[test]
fn a_sink_that_blocks_gives_up_nothing() {
    let (_buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
    let state = Arc::new(SinkState::new("out"));
    assert!(Shedding::new(WhenFull::Block, &mut cursors[0], None, &DeadLetters::default(), state).is_none());
    assert_eq!(cursors[0].given_up_before(), None);
}

#[tokio::test]
async fn what_is_dropped_is_counted_and_what_it_was_not_to_have_is_skipped() {
    for (selects, counts) in [(true, (7, 7, 8)), (false, (12, 12, 3))] {
        let world = World::new(WhenFull::DropOldest, None, selects);
        world.append(batch(0..10, None));
        world.append(batch(0..3, Some("another")));
        world.append(batch(10..12, Some("out")));
        world.press().await;
        assert_eq!(world.counts(), counts, "selects: {selects}");
        assert_eq!(world.buffer.stat().cursors[0].events_shed, 15);
        assert!(world.state.gives_up_since().is_some());
        world.stop.advance(Phase::Stop);
        timeout(MOMENT, world.task).await.expect("it ends").expect("no panic");
        assert_eq!(world.state.gives_up_since(), None);
    }
}

#[tokio::test]
async fn what_becomes_a_letter_says_of_whom_it_is_and_why_and_has_the_document_as_it_was() {
    let (kept, mut all) = letters();
    let world = World::new(WhenFull::DeadLetter, Some(kept), true);
    world.append(batch(0..3, None));
    world.append(batch(3..4, None));
    world.press().await;
    assert_eq!(world.counts(), (2, 0, 2));
    let mut entries = Vec::new();
    all.read(10, usize::MAX, &mut entries);
    let [entry] = &entries[..] else { panic!("one batch: {entries:?}") };
    let Batch { source, received, is_rejects, tenant, sink, .. } = &*entry.batch;
    assert_eq!((source.0, *received, *is_rejects, tenant.as_deref(), sink), (3, 9, true, Some("web"), &None));
    assert_eq!(entry.batch.marks[1].id, EventId([2; 16]));
    all.rewind();
    let letters = read(&mut all);
    assert_eq!(letters.iter().map(|letter| letter["document"]["n"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2]);
    let letter = &letters[1];
    assert_eq!((&letter["elbow"]["reason"], &letter["elbow"]["sink"]), (&"buffer_full".into(), &"out".into()));
    assert!(letter["elbow"]["words"].as_str().unwrap().contains("the buffer was full"));
    assert_eq!((&letter["@timestamp"], &letter["event"]["id"]), (&"1970-01-01T00:00:07.000Z".into(), &"02".repeat(16).into()));
    assert_eq!(letter["tags"][0], "_elbow_buffer_full");
}

#[tokio::test]
async fn nothing_is_given_up_that_is_no_letter_yet() {
    // There is room for a letter once the first one is gone.
    let (kept, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1_000 }, 1);
    let mut all = cursors.remove(0);
    assert!(kept.try_append(batch(0..10, None)).is_ok());
    let world = World::new(WhenFull::DeadLetter, Some(kept.clone()), false);
    world.append(batch(0..1, None));
    world.buffer.press();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((world.counts(), world.buffer.stat().events), ((0, 0, 0), 1));
    let mut first = Vec::new();
    all.read(1, usize::MAX, &mut first);
    let _ = all.ack(first[0].seq);
    world.press().await;
    assert_eq!((world.counts(), read(&mut all).len()), ((1, 0, 0), 1));

    // Where none is stored any more, senders wait again.
    kept.close();
    world.append(batch(1..2, None));
    world.buffer.press();
    timeout(MOMENT, world.task).await.expect("it ends").expect("no panic");
    assert_eq!((world.state.counts().events_given_up, world.buffer.stat().events), (1, 1));
    drop(world.cursor);
}

#[tokio::test(start_paused = true)]
async fn one_time_of_giving_up_is_one_until_nothing_was_given_up_for_a_while() {
    let world = World::new(WhenFull::DropOldest, None, false);
    let mut seen = Vec::new();
    for _ in 0..3 {
        world.append(batch(0..1, None));
        world.press().await;
        seen.push(world.state.gives_up_since());
        tokio::time::sleep(QUIET / 2).await;
    }
    assert!(seen[0].is_some() && seen.iter().all(|since| *since == seen[0]), "{seen:?}");
    tokio::time::sleep(QUIET).await;
    assert_eq!(world.state.gives_up_since(), None);
}
