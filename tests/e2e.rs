//! The relay as its users meet it: the real binary, real sockets, real signals.
//!
//! Each story builds, acts, and waits for a condition with a deadline. The long ones are ignored; CI runs them in release
//! mode. Nothing here looks inside the relay.

mod support;

#[path = "e2e/admin.rs"]
mod admin;
#[path = "e2e/beats.rs"]
mod beats;
#[path = "e2e/commands.rs"]
mod commands;
#[path = "e2e/confirm.rs"]
mod confirm;
#[path = "e2e/connections.rs"]
mod connections;
#[path = "e2e/crowds.rs"]
mod crowds;
#[path = "e2e/delivery.rs"]
mod delivery;
#[path = "e2e/elasticsearch.rs"]
mod elasticsearch;
#[path = "e2e/fallback.rs"]
mod fallback;
#[path = "e2e/figures.rs"]
mod figures;
#[path = "e2e/giving_up.rs"]
mod giving_up;
#[path = "e2e/handling.rs"]
mod handling;
#[path = "e2e/haproxy.rs"]
mod haproxy;
#[path = "e2e/http.rs"]
mod http;
#[path = "e2e/http_faults.rs"]
mod http_faults;
#[path = "e2e/http_limits.rs"]
mod http_limits;
#[path = "e2e/http_sink.rs"]
mod http_sink;
#[path = "e2e/letters.rs"]
mod letters;
#[path = "e2e/lines.rs"]
mod lines;
#[path = "e2e/listeners.rs"]
mod listeners;
#[path = "e2e/lumberjack_sink.rs"]
mod lumberjack_sink;
#[path = "e2e/pressure.rs"]
mod pressure;
#[path = "e2e/proxy.rs"]
mod proxy;
#[path = "e2e/rotate.rs"]
mod rotate;
#[path = "e2e/routing.rs"]
mod routing;
#[path = "e2e/search_versions.rs"]
mod search_versions;
#[path = "e2e/secrets.rs"]
mod secrets;
#[path = "e2e/senders.rs"]
mod senders;
#[path = "e2e/sinks_tls.rs"]
mod sinks_tls;
#[path = "e2e/stopping.rs"]
mod stopping;
#[path = "e2e/tenants.rs"]
mod tenants;
#[path = "e2e/tls.rs"]
mod tls;
#[path = "e2e/tls_crowds.rs"]
mod tls_crowds;
#[path = "e2e/tls_ends.rs"]
mod tls_ends;
#[path = "e2e/tls_files.rs"]
mod tls_files;
#[path = "e2e/whose.rs"]
mod whose;
