//! Newline-delimited lines over TCP.

use std::time::Duration;

/// A TCP source, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSourcePlan {
    /// Unique among the sources; the label of its metrics.
    pub name: String,
    /// `host:port` to listen on, IPv6 in brackets. Port 0 lets the system choose.
    pub address: String,
    /// Longest line that is parsed; a longer one is cut.
    pub line_bytes_max: usize,
    /// Most connections open at once.
    pub connections_max: usize,
    /// A connection that sends nothing for so long is closed.
    pub idle_timeout: Duration,
}
