//! Small HTTP listeners for machines: a bounded number of connections, small heads, no bodies, and a deadline for everything.
//!
//! What a page says is its caller's. Whatever that is, no page changes anything: GET and HEAD alone are served, no browser
//! is told that another site may read an answer, and none may take one for a page with scripts.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::ALLOW;
use hyper::header::CACHE_CONTROL;
use hyper::header::CONTENT_SECURITY_POLICY;
use hyper::header::CONTENT_TYPE;
use hyper::header::HOST;
use hyper::header::HeaderValue;
use hyper::header::ORIGIN;
use hyper::header::X_CONTENT_TYPE_OPTIONS;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;
use serde_json::Value;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::net::proxy::ProxyPlan;
use crate::net::proxy::begins_with_header;
use crate::net::proxy::take_header;
use crate::wire::proxy::Versions;

/// What a listener allows.
#[derive(Clone, Debug)]
pub(super) struct Front {
    /// What it is called in the log.
    pub(super) name: &'static str,
    /// Connections served at once.
    pub(super) connections_max: usize,
    /// A connection is closed after that, whatever it does.
    pub(super) connection_timeout: Duration,
    /// Whether a connection may ask more than once.
    pub(super) keeps_alive: bool,
    /// Networks of proxies whose connections may begin with a PROXY header.
    pub(super) proxy_from: Vec<IpNet>,
}

/// An answer: status, type of its content, and content.
pub(super) type Page = (StatusCode, &'static str, String);

/// A request's head, and a PROXY header before it, must be there by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request, in bytes; hyper's smallest bound.
const HEADER_BYTES_MAX: usize = 8 * 1024;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// Serves pages by their path until the task is aborted.
pub(super) async fn serve<P>(listener: TcpListener, front: Front, page: P)
where
    P: Fn(&str) -> Page + Clone + Send + 'static,
{
    let places = Arc::new(Semaphore::new(front.connections_max));
    let trusted =
        (!front.proxy_from.is_empty()).then(|| Arc::new(ProxyPlan { versions: Versions::Any, from: front.proxy_from.clone() }));
    loop {
        let place = places.clone().acquire_owned().await.expect("the places are never closed");
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "{} could not accept a connection", front.name);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A reset would cut off the last answer; there is nothing here that a sender could take for a confirmation.
        let _ = SockRef::from(&stream).set_linger(None);
        let proxy = trusted.clone().filter(|proxy| proxy.trusts(from.ip()));
        let (page, keeps_alive) = (page.clone(), front.keeps_alive);
        let connection = async move {
            if proxy.is_some() && !passes_header(&stream).await {
                return;
            }
            let service = service_fn(move |request| {
                let response = answer(&request, &page);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
            http.keep_alive(keeps_alive);
            // What a peer does wrong is its own affair; the connection ends either way.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        };
        let limit = front.connection_timeout;
        tokio::spawn(async move {
            let _ = timeout(limit, connection).await;
            drop(place);
        });
    }
}

/// Takes a PROXY header where there is one; `false`: the connection is not to be served. Whose it is makes no difference here.
async fn passes_header(stream: &TcpStream) -> bool {
    match timeout(HEADER_TIMEOUT, begins_with_header(stream)).await {
        Ok(Ok(true)) => take_header(stream, Versions::Any, sleep(HEADER_TIMEOUT)).await.is_ok(),
        Ok(Ok(false)) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}

fn answer(request: &Request<Incoming>, page: &impl Fn(&str) -> Page) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let what = "only GET and HEAD are served here\n".to_owned();
        let mut response = response((StatusCode::METHOD_NOT_ALLOWED, TEXT, what));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if is_of_another_site(request.headers()) {
        return response((StatusCode::FORBIDDEN, TEXT, "not for pages of other sites\n".to_owned()));
    }
    response(page(request.uri().path()))
}

/// Whether a browser asks on behalf of a page that came from elsewhere.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    headers.get_all(ORIGIN).iter().any(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
        authority.is_none() || authority != host
    })
}

fn response((status, content_type, body): Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A document as text for people, in which nothing can begin an element of HTML: what peers say may stand in it.
pub(super) fn shown(document: &Value) -> String {
    // Outside strings JSON has no such signs, and inside they may be written so.
    format!("{document:#}\n").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_shown_is_the_same_and_holds_no_element() {
        let document = json!({"error": "<script>alert(1)</script>", "<b>": ["\u{1b}[31m", "a\nb"]});
        let text = shown(&document);
        assert!(!text.contains(['<', '>', '\u{1b}']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("it is JSON"), document);
    }

    #[test]
    fn pages_of_other_sites_are_told_apart() {
        for (host, origin, expected) in [
            (Some("127.0.0.1:9600"), None, false),
            (Some("127.0.0.1:9600"), Some("http://127.0.0.1:9600"), false),
            (Some("127.0.0.1:9600"), Some("http://localhost:9600"), true),
            (Some("127.0.0.1:9600"), Some("https://evil.example"), true),
            (Some("127.0.0.1:9600"), Some("null"), true),
            (Some("127.0.0.1:9600"), Some(""), true),
            (None, Some("http://127.0.0.1:9600"), true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(HOST, host), (ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_of_another_site(&headers), expected, "{origin:?} at {host:?}");
        }
    }
}
