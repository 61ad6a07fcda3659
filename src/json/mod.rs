//! JSON text: writing it, and passing it through without re-encoding.

pub mod envelope;
pub mod writer;
