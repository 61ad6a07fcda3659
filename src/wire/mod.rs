//! What peers speak, as machines without sockets or clocks.

pub mod json_lines;
pub mod lumberjack;
