//! What a log format is: a table of fields and the checks that keep a line from being read shifted.
//!
//! Adding AWS's next field is one line in a table; schemas, documentation and checks follow from it. Nothing here knows
//! how a line is cut into tokens or how a document is written.

use crate::json::writer::Key;

/// One kind of load-balancer log.
#[derive(Debug)]
pub struct Format {
    /// The kind it describes.
    pub kind: Kind,
    /// Every field AWS has ever written, in order.
    pub fields: &'static [Field],
    /// Fewest tokens a line of this kind can have.
    pub tokens_min: usize,
    /// Place of the event's time.
    pub time: usize,
    /// Places of the classic schema's columns; `None` for kinds it has no column for.
    pub columns: Option<Columns>,
    /// One bit for each place that must not be quoted.
    pub bare: u64,
    /// One bit for each place that must be quoted.
    pub quoted: u64,
    /// One bit for each place that must be quoted or `-`.
    pub quoted_or_dash: u64,
}

/// The kinds of line there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Classic Load Balancer access log.
    Classic,
    /// Application Load Balancer access log.
    Alb,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Classic, Self::Alb];

    /// The word for configuration, metrics and documentation.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Alb => "alb",
        }
    }

    /// The table of this kind.
    pub const fn format(self) -> &'static Format {
        match self {
            Self::Classic => &super::classic::FORMAT,
            Self::Alb => &super::alb::FORMAT,
        }
    }
}

/// One field of a format.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// AWS's name, which is its key in the `aws` schema; split fields have their parts' keys instead.
    pub key: Key,
    /// What its text must look like and becomes.
    pub shape: Shape,
    /// Whether it may, must or must not be quoted.
    pub quoting: Quoting,
}

/// What a field's text must look like, and what it becomes in the `aws` schema.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any text, kept as it is; `-` is null.
    Text,
    /// A whole number or `-`.
    Integer,
    /// A decimal number or `-`.
    Number,
    /// A timestamp or `-`, kept as text.
    Time,
    /// `ip:port` or `-`: two members.
    Endpoint {
        /// Member for the address.
        ip: Key,
        /// Member for the port.
        port: Key,
    },
    /// A request line: the text and its three parts.
    Request {
        /// Member for the method.
        verb: Key,
        /// Member for the URL.
        url: Key,
        /// Member for the protocol.
        proto: Key,
    },
}

/// Whether a field stands in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// Never.
    Bare,
    /// Always.
    Quoted,
    /// In quotes, or a bare `-`.
    QuotedOrDash,
    /// Public data has both.
    Either,
}

/// Places of the classic schema's columns in a line.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Preferred place of the receive time, when the line is long enough and it is not `-`.
    pub created: Option<usize>,
    /// Name of the load balancer.
    pub name: usize,
    /// Client's address and port.
    pub client: usize,
    /// Backend's address and port.
    pub backend: usize,
    /// First of the three processing times.
    pub times: usize,
    /// First of the two status codes.
    pub status: usize,
    /// First of the two byte counts.
    pub bytes: usize,
    /// The request line.
    pub request: usize,
}

impl Field {
    /// A field without quotes.
    pub const fn bare(name: &str, shape: Shape) -> Self {
        Self { key: Key::new(name), shape, quoting: Quoting::Bare }
    }

    /// A text in quotes.
    pub const fn quoted(name: &str, shape: Shape) -> Self {
        Self { key: Key::new(name), shape, quoting: Quoting::Quoted }
    }

    /// A text in quotes, or a bare `-`.
    pub const fn quoted_or_dash(name: &str) -> Self {
        Self { key: Key::new(name), shape: Shape::Text, quoting: Quoting::QuotedOrDash }
    }

    /// A field found with and without quotes.
    pub const fn either(name: &str, shape: Shape) -> Self {
        Self { key: Key::new(name), shape, quoting: Quoting::Either }
    }

    /// AWS's name.
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// The members it becomes in the `aws` schema.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        let keys: [Option<&Key>; 4] = match &self.shape {
            Shape::Text | Shape::Integer | Shape::Number | Shape::Time => [Some(&self.key), None, None, None],
            Shape::Endpoint { ip, port } => [Some(ip), Some(port), None, None],
            Shape::Request { verb, url, proto } => [Some(&self.key), Some(verb), Some(url), Some(proto)],
        };
        keys.into_iter().flatten().map(Key::name)
    }
}

/// The shape of a field that is an address and a port.
pub const fn endpoint(ip: &str, port: &str) -> Shape {
    Shape::Endpoint { ip: Key::new(ip), port: Key::new(port) }
}

/// The shape of a request line.
pub const fn request() -> Shape {
    Shape::Request { verb: Key::new("request_verb"), url: Key::new("request_url"), proto: Key::new("request_proto") }
}

/// One bit for each of the fields with this quoting.
///
/// # Panics
/// When there are more than 64 fields; at compile time.
pub const fn mask(fields: &[Field], quoting: Quoting) -> u64 {
    assert!(fields.len() <= 64, "a format has at most 64 fields");
    let mut mask = 0;
    let mut at = 0;
    while at < fields.len() {
        if fields[at].quoting as u8 == quoting as u8 {
            mask |= 1 << at;
        }
        at += 1;
    }
    mask
}
