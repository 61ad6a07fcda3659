//! JSON text: writing it, and passing it through without re-encoding.

pub mod escape;
pub mod scan;
pub mod splice;
pub mod writer;
