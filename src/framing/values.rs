//! Splits a stream of JSON into its values: the elements of arrays at the top, and objects that follow one another; the result
//! does not depend on how the stream was cut into reads.
//!
//! It knows just enough of JSON to find where values end, and never builds one: a value is handed on as it was written, and
//! whoever takes it checks it. What is no JSON is handed on line by line, and behind such a line values are looked for again;
//! so nothing is lost but white space and the brackets and commas of arrays at the top. A piece over the limit is cut there and
//! said to be cut, and the rest of it is skipped; or the stream is refused from there on, as [`Lines`] does it.
//!
//! [`Lines`]: crate::framing::lines::Lines

mod walk;

use memchr::memchr;

use crate::framing::lines::Fed;
use walk::At;
use walk::Nesting;
use walk::Stop;

/// The state of one stream.
#[derive(Debug)]
pub struct Values {
    piece_bytes_max: usize,
    state: State,
    /// The beginning of a piece whose end has not come yet.
    carry: Vec<u8>,
    /// Whether the first piece over the limit ends the stream instead of being cut.
    refuses: bool,
    /// Whether it has.
    refused: bool,
    /// Whether the rest of a piece over the limit is being skipped.
    skipping: bool,
    /// Bytes skipped in this read.
    skipped: u64,
    /// The array at the top that is being read; the line it began on.
    array: Option<u64>,
    /// Newlines passed.
    line: u64,
    /// The line on which the piece that is being read began.
    piece_line: u64,
    /// The line whose pieces are being counted, and how many there were.
    counted: (u64, u32),
    /// What the value has open.
    nesting: Nesting,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object at the top, or what looks like one.
    Value,
    /// An element of an array at the top.
    Element,
    /// A line that does not begin like JSON, or like an array of anything but objects, or that a broken value seemed to go on in.
    Line,
    /// A line, or the rest of one, that began like JSON or stands in an array and is none.
    Broken,
    /// The beginning of any of these that is over the limit.
    Cut,
}

/// A part of the stream, and where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub kind: Kind,
    /// Newlines before it; for an element, before its array.
    pub line: u64,
    /// Pieces before it that have the same `line`.
    pub index: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between values at the top.
    Top,
    /// Behind the bracket of an array, which belongs to the piece until its first element has come.
    Opened,
    /// Between the elements of an array.
    Array(Next),
    /// In a value.
    Inside(At),
    /// In a line.
    Line(Kind),
}

/// What may come between two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Element,
    Separator,
    /// Either: something was broken.
    Either,
}

impl Values {
    /// A stream whose pieces may have this many bytes.
    pub fn new(piece_bytes_max: usize) -> Self {
        let (state, carry, counted, line) = (State::Top, Vec::new(), (0, 0), 0);
        Self {
            piece_bytes_max,
            state,
            carry,
            refuses: false,
            refused: false,
            skipping: false,
            skipped: 0,
            array: None,
            line,
            piece_line: line,
            counted,
            nesting: Nesting::default(),
        }
    }

    /// The same stream, so many newlines of which have passed already, before anything else.
    #[must_use]
    pub fn behind(self, newlines: u64) -> Self {
        Self { line: newlines, piece_line: newlines, counted: (newlines, 0), ..self }
    }

    /// The same stream, ended by its first piece that is too long.
    #[must_use]
    pub fn refusing(self) -> Self {
        Self { refuses: true, ..self }
    }

    /// Bytes of memory held for a piece whose end has not come yet.
    pub fn held_bytes(&self) -> usize {
        self.carry.capacity()
    }

    /// Takes the bytes of one read and calls `each` with a chunk, a piece's place in it and what it is.
    pub fn feed(&mut self, read: &[u8], mut each: impl FnMut(&[u8], usize, usize, Piece)) -> Fed {
        let before = self.line;
        let mut at = 0;
        let mut start = 0;
        while at < read.len() && !self.refused {
            match self.state {
                State::Top | State::Array(_) => (at, start) = self.between(read, at),
                State::Opened => (at, start) = self.opened(read, at, start),
                State::Inside(place) => at = self.inside(read, at, &mut start, place, &mut each),
                State::Line(kind) => {
                    let Some(length) = memchr(b'\n', &read[at..]) else { break };
                    at += length;
                    self.complete(read, start, at, kind, &mut each);
                    if self.refused {
                        break;
                    }
                    self.line += 1;
                    at += 1;
                    start = at;
                    self.resume();
                }
            }
        }
        if !self.refused && !matches!(self.state, State::Top | State::Array(_)) {
            self.keep(&read[start..], &mut each);
        }
        let skipped_bytes = std::mem::take(&mut self.skipped);
        let mut fed = Fed { newlines: self.line - before, skipped_bytes, refused: self.refused };
        if self.refused {
            fed.skipped_bytes += (std::mem::take(&mut self.carry).len() + read.len() - start) as u64;
        }
        fed
    }

    /// Ends the stream: after a clean end a piece without its end is a broken one. Returns the bytes that are none.
    pub fn finish(&mut self, clean: bool, mut each: impl FnMut(&[u8], usize, usize, Piece)) -> usize {
        let bytes = self.carry.len();
        // What is over the limit has been handed on.
        let clean = clean && !std::mem::take(&mut self.skipping);
        let state = std::mem::replace(&mut self.state, State::Top);
        let kind = match state {
            _ if !clean || self.refused => {
                self.carry = Vec::new();
                return bytes;
            }
            State::Top | State::Array(_) => return 0,
            State::Line(kind) => kind,
            State::Opened => Kind::Line,
            State::Inside(_) => Kind::Broken,
        };
        self.complete(&[], 0, 0, kind, &mut each);
        0
    }

    /// Looks for the next piece; gives where to go on and where the piece begins, if there is one.
    fn between(&mut self, read: &[u8], mut at: usize) -> (usize, usize) {
        while at < read.len() {
            let byte = read[at];
            let next = match (self.state, byte) {
                (_, b'\n') => {
                    self.line += 1;
                    None
                }
                (_, b' ' | b'\t' | b'\r') => None,
                (State::Top, b'{') => Some(self.begin(byte)),
                (State::Top, b'[') => Some(State::Opened),
                (State::Top, _) => Some(State::Line(Kind::Line)),
                (State::Array(Next::Separator | Next::Either), b',') => {
                    self.state = State::Array(Next::Element);
                    None
                }
                (State::Array(Next::Separator | Next::Either), b']') => {
                    self.array = None;
                    self.state = State::Top;
                    None
                }
                (State::Array(Next::Element | Next::Either), _) if begins_value(byte) => Some(self.begin(byte)),
                _ => Some(State::Line(Kind::Broken)),
            };
            if let Some(state) = next {
                self.state = state;
                self.piece_line = self.line;
                // The first byte of a value is taken in by `begin`.
                return (if matches!(state, State::Line(_)) { at } else { at + 1 }, at);
            }
            at += 1;
        }
        (at, at)
    }

    /// Looks for the first element of an array, which has to be an object.
    fn opened(&mut self, read: &[u8], mut at: usize, start: usize) -> (usize, usize) {
        while at < read.len() {
            match read[at] {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                // White space that goes on for so long is worth no event.
                _ if self.is_over(read, start, at) => {
                    self.refused = true;
                    return (at, start);
                }
                byte @ (b'{' | b']') => {
                    self.carry = Vec::new();
                    if byte == b']' {
                        self.state = State::Top;
                    } else {
                        self.array = Some(self.piece_line);
                        self.state = self.begin(byte);
                        self.piece_line = self.line;
                    }
                    return (at + 1, if byte == b']' { at + 1 } else { at });
                }
                _ => {
                    self.state = State::Line(Kind::Line);
                    return (at, start);
                }
            }
            at += 1;
        }
        (at, start)
    }

    /// Begins a value with this byte.
    fn begin(&mut self, byte: u8) -> State {
        let (nesting, place) = Nesting::begin(byte);
        self.nesting = nesting;
        State::Inside(place)
    }

    /// Goes on in a value; gives where to go on then.
    fn inside(
        &mut self,
        read: &[u8],
        at: usize,
        start: &mut usize,
        place: At,
        each: &mut impl FnMut(&[u8], usize, usize, Piece),
    ) -> usize {
        match self.nesting.walk(read, at, place, &mut self.line) {
            Stop::Starved(place) => {
                self.state = State::Inside(place);
                read.len()
            }
            Stop::End(end) => {
                let kind = if self.array.is_some() { Kind::Element } else { Kind::Value };
                self.complete(read, *start, end, kind, each);
                if self.refused {
                    return end;
                }
                self.state = if self.array.is_some() { State::Array(Next::Separator) } else { State::Top };
                *start = end;
                end
            }
            Stop::Broken(at) => {
                self.state = State::Line(Kind::Broken);
                at
            }
        }
    }

    /// Where to look for the next piece behind a line.
    fn resume(&mut self) {
        // An array that breaks on the line it began on is over with it: lines of their own follow.
        if self.array.is_some_and(|line| line + 1 == self.line) {
            self.array = None;
        }
        self.state = if self.array.is_some() { State::Array(Next::Either) } else { State::Top };
    }

    /// Hands on the piece that ends before `read[end]`, or what may be handed on of it.
    fn complete(&mut self, read: &[u8], start: usize, end: usize, kind: Kind, each: &mut impl FnMut(&[u8], usize, usize, Piece)) {
        if self.skipping || self.is_over(read, start, end) {
            self.keep(&read[start..end], each);
            self.skipping = false;
            return;
        }
        if self.carry.is_empty() {
            return self.hand_on(read, start, end, kind, each);
        }
        self.carry.extend_from_slice(&read[..end]);
        let piece = std::mem::take(&mut self.carry);
        self.hand_on(&piece, 0, piece.len(), kind, each);
    }

    fn hand_on(&mut self, chunk: &[u8], start: usize, end: usize, kind: Kind, each: &mut impl FnMut(&[u8], usize, usize, Piece)) {
        if matches!(kind, Kind::Value | Kind::Element) {
            let piece = self.numbered(kind, self.array.unwrap_or(self.piece_line));
            return each(chunk, start, end, piece);
        }
        // What was thought to be a value over several lines is lines after all.
        let mut at = start;
        let mut line = self.piece_line;
        let mut kind = kind;
        loop {
            let stop = memchr(b'\n', &chunk[at..end]).map_or(end, |length| at + length);
            if !chunk[at..stop].trim_ascii().is_empty() {
                let piece = self.numbered(kind, self.array.unwrap_or(line));
                each(chunk, at, stop, piece);
            }
            if stop == end {
                return;
            }
            at = stop + 1;
            line += 1;
            // The first of them is what is broken. In an array the others stand where values should.
            if kind == Kind::Broken && self.array.is_none() {
                kind = Kind::Line;
            }
        }
    }

    /// Counts the pieces of one line.
    fn numbered(&mut self, kind: Kind, line: u64) -> Piece {
        let index = if self.counted.0 == line { self.counted.1 } else { 0 };
        self.counted = (line, index.saturating_add(1));
        Piece { kind, line, index }
    }

    /// Keeps a part of a piece for later, or skips it; hands on the beginning of the piece where it has become too long.
    fn keep(&mut self, part: &[u8], each: &mut impl FnMut(&[u8], usize, usize, Piece)) {
        if self.skipping {
            self.skipped += part.len() as u64;
        } else if !self.is_over(part, 0, part.len()) {
            self.carry.extend_from_slice(part);
        } else if self.refuses || self.state == State::Opened {
            self.refused = true;
        } else {
            let mut piece = std::mem::take(&mut self.carry);
            // One byte over the limit may have been kept, had it been the carriage return of a line end.
            let taken = part.len().min(self.piece_bytes_max.saturating_sub(piece.len()));
            piece.extend_from_slice(&part[..taken]);
            self.skipping = true;
            self.skipped += (part.len() - taken + piece.len().saturating_sub(self.piece_bytes_max)) as u64;
            let numbered = self.numbered(Kind::Cut, self.array.unwrap_or(self.piece_line));
            each(&piece, 0, piece.len().min(self.piece_bytes_max), numbered);
        }
    }

    /// Whether the piece that goes on from `read[start]` is over the limit before `read[end]`. The carriage return of a line end
    /// does not count.
    fn is_over(&self, read: &[u8], start: usize, end: usize) -> bool {
        let length = self.carry.len() + end - start;
        let last = read[start..end].last().or(self.carry.last());
        length > self.piece_bytes_max && !(length == self.piece_bytes_max + 1 && last == Some(&b'\r'))
    }
}

fn begins_value(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
}

#[cfg(test)]
use walk::DEPTH_MAX;

#[cfg(test)]
mod tests;
