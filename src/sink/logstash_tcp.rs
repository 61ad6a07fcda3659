//! The sink that streams documents to a Logstash `tcp` input: json_lines, one connection at a time.
//!
//! Documents end in newlines already, so entries go out as they lie in the buffer, many in one vectored write. What may
//! be acked is decided by [`ReleaseWindow`]; this file owns the socket and tells the machine what the kernel says.
//! Whatever is unreleased when a connection ends is read again from the buffer and sent again.

mod link;
mod rotate;

use std::io::IoSlice;
use std::pin::Pin;
use std::time::Duration;
use std::time::Instant;

use tokio::task::coop::consume_budget;
use tokio::time::Sleep;
use tokio::time::sleep_until;

use crate::backoff::Backoff;
use crate::buffer::Entry;
use crate::net::outq;
use crate::seq::Seq;
use crate::sink::LogstashTcpPlan;
use crate::sink::Release;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::connect::Dialer;
use crate::sink::logstash_tcp::link::Link;
use crate::sink::logstash_tcp::rotate::Rotation;
use crate::sink::place::Place;
use crate::sink::place::SLICES;
use crate::sink::supply::Supply;
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

/// Streams to the plan's hosts; see [`run`](crate::sink::run).
pub(super) async fn run(
    plan: LogstashTcpPlan,
    dialer: Dialer,
    cursor: &mut Supply,
    state: &SinkState,
    mut stop: StopWatch,
) -> Result<(), SinkError> {
    assert!(!plan.hosts.is_empty(), "a plan names at least one host");
    let (hosts, dialer) = (&plan.hosts, &dialer);
    let delivering = async {
        match plan.release {
            Release::Socket { settle, resend_bytes } => {
                let (entries, place) = (Vec::new(), Place::default());
                Sender { hosts, settle, resend_bytes, dialer, cursor, state, entries, place, closed: false }.deliver().await;
            }
            Release::Rotate(rotate) => Rotation::new(rotate, hosts, dialer, cursor, state).deliver().await,
        }
    };
    // Nothing is lost at the last phase: what is unreleased stays unacked in the buffer.
    tokio::select! {
        biased;
        () = stop.reached(Phase::Stop) => {}
        () = delivering => {}
    }
    Ok(())
}

/// What outlives a connection.
struct Sender<'a> {
    hosts: &'a [String],
    settle: Duration,
    resend_bytes: u64,
    dialer: &'a Dialer,
    cursor: &'a mut Supply,
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
            let (hosts, dialer, state) = (self.hosts, self.dialer, self.state);
            let connecting = async {
                sleep_until(next.into()).await;
                state.connecting();
                backoff.start(Instant::now());
                dialer.connect_any(hosts, &mut host).await
            };
            let connected = tokio::select! {
                biased;
                () = finished(self.cursor) => return,
                connected = connecting => connected,
            };
            let error = match connected {
                Ok((stream, peer)) => {
                    let mut connection = Connection::new(Link::new(stream, peer), self.settle, self.resend_bytes);
                    match self.serve(&mut connection).await {
                        Ok(()) => return,
                        Err(error) => {
                            self.take_back(&mut connection);
                            if connection.events_released > 0 || connection.since.elapsed() >= self.settle {
                                backoff.succeed();
                            }
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            host = (host + 1) % hosts.len();
            self.state.failed(&error);
            next = backoff.fail(Instant::now(), super::draw());
        }
    }

    /// Uses a connection until everything is acked or it fails.
    async fn serve(&mut self, connection: &mut Connection) -> Result<(), SinkError> {
        self.state.connected();
        self.state.delivering(&connection.link.peer);
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
            } else if self.closed && !connection.link.is_ending() {
                connection.link.end();
            }
            connection.link.push()?;
            if connection.window.is_empty() && self.cursor.is_finished() {
                // A socket closed over unread input resets the peer, which could then lose what it has not read.
                let _ = connection.link.look();
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
        connection.link.look()?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = self.place.slices(&self.entries, &mut slices);
        let bytes = connection.link.write(&slices[..used])?;
        if bytes == 0 {
            return Ok(false);
        }
        let before = self.place.entry;
        self.place.advance(&self.entries, bytes);
        let whole = &self.entries[before..self.place.entry];
        connection.events_written += whole.iter().map(|entry| entry.batch.len() as u64).sum::<u64>();
        self.state.written(bytes as u64);
        let now = Instant::now();
        let unseen = connection.link.written - connection.sampled_written;
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
            ready = connection.link.readable() => {
                ready?;
                if connection.link.take_input()? {
                    self.end(connection)?;
                }
            }
            ready = connection.link.writable(), if unwritten || connection.link.is_held_back() => ready?,
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
        (connection.sampled, connection.sampled_written) = (now, connection.link.written);
        let queued = connection.link.queued();
        // In this order: a reading taken after the end says nothing, and only a look tells that it was not.
        if connection.link.look()? {
            return self.end(connection);
        }
        // Where the system cannot tell, bytes count from when they were written, and only time releases them.
        connection.window.observe(connection.link.written, queued.unwrap_or(0), now);
        if let Some(through) = connection.window.poll_release(now) {
            self.ack(connection, through);
        }
        if connection.window.is_stalled(now) {
            self.state.stalled(&connection.link.peer);
        } else {
            self.state.delivering(&connection.link.peer);
        }
        Ok(())
    }

    /// Takes the peer's end in answer to ours.
    fn end(&mut self, connection: &mut Connection) -> Result<(), SinkError> {
        // This reading is taken after the end, but of a connection that closed in order: an error shows, and what the
        // peer had not acknowledged stays counted.
        let queued = connection.link.queued_at_the_end();
        connection.link.check()?;
        if let Some(through) = connection.window.ended_cleanly(connection.link.written, queued) {
            self.ack(connection, through);
        }
        if self.cursor.is_finished() { Ok(()) } else { Err(connection.link.ended()) }
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
    link: Link,
    window: ReleaseWindow,
    since: Instant,
    /// Bytes of all entries read for it.
    taken: u64,
    events_written: u64,
    events_released: u64,
    sampled: Instant,
    sampled_written: u64,
}

impl Connection {
    fn new(link: Link, settle: Duration, resend_bytes: u64) -> Self {
        let now = Instant::now();
        let resend_bytes = if outq::SUPPORTED { resend_bytes } else { u64::MAX };
        Self {
            link,
            window: ReleaseWindow::new(settle, resend_bytes),
            since: now,
            taken: 0,
            events_written: 0,
            events_released: 0,
            sampled: now,
            sampled_written: 0,
        }
    }

    /// When the send queue has to be looked at next.
    fn timeout(&self) -> Option<Instant> {
        // What was written and never sampled is not known to the machine yet.
        let unseen = (self.link.written > self.sampled_written).then(|| self.sampled + SAMPLE_INTERVAL);
        [unseen, self.window.poll_timeout()].into_iter().flatten().min()
    }
}

/// Ends when nothing is left to deliver: the buffer is closed and all of it acked, or shall be left to the next start. Abandoning
/// it loses nothing.
async fn finished(cursor: &mut Supply) {
    if !cursor.wait().await && cursor.is_finished() {
        return;
    }
    // There is something to deliver, and without a connection only that changes it.
    cursor.settled().await;
}

#[cfg(test)]
mod tests;
