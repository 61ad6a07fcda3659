//! Why a relay could not start: what is in the way, and what to do about it.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use super::look::LookError;
use super::lookups::LookupError;
use super::tenancy::TenancyError;
use crate::buffer::recovery::OpenError;
use crate::net::tls::TlsError;

/// Why a relay could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener's host could not be resolved.
    #[error(
        "{what} cannot listen on {address}: the host is unknown: {source}; give an IP address, or a name this machine can resolve"
    )]
    Resolve {
        /// The listener.
        what: String,
        /// Its address as configured.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// A listener could not be opened.
    #[error("{what} cannot listen on {address}: {source}{}", listen_remedy(.source))]
    Listen {
        /// The listener.
        what: String,
        /// Its address as configured.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket that was handed over cannot be used.
    #[error("source {name} cannot use the socket that was handed over: {source}")]
    Adopt {
        /// The source.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket was handed over that nobody wants.
    #[error(
        "the socket {name:?}{} was handed over and no source has that name; write FileDescriptorName= with the name of a source in its unit, one socket for each",
        address.map_or(String::new(), |address| format!(" on {address}"))
    )]
    Left {
        /// Its name.
        name: String,
        /// Its address.
        address: Option<SocketAddr>,
    },
    /// The documents of a source cannot look so.
    #[error("source {name}: {source}")]
    Look {
        /// The source.
        name: String,
        /// Why.
        source: LookError,
    },
    /// A file that lines are looked up in cannot be used.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The tenants cannot be so.
    #[error(transparent)]
    Tenants(#[from] TenancyError),
    /// The TLS of a source cannot be made from its files.
    #[error("source {name}: {source}")]
    Tls {
        /// The source.
        name: String,
        /// Why.
        source: TlsError,
    },
    /// The TLS of a sink cannot be made from its files.
    #[error("sink {name}: {source}")]
    SinkTls {
        /// The sink.
        name: String,
        /// Why.
        source: TlsError,
    },
    /// The directory of the buffer or of the dead letters cannot be made.
    #[error("{path} cannot be made: {source}; create it, owned by the user who runs this, or choose another data_dir")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The buffer or the dead letters cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system gave no thread.
    #[error("the system gives no thread for the buffer's writer: {0}; raise the limit of threads (TasksMax, ulimit -u)")]
    Thread(io::Error),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(io::Error),
}

fn listen_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there: end it (`ss -ltnp` names it), or choose another address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE: choose a higher port",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: use one of its own (`ip address`), or 0.0.0.0",
        _ => "",
    }
}
