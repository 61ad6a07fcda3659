//! One accepted connection, plain or in TLS, read and written the same way.
//!
//! Beside what [`AsyncRead`] and [`AsyncWrite`] offer, it can be waited for without holding a buffer: a connection that is
//! silent costs none. It shakes no hands and decides about no certificate.

use std::io;
use std::io::Read;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// As it comes.
    Plain(TcpStream),
    /// After the handshake.
    Tls(Box<Secured>),
}

/// A connection in TLS.
#[derive(Debug)]
pub struct Secured {
    tls: TlsStream<TcpStream>,
    /// What broke it, found behind bytes that were read at the same time. Nothing else would wake whoever waits for it.
    broken: Option<io::Error>,
}

impl Secured {
    /// Reads what there is, and what breaks the connection only after what came whole before it.
    fn poll_read(&mut self, context: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_none() {
            match Pin::new(&mut self.tls).poll_read(context, read) {
                Poll::Ready(Err(error)) => self.broken = Some(error),
                other => return other,
            }
        }
        // Where there is nothing, it says so by an error of its own.
        let whole = self.tls.get_mut().1.reader().read(read.initialize_unfilled()).unwrap_or(0);
        read.advance(whole);
        match self.broken.take_if(|_| whole == 0) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Reads until nothing is left, without waking anybody: whoever waits polls readiness next.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = ReadBuf::new(buffer);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let before = read.filled().len();
            match self.poll_read(&mut context, &mut read) {
                Poll::Ready(Ok(())) if read.filled().len() == before || read.remaining() == 0 => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if before == 0 => return Err(error),
                Poll::Ready(Err(error)) => {
                    self.broken = Some(error);
                    break;
                }
                Poll::Pending if before == 0 => return Err(io::ErrorKind::WouldBlock.into()),
                Poll::Pending => break,
            }
        }
        Ok(read.filled().len())
    }
}

impl Stream {
    /// A connection after its handshake.
    pub fn secured(tls: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(Secured { tls, broken: None }))
    }

    /// The connection below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secured) => secured.tls.get_ref().0,
        }
    }

    /// Ready when reading may give something, if only an error; whoever polls is woken.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Tls(secured) = self
            && (secured.broken.is_some() || !secured.tls.get_ref().1.wants_read())
        {
            // There are decrypted bytes, or the sender has said that there will be none, or what it says makes no sense.
            return Poll::Ready(());
        }
        self.tcp().poll_read_ready(context).map(drop)
    }

    /// Reads what there is; 0 says that the sender has ended its half in order.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is nothing now, and whatever breaks the connection; an end that
    /// TLS was not told of is one, too.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read(buffer),
            Self::Tls(secured) => secured.try_read(buffer),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(secured) => secured.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(secured) => Pin::new(&mut secured.tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(secured) => Pin::new(&mut secured.tls).poll_flush(context),
        }
    }

    /// Ends the relay's half; over TLS that is said before.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(secured) => Pin::new(&mut secured.tls).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Tls(secured) => Pin::new(&mut secured.tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(secured) => secured.tls.is_write_vectored(),
        }
    }
}
