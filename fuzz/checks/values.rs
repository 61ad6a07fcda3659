//! Any stream falls into the same values however it was cut into reads, loses nothing but white space and what stands between
//! elements, and holds no more than its limit.
//!
//! The first byte chooses the limit, the second the size of the reads; the rest is the stream.

use elbow::framing::values::Kind;
use elbow::framing::values::Piece;
use elbow::framing::values::Values;
use serde::de::IgnoredAny;

pub(crate) fn check(input: &[u8]) {
    let [limit, size, stream @ ..] = input else { return };
    let limit = 8 * (usize::from(*limit) + 1);
    let (whole, is_whole) = pieces(stream.chunks(stream.len().max(1)), limit);
    let (cut, is_cut) = pieces(stream.chunks(usize::from(*size) + 1), limit);
    assert_eq!((&whole, is_whole), (&cut, is_cut));
    let kept = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().filter(|byte| !b" \t\r\n\x0b\x0c,[]".contains(byte)).collect() };
    if is_whole {
        let all: Vec<u8> = whole.iter().flat_map(|(text, _)| text).copied().collect();
        assert_eq!(kept(&all), kept(stream));
    }
    for (text, piece) in &whole {
        assert!(text.len() <= limit + 1);
        let is_json = serde_json::from_slice::<IgnoredAny>(text).is_ok();
        if is_json && piece.kind == Kind::Value {
            assert!(text.starts_with(b"{") && text.ends_with(b"}"));
        }
    }
}

/// The pieces of a stream, and whether they are all there is.
fn pieces<'s>(reads: impl Iterator<Item = &'s [u8]>, limit: usize) -> (Vec<(Vec<u8>, Piece)>, bool) {
    let mut values = Values::new(limit).refusing();
    let mut seen = Vec::new();
    let mut each = |chunk: &[u8], start: usize, end: usize, piece| seen.push((chunk[start..end].to_vec(), piece));
    let mut refused = false;
    for read in reads {
        refused = values.feed(read, &mut each).refused;
        assert!(values.held_bytes() <= 2 * (limit + 1) + read.len());
    }
    assert_eq!(values.finish(true, &mut each), 0);
    (seen, !refused)
}
