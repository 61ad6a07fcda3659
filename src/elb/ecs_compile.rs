//! Straight programs for `ecs` documents: what [`ecs_program`](super::ecs_program) says of all lines of a kind, for those
//! lines alone that have values at the same places.
//!
//! Once it is known which members there are, objects open and close at known points, so that everything between two
//! values is one constant. What holds of a program:
//!
//! - It writes the bytes that the walk through the steps writes, or it gives up and the walk begins again: a program never
//!   decides what an unusual text becomes.
//! - A line it takes to its end has passed every check of its format.
//! - It depends on the steps and on a [`Presence`], never on a line's text.

use super::ecs_program::Own;
use super::ecs_program::Step;
use super::format::Form;
use super::format::Format;
use super::format::Kind;
use super::format::Shape;
use crate::json::writer::BLOCK;
use crate::json::writer::BLOCK_MAX;
use crate::json::writer::Key;

/// What a document has members of, as far as lines tell before they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    /// The kind of line.
    pub(super) kind: Kind,
    /// How many places the line has that have a name.
    pub(super) known: u8,
    /// One bit for each of [`Own`] that is there.
    pub(super) own: u8,
    /// One bit for each place that has no value: `-`, or what means the same there.
    pub(super) absent: u64,
}

impl Presence {
    /// Whether the relay adds this.
    pub(super) fn has_own(&self, own: Own) -> bool {
        self.own >> own as u8 & 1 == 1
    }

    /// Bits that differ between most presences.
    #[inline(always)]
    pub(super) fn hash(&self) -> u64 {
        let rest = self.kind as u64 | u64::from(self.known) << 8 | u64::from(self.own) << 16;
        // The odd number of the golden ratio mixes upwards (Knuth, The Art of Computer Programming 3, 6.4).
        (self.absent ^ rest << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
    }

    fn has(&self, place: usize) -> bool {
        place < usize::from(self.known) && self.absent >> place & 1 == 0
    }

    /// Whether the line tells of an HTTP request.
    pub(super) fn is_http(&self, format: &Format) -> bool {
        format.status.is_some_and(|place| self.has(place))
    }
}

/// One bit for each place of a format at which a number means nothing when it is negative.
pub(super) fn natural_places(format: &Format) -> u64 {
    let natural = |form| matches!(form, Form::Seconds | Form::NaturalText);
    let places = format.fields.iter().enumerate();
    places
        .filter(|(_, field)| !field.ecs.is_empty() && field.ecs.iter().all(|target| natural(target.form)))
        .fold(0, |places, (place, _)| places | 1 << place)
}

/// A program: one operation after the other, without a choice.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    /// What is done.
    pub(super) ops: Box<[Op]>,
    /// The constants of all operations, and a block of room behind them.
    pub(super) text: Box<[u8]>,
    /// Members that are written as the walk writes them.
    pub(super) members: Box<[(Key, Form)]>,
}

/// One operation: a constant, then a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    /// Where the constant stands in the program's text.
    pub(super) before: u16,
    /// Its bytes; at most [`BLOCK_MAX`] where a value follows.
    pub(super) len: u16,
    /// Where the value stands in the line.
    pub(super) place: u8,
    /// What becomes of it.
    pub(super) how: How,
}

/// What an operation writes behind its constant. All but the first and the last two give up on a text that is not what
/// nearly all texts at its place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing.
    Constant,
    /// The text and a quote.
    Text,
    /// The text, which must be a time, and a quote.
    Time,
    /// The text, which must be a whole number; a quote where it is to be a text.
    Whole {
        /// Bytes of that quote.
        quote: u8,
    },
    /// The text, which must be a decimal number.
    Decimal,
    /// The address of an endpoint and a quote.
    EndpointIp,
    /// The port of an endpoint; a quote where it is to be a text.
    EndpointPort {
        /// Bytes of that quote.
        quote: u8,
    },
    /// The method of the request and a quote.
    Verb,
    /// The version of its protocol and a quote.
    Version,
    /// `success` or `failure` by the text, a status, and a quote.
    Outcome,
    /// The parts of the text with quotes and commas between them, and a quote.
    List {
        /// What divides them.
        divider: u8,
    },
    /// The number of a protocol and a quote.
    ProtocolVersion,
    /// The name of a protocol in lower case and a quote.
    ProtocolName,
    /// The URL of the request, a quote, and its parts as members.
    Url,
    /// The event's time and a quote.
    EventTime,
    /// The event's id and a quote.
    Id,
    /// A member as the walk writes it; its comma is the constant's last byte.
    Member(u8),
    /// What the relay adds; its comma is the constant's last byte.
    Own(Own),
    /// Nothing; but the text must be what its place demands.
    Check,
    /// A member as the walk writes it that may have no value; its comma is the constant.
    Optional(u8),
}

/// The program for lines of one presence; `None` where only the walk knows.
pub(super) fn compile(format: &Format, steps: &[Step], presence: &Presence) -> Option<Compiled> {
    let mut compiler = Compiler::new(format);
    for step in steps {
        match step {
            Step::Open(key) => compiler.objects.push(Object { opening: opening(key, ""), is_open: false }),
            Step::Close => {
                let object = compiler.objects.pop().expect("an object is closed once");
                compiler.text.extend(object.is_open.then_some(b'}'));
            }
            Step::Constant { text, len } => compiler.put(&text[..*len]),
            Step::Member { key, place, form, closes } => {
                if presence.has(*place) || *form == Form::Verbatim && *place < usize::from(presence.known) {
                    compiler.member(key, *place, *form, *closes)?;
                    compiler.text.extend((0..*closes).map(|_| b'}'));
                }
            }
            Step::MemberOr { key, place, form, .. } if presence.has(*place) => compiler.member(key, *place, *form, 1)?,
            Step::MemberOr { otherwise, form, .. } if *form != Form::Verbatim => compiler.put(otherwise),
            Step::MemberOr { .. } => return None,
            Step::Own(own) if !presence.has_own(*own) => {}
            Step::Own(Own::Id) => {
                compiler.put(b",\"id\":\"");
                compiler.op(How::Id, 0);
            }
            Step::Own(own) => {
                compiler.put(b",");
                compiler.op(How::Own(*own), 0);
            }
        }
    }
    compiler.flush();
    // A `-` passes every check but this one; a negative number is no `-`.
    let dashes = presence.absent & !compiler.natural;
    for (place, field) in format.fields.iter().enumerate().take(usize::from(presence.known)) {
        let is_dash = dashes >> place & 1 == 1 && !matches!(field.shape, Shape::PassOrFail);
        if format.checked & !compiler.checked & 1 << place != 0 && !is_dash {
            compiler.op(How::Check, place);
        }
    }
    compiler.finish()
}

/// `,"name":` and what follows.
fn opening(key: &Key, behind: &str) -> Vec<u8> {
    format!(",\"{}\":{behind}", key.name()).into_bytes()
}

struct Object {
    opening: Vec<u8>,
    /// Whether it has been opened: only a member does that.
    is_open: bool,
}

struct Compiler<'a> {
    format: &'a Format,
    natural: u64,
    ops: Vec<Op>,
    text: Vec<u8>,
    /// How much of the text the operations have taken.
    taken: usize,
    members: Vec<(Key, Form)>,
    objects: Vec<Object>,
    /// One bit for each place whose text an operation checks.
    checked: u64,
}

impl<'a> Compiler<'a> {
    fn new(format: &'a Format) -> Self {
        let (ops, text, members, objects) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // A line whose time is none has no program.
        let checked = 1 << format.time;
        Self { format, natural: natural_places(format), ops, text, taken: 0, members, objects, checked }
    }

    /// Appends members, and before them the openings of the objects they stand in.
    fn put(&mut self, members: &[u8]) {
        let mut mark = b',';
        for object in self.objects.iter_mut().filter(|object| !object.is_open) {
            object.is_open = true;
            self.text.push(mark);
            self.text.extend_from_slice(&object.opening[1..]);
            mark = b'{';
        }
        self.text.push(mark);
        self.text.extend_from_slice(&members[1..]);
    }

    fn op(&mut self, how: How, place: usize) {
        let bytes = self.text.len() - self.taken;
        if bytes > BLOCK_MAX {
            self.push(How::Constant, 0, bytes - BLOCK_MAX);
        }
        self.push(how, place, bytes.min(BLOCK_MAX));
    }

    /// Makes an operation of its own of what is still to be written.
    fn flush(&mut self) {
        if self.taken < self.text.len() {
            self.push(How::Constant, 0, self.text.len() - self.taken);
        }
    }

    fn push(&mut self, how: How, place: usize, len: usize) {
        self.ops.push(Op { before: self.taken as u16, len: len as u16, place: place as u8, how });
        self.taken += len;
    }

    fn member(&mut self, key: &Key, place: usize, form: Form, closes: u8) -> Option<()> {
        let shape = &self.format.fields[place].shape;
        let natural = self.natural >> place & 1 == 1;
        let how = match (form, shape) {
            (Form::Seconds | Form::NaturalText, _) if !natural => return None,
            (Form::Text | Form::Verbatim | Form::NaturalText, Shape::Integer) => How::Whole { quote: 1 },
            (Form::Integer, Shape::Integer) => How::Whole { quote: 0 },
            (Form::Number | Form::Seconds, Shape::Number) => How::Decimal,
            (Form::Text | Form::Verbatim | Form::DateVerbatim, Shape::Time) => How::Time,
            (Form::EndpointIp, Shape::Endpoint { .. }) => How::EndpointIp,
            (Form::EndpointPort, Shape::Endpoint { .. }) => How::EndpointPort { quote: 0 },
            (Form::EndpointPortText, Shape::Endpoint { .. }) => How::EndpointPort { quote: 1 },
            (Form::Text | Form::Verbatim | Form::Ip | Form::DateVerbatim, Shape::Text | Shape::Ip | Shape::WordList) => How::Text,
            (Form::Verb, _) => How::Verb,
            (Form::Version, _) => How::Version,
            (Form::Url, _) => How::Url,
            (Form::EventTime, _) => How::EventTime,
            (Form::Outcome, _) => How::Outcome,
            (Form::CommaList, _) => How::List { divider: b',' },
            (Form::SpaceList, _) => How::List { divider: b' ' },
            (Form::ProtocolVersion, _) => How::ProtocolVersion,
            (Form::ProtocolName, _) => How::ProtocolName,
            _ => How::Member(u8::try_from(self.members.len()).ok()?),
        };
        match how {
            How::Member(at) => {
                self.members.push((*key, form));
                // Whether a word has a colon is not for the presence to say; the object must be open already.
                let open = self.objects.iter().all(|object| object.is_open);
                if form == Form::BehindColon && open && closes == 0 {
                    self.flush();
                    self.put(b",");
                    self.op(How::Optional(at), place);
                } else {
                    self.put(b",");
                    self.op(how, place);
                }
                return Some(());
            }
            How::Whole { .. } | How::Decimal | How::Time | How::EndpointIp | How::EndpointPort { .. } => {
                self.checked |= 1 << place;
            }
            _ => {}
        }
        let quote = match how {
            How::Whole { quote: 0 } | How::EndpointPort { quote: 0 } | How::Decimal => "",
            How::List { .. } => "[\"",
            _ => "\"",
        };
        self.put(&opening(key, quote));
        self.op(how, place);
        if let How::List { .. } = how {
            self.text.push(b']');
        }
        Some(())
    }

    /// The program, unless it is too long for what an operation holds.
    fn finish(mut self) -> Option<Compiled> {
        self.text.resize(self.text.len() + BLOCK, b' ');
        u16::try_from(self.text.len()).ok()?;
        Some(Compiled {
            ops: self.ops.into_boxed_slice(),
            text: self.text.into_boxed_slice(),
            members: self.members.into_boxed_slice(),
        })
    }
}
