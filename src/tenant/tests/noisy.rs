//! A noisy tenant beside ten quiet ones, on a clock that only the test moves: what it does to the time until they are answered.
//!
//! What is simulated is the way of a read: its tenant's bucket, then its account of the memory, then a group of the one writer,
//! which takes a sync and as long as its bytes take. Everything else takes no time.

use std::time::Duration;
use std::time::Instant;

use crate::tenant::bucket::Bucket;

/// What the disk of the simulation does: a sync, and bytes a second.
const SYNC: Duration = Duration::from_millis(1);
const DISK: u64 = 200_000_000;

/// Bytes of a line and how often each quiet tenant sends one.
const LINE_BYTES: u64 = 600;
const EVERY: Duration = Duration::from_millis(10);

/// Bytes of a read of one who always has more to send, and the connections it has.
const READ_BYTES: u64 = 64 * 1024;
const CONNECTIONS: usize = 16;

const LONG: Duration = Duration::from_secs(20);

/// A line or a read that waits for its commit: when it came, its bytes, and whether it is a quiet tenant's.
type Queued = (Instant, u64, bool);

/// The slowest hundredth of what ten quiet tenants wait, and the bytes the noisy one got through. It may send so many bytes a
/// second; nothing: it is silent.
fn simulate(noisy: Option<u64>) -> (Duration, u64) {
    let begun = Instant::now();
    let mut bucket = noisy.map(|rate| Bucket::new(rate, rate, begun));
    let (mut now, mut queue, mut answered) = (begun, Vec::<Queued>::new(), Vec::new());
    // The quiet ones do not send at the same moments.
    let mut quiet: Vec<Instant> = (0..10).map(|tenant| begun + Duration::from_micros(tenant * 937)).collect();
    let (mut group, mut done_at, mut passed) = (Vec::<Queued>::new(), None::<Instant>, 0);
    while now < begun + LONG {
        for next in quiet.iter_mut().filter(|next| **next <= now) {
            queue.push((now, LINE_BYTES, true));
            *next += EVERY;
        }
        if let Some(bucket) = &mut bucket {
            // Every connection has more; those whose turn it is take a read each until the bucket is in debt.
            for _ in 0..CONNECTIONS {
                if bucket.wait(now).is_zero() {
                    bucket.pay(READ_BYTES, now);
                    queue.push((now, READ_BYTES, false));
                    passed += READ_BYTES;
                }
            }
        }
        if done_at.is_some_and(|at| at <= now) {
            answered.extend(group.drain(..).filter(|(_, _, is_quiet)| *is_quiet).map(|(came, ..)| now - came));
            done_at = None;
        }
        if done_at.is_none() && !queue.is_empty() {
            group.append(&mut queue);
            let bytes: u64 = group.iter().map(|(_, bytes, _)| bytes).sum();
            done_at = Some(now + SYNC + Duration::from_micros(bytes * 1_000_000 / DISK));
        }
        now += Duration::from_micros(50);
    }
    answered.sort_unstable();
    assert!(answered.len() >= 19_000, "each quiet tenant sent 100 lines a second: {}", answered.len());
    (answered[answered.len() * 99 / 100], passed)
}

#[test]
fn a_noisy_tenant_held_to_its_rate_changes_what_quiet_ones_wait_by_less_than_half() {
    const RATE: u64 = 1_000_000;
    let (alone, _) = simulate(None);
    let (beside, passed) = simulate(Some(RATE));
    assert!(beside < alone * 3 / 2, "{alone:?} alone, {beside:?} beside it");
    assert!(passed <= RATE * 21 + READ_BYTES, "it got {passed} bytes through");
    assert!(passed >= RATE * 19, "it is held back and not starved: {passed}");
    // The same one at a hundred times that shows that the simulation would tell.
    let (beside, passed) = simulate(Some(100 * RATE));
    assert!(beside > alone * 2 && passed > 50 * RATE * 20, "{alone:?} alone, {beside:?} beside {passed} bytes");
}
