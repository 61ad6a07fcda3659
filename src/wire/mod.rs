//! What sinks speak, and what proxies say before senders do, as machines without sockets or clocks.

pub mod json_lines;
pub mod proxy;
