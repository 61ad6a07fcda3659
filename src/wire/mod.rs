//! What sinks speak, as machines without sockets or clocks.

pub mod json_lines;
