//! One tenant while the relay runs: what it may do now, what it has done, and when it was last heard of.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde_json::Value;
use tokio::sync::Notify;

use super::plan::Limits;
use super::plan::TenantPlan;
use super::shares::Shares;
use super::throttle::Throttle;
use crate::intake::Intake;
use crate::metrics::TenantMetrics;
use crate::seq::Seq;

/// A tenant, or the one that stands for everybody who is none. What a connection holds of it stays as it was when the
/// connection was opened, whatever the configuration says by now.
pub type TenantRef = Arc<Tenant>;

/// A tenant as it is configured now, and what it has done.
#[derive(Debug)]
pub struct Tenant {
    /// Not the number of any other tenant of this process, nor of this one before a reload.
    pub(super) version: u64,
    pub(super) plan: TenantPlan,
    /// Its name, to be kept beside what it has sent.
    label: Option<Arc<str>>,
    throttle: Option<Throttle>,
    pub(super) standing: Arc<Standing>,
}

/// What outlives a reload.
#[derive(Debug)]
pub(super) struct Standing {
    /// Its place in the ledger of the buffer.
    pub(super) place: u32,
    /// What it holds of the memory budget, and of the part for long unfinished lines.
    pub(super) intake: Intake,
    pub(super) unfinished: Intake,
    /// Its part of the buffer, where senders are told apart.
    pub(super) shares: Option<Arc<Shares>>,
    /// Percent of the buffer that it may hold; `u32::MAX` where that is what all leave free.
    buffer_percent: AtomicU32,
    pub(super) metrics: Option<TenantMetrics>,
    connections: AtomicU64,
    /// Microseconds since 1970; 0 where it has never been heard of.
    last_seen: AtomicI64,
    /// Connections that wait for its part of the buffer, and what wakes them.
    waiting: AtomicU64,
    room: Notify,
}

/// Whether a request may be taken in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Go,
    /// Its sender has used up what is its: it shall come again after that long.
    TooMany {
        /// What it has used up.
        what: UsedUp,
        /// When it is worth trying again.
        retry_after: Duration,
    },
}

/// What a tenant has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedUp {
    /// Its bytes or events of this second.
    Rate,
    /// Its share of the buffer.
    Buffer,
}

/// When to try again where the buffer's sinks decide about it.
const BUFFER_RETRY: Duration = Duration::from_secs(1);

impl Tenant {
    pub(super) fn new(version: u64, plan: TenantPlan, standing: Arc<Standing>) -> Self {
        let label = (!plan.name.is_empty()).then(|| plan.name.as_str().into());
        Self { version, throttle: Throttle::new(&plan.limits), plan, label, standing }
    }

    /// Its name; none where it stands for everybody who is no tenant.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The same to be kept beside what it has sent; nothing where it is nobody.
    pub fn label(&self) -> Option<&Arc<str>> {
        self.label.as_ref()
    }

    /// Not the number of any other tenant, nor of this one before a reload: what is made for a tenant can be kept under it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The fields of all its events, which nothing in them can override.
    pub fn fields(&self) -> &[(String, Value)] {
        &self.plan.fields
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.plan.limits
    }

    /// Its account of the memory budget.
    pub fn intake(&self) -> &Intake {
        &self.standing.intake
    }

    /// Its account of the part of the budget that long unfinished lines may hold.
    pub fn unfinished(&self) -> &Intake {
        &self.standing.unfinished
    }

    /// Whether a request may be taken in now; for sources that can say no.
    pub fn verdict(&self) -> Verdict {
        let wait = self.throttle.as_ref().map_or(Duration::ZERO, Throttle::wait);
        let verdict = if !wait.is_zero() {
            Verdict::TooMany { what: UsedUp::Rate, retry_after: wait }
        } else if self.standing.is_over_its_share() {
            Verdict::TooMany { what: UsedUp::Buffer, retry_after: BUFFER_RETRY }
        } else {
            return Verdict::Go;
        };
        if let Some(metrics) = &self.standing.metrics {
            metrics.turned_away();
        }
        verdict
    }

    /// Whether [`ready`](Self::ready) is ready at once.
    pub fn is_ready(&self) -> bool {
        self.throttle.as_ref().is_none_or(|throttle| throttle.wait().is_zero()) && !self.standing.is_over_its_share()
    }

    /// Waits until more of what it sends may be taken in; for sources whose senders can only be held back.
    ///
    /// Abandoning it loses a place in a queue.
    pub async fn ready(&self) {
        if self.is_ready() {
            return;
        }
        let _stalled = Stalled { tenant: self, since: Instant::now() };
        loop {
            if let Some(throttle) = &self.throttle {
                throttle.passed().await;
            }
            if !self.standing.is_over_its_share() {
                return;
            }
            let _waiting = Waiting::begin(&self.standing.waiting);
            let Some(shares) = &self.standing.shares else { return };
            let mut room = pin!(self.standing.room.notified());
            // From here on a wake-up is not missed.
            room.as_mut().enable();
            if !self.standing.is_over_its_share() {
                return;
            }
            shares.ask();
            room.await;
        }
    }

    /// So many bytes of its have been read, with so many events in them: it pays for them and has been heard of.
    pub fn took(&self, bytes: u64, events: u64) {
        if let Some(throttle) = &self.throttle {
            throttle.pay(bytes, events);
        }
        if let Some(metrics) = &self.standing.metrics {
            metrics.took(bytes, events);
            self.standing.last_seen.store(now(), Ordering::Relaxed);
        }
    }

    /// Members that its events and preambles had in place of its fields have been left out.
    pub fn cut_members(&self, members: u64) {
        if let Some(metrics) = &self.standing.metrics {
            metrics.cut_members(members);
        }
    }

    /// An entry of its has been appended to the buffer: so many bytes, until every sink has it.
    pub fn appended(&self, seq: Seq, bytes: u64) {
        if let Some(shares) = &self.standing.shares {
            shares.appended(self.standing.place, seq, bytes);
        }
    }

    /// Takes a place among its connections; `false`: it has as many as it may have.
    pub(super) fn connect(&self) -> bool {
        let most = self.plan.limits.connections_max.unwrap_or(u64::MAX);
        let took =
            self.standing.connections.try_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        took.is_ok()
    }

    pub(super) fn disconnect(&self) {
        self.standing.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Brings its gauges up to date.
    pub(super) fn show(&self) {
        let Standing { metrics, intake, shares, place, connections, last_seen, .. } = &*self.standing;
        if let Some(metrics) = metrics {
            let buffer_bytes = shares.as_ref().map_or(0, |shares| shares.held(*place));
            let last_seen = last_seen.load(Ordering::Relaxed);
            let silent = if last_seen == 0 { 0 } else { now() - last_seen };
            metrics.show(connections.load(Ordering::Relaxed), intake.own_bytes(), buffer_bytes, last_seen, silent);
        }
    }
}

impl Standing {
    pub(super) fn new(
        place: u32,
        intake: Intake,
        unfinished: Intake,
        shares: Option<Arc<Shares>>,
        metrics: Option<TenantMetrics>,
    ) -> Self {
        let (connections, last_seen, waiting) = Default::default();
        let (buffer_percent, room) = (AtomicU32::new(u32::MAX), Notify::new());
        Self { place, intake, unfinished, shares, buffer_percent, metrics, connections, last_seen, waiting, room }
    }

    /// Wakes the connections that wait for its share of the buffer, where there is room in it; says whether any wait.
    pub(super) fn wake(&self) -> bool {
        let is_any = self.waiting.load(Ordering::Relaxed) > 0;
        if is_any && !self.is_over_its_share() {
            self.room.notify_waiters();
        }
        is_any
    }

    /// Has another share of the buffer count.
    pub(super) fn bound(&self, buffer_percent: Option<u32>) {
        self.buffer_percent.store(buffer_percent.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn is_over_its_share(&self) -> bool {
        let percent = Some(self.buffer_percent.load(Ordering::Relaxed)).filter(|percent| *percent != u32::MAX);
        self.shares.as_ref().is_some_and(|shares| shares.is_over(self.place, percent))
    }
}

/// Microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Counts the time a connection is held back, also when its wait is abandoned.
struct Stalled<'a> {
    tenant: &'a Tenant,
    since: Instant,
}

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = &self.tenant.standing.metrics {
            metrics.stalled(self.since.elapsed());
        }
    }
}

/// One who waits for room.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
