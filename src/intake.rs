//! One budget in bytes for everything the relay holds in memory on its way in.
//!
//! Bytes are admitted before they are read and given back by dropping the permit. What has been admitted may turn out larger
//! than was thought: then the budget goes below zero and nothing new is admitted until that is made good. It may be shared out
//! between accounts, so that one who holds a lot keeps nobody else waiting; who is admitted when is decided in `books`. It
//! knows neither sockets nor documents, nor whose an account is.

mod books;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use tokio::sync::oneshot;

use books::AccountId;
use books::Books;
use books::Waits;

/// The budget, under one of its accounts. Clones are the same account of the same budget.
#[derive(Clone, Debug)]
pub struct Intake {
    shared: Arc<Shared>,
    account: AccountId,
}

#[derive(Debug)]
struct Shared {
    bytes_max: u64,
    books: Mutex<Books<Grant>>,
}

/// What a waiting request is answered with.
type Grant = oneshot::Sender<IntakePermit>;

impl Waits for Grant {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

/// Bytes of the budget; dropping it gives them back.
#[derive(Debug)]
pub struct IntakePermit {
    shared: Arc<Shared>,
    account: AccountId,
    bytes: u64,
}

impl Intake {
    /// A budget of this many bytes, with one account.
    pub fn new(bytes_max: u64) -> Self {
        let free = i64::try_from(bytes_max).expect("a budget is smaller than 8 EiB");
        Self { shared: Arc::new(Shared { bytes_max, books: Mutex::new(Books::new(free)) }), account: 0 }
    }

    /// The same budget under a new account, which may hold `most` bytes; without that, as many as all accounts leave free.
    ///
    /// From the first further account on the rule is that of all accounts without a bound.
    #[must_use]
    pub fn account(&self, most: Option<u64>) -> Self {
        let account = self.shared.lock().open(most.map(signed));
        Self { shared: self.shared.clone(), account }
    }

    /// Gives this account another bound.
    pub fn bound(&self, most: Option<u64>) {
        self.shared.lock().bound(self.account, most.map(signed));
    }

    /// Admits `bytes` if nobody has to wait for them.
    pub fn try_admit(&self, bytes: u64) -> Option<IntakePermit> {
        let bytes = bytes.min(self.shared.bytes_max);
        self.shared.lock().try_take(self.account, bytes).then(|| self.permit(bytes))
    }

    /// Waits until `bytes` more may be held in memory; more than the whole budget counts as the whole budget.
    ///
    /// Never fails. Abandoning the wait holds nothing.
    pub async fn admit(&self, bytes: u64) -> IntakePermit {
        let bytes = bytes.min(self.shared.bytes_max);
        let granted = {
            let mut books = self.shared.lock();
            if books.try_take(self.account, bytes) {
                return self.permit(bytes);
            }
            let (grant, granted) = oneshot::channel();
            books.wait(self.account, bytes, grant);
            granted
        };
        granted.await.expect("a waiting request is answered as long as the budget lives")
    }

    /// A permit for nothing, which may still be split.
    pub fn nothing(&self) -> IntakePermit {
        self.permit(0)
    }

    /// Bytes held by permits of all accounts.
    pub fn held_bytes(&self) -> u64 {
        self.shared.bytes_max.saturating_add_signed(self.shared.lock().free().wrapping_neg())
    }

    /// Bytes held by permits of this account.
    pub fn own_bytes(&self) -> u64 {
        u64::try_from(self.shared.lock().held(self.account)).unwrap_or(0)
    }

    /// Bytes there are in all.
    pub fn bytes_max(&self) -> u64 {
        self.shared.bytes_max
    }

    /// Requests of all accounts that wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting()
    }

    fn permit(&self, bytes: u64) -> IntakePermit {
        IntakePermit { shared: self.shared.clone(), account: self.account, bytes }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Books<Grant>> {
        self.books.lock().expect("nobody panics while counting bytes")
    }

    fn give_back(self: &Arc<Self>, account: AccountId, bytes: u64) {
        // Allocates only where somebody is granted something.
        let mut granted = Vec::new();
        self.lock().give_back(account, bytes, &mut granted);
        for (account, bytes, grant) in granted {
            // A permit nobody waits for any more comes back here and is dropped, which gives its bytes back.
            let _ = grant.send(IntakePermit { shared: self.clone(), account, bytes });
        }
    }
}

impl IntakePermit {
    /// Bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Splits off a permit for `bytes`. What this one lacks is taken from the budget without waiting.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Self {
        let lacking = bytes.saturating_sub(self.bytes);
        if lacking > 0 {
            self.shared.lock().take(self.account, lacking);
        }
        self.bytes -= bytes - lacking;
        Self { shared: self.shared.clone(), account: self.account, bytes }
    }

    /// Has its bytes count under this account from here on, which may bring that over its share.
    ///
    /// # Panics
    /// When the account is one of another budget.
    pub fn charge_to(&mut self, account: &Intake) {
        assert!(Arc::ptr_eq(&self.shared, &account.shared), "bytes cannot move from one budget to another");
        self.shared.lock().move_to(self.account, account.account, self.bytes);
        self.account = account.account;
    }
}

impl Drop for IntakePermit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.shared.give_back(self.account, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_dropped_goes_to_whoever_waited_longest() {
        let intake = Intake::new(100);
        let first = intake.admit(80).await;
        let (large, small) = (intake.clone(), intake.clone());
        let large = tokio::spawn(async move { large.admit(60).await });
        while intake.waiting() < 1 {
            tokio::task::yield_now().await;
        }
        let small = tokio::spawn(async move { small.admit(10).await });
        while intake.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(intake.held_bytes(), 80);
        drop(first);
        let (large, small) = (large.await.expect("admitted"), small.await.expect("admitted"));
        assert_eq!((large.bytes(), small.bytes(), intake.held_bytes()), (60, 10, 70));
    }

    #[tokio::test]
    async fn an_abandoned_wait_holds_nothing() {
        let intake = Intake::new(100);
        let all = intake.admit(1_000).await;
        assert_eq!(all.bytes(), 100);
        tokio::select! {
            biased;
            _ = intake.admit(50) => panic!("nothing is free"),
            () = std::future::ready(()) => {}
        }
        drop(all);
        assert_eq!((intake.held_bytes(), intake.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn what_grew_is_made_good_before_anything_is_admitted() {
        let intake = Intake::new(100);
        let mut permit = intake.admit(40).await;
        let grown = permit.split(120);
        assert_eq!((permit.bytes(), grown.bytes(), intake.held_bytes()), (0, 120, 120));
        tokio::select! {
            biased;
            _ = intake.admit(1) => panic!("the budget is overdrawn"),
            () = std::future::ready(()) => {}
        }
        drop(grown);
        assert_eq!(intake.held_bytes(), 0);
        let mut permit = intake.admit(40).await;
        let part = permit.split(30);
        assert_eq!((permit.bytes(), part.bytes(), intake.held_bytes()), (10, 30, 40));
    }

    #[tokio::test]
    async fn one_that_holds_its_share_keeps_no_other_waiting() {
        let intake = Intake::new(100);
        let (loud, quiet) = (intake.account(None), intake.account(Some(30)));
        let held: Vec<_> = std::iter::from_fn(|| loud.try_admit(5)).collect();
        assert_eq!((held.len(), loud.own_bytes(), intake.held_bytes()), (10, 50, 50));
        tokio::select! {
            biased;
            _ = loud.admit(5) => panic!("it holds its share"),
            _ = quiet.admit(20) => {}
        }
        let mut moved = quiet.admit(20).await;
        moved.charge_to(&loud);
        assert_eq!((loud.own_bytes(), quiet.own_bytes()), (70, 0));
        drop(moved);
        drop(held);
        assert_eq!((loud.own_bytes(), intake.held_bytes()), (0, 0));
    }
}
