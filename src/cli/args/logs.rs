//! How logs look, and which are written.

use clap::ValueEnum;
use tracing::Level;

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise
    Auto,
    /// Text for people
    Text,
    /// One JSON object a line
    Json,
}

/// Which logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What needs someone
    Error,
    /// What may need someone
    Warn,
    /// What the relay does
    Info,
    /// Each further try of what has failed before
    Debug,
    /// Whatever there is
    Trace,
}

impl LogLevel {
    /// The same for tracing.
    pub const fn level(self) -> Level {
        match self {
            Self::Error => Level::ERROR,
            Self::Warn => Level::WARN,
            Self::Info => Level::INFO,
            Self::Debug => Level::DEBUG,
            Self::Trace => Level::TRACE,
        }
    }
}
