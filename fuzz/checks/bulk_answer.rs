//! Of any bytes as the answer to a bulk request, either nothing is told or as much as was sent, and only of what is JSON; what is
//! said of an error is short and plain.
//!
//! The first byte chooses how many documents were sent; the rest is the body. The documents' ids are their numbers.

use elbow::batch::EventId;
use elbow::wire::bulk_answer;
use elbow::wire::bulk_answer::REASON_CHARS_MAX;
use serde::de::IgnoredAny;

pub(crate) fn check(input: &[u8]) {
    let [sent, body @ ..] = input else { return };
    let sent = usize::from(*sent & 7);
    let ids = (0..sent).map(|number| EventId((number as u128).to_be_bytes()));
    let mut told = 0;
    let result = bulk_answer::read(body, ids, |position, item| {
        assert_eq!(position, told, "places are in order");
        assert!((100..=599).contains(&item.status));
        plain(item.reason.as_deref().unwrap_or_default());
        told += 1;
    });
    match result {
        Ok(()) => {
            assert_eq!(told, sent);
            assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "only JSON counts");
        }
        Err(why) => {
            assert_eq!(told, 0, "{why}");
        }
    }
    if let Some(error) = bulk_answer::error_reason(body) {
        plain(error.error_type.as_deref().unwrap_or_default());
        plain(error.reason.as_deref().unwrap_or_default());
    }
}

fn plain(reason: &str) {
    let clean = bulk_answer::clean_reason(reason);
    assert!(clean.chars().count() <= REASON_CHARS_MAX);
    assert!(!clean.contains(char::is_control));
}
