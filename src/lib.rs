//! Elbow: a Logstash-compatible ingest relay for load-balancer logs.

pub mod batch;
pub mod buffer;
pub mod json;
pub mod time;
