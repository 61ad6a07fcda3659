//! A request's body, made while it is sent: whatever it consists of, it goes out in parts of one size, and no more of it is ever there
//! than is about to be sent.
//!
//! Small pieces are copied together. That costs less than having the kernel collect them one by one, and the kernel finds them in
//! the core's cache.

use std::convert::Infallible;
use std::fmt;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;

use bytes::Buf;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Frame;
use hyper::body::SizeHint;

/// Bytes of a part. The library takes parts until it has 400 KiB before it writes them: those fit a core's cache.
pub(crate) const PART_BYTES: usize = 64 << 10;

/// Pieces of so many bytes are sent from where they lie.
const LARGE: usize = 16 << 10;

/// Buffers for parts that are kept: as many as a few requests have at once.
const KEPT_MAX: usize = 32;

/// What a body consists of.
pub(crate) trait Compose: Send + Sync + 'static {
    /// Bytes of the whole.
    fn bytes(&self) -> usize;

    /// Its parts from the first to the last, in buffers of the stock or wherever they lie. None of them is empty.
    fn parts(self: Arc<Self>, stock: Stock) -> Parts;
}

/// A body's parts, made one by one.
pub(crate) type Parts = Box<dyn Iterator<Item = Bytes> + Send>;

/// A body. A clone is the same one and costs a reference count.
#[derive(Clone)]
pub(crate) struct Content(Arc<dyn Compose>);

impl Content {
    /// A body that consists of this.
    pub(crate) fn new(compose: impl Compose) -> Self {
        Self(Arc::new(compose))
    }

    /// Bytes of the whole.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Its parts from the first to the last.
    pub(crate) fn parts(&self, stock: Stock) -> Parts {
        self.0.clone().parts(stock)
    }

    /// What a connection sends of it, which is all, and how many bytes of that are not written to one yet.
    pub(crate) fn sending(&self, stock: Stock) -> (Sending, Arc<AtomicUsize>) {
        let left = self.bytes();
        let unwritten = Arc::new(AtomicUsize::new(left));
        (Sending { parts: self.parts(stock), left, unwritten: unwritten.clone() }, unwritten)
    }

    /// The same packed with gzip, on a thread of its own: that takes longer than anything else on a document's way.
    pub(crate) async fn packed(self, stock: Stock) -> Self {
        let packing = tokio::task::spawn_blocking(move || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            let written = self.parts(stock).try_for_each(|part| encoder.write_all(&part));
            written.and_then(|()| encoder.finish()).expect("memory takes what is written to it")
        });
        packing.await.expect("packing does not panic").into()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it is nobody's business.
        f.debug_struct("Content").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl From<Vec<u8>> for Content {
    fn from(whole: Vec<u8>) -> Self {
        Self::new(Pieces(vec![whole.into()]))
    }
}

/// Pieces that lie elsewhere, one behind the other.
pub(crate) struct Pieces(pub(crate) Vec<Bytes>);

impl Compose for Pieces {
    fn bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn parts(self: Arc<Self>, stock: Stock) -> Parts {
        let mut next = 0;
        Box::new(std::iter::from_fn(move || {
            let pieces = &self.0[next..];
            let empty = pieces.iter().take_while(|piece| piece.is_empty()).count();
            let pieces = &pieces[empty..];
            let first = pieces.first()?;
            next += empty + 1;
            let mut bytes = first.len();
            let fits = |piece: &&Bytes| {
                bytes += piece.len();
                piece.len() < LARGE && bytes <= PART_BYTES
            };
            let others = if first.len() < LARGE { pieces[1..].iter().take_while(fits).count() } else { 0 };
            if others == 0 {
                return Some(first.clone());
            }
            next += others;
            let mut part = stock.take();
            pieces[..=others].iter().for_each(|piece| part.extend_from_slice(piece));
            Some(stock.share(part))
        }))
    }
}

/// Buffers for parts, used again and again. Clones are the same stock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stock(Arc<Mutex<Vec<Vec<u8>>>>);

impl Stock {
    /// An empty buffer with room for [`PART_BYTES`].
    pub(crate) fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(PART_BYTES))
    }

    /// A buffer as bytes, which comes back with the last reference to them.
    pub(crate) fn share(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, stock: self.clone() })
    }
}

/// A buffer that goes back.
struct Lent {
    buffer: Vec<u8>,
    stock: Stock,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // One that a large document has made grow is freed.
        if self.buffer.capacity() > PART_BYTES {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut kept = self.stock.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    }
}

/// A body on its way to one connection.
pub(crate) struct Sending {
    parts: Parts,
    /// Bytes of the parts that are not made yet.
    left: usize,
    unwritten: Arc<AtomicUsize>,
}

impl hyper::body::Body for Sending {
    type Data = Part;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Part>, Infallible>>> {
        let part = self.parts.next().map(|bytes| {
            self.left -= bytes.len();
            Ok(Frame::data(Part { bytes, unwritten: self.unwritten.clone() }))
        });
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// A part of a body that is being written.
#[derive(Debug)]
pub(crate) struct Part {
    bytes: Bytes,
    unwritten: Arc<AtomicUsize>,
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.unwritten.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Body;
    use proptest::prelude::*;

    use super::*;

    fn next(sending: &mut Sending) -> Option<Part> {
        let frame = Pin::new(sending).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
        let Poll::Ready(frame) = frame else { panic!("a part is there at once") };
        frame.map(|frame| frame.expect("it cannot fail").into_data().expect("there are no trailers"))
    }

    proptest! {
        #[test]
        fn however_it_is_written_it_is_the_whole(
            sizes in prop::collection::vec(prop_oneof![0usize..9, 1_000usize..20_000, Just(LARGE), Just(PART_BYTES + 1)], 0..20),
            steps in prop::collection::vec(1usize..50_000, 1..9)
        ) {
            let pieces: Vec<Bytes> = sizes.iter().enumerate().map(|(at, size)| vec![at as u8; *size].into()).collect();
            let whole = pieces.concat();
            let (mut sending, unwritten) = Content::new(Pieces(pieces)).sending(Stock::default());
            let mut written = Vec::new();
            let mut steps = steps.iter().cycle();
            prop_assert_eq!(sending.size_hint().exact(), Some(whole.len() as u64));
            while let Some(mut part) = next(&mut sending) {
                prop_assert!(part.has_remaining());
                while part.has_remaining() {
                    let step = (*steps.next().expect("there is one")).min(part.remaining());
                    written.extend_from_slice(&part.chunk()[..step]);
                    part.advance(step);
                    prop_assert_eq!(unwritten.load(Ordering::Relaxed), whole.len() - written.len());
                }
                prop_assert_eq!(sending.is_end_stream(), written.len() == whole.len());
            }
            prop_assert_eq!(written, whole);
        }
    }

    #[test]
    fn small_pieces_go_together_and_large_ones_from_where_they_lie() {
        let large = Bytes::from(vec![1; LARGE]);
        let pieces = [Bytes::new(), Bytes::from("a"), Bytes::from("b"), large.clone(), Bytes::new(), Bytes::from("c")];
        let parts: Vec<_> = Arc::new(Pieces(pieces.to_vec())).parts(Stock::default()).collect();
        assert_eq!(parts, [Bytes::from("ab"), large.clone(), Bytes::from("c")]);
        assert_eq!(parts[1].as_ptr(), large.as_ptr());
        let many = vec![Bytes::from(vec![0; LARGE - 1]); 9];
        let sizes: Vec<_> = Arc::new(Pieces(many)).parts(Stock::default()).map(|part| part.len()).collect();
        assert_eq!(sizes, [4 * (LARGE - 1), 4 * (LARGE - 1), LARGE - 1]);
    }

    #[test]
    fn a_buffer_comes_back_with_the_last_reference() {
        let stock = Stock::default();
        let mut buffer = stock.take();
        buffer.extend_from_slice(b"x");
        let place = buffer.as_ptr();
        let part = stock.share(buffer);
        let other = part.clone();
        drop(part);
        let another = stock.take();
        assert_ne!(another.as_ptr(), place);
        drop(other);
        let again = stock.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        drop(stock.share(vec![0; PART_BYTES + 1]));
        assert!(stock.take().capacity() <= PART_BYTES);
    }
}
