//! Elbow: a Logstash-compatible ingest relay for load-balancer logs.

pub mod batch;
pub mod elb;
pub mod event_id;
pub mod framing;
pub mod intake;
pub mod json;
pub mod pipeline;
pub mod time;
