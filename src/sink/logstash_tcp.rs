//! The sink that streams documents to a Logstash `tcp` input: json_lines, one connection at a time.
//!
//! Documents end in newlines already, so entries go out as they lie in the buffer, many in one vectored write. What may
//! be acked is decided by [`ReleaseWindow`]; this file owns the socket and tells the machine what the kernel says.
//! Whatever is unreleased when a connection ends is read again from the buffer and sent again.

use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::net::Shutdown;
use std::pin::Pin;
use std::time::Duration;
use std::time::Instant;

use rustix::net::RecvFlags;
use rustix::net::recv;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::Sleep;
use tokio::time::sleep_until;

use crate::backoff::Backoff;
use crate::buffer::Cursor;
use crate::buffer::Entry;
use crate::net::outq;
use crate::seq::Seq;
use crate::sink::LogstashTcpPlan;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::connect::connect_any;
use crate::sink::place::Place;
use crate::sink::place::SLICES;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::wire::json_lines::ReleaseWindow;

/// Most entries read from the buffer under one lock.
const ENTRIES_MAX: usize = 256;

/// Bytes after which a read takes no further entry; more than any send queue takes at once.
const BYTES_MAX: usize = 8 << 20;

/// The send queue is looked at after this many bytes written …
const SAMPLE_BYTES: u64 = 256 << 10;

/// … or this long after the last look, whichever is first.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// Bytes from the peer thrown away in one go before it is written to again.
const DISCARD_MAX: usize = 256 << 10;

/// Streams to the plan's hosts; see [`run`](crate::sink::run).
pub(super) async fn run(plan: LogstashTcpPlan, cursor: Cursor, state: &SinkState, mut stop: StopWatch) -> Result<(), SinkError> {
    assert!(!plan.hosts.is_empty(), "a plan names at least one host");
    let mut sender = Sender { plan: &plan, cursor, state, entries: Vec::new(), place: Place::default(), closed: false };
    // Nothing is lost at the last phase: what is unreleased stays unacked in the buffer.
    tokio::select! {
        biased;
        () = stop.reached(Phase::Stop) => {}
        () = sender.deliver() => {}
    }
    Ok(())
}

/// What outlives a connection.
struct Sender<'a> {
    plan: &'a LogstashTcpPlan,
    cursor: Cursor,
    state: &'a SinkState,
    /// Entries being written, read under one lock.
    entries: Vec<Entry>,
    place: Place,
    /// Whether the buffer is closed and read to its end; a rewind leaves it so.
    closed: bool,
}

impl Sender<'_> {
    /// Goes from connection to connection until everything is acked.
    async fn deliver(&mut self) {
        let mut backoff = Backoff::default();
        let mut host = 0;
        let mut next = Instant::now();
        loop {
            let (plan, state) = (self.plan, self.state);
            let connecting = async {
                sleep_until(next.into()).await;
                state.connecting();
                backoff.start(Instant::now());
                connect_any(plan, &mut host).await
            };
            let connected = tokio::select! {
                biased;
                () = finished(&mut self.cursor) => return,
                connected = connecting => connected,
            };
            let error = match connected {
                Ok((stream, peer)) => {
                    let mut connection = Connection::new(stream, peer, plan);
                    match self.serve(&mut connection).await {
                        Ok(()) => return,
                        Err(error) => {
                            self.take_back(&mut connection);
                            if connection.events_released > 0 || connection.since.elapsed() >= plan.settle {
                                backoff.succeed();
                            }
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            host = (host + 1) % plan.hosts.len();
            self.state.failed(&error);
            next = backoff.fail(Instant::now(), super::draw());
        }
    }

    /// Uses a connection until everything is acked or it fails.
    async fn serve(&mut self, connection: &mut Connection) -> Result<(), SinkError> {
        self.state.connected();
        self.state.delivering(&connection.peer);
        // One timer for the connection, moved forward only when it has rung: most waits end before it.
        let mut timer = Box::pin(sleep_until(Instant::now().into()));
        loop {
            if self.place.entry == self.entries.len() {
                self.refill(connection);
            }
            if self.place.entry < self.entries.len() {
                if self.write(connection)? {
                    // A write that succeeds at once does not wait, so others get their turn here.
                    consume_budget().await;
                    continue;
                }
            } else if self.closed && !connection.half_closed {
                let shut = SockRef::from(&connection.stream).shutdown(Shutdown::Write);
                shut.map_err(|source| connection.broken(source))?;
                connection.half_closed = true;
            }
            if connection.window.is_empty() && self.cursor.is_finished() {
                // A socket closed over unread input resets the peer, which could then lose what it has not read.
                let _ = connection.look();
                return Ok(());
            }
            self.wait(connection, timer.as_mut()).await?;
        }
    }

    /// Reads the next entries under one lock. The written ones are let go of: the buffer holds them until they are acked.
    fn refill(&mut self, connection: &mut Connection) {
        self.entries.clear();
        self.cursor.read(ENTRIES_MAX, BYTES_MAX, &mut self.entries);
        self.place = Place::default();
        for entry in &self.entries {
            connection.taken += entry.batch.docs.len() as u64;
            connection.window.sent(entry.seq, connection.taken);
        }
        self.place.advance(&self.entries, 0);
    }

    /// Writes what one call takes; `false` when the send queue is full.
    fn write(&mut self, connection: &mut Connection) -> Result<bool, SinkError> {
        connection.look()?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = self.place.slices(&self.entries, &mut slices);
        let bytes = match connection.stream.try_write_vectored(&slices[..used]) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(source) => return Err(connection.broken(source)),
        };
        let before = self.place.entry;
        self.place.advance(&self.entries, bytes);
        let whole = &self.entries[before..self.place.entry];
        connection.events_written += whole.iter().map(|entry| entry.batch.len() as u64).sum::<u64>();
        connection.written += bytes as u64;
        self.state.written(bytes as u64);
        let now = Instant::now();
        let unseen = connection.written - connection.sampled_written;
        if unseen >= SAMPLE_BYTES || now.duration_since(connection.sampled) >= SAMPLE_INTERVAL {
            self.sample(connection, now)?;
        }
        Ok(true)
    }

    /// Waits until there is room, something to send, news from the peer, or time to look at the send queue.
    ///
    /// Nothing here holds bytes, so an abandoned wait loses nothing.
    async fn wait(&mut self, connection: &mut Connection, mut timer: Pin<&mut Sleep>) -> Result<(), SinkError> {
        let unwritten = self.place.entry < self.entries.len();
        let deadline = connection.timeout();
        if let Some(deadline) = deadline
            && (timer.is_elapsed() || timer.deadline() > deadline.into())
        {
            timer.as_mut().reset(deadline.into());
        }
        tokio::select! {
            biased;
            ready = connection.stream.readable() => {
                ready.map_err(|source| connection.broken(source))?;
                if connection.take_input()? {
                    self.end(connection)?;
                }
            }
            ready = connection.stream.writable(), if unwritten => ready.map_err(|source| connection.broken(source))?,
            more = self.cursor.wait(), if !unwritten && !self.closed => self.closed = !more,
            () = timer, if deadline.is_some() => {}
        }
        let now = Instant::now();
        if connection.timeout().is_some_and(|deadline| deadline <= now) {
            self.sample(connection, now)?;
        }
        Ok(())
    }

    /// Reads the send queue and releases what may be released.
    fn sample(&mut self, connection: &mut Connection, now: Instant) -> Result<(), SinkError> {
        (connection.sampled, connection.sampled_written) = (now, connection.written);
        let queued = outq::unacknowledged(&connection.stream);
        // In this order: a reading taken after the end says nothing, and only a look tells that it was not.
        if connection.look()? {
            return self.end(connection);
        }
        // Where the system cannot tell, bytes count from when they were written, and only time releases them.
        connection.window.observe(connection.written, queued.unwrap_or(0), now);
        if let Some(through) = connection.window.poll_release(now) {
            self.ack(connection, through);
        }
        if connection.window.is_stalled(now) {
            self.state.stalled(&connection.peer);
        } else {
            self.state.delivering(&connection.peer);
        }
        Ok(())
    }

    /// Takes the peer's end in answer to ours.
    fn end(&mut self, connection: &mut Connection) -> Result<(), SinkError> {
        // This reading is taken after the end, but of a connection that closed in order: an error shows, and what the
        // peer had not acknowledged stays counted.
        let queued = outq::unacknowledged(&connection.stream).unwrap_or(0);
        let error = connection.stream.take_error();
        if let Some(source) = error.map_err(|source| connection.broken(source))? {
            return Err(connection.broken(source));
        }
        if let Some(through) = connection.window.ended_cleanly(connection.written, queued) {
            self.ack(connection, through);
        }
        if self.cursor.is_finished() { Ok(()) } else { Err(connection.ended()) }
    }

    fn ack(&mut self, connection: &mut Connection, through: Seq) {
        let acked = self.cursor.ack(through);
        connection.events_released += acked.events;
        self.state.delivered(acked.events);
    }

    /// Goes back to the first unreleased entry, counting the events that will be sent again.
    fn take_back(&mut self, connection: &mut Connection) {
        connection.window.dead();
        let cut = self.entries.get(self.place.entry).map_or(0, |entry| {
            let whole = entry.batch.marks.partition_point(|mark| mark.end as usize <= self.place.offset);
            let last = whole.checked_sub(1).map_or(0, |last| entry.batch.marks[last].end as usize);
            (whole + usize::from(self.place.offset > last)) as u64
        });
        self.state.retried(connection.events_written + cut - connection.events_released);
        self.entries.clear();
        self.place = Place::default();
        self.cursor.rewind();
    }
}

/// One connection and what it has carried.
struct Connection {
    stream: TcpStream,
    /// Host and address, for errors and the log.
    peer: String,
    window: ReleaseWindow,
    since: Instant,
    /// Bytes of all entries read for it.
    taken: u64,
    /// Bytes the kernel has taken.
    written: u64,
    events_written: u64,
    events_released: u64,
    sampled: Instant,
    sampled_written: u64,
    half_closed: bool,
}

impl Connection {
    fn new(stream: TcpStream, peer: String, plan: &LogstashTcpPlan) -> Self {
        let now = Instant::now();
        let resend_bytes = if outq::SUPPORTED { plan.resend_bytes } else { u64::MAX };
        Self {
            stream,
            peer,
            window: ReleaseWindow::new(plan.settle, resend_bytes),
            since: now,
            taken: 0,
            written: 0,
            events_written: 0,
            events_released: 0,
            sampled: now,
            sampled_written: 0,
            half_closed: false,
        }
    }

    /// When the send queue has to be looked at next.
    fn timeout(&self) -> Option<Instant> {
        // What was written and never sampled is not known to the machine yet.
        let unseen = (self.written > self.sampled_written).then(|| self.sampled + SAMPLE_INTERVAL);
        [unseen, self.window.poll_timeout()].into_iter().flatten().min()
    }

    /// Looks, past the runtime's own idea of readiness, for an error, input or the peer's end; `true` is its end in
    /// answer to ours. Input is thrown away: json_lines has no answers.
    fn look(&self) -> Result<bool, SinkError> {
        let mut scratch = [0; 4096];
        let mut discarded = 0;
        while discarded < DISCARD_MAX {
            match recv(&self.stream, &mut scratch[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return self.end_seen(),
                Ok((_, bytes)) => discarded += bytes,
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.broken(error.into())),
            }
        }
        Ok(false)
    }

    /// As [`look`](Self::look), through the runtime, so that its readiness is used up.
    fn take_input(&self) -> Result<bool, SinkError> {
        let mut scratch = [0; 4096];
        let mut discarded = 0;
        while discarded < DISCARD_MAX {
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return self.end_seen(),
                Ok(bytes) => discarded += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(false)
    }

    fn end_seen(&self) -> Result<bool, SinkError> {
        if self.half_closed { Ok(true) } else { Err(self.ended()) }
    }

    fn broken(&self, source: io::Error) -> SinkError {
        SinkError::Broken { peer: self.peer.clone(), source }
    }

    fn ended(&self) -> SinkError {
        SinkError::PeerEnded { peer: self.peer.clone() }
    }
}

/// Ends when nothing is left to deliver: the buffer is closed and all of it acked, or shall be left to the next start. Abandoning
/// it loses nothing.
async fn finished(cursor: &mut Cursor) {
    if !cursor.wait().await && cursor.is_finished() {
        return;
    }
    // There is something to deliver, and without a connection only that changes it.
    cursor.settled().await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::net::TcpSocket;
    use tokio::time::timeout;

    use super::*;
    use crate::sink::Condition;
    use crate::sink::SinkKind;
    use crate::sink::tests::MOMENT;
    use crate::sink::tests::Relay;

    /// Above what the kernel of a [`Logstash`] holds for it.
    const RESEND: usize = 2 << 20;

    fn plan(hosts: &[SocketAddr]) -> LogstashTcpPlan {
        LogstashTcpPlan {
            hosts: hosts.iter().map(SocketAddr::to_string).collect(),
            connect_timeout: Duration::from_secs(5),
            settle: Duration::from_millis(400),
            resend_bytes: RESEND as u64,
            user_timeout: Duration::from_secs(300),
        }
    }

    /// A Logstash that does what it is told.
    struct Logstash {
        listener: TcpListener,
        /// Everything read on connections that were told to read, torn last lines of cut ones removed.
        lines: Vec<String>,
    }

    impl Logstash {
        async fn new() -> Self {
            Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
        }

        /// An address at which nothing listens yet.
        async fn absent() -> SocketAddr {
            Self::new().await.address()
        }

        async fn at(address: SocketAddr) -> Self {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("an option");
            socket.set_recv_buffer_size(256 << 10).expect("an option");
            socket.bind(address).expect("the port is free");
            Self { listener: socket.listen(16).expect("a listener"), lines: Vec::new() }
        }

        fn address(&self) -> SocketAddr {
            self.listener.local_addr().expect("bound")
        }

        async fn accept(&self) -> TcpStream {
            timeout(MOMENT, self.listener.accept()).await.expect("a connection in time").expect("a connection").0
        }

        /// Reads about so many bytes and resets the connection with the rest unread.
        async fn read_and_cut(&mut self, mut stream: TcpStream, bytes: usize) {
            let mut text = vec![0; bytes];
            timeout(MOMENT, stream.read_exact(&mut text)).await.expect("bytes in time").expect("that many bytes");
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
            drop(stream);
            self.keep(&text);
        }

        async fn read_to_end(&mut self, mut stream: TcpStream) {
            let mut text = Vec::new();
            timeout(MOMENT, stream.read_to_end(&mut text)).await.expect("an end in time").expect("a clean end");
            assert!(text.is_empty() || text.ends_with(b"\n"), "a clean end is between lines");
            self.keep(&text);
        }

        fn keep(&mut self, text: &[u8]) {
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let text = str::from_utf8(&text[..whole]).expect("text");
            self.lines.extend(text.lines().map(str::to_owned));
        }

        /// Checks that every document arrived unharmed; gives how many came more than once.
        #[track_caller]
        fn has_all(&self, relay: &Relay, count: usize) -> usize {
            let mut seen = BTreeMap::<&str, usize>::new();
            for line in &self.lines {
                *seen.entry(line).or_default() += 1;
            }
            let text = relay.text(0..count);
            assert!(text.lines().all(|line| seen.contains_key(line)), "every line arrives");
            assert_eq!(seen.len(), count, "nothing else arrives");
            self.lines.len() - count
        }
    }

    #[tokio::test]
    async fn an_absent_peer_that_appears_gets_everything_in_order() {
        let address = Logstash::absent().await;
        let mut relay = Relay::new(1);
        let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[address])));
        relay.send(0..1_000).await;
        relay.until(|relay| relay.states[0].counts().failures > 0).await;
        assert!(relay.states[0].last_error().expect("an error").text.contains("cannot connect to 127.0.0.1"));
        let mut logstash = Logstash::at(address).await;
        let stream = logstash.accept().await;
        relay.drain();
        logstash.read_to_end(stream).await;
        relay.ends(sink).await.expect("all is delivered");
        assert_eq!(logstash.lines.join("\n") + "\n", relay.text(0..1_000));
        relay.reconciles(0);
        assert_eq!(relay.states[0].counts().events_retried, 0);
        assert_eq!(relay.states[0].condition(), Condition::Ended);
    }

    #[tokio::test]
    async fn a_peer_that_is_cut_in_mid_stream_gets_every_line_whole_and_few_twice() {
        const COUNT: usize = 100_000;
        let mut logstash = Logstash::new().await;
        let mut relay = Relay::new(1);
        relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(200));
        // Nobody reads while the buffer is filled, so settle must not run out meanwhile: bytes alone release here.
        let plan = LogstashTcpPlan { settle: MOMENT, ..plan(&[logstash.address()]) };
        let sink = relay.start_plan(SinkKind::LogstashTcp(plan));
        relay.send(0..COUNT).await;
        for bytes in [1, 3_000_001, 12_000_003] {
            let stream = logstash.accept().await;
            logstash.read_and_cut(stream, bytes).await;
        }
        let stream = logstash.accept().await;
        relay.drain();
        logstash.read_to_end(stream).await;
        relay.ends(sink).await.expect("all is delivered");
        let twice = logstash.has_all(&relay, COUNT);
        let retried = relay.states[0].counts().events_retried;
        assert!(twice as u64 <= retried, "{twice} came twice, {retried} were sent again");
        // Released late are the last resend_bytes, and what the send queue (4 MiB at most) moved since it was last read.
        let bound = (3_000_002 + RESEND + (5 << 20)) / 200;
        assert!(twice < bound, "{twice} came twice");
        relay.reconciles(0);
    }

    #[tokio::test]
    async fn a_peer_that_stops_reading_stalls_and_loses_nothing() {
        let mut logstash = Logstash::new().await;
        let mut relay = Relay::bounded(1, 12 << 20);
        relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(2_000));
        let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
        let stream = logstash.accept().await;
        let sending = async {
            relay.send(0..20_000).await;
            relay.drain();
        };
        let reading = async {
            relay.until(|relay| relay.states[0].condition() == Condition::Stalled).await;
            let stat = relay.buffer.stat();
            assert!(stat.events > 0 && stat.bytes <= 12 << 20);
            logstash.read_to_end(stream).await;
        };
        tokio::join!(sending, reading);
        relay.ends(sink).await.expect("all is delivered");
        assert_eq!(logstash.has_all(&relay, 20_000), 0);
        relay.reconciles(0);
    }

    #[tokio::test]
    async fn a_dead_sink_holds_another_back_only_at_the_bound() {
        let mut logstash = Logstash::new().await;
        let dead = Logstash::absent().await;
        let mut relay = Relay::bounded(2, 256 << 10);
        relay.padding = format!(",\"pad\":\"{}\"", "x".repeat(1_000));
        let alive = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
        let dead = relay.start_plan(SinkKind::LogstashTcp(plan(&[dead])));
        let mut stream = logstash.accept().await;
        let batch = relay.text(0..10).len() as u64 * 2;
        tokio::select! {
            () = relay.send(0..1_000) => panic!("the bound holds it back"),
            () = relay.until(|relay| relay.buffer.stat().bytes > (256 << 10) - batch) => {}
        }
        let mut text = vec![0; 200 << 10];
        timeout(MOMENT, stream.read_exact(&mut text)).await.expect("it is not held back").expect("what fits in the buffer");
        relay.until(|relay| relay.buffer.stat().cursors[0].events == 0).await;
        let stat = relay.buffer.stat();
        assert!(stat.bytes <= 256 << 10 && stat.events == stat.events_appended && stat.events >= 200);
        relay.reconciles(0);
        relay.drain();
        logstash.read_to_end(stream).await;
        relay.ends(alive).await.expect("all is delivered");
        relay.stop.advance(Phase::Stop);
        relay.ends(dead).await.expect("it is stopped");
        assert_eq!(relay.buffer.stat().cursors[1].events, stat.events);
    }

    #[tokio::test]
    async fn the_next_host_takes_over_when_one_ends() {
        let (mut first, mut second) = (Logstash::new().await, Logstash::new().await);
        let mut relay = Relay::new(1);
        let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[first.address(), second.address()])));
        let stream = first.accept().await;
        relay.send(0..10).await;
        first.read_and_cut(stream, 50).await;
        let stream = second.accept().await;
        relay.drain();
        second.read_to_end(stream).await;
        relay.ends(sink).await.expect("all is delivered");
        assert_eq!(second.has_all(&relay, 10), 0);
        assert_eq!(relay.states[0].counts().events_retried, 10);
    }

    #[tokio::test]
    async fn an_idle_peers_end_is_noticed_and_what_it_says_is_thrown_away() {
        let logstash = Logstash::new().await;
        let mut relay = Relay::new(1);
        let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
        let mut stream = logstash.accept().await;
        stream.write_all(b"hello, who is there?\n").await.expect("a connection");
        drop(stream);
        relay.until(|relay| relay.states[0].counts().failures == 1).await;
        let _again = logstash.accept().await;
        relay.drain();
        relay.ends(sink).await.expect("nothing is left");
    }

    #[tokio::test]
    async fn a_peer_that_never_ends_is_released_by_settle() {
        let logstash = Logstash::new().await;
        let mut relay = Relay::new(1);
        let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
        let mut stream = logstash.accept().await;
        relay.send(0..10).await;
        relay.drain();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("a half-close");
        relay.ends(sink).await.expect("settle releases it");
        assert_eq!(text, relay.text(0..10).into_bytes());
        relay.reconciles(0);
    }

    #[tokio::test]
    async fn the_hard_limit_leaves_what_is_unreleased_in_the_buffer() {
        let logstash = Logstash::new().await;
        let mut relay = Relay::new(1);
        let sink = relay.start_plan(SinkKind::LogstashTcp(plan(&[logstash.address()])));
        let _stream = logstash.accept().await;
        relay.padding = "x".repeat(1_000_000);
        relay.send(0..20).await;
        relay.until(|relay| relay.states[0].counts().bytes_written > 0).await;
        relay.drain();
        relay.stop.advance(Phase::Stop);
        relay.ends(sink).await.expect("it stops");
        relay.reconciles(20);
    }
}
