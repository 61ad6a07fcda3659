//! The phases of stopping: one handle moves them to the right, any number of watches see it.
//!
//! It refuses to know what a phase means to anyone and has no deadlines; whoever holds the handle has.

use tokio::sync::watch;

/// How far the relay has come. It only ever moves right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// All is at work.
    #[default]
    Run,
    /// Sources take nothing new and finish what they have.
    StopIntake,
    /// Nothing is appended any more; sinks deliver what is left.
    Drain,
    /// Everything ends now.
    Stop,
}

/// Phase [`Run`](Phase::Run), and both ends of it.
pub fn stop() -> (StopHandle, StopWatch) {
    let (sender, receiver) = watch::channel(Phase::Run);
    (StopHandle { sender }, StopWatch { receiver })
}

/// Moves the phase. Dropping it is [`Phase::Stop`]: nobody is left to end things in order.
#[derive(Debug)]
pub struct StopHandle {
    sender: watch::Sender<Phase>,
}

impl StopHandle {
    /// Moves on to a phase; says whether it was still ahead.
    pub fn advance(&self, to: Phase) -> bool {
        self.sender.send_if_modified(|phase| {
            let ahead = to > *phase;
            *phase = to.max(*phase);
            ahead
        })
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.sender.borrow()
    }

    /// One more watch.
    pub fn watch(&self) -> StopWatch {
        StopWatch { receiver: self.sender.subscribe() }
    }
}

/// Sees the phase. Each clone sees every move on its own.
#[derive(Clone, Debug)]
pub struct StopWatch {
    receiver: watch::Receiver<Phase>,
}

impl StopWatch {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        if self.receiver.has_changed().is_err() { Phase::Stop } else { *self.receiver.borrow() }
    }

    /// Waits for a move since the last call and gives the phase; phases passed in between are skipped.
    ///
    /// Abandoning the wait loses nothing.
    pub async fn changed(&mut self) -> Phase {
        if self.receiver.changed().await.is_ok() {
            return *self.receiver.borrow_and_update();
        }
        Phase::Stop
    }

    /// Waits until the phase is this one or further right. Abandoning the wait loses nothing.
    pub async fn reached(&mut self, phase: Phase) {
        // An error says that the handle is gone, which is the last phase.
        let _ = self.receiver.wait_for(|now| *now >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_phase_moves_right_only() {
        let (handle, mut watch) = stop();
        assert!(handle.advance(Phase::Drain));
        assert!(!handle.advance(Phase::StopIntake));
        assert_eq!((handle.phase(), watch.phase()), (Phase::Drain, Phase::Drain));
        assert_eq!(watch.changed().await, Phase::Drain);
        watch.reached(Phase::StopIntake).await;
        let mut late = handle.watch();
        late.reached(Phase::Drain).await;
    }

    #[tokio::test]
    async fn a_lost_handle_stops_everything() {
        let (handle, mut watch) = stop();
        drop(handle);
        assert_eq!(watch.phase(), Phase::Stop);
        watch.reached(Phase::Stop).await;
        assert_eq!(watch.changed().await, Phase::Stop);
    }
}
