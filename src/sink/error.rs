//! What can go wrong in a sink, and the one place that decides what to do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// A sink's failure. It names the peer or path and keeps its cause.
#[derive(Debug, Error)]
pub enum SinkError {
    /// A host's name has no address.
    #[error("cannot resolve {host}")]
    Resolve {
        /// `HOST:PORT` as configured.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection came about.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and address.
        peer: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Resolving or connecting took too long.
    #[error("no connection to {peer} within {after:?}")]
    ConnectTimeout {
        /// Host, and address if it came to that.
        peer: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke.
    #[error("connection to {peer} broke")]
    Broken {
        /// Host and address.
        peer: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The peer ended the connection before everything on it was released.
    #[error("{peer} closed the connection")]
    PeerEnded {
        /// Host and address.
        peer: String,
    },
    /// Something about a file failed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever read standard output is gone.
    #[error("standard output was closed by its reader")]
    StdoutClosed {
        /// What the system said.
        source: io::Error,
    },
    /// Standard output does not take any more.
    #[error("cannot write to standard output")]
    Stdout {
        /// What the system said.
        source: io::Error,
    },
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after a backoff; nothing is lost.
    Retry,
    /// Nothing can be delivered by this sink any more: the relay stops.
    Fatal,
}

impl SinkError {
    /// What to do about it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Broken { .. }
            | Self::PeerEnded { .. }
            | Self::File { .. }
            | Self::Stdout { .. } => Verdict::Retry,
            Self::StdoutClosed { .. } => Verdict::Fatal,
        }
    }

    /// What a person can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "check the host's spelling and the resolver",
            Self::Connect { .. } => "check that the destination listens there and that no firewall refuses it",
            Self::ConnectTimeout { .. } => "check the route and the firewalls between here and the destination",
            Self::Broken { .. } | Self::PeerEnded { .. } => {
                "see the destination's own log; what it may have missed is sent again"
            }
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on that file system",
                io::ErrorKind::PermissionDenied => "give the relay's user the right to write there",
                io::ErrorKind::NotFound => "create the directory",
                _ => "check the path and the file system",
            },
            Self::StdoutClosed { .. } => "keep the reader running, or choose another sink",
            Self::Stdout { .. } => "check where standard output leads to",
        }
    }

    /// The failure and its causes in one line.
    pub fn words(&self) -> String {
        let mut words = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            words.push_str(": ");
            words.push_str(&error.to_string());
            cause = error.source();
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_why_in_one_line() {
        let source = io::Error::from_raw_os_error(111);
        let error = SinkError::Connect { peer: "logs:5000 (10.0.0.1:5000)".to_owned(), source };
        assert_eq!(error.words(), "cannot connect to logs:5000 (10.0.0.1:5000): Connection refused (os error 111)");
        assert_eq!(error.verdict(), Verdict::Retry);
    }
}
