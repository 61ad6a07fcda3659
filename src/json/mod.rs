//! JSON text: writing it, and passing it through without re-encoding.

pub mod writer;
