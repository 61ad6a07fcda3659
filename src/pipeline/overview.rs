//! What the relay looks like from outside at one moment: figures for metrics, words for people.

use std::sync::Arc;

use serde_json::Value;
use serde_json::json;

use super::feed::now;
use crate::buffer;
use crate::buffer::Buffer;
use crate::buffer::log::Durability;
use crate::intake::Intake;
use crate::json::envelope::Received;
use crate::metrics::Figures;
use crate::metrics::Metrics;
use crate::metrics::SinkFigures;
use crate::sink::Condition;
use crate::sink::SinkState;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::tenant::Tenants;
use crate::waiting::WaitingEvents;

/// Everything that has figures. Clones see the same.
#[derive(Clone, Debug)]
pub struct Overview {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) buffer: Buffer,
    pub(crate) letters: Option<Buffer>,
    pub(crate) intake: Intake,
    pub(crate) tenants: Tenants,
    pub(crate) sinks: Vec<Arc<SinkState>>,
    pub(crate) waiting: WaitingEvents,
    pub(crate) stop: StopWatch,
}

impl Overview {
    /// Every metric in the Prometheus text format.
    pub fn metrics(&self) -> String {
        self.tenants.show();
        self.metrics.render(&self.figures())
    }

    /// Whether new work is wanted: false from the moment the relay stops.
    ///
    /// A full buffer holds senders back and is no reason to take the relay out of service: it recovers by itself.
    pub fn is_ready(&self) -> bool {
        self.stop.phase() == Phase::Run && self.buffer.stat().condition != buffer::Condition::Failed
    }

    /// The same, and why.
    pub fn ready(&self) -> (bool, Value) {
        let (ready, phase) = (self.is_ready(), self.stop.phase());
        let figures = self.figures();
        let durability = figures.buffer.disk.map_or(Durability::Memory, |disk| disk.durability);
        let states = self.sinks.iter().chain(self.sinks.iter().filter_map(|state| state.fallback()));
        let sinks: Vec<Value> = states.zip(&figures.sinks).map(|(state, figures)| sink(state, figures)).collect();
        let document = json!({
            "ready": ready,
            "phase": phase_label(phase),
            "durability": durability.label(),
            "buffer": {
                "condition": figures.buffer.condition.label(),
                "reason": reason(figures.buffer.condition),
                "bytes": figures.buffer.bytes,
                "max_bytes": figures.buffer.bytes_max,
                "events": figures.buffer.events,
                "oldest_age_seconds": figures.buffer_oldest_seconds,
                "lost_events": figures.buffer.disk.map_or(0, |disk| disk.lost_events),
                "quarantine_bytes": figures.buffer.disk.map_or(0, |disk| disk.quarantined_bytes),
                "last_commit_seconds": figures.buffer.disk.map(|disk| disk.commit_took.as_secs_f64()),
            },
            "dead_letters": figures.letters.as_ref().map(|letters| {
                json!({
                    "condition": letters.condition.label(),
                    "bytes": letters.bytes,
                    "max_bytes": letters.bytes_max,
                    "events": letters.events,
                })
            }),
            "memory": {
                "bytes": figures.memory_bytes.0,
                "max_bytes": figures.memory_bytes.1,
                "waiting_reads": figures.memory_waiting,
            },
            "sinks": sinks,
        });
        (ready, document)
    }

    fn figures(&self) -> Figures {
        let stat = self.buffer.stat();
        // Read after the buffer: what gets room in between is then counted once and not left out.
        let waiting = self.waiting.events();
        let age = stat.oldest.map_or(0, |oldest| now().saturating_sub(oldest) / 1_000_000);
        let mut sinks = Vec::with_capacity(self.sinks.len());
        for (state, cursor) in self.sinks.iter().zip(&stat.cursors) {
            let figures = sink_figures(state);
            // What its fallback has delivered was acked in its name. Where much is skipped, what is acked and skipped goes on between
            // two looks, and the difference could seem to fall.
            let acked = cursor.events_acked.saturating_sub(figures.refused + figures.skipped);
            sinks.push(SinkFigures {
                delivered: if state.fallback().is_some() || figures.skipped > 0 { figures.delivered } else { acked },
                buffered: cursor.events + waiting,
                restored: cursor.events_restored,
                lost: cursor.events_lost,
                ..figures
            });
        }
        sinks.extend(self.sinks.iter().filter_map(|state| state.fallback()).map(|state| sink_figures(state)));
        Figures {
            letters: self.letters.as_ref().map(Buffer::stat),
            buffer_oldest_seconds: u64::try_from(age).unwrap_or(0),
            memory_bytes: (self.intake.held_bytes(), self.intake.bytes_max()),
            memory_waiting: self.intake.waiting() as u64,
            sinks,
            buffer: stat,
        }
    }
}

/// What a sink says of itself.
fn sink_figures(state: &SinkState) -> SinkFigures {
    let (counts, condition) = (state.counts(), state.condition());
    SinkFigures {
        name: state.name().to_owned(),
        delivered: counts.events_delivered,
        retried: counts.events_retried,
        written_bytes: counts.bytes_written,
        connections: counts.connections,
        failures: counts.failures,
        refused: counts.events_refused,
        refused_dropped: counts.events_refused_dropped,
        given_up: counts.events_given_up,
        given_up_dropped: counts.events_given_up_dropped,
        skipped: counts.events_skipped,
        up: matches!(condition, Condition::Delivering | Condition::StandingBy),
        conditions: Condition::ALL.map(|one| (one.label(), one == condition)).into(),
        ..SinkFigures::default()
    }
}

fn sink(state: &SinkState, figures: &SinkFigures) -> Value {
    let time = |at| String::from_utf8_lossy(&Received::at(at).text).into_owned();
    let error = state.last_error().map(|error| json!({ "text": error.text, "at": time(error.at) }));
    json!({
        "name": figures.name,
        "condition": state.condition().label(),
        "fallback": state.fallback().map(|fallback| fallback.name()),
        "delivered_events": figures.delivered,
        "buffered_events": figures.buffered,
        "refused_events": figures.refused,
        "given_up_events": figures.given_up,
        "gives_up_since": state.gives_up_since().map(time),
        "last_error": error,
    })
}

/// Why the buffer takes nothing, where it does not.
fn reason(condition: buffer::Condition) -> Option<String> {
    match condition {
        buffer::Condition::Working => None,
        buffer::Condition::Full(full) => Some(full.to_string()),
        buffer::Condition::Failed => Some("its disk has failed; the log says how".to_owned()),
    }
}

const fn phase_label(phase: Phase) -> &'static str {
    match phase {
        Phase::Run => "run",
        Phase::StopIntake => "stop_intake",
        Phase::Drain => "drain",
        Phase::Stop => "stop",
    }
}
