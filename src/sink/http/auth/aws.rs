//! Requests to Amazon's OpenSearch, signed with Signature Version 4.
//!
//! The signature itself is in `wire`; here stands which headers it is for. Where keys come from is `role`'s.

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use hyper::header::HOST;
use hyper::header::HeaderMap;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;

use crate::batch::Micros;
use crate::sink::http::Content;
use crate::sink::http::Stock;
use crate::sink::http::auth::role::AwsSource;
use crate::wire::sigv4;
use crate::wire::sigv4::Credentials;
use crate::wire::sigv4::Request;
use crate::wire::sigv4::Scope;

/// How requests are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsPlan {
    /// Such as `eu-west-1`.
    pub region: String,
    /// What answers them.
    pub service: AwsService,
    /// Where keys come from.
    pub source: AwsSource,
}

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsService {
    /// Amazon OpenSearch Service, with a domain.
    Es,
    /// Amazon OpenSearch Serverless, with a collection.
    Aoss,
}

impl AwsService {
    /// Its name in signatures and in the configuration.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Es => "es",
            Self::Aoss => "aoss",
        }
    }
}

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Headers that are signed where they are there. What a proxy may add or change is not among them.
static SIGNED: [HeaderName; 5] = [HOST, CONTENT_TYPE, DATE, TOKEN, HASH];

/// A body is hashed at a GB/s or so: bytes above which that is not done where others wait.
const AT_ONCE: usize = 256 << 10;

/// The SHA-256 of a body.
pub(super) async fn hash(body: &Content) -> String {
    let parts = body.parts(Stock::default());
    if body.bytes() <= AT_ONCE {
        return sigv4::hex_sha256(parts);
    }
    let hashing = tokio::task::spawn_blocking(move || sigv4::hex_sha256(parts));
    hashing.await.expect("hashing does not panic")
}

/// Adds the headers that the service asks for, and gives the value of `Authorization` for them all.
pub(super) fn authorization(
    plan: &AwsPlan,
    credentials: &Credentials,
    headers: &mut HeaderMap,
    method: &Method,
    target: &str,
    hash: &str,
    now: Micros,
) -> String {
    let date = sigv4::amz_date(now);
    let value = |text: &str| HeaderValue::from_str(text).expect("a date, a hash, and a token that has been looked at");
    headers.insert(DATE, value(&date));
    headers.insert(HASH, value(hash));
    if let Some(token) = &credentials.token {
        let mut token = value(token.reveal());
        token.set_sensitive(true);
        headers.insert(TOKEN, token);
    }
    // The service sees it without the port that every client leaves out.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let bare = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(&host);
    headers.insert(HOST, HeaderValue::from_str(bare).expect("a part of what stood there"));
    let signed: Vec<(&str, &str)> =
        SIGNED.iter().filter_map(|name| Some((name.as_str(), headers.get(name)?.to_str().ok()?))).collect();
    let request = Request { method: method.as_str(), target, headers: &signed, body: hash };
    let scope = Scope { region: &plan.region, service: plan.service.label() };
    sigv4::authorization(&request, credentials, scope, &date)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::secret::Secret;
    use crate::sink::http::Pieces;

    fn plan() -> AwsPlan {
        AwsPlan { region: "eu-west-1".to_owned(), service: AwsService::Es, source: AwsSource::Keys(credentials()) }
    }

    fn credentials() -> Credentials {
        Credentials { id: "AKID".to_owned(), key: Secret::new("key"), token: Some(Secret::new("token")) }
    }

    #[tokio::test]
    async fn a_large_body_has_the_same_hash_as_a_small_one() {
        let small = Content::from(vec![7; AT_ONCE]);
        let halves = Content::new(Pieces(vec![Bytes::from(vec![7; AT_ONCE]), Bytes::from(vec![7; 1])]));
        assert_eq!(hash(&small).await, sigv4::hex_sha256([vec![7; AT_ONCE].as_slice()]));
        assert_eq!(hash(&halves).await, sigv4::hex_sha256([vec![7; AT_ONCE + 1].as_slice()]));
    }

    #[test]
    fn what_is_signed_is_what_is_sent() {
        for (host, bare) in [("a.example:443", "a.example"), ("a.example:80", "a.example"), ("a.example:9200", "a.example:9200")]
        {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            headers.insert("user-agent", HeaderValue::from_static("elbow"));
            let text = authorization(&plan(), &credentials(), &mut headers, &Method::POST, "/_bulk?a=b", "00", 0);
            assert_eq!(headers[HOST], bare);
            assert_eq!(headers["x-amz-date"], "19700101T000000Z");
            assert_eq!(headers["x-amz-content-sha256"], "00");
            assert!(headers["x-amz-security-token"].is_sensitive());
            let part = "Credential=AKID/19700101/eu-west-1/es/aws4_request, \
                        SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=";
            assert!(text.contains(part), "{text}");
        }
    }
}
