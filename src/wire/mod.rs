//! What senders, sinks and the proxies between speak, as machines without sockets or clocks.

pub mod json_lines;
pub mod lumberjack;
pub mod proxy;
