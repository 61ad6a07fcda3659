//! The client's side of HTTP/1.1 for sinks: several hosts, connections kept, one answer with a bound for each request.
//!
//! It goes to the next host where one cannot be reached, and sends again only what a kept connection had lost before anything came
//! back; all else is for whoever asked. Redirects are not followed. It never logs a body.

mod answer;
mod auth;
mod body;
mod last_word;
mod word;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use hyper::Method;
use hyper::Request;
use hyper::StatusCode;
use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper::header;
use hyper::header::HeaderMap;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;

pub(super) use crate::sink::http::answer::Answer;
pub use crate::sink::http::auth::Auth;
pub use crate::sink::http::auth::AwsPlan;
pub use crate::sink::http::auth::AwsService;
pub use crate::sink::http::auth::AwsSource;
pub use crate::sink::http::auth::ContainerToken;
pub(super) use crate::sink::http::body::Compose;
pub(super) use crate::sink::http::body::Content;
pub(super) use crate::sink::http::body::PART_BYTES;
pub(super) use crate::sink::http::body::Parts;
pub(super) use crate::sink::http::body::Pieces;
pub(super) use crate::sink::http::body::Stock;

use crate::backoff::Backoff;
use crate::net::tls::ClientTls;
use crate::net::tls::TlsError;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::connect::DialPlan;
use crate::sink::connect::Dialer;
use crate::sink::http::answer::lost;
use crate::sink::http::answer::read;
use crate::sink::http::answer::watch_interim;
use crate::sink::http::auth::Signer;
use crate::sink::http::auth::conceal;
use crate::sink::http::body::Sending;
use crate::sink::http::last_word::LastWord;
use crate::sink::http::word::Word;

/// How requests are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPlan {
    /// Where to; at least one. All are used in turn, and those that cannot be reached or do not answer are left out for a while.
    pub hosts: Vec<HttpHost>,
    /// How connections come about.
    pub dial: DialPlan,
    /// From the moment a connection is there to the last byte of the answer.
    pub request_timeout: Duration,
    /// Who the relay says it is.
    pub auth: Auth,
    /// Further headers, each sent with every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHost {
    /// `HOST:PORT`.
    pub address: String,
    /// What comes before every path: empty, or a path without a slash at its end; where there are no others, a whole path with
    /// its query.
    pub prefix: String,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    /// Path and query, behind the host's prefix.
    pub(super) target: String,
    pub(super) content_type: Option<HeaderValue>,
    /// `gzip`, or nothing.
    pub(super) encoding: Option<HeaderValue>,
    pub(super) body: Content,
    /// Bytes of an answer's body that are kept.
    pub(super) answer_max: usize,
    /// Whether a good answer may have more than that, which is read and forgotten up to a bound; otherwise it is none.
    pub(super) may_say_more: bool,
    /// What not every host may know of it. A refusal that names that is about the question: no other host is asked then.
    pub(super) news: Option<&'static str>,
}

impl HttpPlan {
    /// Loads its TLS, where it has one. Blocks as long as the disk does.
    ///
    /// # Errors
    /// Which file is no use, and why.
    pub(super) fn load_tls(&self) -> Result<Option<Arc<ClientTls>>, TlsError> {
        let tls = self.dial.tls.as_ref().map(|tls| ClientTls::load(tls, ALPN));
        Ok(tls.transpose()?.map(Arc::new))
    }
}

/// What is spoken over TLS.
pub(super) const ALPN: &[&[u8]] = &[b"http/1.1"];

/// A connection that waits for the next request after this long is not used again: load balancers close them after a minute.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// How long a connection may take to be done with the request before, which it has an answer to.
const READY_MAX: Duration = Duration::from_secs(1);

/// The client's side of HTTP to one destination.
#[derive(Debug)]
pub(super) struct HttpClient {
    plan: HttpPlan,
    signer: Signer,
    dialer: Dialer,
    hosts: Vec<Host>,
    turn: AtomicUsize,
    stock: Stock,
}

#[derive(Debug)]
struct Host {
    plan: HttpHost,
    idle: Mutex<Vec<Connection>>,
    /// Not before then, where it could not be reached or did not answer.
    down: Mutex<(Backoff, Option<Instant>)>,
}

/// An open connection and the task that drives it.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Sending>,
    peer: String,
    used: Instant,
    /// Whether the peer was gone before all was written to it.
    has_hung_up: Arc<AtomicBool>,
    _driver: AbortOnDropHandle<()>,
}

impl HttpClient {
    /// A client without connections.
    pub(super) fn new(plan: HttpPlan, dialer: Dialer) -> Self {
        assert!(!plan.hosts.is_empty(), "a plan names at least one host");
        let host = |plan: &HttpHost| Host { plan: plan.clone(), idle: Mutex::default(), down: Mutex::default() };
        let hosts = plan.hosts.iter().map(host).collect();
        let signer = Signer::new(&plan.auth);
        Self { plan, signer, dialer, hosts, turn: AtomicUsize::new(0), stock: Stock::default() }
    }

    /// The hosts, for the log.
    pub(super) fn name(&self) -> String {
        self.plan.hosts.iter().map(|host| host.address.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Asks one host after the other until one can be reached that neither sends it elsewhere nor refuses it, and gives its answer,
    /// whatever that says; where there is none, the first refusal, or else the first answer.
    ///
    /// Whether a good answer can be believed has to be said to [`judge`](Self::judge). Abandoning it closes the connection.
    pub(super) async fn ask(&self, question: &Question, state: &SinkState) -> Result<Answer, SinkError> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let order = (0..self.hosts.len()).map(|step| (first + step) % self.hosts.len());
        // Those that are down are asked all the same where all are.
        let (up, down): (Vec<_>, Vec<_>) = order.partition(|host| self.hosts[*host].is_up(now));
        let others_up = up.len().saturating_sub(1);
        let (mut last, mut elsewhere, mut refused) = (None, None, None::<Answer>);
        for (number, index) in up.into_iter().chain(down).enumerate() {
            let is_answered = elsewhere.is_some() || refused.is_some();
            if is_answered && number > others_up {
                break;
            }
            let host = &self.hosts[index];
            let mut answer = match self.ask_known(host, question, state).await {
                Ok(answer) => answer,
                Err((error, reached)) => {
                    host.note(false, None);
                    if reached && !is_answered {
                        return Err(error);
                    }
                    if let Some(before) = last.replace(error) {
                        tracing::debug!(error = before.words(), "tried the next host");
                    }
                    continue;
                }
            };
            answer.host = index;
            let retry_after = answer.retry_after;
            if number < others_up {
                // It is for this host that it asks to wait.
                answer.retry_after = None;
            }
            match Word::of(&answer, question) {
                Word::Good => {
                    if let Some(refused) = refused {
                        // It refuses what others take.
                        let host = &self.hosts[refused.host];
                        host.note(false, None);
                        state.failed_in_part(&refused.refused(String::new()), host.failed_before());
                    }
                    return Ok(answer);
                }
                Word::Elsewhere => {
                    host.note(false, retry_after);
                    if number < others_up {
                        state.failed_in_part(&answer.refused(String::new()), host.failed_before());
                    }
                    elsewhere.get_or_insert(answer);
                }
                Word::Refused => _ = refused.get_or_insert(answer),
                Word::Later => {
                    // What one refuses and the other has no time for is not asked of both for ever.
                    host.note(refused.is_none(), retry_after);
                    return Ok(answer);
                }
                Word::Unwell => {
                    host.note(false, retry_after);
                    return Ok(answer);
                }
            }
        }
        refused.or(elsewhere).ok_or_else(|| last.expect("there is at least one host"))
    }

    /// Is told whether a good answer can be believed: a host whose answers cannot is left out for a while.
    pub(super) fn judge(&self, answer: &Answer, is_believed: bool) {
        self.hosts[answer.host].note(is_believed, None);
    }

    /// Asks one host, and once more where the secret it does not take is another one meanwhile.
    async fn ask_known(&self, host: &Host, question: &Question, state: &SinkState) -> Result<Answer, (SinkError, bool)> {
        let said = self.signer.secret();
        let asked = self.ask_host(host, question, state).await;
        let is_stranger = matches!(&asked, Ok(answer) if answer.status == StatusCode::UNAUTHORIZED);
        if is_stranger && self.signer.renew(said.as_ref(), state.name()).await {
            return self.ask_host(host, question, state).await;
        }
        asked
    }

    /// Asks one host; an error says whether it could be reached.
    async fn ask_host(&self, host: &Host, question: &Question, state: &SinkState) -> Result<Answer, (SinkError, bool)> {
        while let Some(mut connection) = host.take() {
            // One whose peer has answered before it had read all never is.
            let Ok(Ok(())) = timeout(READY_MAX, connection.sender.ready()).await else { continue };
            match self.exchange(host, connection, question).await {
                // It was closed before it knew of the request, or on its way: ids make it safe to send that again.
                Err(Lost { error: SinkError::Broken { .. } | SinkError::PeerEnded { .. }, answered: false }) => break,
                Err(lost) => return Err((lost.error, true)),
                Ok(answer) => return Ok(answer),
            }
        }
        let connection = self.connect(host).await.map_err(|error| (error, false))?;
        state.connected();
        self.exchange(host, connection, question).await.map_err(|lost| (lost.error, true))
    }

    async fn connect(&self, host: &Host) -> Result<Connection, SinkError> {
        let (stream, peer) = self.dialer.connect(&host.plan.address).await?;
        let (stream, has_hung_up) = LastWord::new(stream);
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| lost(&peer, &error))?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            // What goes wrong is told to whoever waits for an answer.
            let _ = connection.await;
        }));
        Ok(Connection { sender, peer, used: Instant::now(), has_hung_up, _driver: driver })
    }

    async fn exchange(&self, host: &Host, mut connection: Connection, question: &Question) -> Result<Answer, Lost> {
        let peer = connection.peer.clone();
        let deadline = Instant::now() + self.plan.request_timeout;
        let late = || SinkError::Late { peer: peer.clone(), after: self.plan.request_timeout };
        let (body, unwritten) = question.body.sending(self.stock.clone());
        let mut request = self.request(host, question, body).await.map_err(|error| Lost { error, answered: true })?;
        let secrets: Vec<HeaderValue> = request.headers().values().filter(|value| value.is_sensitive()).cloned().collect();
        let flooded = watch_interim(&mut request);
        let response = tokio::select! {
            biased;
            response = timeout_at(deadline.into(), connection.sender.send_request(request)) => response,
            () = flooded.notified() => {
                let what = "it says without end that it is not done yet".to_owned();
                return Err(Lost { error: SinkError::Unreadable { peer, what }, answered: true });
            }
        };
        let response = response.map_err(|_| Lost { error: late(), answered: false })?;
        let response = response.map_err(|error| Lost { error: lost(&peer, &error), answered: false })?;
        let answer = read(response, question, deadline, &peer).await;
        let (mut answer, reusable) = answer.map_err(|error| Lost { error: error.unwrap_or_else(late), answered: true })?;
        let has_hung_up = connection.has_hung_up.load(Ordering::Relaxed);
        if answer.status.is_success() && (has_hung_up || unwritten.load(Ordering::Relaxed) > 0) {
            let what = "it came before the request was there".to_owned();
            return Err(Lost { error: SinkError::Unreadable { peer, what }, answered: true });
        }
        if !answer.status.is_success() {
            answer.body = conceal(answer.body, &secrets);
        }
        answer.secrets = secrets;
        if reusable && !has_hung_up {
            connection.used = Instant::now();
            host.give(connection);
        }
        Ok(answer)
    }

    async fn request(&self, host: &Host, question: &Question, body: Sending) -> Result<Request<Sending>, SinkError> {
        let target = match (&*host.plan.prefix, &*question.target) {
            ("", "") => "/".to_owned(),
            (prefix, target) => format!("{prefix}{target}"),
        };
        let mut headers = HeaderMap::new();
        let authority = HeaderValue::from_str(&host.plan.address).expect("the configuration has only hosts that may stand there");
        headers.insert(header::HOST, authority);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("elbow/", env!("CARGO_PKG_VERSION"))));
        let content = [(header::CONTENT_TYPE, &question.content_type), (header::CONTENT_ENCODING, &question.encoding)];
        for (name, value) in content {
            headers.extend(value.clone().map(|value| (name, value)));
        }
        headers.extend(self.plan.headers.iter().cloned());
        self.signer.sign(&mut headers, &question.method, &target, &question.body).await?;
        let mut request = Request::new(body);
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = target.parse().expect("targets are built of what may stand in one");
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// A request without an answer, and whether anything of one had come.
struct Lost {
    error: SinkError,
    answered: bool,
}

impl Host {
    fn is_up(&self, now: Instant) -> bool {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).1.is_none_or(|until| until <= now)
    }

    /// Whether it did not only fail the last time.
    fn failed_before(&self) -> bool {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).0.failures() > 1
    }

    /// Notes whether it did what it is for, and how long it asks to be left alone.
    fn note(&self, is_well: bool, retry_after: Option<Duration>) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut until = None;
        if is_well {
            down.0.succeed();
        } else {
            down.0.start(now);
            until = Some(down.0.fail(now, super::draw()));
        }
        down.1 = until.max(retry_after.map(|after| now + after));
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.used.elapsed() < IDLE_MAX && !connection.sender.is_closed());
        idle.pop()
    }

    fn give(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

#[cfg(test)]
mod tests;
