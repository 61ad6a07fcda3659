//! Opening outgoing TCP connections with the options every sink wants.
//!
//! It refuses to resolve names, to retry and to wait longer than its caller does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

/// How long a connection is silent before the kernel asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// How far apart the kernel's questions are.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Questions without an answer until the peer counts as gone, where no user timeout decides that.
#[cfg(not(any(target_os = "windows", target_os = "openbsd")))]
const KEEPALIVE_RETRIES: u32 = 3;

/// Options of an outgoing connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// How long bytes may stay unacknowledged, or the peer's window shut, before the kernel gives the connection up.
    pub user_timeout: Duration,
}

/// Connects: no delay, keepalive, user timeout. Abandoning it closes the socket.
///
/// # Errors
/// What the kernel says.
pub async fn connect(address: SocketAddr, options: ConnectOptions) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    let raw = SockRef::from(&socket);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    #[cfg(not(any(target_os = "windows", target_os = "openbsd")))]
    let keepalive = keepalive.with_retries(KEEPALIVE_RETRIES);
    raw.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    raw.set_tcp_user_timeout(Some(options.user_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = options;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_has_its_options() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let options = ConnectOptions { user_timeout: Duration::from_secs(300) };
        let stream = connect(listener.local_addr().expect("bound"), options).await.expect("a listener");
        let raw = SockRef::from(&stream);
        assert!(stream.nodelay().expect("an option"));
        assert!(raw.keepalive().expect("an option"));
        #[cfg(target_os = "linux")]
        assert_eq!(raw.tcp_user_timeout().expect("an option"), Some(Duration::from_secs(300)));
    }
}
