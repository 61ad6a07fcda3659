//! The sink for Elasticsearch and OpenSearch: `_bulk` requests, in which each document is created under its event's id.
//!
//! Delivered means that the server answered for the document: 200 or 201, or 409, because a document of that id is there already.
//! An answer counts only if it is whole and names every id in its place. Documents go out as they lie in the buffer; index and id
//! come from beside them and never from inside.

mod bulk;
mod flavour;
mod index;
mod manage;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use hyper::Method;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use memchr::memmem;

pub use crate::sink::elasticsearch::flavour::Flavour;
pub use crate::sink::elasticsearch::flavour::Server;
pub use crate::sink::elasticsearch::flavour::StrangeServer;
pub use crate::sink::elasticsearch::index::Target;
pub use crate::sink::elasticsearch::index::TargetError;
pub use crate::sink::elasticsearch::manage::Managed;
pub use crate::sink::elasticsearch::manage::Reply;

use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::dead_letters::Refusal;
use crate::sink::dispatch::Courier;
use crate::sink::dispatch::Delivery;
use crate::sink::dispatch::Failed;
use crate::sink::dispatch::Fate;
use crate::sink::elasticsearch::bulk::Bulk;
use crate::sink::http::Answer;
use crate::sink::http::Content;
use crate::sink::http::HttpClient;
use crate::sink::http::HttpPlan;
use crate::sink::http::Question;
use crate::sink::http::Stock;
use crate::sink::pace::PacePlan;
use crate::sink::parcel::Parcel;
use crate::wire::bulk_answer;

/// An Elasticsearch sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchPlan {
    /// How requests are made.
    pub http: HttpPlan,
    /// Which index documents are created in.
    pub target: Target,
    /// Whether requests are packed.
    pub gzip: bool,
    /// How large requests are and how many are under way.
    pub pace: PacePlan,
}

/// Bytes of an answer for each document asked about, beside three times those of the request, because servers quote what they refuse
/// in the reason and in its cause, and …
const ANSWER_EACH: usize = 512;

/// … these.
const ANSWER_BASE: usize = 1 << 20;

/// What of the answer is wanted: less to write, to send and to read.
const FILTER: &str = "filter_path=error,status,items.*._id,items.*.status,items.*.error.type,items.*.error.reason,\
                      items.*.error.caused_by.reason,items.*.failure_store";

/// Has errors not quote documents. Elasticsearch knows it from 8.18 on; all others refuse a request that has it as a whole.
const NO_QUOTES: &str = "include_source_on_error";

/// Takes parcels to Elasticsearch.
pub(super) struct Elasticsearch {
    client: HttpClient,
    target: Arc<Target>,
    gzip: bool,
    /// Whether the server that was greeted knows [`NO_QUOTES`], and nobody has refused that since.
    knows_no_quotes: AtomicBool,
}

impl Elasticsearch {
    pub(super) fn new(plan: ElasticsearchPlan, client: HttpClient) -> Self {
        Self { client, target: Arc::new(plan.target), gzip: plan.gzip, knows_no_quotes: AtomicBool::new(false) }
    }

    /// Asks the server to create these documents.
    async fn ask(&self, parcel: &Parcel, state: &SinkState) -> Result<Answer, SinkError> {
        let quiet = self.knows_no_quotes.load(Ordering::Relaxed);
        let mut question = Question {
            method: Method::POST,
            target: if quiet { format!("/_bulk?{FILTER}&{NO_QUOTES}=false") } else { format!("/_bulk?{FILTER}") },
            content_type: Some(HeaderValue::from_static("application/x-ndjson")),
            encoding: self.gzip.then(|| HeaderValue::from_static("gzip")),
            body: self.body(parcel).await,
            answer_max: ANSWER_BASE + ANSWER_EACH * parcel.len() + 3 * parcel.bytes(),
            may_say_more: false,
            news: quiet.then_some(NO_QUOTES),
        };
        let answer = self.client.ask(&question, state).await?;
        // One of several servers may be of an older version than the one that was greeted: that is no word on the documents.
        if quiet && answer.status == StatusCode::BAD_REQUEST && memmem::find(&answer.body, NO_QUOTES.as_bytes()).is_some() {
            self.knows_no_quotes.store(false, Ordering::Relaxed);
            (question.target, question.news) = (format!("/_bulk?{FILTER}"), None);
            return self.client.ask(&question, state).await;
        }
        Ok(answer)
    }

    /// The request's body.
    async fn body(&self, parcel: &Parcel) -> Content {
        let content = Content::new(Bulk::new(self.target.clone(), parcel.clone()));
        if self.gzip { content.packed(Stock::default()).await } else { content }
    }

    fn read(&self, parcel: &Parcel, answer: &Answer) -> Result<Delivery, SinkError> {
        if answer.status != StatusCode::OK {
            return Err(answer.refused(reason(&answer.body)));
        }
        let mut others = Vec::new();
        let marks = parcel.documents().map(|(_, mark, _)| *mark).collect::<Vec<_>>();
        let read = bulk_answer::read(&answer.body, marks.iter().map(|mark| mark.id), |position, item| {
            // A 409 of another kind than that the document is there may be anything: it is sent again.
            if matches!(item.status, 200 | 201) || item.status == 409 && item.error_type.is_none() {
                return;
            }
            let kind = bulk_answer::clean_type(&answer.conceal(item.error_type.as_deref().unwrap_or_default()));
            let reason = bulk_answer::clean_reason(&answer.conceal(item.reason.as_deref().unwrap_or_default()));
            if is_of_the_index(item.status, &kind, &reason) {
                let (peer, index) = (answer.peer.clone(), self.target.name(marks[position].time));
                others.push((position, Fate::Again(SinkError::Shut { peer, index, reason })));
                return;
            }
            if item.status == 400 {
                others.push((position, Fate::Refused(Refusal { status: item.status, kind, reason })));
                return;
            }
            let reason = if kind.is_empty() { reason } else { format!("{kind}: {reason}") };
            let error = SinkError::Answered { peer: answer.peer.clone(), status: item.status, reason, is_item: true };
            others.push((position, Fate::Again(error)));
        });
        match read {
            Ok(()) => Ok(Delivery { others }),
            Err(what) => Err(SinkError::Unreadable { peer: answer.peer.clone(), what: what.to_string() }),
        }
    }
}

impl Courier for Elasticsearch {
    /// Asks who it is: a server that is something else, or too old, would refuse every document for good.
    async fn greet(&self, state: &SinkState) -> Result<(), Failed> {
        let answer = self.client.ask(&manage::question(Method::GET, "/", Vec::new()), state).await?;
        let (sink, peer) = (state.name(), &answer.peer);
        let greeted = match answer.status {
            StatusCode::OK => match Server::read(&answer.body) {
                Ok(server) => {
                    tracing::debug!(sink, peer, %server, "found a server");
                    let knows = server.flavour == Flavour::Elasticsearch && server.is_since(8, 18);
                    self.knows_no_quotes.store(knows, Ordering::Relaxed);
                    Ok(())
                }
                Err(strange) if Server::may_do(&answer.body) => {
                    tracing::debug!(sink, peer, %strange, "found a server that may understand bulk requests");
                    Ok(())
                }
                Err(strange) => Err(SinkError::Unreadable { peer: peer.clone(), what: strange.to_string() }.into()),
            },
            // Whoever may write need not be allowed to ask, and not every service answers there.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(()),
            _ => {
                let error = answer.refused(reason(&answer.body));
                return Err(Failed { error, retry_after: answer.retry_after });
            }
        };
        self.client.judge(&answer, greeted.is_ok());
        greeted
    }

    async fn deliver(&self, parcel: &Parcel, state: &SinkState) -> Result<Delivery, Failed> {
        let answer = self.ask(parcel, state).await?;
        let delivery = self.read(parcel, &answer);
        if answer.status.is_success() {
            self.client.judge(&answer, delivery.is_ok());
        }
        delivery.map_err(|error| Failed { error, retry_after: answer.retry_after })
    }

    fn each(&self) -> usize {
        self.target.each()
    }

    /// A node counts the bytes of the documents that it works on, and refuses what would pass its limit, be it one request.
    fn weighs(&self, error: &SinkError) -> bool {
        matches!(error, SinkError::Answered { status: 429, .. })
    }

    fn name(&self) -> String {
        self.client.name()
    }
}

/// Whether a document is refused for the state its index or the cluster is in, and not for what is in it: shut for writing, closed, not
/// to be made because there are too many shards or because of its name, an alias of several without one to write to, or sent through a
/// pipeline that is not there.
fn is_of_the_index(status: u16, kind: &str, reason: &str) -> bool {
    match (status, kind) {
        (403, "cluster_block_exception") => true,
        (400, "index_closed_exception" | "validation_exception") => true,
        // The latter is said where two make it at once.
        (400, "invalid_index_name_exception" | "resource_already_exists_exception") => true,
        (400, _) => {
            let has_no_pipeline = reason.contains("pipeline with id [") && reason.contains("] does not exist");
            has_no_pipeline || reason.contains("this action would add [") || reason.contains("no write index is defined")
        }
        _ => false,
    }
}

/// Why a server says no to a whole request, where it says why.
fn reason(body: &[u8]) -> String {
    let Some(error) = bulk_answer::error_reason(body) else { return String::new() };
    [error.error_type, error.reason].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_indexs_fault_is_not_taken_for_the_documents() {
        for (status, kind, reason, is_of_it) in [
            // As OpenSearch 2.19.1 and Elasticsearch 7.17.29 say it.
            (400, "validation_exception", "Validation Failed: 1: this action would add [2] total shards, but …", true),
            (400, "illegal_argument_exception", "Validation Failed: 1: this action would add [2] shards, but …", true),
            (400, "index_closed_exception", "closed", true),
            (400, "illegal_argument_exception", "pipeline with id [geo] does not exist", true),
            (400, "invalid_index_name_exception", "Invalid index name [x], must not start with '_'", true),
            (400, "resource_already_exists_exception", "index [x/dGltZQ] already exists", true),
            (400, "illegal_argument_exception", "field [pipeline with id [x]] is not an object", false),
            (400, "illegal_argument_exception", "no write index is defined for alias [al]. …", true),
            (403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];", true),
            (400, "mapper_parsing_exception", "failed to parse field [took] of type [integer]", false),
            (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", false),
            (403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized", false),
            (429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded …", false),
        ] {
            assert_eq!(is_of_the_index(status, kind, reason), is_of_it, "{status} {kind}: {reason}");
        }
    }
}
