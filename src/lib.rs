//! Elbow: a Logstash-compatible ingest relay for load-balancer logs.

pub mod backoff;
pub mod batch;
pub mod buffer;
pub mod cli;
pub mod config;
pub mod elb;
pub mod enrich;
pub mod event_id;
pub mod framing;
pub mod intake;
pub mod json;
pub mod metrics;
pub mod net;
pub mod peer;
pub mod pipeline;
mod process;
pub mod redact;
pub mod seq;
pub mod sink;
pub mod source;
pub mod stop;
pub mod tally;
pub mod tenant;
pub mod time;
pub mod units;
pub mod waiting;
pub mod wire;
