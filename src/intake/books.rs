//! Who holds how much of a budget, who waits for some of it, and whose turn it is: a machine without clock, lock or task.
//!
//! Every request belongs to an account. As long as there is one account, it is first come, first served. Where there are
//! several, an account may hold as much as all of them leave free, or as much as it is given, and accounts that wait take turns;
//! so one that holds a lot waits while others do not, and some of the budget is always free for one that holds nothing. What is
//! asked for is small beside the budget, or these rules mean little.

use std::collections::VecDeque;

/// An account, by its place.
pub(super) type AccountId = u32;

/// Somebody who waits.
pub(super) trait Waits {
    /// Whether he waits no more.
    fn is_gone(&self) -> bool;
}

/// The budget, shared out.
#[derive(Debug)]
pub(super) struct Books<W> {
    /// Bytes nobody holds; below zero while more is held than there is.
    free: i64,
    accounts: Vec<Account<W>>,
    /// The accounts that somebody waits for, the one whose turn it is first.
    turns: VecDeque<AccountId>,
    /// Requests that wait.
    waiting: usize,
    /// Whether somebody waits within his share for bytes to become free: nothing may be taken from under him.
    starving: bool,
}

#[derive(Debug)]
struct Account<W> {
    held: i64,
    /// Most it may hold, where that is fixed.
    most: Option<i64>,
    waiting: VecDeque<(u64, W)>,
}

/// Whether a request can be granted.
enum Answer {
    Yes,
    /// The account holds its share.
    OverShare,
    /// There are not as many free bytes.
    NotFree,
}

impl<W: Waits> Books<W> {
    /// A budget of which nothing is held, with the account 0.
    pub(super) fn new(bytes_max: i64) -> Self {
        let accounts = vec![Account { held: 0, most: None, waiting: VecDeque::new() }];
        Self { free: bytes_max, accounts, turns: VecDeque::new(), waiting: 0, starving: false }
    }

    /// Opens one more account. `most` bounds what it may hold; `None`: what is left free does.
    pub(super) fn open(&mut self, most: Option<i64>) -> AccountId {
        self.accounts.push(Account { held: 0, most, waiting: VecDeque::new() });
        AccountId::try_from(self.accounts.len() - 1).expect("accounts are tenants, and these are few")
    }

    /// Gives an account another bound. Whoever waits for it is asked again when something is given back.
    pub(super) fn bound(&mut self, account: AccountId, most: Option<i64>) {
        self.accounts[account as usize].most = most;
    }

    /// Bytes nobody holds.
    pub(super) fn free(&self) -> i64 {
        self.free
    }

    /// Bytes an account holds.
    pub(super) fn held(&self, account: AccountId) -> i64 {
        self.accounts[account as usize].held
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes bytes if nobody has to wait for them.
    #[inline]
    pub(super) fn try_take(&mut self, account: AccountId, bytes: u64) -> bool {
        let free_for_all = !self.starving && self.accounts[account as usize].waiting.is_empty();
        if !free_for_all || !matches!(self.ask(account, bytes), Answer::Yes) {
            return false;
        }
        self.take(account, bytes);
        true
    }

    /// Takes bytes whether they are there or not.
    #[inline]
    pub(super) fn take(&mut self, account: AccountId, bytes: u64) {
        self.free -= bytes as i64;
        self.accounts[account as usize].held += bytes as i64;
    }

    /// Has a request wait that [`try_take`](Self::try_take) has just turned down.
    pub(super) fn wait(&mut self, account: AccountId, bytes: u64, who: W) {
        if !self.accounts[account as usize].waiting.is_empty() {
            self.waiting += 1;
            self.accounts[account as usize].waiting.push_back((bytes, who));
            return;
        }
        self.starving = self.starving || matches!(self.ask(account, bytes), Answer::NotFree);
        self.accounts[account as usize].waiting.push_back((bytes, who));
        self.turns.push_back(account);
        self.waiting += 1;
    }

    /// Moves bytes from one account to another.
    pub(super) fn move_to(&mut self, from: AccountId, to: AccountId, bytes: u64) {
        self.accounts[from as usize].held -= bytes as i64;
        self.accounts[to as usize].held += bytes as i64;
    }

    /// Takes bytes back; `granted` gets the requests that can be granted now, which hold their bytes from here on.
    #[inline]
    pub(super) fn give_back(&mut self, account: AccountId, bytes: u64, granted: &mut Vec<(AccountId, u64, W)>) {
        self.free += bytes as i64;
        self.accounts[account as usize].held -= bytes as i64;
        if self.waiting > 0 {
            self.grant(granted);
        }
    }

    /// Grants what can be granted, one request of each account in turn.
    fn grant(&mut self, granted: &mut Vec<(AccountId, u64, W)>) {
        self.starving = false;
        let mut turned_down = 0;
        while turned_down < self.turns.len()
            && let Some(&account) = self.turns.front()
        {
            let Some(bytes) = self.next_of(account) else {
                self.turns.pop_front();
                continue;
            };
            match self.ask(account, bytes) {
                Answer::Yes => {
                    let waiting = &mut self.accounts[account as usize].waiting;
                    let (bytes, who) = waiting.pop_front().expect("the front was just seen");
                    let is_last = waiting.is_empty();
                    self.waiting -= 1;
                    self.take(account, bytes);
                    granted.push((account, bytes, who));
                    turned_down = 0;
                    if is_last {
                        self.turns.pop_front();
                        continue;
                    }
                }
                Answer::OverShare => turned_down += 1,
                Answer::NotFree => {
                    self.starving = true;
                    return;
                }
            }
            self.turns.rotate_left(1);
        }
    }

    /// Bytes that the account's first request is for that is still waited for.
    fn next_of(&mut self, account: AccountId) -> Option<u64> {
        let waiting = &mut self.accounts[account as usize].waiting;
        while let Some((bytes, who)) = waiting.front() {
            if !who.is_gone() {
                return Some(*bytes);
            }
            waiting.pop_front();
            self.waiting -= 1;
        }
        None
    }

    #[inline]
    fn ask(&self, account: AccountId, bytes: u64) -> Answer {
        let Account { held, most, .. } = self.accounts[account as usize];
        let bytes = bytes as i64;
        let share = match most {
            Some(most) => most,
            None if self.accounts.len() == 1 => i64::MAX,
            None => self.free - bytes,
        };
        if held > 0 && held + bytes > share {
            Answer::OverShare
        } else if self.free < bytes {
            Answer::NotFree
        } else {
            Answer::Yes
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// One who waits until he is told to go.
    #[derive(Debug)]
    struct Someone(Rc<Cell<bool>>);

    impl Waits for Someone {
        fn is_gone(&self) -> bool {
            self.0.get()
        }
    }

    fn someone() -> Someone {
        Someone(Rc::default())
    }

    /// Books with so many accounts beside the first.
    fn books(bytes_max: i64, more: usize) -> Books<Someone> {
        let mut books = Books::new(bytes_max);
        for _ in 0..more {
            books.open(None);
        }
        books
    }

    /// Takes as much as it gets in pieces of 10, and gives how much that is.
    fn fill(books: &mut Books<Someone>, account: AccountId) -> i64 {
        while books.try_take(account, 10) {}
        books.held(account)
    }

    #[test]
    fn one_account_may_hold_everything_and_one_of_several_as_much_as_is_left_free() {
        assert_eq!(fill(&mut books(1_000, 0), 0), 1_000);
        let mut two = books(1_000, 1);
        assert_eq!((fill(&mut two, 0), two.free()), (500, 500));
        assert_eq!((fill(&mut two, 1), two.free()), (250, 250), "a second one gets half of what is left");
        let mut ten = books(10_000, 9);
        for _ in 0..1_000 {
            for account in 0..10 {
                ten.try_take(account, 10);
            }
        }
        assert!(
            (0..10).all(|account| (900..=910).contains(&ten.held(account))),
            "ten that begin together hold the same: {ten:?}"
        );
        assert!(ten.free() >= 900);
    }

    #[test]
    fn a_bound_is_held_whatever_is_free_and_one_read_is_always_within_the_share() {
        let mut books = books(1_000, 0);
        let bounded = books.open(Some(30));
        assert_eq!(fill(&mut books, bounded), 30);
        let tiny = books.open(Some(1));
        assert_eq!(fill(&mut books, tiny), 10, "or it could never read at all");
        books.bound(bounded, Some(50));
        assert_eq!(fill(&mut books, bounded), 50);
    }

    #[test]
    fn an_account_over_its_share_waits_and_keeps_nobody_from_taking() {
        let mut books = books(1_000, 1);
        fill(&mut books, 0);
        books.wait(0, 10, someone());
        assert!(books.try_take(1, 100), "the other one need not wait");
        let mut granted = Vec::new();
        books.give_back(0, 10, &mut granted);
        assert!(granted.is_empty(), "there is less left free than before: {books:?}");
        books.give_back(1, 100, &mut granted);
        assert_eq!(granted.len(), 1);
    }

    #[test]
    fn accounts_that_wait_take_turns_however_many_requests_each_has() {
        let mut books = books(1_000, 2);
        books.take(0, 1_000);
        for _ in 0..50 {
            books.wait(1, 10, someone());
        }
        books.wait(2, 10, someone());
        books.wait(2, 10, someone());
        let mut granted = Vec::new();
        books.give_back(0, 500, &mut granted);
        let order: Vec<AccountId> = granted.iter().map(|(account, ..)| *account).collect();
        assert_eq!(order[..4], [1, 2, 1, 2]);
        assert!(order[4..].iter().all(|account| *account == 1));
    }

    #[test]
    fn nothing_is_taken_from_under_one_who_waits_within_his_share() {
        let mut books = books(1_000, 2);
        books.take(0, 950);
        assert!(!books.try_take(1, 100));
        books.wait(1, 100, someone());
        assert!(!books.try_take(2, 10), "there would be as much, and another one waits for it");
        let mut granted = Vec::new();
        books.give_back(0, 50, &mut granted);
        assert_eq!(granted.len(), 1);
    }

    #[test]
    fn whoever_is_gone_is_passed_over() {
        let mut books = books(100, 0);
        books.take(0, 100);
        let (gone, here) = (someone(), someone());
        gone.0.set(true);
        books.wait(0, 100, gone);
        books.wait(0, 50, here);
        let mut granted = Vec::new();
        books.give_back(0, 60, &mut granted);
        assert_eq!((granted.len(), books.waiting()), (1, 0));
        assert!(books.try_take(0, 10), "nobody starves any more");
    }

    /// One that asks again and again and gives back the oldest of what it holds only when nothing more is to be had, beside ten that ask for
    /// little now and then.
    #[test]
    fn beside_one_that_always_wants_more_quiet_ones_never_wait() {
        const READ: u64 = 64;
        let mut books = books(10_000, 11);
        let mut held = VecDeque::new();
        let mut granted = Vec::new();
        for round in 0..1_000_u32 {
            while books.try_take(0, READ) {
                held.push_back(READ);
            }
            assert!(books.held(0) <= 5_000, "half of it is what one may have");
            books.wait(0, READ, someone());
            for quiet in 1..=10 {
                assert!(books.try_take(quiet, READ), "tenant {quiet} waits in round {round}: {books:?}");
            }
            for quiet in 1..=10 {
                books.give_back(quiet, READ, &mut granted);
            }
            books.give_back(0, held.pop_front().expect("it holds something"), &mut granted);
            held.extend(granted.drain(..).map(|(account, bytes, _)| {
                assert_eq!(account, 0);
                bytes
            }));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask { account: AccountId, bytes: u64 },
        GiveBack { permit: usize },
        Leave { waiting: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..4u32, 1..120u64).prop_map(|(account, bytes)| Step::Ask { account, bytes }),
            3 => any::<usize>().prop_map(|permit| Step::GiveBack { permit }),
            1 => any::<usize>().prop_map(|waiting| Step::Leave { waiting }),
        ];
        vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn the_sums_are_right_and_nobody_waits_for_ever(steps in steps(), bound in proptest::option::of(1..300i64)) {
            let mut books = books(1_000, 2);
            books.open(bound);
            let (mut permits, mut leavers) = (Vec::new(), Vec::new());
            let mut granted = Vec::new();
            for step in steps {
                match step {
                    Step::Ask { account, bytes } if books.try_take(account, bytes) => permits.push((account, bytes)),
                    Step::Ask { account, bytes } => {
                        let gone = Rc::default();
                        leavers.push(Rc::clone(&gone));
                        books.wait(account, bytes, Someone(gone));
                    }
                    Step::GiveBack { permit } if !permits.is_empty() => {
                        let (account, bytes) = permits.swap_remove(permit % permits.len());
                        books.give_back(account, bytes, &mut granted);
                    }
                    Step::Leave { waiting } if !leavers.is_empty() => leavers[waiting % leavers.len()].set(true),
                    Step::GiveBack { .. } | Step::Leave { .. } => {}
                }
                permits.extend(granted.drain(..).map(|(account, bytes, _)| (account, bytes)));
                let held: i64 = permits.iter().map(|(_, bytes)| *bytes as i64).sum();
                prop_assert_eq!(books.free() + held, 1_000);
                prop_assert!(books.free() >= 0, "nothing is granted that is not there");
                for account in 0..4 {
                    let own: i64 = permits.iter().filter(|(of, _)| *of == account).map(|(_, bytes)| *bytes as i64).sum();
                    prop_assert_eq!(books.held(account), own);
                }
            }
            while let Some((account, bytes)) = permits.pop() {
                books.give_back(account, bytes, &mut granted);
                permits.extend(granted.drain(..).map(|(account, bytes, _)| (account, bytes)));
            }
            prop_assert_eq!(books.waiting(), 0, "{:?}", books);
            prop_assert_eq!(books.free(), 1_000);
        }
    }
}
