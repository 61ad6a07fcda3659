//! Listening sockets that whoever started the process has opened for it, as systemd does for a unit with a socket.
//!
//! They outlive the process, so connections that come while it is restarted wait in the kernel. It opens nothing itself.
//! The protocol is that of [`sd_listen_fds(3)`][man].
//!
//! [man]: https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html

use std::env;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;

use listenfd::ListenFd;

/// Sockets that were handed over and nobody has taken yet.
#[derive(Debug, Default)]
pub struct Handed {
    sockets: Vec<(String, TcpListener)>,
}

/// A socket that was handed over is none that connections come from.
#[derive(Debug, thiserror::Error)]
#[error(
    "the socket {name:?} that was handed over is no listening TCP socket: {source}; its unit needs ListenStream= with an address, and no Accept="
)]
pub struct HandedError {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub source: io::Error,
}

impl Handed {
    /// Takes the sockets that the environment tells of, and what it tells of them out of it.
    ///
    /// To be called once, while the process has one thread.
    ///
    /// # Errors
    /// When one of them is no listening TCP socket.
    pub fn take() -> Result<Self, HandedError> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut all = ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..all.len() {
            let name = names.next().unwrap_or_default().to_owned();
            match all.take_tcp_listener(at).and_then(|socket| is_listening(socket.expect("each is taken once"))) {
                Ok(socket) => sockets.push((name, socket)),
                Err(source) => return Err(HandedError { name, source }),
            }
        }
        Ok(Self { sockets })
    }

    /// Takes the socket of this name. `is_only` says that nobody else wants one: then a single socket may have any name.
    pub fn socket(&mut self, name: &str, is_only: bool) -> Option<TcpListener> {
        let at = self.sockets.iter().position(|(own, _)| own == name);
        let at = at.or((is_only && self.sockets.len() == 1).then_some(0))?;
        Some(self.sockets.remove(at).1)
    }

    /// Name and address of a socket that nobody has taken.
    pub fn left(&self) -> Option<(&str, Option<SocketAddr>)> {
        self.sockets.first().map(|(name, socket)| (name.as_str(), socket.local_addr().ok()))
    }
}

fn is_listening(socket: TcpListener) -> io::Result<TcpListener> {
    socket.local_addr()?;
    #[cfg(target_os = "linux")]
    if !socket2::SockRef::from(&socket).is_listener()? {
        return Err(io::Error::other("it is a connection"));
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(names: &[&str]) -> Handed {
        let socket = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        Handed { sockets: names.iter().map(|&name| (name.to_owned(), socket())).collect() }
    }

    #[test]
    fn sockets_are_taken_by_name() {
        let mut two = handed(&["b", "a"]);
        assert!(two.socket("c", true).is_none());
        assert!(two.socket("a", false).is_some());
        assert!(two.socket("a", false).is_none());
        assert_eq!(two.left().map(|(name, _)| name), Some("b"));
        assert!(two.socket("b", false).is_some());
        assert!(two.left().is_none());
    }

    #[test]
    fn a_single_socket_is_its_only_source_s_whatever_its_name() {
        assert!(handed(&["elbow.socket"]).socket("in", true).is_some());
        assert!(handed(&["elbow.socket"]).socket("in", false).is_none());
        assert!(handed(&["elbow.socket", "elbow.socket"]).socket("in", true).is_none());
    }
}
