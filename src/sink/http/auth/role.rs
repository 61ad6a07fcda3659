//! The keys of a role of AWS: fetched from the machine's or the container's own endpoint, kept, and fetched again before they run out.
//!
//! While keys are good nothing waits for new ones. It asks only addresses of this machine and this task, in plain HTTP as they
//! speak it, follows no redirect, and never shows an answer: there is a secret in it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Empty;
use http_body_util::Limited;
use hyper::Method;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::AUTHORIZATION;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::secret::Secret;
use crate::sink::SinkError;
use crate::wire::sigv4::Credentials;

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsSource {
    /// From the configuration; they are good for ever.
    Keys(Credentials),
    /// From the endpoint of a container's role, as ECS and EKS give it.
    Container {
        /// `HOST:PORT`.
        address: String,
        /// Path and query.
        path: String,
        /// What the endpoint wants to see.
        token: Option<ContainerToken>,
    },
    /// From the machine's metadata (IMDSv2).
    Instance {
        /// `HOST:PORT`.
        address: String,
    },
}

/// What the endpoint of a container's role wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerToken {
    /// The token itself.
    Text(Secret),
    /// A file with it, read each time.
    File(PathBuf),
}

/// New keys are fetched when those there are are good for less than this. AWS has them ready five minutes before.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// Keys that are good for less than this are not used any more: a request takes its time, and clocks differ.
const SPARE: Duration = Duration::from_secs(30);

/// Between two tries, where nothing waits for new keys.
const PAUSE: Duration = Duration::from_secs(10);

/// How long all questions for keys may take together.
const LIMIT: Duration = Duration::from_secs(5);

/// Whoever waited for somebody else's try takes its failure for its own for so long.
const SHARED: Duration = Duration::from_secs(1);

/// Bytes of an answer; one with keys has about 2000.
const ANSWER_MAX: usize = 64 << 10;

/// Seconds that a token for the machine's metadata is good for; it is used once.
const TOKEN_SECONDS: &str = "60";

/// A role, and its keys.
#[derive(Debug)]
pub(super) struct Role {
    source: AwsSource,
    kept: Mutex<Kept>,
    /// Held by whoever fetches.
    fetching: Arc<AsyncMutex<()>>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Option<Keys>,
    failed: Option<(Instant, String)>,
}

#[derive(Clone, Debug)]
struct Keys {
    credentials: Arc<Credentials>,
    until: SystemTime,
}

impl Keys {
    /// Whether they are good for so long.
    fn last(&self, span: Duration) -> bool {
        self.until.duration_since(SystemTime::now()).is_ok_and(|left| left > span)
    }
}

impl Role {
    pub(super) fn new(source: AwsSource) -> Self {
        Self { source, kept: Mutex::default(), fetching: Arc::default() }
    }

    /// Keys that are good. Waits only where there are none.
    pub(super) async fn credentials(self: &Arc<Self>) -> Result<Arc<Credentials>, SinkError> {
        if let AwsSource::Keys(credentials) = &self.source {
            return Ok(Arc::new(credentials.clone()));
        }
        if let Some(keys) = self.good() {
            if !keys.last(EARLY) {
                self.renew();
            }
            return Ok(keys.credentials);
        }
        let _fetching = self.fetching.lock().await;
        if let Some(keys) = self.good() {
            return Ok(keys.credentials);
        }
        if let Some((at, what)) = &self.kept().failed
            && at.elapsed() < SHARED
        {
            return Err(SinkError::Credentials { what: what.clone() });
        }
        self.fetch().await.map_err(|what| SinkError::Credentials { what })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self) -> Option<Keys> {
        self.kept().keys.clone().filter(|keys| keys.last(SPARE))
    }

    /// Fetches new keys beside everything else, unless somebody does or has just failed to.
    fn renew(self: &Arc<Self>) {
        let has_failed = self.kept().failed.as_ref().is_some_and(|(at, _)| at.elapsed() < PAUSE);
        let Ok(fetching) = self.fetching.clone().try_lock_owned() else { return };
        if has_failed {
            return;
        }
        let role = self.clone();
        tokio::spawn(async move {
            if let Err(what) = role.fetch().await {
                tracing::warn!(error = what, "cannot renew the credentials of AWS; those there are are still good");
            }
            drop(fetching);
        });
    }

    async fn fetch(&self) -> Result<Arc<Credentials>, String> {
        let fetched = match timeout(LIMIT, fetch(&self.source)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("{} has not answered within {LIMIT:?}", name(&self.source))),
        };
        let mut kept = self.kept();
        match fetched {
            Ok(keys) if keys.last(SPARE) => {
                let credentials = keys.credentials.clone();
                *kept = Kept { keys: Some(keys), failed: None };
                Ok(credentials)
            }
            Ok(_) => Err(format!("those of {} have run out; see whether the clock is right", name(&self.source))),
            Err(what) => {
                kept.failed = Some((Instant::now(), what.clone()));
                Err(what)
            }
        }
    }
}

/// Who is asked, for errors.
fn name(source: &AwsSource) -> String {
    match source {
        AwsSource::Keys(_) => "the configuration".to_owned(),
        AwsSource::Container { address, .. } => format!("the container's endpoint {address}"),
        AwsSource::Instance { address } => format!("the machine's metadata at {address}"),
    }
}

async fn fetch(source: &AwsSource) -> Result<Keys, String> {
    let name = name(source);
    match source {
        AwsSource::Keys(credentials) => {
            Ok(Keys { credentials: Arc::new(credentials.clone()), until: SystemTime::now() + Duration::from_secs(365 * 86_400) })
        }
        AwsSource::Container { address, path, token } => {
            let token = match token {
                Some(ContainerToken::Text(token)) => Some(token.clone()),
                Some(ContainerToken::File(path)) => {
                    let file = path.clone();
                    let text = spawn_blocking(move || fs::read_to_string(file)).await.expect("reading does not panic");
                    Some(Secret::new(text.map_err(|error| format!("cannot read {}: {error}", path.display()))?.trim()))
                }
                None => None,
            };
            let token = token.as_ref().map(|token| (AUTHORIZATION.as_str(), token.reveal()));
            keys(&ask(&name, address, Method::GET, path, token).await?, &name)
        }
        AwsSource::Instance { address } => {
            let seconds = ("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
            let token = text(ask(&name, address, Method::PUT, "/latest/api/token", Some(seconds)).await?, &name)?;
            let token = Some(("x-aws-ec2-metadata-token", token.as_str()));
            let roles = "/latest/meta-data/iam/security-credentials/";
            let role = text(ask(&name, address, Method::GET, roles, token).await?, &name)?;
            let role = role.lines().next().unwrap_or_default().trim().to_owned();
            if role.is_empty() {
                return Err(format!("{name} has no role"));
            }
            keys(&ask(&name, address, Method::GET, &format!("{roles}{role}"), token).await?, &name)
        }
    }
}

fn text(body: Bytes, name: &str) -> Result<String, String> {
    String::from_utf8(body.into()).map_err(|_| format!("the answer of {name} is no text"))
}

/// The keys in an answer.
fn keys(body: &[u8], name: &str) -> Result<Keys, String> {
    let unread = |what: &str| format!("the answer of {name} cannot be used: {what}");
    let answer: Value = serde_json::from_slice(body).map_err(|_| unread("it is no JSON"))?;
    let member =
        |key: &str| answer[key].as_str().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
    if answer["Code"].as_str().is_some_and(|code| code != "Success") {
        return Err(unread("it says that there are none"));
    }
    let id = member("AccessKeyId").ok_or_else(|| unread("it has no AccessKeyId"))?.to_owned();
    let key = Secret::new(member("SecretAccessKey").ok_or_else(|| unread("it has no SecretAccessKey"))?);
    let token = member("Token").map(Secret::new);
    let until = member("Expiration").and_then(|text| text.parse::<Timestamp>().ok());
    let until = until.ok_or_else(|| unread("it has no Expiration"))?.into();
    Ok(Keys { credentials: Arc::new(Credentials { id, key, token }), until })
}

/// One request on a connection of its own.
async fn ask(name: &str, address: &str, method: Method, path: &str, header: Option<(&str, &str)>) -> Result<Bytes, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot ask {name}: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
        // What goes wrong is told to whoever waits for the answer.
        let _ = connection.await;
    }));
    let mut request = Request::builder().method(method).uri(path).header(HOST, address);
    if let Some((key, value)) = header {
        request = request.header(key, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{name} answers {}", status.as_u16()));
    }
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(|error| failed(&error))?;
    Ok(body.to_bytes())
}

#[cfg(test)]
mod tests;
