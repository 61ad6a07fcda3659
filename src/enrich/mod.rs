//! What is added to an event beyond what its line says.

pub mod fields;
