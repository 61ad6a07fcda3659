//! From bytes to lines and values, whatever the reads they came in.

pub mod bulk;
pub mod firehose;
pub mod lines;
pub mod values;
