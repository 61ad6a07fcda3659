//! The counters of one source, held by whoever reads from it.

use std::sync::Arc;
use std::sync::Mutex;

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;

use crate::elb::format::Kind;
use crate::tally::Longer;
use crate::tally::Tally;
use crate::wire::proxy::Refusal;

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
    /// What it begins with is no PROXY header where there must be one, or one where there must be none.
    ProxyHeader,
    /// The TLS handshake came to nothing.
    Handshake,
    /// The sender speaks TLS where none is spoken.
    UnexpectedTls,
    /// A line was over the limit, on a connection whose sender is told what was taken.
    LineTooLong,
    /// The sender did not keep to the protocol, or went over a limit of it.
    Protocol,
    /// Its events are not stored, or nobody knows: the buffer has failed, is closed, or has not answered in time.
    NotStored,
    /// The relay stopped, and the sender had not closed it by the deadline.
    Stopped,
    /// Its sender may not send, or not on one more connection.
    Refused,
    /// Our own fault.
    Panicked,
}

impl ConnectionEnd {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Closed,
        Self::Reset,
        Self::Idle,
        Self::Memory,
        Self::ProxyHeader,
        Self::Handshake,
        Self::UnexpectedTls,
        Self::LineTooLong,
        Self::Protocol,
        Self::NotStored,
        Self::Stopped,
        Self::Refused,
        Self::Panicked,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Idle => "idle",
            Self::Memory => "memory",
            Self::ProxyHeader => "proxy_header",
            Self::Handshake => "tls_handshake",
            Self::UnexpectedTls => "unexpected_tls",
            Self::LineTooLong => "line_too_long",
            Self::Protocol => "protocol",
            Self::NotStored => "not_stored",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
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
    pub(super) dropped_refused: IntCounter,
    pub(super) blank: IntCounter,
    pub(super) control: IntCounter,
    pub(super) dead_letters: IntCounter,
    pub(super) preambles: IntCounter,
    pub(super) preamble_members_ignored: IntCounter,
    pub(super) cut: IntCounter,
    pub(super) bad_times: IntCounter,
    pub(super) invalid_utf8: IntCounter,
    pub(super) skipped_bytes: IntCounter,
    pub(super) unfinished_bytes: IntCounter,
    pub(super) unread_bytes: IntCounter,
    pub(super) connections: IntCounter,
    pub(super) connections_open: IntGauge,
    pub(super) connections_ended: Vec<IntCounter>,
    /// One for each [`Refusal`].
    pub(super) refused: Vec<IntCounter>,
    pub(super) accept_errors: IntCounter,
    pub(super) longer: LongerLines,
    pub(super) redactions: Vec<IntCounter>,
    pub(super) dropped_by_rules: IntCounter,
    /// One for each rule of the source.
    pub(super) rules: Vec<IntCounter>,
}

/// Counters of lines with more fields than are known. Which there are, senders decide; so there are only so many.
#[derive(Clone, Debug)]
pub(super) struct LongerLines {
    pub(super) source: String,
    pub(super) family: IntCounterVec,
    pub(super) seen: Arc<Mutex<Vec<(Kind, usize)>>>,
}

/// Shapes of longer lines that one source counts apart; further ones are counted together.
const SHAPES_MAX: usize = 32;

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
            (&self.bad_times, tally.bad_times),
            (&self.invalid_utf8, tally.invalid_utf8),
        ];
        for (counter, by) in rare {
            if by > 0 {
                counter.inc_by(by);
            }
        }
        add_all(&self.rejects, &tally.rejects);
        add_all(&self.redactions, &tally.redactions);
        if !tally.dropped_by.is_empty() {
            add_all(&self.rules, &tally.dropped_by);
            self.dropped_by_rules.inc_by(tally.dropped_by.iter().sum());
        }
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        &self.longer.source
    }

    /// Adds lines with more fields than are known; gives those of a shape that has not been seen before.
    pub fn longer(&self, tally: &Tally) -> Vec<Longer> {
        if tally.unknown_fields.is_empty() {
            return Vec::new();
        }
        let LongerLines { source, family, seen } = &self.longer;
        let mut seen = seen.lock().expect("nobody panics while counting");
        let mut new = Vec::new();
        for longer in &tally.unknown_fields {
            let shape = (longer.kind, longer.tokens);
            let mut known = seen.contains(&shape);
            if !known && seen.len() < SHAPES_MAX {
                seen.push(shape);
                new.push(*longer);
                known = true;
            }
            let tokens = if known { longer.tokens.to_string() } else { "other".to_owned() };
            family.with_label_values(&[source.as_str(), longer.kind.label(), &tokens]).inc_by(longer.lines);
        }
        new
    }

    /// Adds rejected lines that were given to the dead letters.
    pub fn dead_letters(&self, events: u64) {
        self.dead_letters.inc_by(events);
    }

    /// Adds events that came too late: the relay stopped before the buffer had room for them.
    pub fn dropped_at_stop(&self, events: u64) {
        self.dropped_at_stop.inc_by(events);
    }

    /// Adds events of requests that found no room, whose senders were asked to send them again.
    pub fn dropped_refused(&self, events: u64) {
        self.dropped_refused.inc_by(events);
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

    /// Counts a connection that is closed for its PROXY header, and says how many there were for this reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        let counter = &self.refused[refusal as usize];
        counter.inc();
        counter.get()
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
