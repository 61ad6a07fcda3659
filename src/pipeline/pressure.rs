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

/// How old an entry is, in microseconds, that a sink which keeps up would have delivered and had confirmed.
const LONG: Micros = 5_000_000;

/// Presses the buffer as long as it is so, until the relay stops.
pub(super) async fn press(intake: Intake, buffer: Buffer, mut stop: StopWatch) {
    let mut found = 0;
    let looking = async {
        loop {
            tokio::time::sleep(LOOK).await;
            found = if is_short(&intake, &buffer) { found + 1 } else { 0 };
            if found >= LOOKS {
                buffer.press();
            }
        }
    };
    tokio::select! {
        () = stop.reached(Phase::Stop) => {}
        () = looking => {}
    }
}

/// Whether reads wait, it is the buffer that has most of what is held, and either hardly anything is free or its oldest entry has
/// been there for long: a tenant may wait while there is room for others.
fn is_short(intake: &Intake, buffer: &Buffer) -> bool {
    let held = intake.held_bytes();
    if intake.waiting() == 0 {
        return false;
    }
    let stat = buffer.stat();
    let age = stat.oldest.map_or(0, |oldest| now().saturating_sub(oldest));
    stat.bytes >= held / 2 && (held >= intake.bytes_max() / 16 * 15 || age >= LONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::batch::EventId;
    use crate::batch::SourceId;
    use crate::buffer::MemoryPlan;
    use crate::buffer::Yields;
    use crate::stop::stop;

    const MOMENT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn entries_are_given_up_where_reads_wait_for_what_the_buffer_holds() {
        let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
        let mut shedder = cursors[0].shedder(Yields::Last);
        let intake = Intake::new(1 << 20);
        let (_handle, watch) = stop();
        tokio::spawn(press(intake.clone(), buffer.clone(), watch));
        let mut docs = BatchBuilder::default();
        let mut writer = docs.writer(800_000);
        writer.raw(&vec![b'x'; 799_999]);
        writer.raw(b"\n");
        let end = writer.at();
        docs.finish(end, EventId([0; 16]), 0, None);
        let batch = docs.build(SourceId(0), now(), |buf, used| buf[..used].to_vec().into());
        assert!(buffer.try_append(batch).is_ok());
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
}
