//! The wiring: what happens to a line between a source and a sink.

pub mod feed;
pub mod parse;
pub mod pool;
mod preamble;
mod text;
