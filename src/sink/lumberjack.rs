//! The sink that sends windows of documents to Logstash's `beats` input, or to any other server of Lumberjack version 2.
//!
//! A document is delivered when the server has acked it. Documents go out as they lie in the buffer, several windows at once,
//! over one connection after the other or over one to each host; what is not acked when a connection ends goes out again over
//! the next one, before anything new. Nobody refuses a document here, so nothing is dropped and nothing becomes a dead letter.

mod lane;
mod talk;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio::time::timeout;

use crate::buffer::Entry;
use crate::seq::Seq;
use crate::sink::DialPlan;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::connect::Dialer;
use crate::sink::filling::Filling;
use crate::sink::ledger::Ledger;
use crate::sink::lumberjack::lane::Lane;
use crate::sink::lumberjack::lane::News;
use crate::sink::parcel::Bounds;
use crate::sink::parcel::Parcel;
use crate::sink::supply::Supply;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::wire::lumberjack::Packer;

/// A sink that speaks Lumberjack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LumberjackPlan {
    /// `HOST:PORT` each; at least one.
    pub hosts: Vec<String>,
    /// Whether there is a connection to each host; otherwise there is one at a time, to the next host on failure.
    pub load_balance: bool,
    /// How connections come about.
    pub dial: DialPlan,
    /// The level of zlib, 1 to 9; 0: not compressed.
    pub compression: u32,
    /// Most documents of a window.
    pub window_events: usize,
    /// Most bytes of a window before it is compressed; one document may pass it.
    pub window_bytes: usize,
    /// Most windows under way on a connection.
    pub pipeline: usize,
    /// Bytes of documents that what is read and not acked may keep in memory before nothing new is read.
    pub held_bytes: usize,
    /// How long the server may say nothing while it has something to ack.
    pub ack_timeout: Duration,
    /// How long it may only say that it is working.
    pub progress_timeout: Duration,
}

/// Entries read from the buffer under one lock.
const ENTRIES_MAX: usize = 256;

/// While windows are under way, one that is not full waits so long for more.
const LINGER: Duration = Duration::from_millis(100);

/// News that a lane may be ahead of the loop.
const NEWS_MAX: usize = 64;

/// How long connections are given to end in order once there is nothing left to send.
const PARTING: Duration = Duration::from_secs(1);

/// Delivers until the buffer is closed and all of it is acked, or until [`Phase::Stop`].
pub(super) async fn run(
    plan: LumberjackPlan,
    dialer: Dialer,
    supply: &mut Supply,
    state: Arc<SinkState>,
    mut stop: StopWatch,
) -> Result<(), SinkError> {
    assert!(!plan.hosts.is_empty(), "a plan names at least one host");
    let mut sender = Sender::new(Arc::new(plan), &dialer, supply, state);
    // Nothing is lost at the last phase: what is not acked stays in the buffer.
    tokio::select! {
        biased;
        () = stop.reached(Phase::Stop) => {}
        () = sender.deliver() => {}
    }
    Ok(())
}

/// What hands windows to lanes.
struct Sender<'a> {
    plan: Arc<LumberjackPlan>,
    state: Arc<SinkState>,
    supply: &'a mut Supply,
    ledger: Ledger,
    lanes: Vec<Standing>,
    tasks: JoinSet<()>,
    news: mpsc::Receiver<(usize, News)>,
    /// To be sent again, oldest first.
    again: BTreeMap<(Seq, u32), Parcel>,
    /// The window being filled.
    filling: Filling,
    /// Nothing more is to be read.
    closed: bool,
}

/// How a lane stands.
#[derive(Default)]
struct Standing {
    /// Where it takes windows, while it has a connection.
    link: Option<mpsc::Sender<Parcel>>,
    /// To whom.
    peer: String,
    /// Windows it has that are not acked as a whole.
    under_way: usize,
    /// Its server says that it is working and acks nothing.
    is_stalled: bool,
    /// It has failed and got nothing acked since.
    is_failing: bool,
    /// It has no connection, and makes one when it is told that there is something to send.
    is_resting: bool,
    wake: Arc<Notify>,
}

impl<'a> Sender<'a> {
    fn new(plan: Arc<LumberjackPlan>, dialer: &Dialer, supply: &'a mut Supply, state: Arc<SinkState>) -> Self {
        let (say, news) = mpsc::channel(NEWS_MAX);
        let mut tasks = JoinSet::new();
        let each = if plan.load_balance { 1 } else { plan.hosts.len() };
        let start = |(number, hosts): (usize, &[String])| {
            let wake = Arc::new(Notify::new());
            let lane = Lane {
                number,
                hosts: hosts.to_vec(),
                plan: plan.clone(),
                dialer: dialer.clone(),
                state: state.clone(),
                news: say.clone(),
                wake: wake.clone(),
            };
            tasks.spawn(lane.run());
            Standing { wake, ..Standing::default() }
        };
        let lanes = plan.hosts.chunks(each).enumerate().map(start).collect();
        let (ledger, again) = Default::default();
        let filling = Filling::new(LINGER);
        Self { plan, state, supply, ledger, lanes, tasks, news, again, filling, closed: false }
    }

    async fn deliver(&mut self) {
        self.state.connecting();
        loop {
            self.launch();
            if self.is_done() {
                return self.part().await;
            }
            let timer = self.timer();
            let wants_more = self.wants_more();
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => ended.expect("a lane does not panic"),
                news = self.news.recv() => {
                    let (lane, news) = news.expect("lanes end when the loop does");
                    self.hear(lane, news);
                }
                more = more(self.supply, wants_more), if !self.closed => if more { self.refill() } else { self.closed = true },
                () = async { match timer { Some(at) => sleep_until(at.into()).await, None => pending().await } } => {}
            }
        }
    }

    /// Whether there is nothing left to do: all is acked, or stays in the buffer for the next start.
    fn is_done(&self) -> bool {
        self.closed && self.under_way() == 0 && (self.ledger.events() == 0 || self.supply.is_settled())
    }

    /// Whether nothing more is sent: what is not acked stays in the buffer.
    fn is_over(&self) -> bool {
        self.closed && self.supply.is_settled()
    }

    /// Has the lanes end their connections in order.
    async fn part(&mut self) {
        self.news.close();
        self.lanes.clear();
        let parting = async { while self.tasks.join_next().await.is_some() {} };
        // One that takes longer is closed as it is: there is nothing on it that anybody waits for.
        let _ = timeout(PARTING, parting).await;
    }

    fn under_way(&self) -> usize {
        self.lanes.iter().map(|lane| lane.under_way).sum()
    }

    fn bounds(&self) -> Bounds {
        Bounds { bytes: self.plan.window_bytes, each: Packer::EACH, events: self.plan.window_events }
    }

    /// Whether a further document could be sent soon, or should be there to have a connection made for it.
    fn wants_more(&self) -> bool {
        let is_reached = self.lanes.iter().any(|lane| lane.link.is_some() || lane.is_resting);
        // Without a document at hand it goes on reading all the same: there may be nothing but what is another sink's.
        let has_none = self.filling.is_empty() && self.again.is_empty();
        let has_room = self.ledger.bytes() < self.plan.held_bytes;
        !self.closed && !self.filling.is_full(&self.bounds()) && has_room && (is_reached || has_none)
    }

    /// When a window is due that nothing else wakes it for.
    fn timer(&self) -> Option<Instant> {
        let due = self.filling.due_at().filter(|_| !self.is_over())?;
        let has_room = self.lanes.iter().any(|lane| lane.link.is_some() && lane.under_way < self.plan.pipeline);
        has_room.then_some(due)
    }

    /// Reads what there is, about as much as a window takes.
    fn refill(&mut self) {
        let mut entries: Vec<Entry> = Vec::new();
        self.supply.read(ENTRIES_MAX, self.plan.window_bytes, &mut entries);
        for entry in entries {
            self.ledger.add(&entry);
            self.filling.add(entry);
        }
        self.filling.pack(&self.bounds(), super::now());
        self.ack();
    }

    /// Hands windows to the lanes that have room, the least busy first.
    fn launch(&mut self) {
        if self.is_over() {
            return;
        }
        loop {
            let pipeline = self.plan.pipeline;
            let has_room = |(_, lane): &(usize, &Standing)| lane.link.is_some() && lane.under_way < pipeline;
            let with_room = self.lanes.iter().enumerate().filter(has_room);
            let Some((at, _)) = with_room.min_by_key(|(_, lane)| lane.under_way) else { return self.rouse() };
            let Some(parcel) = self.due() else { return };
            let lane = &mut self.lanes[at];
            let Some(link) = &lane.link else { return self.put_back(parcel) };
            match link.try_send(parcel) {
                Ok(()) => lane.under_way += 1,
                Err(TrySendError::Closed(parcel) | TrySendError::Full(parcel)) => {
                    // It has just ended, and is about to say so.
                    lane.link = None;
                    self.put_back(parcel);
                }
            }
        }
    }

    /// Has connections made where there is something to send and nobody to send it.
    fn rouse(&mut self) {
        if self.again.is_empty() && self.filling.is_empty() {
            return;
        }
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_resting) {
            lane.is_resting = false;
            lane.wake.notify_one();
        }
    }

    /// The window to be sent now.
    fn due(&mut self) -> Option<Parcel> {
        if let Some((_, parcel)) = self.again.pop_first() {
            return Some(parcel);
        }
        let is_idle = self.under_way() == 0 || self.closed;
        self.filling.take(&self.bounds(), super::now(), is_idle)
    }

    fn put_back(&mut self, parcel: Parcel) {
        if let Some(run) = parcel.runs().first() {
            self.again.insert((run.entry.seq, run.from), parcel);
        }
    }

    /// Sees to what a lane says.
    fn hear(&mut self, at: usize, news: News) {
        let lane = &mut self.lanes[at];
        match news {
            News::Up { link, peer } => {
                (lane.link, lane.peer, lane.is_stalled) = (Some(link), peer, false);
                if self.again.is_empty() && self.filling.is_empty() {
                    self.state.delivering(&lane.peer);
                }
            }
            News::Released { parcel, is_last } => {
                lane.under_way -= usize::from(is_last);
                (lane.is_stalled, lane.is_failing) = (false, false);
                self.state.delivering(&lane.peer);
                self.ledger.settle(&parcel, false);
                self.ack();
            }
            News::Stalled => {
                lane.is_stalled = true;
                if self.lanes.iter().all(|lane| lane.is_stalled || lane.link.is_none()) {
                    self.state.stalled(&self.lanes[at].peer);
                }
            }
            News::Down { unreleased, retried, error } => {
                (lane.link, lane.under_way, lane.is_stalled) = (None, 0, false);
                lane.is_resting = error.is_none();
                let again = lane.is_failing;
                lane.is_failing |= error.is_some();
                unreleased.into_iter().for_each(|parcel| self.put_back(parcel));
                self.state.retried(retried);
                if let Some(error) = error {
                    // One that rests makes a connection when there is something to send.
                    match self.lanes.iter().any(|lane| lane.link.is_some() || lane.is_resting) {
                        true => self.state.failed_in_part(&error, again),
                        false => self.state.failed(&error),
                    }
                }
            }
        }
    }

    fn ack(&mut self) {
        if let Some(done) = self.ledger.done() {
            let acked = self.supply.ack(done.through);
            self.state.delivered(acked.events);
        }
    }
}

/// Waits for more to read where that is wanted, and for the end of reading; `false` is that.
async fn more(supply: &mut Supply, is_wanted: bool) -> bool {
    if is_wanted {
        return supply.wait().await;
    }
    supply.settled().await;
    false
}

#[cfg(test)]
mod tests;
