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

/// Waits until a sink has delivered nothing for so long.
async fn down(state: &SinkState, after: Duration) {
    let mut since: Option<Instant> = None;
    loop {
        let now = super::now();
        if state.condition() == Condition::Delivering {
            since = None;
        } else if now.duration_since(*since.get_or_insert(now)) >= after {
            return;
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
