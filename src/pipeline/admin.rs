//! The admin listener: `/metrics`, `/health` and `/ready`, for machines and for a first look.
//!
//! Fixed routes; nothing here changes anything. How they are served is in `web`.

use std::time::Duration;

use hyper::StatusCode;
use tokio::net::TcpListener;

use super::overview::Overview;
use super::web;
use super::web::Front;
use super::web::JSON;
use super::web::Page;
use super::web::TEXT;
use super::web::shown;

/// Where the admin listener listens, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPlan {
    /// `host:port` on a loopback address, IPv6 in brackets.
    pub address: String,
}

/// Connections served at once; scrapers and a person need a handful.
const CONNECTIONS_MAX: usize = 64;

/// A connection is closed after that, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const INDEX: &str = concat!(
    "Elbow ",
    env!("CARGO_PKG_VERSION"),
    "\n\n/health   whether the process serves; for load balancers\n/ready    whether it wants new work, with buffer and sinks\n/metrics  for Prometheus\n"
);

/// Serves until the task is aborted.
pub(super) async fn serve(listener: TcpListener, overview: Overview) {
    let front = Front {
        name: "the admin listener",
        connections_max: CONNECTIONS_MAX,
        connection_timeout: CONNECTION_TIMEOUT,
        keeps_alive: true,
        proxy_from: Vec::new(),
    };
    web::serve(listener, front, move |path| page(path, &overview)).await;
}

fn page(path: &str, overview: &Overview) -> Page {
    match path {
        "/" => (StatusCode::OK, TEXT, INDEX.to_owned()),
        "/health" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/ready" => {
            let (ready, document) = overview.ready();
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, JSON, shown(&document))
        }
        "/metrics" => (StatusCode::OK, METRICS, overview.metrics()),
        _ => (StatusCode::NOT_FOUND, TEXT, "not found: there are /health, /ready and /metrics\n".to_owned()),
    }
}
