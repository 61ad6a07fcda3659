//! What the bytes of a line are, 64 at a time: one bit per byte, lowest first.
//!
//! Knows spaces, quotes and what a JSON string must escape; what they mean where they stand is for the tokeniser.

use wide::i8x16;
use wide::u8x16;

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 64;

/// The classes of 64 bytes.
#[derive(Default)]
pub(super) struct Block {
    pub(super) space: u64,
    pub(super) quote: u64,
    /// Whether one of the next three has a bit; they are filled in only then.
    pub(super) has_rare: bool,
    pub(super) backslash: u64,
    pub(super) control: u64,
    pub(super) high: u64,
}

impl Block {
    /// The classes of what is left of the chunk at `at`, zeros behind it.
    #[inline(always)]
    pub(super) fn last(chunk: &[u8], at: usize) -> Self {
        match chunk.get(at..at.wrapping_add(BLOCK)) {
            Some(bytes) => Self::classify(bytes.try_into().expect("the range is one block long")),
            None => {
                let mut bytes = [0; BLOCK];
                let there = &chunk[at..];
                bytes[..there.len()].copy_from_slice(there);
                Self::classify(&bytes)
            }
        }
    }

    #[inline(always)]
    pub(super) fn classify(bytes: &[u8; BLOCK]) -> Self {
        let mut block = Self::default();
        let (mut below, mut backslash) = (i8x16::splat(0), u8x16::splat(0));
        for (lane, sixteen) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let text = u8x16::new(*sixteen);
            block.space |= place(text.simd_eq(u8x16::splat(b' ')), lane);
            block.quote |= place(text.simd_eq(u8x16::splat(b'"')), lane);
            // Read as signed numbers, both control characters and bytes outside ASCII are less than a space.
            let signed = i8x16::new(sixteen.map(|byte| byte as i8));
            below |= signed.simd_lt(i8x16::splat(b' ' as i8));
            backslash |= is_backslash(text);
        }
        if below.to_bitmask() | backslash.to_bitmask() != 0 {
            block.classify_rare(bytes);
        }
        block
    }

    #[inline(never)]
    fn classify_rare(&mut self, bytes: &[u8; BLOCK]) {
        self.has_rare = true;
        for (lane, sixteen) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let text = u8x16::new(*sixteen);
            self.backslash |= place(is_backslash(text), lane);
            self.control |= place(is_control(text), lane);
            self.high |= place(text, lane);
        }
    }

    /// The same without what does not belong to the line.
    #[inline(always)]
    pub(super) fn masked(mut self, valid: u64) -> Self {
        for mask in [&mut self.space, &mut self.quote, &mut self.backslash, &mut self.control, &mut self.high] {
            *mask &= valid;
        }
        self
    }
}

/// The top bits of sixteen bytes, at the place of their lane among four.
#[inline(always)]
fn place(bytes: u8x16, lane: usize) -> u64 {
    u64::from(bytes.to_bitmask()) << (16 * lane)
}

#[inline(always)]
fn is_backslash(text: u8x16) -> u8x16 {
    text.simd_eq(u8x16::splat(b'\\'))
}

#[inline(always)]
fn is_control(text: u8x16) -> u8x16 {
    text.min(u8x16::splat(0x1f)).simd_eq(text)
}
