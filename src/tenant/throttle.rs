//! A tenant's limits on what it sends in a second, and the queue of its connections that wait for them.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use std::time::Instant;

use super::bucket::Bucket;
use super::plan::Limits;

/// Bytes and events a second. Its connections wait one behind the other.
#[derive(Debug)]
pub(super) struct Throttle {
    buckets: Mutex<Buckets>,
    /// Held by the connection whose turn it is to wait for the buckets; given in the order of asking.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Buckets {
    bytes: Option<Bucket>,
    events: Option<Bucket>,
}

impl Throttle {
    /// Those of these limits; `None` where there are none.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let now = Instant::now();
        let bucket = |rate: Option<u64>| rate.map(|rate| Bucket::new(rate, limits.burst_of(rate), now));
        let (bytes, events) = (bucket(limits.bytes_per_second), bucket(limits.events_per_second));
        let is_any = bytes.is_some() || events.is_some();
        is_any.then(|| Self { buckets: Mutex::new(Buckets { bytes, events }), turn: tokio::sync::Mutex::default() })
    }

    /// How long to wait before more may be taken.
    pub(super) fn wait(&self) -> Duration {
        let now = Instant::now();
        let Buckets { bytes, events } = &mut *self.lock();
        let of = |bucket: &mut Option<Bucket>| bucket.as_mut().map_or(Duration::ZERO, |bucket| bucket.wait(now));
        of(bytes).max(of(events))
    }

    /// Waits until more may be taken. Abandoning it loses a place in the queue and nothing else.
    pub(super) async fn passed(&self) {
        let _turn = self.turn.lock().await;
        loop {
            let wait = self.wait();
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes what has come.
    pub(super) fn pay(&self, bytes: u64, events: u64) {
        let now = Instant::now();
        let mut buckets = self.lock();
        let Buckets { bytes: of_bytes, events: of_events } = &mut *buckets;
        for (bucket, tokens) in [(of_bytes, bytes), (of_events, events)] {
            if let Some(bucket) = bucket {
                bucket.pay(tokens, now);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().expect("nobody panics while counting tokens")
    }
}
