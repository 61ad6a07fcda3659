//! A request's body: pieces that lie elsewhere, written one behind the other without being brought together.

use std::io::IoSlice;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use bytes::Buf;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A body, and how much of it is written. A clone is the same body and costs a reference count.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    pieces: Arc<[Bytes]>,
    /// The piece written next.
    piece: usize,
    /// Bytes of it that are written.
    offset: usize,
    left: usize,
    /// Becomes true when all of it is written.
    written: Arc<AtomicBool>,
}

impl Pieces {
    /// A body of these pieces.
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(Bytes::len).sum();
        Self { pieces: pieces.into(), piece: 0, offset: 0, left, written: Arc::new(AtomicBool::new(left == 0)) }
    }

    /// The same body, and what becomes true when all of that is written to a connection.
    pub(crate) fn watched(&self) -> (Self, Arc<AtomicBool>) {
        let written = Arc::new(AtomicBool::new(self.left == 0));
        (Self { written: written.clone(), ..self.clone() }, written)
    }

    /// The whole body, whatever of it is written.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &piece[..])
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(whole: Vec<u8>) -> Self {
        Self::new(vec![whole.into()])
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        // A piece may be empty, and an empty chunk says that there is nothing left.
        let mut offset = self.offset;
        for piece in &self.pieces[self.piece..] {
            if piece.len() > offset {
                return &piece[offset..];
            }
            offset = 0;
        }
        &[]
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut offset = self.offset;
        let mut filled = 0;
        for piece in &self.pieces[self.piece..] {
            if filled == slices.len() {
                break;
            }
            if piece.len() > offset {
                slices[filled] = IoSlice::new(&piece[offset..]);
                filled += 1;
            }
            offset = 0;
        }
        filled
    }

    fn advance(&mut self, mut bytes: usize) {
        assert!(bytes <= self.left, "no more is written than there is");
        self.left -= bytes;
        if self.left == 0 {
            self.written.store(true, Ordering::Relaxed);
        }
        while bytes > 0 {
            let rest = self.pieces[self.piece].len() - self.offset;
            if bytes < rest {
                self.offset += bytes;
                return;
            }
            bytes -= rest;
            self.piece += 1;
            self.offset = 0;
        }
    }
}

/// Packs a body, on a thread of its own: it takes longer than anything else on a document's way.
pub(crate) async fn pack(pieces: Vec<Bytes>) -> Pieces {
    let packing = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = pieces.iter().try_for_each(|piece| encoder.write_all(piece));
        written.and_then(|()| encoder.finish()).expect("memory takes what is written to it")
    });
    packing.await.expect("packing does not panic").into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn however_it_is_written_it_is_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9), steps in prop::collection::vec((1usize..12, any::<bool>()), 1..99)
        ) {
            let whole = pieces.concat();
            let (mut body, is_written) = Pieces::new(pieces.into_iter().map(Bytes::from).collect()).watched();
            let mut written = Vec::new();
            for (bytes, vectored) in steps {
                prop_assert_eq!(body.has_remaining(), written.len() < whole.len());
                let mut slices = [IoSlice::new(&[]); 3];
                let next = match vectored {
                    true => {
                        let filled = body.chunks_vectored(&mut slices);
                        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
                    }
                    false => body.chunk().to_vec(),
                };
                prop_assert_eq!(next.is_empty(), !body.has_remaining());
                let bytes = bytes.min(next.len());
                written.extend_from_slice(&next[..bytes]);
                body.advance(bytes);
                prop_assert_eq!(body.remaining(), whole.len() - written.len());
                prop_assert_eq!(is_written.load(Ordering::Relaxed), written.len() == whole.len());
            }
            prop_assert_eq!(&written[..], &whole[..written.len()]);
        }
    }
}
