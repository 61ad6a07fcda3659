//! Sockets: how they are set up and what the kernel says about them.

pub mod outq;
pub mod sockets;
