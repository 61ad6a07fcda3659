//! Elbow: a Logstash-compatible ingest relay for load-balancer logs.

pub mod batch;
pub mod enrich;
pub mod json;
pub mod time;
