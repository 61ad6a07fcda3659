//! What a connection's sender is told of what became of its lines, and when.
//!
//! Here receipts are waited for while the connection reads on, and confirmations are written as far as the socket takes
//! them; nothing here ever makes the connection wait. It reads nothing, appends nothing and closes nothing.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncWrite;

use super::acks::Acks;
use crate::buffer::Stored;
use crate::metrics::ConnectionEnd;
use crate::net::stream::Stream;

/// What senders are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirm {
    /// Nothing.
    #[default]
    None,
    /// A clean end of the relay's stream, after theirs: everything is stored.
    Close,
    /// How many lines are stored, in lines of their own.
    Line,
}

impl Confirm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Close, Self::Line];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Close => "close",
            Self::Line => "line",
        }
    }
}

/// The answer whether an entry is stored.
type Answer = Pin<Box<dyn Future<Output = Stored> + Send>>;

/// Lines that count as stored once an answer says so.
struct Promise {
    /// Whether the last entry of these lines is stored; entries are stored in order.
    answer: Answer,
    /// Lines of the connection up to there.
    lines: u64,
}

/// What one connection's sender is waiting for.
pub(super) struct Confirming {
    confirm: Confirm,
    /// The promise whose answer is waited for.
    waited: Option<Promise>,
    /// The newest one behind it. It covers those in between, so that two are enough however slow the storage is.
    newest: Option<Promise>,
    acks: Acks,
    /// Whether all that was written has left the relay.
    flushed: bool,
    /// Whether something is not stored, or nobody knows.
    failed: bool,
    /// Whether confirmations can no longer be written.
    broken: bool,
}

impl Confirming {
    pub(super) fn new(confirm: Confirm) -> Self {
        Self { confirm, waited: None, newest: None, acks: Acks::new(), flushed: true, failed: false, broken: false }
    }

    /// The connection's first `lines` lines are dealt with once `receipt`, that of the newest entry since the last call, says
    /// that it is stored; without an entry, once what came before is.
    pub(super) fn passed(&mut self, lines: u64, receipt: Option<impl Future<Output = Stored> + Send + 'static>) {
        if self.confirm == Confirm::None || self.failed {
            return;
        }
        if let Some(receipt) = receipt {
            let place = if self.waited.is_none() { &mut self.waited } else { &mut self.newest };
            *place = Some(Promise { answer: Box::pin(receipt), lines });
        } else if let Some(last) = self.newest.as_mut().or(self.waited.as_mut()) {
            last.lines = lines;
        } else {
            self.acks.handle_committed(lines);
        }
    }

    /// Nothing more is confirmed, and what was promised no longer matters.
    pub(super) fn end(&mut self) {
        self.confirm = Confirm::None;
        self.waited = None;
        self.newest = None;
    }

    /// Something could not even be handed on to be stored: nothing is confirmed any more.
    pub(super) fn fail(&mut self) {
        self.failed = true;
        self.waited = None;
        self.newest = None;
    }

    /// Whether something is not stored, or nobody knows.
    pub(super) fn has_failed(&self) -> bool {
        self.failed && self.confirm != Confirm::None
    }

    /// Whether writing has shown that the connection is broken. Reading may no longer show it then: the kernel says so
    /// once, and afterwards what is left looks like a clean end.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether an answer is being waited for.
    pub(super) fn is_storing(&self) -> bool {
        self.waited.is_some() || self.newest.is_some()
    }

    /// Takes the answers there are and writes what the socket takes; ready when something is not stored.
    ///
    /// Whoever polls is woken when it has to be polled again.
    pub(super) fn poll(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        while let Some(mut promise) = self.waited.take().or_else(|| self.newest.take()) {
            match promise.answer.as_mut().poll(context) {
                Poll::Ready(Stored::Yes) => self.acks.handle_committed(promise.lines),
                Poll::Ready(Stored::No) => self.fail(),
                Poll::Pending => {
                    self.waited = Some(promise);
                    break;
                }
            }
        }
        if self.confirm == Confirm::Line && !self.broken {
            self.broken = self.write(stream, context).is_err();
        }
        if self.has_failed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Writes until everything is said or the socket takes no more, in which case it wakes.
    fn write(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            let bytes = self.acks.poll_transmit();
            if bytes.is_empty() {
                // What TLS has taken and the socket has not.
                self.flushed = self.flushed || Pin::new(stream).poll_flush(context)?.is_ready();
                return Ok(());
            }
            match Pin::new(&mut *stream).poll_write(context, bytes) {
                Poll::Ready(written) => {
                    self.acks.handle_transmitted(written?);
                    self.flushed = false;
                }
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Waits for `wanted`, and goes on confirming meanwhile.
    ///
    /// Abandoning it loses what abandoning `wanted` loses and nothing else.
    pub(super) async fn alongside<T>(&mut self, stream: &mut Stream, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        let both = poll_fn(|context| {
            // A failure stays and is found by whoever looks next.
            let _ = self.poll(stream, context);
            wanted.as_mut().poll(context)
        });
        both.await
    }

    /// Confirms what can be confirmed at once.
    pub(super) async fn hurry(&mut self, stream: &mut Stream) {
        self.alongside(stream, std::future::ready(())).await;
    }

    /// Waits until everything passed is stored and the sender has been told, as far as the kernel takes it.
    ///
    /// Abandoning the wait loses nothing.
    ///
    /// # Errors
    /// How the connection ends when it cannot be so.
    pub(super) async fn settled(&mut self, stream: &mut Stream) -> Result<(), ConnectionEnd> {
        let settled = poll_fn(|context| {
            if self.poll(stream, context).is_ready() {
                return Poll::Ready(Err(ConnectionEnd::NotStored));
            }
            let told = self.confirm != Confirm::Line || self.acks.is_done() && self.flushed;
            match (self.is_storing(), self.broken, told) {
                (false, true, _) => Poll::Ready(Err(ConnectionEnd::Reset)),
                (false, false, true) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        });
        settled.await
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::io::AsyncBufReadExt;
    use tokio::io::BufReader;
    use tokio::net::TcpListener;
    use tokio::net::TcpSocket;
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_secs(20);

    /// The smallest buffers the kernel gives, so that little fills them.
    const SMALL_BYTES: u32 = 2048;

    /// A relay's end of a connection, and its sender's.
    async fn connection() -> (Stream, BufReader<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let sender = TcpSocket::new_v4().expect("a socket");
        sender.set_recv_buffer_size(SMALL_BYTES).expect("an option");
        let sender = sender.connect(listener.local_addr().expect("bound")).await.expect("a listener");
        let (relay, _) = listener.accept().await.expect("a sender");
        SockRef::from(&relay).set_send_buffer_size(SMALL_BYTES as usize).expect("an option");
        // A new connection is not known to be writable before the runtime has looked.
        relay.writable().await.expect("a connection");
        (Stream::Plain(relay), BufReader::new(sender))
    }

    /// An entry whose storage is answered when the test says so.
    fn entry() -> (oneshot::Sender<Stored>, impl Future<Output = Stored> + Send + 'static) {
        let (answer, answered) = oneshot::channel();
        (answer, async move { answered.await.unwrap_or(Stored::No) })
    }

    const NO_ENTRY: Option<std::future::Ready<Stored>> = None;

    async fn line(sender: &mut BufReader<TcpStream>) -> String {
        let mut line = String::new();
        timeout(MOMENT, sender.read_line(&mut line)).await.expect("it comes soon").expect("a connection");
        line
    }

    #[tokio::test]
    async fn lines_are_confirmed_when_the_entry_behind_them_is_stored_and_not_before() {
        let (mut relay, mut sender) = connection().await;
        let mut confirming = Confirming::new(Confirm::Line);
        let (first, first_stored) = entry();
        let (second, second_stored) = entry();
        let (third, third_stored) = entry();
        confirming.passed(3, Some(first_stored));
        confirming.passed(5, Some(second_stored));
        confirming.passed(6, NO_ENTRY);
        confirming.hurry(&mut relay).await;
        assert!(confirming.acks.is_done() && confirming.is_storing(), "nothing is stored yet");
        first.send(Stored::Yes).expect("it is waited for");
        confirming.hurry(&mut relay).await;
        assert_eq!(line(&mut sender).await, "{\"acked\":3}\n");
        // The second is being waited for by now; the third waits behind it.
        confirming.passed(9, Some(third_stored));
        confirming.passed(10, NO_ENTRY);
        drop(second);
        third.send(Stored::Yes).expect("it is kept");
        assert_eq!(confirming.settled(&mut relay).await, Err(ConnectionEnd::NotStored), "the second was not stored");
        assert!(confirming.acks.is_done(), "and nothing behind it is confirmed");
    }

    #[tokio::test]
    async fn however_many_entries_are_on_their_way_two_are_waited_for() {
        let (mut relay, mut sender) = connection().await;
        let mut confirming = Confirming::new(Confirm::Line);
        let (first, first_stored) = entry();
        confirming.passed(1, Some(first_stored));
        confirming.hurry(&mut relay).await;
        let mut answers = Vec::new();
        for lines in 2..=1_000 {
            let (answer, stored) = entry();
            confirming.passed(lines, Some(stored));
            answers.push(answer);
        }
        assert_eq!(answers.iter().filter(|answer| !answer.is_closed()).count(), 1, "the newest covers those before it");
        first.send(Stored::Yes).expect("it is waited for");
        answers.pop().expect("the newest").send(Stored::Yes).expect("it is kept");
        confirming.settled(&mut relay).await.expect("all is stored");
        assert_eq!(line(&mut sender).await, "{\"acked\":1000}\n");
    }

    #[tokio::test]
    async fn what_is_not_stored_is_never_confirmed() {
        let (mut relay, _sender) = connection().await;
        for confirm in [Confirm::Close, Confirm::Line] {
            let mut confirming = Confirming::new(confirm);
            confirming.passed(1, Some(ready(Stored::No)));
            assert_eq!(confirming.settled(&mut relay).await, Err(ConnectionEnd::NotStored));
            confirming.passed(2, Some(ready(Stored::Yes)));
            assert_eq!(confirming.settled(&mut relay).await, Err(ConnectionEnd::NotStored), "what comes later changes nothing");
            assert!(confirming.acks.is_done());
        }
        let mut silent = Confirming::new(Confirm::None);
        silent.passed(1, Some(ready(Stored::No)));
        silent.fail();
        silent.settled(&mut relay).await.expect("nobody is told, so nobody is told wrong");
    }

    #[tokio::test]
    async fn a_sender_that_does_not_read_holds_nothing_up_and_then_learns_the_newest() {
        let (mut relay, mut sender) = connection().await;
        let mut confirming = Confirming::new(Confirm::Line);
        let mut lines = 0;
        while confirming.acks.is_done() {
            lines += 1;
            assert!(lines < 1_000_000, "the kernel takes everything");
            confirming.passed(lines, Some(ready(Stored::Yes)));
            timeout(MOMENT, confirming.hurry(&mut relay)).await.expect("it never waits");
        }
        let full = lines;
        for _ in 0..1_000 {
            lines += 1;
            confirming.passed(lines, Some(ready(Stored::Yes)));
            timeout(MOMENT, confirming.hurry(&mut relay)).await.expect("it never waits");
        }
        let wanted = format!("{{\"acked\":{lines}}}\n");
        let reads = async {
            let mut read = 0;
            loop {
                read += 1;
                if line(&mut sender).await == wanted {
                    break read;
                }
            }
        };
        let (settled, read) = tokio::join!(confirming.settled(&mut relay), reads);
        settled.expect("the sender reads");
        assert!(read <= full + 1, "{read} lines came, {full} were said when the queue was full");
    }

    #[tokio::test]
    async fn a_sender_that_is_gone_is_noticed_by_writing_and_what_was_read_is_still_stored() {
        let (mut relay, sender) = connection().await;
        let mut confirming = Confirming::new(Confirm::Line);
        SockRef::from(sender.get_ref()).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(sender);
        relay.tcp().readable().await.expect("a connection");
        let (answer, stored) = entry();
        confirming.passed(1, Some(ready(Stored::Yes)));
        confirming.passed(2, Some(stored));
        confirming.hurry(&mut relay).await;
        assert!(confirming.is_broken() && confirming.is_storing());
        answer.send(Stored::Yes).expect("it is waited for");
        assert_eq!(confirming.settled(&mut relay).await, Err(ConnectionEnd::Reset));
    }
}
