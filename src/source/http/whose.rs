//! Whose a request is: the tenant of the token in its head, or that of its connection.
//!
//! | header | token |
//! |---|---|
//! | `X-Elbow-Token` | all of it |
//! | `Authorization: Bearer …` | what follows |
//! | `Authorization: Basic …` | the password |
//! | `Authorization: ApiKey …`, as Elasticsearch's clients have it | what stands behind its id |
//! | `X-Amz-Firehose-Access-Key` | all of it |
//!
//! The first that is there counts. Requests of one connection may be those of several tenants: a proxy in front may share it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;

use super::answer::Cause;
use super::answer::Refusal;
use crate::tenant::TenantRef;
use crate::tenant::UsedUp;
use crate::tenant::Verdict;
use crate::tenant::Visit;

/// Headers that are a token.
const TOKENS: [&str; 2] = ["x-elbow-token", "x-amz-firehose-access-key"];

/// A sender that hears more may well have given up.
const RETRY_SECONDS_MAX: u64 = 60;

/// Whose a request is, if it may be taken now.
///
/// # Errors
/// When its sender may not send, or has used up what is its for now.
pub fn tenant(head: &Parts, visit: &Visit) -> Result<TenantRef, Refusal> {
    let tenant = match token(&head.headers).filter(|_| visit.tenants().has_tokens()) {
        Some(token) => visit.of_token(&token).map_err(|_| unauthorized("the token is nobody's"))?,
        None if visit.owes_proof() => {
            visit.is_unproved();
            return Err(unauthorized("only tenants may send, and the request has no token"));
        }
        None => visit.tenant(),
    };
    match tenant.verdict() {
        Verdict::Go => Ok(tenant),
        Verdict::TooMany { what, retry_after } => Err(too_many(what, retry_after.as_secs() + 1)),
    }
}

/// The refusal of a request whose tenant has used up what is its, and may come again in so many seconds.
pub fn too_many(what: UsedUp, seconds: u64) -> Refusal {
    let refusal = match what {
        UsedUp::Rate => Refusal::new(Cause::OverRate, "the tenant sends more than it may in a second"),
        UsedUp::Buffer => {
            Refusal::new(Cause::OverShare, "the tenant holds its share of the buffer, because what it sends to takes too little")
        }
    };
    Refusal { retry_after: Some(seconds.min(RETRY_SECONDS_MAX)), ..refusal }
}

fn unauthorized(detail: &str) -> Refusal {
    Refusal::new(Cause::Unauthorized, detail)
}

/// The token in a head.
fn token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let said = TOKENS.iter().find_map(|name| headers.get(*name)).map(|value| value.as_bytes().to_vec());
    said.or_else(|| authorization(headers.get(AUTHORIZATION)?.as_bytes()))
}

/// The token in a header `Authorization`; none in one of another scheme.
fn authorization(value: &[u8]) -> Option<Vec<u8>> {
    let at = value.iter().position(|&byte| byte == b' ')?;
    let (scheme, rest) = (&value[..at], value[at..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") && !scheme.eq_ignore_ascii_case(b"apikey") {
        return None;
    }
    // Both are two texts with a colon between. What is no such pair is a token that nobody has.
    let pair = STANDARD.decode(rest).unwrap_or_default();
    let colon = pair.iter().position(|&byte| byte == b':');
    Some(colon.map_or(Vec::new(), |colon| pair[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], want: Option<&str>) {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
        assert_eq!(token(&headers).map(|token| String::from_utf8(token).expect("text")).as_deref(), want, "{headers:?}");
    }

    #[test]
    fn a_token_stands_in_one_of_three_headers() {
        check(&[], None);
        check(&[("x-elbow-token", "secret")], Some("secret"));
        check(&[("x-amz-firehose-access-key", "secret")], Some("secret"));
        check(&[("authorization", "Bearer secret")], Some("secret"));
        check(&[("authorization", "bearer   secret ")], Some("secret"));
        check(&[("authorization", "Basic dXNlcjpzZWM6cmV0")], Some("sec:ret"));
        check(&[("authorization", "Basic OnNlY3JldA==")], Some("secret"));
        check(&[("authorization", "ApiKey aWQ6c2VjcmV0")], Some("secret"));
        check(&[("authorization", "Basic what")], Some(""));
        check(&[("authorization", "Basic dXNlcg==")], Some(""));
        check(&[("authorization", "AWS4-HMAC-SHA256 Credential=x")], None);
        check(&[("authorization", "Bearer")], None);
        check(&[("authorization", "Bearer other"), ("x-elbow-token", "secret")], Some("secret"));
    }
}
