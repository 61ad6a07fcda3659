//! Follows the bytes of an HTTP/1 connection strictly enough that nobody can see another message in them than the relay does.
//!
//! A machine that takes bytes as they come and says where a request's head, its body and the next head begin, or what is wrong:
//! RFC 9112 allows a server much that a proxy in front of it may understand otherwise, and a request that two of them cut in
//! different places is how another one is smuggled in. It refuses what is doubtful, reads no event and answers nobody.

use super::answer::Cause;

/// Largest head of a request, in bytes; an object's name and fields have room in it several times.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Most fields of a head.
pub const FIELDS_MAX: usize = 100;

/// Most bytes of a line that says how long a chunk is, and of all that follows the last chunk.
const CHUNK_LINE_BYTES_MAX: usize = 256;
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// What is wrong with the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What its sender is told.
    pub cause: Cause,
    /// The same in words.
    pub detail: &'static str,
}

impl Fault {
    const fn framing(detail: &'static str) -> Self {
        Self { cause: Cause::BadFraming, detail }
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunked,
}

/// Where in a connection the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a head, or before it.
    Head,
    /// In a body, with so many bytes left, at least one.
    Body(u64),
    /// In a line that says how long a chunk is.
    ChunkSize,
    /// In a chunk, with so many bytes left, those of its line end included, at least one.
    Chunk(u64),
    /// Behind the last chunk.
    Trailer,
}

/// Follows one connection.
#[derive(Debug)]
pub struct Follower {
    place: Place,
    /// What has come of a head, of a chunk's line, or of a trailer.
    kept: Vec<u8>,
}

impl Follower {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self { place: Place::Head, kept: Vec::new() }
    }

    /// Whether a request has begun and its head has not come to an end.
    pub fn is_in_head(&self) -> bool {
        self.place == Place::Head && !self.kept.is_empty()
    }

    /// Whether no request has begun.
    pub fn is_between(&self) -> bool {
        self.place == Place::Head && self.kept.is_empty()
    }

    /// Bytes that may be read straight through, because they are all of the same body; none where that is not known.
    pub fn straight(&self) -> Option<u64> {
        match self.place {
            Place::Body(left) => Some(left),
            _ => None,
        }
    }

    /// So many of those have been.
    pub fn went_straight(&mut self, bytes: u64) {
        if let Place::Body(left) = self.place {
            self.place = if left > bytes { Place::Body(left - bytes) } else { Place::Head };
        }
    }

    /// Takes bytes as they come and appends to `out` what may be passed on: heads once they are whole and found good, bodies as
    /// they are.
    ///
    /// # Errors
    /// What is wrong. What is in `out` is in order; nothing behind it is to be looked at.
    pub fn follow(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let taken = match self.place {
                Place::Head => self.head(bytes, out)?,
                Place::Body(left) | Place::Chunk(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.through(&bytes[..taken], left)?;
                    out.extend_from_slice(&bytes[..taken]);
                    taken
                }
                Place::ChunkSize => self.chunk_size(bytes, out)?,
                Place::Trailer => self.trailer(bytes, out)?,
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Goes through a body or a chunk.
    fn through(&mut self, part: &[u8], left: u64) -> Result<(), Fault> {
        let behind = left - part.len() as u64;
        self.place = match self.place {
            Place::Body(_) if behind == 0 => Place::Head,
            Place::Body(_) => Place::Body(behind),
            _ => {
                // The last two bytes of a chunk are its line end.
                for (byte, place) in part.iter().rev().zip(behind..2) {
                    if *byte != [b'\n', b'\r'][usize::try_from(place).expect("it is 0 or 1")] {
                        return Err(Fault::framing("a chunk does not end where it said"));
                    }
                }
                if behind == 0 { Place::ChunkSize } else { Place::Chunk(behind) }
            }
        };
        Ok(())
    }

    fn head(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let (taken, whole) = self.gather(bytes, b"\r\n\r\n", HEAD_BYTES_MAX);
        if self.kept == b"\r\n" {
            // RFC 9112 asks to pass over an empty line before a request: some senders end a body with one too many.
            self.kept.clear();
            return Ok(taken.min(bytes.len()));
        }
        check_bytes(&self.kept, self.kept.len() - taken.min(self.kept.len()))?;
        if !whole {
            if self.kept.len() > HEAD_BYTES_MAX {
                return Err(Fault { cause: Cause::HeadTooLarge, detail: "the head of the request is too large" });
            }
            return Ok(taken);
        }
        let length = check_head(&self.kept)?;
        self.place = match length {
            Length::Bytes(0) => Place::Head,
            Length::Bytes(bytes) => Place::Body(bytes),
            Length::Chunked => Place::ChunkSize,
        };
        self.pass(out);
        Ok(taken)
    }

    fn chunk_size(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let (taken, whole) = self.gather(bytes, b"\r\n", CHUNK_LINE_BYTES_MAX);
        check_bytes(&self.kept, 0)?;
        if !whole {
            if self.kept.len() > CHUNK_LINE_BYTES_MAX {
                return Err(Fault::framing("the line before a chunk is too long"));
            }
            return Ok(taken);
        }
        let digits = self.kept.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        // What may stand behind the digits is an extension, which nobody has.
        if digits == 0 || digits > 15 || !matches!(self.kept[digits], b'\r' | b';') {
            return Err(Fault::framing("a chunk does not say how long it is"));
        }
        let text = std::str::from_utf8(&self.kept[..digits]).expect("digits are ASCII");
        let size = u64::from_str_radix(text, 16).expect("fifteen digits are less than 64 bits");
        self.place = if size == 0 { Place::Trailer } else { Place::Chunk(size + 2) };
        self.pass(out);
        Ok(taken)
    }

    /// Passes over what follows the last chunk, up to and including the empty line. It is kept until then, so that fields which
    /// nobody reads are not passed on in pieces.
    fn trailer(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let begins_empty = |kept: &[u8]| kept.starts_with(b"\r\n");
        let mut taken = 0;
        while taken < bytes.len() {
            self.kept.push(bytes[taken]);
            taken += 1;
            if begins_empty(&self.kept) || self.kept.ends_with(b"\r\n\r\n") {
                check_bytes(&self.kept, self.kept.len() - taken)?;
                self.place = Place::Head;
                self.pass(out);
                return Ok(taken);
            }
            if self.kept.len() > TRAILER_BYTES_MAX {
                return Err(Fault { cause: Cause::HeadTooLarge, detail: "what follows the last chunk is too large" });
            }
        }
        check_bytes(&self.kept, self.kept.len() - taken)?;
        Ok(taken)
    }

    /// Keeps bytes up to and including `end`, or a few more than `most`; gives how many were taken, and whether the end has come.
    fn gather(&mut self, bytes: &[u8], end: &[u8], most: usize) -> (usize, bool) {
        let before = self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min((most + end.len()).saturating_sub(before))]);
        let from = before.saturating_sub(end.len() - 1);
        // An empty line where a request would begin is an end of its own.
        let found = if end.len() > 2 && self.kept.starts_with(b"\r\n") {
            Some(2)
        } else {
            memchr::memmem::find(&self.kept[from..], end).map(|at| from + at + end.len())
        };
        match found {
            Some(length) => {
                self.kept.truncate(length);
                (length - before.min(length), true)
            }
            None => (self.kept.len() - before, false),
        }
    }

    fn pass(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.kept);
        self.kept = Vec::new();
    }
}

impl Default for Follower {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses line ends that are none, and bytes that no head has; those before `from` have been looked at.
fn check_bytes(head: &[u8], from: usize) -> Result<(), Fault> {
    // The last of them may have been a carriage return, which needs the one behind it.
    for (at, &byte) in head.iter().enumerate().skip(from.saturating_sub(1)) {
        match byte {
            b'\n' if at == 0 || head[at - 1] != b'\r' => return Err(Fault::framing("a line ends without a carriage return")),
            b'\n' | b'\t' => {}
            b'\r' if head.get(at + 1).is_none_or(|next| *next == b'\n') => {}
            b'\r' => return Err(Fault::framing("a carriage return stands amid a line")),
            0..=31 | 127 => return Err(Fault::framing("a control character stands in the head")),
            _ => {}
        }
    }
    Ok(())
}

/// Checks a whole head and says how its body ends.
fn check_head(head: &[u8]) -> Result<Length, Fault> {
    let mut lines = head[..head.len() - 4].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request = lines.next().unwrap_or_default();
    let mut parts = request.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let is_1_1 = match version {
        Some(b"HTTP/1.1") => true,
        Some(b"HTTP/1.0") => false,
        _ => return Err(Fault::framing("the first line is no request of HTTP/1.0 or HTTP/1.1")),
    };
    if !method.is_some_and(is_token) || target.is_none_or(<[u8]>::is_empty) || parts.next().is_some() {
        return Err(Fault::framing("the first line is no request"));
    }
    let (mut length, mut is_chunked, mut hosts, mut fields) = (None, false, 0, 0);
    for line in lines {
        fields += 1;
        if fields > FIELDS_MAX {
            return Err(Fault { cause: Cause::HeadTooLarge, detail: "the head has too many fields" });
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Fault::framing("a field goes on in the next line"));
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::framing("a field has no colon"))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Err(Fault::framing("the name of a field has a character that no name has"));
        }
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Fault::framing("there are two lengths"));
            }
            length = Some(digits(value).ok_or(Fault::framing("the length is no number"))?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !is_1_1 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::framing("the transfer encoding is not chunked, once, in HTTP/1.1"));
            }
            is_chunked = true;
        }
    }
    if hosts > 1 || is_1_1 && hosts == 0 {
        return Err(Fault::framing("there is not one host"));
    }
    match (length, is_chunked) {
        (Some(_), true) => Err(Fault::framing("there are a length and a transfer encoding")),
        (_, true) => Ok(Length::Chunked),
        (length, false) => Ok(Length::Bytes(length.unwrap_or(0))),
    }
}

/// A number of digits and nothing else, below 10^18.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Whether this is a token as RFC 9110 has it.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn follow(reads: &[&[u8]]) -> (Vec<u8>, Result<bool, Cause>) {
        let mut follower = Follower::new();
        let mut out = Vec::new();
        for read in reads {
            if let Err(fault) = follower.follow(read, &mut out) {
                return (out, Err(fault.cause));
            }
        }
        (out, Ok(follower.is_between()))
    }

    #[track_caller]
    fn good(stream: &str) {
        let (out, end) = follow(&[stream.as_bytes()]);
        assert_eq!((out.escape_ascii().to_string(), end), (stream.as_bytes().escape_ascii().to_string(), Ok(true)));
    }

    #[track_caller]
    fn bad(stream: &str, passed: &str, cause: Cause) {
        let (out, end) = follow(&[stream.as_bytes()]);
        assert_eq!((String::from_utf8(out).expect("text").as_str(), end), (passed, Err(cause)), "{stream:?}");
    }

    const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\n";

    #[test]
    fn requests_pass_as_they_are() {
        good("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        good("GET / HTTP/1.0\r\n\r\n");
        good(&format!("{POST}Content-Length: 3\r\n\r\nabc{POST}content-length:0\r\n\r\n"));
        good(&format!("{POST}Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n\r\n23456\r\n\r\r\n0\r\n\r\n{POST}\r\n"));
        good(&format!("{POST}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n{POST}\r\n"));
    }

    #[test]
    fn an_empty_line_before_a_request_is_passed_over() {
        let request = format!("{POST}Content-Length: 1\r\n\r\na");
        let (out, end) = follow(&[format!("\r\n{request}\r\n\r\n{request}").as_bytes()]);
        assert_eq!((String::from_utf8(out).expect("text"), end), (request.repeat(2), Ok(true)));
    }

    #[test]
    fn what_could_be_cut_in_two_places_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding: chunked\r\n folded\r\n",
            "X: a\r\n\tb\r\n",
            "X: a\nY: b\r\n",
            "X: a\rY: b\r\n",
            "X: a\0\r\n",
            "X\r\n",
            ": a\r\n",
            "X Y: a\r\n",
            "Host: other\r\n",
        ] {
            bad(&format!("{POST}{fields}\r\n{POST}\r\n"), "", Cause::BadFraming);
        }
        bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", Cause::BadFraming);
        bad("POST / HTTP/1.1\r\n\r\n", "", Cause::BadFraming);
        bad("POST / HTTP/1.2\r\nHost: h\r\n\r\n", "", Cause::BadFraming);
        bad("POST /a b HTTP/1.1\r\nHost: h\r\n\r\n", "", Cause::BadFraming);
        bad("POST  / HTTP/1.1\r\nHost: h\r\n\r\n", "", Cause::BadFraming);
        bad("POST / HTTP/1.1\nHost: h\n\n", "", Cause::BadFraming);
        bad("\x16\x03\x01\x02", "", Cause::BadFraming);
    }

    #[test]
    fn behind_a_bad_chunk_nothing_passes() {
        let head = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
        for (chunks, passed) in [
            ("3\r\nabcd\r\n0\r\n\r\n", "3\r\n"),
            ("3\nabc\r\n0\r\n\r\n", ""),
            ("0x3\r\nabc\r\n0\r\n\r\n", ""),
            ("+3\r\nabc\r\n0\r\n\r\n", ""),
            (" 3\r\nabc\r\n0\r\n\r\n", ""),
            ("3 \r\nabc\r\n0\r\n\r\n", ""),
            ("\r\nabc\r\n0\r\n\r\n", ""),
            ("1000000000000000\r\nabc", ""),
            ("0\r\nA: b\n\r\n\r\n", "0\r\n"),
        ] {
            bad(&format!("{head}{chunks}{POST}\r\n"), &format!("{head}{passed}"), Cause::BadFraming);
        }
        bad(&format!("{head}3;{}\r\n", "x".repeat(300)), &head, Cause::BadFraming);
        bad(&format!("{head}0\r\nA: {}\r\n", "x".repeat(9_000)), &format!("{head}0\r\n"), Cause::HeadTooLarge);
    }

    #[test]
    fn large_heads_are_refused() {
        bad(&format!("{POST}X: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), "", Cause::HeadTooLarge);
        bad(&format!("{POST}{}\r\n", "X: y\r\n".repeat(FIELDS_MAX)), "", Cause::HeadTooLarge);
        good(&format!("{POST}{}\r\n", "X: y\r\n".repeat(FIELDS_MAX - 1)));
    }

    proptest! {
        #[test]
        fn any_split_into_reads_passes_the_same(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "POST / HTTP/1.1\r\nHost: h\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "\r\n", "\n", "\r", "abc",
                "3\r\nabc\r\n", "0\r\n\r\n", "0\r\n", "X: y\r\n", " z\r\n",
            ]), 0..12),
            cuts in proptest::collection::vec(0usize..200, 0..12),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let (whole, cut) = (follow(&[&stream]), follow(&reads));
            prop_assert_eq!(&whole.1, &cut.1);
            if whole.1.is_ok() {
                prop_assert_eq!(whole.0, cut.0);
            } else {
                // A body is passed on as it comes, up to the byte that shows that it is bad.
                prop_assert!(cut.0.starts_with(&whole.0), "{} {}", cut.0.escape_ascii(), whole.0.escape_ascii());
            }
        }
    }
}
