//! The loop of a sink whose destination answers: parcels go out, several at once, and what becomes of each document is seen to.
//!
//! It knows no protocol; its [`Courier`] does. What may pass is sent again for ever, what is too large is sent in halves, what is
//! refused for good goes to the dead letters, and an entry is acked when all of it has arrived or is there. It drops nothing.

mod again;
mod courier;
mod hold;
mod land;
mod settle;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::sleep_until;

pub(super) use crate::sink::dispatch::courier::Courier;
pub(super) use crate::sink::dispatch::courier::Delivery;
pub(super) use crate::sink::dispatch::courier::Failed;
pub(super) use crate::sink::dispatch::courier::Fate;

use crate::buffer::Entry;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::dead_letters::DeadLetters;
use crate::sink::dispatch::again::Again;
use crate::sink::dispatch::courier::Flight;
use crate::sink::dispatch::hold::Hold;
use crate::sink::filling::Filling;
use crate::sink::ledger::Ledger;
use crate::sink::pace::Pace;
use crate::sink::pace::PacePlan;
use crate::sink::parcel::Bounds;
use crate::sink::parcel::Parcel;
use crate::sink::supply::Supply;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// Entries read from the buffer under one lock.
const ENTRIES_MAX: usize = 256;

/// While requests are under way, a parcel that is not full waits so long for more.
const LINGER: Duration = Duration::from_millis(200);

/// Delivers until the buffer is closed and all of it is acked, or until [`Phase::Stop`].
pub(super) async fn run<C: Courier>(
    courier: C,
    plan: PacePlan,
    cursor: &mut Supply,
    letters: DeadLetters,
    state: Arc<SinkState>,
    mut stop: StopWatch,
) -> Result<(), SinkError> {
    let mut dispatch = Dispatch {
        courier: Arc::new(courier),
        state,
        cursor,
        letters,
        pace: Pace::new(plan),
        held_bytes_max: plan.held_bytes,
        ledger: Ledger::default(),
        filling: Filling::new(LINGER),
        again: Again::default(),
        flights: JoinSet::new(),
        flying_bytes: 0,
        storing: JoinSet::new(),
        storing_bytes: 0,
        stranded: 0,
        arrivals: 0,
        has_arrived: false,
        stuck: None,
        hold: Hold::default(),
        greeted: false,
        closed: false,
    };
    // Nothing is lost at the last phase: what is not settled stays unacked in the buffer.
    tokio::select! {
        biased;
        () = stop.reached(Phase::Stop) => {}
        () = dispatch.deliver() => {}
    }
    Ok(())
}

struct Dispatch<'a, C> {
    courier: Arc<C>,
    state: Arc<SinkState>,
    cursor: &'a mut Supply,
    letters: DeadLetters,
    pace: Pace,
    held_bytes_max: usize,
    ledger: Ledger,
    filling: Filling,
    /// To be sent again, each not before a moment.
    again: Again,
    flights: JoinSet<Flight>,
    /// Bytes that those keep in memory.
    flying_bytes: usize,
    storing: JoinSet<(Parcel, bool)>,
    /// Bytes that those keep in memory.
    storing_bytes: usize,
    /// Documents that can neither arrive nor become dead letters any more.
    stranded: u64,
    /// Documents that have arrived.
    arrivals: u64,
    /// Whether some have since the destination last refused to take all of a request.
    has_arrived: bool,
    /// Until when documents that it did not take count as not taken, whatever else it takes.
    stuck: Option<Instant>,
    hold: Hold,
    /// Whether the destination has been greeted since the last pause.
    greeted: bool,
    /// Nothing more is to be read.
    closed: bool,
}

impl<C: Courier> Dispatch<'_, C> {
    async fn deliver(&mut self) {
        self.state.connecting();
        loop {
            self.launch();
            if self.is_done() {
                return;
            }
            let timer = self.timer();
            let wants_more = self.wants_more();
            tokio::select! {
                biased;
                Some(flight) = self.flights.join_next() => {
                    let flight = flight.expect("a courier does not panic");
                    self.flying_bytes -= flight.parcel.held();
                    self.land(flight);
                }
                Some(stored) = self.storing.join_next() => self.stored(stored.expect("storing does not panic")),
                more = self.cursor.more(wants_more), if !self.closed => if more { self.refill() } else { self.closed = true },
                () = async { match timer { Some(at) => sleep_until(at.into()).await, None => pending().await } } => {}
            }
        }
    }

    /// Whether there is nothing left to do: all is acked, or stays in the buffer for the next start.
    fn is_done(&self) -> bool {
        if !self.closed || !self.flights.is_empty() || !self.storing.is_empty() {
            return false;
        }
        self.ledger.events() == self.stranded || self.cursor.is_settled()
    }

    /// Whether nothing more is sent: what is not settled stays in the buffer.
    fn is_over(&self) -> bool {
        self.closed && self.cursor.is_settled()
    }

    /// Whether a further document could be sent soon.
    fn wants_more(&self) -> bool {
        // Without a document at hand it goes on reading while it is held: there may be nothing but what is another sink's.
        let is_held = self.hold.until().is_some() && self.has_documents();
        !self.closed && self.held() < self.held_bytes_max && !is_held && !self.filling.is_full(&self.bounds())
    }

    /// Bytes kept in memory for what was sent and is not settled.
    fn held(&self) -> usize {
        self.flying_bytes + self.again.held() + self.storing_bytes
    }

    fn bounds(&self) -> Bounds {
        Bounds { bytes: self.pace.bytes(), each: self.courier.each(), events: self.courier.events_max() }
    }

    /// When something is due that nothing else wakes it for.
    fn timer(&self) -> Option<Instant> {
        let now = super::now();
        if self.is_over() {
            return None;
        }
        if let Some(hold) = self.hold.until().filter(|hold| *hold > now) {
            return self.has_some().then_some(hold);
        }
        if !self.greeted || self.flights.len() >= self.pace.concurrency() {
            return None;
        }
        [self.again.next(), self.filling.due_at()].into_iter().flatten().min()
    }

    fn has_some(&self) -> bool {
        self.has_documents() || !self.greeted
    }

    fn has_documents(&self) -> bool {
        !self.filling.is_empty() || !self.again.is_empty()
    }

    /// Reads what there is, about as much as a parcel takes.
    fn refill(&mut self) {
        let mut entries: Vec<Entry> = Vec::new();
        self.cursor.read(ENTRIES_MAX, self.pace.bytes(), &mut entries);
        for entry in entries {
            self.ledger.add(&entry);
            self.filling.add(entry);
        }
        self.filling.pack(&self.bounds(), super::now());
        self.ack();
    }

    /// Sends what can be sent now.
    fn launch(&mut self) {
        let now = super::now();
        if self.hold.is_on(now) || self.is_over() {
            return;
        }
        if !self.greeted {
            // One at a time until the destination is known to be there.
            if self.flights.is_empty() {
                self.hold.start(now);
                let (courier, state) = (self.courier.clone(), self.state.clone());
                self.flights.spawn(async move {
                    let result = courier.greet(&state).await.map(|()| Delivery::default());
                    Flight { parcel: Parcel::default(), sent: now, was_full: false, was_alone: false, result }
                });
            }
            return;
        }
        while self.flights.len() < self.pace.concurrency() {
            let Some(parcel) = self.due(now) else { return };
            self.hold.start(now);
            self.flying_bytes += parcel.held();
            let was_full = self.flights.len() + 1 >= self.pace.concurrency();
            let was_alone = was_full && self.flights.is_empty();
            let (courier, state) = (self.courier.clone(), self.state.clone());
            self.flights.spawn(async move {
                let result = courier.deliver(&parcel, &state).await;
                Flight { parcel, sent: now, was_full, was_alone, result }
            });
        }
    }

    /// The parcel to be sent now.
    fn due(&mut self, now: Instant) -> Option<Parcel> {
        let bounds = self.bounds();
        let is_idle = self.flights.is_empty() || self.closed;
        self.again.due(now, &bounds).or_else(|| self.filling.take(&bounds, now, is_idle))
    }
}

#[cfg(test)]
mod tests;
