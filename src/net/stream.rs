//! One connection, accepted or made, plain or in TLS, read and written the same way.
//!
//! Beside what [`AsyncRead`] and [`AsyncWrite`] offer, it can be waited for without holding a buffer: a connection that is
//! silent costs none. It shakes no hands and decides about no certificate.

use std::io;
use std::io::Read;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use rustix::net::RecvFlags;
use rustix::net::recv;
use rustls::ConnectionCommon;
use rustls::SideData;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::Interest;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

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
        let room = read.initialize_unfilled();
        let whole = match &mut self.tls {
            TlsStream::Server(tls) => tls.get_mut().1.reader().read(room),
            TlsStream::Client(tls) => tls.get_mut().1.reader().read(room),
        };
        let whole = whole.unwrap_or(0);
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

/// What is called with nobody to wake.
fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Reads a socket past what the runtime knows of it.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, bytes) = recv(self.0, buffer, RecvFlags::DONTWAIT)?;
        Ok(bytes)
    }
}

/// Reads like [`Read`], but calls it nothing when there is nothing now or a signal came.
fn some(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Throws away what the other side says; `true` when it has said that it ends, and has.
fn discard<S: SideData>(tcp: &TcpStream, session: &mut ConnectionCommon<S>, bytes_max: usize) -> io::Result<bool> {
    let mut scratch = [0; 4096];
    let mut discarded = 0;
    while discarded < bytes_max {
        if session.wants_read() {
            let Some(read) = some(session.read_tls(&mut Raw(tcp)))? else { return Ok(false) };
            discarded += read;
            session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        loop {
            match some(session.reader().read(&mut scratch))? {
                // Only the kernel knows whether what it had not read made the end a break.
                Some(0) => return Ok(some(Raw(tcp).read(&mut scratch))? == Some(0)),
                Some(_) => {}
                None => break,
            }
        }
        if !session.wants_read() {
            break;
        }
    }
    Ok(false)
}

impl Stream {
    /// A connection after its handshake.
    pub fn secured(tls: impl Into<TlsStream<TcpStream>>) -> Self {
        Self::Tls(Box::new(Secured { tls: tls.into(), broken: None }))
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

    /// Throws away what the other side says, up to `bytes_max` bytes of it, as the kernel has it at this moment and not as the
    /// runtime believes; `true` when the other side has ended its half in order: over TLS it has said so before.
    ///
    /// # Errors
    /// Whatever breaks the connection; an end that TLS was not told of is one, too.
    pub fn discard(&mut self, bytes_max: usize) -> io::Result<bool> {
        match self {
            Self::Plain(tcp) => {
                let mut scratch = [0; 4096];
                let mut discarded = 0;
                while discarded < bytes_max {
                    match some(Raw(tcp).read(&mut scratch))? {
                        Some(0) => return Ok(true),
                        Some(bytes) => discarded += bytes,
                        None => break,
                    }
                }
                Ok(false)
            }
            Self::Tls(secured) => match &mut secured.tls {
                TlsStream::Client(tls) => {
                    let (tcp, session) = tls.get_mut();
                    discard(tcp, session, bytes_max)
                }
                TlsStream::Server(tls) => {
                    let (tcp, session) = tls.get_mut();
                    discard(tcp, session, bytes_max)
                }
            },
        }
    }

    /// Lets the runtime know where the kernel has nothing to read, so that waiting for it waits.
    pub fn settle_readiness(&self) {
        let tcp = self.tcp();
        let peek = || {
            let mut byte = [0];
            recv(tcp, &mut byte[..], RecvFlags::DONTWAIT | RecvFlags::PEEK).map_err(io::Error::from)
        };
        // What there is, or what is wrong, is for whoever reads.
        let _ = tcp.try_io(Interest::READABLE, peek);
    }

    /// Writes what is taken at once.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is, and whatever breaks the connection.
    pub fn try_write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write_vectored(slices),
            Self::Tls(secured) => {
                at_once(Pin::new(&mut secured.tls).poll_write_vectored(&mut Context::from_waker(Waker::noop()), slices))
            }
        }
    }

    /// Hands what TLS holds back to the kernel.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the kernel does not take all of it, and whatever breaks the connection.
    pub fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(secured) => at_once(Pin::new(&mut secured.tls).poll_flush(&mut Context::from_waker(Waker::noop()))),
        }
    }

    /// Ends the relay's half; over TLS that is said before.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the kernel does not take that now, and whatever breaks the connection.
    pub fn try_shutdown(&mut self) -> io::Result<()> {
        at_once(Pin::new(self).poll_shutdown(&mut Context::from_waker(Waker::noop())))
    }

    /// Whether there is something that was written and is held back by TLS.
    pub fn is_holding_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secured) => secured.tls.get_ref().1.wants_write(),
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
