//! What is added to an event beyond what its line says.

pub mod fields;
pub mod members;
pub mod url;
