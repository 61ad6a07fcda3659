//! What a request says of its lines, in headers or in query parameters, in the words of a connection's preamble.
//!
//! | header | parameter | preamble |
//! |---|---|---|
//! | `X-Elbow-Fields` | `fields` | `fields` |
//! | `X-Elbow-Object` | `object` | `object` |
//! | `X-Elbow-ETag` | `etag` | `etag` |
//! | `X-Elbow-Line` | `line` | `line` |
//!
//! A header counts more than a parameter. It refuses what cannot be understood, because here there is somebody to be told;
//! what a preamble may hold is decided where those are read.

use hyper::http::request::Parts;
use serde_json::Map;
use serde_json::Value;

use super::answer::Cause;
use super::answer::Refusal;

/// Headers and parameters, by the member of a preamble they stand for.
const NAMES: [(&str, &str); 4] =
    [("fields", "x-elbow-fields"), ("object", "x-elbow-object"), ("etag", "x-elbow-etag"), ("line", "x-elbow-line")];

/// The preamble a request's head amounts to; none where it says nothing.
///
/// # Errors
/// When something is said that cannot be understood, or twice.
pub fn preamble(head: &Parts) -> Result<Option<Vec<u8>>, Refusal> {
    let mut members = Map::new();
    for (member, header) in NAMES {
        let mut values = head.headers.get_all(header).iter();
        let (text, by) = match (values.next(), values.next()) {
            (Some(_), Some(_)) => return Err(bad(header, "is there twice")),
            (Some(value), None) => {
                let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad(header, "is no UTF-8"))?;
                (text.to_owned(), header)
            }
            (None, _) => match parameter(head.uri.query().unwrap_or_default(), member)? {
                Some(text) => (text, member),
                None => continue,
            },
        };
        let value = match member {
            "fields" => serde_json::from_str::<Map<String, Value>>(&text)
                .map(Value::Object)
                .map_err(|error| bad(by, &format!("is no JSON object ({error})")))?,
            "line" => text.parse::<u64>().map(Value::from).map_err(|_| bad(by, "is no number of a line"))?,
            "object" if !is_object(&text) => return Err(bad(by, "is neither s3://BUCKET/KEY nor the ARN of an object")),
            "etag" if !members.contains_key("object") => return Err(bad(by, "is the version of no object: name that, too")),
            _ => Value::String(text),
        };
        members.insert(member.to_owned(), value);
    }
    if members.is_empty() {
        return Ok(None);
    }
    let preamble = Value::Object(Map::from_iter([("@elbow".to_owned(), Value::Object(members))]));
    Ok(Some(preamble.to_string().into_bytes()))
}

/// Whether a text looks like the name of an object in S3. A sender that has it wrong would otherwise get other ids than it thinks.
fn is_object(text: &str) -> bool {
    let name = text.strip_prefix("s3://").or_else(|| Some(text.strip_prefix("arn:")?.split_once(":s3:::")?.1));
    let parts = name.and_then(|name| name.split_once('/'));
    parts.is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
}

fn bad(name: &str, what: &str) -> Refusal {
    Refusal::new(Cause::BadParameter, format!("{name} {what}"))
}

/// The value of a query parameter. Others are nobody's business here.
fn parameter(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != name {
            continue;
        }
        if found.is_some() {
            return Err(bad(name, "is there twice"));
        }
        found = Some(decoded(value).ok_or_else(|| bad(name, "is no percent-encoded UTF-8"))?);
    }
    Ok(found)
}

/// A percent-encoded text, in which a plus sign is a space as forms have it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                bytes.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
                rest = behind;
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn of(uri: &str, headers: &[(&str, &str)]) -> Result<Option<String>, String> {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let text = |bytes| String::from_utf8(bytes).expect("text");
        preamble(&head).map(|preamble| preamble.map(text)).map_err(|refusal| refusal.detail)
    }

    #[track_caller]
    fn check(uri: &str, headers: &[(&str, &str)], want: Result<Option<&str>, &str>) {
        assert_eq!(of(uri, headers), want.map(|text| text.map(str::to_owned)).map_err(str::to_owned), "{uri} {headers:?}");
    }

    #[test]
    fn headers_and_parameters_are_a_preamble() {
        check("/any?x=1", &[("x-other", "1")], Ok(None));
        let all = [("X-Elbow-Object", "s3://b/k"), ("X-Elbow-ETag", "\"e\""), ("X-Elbow-Line", "7")];
        let want = r#"{"@elbow":{"etag":"\"e\"","line":7,"object":"s3://b/k"}}"#;
        check("/", &all, Ok(Some(want)));
        check("/?object=s3%3A%2F%2Fb/k&etag=%22e%22&line=7", &[], Ok(Some(want)));
        check("/?object=other&line=8", &all, Ok(Some(want)));
        let fields = r#"{"@elbow":{"fields":{"Environment":"a b"}}}"#;
        check("/", &[("x-elbow-fields", r#"{"Environment":"a b"}"#)], Ok(Some(fields)));
        check("/?fields=%7B%22Environment%22:%22a+b%22%7D", &[], Ok(Some(fields)));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        check("/", &[("x-elbow-line", "+5x")], Err("x-elbow-line is no number of a line"));
        check("/", &[("x-elbow-line", "1"), ("x-elbow-line", "1")], Err("x-elbow-line is there twice"));
        check("/?line=1&line=2", &[], Err("line is there twice"));
        check("/?object=%4", &[], Err("object is no percent-encoded UTF-8"));
        check("/?object=%ff", &[], Err("object is no percent-encoded UTF-8"));
        check("/?object=%+5", &[], Err("object is no percent-encoded UTF-8"));
        let none = "is neither s3://BUCKET/KEY nor the ARN of an object";
        for wrong in ["b/k", "s3://b", "s3:///k", "s3://b/", "https://b/k", "arn:aws:s3:::b", "arn:aws:sqs:::b/k"] {
            check("/", &[("x-elbow-object", wrong)], Err(&format!("x-elbow-object {none}")));
        }
        assert!(of("/", &[("x-elbow-object", "arn:aws-cn:s3:::b/k/l")]).is_ok());
        check("/?etag=e", &[], Err("etag is the version of no object: name that, too"));
        let refused = of("/", &[("x-elbow-fields", "[1]")]).expect_err("no object");
        assert!(refused.starts_with("x-elbow-fields is no JSON object"), "{refused}");
    }
}
