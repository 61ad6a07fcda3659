//! What the buffer and the dead letters show of themselves.
//!
//! Levels are copied when somebody asks; what single writes took is observed by whoever runs the writer.

use std::time::Duration;

use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::IntCounter;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Registry;

use super::counters;
use super::gauges;
use super::raise;
use super::signed;
use crate::buffer::BufferStat;
use crate::buffer::Condition;
use crate::buffer::DiskStat;
use crate::buffer::log::Durability;
use crate::buffer::log::Full;
use crate::buffer::writer::Wrote;

/// Levels of the buffer and of the dead letters.
#[derive(Debug)]
pub(super) struct BufferFamilies {
    appended: IntCounter,
    lost: IntCounter,
    levels: [IntGauge; 10],
    condition: IntGaugeVec,
    durability: IntGaugeVec,
    letters: [IntGauge; 3],
}

/// The words for conditions.
const CONDITIONS: [Condition; 3] = [Condition::Working, Condition::Full(Full::Limit), Condition::Failed];

impl BufferFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| gauges(registry, name, help, &[]).with_label_values(&[] as &[&str]);
        let counter = |name: &str, help: &str| counters(registry, name, help, &[]).with_label_values(&[] as &[&str]);
        Self {
            appended: counter("buffer_appended_events_total", "Events that entered the buffer"),
            lost: counter("buffer_lost_events_total", "Events in the buffer that were damaged or missing when they were read"),
            levels: [
                gauge("buffer_bytes", "Bytes in the buffer"),
                gauge("buffer_max_bytes", "Bound on the bytes in the buffer"),
                gauge("buffer_entries", "Entries in the buffer"),
                gauge("buffer_events", "Events in the buffer"),
                gauge("buffer_oldest_age_seconds", "Age of the oldest entry in the buffer; 0 when it is empty"),
                gauge("buffer_queued_events", "Events that are in memory and not written yet; 0 without a buffer on disk"),
                gauge("buffer_window_bytes", "Bytes of written events that are still in memory for sinks that keep up"),
                gauge("buffer_file_bytes", "Bytes of the buffer's files, room made ahead of need included"),
                gauge("buffer_segments", "Files that hold events"),
                gauge("buffer_quarantine_bytes", "Damaged bytes that were copied to the quarantine"),
            ],
            condition: gauges(registry, "buffer_condition", "How the buffer is: 1 for the condition it is in", &["condition"]),
            durability: gauges(
                registry,
                "buffer_durability",
                "What is done before an event counts as stored: 1 for the level in force",
                &["durability"],
            ),
            letters: [
                gauge("dead_letters_events", "Events among the dead letters"),
                gauge("dead_letters_bytes", "Bytes of the dead letters"),
                gauge("dead_letters_max_bytes", "Bound on the bytes of the dead letters"),
            ],
        }
    }

    pub(super) fn copy(&self, stat: &BufferStat, oldest_seconds: u64, letters: Option<&BufferStat>) {
        raise(&self.appended, stat.events_appended);
        let disk = stat.disk.unwrap_or(NO_DISK);
        raise(&self.lost, disk.lost_events);
        let levels = [
            stat.bytes,
            stat.bytes_max,
            stat.entries,
            stat.events,
            oldest_seconds,
            disk.queued_events,
            disk.window_bytes,
            disk.file_bytes,
            disk.segments,
            disk.quarantined_bytes,
        ];
        set(&self.levels, levels);
        for condition in CONDITIONS {
            let label = condition.label();
            self.condition.with_label_values(&[label]).set(i64::from(label == stat.condition.label()));
        }
        for durability in Durability::ALL {
            self.durability.with_label_values(&[durability.label()]).set(i64::from(durability == disk.durability));
        }
        let letters = letters.map_or([0; 3], |letters| [letters.events, letters.bytes, letters.bytes_max]);
        set(&self.letters, letters);
    }
}

/// What a buffer in memory has of all that.
const NO_DISK: DiskStat = DiskStat {
    durability: Durability::Memory,
    queued_bytes: 0,
    queued_events: 0,
    window_bytes: 0,
    file_bytes: 0,
    segments: 0,
    lost_events: 0,
    quarantined_bytes: 0,
    commit_took: Duration::ZERO,
};

fn set<const N: usize>(gauges: &[IntGauge; N], values: [u64; N]) {
    for (gauge, value) in gauges.iter().zip(values) {
        gauge.set(signed(value));
    }
}

/// What the writers of the buffer and of the dead letters do.
#[derive(Clone, Debug)]
pub struct WriterMetrics {
    commit_seconds: Histogram,
    checkpoint_seconds: Histogram,
    written_bytes: IntCounter,
    dropped: IntCounter,
}

impl WriterMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let histogram = Histogram::with_opts(options).expect("the name is valid");
            registry.register(Box::new(histogram.clone())).expect("each name is registered once");
            histogram
        };
        let counter = |name: &str, help: &str| counters(registry, name, help, &[]).with_label_values(&[] as &[&str]);
        Self {
            commit_seconds: histogram("buffer_commit_seconds", "Time to write a group of events and make it durable"),
            checkpoint_seconds: histogram("buffer_checkpoint_seconds", "Time to write how far the sinks are"),
            written_bytes: counter("buffer_written_bytes_total", "Bytes of events written to the buffer's files"),
            dropped: counter(
                "dead_letters_dropped_events_total",
                "Dead letters given up to make room for newer ones, as when_full says",
            ),
        }
    }

    /// Adds what the buffer's writer did.
    pub fn buffer(&self, wrote: Wrote) {
        match wrote {
            Wrote::Group { disk_bytes, took } => {
                self.written_bytes.inc_by(disk_bytes);
                self.commit_seconds.observe(took.as_secs_f64());
            }
            Wrote::Checkpoint { took } => self.checkpoint_seconds.observe(took.as_secs_f64()),
            Wrote::Full(_) | Wrote::Room | Wrote::Dropped { .. } => {}
        }
    }

    /// Adds what the dead letters' writer did.
    pub fn letters(&self, wrote: Wrote) {
        if let Wrote::Dropped { events } = wrote {
            self.dropped.inc_by(events);
        }
    }
}

/// Bounds of the buckets: from a write that stays in a cache to a disk that is in trouble.
const SECONDS: [f64; 11] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
