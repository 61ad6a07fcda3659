//! One request from its head to its answer.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http_body_util::Either;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;
use hyper::http::request::Parts;

use tokio::time::Instant;

use super::Shared;
use super::answer;
use super::answer::Cause;
use super::answer::Refusal;
use super::body::Body;
use super::elasticsearch;
use super::elasticsearch::Text;
use super::envelope::Enveloped;
use super::firehose;
use super::kind;
use super::named;
use super::route::Route;
use super::route::route;
use super::unpack::Coding;
use super::unpack::Step;
use super::whose;
use crate::framing::firehose::Firehose;
use crate::peer::Peer;
use crate::source::Asked;
use crate::source::Feed;
use crate::source::Framing;
use crate::source::Opening;
use crate::source::allowance::READ_BYTES;
use crate::source::request::Counts;
use crate::source::request::RequestIntake;
use crate::source::request::Trouble;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::tenant::Visit;

thread_local! {
    /// One buffer for plain bytes per worker: between unpacking and the end of parsing nothing is awaited.
    static PLAIN: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Memory for what the library reads of a connection beyond what has been taken, in bytes.
const READ_AHEAD: u64 = super::connection::READ_AHEAD_BYTES as u64;

/// What answers the requests of one connection.
pub(super) struct Service<M> {
    pub(super) shared: Arc<Shared<M>>,
    pub(super) peer: Arc<Peer>,
    pub(super) visit: Visit,
    pub(super) stop: StopWatch,
}

impl<M> Clone for Service<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), peer: self.peer.clone(), visit: self.visit.clone(), stop: self.stop.clone() }
    }
}

/// A request that is not taken, and how much of it is stored all the same.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) stored: u64,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, stored: 0 }
    }
}

impl<M, F> Service<M>
where
    M: Fn(&Opening<'_>) -> F + Send + Sync + 'static,
    F: Feed,
{
    /// Takes a request and says what to answer.
    pub(super) async fn answer(self, request: Request<Incoming>) -> Response<Text> {
        let _in_flight = self.shared.metrics.begins();
        let (head, incoming) = request.into_parts();
        let response = match route(&head) {
            Route::Events => self.plain(&head, incoming).await.map(Either::Left),
            Route::Bulk => self.bulk(&head, incoming).await,
            Route::Firehose => self.firehose(&head, incoming).await.map(Either::Left),
            Route::Probe(probe) => elasticsearch::probed(probe).map(Either::Left),
            Route::NotAllowed => {
                let refusal = Refusal::new(Cause::MethodNotAllowed, "events are sent by POST or PUT");
                self.refuse(&refusal.into()).map(Either::Left)
            }
        };
        self.shared.metrics.answered(response.status().as_u16());
        let ends = self.stop.phase() >= Phase::StopIntake && head.version < hyper::Version::HTTP_2;
        if ends { answer::last(response) } else { response }
    }

    /// The answer to a request that is not taken; it says when to come again where that helps.
    pub(super) fn refuse(&self, Refused { refusal, stored }: &Refused) -> Response<Full<Bytes>> {
        let Shared { means, retry, .. } = &*self.shared;
        let waiting = || (means.waiting.events(), means.intake.waiting());
        let after = || retry.after(refusal.cause, &means.buffer.stat(), waiting(), Instant::now());
        refusal.answer(*stored, refusal.retry_after.or_else(|| refusal.cause.is_passing().then(after)))
    }

    /// Counts a request that was refused before anybody has seen it.
    pub(super) fn refused_unseen(&self, cause: Cause) {
        self.shared.metrics.answered(cause.status().as_u16());
    }

    /// Takes events as they stand.
    async fn plain(&self, head: &Parts, incoming: Incoming) -> Response<Full<Bytes>> {
        let taken = self.events(head, incoming, None, kind::framing(head), |feed| feed, |_| None).await;
        match taken {
            Ok((counts, _)) => answer::accepted(counts, self.shared.durability),
            Err(refused) => self.refuse(&refused),
        }
    }

    /// Takes a bulk request.
    async fn bulk(&self, head: &Parts, incoming: Incoming) -> Response<Text> {
        let begun = Instant::now();
        let bulk = elasticsearch::bulk(head, self.shared.plan.line_bytes_max).passing(!self.shared.plan.refuses_long_lines);
        let wrap = |feed| Enveloped::new(bulk, feed);
        match self.events(head, incoming, None, Framing::Lines, wrap, Enveloped::fault).await {
            Ok((_, feed)) => {
                let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let answer = feed.envelope.into_answer(took);
                self.shared.metrics.actions_refused(answer.refused());
                elasticsearch::answered(answer)
            }
            Err(refused) => {
                let response = self.refuse(&refused);
                elasticsearch::refused(response, &refused.refusal, refused.stored).map(Either::Left)
            }
        }
    }

    /// Takes a request of Firehose.
    async fn firehose(&self, head: &Parts, incoming: Incoming) -> Response<Full<Bytes>> {
        let taken = match firehose::preamble(head) {
            Ok(preamble) => {
                let wrap = |feed| Enveloped::new(Firehose::default(), feed);
                self.events(head, incoming, preamble, Framing::ByContent, wrap, Enveloped::fault).await.map(|(counts, _)| counts)
            }
            Err(refusal) => Err(refusal.into()),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        match taken {
            Ok(counts) => firehose::answer(head, now_ms, answer::accepted(counts, self.shared.durability), None),
            Err(refused) => firehose::answer(head, now_ms, self.refuse(&refused), Some(&refused.refusal.detail)),
        }
    }

    /// Takes the events of a body, by way of what `wrap` makes of a feed, of which `fault` says whether it was followed. What a
    /// head says of them counts more than `preamble`.
    async fn events<G: Feed>(
        &self,
        head: &Parts,
        incoming: Incoming,
        preamble: Option<Vec<u8>>,
        framing: Framing,
        wrap: impl FnOnce(F) -> G,
        fault: impl Fn(&G) -> Option<Refusal>,
    ) -> Result<(Counts, G), Refused> {
        let tenant = whose::tenant(head, &self.visit)?;
        let preamble = named::preamble(head)?.or(preamble);
        let mut body = self.body(head, incoming)?;
        let request = Some(Asked { preamble: preamble.as_deref(), framing });
        let refuses_long_lines = self.shared.plan.refuses_long_lines;
        let opening = Opening { peer: &self.peer, tenant: &tenant, visit: None, refuses_long_lines, request };
        let feed = wrap((self.shared.means.make_feed)(&opening));
        let mut intake = RequestIntake::new(&self.shared.means, tenant, feed, self.stop.clone());
        let taken = self.take(&mut body, &mut intake).await;
        let taken = taken.and_then(|()| fault(intake.feed_used()).map_or(Ok(()), Err));
        let (packed, unpacked) = body.bytes();
        self.shared.metrics.body(packed, unpacked);
        let counts = match taken {
            Ok(()) => intake.stored(body.last_at() + self.shared.plan.ack_timeout).await.map_err(|trouble| self.trouble(trouble)),
            Err(refusal) => Err(refusal),
        };
        match counts {
            Ok(counts) => {
                self.shared.metrics.took(body.last_at().elapsed());
                Ok((counts, intake.into_feed()))
            }
            Err(refusal) => Err(Refused { refusal, stored: intake.settle().await }),
        }
    }

    /// The body of a request, as its head says it is packed.
    pub(super) fn body(&self, head: &Parts, incoming: Incoming) -> Result<Body, Refusal> {
        let mut codings = head.headers.get_all(CONTENT_ENCODING).iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => Some(Coding::Unnamed),
            (Some(value), None) => Coding::from_header(value.as_bytes()),
            _ => None,
        };
        let unknown = || Refusal::new(Cause::UnsupportedCoding, "the body may be packed with gzip, deflate or zstd, once");
        Body::new(incoming, coding.ok_or_else(unknown)?, self.shared.plan.limits)
    }

    /// Takes a body to its end, or as far as it goes.
    async fn take<G: Feed>(&self, body: &mut Body, intake: &mut RequestIntake<'_, M, G>) -> Result<(), Refusal> {
        // Where there is no memory for what is read ahead, nothing is read.
        intake.keep_beside(READ_AHEAD).await.map_err(|trouble| self.trouble(trouble))?;
        while !body.is_decided()? {
            self.more(body).await?;
        }
        let mut has_fed = false;
        loop {
            let admitted = intake.admit().await.map_err(|trouble| self.trouble(trouble))?;
            // A tenant that is over a limit waits only if more comes, and one byte tells whether it does.
            let is_ready = !has_fed || intake.is_ready();
            let room = if is_ready { admitted.bytes } else { 1 };
            let fed = PLAIN.with_borrow_mut(|plain| match body.step(&mut plain[..room]) {
                Ok(Step::Bytes(bytes)) => Ok(intake.feed(bytes, admitted).map(|()| Fed::Some)),
                Ok(Step::Wants(bytes)) => Ok(Ok(Fed::Wants(bytes))),
                Ok(Step::Starved) => Ok(Ok(Fed::Starved)),
                Ok(Step::End) => Ok(Ok(Fed::End)),
                Err(refusal) => Err(refusal),
            });
            // What is complete goes on, whatever came behind it.
            let appended = intake.append().await;
            match fed.and_then(|fed| fed.and_then(|fed| appended.map(|()| fed)).map_err(|trouble| self.trouble(trouble))) {
                Ok(Fed::Some) => {
                    has_fed = true;
                    if !is_ready && let Err(trouble) = intake.ready().await {
                        return self.broken_off(intake, self.trouble(trouble)).await;
                    }
                }
                Ok(Fed::Wants(bytes)) => match intake.keep_beside(READ_AHEAD + bytes).await {
                    Ok(()) => body.set_aside(bytes),
                    Err(trouble) => return self.broken_off(intake, self.trouble(trouble)).await,
                },
                Ok(Fed::Starved) => {
                    if let Err(refusal) = self.more(body).await {
                        return self.broken_off(intake, refusal).await;
                    }
                    // What has come to its end has come, and is answered for at once.
                    if !body.has_ended()
                        && let Err(trouble) = intake.ready().await
                    {
                        return self.broken_off(intake, self.trouble(trouble)).await;
                    }
                }
                Ok(Fed::End) => return intake.finish(true).await.map_err(|trouble| self.trouble(trouble)),
                Err(refusal) => return self.broken_off(intake, refusal).await,
            }
        }
    }

    /// Waits for more of a body, unless the relay stops first.
    async fn more(&self, body: &mut Body) -> Result<(), Refusal> {
        let mut stop = self.stop.clone();
        tokio::select! {
            more = body.more() => more,
            () = stop.reached(Phase::Drain) => Err(self.trouble(Trouble::Stopping)),
        }
    }

    /// Gives up what has no end, counts it, and passes the refusal on.
    async fn broken_off<G: Feed>(&self, intake: &mut RequestIntake<'_, M, G>, refusal: Refusal) -> Result<(), Refusal> {
        // There is one answer, and the first trouble is it.
        let _ = intake.finish(false).await;
        Err(refusal)
    }

    fn trouble(&self, trouble: Trouble) -> Refusal {
        Refusal::of(trouble, self.shared.plan.line_bytes_max as u64)
    }
}

/// What a step has given.
enum Fed {
    Some,
    /// Nothing before so much memory is set aside for unpacking.
    Wants(u64),
    Starved,
    End,
}
