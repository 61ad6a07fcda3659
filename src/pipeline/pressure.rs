//! Notices that nothing is read because of what a buffer in memory holds, although that is not at its own bound.
//!
//! A sink that cannot deliver keeps in memory what it has tried, also where that was given up in its name and the buffer has
//! taken its place. Then no append ever waits, which is what a buffer goes by, but reads do. It decides nothing: what is given
//! up then, and whether anything is, is the buffer's business.

use std::time::Duration;

use super::feed::now;
use crate::batch::Micros;
use crate::buffer::Buffer;
use crate::intake::Intake;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Looks in a row that find it so: reads that wait for others are soon done.
const LOOKS: u32 = 3;

/// Between two looks after all of the memory was found to be short: what was given up is soon taken again, and a sink that keeps up
/// must not be held to so little in each [`LOOK`].
const QUICK: Duration = Duration::from_millis(5);

/// So many of those since it was last found so: a second.
const QUICK_LOOKS: u32 = 200;

/// How old an entry is, in microseconds, that a sink which keeps up would have delivered and had confirmed.
const LONG: Micros = 5_000_000;

/// Presses the buffer as long as it is so, until the relay stops.
pub(super) async fn press(intake: Intake, buffer: Buffer, mut stop: StopWatch) {
    let (mut found, mut quick) = (0, 0_u32);
    let looking = async {
        loop {
            tokio::time::sleep(if quick > 0 { QUICK } else { LOOK }).await;
            quick = quick.saturating_sub(1);
            match shortage(&intake, &buffer) {
                Some(Shortage::All) if quick > 0 || found + 1 >= LOOKS => {
                    (found, quick) = (found + 1, QUICK_LOOKS);
                    buffer.press();
                }
                Some(shortage) => {
                    found += 1;
                    if shortage == Shortage::Somebody {
                        // What is given up may not be what that one waits for.
                        quick = 0;
                    }
                    if found >= LOOKS {
                        buffer.press();
                    }
                }
                None => found = 0,
            }
        }
    };
    tokio::select! {
        () = stop.reached(Phase::Stop) => {}
        () = looking => {}
    }
}

/// Who has no memory because of what the buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortage {
    /// Everybody: hardly any is free.
    All,
    /// A tenant may wait while there is room for others.
    Somebody,
}

/// Whether reads wait, it is the buffer that has most of what is held, and either hardly anything is free or its oldest entry has
/// been there for long.
fn shortage(intake: &Intake, buffer: &Buffer) -> Option<Shortage> {
    let held = intake.held_bytes();
    if intake.waiting() == 0 {
        return None;
    }
    let stat = buffer.stat();
    if stat.bytes < held / 2 {
        return None;
    }
    if held >= intake.bytes_max() / 8 * 7 {
        return Some(Shortage::All);
    }
    let age = stat.oldest.map_or(0, |oldest| now().saturating_sub(oldest));
    (age >= LONG).then_some(Shortage::Somebody)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::batch::BatchBuilder;
    use crate::batch::EventId;
    use crate::batch::SourceId;
    use crate::buffer::MemoryPlan;
    use crate::buffer::Yields;
    use crate::stop::stop;

    const MOMENT: Duration = Duration::from_secs(10);

    /// One document of so many bytes.
    fn batch(bytes: usize) -> Batch {
        let mut docs = BatchBuilder::default();
        let mut writer = docs.writer(bytes);
        writer.raw(&vec![b'x'; bytes - 1]);
        writer.raw(b"\n");
        let end = writer.at();
        docs.finish(end, EventId([0; 16]), 0, None);
        docs.build(SourceId(0), now(), |buf, used| buf[..used].to_vec().into())
    }

    #[tokio::test(start_paused = true)]
    async fn entries_are_given_up_where_reads_wait_for_what_the_buffer_holds() {
        let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
        let mut shedder = cursors[0].shedder(Yields::Last);
        let intake = Intake::new(1 << 20);
        let (_handle, watch) = stop();
        tokio::spawn(press(intake.clone(), buffer.clone(), watch));
        assert!(buffer.try_append(batch(800_000)).is_ok());
        let tenant = intake.account(Some(900_000));
        let held = tenant.try_admit(900_000).expect("it is all free");
        assert!(tokio::time::timeout(MOMENT, shedder.next()).await.is_err(), "nobody waits");
        let waiting = tokio::spawn(async move { tenant.admit(1_000).await });
        assert!(tokio::time::timeout(MOMENT, shedder.next()).await.is_err(), "there is room for others");
        let rest = intake.try_admit((1 << 20) - 900_000);
        assert!(rest.is_some());
        let piece = tokio::time::timeout(MOMENT, shedder.next()).await.expect("somebody waits");
        assert_eq!(piece.entries.len(), 1);
        shedder.shed(|_| {});
        assert_eq!(buffer.stat().events, 0);
        drop(held);
        let _ = waiting.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_again_at_once_is_made_room_for_soon() {
        const EACH: usize = 20_000;
        let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
        let mut shedder = cursors[0].shedder(Yields::Last);
        let intake = Intake::new(1 << 20);
        let (_handle, watch) = stop();
        tokio::spawn(press(intake.clone(), buffer.clone(), watch));
        let mut held = std::collections::VecDeque::new();
        for _ in 0..48 {
            assert!(buffer.try_append(batch(EACH)).is_ok());
            held.push_back(intake.try_admit(EACH as u64).expect("it is free"));
        }
        let rest = intake.try_admit((1 << 20) - 48 * EACH as u64);
        assert!(rest.is_some());
        let begun = tokio::time::Instant::now();
        for _ in 0..20 {
            let intake = intake.clone();
            let waiting = tokio::spawn(async move { intake.admit(EACH as u64).await });
            let piece = tokio::time::timeout(MOMENT, shedder.next()).await.expect("somebody waits");
            assert_eq!(piece.entries.len(), 1);
            shedder.shed(|_| {});
            drop(held.pop_front());
            held.push_back(waiting.await.expect("no panic"));
        }
        assert!(begun.elapsed() < LOOK * 10, "{:?}", begun.elapsed());
    }
}
