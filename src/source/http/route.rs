//! Which part of the source a request is for, by its head alone.

use hyper::Method;
use hyper::http::request::Parts;

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Its body is events.
    Events,
    /// Nobody: its method is for nothing here.
    NotAllowed,
}

/// Where a request goes. Events may be sent to any path.
pub fn route(head: &Parts) -> Route {
    match head.method {
        Method::POST | Method::PUT => Route::Events,
        _ => Route::NotAllowed,
    }
}
