//! From a host to a connection, in TLS where the plan says so.
//!
//! Each host and each of its addresses is tried once; when to try again is for the caller to say. Where TLS is asked for, nothing
//! is ever sent without it.

use std::io;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::net::sockets;
use crate::net::sockets::ConnectOptions;
use crate::net::stream::Stream;
use crate::net::tls::ClientTls;
use crate::net::tls::ClientTlsPlan;
use crate::sink::SinkError;

/// How connections are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialPlan {
    /// Longest time to resolve a name, and to connect to each of its addresses.
    pub connect_timeout: Duration,
    /// How long the peer may acknowledge nothing or keep its window shut before the connection is given up.
    pub user_timeout: Duration,
    /// TLS; `None`: connections are plain.
    pub tls: Option<ClientTlsPlan>,
}

/// Makes them. Clones share the TLS.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    connect_timeout: Duration,
    options: ConnectOptions,
    tls: Option<Arc<ClientTls>>,
}

impl Dialer {
    /// Makes connections as `plan` says, in `tls`, which was loaded from it.
    ///
    /// # Panics
    /// When only one of them has TLS.
    pub(super) fn new(plan: &DialPlan, tls: Option<Arc<ClientTls>>) -> Self {
        assert_eq!(plan.tls.is_some(), tls.is_some(), "TLS is loaded exactly where it is planned");
        let options = ConnectOptions { user_timeout: plan.user_timeout };
        Self { connect_timeout: plan.connect_timeout, options, tls }
    }

    /// Resolves the name in `host` (`HOST:PORT`) anew and connects to the first of its addresses that answers, and in TLS shows
    /// who it is. Gives the connection and, for errors and the log, host and address. Abandoning it closes the connection.
    ///
    /// # Errors
    /// The gravest of what the addresses led to, of those alike the last.
    pub(super) async fn connect(&self, host: &str) -> Result<(Stream, String), SinkError> {
        let resolved = timeout(self.connect_timeout, lookup_host(host)).await.map_err(|_| self.late(host))?;
        let addresses = resolved.map_err(|source| SinkError::Resolve { host: host.to_owned(), source })?;
        let mut gravest = None;
        for address in addresses {
            let peer = if host == address.to_string() { host.to_owned() } else { format!("{host} ({address})") };
            let connected = match timeout(self.connect_timeout, sockets::connect(address, self.options)).await {
                Ok(Ok(stream)) => match &self.tls {
                    None => Ok(Stream::Plain(stream)),
                    Some(tls) => match tls.handshake(name(host), stream).await {
                        Ok(stream) => Ok(Stream::secured(stream)),
                        Err(failed) => Err(SinkError::tls(&peer, failed.unacceptable, failed.source)),
                    },
                },
                Ok(Err(source)) => Err(SinkError::Connect { peer: peer.clone(), source }),
                Err(_) => Err(self.late(&peer)),
            };
            match connected {
                Ok(stream) => return Ok((stream, peer)),
                Err(error) => gravest = Some(graver(gravest, error)),
            }
        }
        Err(gravest.unwrap_or_else(|| {
            let source = io::Error::new(ErrorKind::NotFound, "the name has no address");
            SinkError::Resolve { host: host.to_owned(), source }
        }))
    }

    /// Connects to the first of several hosts that answers, from `host` on, and leaves `host` at it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), of all hosts.
    pub(super) async fn connect_any(&self, hosts: &[String], host: &mut usize) -> Result<(Stream, String), SinkError> {
        let mut gravest = None;
        for tried in 1.. {
            let error = match self.connect(&hosts[*host]).await {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            tracing::debug!(error = error.words(), "a host cannot be reached");
            gravest = Some(graver(gravest, error));
            if tried >= hosts.len() {
                break;
            }
            *host = (*host + 1) % hosts.len();
        }
        Err(gravest.expect("at least one host was tried"))
    }

    fn late(&self, peer: &str) -> SinkError {
        SinkError::ConnectTimeout { peer: peer.to_owned(), after: self.connect_timeout }
    }
}

/// Of two failures the one that asks for more, of those alike the later.
fn graver(before: Option<SinkError>, error: SinkError) -> SinkError {
    match before {
        Some(before) if before.verdict() > error.verdict() => before,
        _ => error,
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests;
