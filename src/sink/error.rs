//! What can go wrong in a sink, and the one place that decides what to do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::net::tls::Unacceptable;
use crate::net::tls::unacceptable;

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
    /// Nothing could be agreed on how to speak in secret, or not with whom.
    #[error("no TLS with {peer}")]
    Tls {
        /// Host and address.
        peer: String,
        /// What somebody has to mend; `None` where it may be well the next time.
        unacceptable: Option<Unacceptable>,
        /// What the library or the kernel said.
        source: io::Error,
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
    /// No whole answer came in time.
    #[error("{peer} has not answered within {after:?}")]
    Late {
        /// Host and address.
        peer: String,
        /// The limit.
        after: Duration,
    },
    /// There is nothing to sign requests with.
    #[error("there are no credentials of AWS: {what}")]
    Credentials {
        /// Who was asked for them and why that gave none.
        what: String,
    },
    /// What came is no answer to what was asked.
    #[error("the answer of {peer} cannot be believed: {what}")]
    Unreadable {
        /// Host and address.
        peer: String,
        /// What is wrong with it.
        what: String,
    },
    /// The destination says no, to a request or to one event of it.
    #[error("{peer} answers {status}{}", because(.reason))]
    Answered {
        /// Host and address.
        peer: String,
        /// The status of the request or the event.
        status: u16,
        /// Why, in the destination's words without what may be content; may be empty.
        reason: String,
        /// Whether it is about one event.
        is_item: bool,
    },
    /// An index takes no documents, whatever is in them, until somebody has seen to it.
    #[error("{peer} takes no documents for {index}: {reason}")]
    Shut {
        /// Host and address.
        peer: String,
        /// Which index.
        index: String,
        /// Why, in the destination's words.
        reason: String,
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

/// Words behind others, where there are some.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// What to do about a failure, from the least to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Try again after a backoff; nothing is lost.
    Retry,
    /// The same, with less at once.
    TooMuch,
    /// Try again in two halves; what is refused by itself is a dead letter.
    Split,
    /// It is refused for good: a dead letter.
    Refused,
    /// Somebody has to mend something: alarm, and try now and then whether it is mended.
    Pause,
    /// Nothing can be delivered by this sink any more: the relay stops.
    Fatal,
}

impl SinkError {
    /// A handshake that came to nothing.
    pub(super) fn tls(peer: &str, unacceptable: Option<Unacceptable>, source: io::Error) -> Self {
        Self::Tls { peer: peer.to_owned(), unacceptable, source }
    }

    /// A connection that broke: over TLS that may be the peer's word on the relay's certificate, which comes after the handshake.
    pub(super) fn broken(peer: &str, source: io::Error) -> Self {
        match unacceptable(&source) {
            None => Self::Broken { peer: peer.to_owned(), source },
            unacceptable => Self::tls(peer, unacceptable, source),
        }
    }

    /// What to do about it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Broken { .. }
            | Self::PeerEnded { .. }
            | Self::Late { .. }
            | Self::Credentials { .. }
            | Self::Unreadable { .. }
            | Self::File { .. }
            | Self::Stdout { .. }
            | Self::Tls { unacceptable: None, .. } => Verdict::Retry,
            Self::Tls { unacceptable: Some(_), .. } | Self::Shut { .. } => Verdict::Pause,
            Self::Answered { status, is_item: true, .. } => match status {
                400 => Verdict::Refused,
                429 | 503 => Verdict::TooMuch,
                401 | 403 | 404 => Verdict::Pause,
                _ => Verdict::Retry,
            },
            Self::Answered { status, is_item: false, .. } => match status {
                400 | 413 => Verdict::Split,
                429 | 503 => Verdict::TooMuch,
                300..=399 | 401 | 403 | 404 => Verdict::Pause,
                _ => Verdict::Retry,
            },
            Self::StdoutClosed { .. } => Verdict::Fatal,
        }
    }

    /// Whether nobody could be reached, so that whoever answers next may be somebody else.
    pub(super) fn is_unreached(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::Connect { .. } | Self::ConnectTimeout { .. })
    }

    /// Whether it came after something was sent, so that it may be because of what was sent.
    pub(super) fn is_of_sent(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::PeerEnded { .. } | Self::Late { .. } | Self::Unreadable { .. } => true,
            // These are said by proxies about whoever is behind them.
            Self::Answered { status, .. } => *status >= 500 && !matches!(status, 502..=504),
            _ => false,
        }
    }

    /// The status it was answered with, where it was.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "check the host's spelling and the resolver",
            Self::Connect { .. } => "check that the destination listens there and that no firewall refuses it",
            Self::ConnectTimeout { .. } => "check the route and the firewalls between here and the destination",
            Self::Tls { unacceptable: Some(what), .. } => what.remedy(),
            Self::Tls { unacceptable: None, .. } => "see the destination's own log, and the firewalls between here and it",
            Self::Broken { .. } | Self::PeerEnded { .. } => {
                "see the destination's own log, and whether both sides speak TLS or neither; what it may have missed is sent again"
            }
            Self::Late { .. } => "see whether the destination has too much to do; what it may have taken is sent again",
            Self::Credentials { .. } => {
                "give the machine or the task a role, see that the relay may ask for it, or give the sink keys"
            }
            Self::Unreadable { .. } => "check that the sink's hosts are what its type says, and no proxy answers for them",
            Self::Shut { .. } => "open the index, take its block away, or mend what is named; its documents wait",
            Self::Answered { status: 429, reason, .. } if reason.contains("flood-stage") => {
                "make room on the server's disks; the block goes with that, or has to be taken away"
            }
            Self::Answered { status, .. } => match status {
                401 => "check the sink's credentials",
                403 => "give the sink's user the right to write there",
                404 => "create the index or its template, and check the path",
                300..=399 => "name the host that it redirects to",
                413 => "it is sent in smaller parts",
                429 | 503 => "nothing, if it passes: it is sent again, with less at once",
                _ => "see the destination's own log",
            },
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
