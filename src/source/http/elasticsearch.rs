//! What senders made for Elasticsearch ask and get: who is there, its licence, and bulk requests answered item by item.
//!
//! It is no Elasticsearch. It keeps no index, searches nothing and changes nothing: to templates, policies and pipelines it says
//! that they are there, because whoever keeps the documents has them or does not, and senders start no sooner.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::Either;
use http_body_util::Full;
use hyper::Method;
use hyper::Response;
use hyper::body::Body;
use hyper::body::Frame;
use hyper::header::CONTENT_TYPE;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;

use super::answer::Cause;
use super::answer::Refusal;
use super::envelope::Envelope;
use crate::framing::bulk::Answer;
use crate::framing::bulk::Bulk;

/// The version that is spoken. Filebeat refuses a server that is older than itself unless it is told not to, and everything
/// from version 7 on takes a later one; 8.19 is the last of its major version.
const VERSION: &str = "8.19.0";

/// The last part of the path of bulk requests.
const BULK: &str = "_bulk";

/// First parts of paths that are about the store and not about documents. Requests there are answered and nothing is kept.
const MANAGEMENT: [&str; 14] = [
    "_alias",
    "_aliases",
    "_cat",
    "_cluster",
    "_component_template",
    "_data_stream",
    "_ilm",
    "_index_template",
    "_ingest",
    "_license",
    "_monitoring",
    "_nodes",
    "_template",
    "_xpack",
];

/// What is asked beside bulk requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Who is there.
    Root,
    /// Its licence.
    License,
    /// What it can do beyond the free part.
    Features,
    /// How its nodes are.
    Health,
    /// The same in a line of text.
    HealthLine,
    /// Anything else about the store that is asked for.
    Other,
    /// Something about the store that should be changed.
    Change,
}

/// Parts of a path that are not empty.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Whether this is the path of a bulk request.
pub fn is_bulk(path: &str) -> bool {
    parts(path).last() == Some(BULK)
}

/// What a request that carries no events asks; nothing where it may carry some, or is for nobody.
pub fn probe(method: &Method, path: &str) -> Option<Probe> {
    let asks = matches!(*method, Method::GET | Method::HEAD);
    let mut parts = parts(path);
    let Some(first) = parts.next() else { return asks.then_some(Probe::Root) };
    if !MANAGEMENT.contains(&first) {
        return None;
    }
    Some(match (first, parts.next()) {
        _ if !asks => Probe::Change,
        ("_license", _) | ("_xpack", Some("license")) => Probe::License,
        ("_xpack", None) => Probe::Features,
        ("_cluster", Some("health")) => Probe::Health,
        ("_cat", Some("health")) => Probe::HealthLine,
        _ => Probe::Other,
    })
}

/// The answer to a question about the store.
pub fn probed(probe: Probe) -> Response<Full<Bytes>> {
    let text = match probe {
        Probe::Root => format!(
            "{{\"name\":\"elbow\",\"cluster_name\":\"elbow\",\"cluster_uuid\":\"elbow\",\"version\":{{\"number\":\"{VERSION}\",\
             \"build_flavor\":\"default\",\"build_type\":\"elbow\",\"build_snapshot\":false,\"lucene_version\":\"9.12.0\",\
             \"minimum_wire_compatibility_version\":\"7.17.0\",\"minimum_index_compatibility_version\":\"7.0.0\"}},\
             \"tagline\":\"You Know, for Search\"}}\n"
        ),
        Probe::License => {
            "{\"license\":{\"status\":\"active\",\"uid\":\"elbow\",\"type\":\"basic\",\"issuer\":\"elbow\"}}\n".to_owned()
        }
        Probe::Features => "{\"license\":{\"uid\":\"elbow\",\"type\":\"basic\",\"mode\":\"basic\",\"status\":\"active\"},\
                            \"features\":{\"ilm\":{\"available\":false,\"enabled\":false}}}\n"
            .to_owned(),
        Probe::Health => "{\"cluster_name\":\"elbow\",\"status\":\"green\",\"timed_out\":false}\n".to_owned(),
        Probe::HealthLine => "elbow green\n".to_owned(),
        Probe::Other => "{}\n".to_owned(),
        Probe::Change => "{\"acknowledged\":true}\n".to_owned(),
    };
    let content_type = if probe == Probe::HealthLine { "text/plain" } else { "application/json" };
    signed(Response::new(Full::new(Bytes::from(text))), content_type)
}

/// Adds what clients look for before they believe that this is an Elasticsearch.
fn signed<B>(mut response: Response<B>, content_type: &'static str) -> Response<B> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    response
}

/// A bulk request with this head, whose documents may have so many bytes.
pub(super) fn bulk(head: &Parts, document_bytes_max: usize) -> Bulk {
    let index = parts(head.uri.path()).next().filter(|part| *part != BULK).unwrap_or_default();
    Bulk::new(index, document_bytes_max)
}

impl Envelope for Bulk {
    fn feed(&mut self, read: &[u8], out: &mut Vec<u8>) {
        Bulk::feed(self, read, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        Bulk::finish(self, out);
    }

    fn carried_bytes(&self) -> usize {
        Bulk::carried_bytes(self)
    }

    fn remembered_bytes(&self) -> usize {
        Bulk::remembered_bytes(self)
    }

    fn fault(&self) -> Option<Refusal> {
        let fault = Bulk::fault(self)?;
        Some(Refusal::new(Cause::BadBody, format!("line {} of the bulk request: {}", fault.line, fault.what)))
    }
}

/// The text of an answer, whole or in pieces.
pub(super) type Text = Either<Full<Bytes>, Pieces>;

/// An answer to a bulk request that is written as it is sent.
pub(super) struct Pieces {
    first: Option<Vec<u8>>,
    answer: Answer,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Self { first, answer } = self.get_mut();
        Poll::Ready(first.take().or_else(|| answer.piece()).map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}

/// Everything is stored; each action has its own answer.
pub(super) fn answered(mut answer: Answer) -> Response<Text> {
    let first = answer.piece().unwrap_or_default();
    // Most answers are small, and some senders like to know beforehand how long one is.
    let text = if answer.is_done() {
        Either::Left(Full::new(Bytes::from(first)))
    } else {
        Either::Right(Pieces { first: Some(first), answer })
    };
    signed(Response::new(text), "application/json")
}

/// A refusal as such senders read it.
pub(super) fn refused(response: Response<Full<Bytes>>, refusal: &Refusal, stored: u64) -> Response<Full<Bytes>> {
    let reason = serde_json::Value::from(refusal.detail.as_str());
    let document = refusal.document(stored);
    let rest = document.strip_prefix('{').expect("a problem is an object");
    let text = format!("{{\"error\":{{\"type\":\"{}\",\"reason\":{reason}}},{rest}", refusal.cause.label());
    signed(response.map(|_| Full::new(Bytes::from(text))), "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, path: &str, want: Option<Probe>) {
        assert_eq!(probe(&method, path), want, "{method} {path}");
    }

    #[test]
    fn questions_about_the_store_are_no_events() {
        check(Method::GET, "/", Some(Probe::Root));
        check(Method::HEAD, "/", Some(Probe::Root));
        check(Method::POST, "/", None);
        check(Method::GET, "/_license", Some(Probe::License));
        check(Method::GET, "/_xpack/license", Some(Probe::License));
        check(Method::GET, "/_xpack", Some(Probe::Features));
        check(Method::GET, "/_cluster/health", Some(Probe::Health));
        check(Method::GET, "/_cat/health", Some(Probe::HealthLine));
        check(Method::HEAD, "/_index_template/filebeat-8.19.0", Some(Probe::Other));
        check(Method::PUT, "/_ingest/pipeline/p", Some(Probe::Change));
        check(Method::GET, "/index", None);
        check(Method::POST, "/index/_doc", None);
        check(Method::PUT, "/_bulk", None);
    }

    #[test]
    fn what_is_answered_is_json_and_says_what_clients_look_for() {
        for probe in [Probe::Root, Probe::License, Probe::Features, Probe::Health, Probe::Other, Probe::Change] {
            let response = probed(probe);
            assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch");
            let mut body = std::pin::pin!(response.into_body());
            let frame = body.as_mut().poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
            let Poll::Ready(Some(Ok(frame))) = frame else { panic!("{probe:?} says nothing") };
            let text = frame.into_data().expect("a text");
            assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|value| value.is_object()), "{probe:?}");
        }
    }

    #[test]
    fn bulk_requests_may_have_an_index_and_a_type() {
        for (path, want) in [("/_bulk", true), ("/i/_bulk", true), ("/i/t/_bulk/", true), ("/bulk", false), ("/_bulk/x", false)] {
            assert_eq!(is_bulk(path), want, "{path}");
        }
    }
}
