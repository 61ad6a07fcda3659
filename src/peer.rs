//! Who is at the other end of a connection, as far as that can be believed.
//!
//! It holds what the kernel, a proxy that is trusted, and a verified certificate say. What a sender says of itself in its
//! data has no place here.

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The sender's address: the connection's own, or what a trusted proxy says it is.
    pub address: SocketAddr,
    /// The VPC endpoint the connection came through, such as `vpce-08d2bf15fac5001c9`, where a trusted proxy names one.
    pub endpoint: Option<Box<str>>,
    /// Names in the certificate that the sender has proved to hold: its common name and its DNS, e-mail and URI names.
    pub certificate_names: Vec<Box<str>>,
}

impl Peer {
    /// A sender of which nothing but its address is known.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, endpoint: None, certificate_names: Vec::new() }
    }
}
