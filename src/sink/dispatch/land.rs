//! What is done about what came back: documents that arrived are settled, and for all others it is decided whether, when and with how
//! many others they are sent again.

use std::time::Duration;
use std::time::Instant;

use crate::sink::SinkError;
use crate::sink::Verdict;
use crate::sink::dead_letters::Refusal;
use crate::sink::dispatch::Courier;
use crate::sink::dispatch::Delivery;
use crate::sink::dispatch::Dispatch;
use crate::sink::dispatch::Failed;
use crate::sink::dispatch::Fate;
use crate::sink::dispatch::LINGER;
use crate::sink::dispatch::courier::Flight;
use crate::sink::parcel::Parcel;

/// How long after their next attempt documents that the destination did not take still count as not taken.
const STUCK: Duration = Duration::from_secs(10);

/// Attempts after which documents that the destination has no time for count as not taken, too: it is about them and not about the time.
const STUBBORN: u32 = 3;

impl<C: Courier> Dispatch<'_, C> {
    /// Sees to what came back.
    pub(super) fn land(&mut self, flight: Flight) {
        let Flight { parcel, sent, was_full, was_alone, result } = flight;
        let is_greeting = parcel.is_empty();
        match result {
            Ok(_) if is_greeting => {
                self.greeted = true;
                // Where it was single documents that it refused, only their arrival shows that it does so no more.
                if !self.has_some() {
                    self.state.delivering(&self.courier.name());
                }
            }
            Ok(delivery) => self.arrived(&parcel, delivery, sent, was_full, was_alone),
            Err(Failed { error, retry_after }) if is_greeting => {
                self.pace.outage();
                self.failed(&error, sent, retry_after);
            }
            Err(failed) => self.lost(parcel, failed, sent, was_alone),
        }
    }

    /// A request came to nothing.
    fn failed(&mut self, error: &SinkError, sent: Instant, retry_after: Option<Duration>) {
        self.state.failed(error);
        // Whoever answers next may be another one.
        if error.verdict() == Verdict::Pause || error.is_unreached() {
            self.greeted = false;
        }
        self.hold.fail(sent, crate::sink::now(), retry_after, crate::sink::draw());
    }

    /// No document of a parcel has arrived, as far as anybody knows.
    fn lost(&mut self, mut parcel: Parcel, Failed { error, retry_after }: Failed, sent: Instant, was_alone: bool) {
        let now = crate::sink::now();
        let mut is_heavy = false;
        match error.verdict() {
            Verdict::Split if parcel.len() > 1 => {
                self.pace.too_large(parcel.bytes());
                tracing::debug!(sink = self.state.name(), error = error.words(), "sending it in halves");
                self.state.retried(parcel.len() as u64);
                self.again.first_in_halves(parcel);
                return;
            }
            Verdict::Split => return self.refuse(parcel.clone(), vec![Refusal::of(&error); parcel.len()]),
            Verdict::TooMuch => {
                self.pace.too_much(sent, now);
                // Whoever says how long to wait means the time and not the size.
                let weighs = was_alone && retry_after.is_none() && self.courier.weighs(&error);
                is_heavy = weighs && self.pace.too_much_alone(parcel.bytes(), now);
            }
            _ => self.pace.outage(),
        }
        self.failed(&error, sent, retry_after);
        self.state.retried(parcel.len() as u64);
        if error.is_of_sent() && parcel.lose(self.arrivals) {
            // Others get through and this one does not: what is at fault is looked for in halves, and then waits by itself.
            if parcel.len() > 1 {
                return self.again.first_in_halves(parcel);
            }
            parcel.tries.start(sent);
            let next = parcel.tries.fail(now, crate::sink::draw());
            return self.again.last(Some(next), parcel);
        }
        match self.hold.until() {
            _ if is_heavy => self.again.first_in_halves(parcel),
            // Others first, to see whether they get through.
            Some(until) if parcel.is_suspect() => self.again.last(Some(until + LINGER), parcel),
            _ => self.again.first(parcel),
        }
    }

    /// Some or all documents of a parcel have arrived.
    fn arrived(&mut self, parcel: &Parcel, delivery: Delivery, sent: Instant, was_full: bool, was_alone: bool) {
        let now = crate::sink::now();
        self.state.written(parcel.bytes() as u64);
        if delivery.others.is_empty() {
            self.hold.succeed();
            self.note_arrivals(parcel.len());
            self.pace.good(sent, now, was_full);
            self.settle(parcel, false);
            return self.is_well(now);
        }
        let mut others = delivery.others.iter().map(|(position, _)| *position).peekable();
        let good = parcel.pick((0..parcel.len()).filter(|position| others.next_if_eq(position).is_none()));
        self.note_arrivals(good.len());
        self.settle(&good, false);
        let (mut again, mut refused, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        let mut worst: Option<SinkError> = None;
        for (position, fate) in delivery.others {
            match fate {
                Fate::Again(error) => {
                    again.push(position);
                    if worst.as_ref().is_none_or(|worst| worst.verdict() < error.verdict()) {
                        worst = Some(error);
                    }
                }
                Fate::Refused(refusal) => {
                    refused.push(position);
                    refusals.push(refusal);
                }
            }
        }
        if !refused.is_empty() {
            self.refuse(parcel.pick(refused), refusals);
        }
        let Some(error) = worst else {
            self.hold.succeed();
            self.pace.good(sent, now, was_full);
            return self.is_well(now);
        };
        let rest = parcel.pick(again);
        self.not_yet(parcel, rest, &error, sent, was_alone);
    }

    /// These documents of an answered parcel are to be sent again, for the worst of the reasons that were given.
    fn not_yet(&mut self, parcel: &Parcel, mut rest: Parcel, error: &SinkError, sent: Instant, was_alone: bool) {
        let now = crate::sink::now();
        let verdict = error.verdict();
        let is_all = rest.len() == parcel.len();
        if !is_all {
            self.hold.succeed();
        }
        if verdict == Verdict::TooMuch {
            self.pace.too_much(sent, now);
            if !is_all {
                self.pace.took_some();
            } else if was_alone && self.courier.weighs(error) {
                // It is sent again within the bounds that there are then.
                self.pace.too_much_alone(parcel.bytes(), now);
            }
        }
        self.state.failed(error);
        rest.tries = parcel.tries;
        rest.tries.start(sent);
        let mut next = rest.tries.fail(now, crate::sink::draw());
        // As long as others arrive it is about these documents, such as their index, and they wait by themselves. So they do where it
        // did not take them before: that says nothing of others that it was not asked to take meanwhile.
        let is_first = is_all && matches!(verdict, Verdict::TooMuch | Verdict::Pause) && parcel.tries.failures() == 0;
        if is_first && !std::mem::take(&mut self.has_arrived) {
            if verdict == Verdict::Pause {
                self.pace.outage();
                self.greeted = false;
            }
            self.hold.fail(sent, now, None, crate::sink::draw());
            // Others are tried before them.
            next = self.hold.until().map_or(next, |until| next.max(until + LINGER));
        }
        if verdict != Verdict::TooMuch || rest.tries.failures() >= STUBBORN {
            self.stuck = Some(next + STUCK);
        }
        self.state.retried(rest.len() as u64);
        rest.compact();
        if is_all {
            self.again.together(next, rest);
        } else {
            self.again.last(Some(next), rest);
        }
    }

    fn note_arrivals(&mut self, documents: usize) {
        self.arrivals += documents as u64;
        self.has_arrived |= documents > 0;
    }

    /// Shows that the destination takes documents, unless there are some that it has refused to take so far.
    fn is_well(&mut self, now: Instant) {
        let is_stuck = self.stuck.is_some_and(|until| now < until) && (!self.again.is_empty() || !self.flights.is_empty());
        if !is_stuck {
            self.stuck = None;
            self.state.delivering(&self.courier.name());
        }
    }
}
