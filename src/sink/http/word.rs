//! What an answer says of the host that gives it, by its status alone: whether another one is to be asked, and whether this one is to
//! be left out for a while.
//!
//! What it says of the documents is for whoever asked.

use hyper::Method;
use memchr::memmem;

use crate::sink::http::Answer;
use crate::sink::http::Question;

/// What an answer says of the host that gives it.
pub(super) enum Word {
    /// It does what it is for, as far as the status tells.
    Good,
    /// It, or who stands before it, cannot or must not do what another one may do.
    Elsewhere,
    /// It refuses what it was sent. Where another one takes that, something is wrong with the host.
    Refused,
    /// It has too much to do.
    Later,
    /// Something is wrong with it, or with what it was sent.
    Unwell,
}

impl Word {
    pub(super) fn of(answer: &Answer, question: &Question) -> Self {
        let is_named = |news: &str| memmem::find(&answer.body, news.as_bytes()).is_some();
        match answer.status.as_u16() {
            200..=299 => Self::Good,
            400 if question.news.is_some_and(is_named) => Self::Good,
            // What is only asked for may well not be there, or be nobody's business.
            403..=405 if question.method == Method::GET => Self::Good,
            300..=399 | 401 | 403 | 404 | 502..=504 => Self::Elsewhere,
            400 | 413 => Self::Refused,
            429 => Self::Later,
            _ => Self::Unwell,
        }
    }
}
