//! One request's bytes on their way into the buffer: admitted, made events of, appended, and answered for as a whole.
//!
//! Whatever packs or frames a request hands its plain bytes to a [`RequestIntake`] and learns at the end how many events came
//! of them and that all are stored, or why not. It knows no protocol and reads no socket: whoever waits for it does not read
//! on, which is the back-pressure.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

use super::Feed;
use super::Means;
use super::allowance::READ_BYTES;
use crate::batch::Batch;
use crate::buffer::Closed;
use crate::buffer::Receipt;
use crate::buffer::Stored;
use crate::buffer::Trail;
use crate::intake::IntakePermit;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::tenant::TenantRef;
use crate::tenant::UsedUp;
use crate::tenant::Verdict;

/// Fewest bytes taken at once, whatever they may become.
const READ_BYTES_MIN: usize = 4096;

/// Reads that the budget has room for beside one another, whatever their lines are.
const READS_AT_ONCE: u64 = 8;

/// Most memory admitted for one read.
const ADMISSION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// An unfinished line up to this size is always kept; ordinary log lines are shorter.
const SMALL_LINE_BYTES: u64 = 8 * 1024;

/// How long a request of which nothing is stored yet waits for memory and for room. Then its sender is told to come again,
/// which it can do soon, instead of being left in doubt.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// The same once some of it is on its way, which would have to be sent again. With the last look below it stays within the time
/// that senders wait for an answer.
const LATER_PATIENCE: Duration = Duration::from_secs(3);

/// How long the answer to a request that has failed waits to learn what of it is stored.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Why a request is not taken, or no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// All memory is taken.
    NoMemory,
    /// The buffer is full.
    NoRoom,
    /// Its tenant has used up what is its.
    OverLimit {
        /// What that is.
        what: UsedUp,
        /// When it is worth trying again, in seconds.
        seconds: u64,
    },
    /// The relay stops.
    Stopping,
    /// A line is over the limit; it and all behind it has been thrown away.
    LineTooLong,
    /// The buffer has failed or is closed.
    NotStored,
    /// Storing takes longer than the sender was promised.
    NotInTime,
}

/// What came of a request, all of it stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were taken, those that a rule has dropped included.
    pub accepted: u64,
    /// Events no parser took, whatever has become of them.
    pub rejected: u64,
}

/// Memory admitted for bytes that are about to be taken.
#[derive(Debug)]
pub struct Admitted {
    permit: IntakePermit,
    /// Most bytes it is for.
    pub bytes: usize,
}

/// One request on its way.
#[derive(Debug)]
pub struct RequestIntake<'a, M, F> {
    means: &'a Means<M>,
    /// Whose it is.
    tenant: TenantRef,
    feed: F,
    stop: StopWatch,
    /// What stands beside it from its beginning to its end, such as what unpacks it.
    beside: Option<IntakePermit>,
    /// What the unfinished line and the memory of those before it hold.
    held: Option<IntakePermit>,
    /// What an unfinished line holds, of the part for unfinished lines.
    held_large: Option<IntakePermit>,
    batches: Vec<Batch>,
    trail: Trail,
    last: Option<Receipt>,
    /// Events handed to the buffer.
    appended: u64,
    counts: Counts,
}

impl<'a, M: Sync, F: Feed> RequestIntake<'a, M, F> {
    /// A request of which nothing has come yet.
    pub fn new(means: &'a Means<M>, tenant: TenantRef, feed: F, stop: StopWatch) -> Self {
        let (beside, held, held_large, last) = (None, None, None, None);
        let (batches, trail, counts) = (Vec::new(), Trail::default(), Counts::default());
        Self { means, tenant, feed, stop, beside, held, held_large, batches, trail, last, appended: 0, counts }
    }

    /// Waits for memory that the request needs from its beginning to its end.
    ///
    /// # Errors
    /// When there is none for too long, or the relay stops.
    pub async fn keep_beside(&mut self, bytes: u64) -> Result<(), Trouble> {
        self.beside = Some(self.permit(bytes).await?);
        Ok(())
    }

    /// Waits for memory.
    async fn permit(&mut self, bytes: u64) -> Result<IntakePermit, Trouble> {
        if let Some(permit) = self.tenant.intake().try_admit(bytes) {
            return Ok(permit);
        }
        let patience = self.patience();
        patiently(patience, &mut self.stop, self.tenant.intake().admit(bytes)).await?.ok_or(Trouble::NoMemory)
    }

    /// Makes events of some more bytes and hands them to the buffer, waiting for memory and for room.
    ///
    /// Abandoning it may lose events that were not handed on yet, and counts them nowhere.
    ///
    /// # Errors
    /// Why nothing more is taken. What came before may be stored: see [`settle`](Self::settle).
    pub async fn take(&mut self, mut bytes: &[u8]) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            self.ready().await?;
            let admitted = self.admit().await?;
            let (now, later) = bytes.split_at(bytes.len().min(admitted.bytes));
            self.feed(now, admitted)?;
            self.append().await?;
            bytes = later;
        }
        Ok(())
    }

    /// Whether its tenant may have more taken now.
    pub fn is_ready(&self) -> bool {
        self.tenant.is_ready()
    }

    /// Waits until its tenant may have more taken, once more has come. Abandoning the wait loses a place in a queue.
    ///
    /// # Errors
    /// When that takes too long, or the relay stops.
    pub async fn ready(&mut self) -> Result<(), Trouble> {
        if self.tenant.is_ready() {
            return Ok(());
        }
        let patience = self.patience();
        patiently(patience, &mut self.stop, self.tenant.ready()).await?.ok_or_else(|| self.over_limit())
    }

    /// Waits for memory for some more bytes. Abandoning the wait holds nothing.
    ///
    /// # Errors
    /// When there is none for too long, or the relay stops.
    pub async fn admit(&mut self) -> Result<Admitted, Trouble> {
        let fair = (self.tenant.intake().bytes_max() / READS_AT_ONCE).min(ADMISSION_BYTES_MAX);
        let full = self.feed.admission_bytes(READ_BYTES).max(1);
        let bytes = usize::try_from((READ_BYTES as u64).saturating_mul(fair) / full).unwrap_or(READ_BYTES);
        let bytes = bytes.clamp(READ_BYTES_MIN, READ_BYTES);
        let wanted = self.feed.admission_bytes(bytes).min(fair);
        let permit = self.permit(wanted).await?;
        Ok(Admitted { permit, bytes })
    }

    /// Makes events of bytes for which memory is admitted. They are [appended](Self::append) next.
    ///
    /// # Errors
    /// When a line is over the limit, or there is no memory for one whose end has not come.
    pub fn feed(&mut self, bytes: &[u8], admitted: Admitted) -> Result<(), Trouble> {
        let Admitted { mut permit, .. } = admitted;
        let passed = self.feed.feed(bytes, &mut permit, &mut self.batches);
        self.counts.accepted += passed.accepted;
        self.counts.rejected += passed.rejected;
        self.tenant.took(bytes.len() as u64, passed.accepted + passed.rejected);
        let held = self.feed.held_bytes() as u64;
        let all = held + self.feed.remembered_bytes() as u64;
        self.held = (all > 0).then(|| permit.split(all));
        self.held_large = None;
        if passed.too_long {
            return Err(Trouble::LineTooLong);
        }
        if held > SMALL_LINE_BYTES {
            self.held_large = self.tenant.unfinished().try_admit(held);
            return self.held_large.as_ref().map(drop).ok_or(Trouble::NoMemory);
        }
        Ok(())
    }

    /// Hands on what has become complete, waiting for room in the buffer.
    ///
    /// # Errors
    /// When there is none for too long, or the relay stops. What was not handed on is counted as refused.
    pub async fn append(&mut self) -> Result<(), Trouble> {
        let mut left: u64 = self.batches.iter().map(|batch| batch.len() as u64).sum();
        for batch in std::mem::take(&mut self.batches) {
            let (events, bytes, is_rejects) = (batch.len() as u64, batch.bytes() as u64, batch.is_rejects);
            let receipt = self.hand_on(batch, left).await;
            let receipt = receipt.inspect_err(|_| self.means.metrics.dropped_refused(left))?;
            if is_rejects {
                self.means.metrics.dead_letters(events);
            } else {
                self.tenant.appended(receipt.seq(), bytes);
            }
            self.last = Some(self.trail.follow(receipt));
            self.appended += events;
            left -= events;
        }
        Ok(())
    }

    /// Hands a batch to the buffer, waiting for room; `left` events wait with it.
    async fn hand_on(&mut self, batch: Batch, left: u64) -> Result<Receipt, Trouble> {
        let buffer = &self.means.buffer;
        // In front of a full disk there may be room to wait in memory. But what waits there is stored too late to be answered
        // for, and its sender, who has to come again, would fill the memory with it.
        let batch = match buffer.is_full(&batch) {
            true => batch,
            false => match buffer.try_append(batch) {
                Ok(receipt) => return Ok(receipt),
                Err(batch) => batch,
            },
        };
        let _waiting = self.means.waiting.wait(left);
        let patience = self.patience();
        let appended = async {
            buffer.room(&batch).await;
            buffer.append(batch).await
        };
        let receipt = patiently(patience, &mut self.stop, appended).await?.ok_or(Trouble::NoRoom)?;
        receipt.map_err(|Closed| Trouble::NotStored)
    }

    /// Ends the request's bytes. Only a clean end makes a line of what stands behind the last newline.
    ///
    /// # Errors
    /// As of [`append`](Self::append).
    pub async fn finish(&mut self, clean: bool) -> Result<(), Trouble> {
        let mut permit = self.held.take().unwrap_or_else(|| self.tenant.intake().nothing());
        self.held_large = None;
        let passed = self.feed.finish(clean, &mut permit, &mut self.batches);
        self.counts.accepted += passed.accepted;
        self.counts.rejected += passed.rejected;
        self.tenant.took(0, passed.accepted + passed.rejected);
        drop(permit);
        self.append().await
    }

    /// Waits until everything is stored and says what it was.
    ///
    /// # Errors
    /// When it is not, or not known to be by `deadline`.
    pub async fn stored(&mut self, deadline: Instant) -> Result<Counts, Trouble> {
        let Some(receipt) = self.last.take() else { return Ok(self.counts) };
        match timeout_at(deadline, receipt.stored()).await {
            Ok(Stored::Yes) => Ok(self.counts),
            Ok(Stored::No) => {
                self.appended = 0;
                Err(Trouble::NotStored)
            }
            Err(_) => {
                self.appended = 0;
                Err(Trouble::NotInTime)
            }
        }
    }

    /// Events that are known to be stored although the request has failed. Waits a moment to learn it.
    pub async fn settle(&mut self) -> u64 {
        let appended = self.appended;
        match self.stored(Instant::now() + LAST_LOOK).await {
            Ok(_) => appended,
            Err(_) => 0,
        }
    }

    /// What its bytes go through.
    pub fn feed_used(&self) -> &F {
        &self.feed
    }

    /// Gives back what its bytes went through.
    pub fn into_feed(self) -> F {
        self.feed
    }

    /// What its tenant has used up, after it was waited for.
    fn over_limit(&self) -> Trouble {
        match self.tenant.verdict() {
            Verdict::TooMany { what, retry_after } => Trouble::OverLimit { what, seconds: retry_after.as_secs() + 1 },
            // It has just become better, and the sender may as well come again at once.
            Verdict::Go => Trouble::OverLimit { what: UsedUp::Rate, seconds: 1 },
        }
    }

    fn patience(&self) -> Duration {
        if self.appended == 0 { FIRST_PATIENCE } else { LATER_PATIENCE }
    }
}

/// Waits for `wanted` so long at the most; nothing when it took longer.
///
/// # Errors
/// When everything ends first.
async fn patiently<T>(patience: Duration, stop: &mut StopWatch, wanted: impl Future<Output = T>) -> Result<Option<T>, Trouble> {
    tokio::select! {
        wanted = timeout(patience, wanted) => Ok(wanted.ok()),
        () = stop.reached(Phase::Drain) => Err(Trouble::Stopping),
    }
}
