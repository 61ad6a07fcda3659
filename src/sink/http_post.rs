//! Sinks that post documents over HTTP: Logstash's `http` input, and whatever else takes JSON.
//!
//! Delivered means that a whole request was answered with a status from 200 to 299; what the answer's body says does not matter.
//! Documents go out as they lie in the buffer, as lines or as the elements of one array.

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use hyper::Method;
use hyper::header::HeaderValue;

use crate::sink::SinkState;
use crate::sink::dispatch::Courier;
use crate::sink::dispatch::Delivery;
use crate::sink::dispatch::Failed;
use crate::sink::http::Content;
use crate::sink::http::HttpClient;
use crate::sink::http::HttpPlan;
use crate::sink::http::Pieces;
use crate::sink::http::Question;
use crate::sink::http::Stock;
use crate::sink::pace::PacePlan;
use crate::sink::parcel::Parcel;
use crate::sink::parcel::Run;
use crate::wire::bulk_answer;

/// A sink that posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPostPlan {
    /// Whether the peer is Logstash, for names.
    pub is_logstash: bool,
    /// How requests are made.
    pub http: HttpPlan,
    /// `POST` or `PUT`.
    pub method: Method,
    /// Path and query behind each host's own path; may be empty.
    pub target: String,
    /// How documents stand in a body.
    pub format: BodyFormat,
    /// Whether bodies are packed.
    pub gzip: bool,
    /// How large requests are and how many are under way.
    pub pace: PacePlan,
    /// Documents of a request at most.
    pub events_max: usize,
}

/// How documents stand in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON array of them, `application/json`.
    Array,
    /// One a line, `application/x-ndjson`.
    Lines,
}

impl BodyFormat {
    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Array => HeaderValue::from_static("application/json"),
            Self::Lines => HeaderValue::from_static("application/x-ndjson"),
        }
    }
}

/// Bytes of an answer that are kept, for the reason of a refusal; a good one may say what it likes.
const ANSWER_MAX: usize = 64 << 10;

/// Takes parcels there.
pub(super) struct HttpPost {
    plan: HttpPostPlan,
    client: HttpClient,
}

impl HttpPost {
    pub(super) fn new(plan: HttpPostPlan, client: HttpClient) -> Self {
        Self { plan, client }
    }

    async fn body(&self, parcel: &Parcel) -> Content {
        let pieces = match self.plan.format {
            BodyFormat::Lines => parcel.runs().iter().map(|run| run.entry.batch.docs.slice(run.range())).collect(),
            BodyFormat::Array => array(parcel),
        };
        let content = Content::new(Pieces(pieces));
        if self.plan.gzip { content.packed(Stock::default()).await } else { content }
    }
}

/// The documents as elements of one array: their newlines become commas, and the last one's the bracket that ends it.
fn array(parcel: &Parcel) -> Vec<Bytes> {
    let mut pieces = vec![Bytes::from_static(b"[")];
    for run in parcel.runs() {
        let mut text = elements(run);
        if pieces.len() == parcel.runs().len() {
            text.truncate(text.len() - 1);
            text.put_u8(b']');
        }
        pieces.push(text.freeze());
    }
    pieces
}

fn elements(run: &Run) -> BytesMut {
    let (batch, range) = (&run.entry.batch, run.range());
    let mut text = BytesMut::from(&batch.docs[range.clone()]);
    for mark in run.marks() {
        text[mark.end as usize - range.start - 1] = b',';
    }
    text
}

impl Courier for HttpPost {
    async fn deliver(&self, parcel: &Parcel, state: &SinkState) -> Result<Delivery, Failed> {
        let question = Question {
            method: self.plan.method.clone(),
            target: self.plan.target.clone(),
            content_type: Some(self.plan.format.content_type()),
            encoding: self.plan.gzip.then(|| HeaderValue::from_static("gzip")),
            body: self.body(parcel).await,
            answer_max: ANSWER_MAX,
            may_say_more: true,
            news: None,
        };
        let answer = self.client.ask(&question, state).await?;
        if answer.status.is_success() {
            self.client.judge(&answer, true);
            return Ok(Delivery::default());
        }
        let reason = bulk_answer::error_reason(&answer.body).and_then(|error| error.reason).unwrap_or_default();
        Err(Failed { error: answer.refused(reason), retry_after: answer.retry_after })
    }

    fn each(&self) -> usize {
        0
    }

    fn events_max(&self) -> usize {
        self.plan.events_max
    }

    fn name(&self) -> String {
        self.client.name()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::tests::entry;

    proptest! {
        #[test]
        fn an_array_has_the_documents_in_order(entries in prop::collection::vec(1usize..5, 1..6), from in 0u32..4) {
            let mut parcel = Parcel::default();
            let mut want = Vec::new();
            for (seq, documents) in entries.iter().enumerate() {
                let text: String = (0..*documents).map(|at| format!("{{\"n\":\"{seq}.{at}\"}}\n")).collect();
                let from = from.min(*documents as u32 - 1);
                parcel.push(Run { entry: entry(seq as u64, &text), from, to: *documents as u32 });
                want.extend((from as usize..*documents).map(|at| serde_json::json!({ "n": format!("{seq}.{at}") })));
            }
            let body = array(&parcel).concat();
            prop_assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&body).unwrap(), want);
        }
    }
}
