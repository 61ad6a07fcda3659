//! One connection, from its first byte to its end: who speaks what, how long it may take, and how it stops.

use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::answer::Cause;
use super::guard::Guarded;
use super::guard::Life;
use super::guard::UNEXPECTED_TLS;
use super::guard::Waits;
use super::head::FIELDS_MAX;
use super::head::Fault;
use super::head::HEAD_BYTES_MAX;
use super::service::Service;
use crate::metrics::ConnectionEnd;
use crate::net::stream::Stream;
use crate::source::Feed;
use crate::source::Opening;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// A request's head must be there by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A sender that takes nothing of its answers for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Once intake stops, requests that are under way between two hosts get here meanwhile.
const LAST_REQUESTS: Duration = Duration::from_millis(250);

/// What is read of a connection beyond what has been taken, in bytes.
pub(super) const READ_AHEAD_BYTES: u32 = 64 * 1024;

/// Requests that one connection may have open at once.
const STREAMS_MAX: u32 = 64;

/// How far away a deadline is that there is not.
const NEVER: Duration = Duration::from_secs(86_400);

/// Serves a connection until its end, and says how that was.
pub(super) async fn serve<M, F>(service: Service<M>, stream: Stream, idle: Duration, mut stop: StopWatch) -> ConnectionEnd
where
    M: Fn(&Opening<'_>) -> F + Send + Sync + 'static,
    F: Feed,
{
    let mut stream = Guarded::new(stream);
    let life = stream.life();
    let speaks = tokio::select! {
        biased;
        speaks = first_bytes(&mut stream, idle) => speaks,
        () = stopped(&mut stop, LAST_REQUESTS) => return ConnectionEnd::Stopped,
    };
    let is_http2 = match speaks {
        Ok(Some(is_http2)) => is_http2,
        Ok(None) => return ConnectionEnd::Idle,
        Err(_) => return ConnectionEnd::Reset,
    };
    // Requests go on when their connection is gone: what has been taken is stored.
    let requests = TaskTracker::new();
    let metrics = service.clone();
    let serving = service_fn(|request: Request<Incoming>| {
        // Where it panics, its connection ends without an answer.
        requests.spawn(service.clone().answer(request))
    });
    let limits = Limits { life: life.clone(), idle, requests: &requests };
    let end = if is_http2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(READ_AHEAD_BYTES)
            .initial_connection_window_size(2 * READ_AHEAD_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX as u32);
        let connection = pin!(http.serve_connection(TokioIo::new(stream), serving));
        limits.hold(connection, |connection| connection.graceful_shutdown(), stop).await
    } else {
        let mut http = http1::Builder::new();
        // Deadlines are held here: the library has one for heads that cuts off idle connections as well.
        http.header_read_timeout(None).half_close(true).max_headers(FIELDS_MAX).max_buf_size(READ_AHEAD_BYTES as usize);
        let connection = pin!(http.serve_connection(TokioIo::new(stream), serving));
        limits.hold(connection, |connection| connection.graceful_shutdown(), stop).await
    };
    requests.close();
    requests.wait().await;
    let fault = life.lock().fault;
    if let Some(fault) = fault {
        metrics.refused_unseen(fault.cause);
    }
    if fault == Some(UNEXPECTED_TLS) { ConnectionEnd::UnexpectedTls } else { end }
}

/// Waits for the first bytes, and says whether they are HTTP/2; nothing where they do not come in time.
async fn first_bytes(stream: &mut Guarded, idle: Duration) -> io::Result<Option<bool>> {
    if tokio::time::timeout(idle, poll_fn(|context| stream.poll_ready(context))).await.is_err() {
        return Ok(None);
    }
    tokio::time::timeout(HEAD_TIMEOUT, poll_fn(|context| stream.poll_speaks(context))).await.ok().transpose()
}

/// Waits until intake has stopped, and a moment longer.
async fn stopped(stop: &mut StopWatch, moment: Duration) {
    stop.reached(Phase::StopIntake).await;
    tokio::time::sleep(moment).await;
}

/// How long a connection may take for what.
struct Limits<'a> {
    life: Life,
    idle: Duration,
    requests: &'a TaskTracker,
}

/// What a connection came to.
enum Event {
    Ended(bool),
    Due,
    Stop,
}

impl Limits<'_> {
    /// When the connection has taken too long, from what is known now.
    fn due(&self) -> Instant {
        let mut state = self.life.lock();
        let busy = !self.requests.is_empty();
        let answered = (!busy).then(|| state.answered.unwrap_or_else(Instant::now));
        state.answered = answered;
        let due = match (state.waits, answered) {
            // What was wrong is being answered.
            _ if state.fault.is_some() => state.since + 2 * HEAD_TIMEOUT,
            // A sender may begin its next request early, and is not cut off from the answer to this one.
            (_, None) => Instant::now() + NEVER,
            (Waits::Head, Some(answered)) => state.since.max(answered) + HEAD_TIMEOUT,
            (Waits::Idle | Waits::Message, Some(_)) => state.since + self.idle,
        };
        state.blocked.map_or(due, |since| due.min(since + WRITE_TIMEOUT))
    }

    /// Serves a connection within its deadlines.
    async fn hold<C, E>(&self, mut connection: Pin<&mut C>, finish: impl Fn(Pin<&mut C>), mut stop: StopWatch) -> ConnectionEnd
    where
        C: Future<Output = Result<(), E>>,
    {
        let mut clock = pin!(tokio::time::sleep(self.idle));
        let mut stopping = pin!(stopped(&mut stop, LAST_REQUESTS));
        let mut is_stopping = false;
        loop {
            let event = poll_fn(|context| {
                if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                    return Poll::Ready(Event::Ended(ended.is_ok()));
                }
                if !is_stopping && stopping.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Event::Stop);
                }
                let due = self.due();
                // A later deadline needs no new wake-up: when the clock rings too early, it is set again.
                if due < clock.deadline() || clock.is_elapsed() {
                    clock.as_mut().reset(due);
                }
                clock.as_mut().poll(context).map(|()| Event::Due)
            });
            match event.await {
                Event::Ended(true) => return if is_stopping { ConnectionEnd::Stopped } else { ConnectionEnd::Closed },
                Event::Ended(false) => return ConnectionEnd::Reset,
                Event::Stop => {
                    is_stopping = true;
                    finish(connection.as_mut());
                }
                Event::Due if self.due() > Instant::now() => {}
                Event::Due => {
                    let mut state = self.life.lock();
                    if state.waits != Waits::Head || state.fault.is_some() || state.blocked.is_some() {
                        return ConnectionEnd::Idle;
                    }
                    let detail = "the head of the request did not come within ten seconds";
                    state.fault = Some(Fault { cause: Cause::HeadTimeout, detail });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_head_behind_a_request_has_its_time_from_the_answer_on() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        let guarded = Guarded::new(Stream::Plain(stream));
        let requests = TaskTracker::new();
        let (begun, idle) = (Instant::now(), Duration::from_secs(600));
        let limits = Limits { life: guarded.life(), idle, requests: &requests };
        limits.life.lock().waits = Waits::Head;
        assert_eq!(limits.due(), limits.life.lock().since + HEAD_TIMEOUT);
        let request = requests.token();
        assert!(limits.due() > begun + 10 * HEAD_TIMEOUT, "the request before it is not answered");
        let answered = Instant::now();
        drop(request);
        let due = limits.due();
        assert!(due >= answered + HEAD_TIMEOUT, "it has all its time");
        assert_eq!(limits.due(), due, "and no more");
    }
}
