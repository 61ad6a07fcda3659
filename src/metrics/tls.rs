//! What is counted of TLS: how handshakes ended, when certificates expire, whether new ones could be used.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Registry;

use super::counters;
use super::gauges;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With a connection.
    Done,
    /// The sender has no certificate, and needs one.
    NoCertificate,
    /// Its certificate is by nobody who is trusted.
    UnknownCa,
    /// Its certificate, or one above it, has expired.
    Expired,
    /// Its certificate, or one above it, is not valid yet.
    NotYetValid,
    /// Its certificate is for something else than to say who a client is.
    WrongUsage,
    /// Its certificate is good, and names nobody who may come in.
    NameNotAllowed,
    /// Its certificate, or its proof to hold it, is wrong otherwise.
    BadCertificate,
    /// What it says is no TLS.
    NotTls,
    /// It speaks only versions before TLS 1.2.
    ProtocolVersion,
    /// Both have no cipher suite, group, signature scheme or application protocol in common.
    NothingInCommon,
    /// It does not want to go on; most often because it does not trust the relay's certificate.
    RefusedByPeer,
    /// It, or something between, closed or reset the connection.
    Closed,
    /// It was not through by the deadline.
    Timeout,
    /// The relay stopped.
    Stopped,
    /// Anything else.
    Other,
}

impl Handshake {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Done,
        Self::NoCertificate,
        Self::UnknownCa,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongUsage,
        Self::NameNotAllowed,
        Self::BadCertificate,
        Self::NotTls,
        Self::ProtocolVersion,
        Self::NothingInCommon,
        Self::RefusedByPeer,
        Self::Closed,
        Self::Timeout,
        Self::Stopped,
        Self::Other,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NoCertificate => "no_certificate",
            Self::UnknownCa => "unknown_ca",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongUsage => "wrong_usage",
            Self::NameNotAllowed => "name_not_allowed",
            Self::BadCertificate => "bad_certificate",
            Self::NotTls => "not_tls",
            Self::ProtocolVersion => "protocol_version",
            Self::NothingInCommon => "nothing_in_common",
            Self::RefusedByPeer => "refused_by_peer",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}

/// What is counted of the TLS of one source.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    handshakes: Vec<IntCounter>,
    not_after: IntGauge,
    loaded: IntCounter,
    refused: IntCounter,
}

impl TlsMetrics {
    /// Counts a handshake.
    pub fn handshake(&self, how: Handshake) {
        self.handshakes[how as usize].inc();
    }

    /// Says when the relay's certificate expires, in seconds since 1970.
    pub fn not_after(&self, seconds: i64) {
        self.not_after.set(seconds);
    }

    /// Counts changed files that have taken effect.
    pub fn loaded(&self) {
        self.loaded.inc();
    }

    /// Counts changed files that could not be used.
    pub fn refused(&self) {
        self.refused.inc();
    }
}

/// The families behind them.
#[derive(Debug)]
pub(super) struct TlsFamilies {
    handshakes: IntCounterVec,
    not_after: IntGaugeVec,
    reloads: IntCounterVec,
}

impl TlsFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            handshakes: counters(
                registry,
                "source_tls_handshakes_total",
                "TLS handshakes ended, by how; all but \"done\" ended the connection",
                &["source", "result"],
            ),
            not_after: gauges(
                registry,
                "source_tls_certificate_not_after_seconds",
                "When the certificate shown to senders expires, in seconds since 1970",
                &["source"],
            ),
            reloads: counters(
                registry,
                "source_tls_reloads_total",
                "Changed certificates, keys and certificate authorities, by whether they could be used",
                &["source", "result"],
            ),
        }
    }

    /// What is counted of the TLS of this source.
    pub(super) fn of(&self, source: &str) -> TlsMetrics {
        let handshake = |how: &Handshake| self.handshakes.with_label_values(&[source, how.label()]);
        let reloads = |result| self.reloads.with_label_values(&[source, result]);
        TlsMetrics {
            handshakes: Handshake::ALL.iter().map(handshake).collect(),
            not_after: self.not_after.with_label_values(&[source]),
            loaded: reloads("loaded"),
            refused: reloads("refused"),
        }
    }
}
