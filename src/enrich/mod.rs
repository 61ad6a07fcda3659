//! What is added to an event beyond what its line says.

pub mod agent;
mod cache;
pub mod fields;
pub mod geo;
pub mod members;
pub mod table;
mod table_error;
pub mod url;
