//! Sockets: how they are set up, what the kernel says about them, and TLS on them.

pub mod handed;
pub mod listen;
pub mod outq;
pub mod proxy;
pub mod sockets;
pub mod stream;
pub mod tls;
