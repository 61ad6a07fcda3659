//! Connections that carry so much and are ended: what came on one counts as delivered when the peer ends it, too.
//!
//! A peer that closes with something unread resets the connection, so an end in order says that everything was read. Each
//! connection keeps what it carries until then; whatever may not have arrived goes first on the next one. While connections end,
//! the next one is written to, and entries are acked in their order whichever ends first.

mod batch;

use std::collections::VecDeque;
use std::future::pending;
use std::io::IoSlice;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::sleep_until;

use self::batch::Batch;
use super::BYTES_MAX;
use super::ENTRIES_MAX;
use super::SAMPLE_INTERVAL;
use super::link::Link;
use crate::backoff::Backoff;
use crate::buffer::Entry;
use crate::net::stream::Stream;
use crate::seq::Seq;
use crate::sink::Condition;
use crate::sink::RotatePlan;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::connect::Dialer;
use crate::sink::place::SLICES;
use crate::sink::supply::Supply;
use crate::wire::json_lines::ReleaseWindow;

/// Connections that may be ending before no further one is opened. Each holds a batch in memory.
const ENDING_MAX: usize = 2;

/// How long a send queue may stand still before the peer has stopped reading.
const STALL: Duration = Duration::from_secs(2);

/// How long no connection that was ended may be answered before the peer has stopped taking documents; half its limit where that is
/// less.
const OVERDUE: Duration = Duration::from_secs(10);

/// How often a connection that ends is looked at when nothing happens on it.
const LOOK: Duration = Duration::from_secs(1);

/// Delivers by connections that are ended.
pub(super) struct Rotation<'a> {
    plan: RotatePlan,
    hosts: &'a [String],
    dialer: &'a Dialer,
    supply: &'a mut Supply,
    state: &'a SinkState,
    /// Entries read and not acked, in order, and whether the peer has them.
    open: VecDeque<(Seq, bool)>,
    /// What goes next, in order: what is sent again, and what did not fit.
    next: VecDeque<Entry>,
    ending: JoinSet<(Batch, Result<(), SinkError>)>,
    host: usize,
    backoff: Backoff,
    /// No connection is made before then.
    not_before: Instant,
    /// Whether the last connection came about and nothing has failed since.
    is_up: bool,
    /// Whether the peer has taken what it was given last, or there was nothing to give it.
    is_proven: bool,
    /// Since when none of the connections that were ended has been answered; none where there are none.
    unanswered: Option<Instant>,
    /// Whether nothing more is to be read.
    closed: bool,
}

impl<'a> Rotation<'a> {
    pub(super) fn new(
        plan: RotatePlan,
        hosts: &'a [String],
        dialer: &'a Dialer,
        supply: &'a mut Supply,
        state: &'a SinkState,
    ) -> Self {
        Self {
            plan,
            hosts,
            dialer,
            supply,
            state,
            open: VecDeque::new(),
            next: VecDeque::new(),
            ending: JoinSet::new(),
            host: 0,
            backoff: Backoff::default(),
            not_before: Instant::now(),
            is_up: false,
            is_proven: false,
            unanswered: None,
            closed: false,
        }
    }

    /// Goes from connection to connection until everything is acked.
    pub(super) async fn deliver(&mut self) {
        while !self.is_done() {
            // The first one says whether there is anybody; after that there has to be something to send.
            if self.ending.len() > ENDING_MAX || self.is_up && self.next.is_empty() {
                self.rest().await;
                continue;
            }
            match self.connect().await {
                None => {}
                Some(Ok((stream, peer))) => {
                    self.is_up = true;
                    self.state.connected();
                    self.is_proven |= self.open.is_empty();
                    if self.is_proven && !self.is_overdue() {
                        self.state.delivering(&peer);
                    }
                    self.carry(Link::new(stream, peer)).await;
                }
                Some(Err(error)) => self.failed(&error),
            }
        }
    }

    /// Whether there is nothing left to do: all is acked, or stays in the buffer for the next start.
    fn is_done(&self) -> bool {
        self.closed && self.ending.is_empty() && (self.open.is_empty() || self.supply.is_settled())
    }

    /// Waits until a connection has ended or there is something to send.
    async fn rest(&mut self) {
        let may_open = self.ending.len() <= ENDING_MAX;
        let overdue = self.overdue();
        tokio::select! {
            biased;
            Some(ended) = self.ending.join_next() => self.ended(ended.expect("an end does not panic")),
            more = self.supply.wait(), if may_open && !self.closed => {
                self.closed = !more;
                self.refill();
            }
            () = at(overdue) => self.state.stalled(&self.hosts[self.host]),
        }
    }

    /// When it has to be said that no ended connection is answered.
    fn overdue(&self) -> Option<Instant> {
        let overdue = self.unanswered.map(|since| since + OVERDUE.min(self.plan.end_timeout / 2));
        overdue.filter(|_| !matches!(self.state.condition(), Condition::Stalled | Condition::Failed | Condition::Paused))
    }

    fn is_overdue(&self) -> bool {
        self.unanswered.is_some_and(|since| since.elapsed() >= OVERDUE.min(self.plan.end_timeout / 2))
    }

    /// Connects, while others end; nothing when there is no use in it any more.
    async fn connect(&mut self) -> Option<Result<(Stream, String), SinkError>> {
        let (hosts, dialer, state, not_before) = (self.hosts, self.dialer, self.state, self.not_before);
        let (mut host, is_up) = (self.host, self.is_up);
        let mut started = self.backoff;
        let connecting = async {
            sleep_until(not_before.into()).await;
            if !is_up {
                state.connecting();
            }
            started.start(Instant::now());
            let connected = dialer.connect_any(hosts, &mut host).await;
            (connected, host, started)
        };
        tokio::pin!(connecting);
        loop {
            let is_idle = self.next.is_empty();
            let overdue = self.overdue();
            tokio::select! {
                biased;
                Some(ended) = self.ending.join_next() => self.ended(ended.expect("an end does not panic")),
                () = at(overdue) => self.state.stalled(&self.hosts[self.host]),
                more = more(self.supply, is_idle), if !self.closed => {
                    self.closed = !more;
                    self.refill();
                }
                (connected, host, started) = &mut connecting => {
                    (self.host, self.backoff) = (host, started);
                    return Some(connected);
                }
            }
            if self.is_done() {
                return None;
            }
        }
    }

    /// Reads the next entries under one lock, where there are none.
    fn refill(&mut self) {
        if !self.next.is_empty() {
            return;
        }
        let mut entries = Vec::new();
        self.supply.read(ENTRIES_MAX, BYTES_MAX.min(usize::try_from(self.plan.bytes).unwrap_or(usize::MAX)), &mut entries);
        self.open.extend(entries.iter().map(|entry| (entry.seq, false)));
        self.next.extend(entries);
    }

    /// Has a connection carry what it may, and lets it end.
    async fn carry(&mut self, mut link: Link) {
        let mut batch = Batch { host: self.host, ..Batch::default() };
        match self.fill(&mut link, &mut batch).await {
            Ok(()) if batch.entries.is_empty() => {
                // Nothing depends on how it ends; a peer that can be told in passing is.
                link.end();
                let _ = link.look().and_then(|_| link.push());
            }
            Ok(()) => {
                let limit = self.plan.end_timeout;
                self.unanswered.get_or_insert_with(Instant::now);
                self.ending.spawn(async move {
                    let ended = end(link, limit).await;
                    (batch, ended)
                });
            }
            Err(error) => self.take_back(batch, &error),
        }
    }

    /// Writes to a connection until it has carried enough or there is nothing more.
    async fn fill(&mut self, link: &mut Link, batch: &mut Batch) -> Result<(), SinkError> {
        let mut stall = ReleaseWindow::new(STALL, u64::MAX);
        let mut looked = Instant::now();
        loop {
            let now = Instant::now();
            let is_over = batch.begun.is_some_and(|begun| now.duration_since(begun) >= self.plan.interval);
            self.refill();
            while let Some(entry) = self.next.pop_front_if(|entry| !is_over && batch.has_room(&self.plan, entry)) {
                batch.push(entry);
                batch.place.advance(&batch.entries, 0);
            }
            let is_enough = is_over || batch.is_full(&self.plan) || !self.next.is_empty();
            if !batch.is_written() {
                if self.write(link, batch)? {
                    // A write that succeeds at once does not wait, so others get their turn here.
                    consume_budget().await;
                    continue;
                }
            } else if is_enough || self.closed && self.next.is_empty() {
                return Ok(());
            }
            link.push()?;
            if now.duration_since(looked) >= SAMPLE_INTERVAL {
                looked = now;
                stall.observe(link.written, link.queued().unwrap_or(0), now);
                if stall.is_stalled(now) || self.is_overdue() {
                    self.state.stalled(&link.peer);
                } else if self.is_proven {
                    self.state.delivering(&link.peer);
                }
            }
            self.wait(link, batch, looked + SAMPLE_INTERVAL).await?;
        }
    }

    /// Writes what one call takes; `false` when the send queue is full.
    fn write(&mut self, link: &mut Link, batch: &mut Batch) -> Result<bool, SinkError> {
        link.look()?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = batch.place.slices(&batch.entries, &mut slices);
        let bytes = link.write(&slices[..used])?;
        batch.place.advance(&batch.entries, bytes);
        self.state.written(bytes as u64);
        Ok(bytes > 0)
    }

    /// Waits until there is room, something to send, news from a peer, or time for something. An abandoned wait loses nothing.
    async fn wait(&mut self, link: &mut Link, batch: &Batch, look: Instant) -> Result<(), SinkError> {
        let is_writing = !batch.is_written() || link.is_held_back();
        let wants_more = batch.is_written() && self.next.is_empty() && !self.closed;
        let over = batch.begun.filter(|_| !is_writing).map(|begun| begun + self.plan.interval);
        let due = [over, is_writing.then_some(look)].into_iter().flatten().min();
        let overdue = self.overdue();
        tokio::select! {
            biased;
            Some(ended) = self.ending.join_next() => self.ended(ended.expect("an end does not panic")),
            ready = link.readable() => {
                ready?;
                // Its end is an error here, because it was not asked for.
                link.take_input()?;
            }
            ready = link.writable(), if is_writing => ready?,
            more = self.supply.wait(), if wants_more => self.closed = !more,
            () = at(due) => {}
            () = at(overdue) => self.state.stalled(&link.peer),
        }
        Ok(())
    }

    /// Sees to what a connection that was ended has carried.
    fn ended(&mut self, (batch, result): (Batch, Result<(), SinkError>)) {
        if let Err(error) = result {
            self.unanswered = self.unanswered.filter(|_| !self.ending.is_empty());
            return self.take_back(batch, &error);
        }
        self.unanswered = (!self.ending.is_empty()).then(Instant::now);
        if batch.host == self.host {
            self.backoff.succeed();
            self.is_proven = true;
            self.state.delivering(&self.hosts[self.host]);
        }
        for entry in &batch.entries {
            let at = self.open.partition_point(|(seq, _)| *seq < entry.seq);
            let (seq, is_there) = self.open.get_mut(at).expect("what was read and not acked is open");
            debug_assert_eq!(*seq, entry.seq, "what was read and not acked is open");
            *is_there = true;
        }
        let mut through = None;
        while let Some((seq, _)) = self.open.pop_front_if(|(_, is_there)| *is_there) {
            through = Some(seq);
        }
        if let Some(through) = through {
            let acked = self.supply.ack(through);
            self.state.delivered(acked.events);
        }
    }

    /// Lets everything on a connection be sent again, before anything that comes later.
    fn take_back(&mut self, batch: Batch, error: &SinkError) {
        self.state.retried(batch.touched());
        self.next.extend(batch.entries);
        self.next.make_contiguous().sort_unstable_by_key(|entry| entry.seq);
        if batch.host == self.host {
            self.failed(error);
        } else {
            // It is left already, and says nothing of the one in use.
            self.state.failed_in_part(error, true);
        }
    }

    fn failed(&mut self, error: &SinkError) {
        (self.is_up, self.is_proven) = (false, false);
        self.host = (self.host + 1) % self.hosts.len();
        self.state.failed(error);
        self.not_before = self.backoff.fail(Instant::now(), crate::sink::draw());
    }
}

/// Waits until then, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}

/// Waits for something to read where that `is_wanted`, or until there never will be; with `false` for the latter.
async fn more(supply: &mut Supply, is_wanted: bool) -> bool {
    if is_wanted {
        return supply.wait().await;
    }
    supply.settled().await;
    false
}

/// Ends a connection and waits for the peer to end it, too. The limit begins anew whenever its kernel takes something.
async fn end(mut link: Link, limit: Duration) -> Result<(), SinkError> {
    link.end();
    let (mut least, mut moved) = (u64::MAX, Instant::now());
    loop {
        link.push()?;
        if link.take_input()? {
            link.check()?;
            return if link.queued_at_the_end() == 0 { Ok(()) } else { Err(link.ended()) };
        }
        let (queued, now) = (link.queued().unwrap_or(0), Instant::now());
        if queued < least {
            (least, moved) = (queued, now);
        }
        if now.duration_since(moved) >= limit {
            return Err(SinkError::Late { peer: link.peer, after: limit });
        }
        let look = (now + LOOK).min(moved + limit);
        tokio::select! {
            ready = link.readable() => ready?,
            ready = link.writable(), if link.is_held_back() => ready?,
            () = sleep_until(look.into()) => {}
        }
    }
}

#[cfg(test)]
mod tests;
