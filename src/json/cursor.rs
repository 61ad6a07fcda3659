//! Walks over the tokens of one line of JSON and checks each: the grammar.
//!
//! Keeps nothing of what it walks over; the [`Scan`](crate::json::scan::Scan) that leads it notes what it needs.

use wide::u8x16;

use crate::json::reject::JsonRejectReason;
use crate::json::writer::escape_mask;
use crate::json::writer::needs_escape;

/// Most objects and arrays inside one another, the outermost included.
///
/// Readers behind the relay recurse; Elasticsearch, for one, stops at 1000 and its mappings at 20.
pub const DEPTH_MAX: u32 = 64;

/// A place in a line. After a fault it stands on the byte that is wrong.
pub(crate) struct Cursor<'a> {
    /// What may be looked at.
    chunk: &'a [u8],
    /// The same up to the line's end: what counts.
    line: &'a [u8],
    pub(crate) at: usize,
    /// Every block of string bytes, or-ed together: its high bits tell whether there may be more than ASCII.
    seen: u8x16,
    /// Whether a raw line feed or carriage return was white space.
    pub(crate) has_newline: bool,
}

impl<'a> Cursor<'a> {
    /// Starts at the line `chunk[start..end]`.
    pub(crate) fn new(chunk: &'a [u8], start: usize, end: usize) -> Self {
        Self { chunk, line: &chunk[..end], at: start, seen: u8x16::splat(0), has_newline: false }
    }

    /// Whether a string may hold more than ASCII. Bytes behind it may be the cause: this is a maybe.
    pub(crate) fn seen_high(&self) -> bool {
        self.seen.to_array().iter().any(|byte| !byte.is_ascii())
    }

    /// Goes to the next byte that is no white space and returns it.
    #[inline(always)]
    pub(crate) fn token(&mut self) -> Result<u8, JsonRejectReason> {
        match self.line.get(self.at) {
            Some(&byte) if byte > b' ' => Ok(byte),
            Some(_) => self.token_behind_space(),
            None => Err(JsonRejectReason::UnexpectedEnd),
        }
    }

    #[inline(always)]
    fn token_behind_space(&mut self) -> Result<u8, JsonRejectReason> {
        loop {
            match self.line.get(self.at) {
                Some(b' ' | b'\t') => {}
                Some(b'\n' | b'\r') => self.has_newline = true,
                Some(&byte) => return Ok(byte),
                None => return Err(JsonRejectReason::UnexpectedEnd),
            }
            self.at = self.at.wrapping_add(1);
        }
    }

    /// Goes behind a byte that must stand here.
    #[inline(always)]
    pub(crate) fn expect(&mut self, want: u8) -> Result<(), JsonRejectReason> {
        match self.line.get(self.at) {
            Some(&byte) if byte == want => {
                self.at = self.at.wrapping_add(1);
                Ok(())
            }
            Some(_) => Err(JsonRejectReason::UnexpectedByte),
            None => Err(JsonRejectReason::UnexpectedEnd),
        }
    }

    #[inline(always)]
    pub(crate) fn colon(&mut self) -> Result<(), JsonRejectReason> {
        self.token()?;
        self.expect(b':')
    }

    /// Goes behind the value that starts here with `first`.
    #[inline(always)]
    pub(crate) fn value(&mut self, first: u8) -> Result<(), JsonRejectReason> {
        match first {
            b'{' | b'[' => self.nested(),
            _ => self.scalar(first),
        }
    }

    #[inline(always)]
    pub(crate) fn scalar(&mut self, first: u8) -> Result<(), JsonRejectReason> {
        match first {
            b'"' => {
                self.at = self.at.wrapping_add(1);
                self.string().map(|_| ())
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => Err(JsonRejectReason::UnexpectedByte),
        }
    }

    /// Goes behind the object or array that starts here, inside the outermost one.
    ///
    /// What it is inside of is one bit per level, the innermost lowest: no recursion, so no line can exhaust the stack.
    #[inline(always)]
    fn nested(&mut self) -> Result<(), JsonRejectReason> {
        let mut objects: u64 = 0;
        let mut depth: u32 = 1;
        loop {
            let first = self.token()?;
            if first == b'{' || first == b'[' {
                if depth == DEPTH_MAX {
                    return Err(JsonRejectReason::TooDeep);
                }
                depth = depth.wrapping_add(1);
                objects = (objects << 1) | u64::from(first == b'{');
                self.at = self.at.wrapping_add(1);
                let next = self.token()?;
                if next != first.wrapping_add(2) {
                    if first == b'{' {
                        self.key()?;
                    }
                    continue;
                }
            } else {
                self.scalar(first)?;
            }
            // Behind a value, or on the bracket that closes an empty one.
            loop {
                match (self.token()?, objects & 1) {
                    (b'}', 1) | (b']', 0) => {
                        self.at = self.at.wrapping_add(1);
                        depth = depth.wrapping_sub(1);
                        objects >>= 1;
                        if depth == 1 {
                            return Ok(());
                        }
                    }
                    (b',', in_object) => {
                        self.at = self.at.wrapping_add(1);
                        if in_object == 1 {
                            self.token()?;
                            self.key()?;
                        }
                        break;
                    }
                    _ => return Err(JsonRejectReason::UnexpectedByte),
                }
            }
        }
    }

    /// Goes behind a key and its colon.
    #[inline(always)]
    fn key(&mut self) -> Result<(), JsonRejectReason> {
        self.expect(b'"')?;
        self.string()?;
        self.colon()
    }

    /// Goes from behind a string's opening quote to behind its closing one; says whether there was a backslash.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<bool, JsonRejectReason> {
        let mut escaped = false;
        while let Some(mut found) = self.skip_clean() {
            let block = self.at;
            // One block may hold several escapes: what lies behind each is looked at without loading it again.
            loop {
                self.at = block.wrapping_add(found.trailing_zeros() as usize);
                if self.string_stop(&mut escaped)? {
                    return Ok(escaped);
                }
                let read = self.at.wrapping_sub(block);
                if read >= 16 {
                    break;
                }
                found &= u32::MAX << read;
                if found == 0 {
                    self.at = block.wrapping_add(16);
                    break;
                }
            }
        }
        self.string_tail(escaped)
    }

    /// Goes to the next block of 16 bytes with a quote, backslash or control character and returns one bit for each of
    /// them; `None` when the line or the chunk ends before.
    #[inline(always)]
    fn skip_clean(&mut self) -> Option<u32> {
        while let Some(block) = self.chunk.get(self.at..self.at.wrapping_add(16)) {
            let block: &[u8; 16] = block.try_into().expect("the range is 16 bytes long");
            self.seen |= u8x16::new(*block);
            let found = escape_mask(block);
            if found != 0 {
                return Some(found);
            }
            self.at = self.at.wrapping_add(16);
            if self.at >= self.line.len() {
                break;
            }
        }
        None
    }

    /// Goes behind the quote or the escape that stands here; says whether it was the quote.
    #[inline(always)]
    fn string_stop(&mut self, escaped: &mut bool) -> Result<bool, JsonRejectReason> {
        match self.line.get(self.at) {
            Some(b'"') => {
                self.at = self.at.wrapping_add(1);
                Ok(true)
            }
            Some(b'\\') => {
                *escaped = true;
                self.escape()?;
                Ok(false)
            }
            Some(_) => Err(JsonRejectReason::ControlCharacter),
            None => {
                self.at = self.line.len();
                Err(JsonRejectReason::UnexpectedEnd)
            }
        }
    }

    /// The rest of a string in the last bytes of a chunk, where no whole block is left.
    #[cold]
    fn string_tail(&mut self, mut escaped: bool) -> Result<bool, JsonRejectReason> {
        loop {
            while let Some(&byte) = self.line.get(self.at).filter(|byte| !needs_escape(**byte)) {
                self.seen |= u8x16::splat(byte);
                self.at = self.at.wrapping_add(1);
            }
            if self.string_stop(&mut escaped)? {
                return Ok(escaped);
            }
        }
    }

    /// Goes behind an escape.
    #[inline(always)]
    fn escape(&mut self) -> Result<(), JsonRejectReason> {
        self.at = self.at.wrapping_add(1);
        match self.line.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at = self.at.wrapping_add(1);
                Ok(())
            }
            Some(b'u') => self.escape_hex(),
            Some(_) => Err(JsonRejectReason::InvalidEscape),
            None => Err(JsonRejectReason::UnexpectedEnd),
        }
    }

    fn escape_hex(&mut self) -> Result<(), JsonRejectReason> {
        for _ in 0..4 {
            self.at = self.at.wrapping_add(1);
            match self.line.get(self.at) {
                Some(byte) if byte.is_ascii_hexdigit() => {}
                Some(_) => return Err(JsonRejectReason::InvalidEscape),
                None => return Err(JsonRejectReason::UnexpectedEnd),
            }
        }
        self.at = self.at.wrapping_add(1);
        Ok(())
    }

    /// Goes behind a number.
    #[inline(always)]
    fn number(&mut self) -> Result<(), JsonRejectReason> {
        if self.line.get(self.at) == Some(&b'-') {
            self.at = self.at.wrapping_add(1);
        }
        let start = self.at;
        self.digits()?;
        // A second digit behind a leading zero.
        if self.line[start] == b'0' && self.at.wrapping_sub(start) > 1 {
            self.at = start.wrapping_add(1);
            return Err(JsonRejectReason::InvalidNumber);
        }
        if self.line.get(self.at) == Some(&b'.') {
            self.at = self.at.wrapping_add(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.line.get(self.at) {
            self.at = self.at.wrapping_add(1);
            if let Some(b'+' | b'-') = self.line.get(self.at) {
                self.at = self.at.wrapping_add(1);
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Goes behind one or more digits.
    #[inline(always)]
    fn digits(&mut self) -> Result<(), JsonRejectReason> {
        match self.line.get(self.at) {
            Some(byte) if byte.is_ascii_digit() => {}
            Some(_) => return Err(JsonRejectReason::InvalidNumber),
            None => return Err(JsonRejectReason::UnexpectedEnd),
        }
        while let Some(b'0'..=b'9') = self.line.get(self.at) {
            self.at = self.at.wrapping_add(1);
        }
        Ok(())
    }

    /// Goes behind a word that must stand here.
    #[inline(always)]
    fn literal(&mut self, word: &[u8]) -> Result<(), JsonRejectReason> {
        let end = self.at.wrapping_add(word.len());
        if self.line.get(self.at..end) == Some(word) {
            self.at = end;
            return Ok(());
        }
        self.literal_fault(word)
    }

    #[cold]
    fn literal_fault(&mut self, word: &[u8]) -> Result<(), JsonRejectReason> {
        word.iter().try_for_each(|&want| self.expect(want))
    }
}
