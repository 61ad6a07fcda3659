//! What a log format is: a table of fields and the checks that keep a line from being read shifted.
//!
//! Adding AWS's next field is one line in a table; schemas, documentation and checks follow from it. Nothing here knows
//! how a line is cut into tokens or how a document is written.

use crate::batch::Origin;
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
    /// Place of the status the load balancer answered with: a line that has one tells of an HTTP request.
    pub status: Option<usize>,
    /// Place of the request line.
    pub request: Option<usize>,
    /// Where the classic schema finds its columns; `None` for kinds it has no columns for.
    pub columns: Option<Columns>,
    /// One bit for each place that must not be quoted.
    pub bare: u64,
    /// One bit for each place that must be quoted.
    pub quoted: u64,
    /// One bit for each place that must be quoted or `-`.
    pub quoted_or_dash: u64,
    /// One bit for each place whose text must be more than text.
    pub checked: u64,
    /// One bit for each place whose text may carry a client's secrets.
    pub sensitive: u64,
}

/// The kinds of line there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Classic Load Balancer access log.
    Classic,
    /// Application Load Balancer access log.
    Alb,
    /// Network Load Balancer access log, TLS listeners.
    Nlb,
    /// Application Load Balancer connection log.
    AlbConnection,
    /// Application Load Balancer health-check log.
    AlbHealthCheck,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Classic, Self::Alb, Self::Nlb, Self::AlbConnection, Self::AlbHealthCheck];

    /// The word for configuration, metrics and documentation.
    pub const fn label(self) -> &'static str {
        self.origin().label()
    }

    /// What a document of such a line was made from.
    pub const fn origin(self) -> Origin {
        match self {
            Self::Alb => Origin::Alb,
            Self::Classic => Origin::Classic,
            Self::Nlb => Origin::Nlb,
            Self::AlbConnection => Origin::AlbConnection,
            Self::AlbHealthCheck => Origin::AlbHealthCheck,
        }
    }

    /// The table of this kind.
    pub const fn format(self) -> &'static Format {
        match self {
            Self::Classic => &super::classic::FORMAT,
            Self::Alb => &super::alb::FORMAT,
            Self::Nlb => &super::nlb::FORMAT,
            Self::AlbConnection => &super::alb_connection::FORMAT,
            Self::AlbHealthCheck => &super::alb_health_check::FORMAT,
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
    /// Where it goes in the `ecs` schema.
    pub ecs: &'static [Target],
    /// Whether its text may carry a client's secrets, so that it is searched for them.
    pub sensitive: bool,
}

/// What a field's text must look like, and what it becomes in the `aws` schema.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any text, kept as it is; `-` is null.
    Text,
    /// The same, in practice an IP address.
    Ip,
    /// The same with the quotes it stands in: a list of quoted words.
    WordList,
    /// A whole number or `-`.
    Integer,
    /// A decimal number or `-`.
    Number,
    /// A timestamp or `-`, kept as text.
    Time,
    /// The same, but no reason to reject a line.
    LooseTime,
    /// `PASS` or `FAIL`.
    PassOrFail,
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

/// One member of the `ecs` schema that a field becomes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, a dot between the objects it stands in.
    pub path: &'static str,
    /// What becomes of the text. A value that has none leaves the member out.
    pub form: Form,
    /// The lines that have it.
    pub when: When,
}

/// The lines that have a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All of the kind.
    Always,
    /// Those with an HTTP status.
    Http,
    /// Those without.
    Tcp,
}

/// What becomes of a field's text in the `ecs` schema. `-` means no value unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text.
    Text,
    /// The text, `-` included.
    Verbatim,
    /// An IP address, as it stands.
    Ip,
    /// A whole number.
    Integer,
    /// A decimal number.
    Number,
    /// A duration in seconds; a negative one is none.
    Seconds,
    /// The text of a number; a negative one is none.
    NaturalText,
    /// The event's own time in milliseconds, cut.
    EventTime,
    /// A time in milliseconds, cut.
    Date,
    /// A time with the digits AWS wrote.
    DateVerbatim,
    /// The address of `ip:port`.
    EndpointIp,
    /// The port of `ip:port` as a number.
    EndpointPort,
    /// The port of `ip:port` as text.
    EndpointPortText,
    /// The method of a request line.
    Verb,
    /// The number behind `HTTP/`.
    Version,
    /// The URL of a request line as it stands, and its parts beside it.
    Url,
    /// `success` for a status below 400, `failure` otherwise.
    Outcome,
    /// A list of texts, divided by commas.
    CommaList,
    /// A list of texts, divided by spaces.
    SpaceList,
    /// The number of a protocol such as `TLSv1.2` or `tlsv12`.
    ProtocolVersion,
    /// The name of such a protocol in lower case.
    ProtocolName,
    /// The time behind `NotBefore=`.
    NotBefore,
    /// The time behind `NotAfter=`.
    NotAfter,
    /// A word up to its colon.
    BeforeColon,
    /// A word from behind its colon on.
    BehindColon,
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

/// Where the classic schema finds its columns in a line.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Preferred place of the receive time, when the line is long enough and it is a time.
    pub created: Option<usize>,
    /// Whether times lack the zone's letter, which is then added.
    pub zoneless: bool,
    /// Name of the load balancer.
    pub name: usize,
    /// Client's address and port.
    pub client: usize,
    /// Backend's address and port.
    pub backend: usize,
    /// The three processing times.
    pub times: [Span; 3],
    /// The two status codes; `None` reads as `-`.
    pub status: [Option<usize>; 2],
    /// The two byte counts.
    pub bytes: [usize; 2],
    /// The request line; `None` reads as Classic writes it for TCP.
    pub request: Option<usize>,
}

/// Where a duration stands and in what unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Nowhere.
    None,
    /// At this place, in seconds.
    Seconds(usize),
    /// At this place, in milliseconds.
    Milliseconds(usize),
}

impl Columns {
    /// Whether a place is one of the columns of every line.
    pub fn has(&self, place: usize) -> bool {
        let times = self.times.iter().any(|time| matches!(time, Span::Seconds(at) | Span::Milliseconds(at) if *at == place));
        times
            || [self.name, self.client, self.backend].contains(&place)
            || self.status.contains(&Some(place))
            || self.bytes.contains(&place)
            || self.request == Some(place)
    }
}

impl Field {
    const fn new(name: &str, shape: Shape, quoting: Quoting) -> Self {
        Self { key: Key::new(name), shape, quoting, ecs: &[], sensitive: false }
    }

    /// A field without quotes.
    pub const fn bare(name: &str, shape: Shape) -> Self {
        Self::new(name, shape, Quoting::Bare)
    }

    /// A text in quotes.
    pub const fn quoted(name: &str, shape: Shape) -> Self {
        Self::new(name, shape, Quoting::Quoted)
    }

    /// A text in quotes, or a bare `-`.
    pub const fn quoted_or_dash(name: &str) -> Self {
        Self::new(name, Shape::Text, Quoting::QuotedOrDash)
    }

    /// A field found with and without quotes.
    pub const fn either(name: &str, shape: Shape) -> Self {
        Self::new(name, shape, Quoting::Either)
    }

    /// The same with its members in the `ecs` schema.
    pub const fn ecs(mut self, targets: &'static [Target]) -> Self {
        self.ecs = targets;
        self
    }

    /// The same, searched for secrets.
    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// AWS's name.
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// The members it becomes in the `aws` schema.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        let keys: [Option<&Key>; 4] = match &self.shape {
            Shape::Endpoint { ip, port } => [Some(ip), Some(port), None, None],
            Shape::Request { verb, url, proto } => [Some(&self.key), Some(verb), Some(url), Some(proto)],
            _ => [Some(&self.key), None, None, None],
        };
        keys.into_iter().flatten().map(Key::name)
    }
}

/// A member every line of the kind has.
pub const fn to(path: &'static str, form: Form) -> Target {
    Target { path, form, when: When::Always }
}

/// A member of lines with an HTTP status.
pub const fn http(path: &'static str, form: Form) -> Target {
    Target { path, form, when: When::Http }
}

/// A member of lines without one.
pub const fn tcp(path: &'static str, form: Form) -> Target {
    Target { path, form, when: When::Tcp }
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
    let (mut mask, mut at) = (0, 0);
    while at < fields.len() {
        if fields[at].quoting as u8 == quoting as u8 {
            mask |= 1 << at;
        }
        at += 1;
    }
    mask
}

/// One bit for each of the fields whose text must be more than text.
///
/// # Panics
/// When there are more than 64 fields; at compile time.
pub const fn checked(fields: &[Field]) -> u64 {
    assert!(fields.len() <= 64, "a format has at most 64 fields");
    let (mut mask, mut at) = (0, 0);
    while at < fields.len() {
        match fields[at].shape {
            Shape::Integer | Shape::Number | Shape::Time | Shape::PassOrFail | Shape::Endpoint { .. } => mask |= 1 << at,
            Shape::Text | Shape::Ip | Shape::WordList | Shape::LooseTime | Shape::Request { .. } => {}
        }
        at += 1;
    }
    mask
}

/// One bit for each of the fields that may carry secrets.
///
/// # Panics
/// When there are more than 64 fields; at compile time.
pub const fn sensitive(fields: &[Field]) -> u64 {
    assert!(fields.len() <= 64, "a format has at most 64 fields");
    let (mut mask, mut at) = (0, 0);
    while at < fields.len() {
        if fields[at].sensitive {
            mask |= 1 << at;
        }
        at += 1;
    }
    mask
}
