//! Splits a stream of bytes at newlines; the result does not depend on how the stream was cut into reads.
//!
//! Lines that lie within one read are handed on where they stand. Only the piece of a line that a read leaves behind is
//! copied, so that a connection without such a piece holds no memory. A line over the limit is cut at the limit and
//! said to be cut, and the rest of it is skipped; or the stream is refused from there on, where nobody may be told that it
//! was taken. This module knows no sockets and no formats.

use memchr::memchr;

/// The state of one stream.
#[derive(Debug)]
pub struct Lines {
    line_bytes_max: usize,
    /// The beginning of a line whose end has not come yet.
    carry: Vec<u8>,
    /// Whether the rest of a line that was too long is being skipped.
    skipping: bool,
    /// Whether the first line that is too long ends the stream instead of being cut.
    refuses: bool,
}

/// A line as it is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// All of it, its newline was there.
    Yes,
    /// Its first bytes; it was longer than the limit.
    Cut,
    /// All there is: the stream ended without a newline.
    Unterminated,
}

/// What became of the bytes of one read, beside the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Fed {
    /// Newlines passed, whatever stood before them.
    pub newlines: u64,
    /// Bytes of lines over the limit that were thrown away; where one is refused, everything from its beginning.
    pub skipped_bytes: u64,
    /// Whether a line over the limit has been refused, in this read or before: nothing from there on is handed on or counted
    /// as a newline.
    pub refused: bool,
}

impl Lines {
    /// A stream whose lines may have this many bytes, line end not counted.
    pub fn new(line_bytes_max: usize) -> Self {
        Self { line_bytes_max, carry: Vec::new(), skipping: false, refuses: false }
    }

    /// The same stream, ended by its first line that is too long.
    #[must_use]
    pub fn refusing(self) -> Self {
        Self { refuses: true, ..self }
    }

    /// Bytes of memory held for a line whose end has not come yet.
    pub fn held_bytes(&self) -> usize {
        self.carry.capacity()
    }

    /// Whether bytes of an unfinished line are held.
    pub fn is_between_lines(&self) -> bool {
        self.carry.is_empty() && !self.skipping
    }

    /// Takes the bytes of one read and calls `each` with a chunk, a line's place in it without its newline, and whether
    /// that is all of it.
    #[inline]
    pub fn feed(&mut self, read: &[u8], mut each: impl FnMut(&[u8], usize, usize, Whole)) -> Fed {
        let mut fed = Fed::default();
        let mut at = 0;
        if !self.is_between_lines() {
            let Some(end) = memchr(b'\n', read) else {
                self.keep(read, &mut fed, &mut each);
                return fed;
            };
            self.keep(&read[..end], &mut fed, &mut each);
            if self.has_refused() {
                return self.refuse(&read[end..], fed);
            }
            if !self.skipping {
                let line = std::mem::take(&mut self.carry);
                self.complete(&line, 0, line.len(), &mut fed, &mut each);
            }
            self.skipping = false;
            fed.newlines += 1;
            at = end + 1;
        }
        while let Some(length) = memchr(b'\n', &read[at..]) {
            if self.refuses && self.is_too_long(&read[at..at + length]) {
                return self.refuse(&read[at..], fed);
            }
            self.complete(read, at, at + length, &mut fed, &mut each);
            fed.newlines += 1;
            at += length + 1;
        }
        if at < read.len() {
            self.keep(&read[at..], &mut fed, &mut each);
        }
        fed
    }

    fn has_refused(&self) -> bool {
        self.refuses && self.skipping
    }

    /// Throws away what is left of a read, and with it all that may follow.
    #[cold]
    fn refuse(&mut self, rest: &[u8], fed: Fed) -> Fed {
        self.skipping = true;
        Fed { skipped_bytes: fed.skipped_bytes + rest.len() as u64, refused: true, ..fed }
    }

    /// Whether a line, without its newline, is over the limit. The carriage return of a line end does not count.
    #[inline(always)]
    fn is_too_long(&self, line: &[u8]) -> bool {
        line.len() > self.line_bytes_max && !(line.len() == self.line_bytes_max + 1 && line.ends_with(b"\r"))
    }

    /// Ends the stream: after a clean end a last line without newline is a line. Returns the bytes that are none.
    pub fn finish(&mut self, clean: bool, mut each: impl FnMut(&[u8], usize, usize, Whole)) -> usize {
        let last = std::mem::take(&mut self.carry);
        if clean && !last.is_empty() {
            each(&last, 0, last.len(), Whole::Unterminated);
            return 0;
        }
        last.len()
    }

    /// Hands a line on whose newline was seen; cut where it is too long.
    #[inline(always)]
    fn complete(&self, chunk: &[u8], start: usize, end: usize, fed: &mut Fed, each: &mut impl FnMut(&[u8], usize, usize, Whole)) {
        if self.is_too_long(&chunk[start..end]) {
            fed.skipped_bytes += (end - start - self.line_bytes_max) as u64;
            return each(chunk, start, start + self.line_bytes_max, Whole::Cut);
        }
        each(chunk, start, end, Whole::Yes);
    }

    /// Keeps a piece of a line for later, or skips it.
    fn keep(&mut self, piece: &[u8], fed: &mut Fed, each: &mut impl FnMut(&[u8], usize, usize, Whole)) {
        if self.skipping {
            fed.skipped_bytes += piece.len() as u64;
            fed.refused = self.refuses;
            return;
        }
        // One byte over the limit may still turn out to be the carriage return of a line that is just short enough.
        let room = self.line_bytes_max + 1 - self.carry.len();
        self.carry.extend_from_slice(&piece[..piece.len().min(room)]);
        let over = self.carry.len() > self.line_bytes_max && (piece.len() > room || self.carry.last() != Some(&b'\r'));
        if over {
            let line = std::mem::take(&mut self.carry);
            let behind = piece.len().saturating_sub(room);
            self.skipping = true;
            if self.refuses {
                fed.skipped_bytes += (line.len() + behind) as u64;
                fed.refused = true;
                return;
            }
            fed.skipped_bytes += (line.len() - self.line_bytes_max + behind) as u64;
            each(&line, 0, self.line_bytes_max, Whole::Cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Vec<(Vec<u8>, Whole)>;

    fn run(reads: &[&[u8]], line_bytes_max: usize, clean: bool) -> (Seen, u64, usize) {
        let mut lines = Lines::new(line_bytes_max);
        let mut seen = Seen::new();
        let mut skipped = 0;
        for read in reads {
            skipped += lines.feed(read, |chunk, start, end, whole| seen.push((chunk[start..end].to_vec(), whole))).skipped_bytes;
            assert!(lines.held_bytes() <= 2 * (line_bytes_max + 1).max(8), "what is held is bounded by the limit");
        }
        let lost = lines.finish(clean, |chunk, start, end, whole| seen.push((chunk[start..end].to_vec(), whole)));
        assert_eq!(lines.held_bytes(), 0);
        (seen, skipped, lost)
    }

    #[test]
    fn lines_come_out_whatever_the_reads() {
        let want: Seen =
            [("ab", Whole::Yes), ("", Whole::Yes), ("c\r", Whole::Yes)].map(|(line, whole)| (line.into(), whole)).to_vec();
        assert_eq!(run(&[b"ab\n\nc\r\n"], 10, true), (want.clone(), 0, 0));
        assert_eq!(run(&[b"a", b"b", b"\n", b"\nc", b"\r", b"\n"], 10, true), (want, 0, 0));
    }

    #[test]
    fn a_last_line_counts_only_after_a_clean_end() {
        assert_eq!(run(&[b"a\nbc"], 10, true).0[1], (b"bc".to_vec(), Whole::Unterminated));
        assert_eq!(run(&[b"a\nbc"], 10, false), (vec![(b"a".to_vec(), Whole::Yes)], 0, 2));
    }

    #[test]
    fn the_limit_is_exact() {
        assert_eq!(run(&[b"1234\n"], 4, true), (vec![(b"1234".to_vec(), Whole::Yes)], 0, 0));
        assert_eq!(run(&[b"1234\r\n"], 4, true), (vec![(b"1234\r".to_vec(), Whole::Yes)], 0, 0));
        assert_eq!(run(&[b"12345\n6\n"], 4, true), (vec![(b"1234".to_vec(), Whole::Cut), (b"6".to_vec(), Whole::Yes)], 1, 0));
        assert_eq!(run(&[b"1234\r5\n"], 4, true), (vec![(b"1234".to_vec(), Whole::Cut)], 2, 0));
        assert_eq!(run(&[b"123456789"], 4, true), (vec![(b"1234".to_vec(), Whole::Cut)], 5, 0));
    }

    /// What a stream that refuses lines over the limit hands on, and the last of what it says, all reads added up.
    fn run_refusing(reads: &[&[u8]], line_bytes_max: usize) -> (Seen, Fed) {
        let mut lines = Lines::new(line_bytes_max).refusing();
        let (mut seen, mut all) = (Seen::new(), Fed::default());
        for read in reads {
            let fed = lines.feed(read, |chunk, start, end, whole| seen.push((chunk[start..end].to_vec(), whole)));
            assert!(fed.refused || !all.refused, "a refusal lasts");
            let (newlines, skipped_bytes) = (all.newlines + fed.newlines, all.skipped_bytes + fed.skipped_bytes);
            all = Fed { newlines, skipped_bytes, refused: fed.refused };
        }
        let unread = lines.finish(true, |chunk, start, end, whole| seen.push((chunk[start..end].to_vec(), whole)));
        assert_eq!(unread, 0);
        (seen, all)
    }

    #[test]
    fn a_stream_that_refuses_ends_before_its_first_line_that_is_too_long() {
        let first = vec![(b"1234".to_vec(), Whole::Yes)];
        let refused = |skipped_bytes| Fed { newlines: 1, skipped_bytes, refused: true };
        assert_eq!(run_refusing(&[b"1234\n12345\n6\n"], 4), (first.clone(), refused(8)));
        assert_eq!(run_refusing(&[b"1234\n123", b"45", b"\n6\n"], 4), (first.clone(), refused(8)));
        assert_eq!(run_refusing(&[b"1234\n12345"], 4), (first, refused(5)));
        let fits = run_refusing(&[b"1234\r\n\n1"], 4);
        assert_eq!(fits.1, Fed { newlines: 2, ..Fed::default() });
        assert_eq!(fits.0.len(), 3, "the last one has no newline and is a line all the same");
    }

    proptest::proptest! {
        #[test]
        fn any_split_into_reads_refuses_at_the_same_byte(
            stream in proptest::collection::vec(proptest::sample::select(b"ab\r\n".to_vec()), 0..120),
            cuts in proptest::collection::vec(0usize..120, 0..12),
            limit in 1usize..12,
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let whole = run_refusing(&[&stream], limit);
            proptest::prop_assert_eq!(&run_refusing(&reads, limit), &whole);
            // What is handed on is what a stream that cuts would hand on before its first cut.
            let (cutting, ..) = run(&[&stream], limit, true);
            let before: Seen = cutting.into_iter().take_while(|(_, whole)| *whole != Whole::Cut).collect();
            proptest::prop_assert_eq!(whole.0, before);
        }

        #[test]
        fn any_split_into_reads_gives_the_same_lines(
            stream in proptest::collection::vec(proptest::sample::select(b"ab\r\n".to_vec()), 0..120),
            cuts in proptest::collection::vec(0usize..120, 0..12),
            limit in 1usize..12,
            clean: bool,
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let whole = run(&[&stream], limit, clean);
            proptest::prop_assert_eq!(run(&reads, limit, clean), whole);
        }
    }
}
