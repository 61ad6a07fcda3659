//! What comes back from a server: an answer of bounded size, or what the loss of its connection means.
//!
//! A good answer counts only if it is whole. A refusal counts as soon as its status is there: whoever refuses a body may hang up
//! before it is sent, and what is lost then is only the reason.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;

use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::ext::on_informational;
use hyper::header;
use hyper::header::HeaderMap;
use hyper::header::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::net::tls::unacceptable;
use crate::sink::SinkError;
use crate::sink::http::Question;
use crate::sink::http::auth::conceal_in;
use crate::sink::http::body::Sending;

/// What was answered.
#[derive(Debug)]
pub(in crate::sink) struct Answer {
    pub(in crate::sink) status: StatusCode,
    pub(in crate::sink) body: Bytes,
    /// How long to wait before asking again, where it says so.
    pub(in crate::sink) retry_after: Option<Duration>,
    /// Who answered, for errors and the log.
    pub(in crate::sink) peer: String,
    /// Which of the hosts that is.
    pub(super) host: usize,
    /// Headers that were sent and that nobody is to read.
    pub(super) secrets: Vec<HeaderValue>,
}

impl Answer {
    /// The answer as the error it is; `reason` is what it says of that.
    pub(in crate::sink) fn refused(&self, reason: String) -> SinkError {
        SinkError::Answered { peer: self.peer.clone(), status: self.status.as_u16(), reason, is_item: false }
    }

    /// What a good answer says of one document, without the secrets that were sent: it may repeat the request, too.
    pub(in crate::sink) fn conceal<'a>(&self, text: &'a str) -> Cow<'a, str> {
        conceal_in(text, &self.secrets)
    }
}

/// The longest a `Retry-After` is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Interim answers (1xx) to one request that are read before the answer.
pub(super) const INTERIM_MAX: usize = 1_000;

/// Bytes of a good answer that are read where it may say more than is kept: with one without end, as many as come before the
/// deadline would keep a processor busy.
pub(super) const WHOLE_MAX: usize = 64 << 20;

/// How long the reason for a refusal is waited for.
const REASON_MAX: Duration = Duration::from_secs(5);

/// Tells of the interim answers to a request when there are more than anybody can mean: reading them keeps a processor busy.
pub(super) fn watch_interim(request: &mut Request<Sending>) -> Arc<Notify> {
    let flooded = Arc::new(Notify::new());
    let (count, tells) = (AtomicUsize::new(0), flooded.clone());
    on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == INTERIM_MAX {
            tells.notify_one();
        }
    });
    flooded
}

/// Reads an answer to its end; says also whether the connection can be used again.
///
/// # Errors
/// What makes it none; `None` where it was not whole at the deadline.
pub(super) async fn read(
    response: Response<Incoming>,
    question: &Question,
    deadline: Instant,
    peer: &str,
) -> Result<(Answer, bool), Option<SinkError>> {
    let (head, mut incoming) = response.into_parts();
    let is_good = head.status.is_success();
    let deadline = if is_good { deadline } else { deadline.min(Instant::now() + REASON_MAX) };
    let good_max = if question.may_say_more { WHOLE_MAX.max(question.answer_max) } else { question.answer_max };
    let mut body = Vec::new();
    let mut good_left = good_max;
    let mut is_whole = true;
    loop {
        let frame = match timeout_at(deadline.into(), incoming.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            _ if !is_good => {
                is_whole = false;
                break;
            }
            Ok(Some(Err(error))) => return Err(Some(lost(peer, &error))),
            Err(_) => return Err(None),
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = question.answer_max - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if is_good {
            let Some(left) = good_left.checked_sub(data.len()) else {
                let what = format!("it is larger than {good_max} bytes");
                return Err(Some(SinkError::Unreadable { peer: peer.to_owned(), what }));
            };
            good_left = left;
        } else if data.len() > room {
            is_whole = false;
            break;
        }
    }
    let closes = head.headers.get_all(header::CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let retry_after = retry_after(&head.headers, Timestamp::now());
    let answer =
        Answer { status: head.status, body: body.into(), retry_after, peer: peer.to_owned(), host: 0, secrets: Vec::new() };
    Ok((answer, is_whole && !closes))
}

/// How long the server asks to be left alone: seconds, or a date, which is compared with the answer's own where it has one, so
/// that clocks may differ.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok();
    let after = text(header::RETRY_AFTER).filter(|text| !text.is_empty())?;
    if after.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(after.parse().map_or(RETRY_AFTER_MAX, |seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)));
    }
    let now = text(header::DATE).and_then(date).unwrap_or(now);
    let wait = date(after)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// What the library says of a lost connection, as what it is.
pub(super) fn lost(peer: &str, error: &hyper::Error) -> SinkError {
    let peer = peer.to_owned();
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return SinkError::PeerEnded { peer };
    }
    if error.is_parse() || error.is_user() {
        return SinkError::Unreadable { peer, what: error.to_string() };
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(source) = error.downcast_ref::<io::Error>() {
            // The error itself is the library's; what is told of it is copied.
            let copied = io::Error::new(source.kind(), source.to_string());
            return match unacceptable(source) {
                None => SinkError::Broken { peer, source: copied },
                unacceptable => SinkError::Tls { peer, unacceptable, source: copied },
            };
        }
        cause = error.source();
    }
    SinkError::Broken { peer, source: io::Error::other(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    #[track_caller]
    fn check(after: Option<&str>, date: Option<&str>, want: Option<u64>) {
        let mut headers = HeaderMap::new();
        let values: [(HeaderName, _); 2] = [(header::RETRY_AFTER, after), (header::DATE, date)];
        headers.extend(values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).unwrap()))));
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(retry_after(&headers, now), want.map(Duration::from_secs), "{headers:?}");
    }

    #[test]
    fn seconds_and_dates_say_how_long_to_wait() {
        check(None, None, None);
        check(Some(""), None, None);
        check(Some("soon"), None, None);
        check(Some("-1"), None, None);
        check(Some("1.5"), None, None);
        check(Some("0"), None, Some(0));
        check(Some(" 7 "), None, Some(7));
        check(Some("86400"), None, Some(300));
        check(Some("99999999999999999999999"), None, Some(300));
        check(Some("Mon, 23 Nov 2026 12:00:09 GMT"), None, Some(9));
        check(Some("Mon, 23 Nov 2026 11:59:00 GMT"), None, Some(0));
        check(Some("Tue, 24 Nov 2026 12:00:00 GMT"), None, Some(300));
        // Its clock is an hour behind.
        check(Some("Mon, 23 Nov 2026 11:00:30 GMT"), Some("Mon, 23 Nov 2026 11:00:00 GMT"), Some(30));
        check(Some("Mon, 23 Nov 2026 12:00:09 GMT"), Some("today"), Some(9));
        check(Some("Mon, 31 Nov 2026 12:00:09 GMT"), None, None);
    }
}
