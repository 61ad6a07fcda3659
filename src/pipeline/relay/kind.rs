//! The kinds of sources there are, with what is to be known of each beside its plan.

use crate::net::tls::Speaks;
use crate::source::beats::BeatsSourcePlan;
use crate::source::http::HttpSourcePlan;
use crate::source::tcp::TcpSourcePlan;

/// What a source speaks, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Lines over TCP.
    Tcp(TcpSourcePlan),
    /// Requests over HTTP.
    Http(HttpSourcePlan),
    /// Events of Beats.
    Beats(BeatsSourcePlan),
}

/// What a source of lines takes.
pub const TAKES_LINES: &str = "lines over TCP";

/// What a source of requests takes.
pub const TAKES_REQUESTS: &str = "requests over HTTP";

impl SourceKind {
    /// What it takes, in words.
    pub const fn takes(&self) -> &'static str {
        match self {
            Self::Tcp(_) => TAKES_LINES,
            Self::Http(_) => TAKES_REQUESTS,
            Self::Beats(_) => "events of Beats",
        }
    }

    /// What it speaks inside TLS.
    pub fn speaks(&self) -> Speaks {
        match self {
            Self::Tcp(_) => Speaks::Lines,
            Self::Http(_) => Speaks::Http,
            Self::Beats(_) => Speaks::Beats,
        }
    }
}
