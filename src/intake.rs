//! One budget in bytes for everything the relay holds in memory on its way in.
//!
//! Bytes are admitted before they are read, first come first served, and given back by dropping the permit. What has
//! been admitted may turn out larger than was thought: then the budget goes below zero and nothing new is admitted
//! until that is made good. It knows neither sockets nor documents.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use tokio::sync::oneshot;

/// The budget. Clones are the same budget.
#[derive(Clone, Debug)]
pub struct Intake {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Bytes not held by a permit; below zero while permits hold more than there is.
    free: i64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    bytes: u64,
    grant: oneshot::Sender<IntakePermit>,
}

/// Bytes of the budget; dropping it gives them back.
#[derive(Debug)]
pub struct IntakePermit {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Intake {
    /// A budget of this many bytes.
    pub fn new(bytes_max: u64) -> Self {
        let free = i64::try_from(bytes_max).expect("a budget is smaller than 8 EiB");
        Self { shared: Arc::new(Shared { bytes_max, state: Mutex::new(State { free, waiting: VecDeque::new() }) }) }
    }

    /// Admits `bytes` if nobody has to wait for them.
    pub fn try_admit(&self, bytes: u64) -> Option<IntakePermit> {
        let bytes = bytes.min(self.shared.bytes_max);
        let mut state = self.shared.lock();
        if !state.waiting.is_empty() || state.free < bytes as i64 {
            return None;
        }
        state.free -= bytes as i64;
        Some(IntakePermit { shared: self.shared.clone(), bytes })
    }

    /// Waits until `bytes` more may be held in memory; more than the whole budget counts as the whole budget.
    ///
    /// Never fails. Abandoning the wait holds nothing.
    pub async fn admit(&self, bytes: u64) -> IntakePermit {
        let bytes = bytes.min(self.shared.bytes_max);
        let granted = {
            let mut state = self.shared.lock();
            if state.waiting.is_empty() && state.free >= bytes as i64 {
                state.free -= bytes as i64;
                return IntakePermit { shared: self.shared.clone(), bytes };
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push_back(Waiting { bytes, grant });
            granted
        };
        granted.await.expect("a waiting request is answered as long as the budget lives")
    }

    /// A permit for nothing, which may still be split.
    pub fn nothing(&self) -> IntakePermit {
        IntakePermit { shared: self.shared.clone(), bytes: 0 }
    }

    /// Bytes held by permits.
    pub fn held_bytes(&self) -> u64 {
        self.shared.bytes_max.saturating_add_signed(self.shared.lock().free.wrapping_neg())
    }

    /// Bytes there are in all.
    pub fn bytes_max(&self) -> u64 {
        self.shared.bytes_max
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while counting bytes")
    }

    fn give_back(self: &Arc<Self>, bytes: u64) {
        let mut granted = Vec::new();
        {
            let mut state = self.lock();
            state.free += bytes as i64;
            while let Some(next) = state.waiting.front() {
                if state.free < next.bytes as i64 && !next.grant.is_closed() {
                    break;
                }
                let next = state.waiting.pop_front().expect("the front was just seen");
                if !next.grant.is_closed() {
                    state.free -= next.bytes as i64;
                    granted.push(next);
                }
            }
        }
        for Waiting { bytes, grant } in granted {
            // A permit nobody waits for any more comes back here and is dropped, which gives its bytes back.
            let _ = grant.send(IntakePermit { shared: self.clone(), bytes });
        }
    }
}

impl IntakePermit {
    /// Bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Splits off a permit for `bytes`. What this one lacks is taken from the budget without waiting.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Self {
        let lacking = bytes.saturating_sub(self.bytes);
        if lacking > 0 {
            self.shared.lock().free -= lacking as i64;
        }
        self.bytes -= bytes - lacking;
        Self { shared: self.shared.clone(), bytes }
    }
}

impl Drop for IntakePermit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.shared.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_dropped_goes_to_whoever_waited_longest() {
        let intake = Intake::new(100);
        let first = intake.admit(80).await;
        let (large, small) = (intake.clone(), intake.clone());
        let large = tokio::spawn(async move { large.admit(60).await });
        while intake.waiting() < 1 {
            tokio::task::yield_now().await;
        }
        let small = tokio::spawn(async move { small.admit(10).await });
        while intake.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(intake.held_bytes(), 80);
        drop(first);
        let (large, small) = (large.await.expect("admitted"), small.await.expect("admitted"));
        assert_eq!((large.bytes(), small.bytes(), intake.held_bytes()), (60, 10, 70));
    }

    #[tokio::test]
    async fn an_abandoned_wait_holds_nothing() {
        let intake = Intake::new(100);
        let all = intake.admit(1_000).await;
        assert_eq!(all.bytes(), 100);
        tokio::select! {
            biased;
            _ = intake.admit(50) => panic!("nothing is free"),
            () = std::future::ready(()) => {}
        }
        drop(all);
        assert_eq!((intake.held_bytes(), intake.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn what_grew_is_made_good_before_anything_is_admitted() {
        let intake = Intake::new(100);
        let mut permit = intake.admit(40).await;
        let grown = permit.split(120);
        assert_eq!((permit.bytes(), grown.bytes(), intake.held_bytes()), (0, 120, 120));
        tokio::select! {
            biased;
            _ = intake.admit(1) => panic!("the budget is overdrawn"),
            () = std::future::ready(()) => {}
        }
        drop(grown);
        assert_eq!(intake.held_bytes(), 0);
        let mut permit = intake.admit(40).await;
        let part = permit.split(30);
        assert_eq!((permit.bytes(), part.bytes(), intake.held_bytes()), (10, 30, 40));
    }
}
