//! Which part of the source a request is for, by its head alone.

use hyper::Method;
use hyper::http::request::Parts;

use super::elasticsearch;
use super::elasticsearch::Probe;
use super::firehose;

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Its body is events.
    Events,
    /// Its body is actions and documents in turn.
    Bulk,
    /// Its body has records.
    Firehose,
    /// It asks something that senders made for Elasticsearch ask.
    Probe(Probe),
    /// Nobody: its method is for nothing here.
    NotAllowed,
}

/// Where a request goes. Events may be sent to any path but those that mean something else to Elasticsearch.
pub fn route(head: &Parts) -> Route {
    let path = head.uri.path();
    if let Some(probe) = elasticsearch::probe(&head.method, path) {
        return Route::Probe(probe);
    }
    match head.method {
        Method::POST | Method::PUT if firehose::is_firehose(head) => Route::Firehose,
        Method::POST | Method::PUT if elasticsearch::is_bulk(path) => Route::Bulk,
        Method::POST | Method::PUT => Route::Events,
        _ => Route::NotAllowed,
    }
}
