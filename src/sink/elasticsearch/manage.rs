//! Asking a server about itself, one question after the other, for commands that prepare it for a sink.
//!
//! It goes the sink's own way: its hosts, credentials and times. What is asked, and what an answer means, is the command's.

use hyper::Method;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde_json::Value;

use crate::net::tls::TlsError;
use crate::sink::ElasticsearchPlan;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::connect::Dialer;
use crate::sink::elasticsearch::Server;
use crate::sink::elasticsearch::reason;
use crate::sink::http::Content;
use crate::sink::http::HttpClient;
use crate::sink::http::Question;
use crate::wire::bulk_answer;

/// The server of a sink.
#[derive(Debug)]
pub struct Managed {
    client: HttpClient,
    state: SinkState,
}

/// What it answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// The body; null where it is no JSON.
    pub body: Value,
    /// What it says of an error, without what may be a document; empty where it says nothing.
    pub reason: String,
    /// Who answered.
    pub peer: String,
}

/// Bytes of an answer that are read. A template of ours has 40 KiB.
const ANSWER_MAX: usize = 8 << 20;

impl Managed {
    /// The server of a sink; connects only when it is asked something.
    ///
    /// # Errors
    /// Which file of its TLS is no use, and why.
    pub fn new(plan: &ElasticsearchPlan) -> Result<Self, TlsError> {
        let tls = plan.http.load_tls()?;
        let client = HttpClient::new(plan.http.clone(), Dialer::new(&plan.http.dial, tls));
        Ok(Self { client, state: SinkState::new("setup") })
    }

    /// Its hosts.
    pub fn name(&self) -> String {
        self.client.name()
    }

    /// Asks for what is at a path, which begins with a slash.
    ///
    /// # Errors
    /// When there is no answer. An answer that says no is one.
    pub async fn get(&self, path: &str) -> Result<Reply, SinkError> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    /// Puts something at a path.
    ///
    /// # Errors
    /// As with [`get`](Self::get).
    pub async fn put(&self, path: &str, body: &Value) -> Result<Reply, SinkError> {
        self.ask(Method::PUT, path, body.to_string().into_bytes()).await
    }

    /// Which server it is.
    ///
    /// # Errors
    /// When there is no answer, when it says no, and when it is none that the sink can talk to.
    pub async fn server(&self) -> Result<Server, SinkError> {
        let answer = self.client.ask(&question(Method::GET, "/", Vec::new()), &self.state).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.refused(reason(&answer.body)));
        }
        Server::read(&answer.body).map_err(|strange| SinkError::Unreadable { peer: answer.peer, what: strange.to_string() })
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Reply, SinkError> {
        let answer = self.client.ask(&question(method, path, body), &self.state).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let mut reason = reason(&answer.body);
        if let Some(cause) = innermost(&body["error"]) {
            reason = format!("{reason}: {}", bulk_answer::clean_reason(cause));
        }
        Ok(Reply { status: answer.status.as_u16(), body, reason, peer: answer.peer })
    }
}

impl Reply {
    /// The reply as the error it is.
    pub fn into_error(self) -> SinkError {
        SinkError::Answered { peer: self.peer, status: self.status, reason: self.reason, is_item: false }
    }
}

/// What the last cause of an error says, which is often the only one that helps.
fn innermost(error: &Value) -> Option<&str> {
    let mut cause = error.get("caused_by")?;
    while let Some(deeper) = cause.get("caused_by") {
        cause = deeper;
    }
    cause["reason"].as_str()
}

pub(super) fn question(method: Method, path: &str, body: Vec<u8>) -> Question {
    Question {
        method,
        target: path.to_owned(),
        content_type: (!body.is_empty()).then(|| HeaderValue::from_static("application/json")),
        encoding: None,
        body: Content::from(body),
        answer_max: ANSWER_MAX,
        may_say_more: false,
        news: None,
    }
}
