//! The health listener: `/health` and `/ready` for load balancers, which need no token and learn nothing else.
//!
//! It may be reached from other machines, so it says of `/ready` only yes or no; why not is for the admin listener.

use std::time::Duration;

use hyper::StatusCode;
use ipnet::IpNet;
use tokio::net::TcpListener;

use super::overview::Overview;
use super::web;
use super::web::Front;
use super::web::Page;
use super::web::TEXT;

/// Where the health listener listens, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPlan {
    /// `host:port`, IPv6 in brackets.
    pub address: String,
    /// Networks of proxies whose connections may begin with a PROXY header.
    pub proxy_from: Vec<IpNet>,
}

/// Connections served at once: a load balancer has some nodes in each zone, which ask every few seconds.
const CONNECTIONS_MAX: usize = 256;

/// A connection is closed after that. A health check takes milliseconds, and load balancers give up within seconds.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until the task is aborted.
pub(super) async fn serve(listener: TcpListener, plan: HealthPlan, overview: Overview) {
    let front = Front {
        name: "the health listener",
        connections_max: CONNECTIONS_MAX,
        connection_timeout: CONNECTION_TIMEOUT,
        keeps_alive: false,
        proxy_from: plan.proxy_from,
    };
    web::serve(listener, front, move |path| page(path, &overview)).await;
}

fn page(path: &str, overview: &Overview) -> Page {
    match path {
        "/health" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/ready" if overview.is_ready() => (StatusCode::OK, TEXT, "ready\n".to_owned()),
        "/ready" => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, TEXT, "not found: there are /health and /ready\n".to_owned()),
    }
}
