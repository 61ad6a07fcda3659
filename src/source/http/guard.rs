//! A connection as the HTTP library sees it: what it reads has been looked at before, and what it may not see never comes.
//!
//! Where the bytes of HTTP/1 are in doubt, the library reads an end instead of them; it answers what came before, and then the
//! doubtful request is answered from here and the connection closed. A sender that still writes has a moment to read the answer
//! before its bytes are refused. HTTP/2 is passed through: its frames leave no doubt.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep;

use super::answer::Cause;
use super::answer::Refusal;
use super::head::Fault;
use super::head::Follower;
use crate::net::stream::Stream;

/// How a connection begins that speaks HTTP/2 without having been asked.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection begins that speaks TLS: with a record of a handshake.
const TLS_RECORD: u8 = 22;

/// What is said of one.
pub(super) const UNEXPECTED_TLS: Fault = Fault { cause: Cause::BadFraming, detail: "this is TLS, and none is spoken here" };

/// After its last answer a connection is read for so long, until the sender has closed it too: bytes that nobody reads would
/// have the kernel reset it, and the answer could be lost.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes read at once where they have to be looked at.
const LOOK_BYTES: usize = 16 * 1024;

thread_local! {
    /// One buffer for bytes that have to be looked at per worker: nothing is awaited while it is in use.
    static LOOK: RefCell<[u8; LOOK_BYTES]> = const { RefCell::new([0; LOOK_BYTES]) };
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// Anything else.
    Message,
}

/// What is known of a connection beside its bytes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) waits: Waits,
    /// Since when, or when the last bytes came.
    pub(super) since: Instant,
    /// Since when all requests are answered; nothing while one is not.
    pub(super) answered: Option<Instant>,
    /// Since when the sender takes nothing.
    pub(super) blocked: Option<Instant>,
    /// What is wrong with a request that nobody has seen.
    pub(super) fault: Option<Fault>,
}

/// The same, shared with whoever serves the connection.
#[derive(Clone, Debug)]
pub(super) struct Life {
    state: Arc<Mutex<State>>,
}

impl Life {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while noting a time")
    }
}

#[derive(Debug)]
enum Speaks {
    /// Too little has come to tell.
    Undecided(Vec<u8>),
    Http1(Follower),
    Http2,
}

#[derive(Debug)]
enum Ending {
    No,
    /// What is left to be written.
    Answer(Vec<u8>, usize),
    Flush,
    Shutdown,
    Linger(Pin<Box<Sleep>>),
    Done,
}

/// A guarded connection.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Stream,
    speaks: Speaks,
    /// Bytes that may be seen, and how many of them have been.
    seen: Vec<u8>,
    at: usize,
    /// Whether nothing more comes, or nothing more is let through.
    ended: bool,
    life: Life,
    ending: Ending,
}

impl Guarded {
    pub(super) fn new(stream: Stream) -> Self {
        let now = Instant::now();
        let state = State { waits: Waits::Idle, since: now, answered: Some(now), blocked: None, fault: None };
        let life = Life { state: Arc::new(Mutex::new(state)) };
        Self { stream, speaks: Speaks::Undecided(Vec::new()), seen: Vec::new(), at: 0, ended: false, life, ending: Ending::No }
    }

    pub(super) fn life(&self) -> Life {
        self.life.clone()
    }

    /// Waits for bytes, holding no memory meanwhile.
    pub(super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_read_ready(context)
    }

    /// Reads until it is known what the connection speaks; says whether that is HTTP/2. An end is HTTP/1, too.
    ///
    /// Abandoning it loses nothing.
    pub(super) fn poll_speaks(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while let Speaks::Undecided(_) = self.speaks {
            if self.ended {
                break;
            }
            ready!(self.poll_look(context))?;
        }
        Poll::Ready(Ok(matches!(self.speaks, Speaks::Http2)))
    }

    /// Reads bytes and looks at them.
    fn poll_look(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        LOOK.with_borrow_mut(|look| {
            let mut read = ReadBuf::new(look);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                self.ended = true;
            } else {
                self.take(read.filled());
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Looks at bytes and lets through what may be seen.
    fn take(&mut self, bytes: &[u8]) {
        if let Speaks::Undecided(first) = &mut self.speaks {
            first.extend_from_slice(bytes);
            if first.first() == Some(&TLS_RECORD) {
                self.ended = true;
                return self.life.lock().fault = Some(UNEXPECTED_TLS);
            }
            let compared = first.len().min(PREFACE.len());
            if first[..compared] != PREFACE[..compared] {
                let first = std::mem::take(first);
                self.speaks = Speaks::Http1(Follower::new());
                return self.take(&first);
            }
            if compared == PREFACE.len() {
                self.seen = std::mem::take(first);
                self.speaks = Speaks::Http2;
            }
            return self.note(Waits::Head);
        }
        match &mut self.speaks {
            Speaks::Http1(follower) => {
                if let Err(fault) = follower.follow(bytes, &mut self.seen) {
                    self.ended = true;
                    // A request that has been seen is answered by whoever has seen it.
                    if follower.is_in_head() {
                        self.life.lock().fault = Some(fault);
                    }
                }
                self.note_place();
            }
            Speaks::Undecided(_) | Speaks::Http2 => self.seen.extend_from_slice(bytes),
        }
    }

    fn note_place(&mut self) {
        let Speaks::Http1(follower) = &self.speaks else { return };
        let waits = match () {
            () if follower.is_between() => Waits::Idle,
            () if follower.is_in_head() => Waits::Head,
            () => Waits::Message,
        };
        self.note(waits);
    }

    fn note(&self, waits: Waits) {
        let mut state = self.life.lock();
        // A head has to be there in time, however often some of it comes.
        if state.waits != Waits::Head || waits != Waits::Head {
            state.since = Instant::now();
        }
        state.waits = waits;
    }

    fn note_written<T>(&self, poll: &Poll<T>) {
        let mut state = self.life.lock();
        match poll {
            Poll::Ready(_) => state.blocked = None,
            Poll::Pending => state.blocked = state.blocked.or_else(|| Some(Instant::now())),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guarded = self.get_mut();
        loop {
            let left = &guarded.seen[guarded.at..];
            if !left.is_empty() {
                let count = left.len().min(buffer.remaining());
                buffer.put_slice(&left[..count]);
                guarded.at += count;
                if guarded.at == guarded.seen.len() {
                    // An idle connection holds nothing.
                    (guarded.seen, guarded.at) = (Vec::new(), 0);
                }
                return Poll::Ready(Ok(()));
            }
            if guarded.ended || guarded.life.lock().fault.is_some() {
                return Poll::Ready(Ok(()));
            }
            match &mut guarded.speaks {
                Speaks::Http2 => {
                    ready!(Pin::new(&mut guarded.stream).poll_read(context, buffer))?;
                    guarded.note(Waits::Message);
                    return Poll::Ready(Ok(()));
                }
                Speaks::Http1(follower) if let Some(most) = follower.straight() => {
                    let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.remaining());
                    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut guarded.stream).poll_read(context, &mut part))?;
                    let count = part.filled().len();
                    buffer.advance(count);
                    follower.went_straight(count as u64);
                    guarded.ended = count == 0;
                    guarded.note_place();
                    return Poll::Ready(Ok(()));
                }
                Speaks::Undecided(_) | Speaks::Http1(_) => ready!(guarded.poll_look(context))?,
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let guarded = self.get_mut();
        let poll = Pin::new(&mut guarded.stream).poll_write(context, bytes);
        guarded.note_written(&poll);
        poll
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    /// Answers the request that nobody has seen, ends the relay's half, and reads on for a moment.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guarded = self.get_mut();
        loop {
            match &mut guarded.ending {
                Ending::No => {
                    let fault = guarded.life.lock().fault;
                    guarded.ending = fault.map_or(Ending::Flush, |fault| Ending::Answer(answer(fault), 0));
                }
                Ending::Answer(bytes, at) => {
                    let count = ready!(Pin::new(&mut guarded.stream).poll_write(context, &bytes[*at..]))?;
                    *at += count;
                    if *at == bytes.len() {
                        guarded.ending = Ending::Flush;
                    }
                }
                Ending::Flush => {
                    ready!(Pin::new(&mut guarded.stream).poll_flush(context))?;
                    guarded.ending = Ending::Shutdown;
                }
                Ending::Shutdown => {
                    ready!(Pin::new(&mut guarded.stream).poll_shutdown(context))?;
                    guarded.ending = Ending::Linger(Box::pin(sleep(LINGER)));
                }
                Ending::Linger(over) => {
                    let (stream, over) = (&mut guarded.stream, over.as_mut());
                    ready!(poll_drain(stream, over, context));
                    guarded.ending = Ending::Done;
                }
                Ending::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guarded = self.get_mut();
        let poll = Pin::new(&mut guarded.stream).poll_write_vectored(context, slices);
        guarded.note_written(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Reads and throws away until the sender has closed, or it is over.
fn poll_drain(stream: &mut Stream, over: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
    if over.poll(context).is_ready() {
        return Poll::Ready(());
    }
    LOOK.with_borrow_mut(|look| {
        loop {
            let mut read = ReadBuf::new(look);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    })
}

/// The answer to a request that nobody has seen.
fn answer(fault: Fault) -> Vec<u8> {
    let (status, body) = (fault.cause.status(), Refusal::new(fault.cause, fault.detail).document(0));
    let reason = status.canonical_reason().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        body.len()
    );
    (head + &body).into_bytes()
}
