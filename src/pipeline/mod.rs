//! The wiring: what happens to a line between a source and a sink, and who starts and stops it.

pub mod admin;
pub mod certificates;
pub mod feed;
mod feeds;
mod framer;
pub mod handling;
pub mod health;
pub mod ids;
pub mod letters;
pub mod look;
pub mod lookups;
mod object;
pub mod overview;
pub mod parse;
pub mod plan;
pub mod pool;
mod preamble;
mod pressure;
pub mod relay;
pub mod reload;
mod sender;
pub mod start_error;
mod storage;
mod tenancy;
mod text;
mod web;
