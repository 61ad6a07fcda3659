//! How a relay stops: no new connections, then no appends, then the end, each with a deadline.
//!
//! What is in memory is delivered as long as there is time; what is on disk stays there for the next start.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

use super::Relay;
use crate::buffer::Buffer;
use crate::buffer::Failure;
use crate::metrics::SourceMetrics;
use crate::pipeline::overview::Overview;
use crate::sink::SinkCounts;
use crate::stop::Phase;

/// Senders that keep their connections open are given this long to close them once intake stops.
const INTAKE_DEADLINE: Duration = Duration::from_secs(5);

/// What connections that are cut off need to hand over what they have read.
const INTAKE_GRACE: Duration = Duration::from_millis(500);

/// From the signal to the end, whatever is left.
const HARD_DEADLINE: Duration = Duration::from_secs(30);

/// How long sinks may take to have confirmed what they were sent, where what they have not stays on disk.
const SETTLE_DEADLINE: Duration = Duration::from_secs(4);

/// How long writers may take for their last writes: a second signal shall end everything within two seconds.
const WRITER_DEADLINE: Duration = Duration::from_millis(1_200);

/// Between two looks at something that tells nobody when it is done.
const LOOK: Duration = Duration::from_millis(5);

/// How long sinks may take to notice that everything ends now.
const SINK_GRACE: Duration = Duration::from_millis(500);

/// How a relay ended.
#[derive(Debug, Default)]
#[must_use]
pub struct Ended {
    /// Events not delivered, by sink.
    pub undelivered: Vec<(String, u64)>,
    /// Events that had been read but found no room in the buffer before the end.
    pub dropped: u64,
    /// The failure that ended it, where one did.
    pub failure: Option<String>,
}

impl Ended {
    /// Whether every event that was taken has been delivered to every sink.
    pub fn is_complete(&self) -> bool {
        self.dropped == 0 && self.undelivered.iter().all(|&(_, events)| events == 0)
    }
}

impl Relay {
    /// The disk has failed. Where nobody knows what is on it, everything ends; otherwise intake ends at once, so that what can
    /// still be read is delivered until that is done or somebody asks to stop.
    pub(super) async fn take_nothing_more(&mut self, failure: Failure, asked: impl Future<Output = ()>) {
        let Failure { reason, is_fatal } = failure;
        if is_fatal {
            tracing::error!(%reason, "nobody knows what the disk has stored: the relay stops and recovers at its next start");
            return;
        }
        tracing::error!(%reason, "the disk has failed: nothing more is taken, and what can be read is delivered");
        self.stop.advance(Phase::Drain);
        tokio::select! {
            () = asked => {}
            () = async { while self.sink_tasks.join_next().await.is_some() {} } => {}
        }
    }

    pub(super) async fn stop_in_phases(&mut self, begun: Instant) {
        tracing::info!("stopping: no new connections; senders have {INTAKE_DEADLINE:?} to close theirs");
        self.stop.advance(Phase::StopIntake);
        let intake = all_ended(&mut self.source_tasks);
        if timeout_at(begun + INTAKE_DEADLINE, intake).await.is_err() {
            let open: i64 = self.source_metrics.iter().map(SourceMetrics::connections_open).sum();
            tracing::warn!(connections = open, "senders have not closed their connections: they are cut off");
        }
        self.stop.advance(Phase::Drain);
        let _ = timeout(INTAKE_GRACE, all_ended(&mut self.source_tasks)).await;
        // Whoever still waits for room is turned away, counts what it has as dropped, and ends.
        self.overview.buffer.close();
        let _ = timeout(INTAKE_GRACE, all_ended(&mut self.source_tasks)).await;
        if self.overview.buffer.outlives_the_process() {
            return self.settle().await;
        }
        let events = self.overview.buffer.stat().events;
        let left = HARD_DEADLINE.saturating_sub(begun.elapsed()).as_secs();
        let how_long = if events > 0 { format!(" for at most {left}s; a second signal ends the wait") } else { String::new() };
        tracing::info!(events, "intake has ended; delivering what is left{how_long}");
        while let Ok(Some(ended)) = timeout_at(begun + HARD_DEADLINE, self.sink_tasks.join_next()).await {
            if let Ok((name, Err(error))) = ended {
                tracing::error!(sink = %name, error = %error.words(), "the sink failed while stopping");
            }
        }
    }

    /// Lets sinks finish what they have begun; the rest stays on disk.
    async fn settle(&mut self) {
        let buffer = &self.overview.buffer;
        let committing = async {
            while buffer.uncommitted_events() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = timeout(INTAKE_GRACE, committing).await;
        buffer.settle();
        tracing::info!(
            events = buffer.stat().events,
            "intake has ended; sinks finish what they have begun, the rest stays on disk"
        );
        let ending = async { while self.sink_tasks.join_next().await.is_some() {} };
        if timeout(SETTLE_DEADLINE, ending).await.is_err() {
            tracing::warn!("sinks have not confirmed all they were sent: it is sent again after the next start");
        }
    }

    /// Has the writers commit what they can and write the last checkpoint.
    async fn finish_writing(&mut self) {
        for buffer in [Some(&self.overview.buffer), self.overview.letters.as_ref()].into_iter().flatten() {
            buffer.finish();
        }
        let ending = async {
            while !self.writers.have_ended() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if timeout(WRITER_DEADLINE, ending).await.is_err() {
            tracing::error!("the disk does not answer: the last checkpoint may be missing, and some events be delivered again");
        }
    }

    pub(super) async fn end(mut self, failure: Option<String>) -> Ended {
        self.stop.advance(Phase::Stop);
        self.overview.buffer.close();
        let sinks = async {
            while self.sink_tasks.join_next().await.is_some() {}
            all_ended(&mut self.shed_tasks).await;
        };
        let _ = timeout(SINK_GRACE, sinks).await;
        // One that waits for dead letters to be stored would count when nobody looks any more.
        self.shed_tasks.shutdown().await;
        self.finish_writing().await;
        let stat = self.overview.buffer.stat();
        let stays = self.overview.buffer.outlives_the_process();
        let undelivered: Vec<_> = self
            .overview
            .sinks
            .iter()
            .zip(&stat.cursors)
            .map(|(state, cursor)| (state.name().to_owned(), cursor.events))
            .collect();
        let letters = self.overview.letters.as_ref();
        // What a destination has refused is still in the buffer until it is a letter.
        let refused = if stays { self.refused.waiting_events() } else { 0 };
        let letters = letters.map_or(0, Buffer::uncommitted_events).saturating_sub(refused);
        let uncommitted = self.overview.buffer.uncommitted_events() + letters;
        let dropped = self.source_metrics.iter().map(SourceMetrics::events_dropped_at_stop).sum::<u64>() + uncommitted;
        for ((name, left), state) in undelivered.iter().zip(&self.overview.sinks) {
            let SinkCounts { events_delivered: delivered, events_refused: refused, events_given_up: given_up, .. } =
                state.counts();
            if given_up > 0 {
                tracing::warn!(sink = %name, events = given_up, "events were given up because the buffer was full");
            }
            if *left == 0 && given_up > 0 {
                tracing::info!(sink = %name, delivered, refused, "everything else is delivered or refused");
            } else if *left == 0 && refused == 0 {
                tracing::info!(sink = %name, delivered, "everything is delivered");
            } else if *left == 0 {
                tracing::info!(sink = %name, delivered, refused, "everything is delivered or refused");
            } else if stays {
                let waiting = left - uncommitted.min(*left);
                tracing::info!(sink = %name, delivered, refused, waiting, "what is not delivered waits on disk");
            } else {
                tracing::error!(sink = %name, delivered, refused, undelivered = left, "events are lost: the buffer is in memory");
            }
        }
        let unread: u64 = self.source_metrics.iter().map(SourceMetrics::bytes_unread).sum();
        if unread > 0 {
            tracing::warn!(bytes = unread, "senders that were cut off had sent bytes that nobody has read");
        }
        if dropped > 0 {
            tracing::error!(
                events = dropped,
                "events were read but found no room in the buffer before the end: they are lost, unless their senders wait for confirmation and send them again"
            );
        }
        let tenant_task = self.tenant_task.take().map(|(task, _)| task);
        let tasks =
            [self.admin_task.take(), self.health_task.take(), self.lookup_task.take(), self.certificate_task.take(), tenant_task];
        for task in tasks.into_iter().flatten() {
            task.abort();
        }
        let undelivered = if stays { Vec::new() } else { undelivered };
        Ended { undelivered, dropped, failure }
    }
}

async fn all_ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Waits until the buffer's disk or that of the dead letters has failed.
pub(super) async fn storage_failed(overview: &Overview) -> Failure {
    let letters = async {
        match &overview.letters {
            Some(letters) => letters.failed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        failure = overview.buffer.failed() => failure,
        failure = letters => failure,
    }
}
