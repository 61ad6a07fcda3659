//! Cuts a line into tokens: spaces outside quotes separate, and AWS escapes quotes in three ways.
//!
//! [`Tokens::cut_plain`] reads 64 bytes at a time and handles the lines that need no second look; every other line goes
//! through [`Tokens::cut`], which follows the written rules byte by byte. Text is never decoded, trimmed or copied.

use memchr::memchr;
use wide::i32x4;

use super::block::BLOCK;
use super::block::Block;
use super::reject::Reject;
use super::reject::RejectReason;

/// Tokens whose place can matter; what comes behind them can only be unknown fields.
pub const PLACES: usize = 64;

/// How a quoted token ends, because the writers of these logs escape differently and document nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A quote closes only before a space or the end of the line.
    pub closes_before_space: bool,
    /// `\"` and `\\` are units that never end a token.
    pub backslash_escapes: bool,
}

impl Attempt {
    /// The attempts in the order in which they are made.
    pub const ALL: [Self; 4] = [
        Self { closes_before_space: false, backslash_escapes: true },
        Self { closes_before_space: true, backslash_escapes: true },
        Self { closes_before_space: false, backslash_escapes: false },
        Self { closes_before_space: true, backslash_escapes: false },
    ];
}

/// The tokens of one line, as offsets into the chunk it stands in; reused from line to line.
#[derive(Debug)]
pub struct Tokens {
    starts: [u32; PLACES],
    ends: [u32; PLACES],
    len: usize,
    /// One bit for each place whose token stands in quotes.
    quoted: u64,
    /// One bit for each place whose token may need an escape.
    escaped: u64,
    /// Bytes of the line that need an escape inside a JSON string.
    escapes: usize,
    /// Whether a byte outside ASCII was seen.
    high: bool,
    /// Tokens from the 65th on.
    rest: Vec<(u32, u32)>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { starts: [0; PLACES], ends: [0; PLACES], len: 0, quoted: 0, escaped: 0, escapes: 0, high: false, rest: Vec::new() }
    }
}

impl Tokens {
    /// Keeps no more memory than an ordinary line needs.
    #[inline]
    pub fn forget(&mut self) {
        self.rest.clear();
        self.rest.shrink_to(PLACES);
    }

    /// Follows a line that has been copied to `to` with other texts in the place of some: `moved` has, in order, where each
    /// of those ended and by how many bytes what is behind it stands further on than in a plain copy. They lie inside
    /// tokens.
    pub fn follow(&mut self, start: usize, to: usize, moved: &[(usize, isize)]) {
        let mut at = 0;
        let mut by = 0;
        let mut place = |offset: &mut u32| {
            while let Some(&(end, further)) = moved.get(at).filter(|(end, _)| *end <= *offset as usize) {
                debug_assert!(end <= *offset as usize, "offsets are asked for in order");
                by = further;
                at += 1;
            }
            *offset = u32::try_from((*offset as usize - start + to).wrapping_add_signed(by)).expect("a line is short");
        };
        for (start, end) in self.starts[..self.len].iter_mut().zip(&mut self.ends[..self.len]) {
            place(start);
            place(end);
        }
        for (start, end) in &mut self.rest {
            place(start);
            place(end);
        }
    }

    /// Number of tokens that have a place, at most [`PLACES`].
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the token at a place starts and ends in the chunk, outer quotes not included.
    #[inline(always)]
    pub fn span(&self, place: usize) -> (usize, usize) {
        (self.starts[place % PLACES] as usize, self.ends[place % PLACES] as usize)
    }

    /// The token at a place.
    #[inline(always)]
    pub fn text<'a>(&self, chunk: &'a [u8], place: usize) -> &'a [u8] {
        &chunk[self.starts[place] as usize..self.ends[place] as usize]
    }

    /// One bit for each place whose token stands in quotes.
    #[inline(always)]
    pub fn quoted(&self) -> u64 {
        self.quoted
    }

    /// One bit for each place whose token has no byte, and one for each whose token is `-`, the mark for "no value".
    #[inline(always)]
    pub fn without_value(&self, chunk: &[u8]) -> (u64, u64) {
        let (mut empty, mut single) = (0, 0);
        let len = self.len.min(PLACES);
        let (starts, ends) = (self.starts.as_chunks::<4>().0, self.ends.as_chunks::<4>().0);
        for (at, (start, end)) in starts.iter().zip(ends).enumerate().take(len.div_ceil(4)) {
            let lengths = i32x4::new(end.map(|end| end as i32)) - i32x4::new(start.map(|start| start as i32));
            empty |= u64::from(lengths.simd_eq(i32x4::splat(0)).to_bitmask()) << (4 * at);
            single |= u64::from(lengths.simd_eq(i32x4::splat(1)).to_bitmask()) << (4 * at);
        }
        let present = if len == 0 { 0 } else { u64::MAX >> (PLACES - len) };
        let mut left = single & present;
        let mut dashes = 0;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            dashes |= u64::from(chunk[self.starts[place] as usize] == b'-') << place;
            left &= left.wrapping_sub(1);
        }
        (empty & present, dashes)
    }

    /// Whether the token at a place may need an escape inside a JSON string; [`cut`](Self::cut) says so of all tokens of
    /// a line in which one does.
    #[inline(always)]
    pub fn needs_escape(&self, place: usize) -> bool {
        self.escaped >> (place % PLACES) & 1 == 1
    }

    /// The tokens that have no place, in order.
    pub fn rest(&self) -> &[(u32, u32)] {
        &self.rest
    }

    /// Bytes of the line that need an escape inside a JSON string; counted by [`cut_plain`](Self::cut_plain) alone.
    #[inline(always)]
    pub fn escapes(&self) -> usize {
        self.escapes
    }

    /// Whether the line has bytes outside ASCII; seen by [`cut_plain`](Self::cut_plain) alone.
    #[inline(always)]
    pub fn has_high(&self) -> bool {
        self.high
    }

    /// Cuts a line in which every quote stands at an end of a token, single spaces separate, no backslash escapes a
    /// quote or a backslash, and there are at most [`PLACES`] tokens. `false` for any other line, whose tokens
    /// are then undefined.
    #[inline]
    pub fn cut_plain(&mut self, chunk: &[u8], start: usize, end: usize) -> bool {
        assert!(start <= end && end <= chunk.len(), "a line lies inside its chunk");
        let mut scan = Scan::new();
        let mut at = start;
        while end.wrapping_sub(at) > BLOCK {
            let Some(bytes) = chunk.get(at..at.wrapping_add(BLOCK)) else { break };
            let block = Block::classify(bytes.try_into().expect("the range is one block long"));
            let separators = scan.step(&block, u64::MAX);
            if !self.take(&mut scan, separators, at) {
                return false;
            }
            at = at.wrapping_add(BLOCK);
        }
        let left = end.wrapping_sub(at);
        if left == 0 {
            return false;
        }
        let valid = u64::MAX >> (BLOCK.wrapping_sub(left));
        let separators = scan.step(&Block::last(chunk, at).masked(valid), valid);
        // A line that ends in a space, or inside quotes, is not for this pass.
        let ends_in_space = separators >> left.wrapping_sub(1);
        if !self.take(&mut scan, separators, at) || scan.odd | scan.in_quotes | ends_in_space != 0 {
            return false;
        }
        self.ends[scan.count % PLACES] = end as u32;
        self.len = scan.count.wrapping_add(1);
        self.escapes = scan.escapes as usize;
        self.escaped = scan.escaped;
        self.high = scan.high != 0;
        self.rest.clear();
        self.strip_quotes(chunk, start);
        true
    }

    /// Takes the ends of the tokens that the separators of a block at `at` divide; `false`: there are more than places.
    #[inline(always)]
    fn take(&mut self, scan: &mut Scan, mut separators: u64, at: usize) -> bool {
        let mut count = scan.count;
        while separators != 0 {
            self.ends[count % PLACES] = at.wrapping_add(separators.trailing_zeros() as usize) as u32;
            count = count.wrapping_add(1);
            separators &= separators.wrapping_sub(1);
        }
        scan.count = count;
        count < PLACES
    }

    /// Finds the starts of tokens that one space divides, and takes their outer quotes off.
    #[inline(always)]
    fn strip_quotes(&mut self, chunk: &[u8], start: usize) {
        let mut quoted = 0;
        let len = self.len.min(PLACES);
        let mut next = start as u32;
        for (start, end) in self.starts[..len].iter_mut().zip(&mut self.ends[..len]) {
            let has = u32::from(chunk.get(next as usize) == Some(&b'"'));
            *start = next.wrapping_add(has);
            next = end.wrapping_add(1);
            *end = end.wrapping_sub(has);
            quoted = quoted >> 1 | u64::from(has) << 63;
        }
        // The last place is the highest bit, and there is one at least.
        self.quoted = quoted >> (PLACES.wrapping_sub(len) & (PLACES - 1));
    }

    /// Cuts any line by the written rules. On a reject the tokens are undefined.
    pub fn cut(&mut self, chunk: &[u8], start: usize, end: usize, attempt: Attempt) -> Result<(), Reject> {
        self.len = 0;
        self.quoted = 0;
        self.rest.clear();
        self.escapes = chunk[start..end].iter().filter(|&&byte| byte < 0x20 || byte == b'"' || byte == b'\\').count();
        self.escaped = if self.escapes == 0 { 0 } else { u64::MAX };
        self.high = !chunk[start..end].is_ascii();
        let mut at = start;
        loop {
            while at < end && chunk[at] == b' ' {
                at += 1;
            }
            if at == end {
                return Ok(());
            }
            if chunk[at] == b'"' {
                let Some(close) = closing_quote(&chunk[..end], at + 1, attempt) else {
                    return Err(Reject::new(RejectReason::UnterminatedQuote, at - start));
                };
                self.push(at + 1, close, true);
                at = close + 1;
            } else {
                let stop = memchr(b' ', &chunk[at..end]).map_or(end, |length| at + length);
                self.push(at, stop, false);
                at = stop;
            }
        }
    }

    fn push(&mut self, start: usize, end: usize, quoted: bool) {
        if self.len == PLACES {
            self.rest.push((start as u32, end as u32));
            return;
        }
        self.starts[self.len] = start as u32;
        self.ends[self.len] = end as u32;
        self.quoted |= u64::from(quoted) << self.len;
        self.len += 1;
    }
}

/// Where the quote that ends a token stands; `line` ends where the line ends.
fn closing_quote(line: &[u8], mut at: usize, attempt: Attempt) -> Option<usize> {
    while at < line.len() {
        match line[at] {
            b'\\' if attempt.backslash_escapes && matches!(line.get(at + 1), Some(b'"' | b'\\')) => at += 2,
            // A list such as "h2","http/1.1" is one token.
            b'"' if line[at + 1..].starts_with(b",\"") => at += 3,
            b'"' if !attempt.closes_before_space || matches!(line.get(at + 1), None | Some(b' ')) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// What one pass over the blocks of a line carries from block to block. Masks hold one bit per byte, lowest first.
struct Scan {
    count: usize,
    /// All ones while inside quotes, otherwise zero.
    in_quotes: u64,
    /// One when the byte before this block was a separator or the start of the line.
    behind_space: u64,
    /// One when the byte before this block closed a quoted token.
    behind_close: u64,
    /// One when the byte before this block was a backslash.
    behind_backslash: u64,
    escapes: u32,
    /// One bit for each place whose token has bytes that need an escape.
    escaped: u64,
    high: u64,
    /// Not zero when something was seen that this pass leaves to the written rules.
    odd: u64,
}

impl Scan {
    fn new() -> Self {
        Self {
            count: 0,
            in_quotes: 0,
            behind_space: 1,
            behind_close: 0,
            behind_backslash: 0,
            escapes: 0,
            escaped: 0,
            high: 0,
            odd: 0,
        }
    }

    /// The separators of a block; `valid` has one bit for each byte that belongs to the line.
    #[inline(always)]
    fn step(&mut self, block: &Block, valid: u64) -> u64 {
        let quoted = prefix_xor(block.quote) ^ self.in_quotes;
        let separators = block.space & !quoted;
        let opens = block.quote & quoted;
        let closes = block.quote & !quoted;
        let behind_space = (separators << 1) | self.behind_space;
        let behind_close = (closes << 1) | self.behind_close;
        self.odd |= (opens & !behind_space) | (behind_close & !separators & valid) | (separators & behind_space);
        if block.has_rare | (self.behind_backslash != 0) {
            self.step_rare(block, separators);
        }
        self.in_quotes = ((quoted as i64) >> 63) as u64;
        self.behind_space = separators >> 63;
        self.behind_close = closes >> 63;
        separators
    }

    /// The bytes that most blocks have none of.
    #[inline(always)]
    fn step_rare(&mut self, block: &Block, separators: u64) {
        let behind_backslash = (block.backslash << 1) | self.behind_backslash;
        self.odd |= behind_backslash & (block.quote | block.backslash);
        self.escapes = self.escapes.wrapping_add((block.backslash | block.control).count_ones());
        self.high |= block.high;
        self.behind_backslash = block.backslash >> 63;
        let mut left = block.backslash | block.control;
        while left != 0 {
            // Everything up to the next separator is of the same token.
            let before = (left & left.wrapping_neg()).wrapping_sub(1);
            let place = self.count.wrapping_add((separators & before).count_ones() as usize);
            self.escaped |= 1 << (place % PLACES);
            let behind = separators & !before;
            left &= !(behind.wrapping_sub(1) & !behind);
        }
    }
}

/// Each bit becomes the exclusive or of itself and all below it.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^ (bits << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_very_many_tokens_leaves_little_behind() {
        let line = "x ".repeat(100_000);
        let mut tokens = Tokens::default();
        tokens.cut(line.as_bytes(), 0, line.len(), Attempt::ALL[0]).expect("tokens");
        assert_eq!(tokens.rest().len(), 100_000 - PLACES);
        tokens.forget();
        assert!(tokens.rest.capacity() <= PLACES);
    }

    fn texts(tokens: &Tokens, line: &[u8]) -> Vec<(String, bool)> {
        let mut all: Vec<_> = (0..tokens.len())
            .map(|place| (String::from_utf8_lossy(tokens.text(line, place)).into_owned(), tokens.quoted() >> place & 1 == 1))
            .collect();
        all.extend(
            tokens
                .rest()
                .iter()
                .map(|&(start, end)| (String::from_utf8_lossy(&line[start as usize..end as usize]).into_owned(), false)),
        );
        all
    }

    #[track_caller]
    fn check(line: &str, attempt: usize, want: &[(&str, bool)]) {
        let mut tokens = Tokens::default();
        tokens.cut(line.as_bytes(), 0, line.len(), Attempt::ALL[attempt]).expect("the line can be cut");
        let want: Vec<_> = want.iter().map(|&(text, quoted)| (text.to_owned(), quoted)).collect();
        assert_eq!(texts(&tokens, line.as_bytes()), want, "{line}");
    }

    #[test]
    fn the_written_rules() {
        check(r#"a  "b c" d"#, 0, &[("a", false), ("b c", true), ("d", false)]);
        check(r#"a"b c"#, 0, &[("a\"b", false), ("c", false)]);
        check(r#""a\"b" c"#, 0, &[(r#"a\"b"#, true), ("c", false)]);
        check(r#""a\\" c"#, 0, &[(r"a\\", true), ("c", false)]);
        check(r#""a\x22" c"#, 0, &[(r"a\x22", true), ("c", false)]);
        check(r#""-"1"#, 0, &[("-", true), ("1", false)]);
        check(r#""h2","http/1.1" x"#, 0, &[(r#"h2","http/1.1"#, true), ("x", false)]);
        check(r#""say "x" now" y"#, 1, &[(r#"say "x"#, true), (r#"now""#, false), ("y", false)]);
        check(r#""a("b")c" d"#, 1, &[(r#"a("b")c"#, true), ("d", false)]);
        check(r#""C:\dir\" d"#, 2, &[(r"C:\dir\", true), ("d", false)]);
        check("", 0, &[]);
        check("   ", 0, &[]);
        check(r#""" x"#, 0, &[("", true), ("x", false)]);
    }

    #[test]
    fn an_open_quote_is_named_by_its_place() {
        let mut tokens = Tokens::default();
        let reject = tokens.cut(b"hello \"world", 0, 12, Attempt::ALL[0]).expect_err("the quote never closes");
        assert_eq!((reject.at, reject.reason), (6, RejectReason::UnterminatedQuote));
    }

    /// The quick pass may decline a line, but what it takes it must cut as the rules do.
    #[track_caller]
    fn agree(before: &[u8], line: &[u8], behind: &[u8]) -> bool {
        let chunk = [before, line, behind].concat();
        let (start, end) = (before.len(), before.len() + line.len());
        let mut quick = Tokens::default();
        if !quick.cut_plain(&chunk, start, end) {
            return false;
        }
        let mut slow = Tokens::default();
        slow.cut(&chunk, start, end, Attempt::ALL[0]).expect("a plain line can be cut");
        assert_eq!(texts(&quick, &chunk), texts(&slow, &chunk), "{:?}", String::from_utf8_lossy(line));
        assert_eq!(quick.has_high(), slow.has_high());
        let (empty, dashes) = quick.without_value(&chunk);
        for place in 0..quick.len() {
            let text = quick.text(&chunk, place);
            assert_eq!(dashes >> place & 1 == 1, text == b"-", "{place}");
            assert_eq!(empty >> place & 1 == 1, text.is_empty(), "{place}");
            assert_eq!(quick.needs_escape(place), text.iter().any(|&byte| crate::json::writer::needs_escape(byte)), "{place}");
        }
        let outer = 2 * quick.quoted().count_ones() as usize;
        assert_eq!(quick.escapes() + outer, slow.escapes());
        true
    }

    #[test]
    fn the_quick_pass_takes_ordinary_lines_of_any_length() {
        for length in 1..300 {
            let line = format!("{} \"{} x\" -", "a".repeat(length), "b".repeat(length));
            assert!(agree(b"before \"\n", line.as_bytes(), b"\nbehind \" \\"), "{length}");
            assert!(agree(b"", line.as_bytes(), b""), "{length}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
        #[test]
        fn the_quick_pass_agrees_with_the_rules(
            line in proptest::collection::vec(proptest::sample::select(b" \" \\abc-1\x01\xc3,".to_vec()), 0..200),
            before in 0usize..70, behind in 0usize..70,
        ) {
            agree(&vec![b'"'; before], &line, &vec![b'"'; behind]);
        }

        #[test]
        fn the_quick_pass_agrees_with_the_rules_on_well_formed_lines(
            words in proptest::collection::vec("[a-z\\\\x0-9]{1,20}|\"[a-z \\\\x,]{0,40}\"", 1..80),
        ) {
            agree(b"", words.join(" ").as_bytes(), b" \"");
        }

        #[test]
        fn any_bytes_are_cut_or_rejected(line in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut tokens = Tokens::default();
            for attempt in Attempt::ALL {
                let _ = tokens.cut(&line, 0, line.len(), attempt);
            }
            let _ = tokens.cut_plain(&line, 0, line.len());
        }
    }
}
