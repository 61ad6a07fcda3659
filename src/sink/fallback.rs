//! Two destinations for one supply: the second one gets documents only while the first is down.
//!
//! Both read from the same place in the buffer, one at a time. What one had not confirmed when the other takes over is sent by
//! that one, too: under the same ids. It refuses to know how either delivers.

use std::future::Future;
use std::time::Duration;
use std::time::Instant;

use tokio::time::sleep;

use crate::sink::Condition;
use crate::sink::DeadLetters;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::Way;
use crate::sink::supply::Supply;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::stop::stop;

/// How often it is looked how the first one is.
const LOOK: Duration = Duration::from_millis(100);

/// How soon after a change it is first tried whether the first one is there again …
const TRY_FIRST: Duration = Duration::from_secs(5);

/// … and, since every change back that did not last doubles that, how late.
const TRY_LAST: Duration = Duration::from_secs(600);

/// How long the first one has to work for a change back to have lasted.
const LASTING: Duration = Duration::from_secs(600);

/// How long a sink with nothing to deliver has to be well for a failure before that to be over.
const WELL: Duration = Duration::from_secs(10);

/// How long a try may take.
const TRY_MAX: Duration = Duration::from_secs(30);

/// Delivers to the first; while that has been down for `after` and until it can be reached again, to the second.
pub(super) async fn run(
    first: &Way,
    second: &Way,
    after: Duration,
    supply: &mut Supply,
    letters: DeadLetters,
    outer: StopWatch,
) -> Result<(), SinkError> {
    let mut wait = TRY_FIRST / 2;
    loop {
        let begun = super::now();
        tokio::select! {
            biased;
            done = first.deliver(supply, letters.clone(), outer.clone()) => return done,
            () = down(&first.state, after) => {}
        }
        let stood = super::now().duration_since(begun);
        wait = if stood > after + LASTING { TRY_FIRST } else { (wait * 2).min(TRY_LAST) };
        let (sink, fallback) = (first.name(), second.name());
        tracing::warn!(sink, fallback, ?after, "the sink has been down for so long: its fallback stands in for it");
        supply.rewind();
        let (handle, inner) = stop();
        let mut watch = outer.clone();
        let ending = async {
            tokio::select! {
                () = watch.reached(Phase::Drain) => { handle.advance(Phase::Drain); }
                () = back(first, wait) => return true,
            }
            watch.reached(Phase::Stop).await;
            false
        };
        let is_back;
        tokio::select! {
            biased;
            done = second.deliver(supply, letters.clone(), inner) => return done,
            ended = ending => is_back = ended,
        }
        if !is_back {
            return Ok(());
        }
        tracing::info!(sink, fallback, "the sink can be reached again: its fallback rests");
        second.state.standing_by();
        supply.rewind();
    }
}

/// Waits until a sink has delivered nothing for so long and is not well.
///
/// That it could be reached meanwhile does not count by itself: a destination may take connections and break each of them.
async fn down(state: &SinkState, after: Duration) {
    let mut down: Option<Instant> = None;
    let mut well: Option<Instant> = None;
    let mut delivered = state.counts().events_delivered;
    loop {
        let now = super::now();
        if std::mem::replace(&mut delivered, state.counts().events_delivered) != delivered {
            down = None;
        }
        if state.condition() != Condition::Delivering {
            well = None;
            if now.duration_since(*down.get_or_insert(now)) >= after {
                return;
            }
        } else if now.duration_since(*well.get_or_insert(now)) >= WELL.min(after) {
            down = None;
        }
        sleep(LOOK).await;
    }
}

/// Waits until a sink can be reached.
async fn back(way: &Way, wait: Duration) {
    loop {
        sleep(wait).await;
        match timed(way.reach()).await {
            Ok(()) => return,
            Err(words) => tracing::debug!(sink = way.name(), error = words, "the sink is still down"),
        }
    }
}

async fn timed(reaching: impl Future<Output = Result<(), SinkError>>) -> Result<(), String> {
    match tokio::time::timeout(TRY_MAX, reaching).await {
        Ok(reached) => reached.map_err(|error| error.words()),
        Err(_) => Err(format!("no answer within {TRY_MAX:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::timeout;

    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn broken() -> SinkError {
        SinkError::Broken { peer: "script".to_owned(), source: io::ErrorKind::ConnectionReset.into() }
    }

    /// Whether a sink counts as down within ten minutes in which it goes through these steps again and again.
    async fn is_down(mut step: impl FnMut(&SinkState) -> Duration) -> bool {
        let state = SinkState::new("first");
        let going = async {
            loop {
                let pause = step(&state);
                sleep(pause).await;
            }
        };
        let watched = timeout(Duration::from_secs(600), down(&state, AFTER));
        tokio::select! {
            () = going => unreachable!("it goes on for ever"),
            found = watched => found.is_ok(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_is_down_while_nothing_arrives_although_it_can_be_reached_now_and_then() {
        let mut is_up = false;
        let flapping = |state: &SinkState| {
            is_up = !is_up;
            if is_up {
                state.delivering("script");
                return Duration::from_millis(300);
            }
            state.failed(&broken());
            Duration::from_secs(20)
        };
        assert!(is_down(flapping).await);
        assert!(
            is_down(|state| {
                state.failed(&broken());
                Duration::from_secs(20)
            })
            .await
        );
        assert!(
            is_down(|state| {
                state.stalled("script");
                Duration::from_secs(20)
            })
            .await
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_is_not_down_while_documents_arrive_or_after_an_idle_connection_broke() {
        let mut is_up = false;
        let slow = |state: &SinkState| {
            is_up = !is_up;
            if is_up {
                state.delivering("script");
                state.delivered(1);
                return Duration::from_millis(300);
            }
            state.failed(&broken());
            Duration::from_secs(20)
        };
        assert!(!is_down(slow).await);
        let mut is_up = false;
        let idle = |state: &SinkState| {
            is_up = !is_up;
            if is_up {
                state.delivering("script");
                return Duration::from_secs(45);
            }
            state.failed(&broken());
            Duration::from_secs(1)
        };
        assert!(!is_down(idle).await);
        assert!(
            !is_down(|state| {
                state.delivering("script");
                AFTER
            })
            .await
        );
    }
}
