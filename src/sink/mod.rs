//! Sinks: what hands batches on. A sink knows nothing of sources or formats.

use std::path::PathBuf;
use std::time::Duration;

/// A sink, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlan {
    /// Unique among the sinks; the label of its metrics.
    pub name: String,
    /// Where its batches go.
    pub kind: SinkKind,
}

/// The kinds of sinks there are, each with its own plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Documents to standard output.
    Stdout,
    /// Documents to a rotated file.
    File(FilePlan),
    /// json_lines to a Logstash TCP input.
    LogstashTcp(LogstashTcpPlan),
}

impl SinkKind {
    /// The word for it in the configuration file and in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File(_) => "file",
            Self::LogstashTcp(_) => "logstash_tcp",
        }
    }
}

/// A file sink, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlan {
    /// The file being written; rotated ones stand beside it.
    pub path: PathBuf,
    /// Size from which the file is rotated.
    pub rotate_bytes: u64,
    /// Age from which the file is rotated; `None` rotates by size alone.
    pub rotate_interval: Option<Duration>,
    /// Rotated files kept; the oldest beyond that are deleted.
    pub keep: u32,
}

/// A Logstash TCP sink, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogstashTcpPlan {
    /// `host:port` of each peer, IPv6 in brackets: one connection at a time, the next host on failure.
    pub hosts: Vec<String>,
    /// Longest wait for one connection.
    pub connect_timeout: Duration,
    /// How long a connection lives on before bytes its peer's kernel acknowledged count as delivered.
    pub settle: Duration,
    /// Bytes acknowledged later on the same connection that settle earlier ones at once.
    pub resend_bytes: u64,
    /// How long the peer may leave bytes unacknowledged before the connection is given up (`TCP_USER_TIMEOUT`).
    pub user_timeout: Duration,
}
