//! Opening listening sockets with the options every source wants.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::Domain;
use socket2::Protocol;
use socket2::SockRef;
use socket2::Socket;
use socket2::TcpKeepalive;
use socket2::Type;
use tokio::net::TcpListener;

/// Connections the kernel keeps for us until they are accepted. Linux cuts it to `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// How long a connection is silent before the kernel asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// How far apart the kernel's questions are; with the three below a vanished peer is noticed within two minutes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Questions without an answer until the peer counts as gone.
const KEEPALIVE_RETRIES: u32 = 3;

/// How long bytes may stay unacknowledged, or the peer's window shut, before the kernel gives a connection up: as long as it
/// takes to notice a peer that has vanished while nothing was under way to it.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(105);

/// Listens on an address. With `shares_port`, other processes of this user that say so, too, may listen there at the same
/// time, and the kernel deals new connections out among them.
///
/// Accepted connections inherit their options from the listening socket, as they do on Linux. One is a linger of zero: a
/// process that is killed resets them, and a sender cannot take its end for a confirmation. Whoever closes one on purpose
/// takes the linger off before.
///
/// # Errors
/// What the kernel says: the port is taken, the address is not ours, or we may not listen there.
pub fn listen(address: SocketAddr, shares_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shares_port {
        socket.set_reuse_port(true)?;
    }
    set_options(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens on a socket that somebody else has opened. Connections that came before have other options.
///
/// # Errors
/// What the kernel says.
pub fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    set_options(&SockRef::from(&socket))?;
    TcpListener::from_std(socket)
}

fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_linger(Some(Duration::ZERO))?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_nonblocking(true)
}
