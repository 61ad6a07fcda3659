//! JSON text: writing it, and passing it through without re-encoding.

pub mod cursor;
pub mod cut;
pub mod envelope;
pub mod escape;
pub mod reject;
pub mod scan;
pub mod splice;
pub mod writer;
