//! The pipeline: the wiring between sources, buffer and sinks.

pub mod parse;
