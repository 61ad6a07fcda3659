//! A cursor that writes JSON text into an initialised slice.
//!
//! It copies in fixed 32-byte steps and may therefore write rubbish *behind* its position, never before it: the next
//! write covers it. It refuses to grow anything: the caller reserves the bound of a whole document plus [`SLACK`]
//! before it starts, and writing past the slice is a panic, because then that bound was wrong.

use wide::u8x16;

/// Bytes a [`Writer`] may touch behind what it has written.
///
/// The longest single step is a whole short member: a key, 32 bytes of text and a quote.
pub const SLACK: usize = MEMBER;

/// Most bytes one byte of text can become inside a JSON string: a control character as `\u001f`.
pub const ESCAPE_GROWTH_MAX: usize = 6;

const STEP: usize = 32;

/// Bytes in which a constant is copied along with the value behind it.
pub const BLOCK: usize = 64;

/// Most bytes of such a constant: one less, so that six bits hold it.
pub const BLOCK_MAX: usize = BLOCK - 1;

/// A key, a step of text and a quote, rounded up so that any offset of six bits into it needs no check.
const MEMBER: usize = 128;

/// A member's opening, `,"name":"`, as a constant that is copied in one go.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    text: [u8; Key::BYTES],
    len: u8,
}

impl Key {
    const BYTES: usize = 48;

    /// The opening of a member with this name.
    ///
    /// # Panics
    /// When the name is longer than 43 bytes or needs escaping. Meant for constants, where that is a compile error.
    pub const fn new(name: &str) -> Self {
        assert!(name.len() + 5 <= Self::BYTES, "a key's name has at most 43 bytes");
        let name = name.as_bytes();
        let mut text = [b' '; Self::BYTES];
        text[0] = b',';
        text[1] = b'"';
        let mut at = 0;
        while at < name.len() {
            assert!(name[at] >= 0x20 && name[at] < 0x7f && name[at] != b'"' && name[at] != b'\\', "a key's name is plain ASCII");
            text[at + 2] = name[at];
            at += 1;
        }
        text[at + 2] = b'"';
        text[at + 3] = b':';
        text[at + 4] = b'"';
        Self { text, len: (at + 5) as u8 }
    }

    /// The opening of the first member, `inner`, of an object of this name: `,"name":{"inner":"`. `None` where that is too
    /// long for a key.
    pub fn object_of(name: &str, inner: &Self) -> Option<Self> {
        // The inner key's comma becomes the brace.
        let bytes = name.len() + 4 + usize::from(inner.len);
        if bytes > Self::BYTES {
            return None;
        }
        let mut key = Self::new(name);
        let at = usize::from(key.len) - 1;
        key.text[at..at + usize::from(inner.len)].copy_from_slice(&inner.text[..usize::from(inner.len)]);
        key.text[at] = b'{';
        key.len = bytes as u8;
        Some(key)
    }

    /// The name alone; of an object's first member, everything from the object's name on.
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.text[2..usize::from(self.len) - 3]).expect("a key's name is ASCII")
    }
}

/// Writes JSON text at a position of a slice.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Starts at `at`; everything before it is left alone.
    pub fn new(buf: &'a mut [u8], at: usize) -> Self {
        Self { buf, at }
    }

    /// Bytes of the slice written so far, the ones it started behind included.
    #[inline(always)]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Forgets everything written behind `at`.
    #[inline(always)]
    pub fn rewind(&mut self, at: usize) {
        debug_assert!(at <= self.at, "a writer only goes back");
        self.at = at;
    }

    /// Changes one byte that has been written already.
    #[inline(always)]
    pub fn patch(&mut self, at: usize, byte: u8) {
        self.buf[at] = byte;
    }

    /// Turns the line feeds and carriage returns written from `start` on into spaces.
    ///
    /// In valid JSON they only stand between tokens, where a space means the same.
    pub fn blank_newlines(&mut self, start: usize) {
        for byte in &mut self.buf[start..self.at] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }

    /// Writes one byte.
    #[inline(always)]
    pub fn byte(&mut self, byte: u8) {
        self.buf[self.at] = byte;
        self.at = self.at.wrapping_add(1);
    }

    /// Copies text of any length as it is, exactly.
    #[inline(always)]
    pub fn raw(&mut self, text: &[u8]) {
        let end = self.at.wrapping_add(text.len());
        self.buf[self.at..end].copy_from_slice(text);
        self.at = end;
    }

    /// Copies a constant of at most 32 bytes in one step: `len` of them count.
    #[inline(always)]
    pub fn short(&mut self, text: &[u8; STEP], len: usize) {
        debug_assert!(len <= STEP, "a short text has at most 32 bytes");
        let to: &mut [u8; STEP] =
            (&mut self.buf[self.at..self.at.wrapping_add(STEP)]).try_into().expect("the range is one step long");
        *to = *text;
        self.at = self.at.wrapping_add(len);
    }

    /// Writes `,"name":"`, for a member that is a string.
    #[inline(always)]
    pub fn key(&mut self, key: &Key) {
        let to: &mut [u8; Key::BYTES] =
            (&mut self.buf[self.at..self.at.wrapping_add(Key::BYTES)]).try_into().expect("the range is one key long");
        *to = key.text;
        self.at = self.at.wrapping_add(usize::from(key.len));
    }

    /// Writes `,"name":`, for a member that is no string.
    #[inline(always)]
    pub fn bare_key(&mut self, key: &Key) {
        self.key(key);
        self.at = self.at.wrapping_sub(1);
    }

    /// Writes `,"name":null`.
    #[inline(always)]
    pub fn null(&mut self, key: &Key) {
        self.bare_key(key);
        let to: &mut [u8; 4] =
            (&mut self.buf[self.at..self.at.wrapping_add(4)]).try_into().expect("the range is four bytes long");
        *to = *b"null";
        self.at = self.at.wrapping_add(4);
    }

    /// Writes `,"name":"text"` with the first `len` bytes of a step, at most 32, as they are.
    #[inline(always)]
    pub fn short_text(&mut self, key: &Key, text: &[u8; STEP], len: usize) {
        let behind = self.short_member(key, usize::from(key.len), text, len);
        self.at = self.at.wrapping_add(behind).wrapping_add(1);
    }

    /// Writes `,"name":number` with the first `len` bytes of a step, at most 32, as they are.
    #[inline(always)]
    pub fn short_number(&mut self, key: &Key, text: &[u8; STEP], len: usize) {
        let behind = self.short_member(key, usize::from(key.len).wrapping_sub(1), text, len);
        self.at = self.at.wrapping_add(behind);
    }

    /// Writes key, text and a quote behind it with one look at the room there is; gives the bytes up to that quote.
    #[inline(always)]
    fn short_member(&mut self, key: &Key, key_len: usize, text: &[u8; STEP], len: usize) -> usize {
        debug_assert!(len <= STEP, "a short text has at most 32 bytes");
        let to: &mut [u8; MEMBER] =
            (&mut self.buf[self.at..self.at.wrapping_add(MEMBER)]).try_into().expect("the range is one member long");
        to[..Key::BYTES].copy_from_slice(&key.text);
        // The masks change nothing: a key has at most 48 bytes, a step 32. They spare a check.
        let at = key_len & 63;
        to[at..at + STEP].copy_from_slice(text);
        let behind = at.wrapping_add(len & 63);
        to[behind] = b'"';
        behind
    }

    /// Copies a constant of at most [`BLOCK_MAX`] bytes in one step: `len` of them count.
    #[inline(always)]
    pub fn block(&mut self, text: &[u8; BLOCK], len: usize) {
        debug_assert!(len <= BLOCK_MAX, "a block's constant has at most 63 bytes");
        let to: &mut [u8; BLOCK] =
            (&mut self.buf[self.at..self.at.wrapping_add(BLOCK)]).try_into().expect("the range is one block long");
        *to = *text;
        self.at = self.at.wrapping_add(len);
    }

    /// Writes the first `before_len` bytes of a block, at most [`BLOCK_MAX`], the first `len` of a step, at most 32, and as many quotes,
    /// at most one, with one look at the room there is.
    #[inline(always)]
    pub fn block_and_short(&mut self, before: &[u8; BLOCK], before_len: usize, text: &[u8; STEP], len: usize, quotes: usize) {
        debug_assert!(before_len <= BLOCK_MAX && len <= STEP && quotes <= 1, "a member has its bounds");
        let to: &mut [u8; MEMBER] =
            (&mut self.buf[self.at..self.at.wrapping_add(MEMBER)]).try_into().expect("the range is one member long");
        to[..BLOCK].copy_from_slice(before);
        // The masks change nothing: they spare a check.
        let at = before_len & (BLOCK - 1);
        to[at..at + STEP].copy_from_slice(text);
        let behind = at.wrapping_add(len & 63);
        to[behind] = b'"';
        self.at = self.at.wrapping_add(behind).wrapping_add(quotes);
    }

    /// Copies `from[start..end]` as it is, in steps of 32 bytes that may read and write past the end.
    #[inline(always)]
    pub fn copy(&mut self, from: &[u8], start: usize, end: usize) {
        let mut read = start;
        let mut write = self.at;
        self.at = self.at.wrapping_add(end.wrapping_sub(start));
        while let Some(step) = from.get(read..read.wrapping_add(STEP)) {
            self.buf[write..write.wrapping_add(STEP)].copy_from_slice(step);
            read = read.wrapping_add(STEP);
            write = write.wrapping_add(STEP);
            if read >= end {
                return;
            }
        }
        if read < end {
            self.buf[write..self.at].copy_from_slice(&from[read..end]);
        }
    }

    /// Copies `from[start..end]`, valid UTF-8, as the inside of a JSON string: quotes, backslashes and control
    /// characters are escaped, everything else stays as it is.
    ///
    /// Takes up to [`ESCAPE_GROWTH_MAX`] times the room of the text.
    pub fn escaped(&mut self, from: &[u8], start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let clean = clean_prefix(from, at, end);
            self.copy(from, at, clean);
            at = clean;
            if at < end {
                self.escape(from[at]);
                at += 1;
            }
        }
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw(b"\\\""),
            b'\\' => self.raw(b"\\\\"),
            b'\n' => self.raw(b"\\n"),
            b'\r' => self.raw(b"\\r"),
            b'\t' => self.raw(b"\\t"),
            0x08 => self.raw(b"\\b"),
            0x0c => self.raw(b"\\f"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                self.raw(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }

    /// Writes a text that is not part of a chunk as a whole JSON string, quotes included.
    pub fn string(&mut self, text: &str) {
        self.byte(b'"');
        self.escaped(text.as_bytes(), 0, text.len());
        self.byte(b'"');
    }

    /// Writes a whole number.
    pub fn integer(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.raw(digits.format(value).as_bytes());
    }
}

/// Where the run of bytes that need no escape, starting at `at`, ends; at most `end`.
#[inline(always)]
pub(crate) fn clean_prefix(from: &[u8], mut at: usize, end: usize) -> usize {
    while at < end {
        let Some(block) = from.get(at..at.wrapping_add(16)) else { break };
        let found = escape_mask(block.try_into().expect("the range is 16 bytes long"));
        if found != 0 {
            return end.min(at.wrapping_add(found.trailing_zeros() as usize));
        }
        at = at.wrapping_add(16);
    }
    while at < end && !needs_escape(from[at]) {
        at += 1;
    }
    at.min(end)
}

/// One bit for each byte that must be escaped inside a JSON string.
#[inline(always)]
pub(crate) fn escape_mask(block: &[u8; 16]) -> u32 {
    let block = u8x16::new(*block);
    (block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\')) | block.simd_lt(u8x16::splat(0x20))).to_bitmask()
}

/// Whether a byte must be escaped inside a JSON string.
#[inline(always)]
pub(crate) fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let mut buf = vec![b'#'; text.len() * ESCAPE_GROWTH_MAX + 2 + SLACK];
        let mut writer = Writer::new(&mut buf, 0);
        writer.string(text);
        let end = writer.at();
        let back: String = serde_json::from_slice(&buf[..end]).expect("what was written is JSON");
        assert_eq!(back, text);
    }

    #[test]
    fn every_control_character_comes_back() {
        let all: String = (0u8..=0x7f).map(char::from).collect();
        check(&all);
        check("");
        check("ünïcödé \u{2028} \u{1f980}");
        check(&"x".repeat(100));
        check(&format!("{}\"{}\\{}", "a".repeat(31), "b".repeat(33), "c".repeat(64)));
    }

    #[test]
    fn a_key_knows_its_name() {
        assert_eq!(Key::new("client_ip").name(), "client_ip");
        let mut buf = [0u8; 200];
        let mut writer = Writer::new(&mut buf, 0);
        writer.null(&Key::new("a"));
        writer.key(&Key::new("b"));
        writer.copy(b"text", 0, 4);
        writer.byte(b'"');
        let end = writer.at();
        assert_eq!(&buf[..end], br#","a":null,"b":"text""#);
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back(text in ".{0,200}") {
            check(&text);
        }

        #[test]
        fn a_copy_is_exact_at_any_place(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200), cut in 0usize..200, keep in 0usize..200) {
            let start = cut.min(text.len());
            let end = (start + keep).min(text.len());
            let mut buf = vec![0u8; 400];
            let mut writer = Writer::new(&mut buf, 7);
            writer.copy(&text, start, end);
            let at = writer.at();
            proptest::prop_assert_eq!(&buf[7..at], &text[start..end]);
        }
    }
}
