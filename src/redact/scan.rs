//! The one pass every text gets: where a secret could be, by single bytes and pairs that are rare.
//!
//! A hint is no more than that. This file knows nothing of names or shapes, and bytes behind a text may give hints.

use wide::u8x16;

/// Bytes whose hints are found at a time.
pub(super) const BLOCK: usize = 64;

/// One bit, lowest first, for each of the first 64 bytes that is `=` or `@`, or with the byte behind it `3D` or `3d`, `yJ` or `IA`:
/// signs of equality, plain or percent-encoded, user information, and the middles of `eyJ` and `AKIA`.
#[inline(always)]
pub(super) fn hints(bytes: &[u8; BLOCK + 1]) -> u64 {
    let here = bytes[..BLOCK].as_chunks::<16>().0;
    let behind = bytes[1..].as_chunks::<16>().0;
    let mut hints = 0;
    for (lane, (here, behind)) in here.iter().zip(behind).enumerate() {
        let (here, behind) = (u8x16::new(*here), u8x16::new(*behind));
        let is = |byte: u8| here.simd_eq(u8x16::splat(byte));
        let then = |byte: u8| behind.simd_eq(u8x16::splat(byte));
        let d = (behind | u8x16::splat(0x20)).simd_eq(u8x16::splat(b'd'));
        let hint = is(b'=') | is(b'@') | (is(b'3') & d) | (is(b'y') & then(b'J')) | (is(b'I') & then(b'A'));
        hints |= u64::from(hint.to_bitmask()) << (16 * lane);
    }
    hints
}

/// The hints of what is left of the chunk at `at`; zeros stand behind it.
#[inline(always)]
pub(super) fn last_hints(chunk: &[u8], at: usize) -> u64 {
    match chunk.get(at..at.wrapping_add(BLOCK + 1)) {
        Some(bytes) => hints(bytes.try_into().expect("the range is one block and a byte long")),
        None => {
            let mut bytes = [0; BLOCK + 1];
            let there = &chunk[at..];
            bytes[..there.len()].copy_from_slice(there);
            hints(&bytes)
        }
    }
}
