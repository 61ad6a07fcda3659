//! Says at a glance that a name is harmless, by its last four bytes as they stand in the text.
//!
//! It may take a harmless name for a sensitive one, never the other way round: what it cannot judge from four bytes,
//! percent-encoding and brackets among it, it lets through.

/// Bytes of which a name is judged.
const WINDOW: u32 = 4;

/// Bytes before the sign of equality in which an escape such as `%2574` could reach into the window.
const ESCAPE: usize = 8;

/// Bits of one byte's class.
const CLASS_BITS: u32 = 5;

/// Letters are 1 to 26, in either case.
const DIGIT: u8 = 27;
/// What a name cannot reach beyond.
const DELIMITER: u8 = 28;
/// What does not count in a name.
const PUNCTUATION: u8 = 29;
/// The classes a table knows are below this one.
const CLASSES: u8 = 30;
/// What needs a closer look; no other class has this bit.
const ODD: u8 = 0x80;

const CLASS: [u8; 256] = {
    let mut table = [PUNCTUATION; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            letter @ (b'a'..=b'z' | b'A'..=b'Z') => letter & 0x1f,
            b'0'..=b'9' => DIGIT,
            b'?' | b'&' | b';' | b'#' | b'=' | b' ' | b'"' | b'/' => DELIMITER,
            b'[' | b']' | b'%' | 0x80.. => ODD,
            _ => PUNCTUATION,
        };
        byte += 1;
    }
    table
};

const TABLE_BITS: u32 = 16;

/// One bit for each hash of a window that a sensitive name can end with.
pub(super) struct Filter(Box<[u64; 1 << (TABLE_BITS - 6)]>);

impl Filter {
    pub(super) fn new() -> Self {
        Self(Box::new([0; 1 << (TABLE_BITS - 6)]))
    }

    /// Lets a name through, in lower case and without punctuation.
    pub(super) fn add_whole(&mut self, name: &[u8]) {
        self.add(name, true, 0, 0, true);
    }

    /// Lets every name through that ends so.
    pub(super) fn add_ending(&mut self, ending: &[u8]) {
        self.add(ending, false, 0, 0, true);
    }

    /// Adds every window that ends in the `placed` classes of `window` and has what is left of a name before them. Digits may
    /// stand at the end of any name and punctuation anywhere. A name also starts where a secret ends, such as a token in front of
    /// it or user information; punctuation is the first there, and anything may stand before that.
    fn add(&mut self, name: &[u8], whole: bool, window: u32, placed: u32, at_end: bool) {
        if placed == WINDOW {
            let (word, bit) = place(window);
            self.0[word] |= bit;
            return;
        }
        let with = |class: u8| window | u32::from(class) << (CLASS_BITS * (WINDOW - 1 - placed));
        self.add(name, whole && !name.is_empty(), with(PUNCTUATION), placed + 1, at_end);
        if at_end {
            self.add(name, whole, with(DIGIT), placed + 1, true);
        }
        match name.split_last() {
            // A byte outside ASCII is always looked at.
            Some((&last, _)) if CLASS[usize::from(last)] == ODD => {}
            Some((&last, before)) => self.add(before, whole, with(CLASS[usize::from(last)]), placed + 1, false),
            // Behind a delimiter anything may stand.
            None if whole => self.add(b"", false, with(DELIMITER), placed + 1, false),
            None => (0..CLASSES).for_each(|class| self.add(b"", false, with(class), placed + 1, false)),
        }
    }

    /// Whether a name that ends before the `=` at `at` of a text that starts at `start` is worth a look.
    #[inline(always)]
    pub(super) fn may_end(&self, chunk: &[u8], start: usize, at: usize) -> bool {
        let from = at.wrapping_sub(ESCAPE);
        if at.wrapping_sub(start) < ESCAPE {
            return true;
        }
        let Some(before) = chunk.get(from..at).and_then(|bytes| bytes.first_chunk::<ESCAPE>()) else { return true };
        let [one, two, three, four] = [before[4], before[5], before[6], before[7]].map(|byte| CLASS[usize::from(byte)]);
        if (one | two | three | four) & ODD != 0 || has_percent(u64::from_le_bytes(*before)) {
            return true;
        }
        let shifted = |class: u8, place: u32| u32::from(class) << (CLASS_BITS * place);
        let (word, bit) = place(shifted(one, 0) | shifted(two, 1) | shifted(three, 2) | shifted(four, 3));
        self.0[word] & bit != 0
    }
}

/// Where the table has the bit of a window. The multiplier is 2^32 divided by the golden ratio, which spreads well (Knuth, The
/// Art of Computer Programming, 6.4).
#[inline(always)]
fn place(window: u32) -> (usize, u64) {
    let hash = window.wrapping_mul(0x9e37_79b9) >> (u32::BITS - TABLE_BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// Whether one of eight bytes is `%`: only a byte that is zero borrows into its own top bit while it has none.
#[inline(always)]
fn has_percent(eight: u64) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let zero = eight ^ (ONES * b'%' as u64);
    zero.wrapping_sub(ONES) & !zero & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::names::counts;

    #[test]
    fn classes_agree_with_what_counts_in_a_name() {
        for byte in 0..=255 {
            let class = CLASS[usize::from(byte)];
            assert_eq!(counts(byte), class <= DIGIT || byte >= 0x80, "{byte}");
            assert!(class < CLASSES || class == ODD);
        }
    }

    #[test]
    fn most_windows_are_harmless() {
        let names = super::super::names::Names::new(&[]).expect("no extra name");
        let words = "the of and to in for on that this with page sort order filter limit offset source medium campaign term content \
            lang locale country category price color size brand model width height format type status date from until start end";
        let let_through = words.split(' ').filter(|word| names.may_end(format!("/search?{word}=").as_bytes(), 0, 8 + word.len()));
        assert_eq!(let_through.collect::<Vec<_>>(), [""; 0]);
    }
}
