//! What senders, sinks and the proxies between speak, as machines without sockets or clocks.

pub mod bulk_answer;
pub mod json_lines;
pub mod lumberjack;
pub mod proxy;
pub mod sigv4;
