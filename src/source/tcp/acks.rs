//! The confirmations of one connection, line by line: `{"acked":N}` says that its first N lines are stored.
//!
//! A machine that takes how many lines are stored and says which bytes to write. Between two writes only the newest number
//! counts, so a sender that does not read costs one line of memory. It refuses to touch a socket and to ask what storing
//! means.

use std::ops::Range;

/// The longest confirmation: its fixed text, the twenty digits of the largest number, and a newline.
const BYTES_MAX: usize = BEFORE.len() + 20 + BEHIND.len();

const BEFORE: &[u8] = b"{\"acked\":";

const BEHIND: &[u8] = b"}\n";

/// What a sender has been told, and has yet to be told.
#[derive(Debug)]
pub(super) struct Acks {
    /// Lines stored.
    stored: u64,
    /// The number in the last confirmation that was begun; none has been where it is 0.
    said: u64,
    text: [u8; BYTES_MAX],
    /// The part of `text` that is not written yet.
    left: Range<usize>,
}

impl Acks {
    /// Those of a connection that has sent nothing yet.
    pub(super) fn new() -> Self {
        Self { stored: 0, said: 0, text: [0; BYTES_MAX], left: 0..0 }
    }

    /// The first `lines` lines are stored. The number never goes back.
    pub(super) fn handle_committed(&mut self, lines: u64) {
        debug_assert!(lines >= self.stored, "what is stored stays stored");
        self.stored = lines;
    }

    /// The bytes to write next; none when the sender has been told everything.
    pub(super) fn poll_transmit(&mut self) -> &[u8] {
        if self.left.is_empty() && self.said < self.stored {
            self.begin();
        }
        &self.text[self.left.clone()]
    }

    /// So many of those bytes are written.
    ///
    /// # Panics
    /// When they are more than there were.
    pub(super) fn handle_transmitted(&mut self, bytes: usize) {
        assert!(bytes <= self.left.len(), "{bytes} bytes of {} are written", self.left.len());
        self.left.start += bytes;
    }

    /// Whether nothing is left to write.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty() && self.said == self.stored
    }

    /// Begins the confirmation of what is stored now. Once begun it is finished, or the sender could read no further one.
    fn begin(&mut self) {
        let mut digits = itoa::Buffer::new();
        let mut end = 0;
        for part in [BEFORE, digits.format(self.stored).as_bytes(), BEHIND] {
            self.text[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        self.left = 0..end;
        self.said = self.stored;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Writes at most so many bytes.
    fn write(acks: &mut Acks, most: usize, out: &mut Vec<u8>) {
        let bytes = acks.poll_transmit();
        let count = bytes.len().min(most);
        out.extend_from_slice(&bytes[..count]);
        acks.handle_transmitted(count);
    }

    /// The numbers in what was written; a last line without its newline says nothing.
    fn numbers(written: &[u8]) -> Vec<u64> {
        let text = str::from_utf8(written).expect("text");
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| line[BEFORE.len()..line.len() - BEHIND.len()].parse().expect("a number")).collect()
    }

    #[test]
    fn a_confirmation_is_one_line_of_json() {
        let mut acks = Acks::new();
        assert!(acks.poll_transmit().is_empty() && acks.is_done(), "of nothing there is nothing to say");
        acks.handle_committed(7);
        assert_eq!(acks.poll_transmit(), b"{\"acked\":7}\n");
        acks.handle_transmitted(12);
        assert!(acks.poll_transmit().is_empty() && acks.is_done(), "nothing is said twice");
        acks.handle_committed(u64::MAX);
        assert_eq!(acks.poll_transmit(), b"{\"acked\":18446744073709551615}\n");
    }

    #[test]
    fn only_the_newest_number_waits_behind_one_that_was_begun() {
        let mut acks = Acks::new();
        let mut written = Vec::new();
        acks.handle_committed(1);
        write(&mut acks, 3, &mut written);
        for lines in 2..1_000 {
            acks.handle_committed(lines);
        }
        assert!(!acks.is_done());
        write(&mut acks, usize::MAX, &mut written);
        write(&mut acks, usize::MAX, &mut written);
        assert!(acks.is_done());
        assert_eq!(numbers(&written), [1, 999]);
    }

    proptest! {
        #[test]
        fn however_it_is_written_the_numbers_grow_and_the_last_is_the_newest(
            steps in vec((0u64..300, 0usize..40), 1..60),
        ) {
            let (mut acks, mut written, mut stored) = (Acks::new(), Vec::new(), 0);
            for (more, most) in steps {
                stored += more;
                acks.handle_committed(stored);
                write(&mut acks, most, &mut written);
                let said = numbers(&written);
                prop_assert!(said.iter().all(|&number| number <= stored), "nothing is said before it is so");
            }
            while !acks.is_done() {
                write(&mut acks, usize::MAX, &mut written);
            }
            let said = numbers(&written);
            prop_assert!(said.windows(2).all(|pair| pair[0] < pair[1]), "{said:?}");
            prop_assert_eq!(said.last().copied().unwrap_or(0), stored);
        }
    }
}
