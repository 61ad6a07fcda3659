//! How a source's lines become documents, as decided: words of the configuration with nothing left to parse.

use serde_json::Value;

use crate::elb::Schema;
use crate::elb::format::Kind;
use crate::elb::rules::RulePlan;

/// How a source's lines become documents, as decided.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsePlan {
    /// What the lines are.
    pub format: Format,
    /// What the documents look like.
    pub schema: Schema,
    /// Whether the classic schema has the fields it has no column for.
    pub classic_extra: bool,
    /// Whether documents of load-balancer lines hold the line as it came.
    pub keep_original: bool,
    /// What makes two events one.
    pub identity: Identity,
    /// What becomes of secrets in load-balancer lines, text and rejects.
    pub redact: Redact,
    /// Further names of parameters whose values are secrets.
    pub redact_names: Vec<String>,
    /// Which load-balancer lines are dropped, or kept one in so many.
    pub rules: Vec<RulePlan>,
    /// What is looked up for load-balancer lines, as indices into the relay's lookups.
    pub lookups: Vec<usize>,
    /// What becomes of a line no parser takes.
    pub on_reject: OnReject,
    /// Static fields in the order they were written, each name once; values are strings, numbers and booleans.
    pub fields: Vec<(String, Value)>,
    /// Whether documents say whose they are: the sender's address, and its VPC endpoint where a proxy names one.
    pub sender_fields: bool,
    /// Longest line that is parsed.
    pub line_bytes_max: usize,
    /// Leave out what the relay adds: `@timestamp`, `@version`, `event.id`.
    pub bare: bool,
}

/// What a source's lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Decided per line: JSON, a known ELB shape, or text.
    Auto,
    /// Any ELB kind, or JSON; everything else is a reject.
    Elb,
    /// ALB access logs.
    Alb,
    /// Classic Load Balancer access logs.
    Classic,
    /// NLB access logs.
    Nlb,
    /// ALB connection logs.
    AlbConnection,
    /// ALB health-check logs.
    AlbHealthCheck,
    /// JSON objects, or arrays of them.
    Json,
    /// Text as it is.
    Text,
}

impl ParsePlan {
    /// Lines of this format become documents of this schema, and nothing else is asked for; secrets stay.
    pub fn plain(format: Format, schema: Schema) -> Self {
        Self {
            format,
            schema,
            classic_extra: false,
            keep_original: false,
            identity: Identity::Auto,
            redact: Redact::Off,
            redact_names: Vec::new(),
            rules: Vec::new(),
            lookups: Vec::new(),
            on_reject: OnReject::Tag,
            fields: Vec::new(),
            sender_fields: false,
            line_bytes_max: LINE_BYTES_MAX,
            bare: false,
        }
    }
}

/// Longest line where nobody says otherwise: four times the 256 KiB that a load balancer's line may well have.
pub const LINE_BYTES_MAX: usize = 1 << 20;

impl Format {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 9] = [
        Self::Auto,
        Self::Elb,
        Self::Alb,
        Self::Classic,
        Self::Nlb,
        Self::AlbConnection,
        Self::AlbHealthCheck,
        Self::Json,
        Self::Text,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Elb => "elb",
            Self::Alb => Kind::Alb.label(),
            Self::Classic => Kind::Classic.label(),
            Self::Nlb => Kind::Nlb.label(),
            Self::AlbConnection => Kind::AlbConnection.label(),
            Self::AlbHealthCheck => Kind::AlbHealthCheck.label(),
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    /// The format a word stands for.
    pub fn from_label(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.label() == word)
    }

    /// The one kind of load-balancer line this allows; `None` where it allows all or is about none.
    pub const fn only(self) -> Option<Kind> {
        match self {
            Self::Alb => Some(Kind::Alb),
            Self::Classic => Some(Kind::Classic),
            Self::Nlb => Some(Kind::Nlb),
            Self::AlbConnection => Some(Kind::AlbConnection),
            Self::AlbHealthCheck => Some(Kind::AlbHealthCheck),
            Self::Auto | Self::Elb | Self::Json | Self::Text => None,
        }
    }
}

/// What makes two events one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Equal content for load-balancer lines, nothing for others.
    Auto,
    /// Equal content.
    Content,
    /// Nothing.
    Arrival,
}

impl Identity {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Content, Self::Arrival];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Content => "content",
            Self::Arrival => "arrival",
        }
    }
}

/// What becomes of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redact {
    /// They stay.
    Off,
    /// A mask stands in their place.
    Mask,
    /// A keyed hash stands in their place, so that equal secrets can be told.
    Hash,
}

/// What becomes of a line no parser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReject {
    /// It becomes a document with the raw line in `message` and a tag.
    Tag,
    /// It is kept among the dead letters, as that document.
    DeadLetter,
    /// It is dropped and counted.
    Drop,
}

impl OnReject {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 3] = [Self::Tag, Self::DeadLetter, Self::Drop];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::DeadLetter => "dead_letter",
            Self::Drop => "drop",
        }
    }

    /// The choice a word stands for.
    pub fn from_label(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.label() == word)
    }
}
