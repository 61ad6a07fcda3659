//! Why a line is no load-balancer log line, and where that showed.

use std::fmt;

/// A line no parser took: the line itself is kept by whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Offset into the line, in bytes from zero, at which parsing stopped.
    pub at: usize,
    /// What was wrong there.
    pub reason: RejectReason,
    /// The field that was expected there, by AWS's name, where one was.
    pub field: Option<&'static str>,
}

/// What was wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// Nothing, or nothing but spaces.
    EmptyLine,
    /// The content of the test file AWS writes when logging is switched on.
    ControlMessage,
    /// The line is JSON: it belongs to another parser.
    Json,
    /// A quote is opened and never closed.
    UnterminatedQuote,
    /// The line ends before the last field that its format always had.
    TooFewFields,
    /// A field is not what its place demands, so that all behind it would be shifted.
    MisalignedFields,
    /// The line has the shape of no load-balancer log.
    UnrecognisedFormat,
}

impl RejectReason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 7] = [
        Self::EmptyLine,
        Self::ControlMessage,
        Self::Json,
        Self::UnterminatedQuote,
        Self::TooFewFields,
        Self::MisalignedFields,
        Self::UnrecognisedFormat,
    ];

    /// The word for documents, metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::EmptyLine => "empty_line",
            Self::ControlMessage => "control_message",
            Self::Json => "json",
            Self::UnterminatedQuote => "unterminated_quote",
            Self::TooFewFields => "too_few_fields",
            Self::MisalignedFields => "misaligned_fields",
            Self::UnrecognisedFormat => "unrecognised_format",
        }
    }
}

impl Reject {
    /// A reject at a place where no particular field was expected.
    pub(crate) const fn new(reason: RejectReason, at: usize) -> Self {
        Self { at, reason, field: None }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.label())?;
        match self.field {
            Some(field) => write!(f, " at {field}"),
            None => Ok(()),
        }
    }
}
