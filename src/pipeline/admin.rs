//! The admin listener: `/metrics`, `/health` and `/ready`, for machines and for a first look.
//!
//! Fixed routes, GET and HEAD alone, bounded connections and headers; nothing here changes anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::ALLOW;
use hyper::header::CONTENT_TYPE;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::overview::Overview;

/// Where the admin listener listens, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPlan {
    /// `host:port` on a loopback address, IPv6 in brackets.
    pub address: String,
}

/// Connections served at once; scrapers and a person need a handful.
const CONNECTIONS_MAX: usize = 64;

/// A request's head must be there by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection is closed after that, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// Largest head of a request, in bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const INDEX: &str = concat!(
    "Elbow ",
    env!("CARGO_PKG_VERSION"),
    "\n\n/health   whether the process serves; for load balancers\n/ready    whether it wants new work, with buffer and sinks\n/metrics  for Prometheus\n"
);

/// Serves until the task is aborted.
pub(super) async fn serve(listener: TcpListener, overview: Overview) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the places are never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A reset would cut off the last answer; there is nothing here that a sender could take for a confirmation.
        let _ = socket2::SockRef::from(&stream).set_linger(None);
        let overview = overview.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, &overview);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
            // What a scraper does wrong is its own affair; the connection ends either way.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, http.serve_connection(TokioIo::new(stream), service)).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, overview: &Overview) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are served here\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => response(StatusCode::OK, TEXT, INDEX.to_owned()),
        "/health" => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/ready" => {
            let (ready, document) = overview.ready();
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response(status, JSON, format!("{document:#}\n"))
        }
        "/metrics" => response(StatusCode::OK, METRICS, overview.metrics()),
        _ => response(StatusCode::NOT_FOUND, TEXT, "not found: there are /health, /ready and /metrics\n".to_owned()),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
