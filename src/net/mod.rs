//! Sockets: how they are set up and what the kernel says about them.

pub mod handed;
pub mod listen;
pub mod outq;
pub mod proxy;
pub mod sockets;
pub mod stream;
