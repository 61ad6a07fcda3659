//! Elbow: a Logstash-compatible ingest relay for load-balancer logs.

pub mod backoff;
pub mod batch;
pub mod json;
pub mod seq;
pub mod time;
pub mod wire;

pub mod buffer;

pub mod stop;

pub mod net;
pub mod sink;
