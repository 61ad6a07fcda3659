//! A sender's connection to the relay.

use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use socket2::Domain;
use socket2::SockRef;
use socket2::Socket;
use socket2::Type;

use crate::support::PATIENCE;

/// A connection that may be held back this long: the longest story stalls for a minute.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) struct Sender {
    stream: TcpStream,
}

impl Sender {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).expect("the relay listens"))
    }

    /// A sender over a connection that is there already.
    #[track_caller]
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_write_timeout(Some(WRITE_TIMEOUT)).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_nodelay(true).expect("an option");
        Self { stream }
    }

    /// The same from this address of the machine.
    #[allow(dead_code, reason = "only tenants are told apart by their addresses")]
    #[track_caller]
    pub(crate) fn connect_from(address: SocketAddr, from: &str) -> Self {
        Self::try_connect_from(address, from).expect("the relay listens")
    }

    /// The same to a relay that may reset it at once.
    #[allow(dead_code, reason = "only tenants are told apart by their addresses")]
    pub(crate) fn try_connect_from(address: SocketAddr, from: &str) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from.parse().expect("an address"), 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Ok(Self::over(socket.into()))
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the relay reads");
    }

    /// Sends to a relay that may be gone.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Closes without looking back, as the original sender did.
    pub(crate) fn close(self) {}

    /// Says that nothing more comes and waits until the relay has closed in order.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.half_close();
        assert_eq!(self.ends().expect("a clean end"), 0, "the relay never speaks");
    }

    /// Says that nothing more comes.
    #[track_caller]
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// The same to a relay that may be gone; says whether that went well.
    pub(crate) fn try_half_close(&mut self) -> bool {
        self.stream.shutdown(Shutdown::Write).is_ok()
    }

    /// What the relay says, to be read on another thread for example.
    #[track_caller]
    pub(crate) fn reader(&self) -> BufReader<TcpStream> {
        BufReader::new(self.stream.try_clone().expect("a descriptor"))
    }

    /// Whether neither a byte nor an end has come.
    #[track_caller]
    pub(crate) fn hears_nothing(&self) -> bool {
        self.stream.set_nonblocking(true).expect("an option");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("an option");
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits for the relay's end and gives the bytes that came before it: none.
    pub(crate) fn ends(&mut self) -> io::Result<usize> {
        self.stream.read_to_end(&mut Vec::new())
    }

    /// Resets the connection.
    #[track_caller]
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }
}

/// One connection, sent to and finished.
#[track_caller]
pub(crate) fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) {
    let mut sender = Sender::connect(address);
    sender.send(bytes);
    sender.finish();
}
