//! From bytes to lines, whatever the reads they came in.

pub mod lines;
