//! How a stream is cut into what the parser takes: at newlines, or into the values of a JSON body.

use memchr::memchr_iter;

use crate::framing::lines::Fed;
use crate::framing::lines::Lines;
use crate::framing::lines::Whole;
use crate::framing::values::Piece;
use crate::framing::values::Values;

/// A part of a stream as it is handed on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// A line.
    Line(Whole),
    /// A value of a JSON body, or what stands in its place.
    Piece(Piece),
}

/// Takes a chunk, the place in it of what was cut out, and what that is.
pub(super) type Each<'e> = &'e mut dyn FnMut(&[u8], usize, usize, Cut);

/// What cuts one stream.
#[derive(Debug)]
pub(super) enum Framer {
    /// At newlines.
    Lines(Lines),
    /// By its first byte that is no white space; so many newlines came before it.
    Undecided { lines: Lines, newlines: u64, values: Values },
    /// Into values.
    Values(Values),
}

impl Framer {
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Lines(lines) | Self::Undecided { lines, .. } => lines.held_bytes(),
            Self::Values(values) => values.held_bytes(),
        }
    }

    pub(super) fn feed(&mut self, read: &[u8], each: Each<'_>) -> Fed {
        self.decide(read);
        match self {
            Self::Lines(lines) => lines.feed(read, |chunk, start, end, whole| each(chunk, start, end, Cut::Line(whole))),
            Self::Undecided { lines, newlines, .. } => {
                *newlines += memchr_iter(b'\n', read).count() as u64;
                lines.feed(read, |chunk, start, end, whole| each(chunk, start, end, Cut::Line(whole)))
            }
            Self::Values(values) => values.feed(read, |chunk, start, end, piece| each(chunk, start, end, Cut::Piece(piece))),
        }
    }

    pub(super) fn finish(&mut self, clean: bool, each: Each<'_>) -> usize {
        match self {
            Self::Lines(lines) | Self::Undecided { lines, .. } => {
                lines.finish(clean, |chunk, start, end, whole| each(chunk, start, end, Cut::Line(whole)))
            }
            Self::Values(values) => values.finish(clean, |chunk, start, end, piece| each(chunk, start, end, Cut::Piece(piece))),
        }
    }

    fn decide(&mut self, read: &[u8]) {
        let Self::Undecided { lines, newlines, values } = self else { return };
        let Some(first) = read.iter().find(|byte| !byte.is_ascii_whitespace()) else { return };
        *self = match first {
            // White space that was kept as the beginning of a line is none that matters.
            b'{' | b'[' => Self::Values(std::mem::replace(values, Values::new(0)).behind(*newlines)),
            _ => Self::Lines(std::mem::replace(lines, Lines::new(0))),
        };
    }
}
