//! Requests of Amazon Data Firehose, which delivers to HTTP endpoints: how they are known, what they say of their records beside
//! them, and what they are answered.
//!
//! Who may send is decided where that of other requests is; the access key is a token like others. Its protocol is that of
//! "Understand HTTP endpoint delivery request and response specifications" in the developer guide, version 1.0.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::CONTENT_TYPE;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use serde_json::Map;
use serde_json::Value;

use super::answer::Cause;
use super::answer::Refusal;
use super::envelope::Envelope;
use crate::framing::firehose::Firehose;

/// The header by which a request is known, and which its answer repeats.
const REQUEST_ID: &str = "x-amz-firehose-request-id";

/// Fields for every record of a stream, as its owner has named them.
const COMMON_ATTRIBUTES: &str = "x-amz-firehose-common-attributes";

/// Whether this is such a request.
pub fn is_firehose(head: &Parts) -> bool {
    head.headers.contains_key(REQUEST_ID)
}

/// The fields of the stream as a connection's first line would say them; nothing where there are none.
///
/// # Errors
/// When they are said in a way that cannot be understood.
pub fn preamble(head: &Parts) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(value) = head.headers.get(COMMON_ATTRIBUTES) else { return Ok(None) };
    let Ok(Value::Object(mut said)) = serde_json::from_slice(value.as_bytes()) else { return Err(bad()) };
    match said.remove("commonAttributes") {
        Some(Value::Object(fields)) if fields.is_empty() => Ok(None),
        Some(fields @ Value::Object(_)) => {
            let fields = Value::Object(Map::from_iter([("fields".to_owned(), fields)]));
            Ok(Some(Value::Object(Map::from_iter([("@elbow".to_owned(), fields)])).to_string().into_bytes()))
        }
        _ => Err(bad()),
    }
}

fn bad() -> Refusal {
    Refusal::new(Cause::BadParameter, format!("{COMMON_ATTRIBUTES} is no JSON object with an object commonAttributes"))
}

impl Envelope for Firehose {
    fn feed(&mut self, read: &[u8], out: &mut Vec<u8>) {
        Firehose::feed(self, read, out);
    }

    fn finish(&mut self, _: &mut Vec<u8>) {
        Firehose::finish(self);
    }

    fn fault(&self) -> Option<Refusal> {
        let fault = Firehose::fault(self)?;
        Some(Refusal::new(Cause::BadBody, format!("byte {} of the request: {}", fault.at, fault.what)))
    }
}

/// An answer as Firehose takes it: it believes no other one, whatever its status. The time is in milliseconds since 1970.
pub(super) fn answer(head: &Parts, now_ms: u64, response: Response<Full<Bytes>>, error: Option<&str>) -> Response<Full<Bytes>> {
    let id = head.headers.get(REQUEST_ID).map_or_else(String::new, |id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let mut members = Map::new();
    members.insert("requestId".to_owned(), id.into());
    members.insert("timestamp".to_owned(), now_ms.into());
    members.extend(error.map(|error| ("errorMessage".to_owned(), error.into())));
    let mut response = response.map(|_| Full::new(Bytes::from(Value::Object(members).to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[track_caller]
    fn check(attributes: &str, want: Result<Option<&str>, ()>) {
        let request = Request::post("/").header(COMMON_ATTRIBUTES, attributes).body(()).expect("a request");
        let said = preamble(&request.into_parts().0).map(|said| said.map(|said| String::from_utf8(said).expect("text")));
        assert_eq!(said.map_err(drop), want.map(|text| text.map(str::to_owned)), "{attributes}");
    }

    #[test]
    fn common_attributes_are_fields() {
        check(r#"{"commonAttributes":{"Environment":"ci"}}"#, Ok(Some(r#"{"@elbow":{"fields":{"Environment":"ci"}}}"#)));
        check(r#"{"commonAttributes":{}}"#, Ok(None));
        check(r#"{"commonAttributes":[]}"#, Err(()));
        check("{}", Err(()));
        check("no JSON", Err(()));
    }
}
