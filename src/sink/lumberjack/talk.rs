//! One connection: windows go out, acks come in, and both at once.
//!
//! What an ack releases and how long to wait for one is decided by [`Client`]; this file owns the stream and the windows under
//! way, and never connects.

use std::collections::VecDeque;
use std::future::pending;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use crate::net::stream::Stream;
use crate::sink::LumberjackPlan;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::lumberjack::lane::News;
use crate::sink::parcel::Parcel;
use crate::wire::lumberjack::Client;
use crate::wire::lumberjack::Packer;
use crate::wire::lumberjack::Patience;

/// Bytes read at once: acks of six bytes, so more than ever wait.
const READ_BYTES: usize = 1024;

/// Bytes of documents packed before other tasks get their turn: compressing them takes about a millisecond.
const TURN_BYTES: usize = 128 << 10;

/// A server that says for so long that it is working, and acks nothing, has stopped taking events for now.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// A connection that has lived so long may end without being a failure, if nothing was under way.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// A window's buffer that grew beyond this is given back after use.
const KEPT_BYTES: usize = 8 << 20;

/// What windows are written to and acks read from.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin {
    /// How long the peer may acknowledge no bytes, or keep its window shut, before the kernel gives the connection up.
    fn allow(&self, limit: Duration);
}

impl Line for Stream {
    fn allow(&self, limit: Duration) {
        // Where it cannot be set, the limits of the protocol hold all the same.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(self.tcp()).set_tcp_user_timeout(Some(limit));
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
    }
}

/// How a connection has ended.
#[derive(Debug)]
pub(super) enum End {
    /// There is nothing left to send, and that was said.
    Parted,
    /// The server has ended it while nothing was under way.
    Idle,
    /// It broke, or had to be given up.
    Failed(SinkError),
}

/// What one call of the stream has done.
enum Done {
    Read(usize),
    Wrote(usize),
    Flushed,
}

/// A connection in use.
pub(super) struct Talk<S> {
    stream: S,
    peer: String,
    parcels: mpsc::Receiver<Parcel>,
    state: Arc<SinkState>,
    client: Client,
    packer: Packer,
    /// What is not released of each window, oldest first.
    open: VecDeque<Parcel>,
    /// The window being written, and how far that is.
    out: Vec<u8>,
    at: usize,
    /// Bytes of the documents of that window, which are counted when it is written.
    bytes: usize,
    /// Something is written that the stream may still hold.
    is_unflushed: bool,
    since: Instant,
    /// Whether the kernel has been told to be patient.
    is_lenient: bool,
    user_timeout: Duration,
    progress_timeout: Duration,
}

impl<S: Line> Talk<S> {
    pub(super) fn new(
        stream: S,
        peer: String,
        parcels: mpsc::Receiver<Parcel>,
        plan: &LumberjackPlan,
        state: Arc<SinkState>,
    ) -> Self {
        Self {
            stream,
            peer,
            parcels,
            state,
            client: Client::new(Patience { life: plan.ack_timeout, progress: plan.progress_timeout }),
            packer: Packer::new(plan.compression),
            open: VecDeque::new(),
            out: Vec::new(),
            at: 0,
            bytes: 0,
            is_unflushed: false,
            since: crate::sink::now(),
            is_lenient: false,
            user_timeout: plan.dial.user_timeout,
            progress_timeout: plan.progress_timeout,
        }
    }

    /// Documents that were acked on it.
    pub(super) fn released(&self) -> u64 {
        self.client.released()
    }

    /// Documents under way of which at least the window's first byte was written.
    pub(super) fn begun(&self) -> u64 {
        let is_unwritten = self.at == 0 && !self.out.is_empty();
        let begun = self.open.len() - usize::from(is_unwritten);
        self.open.iter().take(begun).map(|parcel| parcel.len() as u64).sum()
    }

    /// The windows that were not acked, in order. None can be handed to it any more.
    pub(super) fn unreleased(&mut self) -> Vec<Parcel> {
        self.parcels.close();
        let mut unreleased: Vec<Parcel> = self.open.drain(..).collect();
        while let Ok(parcel) = self.parcels.try_recv() {
            unreleased.push(parcel);
        }
        unreleased
    }

    /// Sends windows as they are handed to it until nobody can hand it one any more or the connection ends.
    ///
    /// Abandoning it loses nothing: what was not released is with whoever handed it over.
    pub(super) async fn serve(&mut self, news: &mpsc::Sender<(usize, News)>, number: usize) -> End {
        match self.try_serve(news, number).await {
            Ok(()) => {
                // An end that is not heard is none of anybody's any more.
                let _ = self.stream.shutdown().await;
                End::Parted
            }
            Err(error) => {
                self.parcels.close();
                let is_idle = self.open.is_empty() && self.parcels.is_empty();
                let is_settled = self.released() > 0 || crate::sink::now().duration_since(self.since) >= SETTLED_AFTER;
                let is_end = matches!(error, SinkError::PeerEnded { .. } | SinkError::Broken { .. });
                if is_idle && is_settled && is_end {
                    tracing::debug!(error = error.words(), "an idle connection has ended");
                    return End::Idle;
                }
                End::Failed(error)
            }
        }
    }

    async fn try_serve(&mut self, news: &mpsc::Sender<(usize, News)>, number: usize) -> Result<(), SinkError> {
        let mut input = [0; READ_BYTES];
        loop {
            let deadline = self.client.poll_timeout();
            let is_written = self.at == self.out.len();
            tokio::select! {
                biased;
                done = exchange(&mut self.stream, &mut input, &self.out[self.at..], self.is_unflushed) => {
                    match done.map_err(|source| self.broken(source))? {
                        Done::Read(0) => return Err(SinkError::PeerEnded { peer: self.peer.clone() }),
                        Done::Read(bytes) => self.hear(&input[..bytes], news, number).await?,
                        Done::Wrote(bytes) => self.wrote(bytes),
                        Done::Flushed => self.is_unflushed = false,
                    }
                    // A stream that is always ready does not wait, so others get their turn here.
                    consume_budget().await;
                }
                parcel = self.parcels.recv(), if is_written => match parcel {
                    Some(parcel) => self.begin(parcel).await,
                    None => return Ok(()),
                },
                () = async { match deadline { Some(at) => sleep_until(at.into()).await, None => pending().await } } => {}
            }
            if let Some(after) = self.client.late(crate::sink::now()) {
                return Err(SinkError::Late { peer: self.peer.clone(), after });
            }
        }
    }

    /// Packs a window, which is written next.
    async fn begin(&mut self, parcel: Parcel) {
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        self.at = 0;
        let events = u32::try_from(parcel.len()).expect("windows are bounded far below");
        self.packer.begin(events, &mut self.out);
        let mut packed = 0;
        for run in parcel.runs() {
            let batch = &run.entry.batch;
            let mut start = run.range().start;
            for mark in &batch.marks[run.from as usize..run.to as usize] {
                let end = mark.end as usize;
                // Without its newline, which only separates documents in the buffer.
                self.packer.event(&batch.docs[start..end - 1], &mut self.out);
                packed += end - start;
                start = end;
                if packed >= TURN_BYTES {
                    packed = 0;
                    yield_now().await;
                }
            }
        }
        self.packer.end(&mut self.out);
        self.bytes = parcel.bytes();
        self.client.handle_begun(events, crate::sink::now());
        self.open.push_back(parcel);
    }

    fn wrote(&mut self, bytes: usize) {
        self.at += bytes;
        self.is_unflushed = true;
        let is_whole = self.at == self.out.len();
        self.client.handle_written(is_whole, crate::sink::now());
        if is_whole {
            self.state.written(std::mem::take(&mut self.bytes) as u64);
        }
    }

    /// Takes what the server says, and hands on what that releases.
    async fn hear(&mut self, bytes: &[u8], news: &mpsc::Sender<(usize, News)>, number: usize) -> Result<(), SinkError> {
        let now = crate::sink::now();
        let before = self.client.released();
        let result = self.client.handle_read(bytes, now);
        let mut released = usize::try_from(self.client.released() - before).expect("no more than there is in memory");
        while released > 0 {
            let oldest = self.open.pop_front().expect("what is released was under way");
            let (parcel, rest) = oldest.split(released);
            released -= parcel.len();
            let is_last = rest.is_empty();
            if !is_last {
                self.open.push_front(rest);
            }
            // Where nobody hears it, the loop has ended and with it all that counts.
            let _ = news.send((number, News::Released { parcel, is_last })).await;
        }
        let is_stalled = self.client.is_working() && self.client.waited(now) >= STALLED_AFTER;
        if self.client.is_working() != self.is_lenient {
            // The kernel gives up a connection whose peer does not read for a while. One that says it is working is not dead.
            self.is_lenient = self.client.is_working();
            self.stream.allow(if self.is_lenient { self.progress_timeout } else { self.user_timeout });
        }
        if is_stalled {
            let _ = news.send((number, News::Stalled)).await;
        }
        result.map_err(|fault| SinkError::Unreadable { peer: self.peer.clone(), what: fault.words().to_owned() })
    }

    fn broken(&self, source: io::Error) -> SinkError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => SinkError::PeerEnded { peer: self.peer.clone() },
            _ => SinkError::broken(&self.peer, source),
        }
    }
}

/// Reads, or writes what there is to write, or flushes: whatever the stream is ready for first. Abandoning it loses nothing.
async fn exchange<S: Line>(stream: &mut S, input: &mut [u8], output: &[u8], is_unflushed: bool) -> io::Result<Done> {
    poll_fn(|context| {
        let mut read = ReadBuf::new(input);
        if let Poll::Ready(result) = Pin::new(&mut *stream).poll_read(context, &mut read) {
            return Poll::Ready(result.map(|()| Done::Read(read.filled().len())));
        }
        if !output.is_empty() {
            return match Pin::new(&mut *stream).poll_write(context, output) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(result) => Poll::Ready(result.map(Done::Wrote)),
                Poll::Pending => Poll::Pending,
            };
        }
        if is_unflushed {
            return Pin::new(&mut *stream).poll_flush(context).map_ok(|()| Done::Flushed);
        }
        Poll::Pending
    })
    .await
}
