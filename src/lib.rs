//! Elbow: a Logstash-compatible ingest relay for load-balancer logs.

pub mod batch;
pub mod elb;
pub mod event_id;
pub mod json;
pub mod time;
