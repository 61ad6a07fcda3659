//! What a request's body is: lines, or JSON over as many lines as it likes. The content type decides where it says so, and the
//! content itself otherwise.

use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;

use crate::source::Framing;

/// Types whose bodies are lines, whatever they begin with: a line of such a text may well begin with a bracket.
const LINES: [&[u8]; 6] = [
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/x-jsonlines",
    b"application/jsonlines",
    b"text/plain",
];

/// What cuts the body of a request with this head.
pub fn framing(head: &Parts) -> Framing {
    let Some(value) = head.headers.get(CONTENT_TYPE) else { return Framing::ByContent };
    // What stands behind the semicolon is a character set, which here is UTF-8 or repaired.
    let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if LINES.iter().any(|lines| kind.eq_ignore_ascii_case(lines)) { Framing::Lines } else { Framing::ByContent }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[track_caller]
    fn check(content_type: &str, want: Framing) {
        let (head, ()) = Request::post("/").header(CONTENT_TYPE, content_type).body(()).expect("a request").into_parts();
        assert_eq!(framing(&head), want, "{content_type}");
    }

    #[test]
    fn a_type_of_lines_is_lines_and_any_other_says_nothing() {
        check("application/x-ndjson", Framing::Lines);
        check(" Text/Plain ; charset=utf-8", Framing::Lines);
        check("application/json", Framing::ByContent);
        check("application/x-www-form-urlencoded", Framing::ByContent);
        check("text/plainer", Framing::ByContent);
        let (head, ()) = Request::post("/").body(()).expect("a request").into_parts();
        assert_eq!(framing(&head), Framing::ByContent);
    }
}
