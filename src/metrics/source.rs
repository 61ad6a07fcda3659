//! The counters of one source, held by whoever reads from it.

use prometheus::IntCounter;
use prometheus::IntGauge;

use crate::tally::Tally;

/// How a connection of a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The sender closed it in order.
    Closed,
    /// The sender, or something between, reset it.
    Reset,
    /// It sent nothing for too long.
    Idle,
    /// Its unfinished line found no room in the memory set aside for such lines.
    Memory,
    /// The relay stopped, and the sender had not closed it by the deadline.
    Stopped,
    /// Our own fault.
    Panicked,
}

impl ConnectionEnd {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Closed, Self::Reset, Self::Idle, Self::Memory, Self::Stopped, Self::Panicked];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Idle => "idle",
            Self::Memory => "memory",
            Self::Stopped => "stopped",
            Self::Panicked => "panicked",
        }
    }
}

/// The counters of one source.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    pub(super) received_bytes: IntCounter,
    pub(super) events: Vec<IntCounter>,
    pub(super) rejects: Vec<IntCounter>,
    pub(super) dropped_rejects: IntCounter,
    pub(super) dropped_at_stop: IntCounter,
    pub(super) blank: IntCounter,
    pub(super) control: IntCounter,
    pub(super) preambles: IntCounter,
    pub(super) preamble_members_ignored: IntCounter,
    pub(super) cut: IntCounter,
    pub(super) unknown_fields: IntCounter,
    pub(super) bad_times: IntCounter,
    pub(super) invalid_utf8: IntCounter,
    pub(super) skipped_bytes: IntCounter,
    pub(super) unfinished_bytes: IntCounter,
    pub(super) unread_bytes: IntCounter,
    pub(super) connections: IntCounter,
    pub(super) connections_open: IntGauge,
    pub(super) connections_ended: Vec<IntCounter>,
    pub(super) accept_errors: IntCounter,
}

impl SourceMetrics {
    /// Adds the bytes of a read and what became of its lines.
    pub fn read(&self, bytes: usize, tally: &Tally) {
        self.received_bytes.inc_by(bytes as u64);
        add_all(&self.events, &tally.events);
        let rare = [
            (&self.dropped_rejects, tally.dropped),
            (&self.blank, tally.blank),
            (&self.control, tally.control),
            (&self.preambles, tally.preambles),
            (&self.preamble_members_ignored, tally.preamble_members_ignored),
            (&self.cut, tally.cut),
            (&self.unknown_fields, tally.unknown_fields),
            (&self.bad_times, tally.bad_times),
            (&self.invalid_utf8, tally.invalid_utf8),
        ];
        for (counter, by) in rare {
            if by > 0 {
                counter.inc_by(by);
            }
        }
        add_all(&self.rejects, &tally.rejects);
    }

    /// Adds events that came too late: the relay stopped before the buffer had room for them.
    pub fn dropped_at_stop(&self, events: u64) {
        self.dropped_at_stop.inc_by(events);
    }

    /// Events dropped because the relay stopped.
    pub fn events_dropped_at_stop(&self) -> u64 {
        self.dropped_at_stop.get()
    }

    /// Adds bytes of lines over the limit that were thrown away.
    pub fn skipped(&self, bytes: u64) {
        if bytes > 0 {
            self.skipped_bytes.inc_by(bytes);
        }
    }

    /// Adds bytes of a last line that never ended.
    pub fn unfinished(&self, bytes: u64) {
        if bytes > 0 {
            self.unfinished_bytes.inc_by(bytes);
        }
    }

    /// Adds bytes that the kernel had taken from a sender that was cut off at the end, and nobody read.
    pub fn unread(&self, bytes: u64) {
        self.unread_bytes.inc_by(bytes);
    }

    /// Bytes of senders that were cut off at the end which nobody read.
    pub fn bytes_unread(&self) -> u64 {
        self.unread_bytes.get()
    }

    /// Counts a connection that was accepted.
    pub fn connected(&self) {
        self.connections.inc();
        self.connections_open.inc();
    }

    /// Counts its end.
    pub fn disconnected(&self, end: ConnectionEnd) {
        self.connections_open.dec();
        self.connections_ended[end as usize].inc();
    }

    /// Counts a connection that could not be accepted.
    pub fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// Connections open now.
    pub fn connections_open(&self) -> i64 {
        self.connections_open.get()
    }
}

fn add_all(counters: &[IntCounter], by: &[u64]) {
    for (counter, &by) in counters.iter().zip(by) {
        if by > 0 {
            counter.inc_by(by);
        }
    }
}
