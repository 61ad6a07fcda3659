//! From bytes to lines and values, whatever the reads they came in.

pub mod lines;
pub mod values;
