//! A condition on a field: a walk over the tokens of one document.
//!
//! Nothing is built and nothing allocated, but for names and values that are written with escapes. Documents are the
//! relay's own, so that what is no JSON has no fields and is no mistake.

use std::borrow::Cow;

use crate::json::cursor::Cursor;
use crate::json::cursor::DEPTH_MAX;
use crate::json::escape::unescape;
use crate::json::reject::JsonRejectReason;
use crate::value_test::Compiled;
use crate::value_test::Test;

/// A condition on a field, made ready.
#[derive(Debug)]
pub(super) struct Field {
    path: Box<[u8]>,
    /// None where nothing could pass.
    test: Option<Compiled>,
    negate: bool,
}

impl Field {
    pub(super) fn new(path: String, test: Test, negate: bool) -> Self {
        Self { path: path.into_bytes().into(), test: Compiled::new(test), negate }
    }

    pub(super) fn cost(&self) -> u8 {
        self.test.as_ref().map_or(0, Compiled::cost)
    }

    /// Whether the document `docs[start..end]` has the field, and that passes; or, negated, does not.
    pub(super) fn holds(&self, docs: &[u8], start: usize, end: usize) -> bool {
        let mut walk = Walk { cursor: Cursor::new(docs, start, end), docs, test: self.test.as_ref(), has_value: false };
        // After a fault, what was found before it counts.
        let passes = walk.document(&self.path).unwrap_or(false);
        walk.has_value && passes != self.negate
    }
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    docs: &'a [u8],
    test: Option<&'a Compiled>,
    /// Whether the field was there with a value.
    has_value: bool,
}

/// Whether a value has passed, so that the rest says nothing new.
type Passes = Result<bool, JsonRejectReason>;

impl Walk<'_> {
    fn document(&mut self, path: &[u8]) -> Passes {
        if self.cursor.token()? == b'{' { self.object(path, 1) } else { Ok(false) }
    }

    /// Walks over the object that starts here and looks for what `path` names in it.
    fn object(&mut self, path: &[u8], depth: u32) -> Passes {
        self.step_in(depth)?;
        if self.cursor.token()? == b'}' {
            self.cursor.at += 1;
            return Ok(false);
        }
        loop {
            self.cursor.expect(b'"')?;
            let start = self.cursor.at;
            let escaped = self.cursor.string()?;
            let key = text(&self.docs[start..self.cursor.at - 1], escaped);
            self.cursor.colon()?;
            let first = self.cursor.token()?;
            let passes = match path.strip_prefix(&*key) {
                Some([]) => self.value(first, None, depth)?,
                Some([b'.', rest @ ..]) if matches!(first, b'{' | b'[') => self.value(first, Some(rest), depth)?,
                _ => {
                    self.cursor.value(first)?;
                    false
                }
            };
            if passes || !self.goes_on(b'}')? {
                return Ok(passes);
            }
            self.cursor.token()?;
        }
    }

    /// Walks over a value: that of the field, or one that has it further inside where there is a rest of the path.
    fn value(&mut self, first: u8, rest: Option<&[u8]>, depth: u32) -> Passes {
        match (first, rest) {
            (b'[', _) => self.array(rest, depth + 1),
            (b'{', Some(rest)) => self.object(rest, depth + 1),
            (b'{', None) | (_, Some(_)) => {
                self.cursor.value(first)?;
                Ok(false)
            }
            (_, None) => self.scalar(first),
        }
    }

    fn array(&mut self, rest: Option<&[u8]>, depth: u32) -> Passes {
        self.step_in(depth)?;
        let mut first = self.cursor.token()?;
        if first == b']' {
            self.cursor.at += 1;
            return Ok(false);
        }
        loop {
            let passes = self.value(first, rest, depth)?;
            if passes || !self.goes_on(b']')? {
                return Ok(passes);
            }
            first = self.cursor.token()?;
        }
    }

    fn scalar(&mut self, first: u8) -> Passes {
        let start = self.cursor.at;
        let (inside, escaped) = if first == b'"' {
            self.cursor.at += 1;
            let escaped = self.cursor.string()?;
            (&self.docs[start + 1..self.cursor.at - 1], escaped)
        } else {
            self.cursor.scalar(first)?;
            (&self.docs[start..self.cursor.at], false)
        };
        if first == b'n' {
            // Null is no value.
            return Ok(false);
        }
        self.has_value = true;
        Ok(self.test.is_some_and(|test| test.passes(&text(inside, escaped))))
    }

    /// Goes behind the bracket that opens here.
    fn step_in(&mut self, depth: u32) -> Result<(), JsonRejectReason> {
        if depth > DEPTH_MAX {
            return Err(JsonRejectReason::TooDeep);
        }
        self.cursor.at += 1;
        Ok(())
    }

    /// Goes behind the comma or the closing bracket behind a value; says whether it was the comma.
    fn goes_on(&mut self, closing: u8) -> Result<bool, JsonRejectReason> {
        let next = self.cursor.token()?;
        self.cursor.at += 1;
        match next {
            b',' => Ok(true),
            next if next == closing => Ok(false),
            _ => Err(JsonRejectReason::UnexpectedByte),
        }
    }
}

/// What stands in the quotes of a string.
fn text(inside: &[u8], escaped: bool) -> Cow<'_, [u8]> {
    if !escaped {
        return Cow::Borrowed(inside);
    }
    // No escape is shorter than what it stands for.
    let mut room = vec![0; inside.len()];
    let length = unescape(inside, &mut room).map_or(0, <[u8]>::len);
    room.truncate(length);
    Cow::Owned(room)
}
