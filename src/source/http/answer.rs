//! What senders are told: how many events are stored, or why not, as RFC 9457 has it.
//!
//! Every status there is stands in [`Cause`]. It decides nothing and waits for nothing.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::StatusCode;
use hyper::header::ALLOW;
use hyper::header::CONNECTION;
use hyper::header::CONTENT_TYPE;
use hyper::header::HeaderValue;
use hyper::header::RETRY_AFTER;
use hyper::header::WWW_AUTHENTICATE;
use serde_json::Map;
use serde_json::Value;

use super::whose;
use crate::source::request::Counts;
use crate::source::request::Trouble;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The bytes of the request can be read in two ways, or in none.
    BadFraming,
    /// A header or query parameter of ours says nothing that can be understood.
    BadParameter,
    /// The body's coding is damaged, or stops in the middle.
    BadCoding,
    /// The body is not what its protocol has there.
    BadBody,
    /// The body came to an end before it was complete.
    Truncated,
    /// Its sender may not send, or has not said who it is.
    Unauthorized,
    /// Only some methods are for anything here.
    MethodNotAllowed,
    /// The head did not come in time.
    HeadTimeout,
    /// The body came too slowly.
    BodyTimeout,
    /// The body is too large as it came.
    BodyTooLarge,
    /// The body is too large once unpacked.
    UnpackedTooLarge,
    /// A line or element of it is too large.
    LineTooLong,
    /// Nobody here knows how it is packed.
    UnsupportedCoding,
    /// The buffer is full.
    BufferFull,
    /// All memory is taken.
    MemoryFull,
    /// The tenant sends more than it may in a second.
    OverRate,
    /// The tenant holds its share of the buffer.
    OverShare,
    /// The head is too large.
    HeadTooLarge,
    /// The relay stops.
    Stopping,
    /// The buffer has failed.
    NotStored,
    /// Storing takes longer than was promised: nobody knows.
    NotInTime,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::BadFraming,
        Self::BadParameter,
        Self::BadCoding,
        Self::BadBody,
        Self::Truncated,
        Self::Unauthorized,
        Self::MethodNotAllowed,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::UnpackedTooLarge,
        Self::LineTooLong,
        Self::UnsupportedCoding,
        Self::BufferFull,
        Self::MemoryFull,
        Self::OverRate,
        Self::OverShare,
        Self::HeadTooLarge,
        Self::Stopping,
        Self::NotStored,
        Self::NotInTime,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::BadFraming => "bad_framing",
            Self::BadParameter => "bad_parameter",
            Self::BadCoding => "bad_coding",
            Self::BadBody => "bad_body",
            Self::Truncated => "truncated",
            Self::Unauthorized => "unauthorized",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::UnpackedTooLarge => "unpacked_too_large",
            Self::LineTooLong => "line_too_long",
            Self::UnsupportedCoding => "unsupported_coding",
            Self::BufferFull => "buffer_full",
            Self::MemoryFull => "memory_full",
            Self::OverRate => "over_rate",
            Self::OverShare => "over_share",
            Self::HeadTooLarge => "head_too_large",
            Self::Stopping => "stopping",
            Self::NotStored => "not_stored",
            Self::NotInTime => "not_in_time",
        }
    }

    /// The status it is answered with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadFraming | Self::BadParameter | Self::BadCoding | Self::BadBody | Self::Truncated => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge | Self::UnpackedTooLarge | Self::LineTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BufferFull | Self::MemoryFull | Self::OverRate | Self::OverShare => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Stopping | Self::NotStored | Self::NotInTime => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the same request may well be taken later.
    pub const fn is_passing(self) -> bool {
        matches!(self.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// Why a request is refused, with what helps its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// The same in a sentence.
    pub detail: String,
    /// The limit that it is over, in bytes or seconds.
    pub limit: Option<u64>,
    /// When it is worth trying again, in seconds, where that is known.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal without a limit.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), limit: None, retry_after: None }
    }

    /// The same over this limit.
    #[must_use]
    pub fn over(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// What is wrong on the way into the buffer. `line_bytes_max` is the limit on lines.
    pub fn of(trouble: Trouble, line_bytes_max: u64) -> Self {
        match trouble {
            Trouble::NoMemory => Self::new(Cause::MemoryFull, "the memory for events on their way is taken"),
            Trouble::NoRoom => Self::new(Cause::BufferFull, "the buffer is full, because what it sends to takes too little"),
            Trouble::OverLimit { what, seconds } => whose::too_many(what, seconds),
            Trouble::Stopping => Self::new(Cause::Stopping, "the relay is being stopped"),
            Trouble::LineTooLong => Self::new(
                Cause::LineTooLong,
                "a line or element is longer than this source takes; long_lines = \"cut\" has it taken up to there",
            )
            .over(line_bytes_max),
            Trouble::NotStored => Self::new(Cause::NotStored, "the buffer cannot store anything"),
            Trouble::NotInTime => {
                Self::new(Cause::NotInTime, "the events were not stored in time; they may be later, so send them again")
            }
        }
    }

    /// What the sender is told: of its events, at least `stored` are stored. With `retry_after`, in seconds, it is asked to come
    /// again then.
    pub fn answer(&self, stored: u64, retry_after: Option<u64>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.document(stored))));
        *response.status_mut() = self.cause.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.cause == Cause::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.cause == Cause::MethodNotAllowed {
            headers.insert(ALLOW, HeaderValue::from_static("POST, PUT"));
        }
        response
    }

    /// The problem as JSON.
    pub fn document(&self, stored: u64) -> String {
        let status = self.cause.status();
        let mut members = Map::new();
        members.insert("title".to_owned(), status.canonical_reason().unwrap_or_default().into());
        members.insert("status".to_owned(), status.as_u16().into());
        members.insert("cause".to_owned(), self.cause.label().into());
        members.insert("detail".to_owned(), self.detail.clone().into());
        if let Some(limit) = self.limit {
            members.insert("limit".to_owned(), limit.into());
        }
        members.insert("stored".to_owned(), stored.into());
        format!("{}\n", Value::Object(members))
    }
}

/// Everything is stored.
pub fn accepted(counts: Counts, durability: &str) -> Response<Full<Bytes>> {
    let Counts { accepted, rejected } = counts;
    let body = format!("{{\"accepted\":{accepted},\"rejected\":{rejected},\"durability\":\"{durability}\"}}\n");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The same answer as the last one of its connection.
pub fn last<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
