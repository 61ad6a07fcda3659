//! Elbow: a Logstash-compatible ingest relay for load-balancer logs.

pub mod batch;
pub mod json;
pub mod time;
pub mod units;

pub mod buffer;

pub mod sink;
pub mod source;

pub mod admin;
pub mod pipeline;

pub mod cli;
pub mod config;
