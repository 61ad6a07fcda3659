//! The last word of a peer that has hung up: it is read although nothing can be written to that peer any more.
//!
//! Whoever refuses a body may answer without reading it and close at once. Writing fails then, and the library, should it see that
//! first, gives up a connection on which the answer lies unread; the same request would be sent again and again.

use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// A stream that takes what cannot be written any more for written, until what can still be read is.
pub(super) struct LastWord<S> {
    stream: S,
    /// What writing failed with; told when there is nothing left to read.
    failed: Option<io::Error>,
    has_hung_up: Arc<AtomicBool>,
}

impl<S> LastWord<S> {
    /// A stream, and what becomes true when its peer has hung up while something was written to it.
    pub(super) fn new(stream: S) -> (Self, Arc<AtomicBool>) {
        let has_hung_up = Arc::new(AtomicBool::new(false));
        (Self { stream, failed: None, has_hung_up: has_hung_up.clone() }, has_hung_up)
    }

    /// What writing gives instead of a peer's hanging up; `bytes` were to be written.
    fn written(&mut self, result: io::Result<usize>, bytes: usize) -> io::Result<usize> {
        match result {
            Err(error) if is_hanging_up(&error) => {
                self.failed = Some(error);
                self.has_hung_up.store(true, Ordering::Relaxed);
                Ok(bytes)
            }
            result => result,
        }
    }

    fn has_hung_up(&self) -> bool {
        self.has_hung_up.load(Ordering::Relaxed)
    }
}

fn is_hanging_up(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

impl<S: AsyncRead + Unpin> AsyncRead for LastWord<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buf));
        let has_ended = result.is_err() || buf.filled().len() == before;
        match self.failed.take_if(|_| has_ended) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(result),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LastWord<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_hung_up() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if self.has_hung_up() {
            return Poll::Ready(Ok(bytes));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        Poll::Ready(self.written(result, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_hung_up() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.written(result.map(|()| 0), 0).map(|_| ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_hung_up() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A peer that says something and has hung up.
    struct HungUp(&'static [u8], ErrorKind);

    impl AsyncRead for HungUp {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buf.put_slice(std::mem::take(&mut self.0));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for HungUp {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(self.1.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(self.1.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(self.1.into()))
        }
    }

    #[tokio::test]
    async fn what_a_peer_said_before_it_hung_up_is_read_and_then_why_it_is_gone() {
        for kind in [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe] {
            let (mut stream, has_hung_up) = LastWord::new(HungUp(b"no", kind));
            assert!(!has_hung_up.load(Ordering::Relaxed));
            stream.write_all(b"a body").await.expect("it counts as written");
            stream.flush().await.expect("so it does");
            assert!(has_hung_up.load(Ordering::Relaxed));
            let mut said = Vec::new();
            let error = stream.read_to_end(&mut said).await.expect_err("the peer is gone");
            assert_eq!((&said[..], error.kind()), (&b"no"[..], kind));
            stream.shutdown().await.expect("there is nothing to shut down");
        }
    }

    #[tokio::test]
    async fn other_errors_are_told_at_once() {
        let (mut stream, has_hung_up) = LastWord::new(HungUp(b"", ErrorKind::TimedOut));
        assert_eq!(stream.write_all(b"a body").await.expect_err("it fails").kind(), ErrorKind::TimedOut);
        assert!(!has_hung_up.load(Ordering::Relaxed));
    }
}
