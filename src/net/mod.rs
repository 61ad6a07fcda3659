//! Sockets: how they are set up and what the kernel says about them.

pub mod listen;
pub mod outq;
pub mod sockets;
pub mod stream;
