//! Whatever a server of Lumberjack says, in reads of any size, releases the same, in order, and never an event that it was not sent;
//! what it has said wrong stays wrong; and it is waited for exactly as long as there is something to release.
//!
//! The first byte chooses the size of the reads, the second how many windows there are and how large, and whether the last one is
//! written to its end; the rest is what the server says.

use std::time::Duration;
use std::time::Instant;

use elbow::wire::lumberjack::AckFault;
use elbow::wire::lumberjack::Client;
use elbow::wire::lumberjack::Patience;

const PATIENCE: Patience = Patience { life: Duration::from_secs(60), progress: Duration::from_secs(300) };

pub(crate) fn check(input: &[u8]) {
    let [size, windows, said @ ..] = input else { return };
    let sizes: Vec<u32> = (0..u32::from(windows & 7)).map(|at| 1 + (at * 5 + u32::from(windows >> 4)) % 17).collect();
    let is_written = windows & 8 == 0;
    let now = Instant::now();
    let (mut whole, mut cut) = (client(&sizes, is_written, now), client(&sizes, is_written, now));
    let fault = whole.handle_read(said, now).err();
    let mut found = None;
    for read in said.chunks(usize::from(*size) + 1) {
        let before = cut.released();
        found = cut.handle_read(read, now).err();
        assert!(cut.released() >= before, "what is released stays so");
        if found.is_some() {
            break;
        }
    }
    assert_eq!((cut.released(), cut.windows(), found), (whole.released(), whole.windows(), fault));
    assert_eq!((whole.released(), fault), model(said, &sizes, is_written));
    assert_eq!(whole.poll_timeout().is_some(), whole.windows() > 0);
    assert_eq!(whole.late(now + PATIENCE.progress).is_some(), whole.windows() > 0);
    assert_eq!(whole.late(now), None);
    if fault.is_some() {
        assert_eq!(whole.handle_read(b"2A\0\0\0\0", now).err(), fault, "a fault stays");
    }
}

fn client(sizes: &[u32], is_written: bool, now: Instant) -> Client {
    let mut client = Client::new(PATIENCE);
    for (at, events) in sizes.iter().enumerate() {
        client.handle_begun(*events, now);
        client.handle_written(is_written || at + 1 < sizes.len(), now);
    }
    client
}

/// The same by a plain reading of whole acks.
fn model(said: &[u8], sizes: &[u32], is_written: bool) -> (u64, Option<AckFault>) {
    let (mut released, mut window, mut told, mut idle) = (0_u64, 0, 0, 0);
    for ack in said.chunks(6) {
        if ack[0] != b'2' {
            return (released, Some(AckFault::Version));
        }
        if ack.get(1).is_some_and(|kind| *kind != b'A') {
            return (released, Some(AckFault::FrameType));
        }
        let Some(number) = ack.get(2..6) else { break };
        let number = u32::from_be_bytes(number.try_into().expect("four bytes"));
        if number == 0 || number == told {
            idle += 1;
            if idle > 10_000 {
                return (released, Some(AckFault::Endless));
            }
            continue;
        }
        idle = 0;
        let most = sizes.get(window).copied().unwrap_or(0);
        let most = if is_written || window + 1 < sizes.len() { most } else { most.saturating_sub(1) };
        if number > most {
            return (released, Some(AckFault::Beyond));
        }
        if number < told {
            return (released, Some(AckFault::Backwards));
        }
        released += u64::from(number - told);
        told = number;
        if number == sizes[window] {
            (window, told) = (window + 1, 0);
        }
    }
    (released, None)
}
