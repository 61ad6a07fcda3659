//! How many events are neither in the buffer nor lost: a connection holds them until there is room.
//!
//! They have been received, and the books shall balance meanwhile. It knows neither batches nor the buffer; whoever waits
//! says so.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The events that wait. Clones are the same count.
#[derive(Clone, Debug, Default)]
pub struct WaitingEvents {
    events: Arc<AtomicU64>,
}

/// Events that wait for room; dropping it says that they do no more.
#[derive(Debug)]
#[must_use]
pub struct Waiting {
    all: WaitingEvents,
    events: u64,
}

impl WaitingEvents {
    /// Counts these events as waiting.
    pub fn wait(&self, events: u64) -> Waiting {
        self.events.fetch_add(events, Ordering::Relaxed);
        Waiting { all: self.clone(), events }
    }

    /// Events that wait now.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.events.fetch_sub(self.events, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wait_for_as_long_as_somebody_says_so() {
        let all = WaitingEvents::default();
        let (three, four) = (all.wait(3), all.clone().wait(4));
        assert_eq!(all.events(), 7);
        drop(three);
        assert_eq!(all.events(), 4);
        drop(four);
        assert_eq!(all.events(), 0);
    }
}
