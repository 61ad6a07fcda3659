//! Tenants: whose a sender is, what it may use, and what it has used.
//!
//! A tenant is a team, an account, an environment: whoever shall neither pass for another nor be harmed by one. Who it is comes
//! from the connection or from a token and never from an event. What is over a limit waits or is told to come again; nothing is
//! dropped. It reads no file, opens no socket and starts no task.
//!
//! Reading order: [`plan`] is what is configured, `matching` and [`token`] say whose a sender is, `standing` is one tenant while
//! the relay runs, `bucket` and `throttle` are its rates, `ledger` and `shares` its part of the buffer.

mod bucket;
mod ledger;
mod matching;
pub mod plan;
mod shares;
mod standing;
mod throttle;
pub mod token;
mod visit;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::buffer::Buffer;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::metrics::REFUSALS;
use crate::peer::Peer;
use matching::Match;
use matching::Matching;
use plan::TenantPlan;
use plan::TenantsPlan;
use plan::Unknown;
use plan::percent_of;
use shares::Shares;
use standing::Standing;
pub use standing::Tenant;
pub use standing::TenantRef;
pub use standing::UsedUp;
pub use standing::Verdict;
use token::Token;
use token::TokenKey;
pub use visit::Visit;

/// All tenants. Clones are the same.
#[derive(Clone)]
pub struct Tenants {
    shared: Arc<Shared>,
}

struct Shared {
    key: TokenKey,
    now: ArcSwap<Registry>,
    /// What outlives a reload, by name, and the number of the next version.
    kept: Mutex<Kept>,
    intake: Intake,
    unfinished: Intake,
    shares: Option<Arc<Shares>>,
    metrics: Option<Arc<Metrics>>,
}

#[derive(Default)]
struct Kept {
    standings: HashMap<String, Arc<Standing>>,
    versions: u64,
}

/// The tenants as they are configured now.
struct Registry {
    unknown: Unknown,
    /// Everybody who is no tenant.
    nobody: TenantRef,
    all: Vec<TenantRef>,
    matching: Matching,
    tokens: Vec<(Token, u32)>,
}

/// The tokens of each tenant of a plan, in its order; none where it has no file.
pub type TokensOfEach = Vec<Vec<Token>>;

/// Why a sender is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no tenant, and only tenants may send.
    Unknown,
    /// The names in its certificate are those of several tenants.
    Several,
    /// It has a token that nobody has.
    Token,
    /// Its tenant has as many connections as it may have.
    Full,
}

impl Refused {
    /// The word for it, as in metrics.
    pub const fn label(self) -> &'static str {
        REFUSALS[self as usize]
    }
}

/// Two tenants have the same token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tenants {one:?} and {other:?} have the same token: nobody could tell whose it is")]
pub struct SameToken {
    /// One of them.
    pub one: String,
    /// The other.
    pub other: String,
}

impl Tenants {
    /// No tenant: everybody is nobody in particular and may use everything.
    pub fn none(intake: Intake, unfinished: Intake) -> Self {
        let standing = Arc::new(Standing::new(0, intake.clone(), unfinished.clone(), None, None));
        let nobody = Arc::new(Tenant::new(0, TenantPlan::default(), standing));
        let matching = Matching::default();
        let now = Registry { unknown: Unknown::Allow, nobody, all: Vec::new(), matching, tokens: Vec::new() };
        let now = ArcSwap::from_pointee(now);
        let (kept, key) = (Mutex::default(), TokenKey::new([0; 32]));
        Self { shared: Arc::new(Shared { key, now, kept, intake, unfinished, shares: None, metrics: None }) }
    }

    /// The tenants of a plan. `key` is drawn by whoever calls; `tokens` are what each tenant's file holds, read under it.
    ///
    /// # Errors
    /// When two tenants have the same token.
    pub fn new(
        plan: &TenantsPlan,
        key: TokenKey,
        tokens: TokensOfEach,
        means: (Intake, Intake, Buffer),
        metrics: Arc<Metrics>,
    ) -> Result<Self, SameToken> {
        let (intake, unfinished, buffer) = means;
        if !plan.is_in_use() {
            return Ok(Self::none(intake, unfinished));
        }
        let none = Self::none(intake.clone(), unfinished.clone());
        let now = ArcSwap::new(none.shared.now.load_full());
        let (shares, metrics) = (Some(Arc::new(Shares::new(buffer))), Some(metrics));
        let tenants = Self { shared: Arc::new(Shared { key, now, kept: Mutex::default(), intake, unfinished, shares, metrics }) };
        tenants.replace(plan, tokens)?;
        Ok(tenants)
    }

    /// Puts another plan, or other tokens, in the place of the present one. Open connections go on as they are.
    ///
    /// # Errors
    /// When two tenants have the same token; then nothing has changed.
    pub fn replace(&self, plan: &TenantsPlan, tokens: TokensOfEach) -> Result<(), SameToken> {
        let names = || plan.tenants.iter().map(|tenant| tenant.name.as_str());
        let mut all_tokens: Vec<(Token, u32)> = Vec::new();
        for (at, (own, name)) in tokens.into_iter().zip(names()).enumerate() {
            let at = u32::try_from(at).expect("there are few tenants");
            for token in own {
                if let Some(other) = token.owner(&all_tokens).filter(|other| *other != at) {
                    let other = names().nth(other as usize).unwrap_or_default();
                    return Err(SameToken { one: other.to_owned(), other: name.to_owned() });
                }
                all_tokens.push((token, at));
            }
        }
        let mut kept = self.shared.kept.lock().expect("nobody panics while tenants are replaced");
        let nobody = self.shared.tenant(&mut kept, TenantPlan::default());
        let all = plan.tenants.iter().map(|tenant| self.shared.tenant(&mut kept, tenant.clone())).collect();
        let matching = Matching::new(&plan.tenants);
        self.shared.now.store(Arc::new(Registry { unknown: plan.unknown, nobody, all, matching, tokens: all_tokens }));
        Ok(())
    }

    /// What tokens are read under.
    pub fn key(&self) -> TokenKey {
        self.shared.key
    }

    /// Lets a connection in, by what is known of its sender. `may_prove`: the sender can still say a token, so that one who is
    /// nobody yet is let in where there are tokens.
    ///
    /// # Errors
    /// Why it is not let in; that is counted.
    pub fn admit(&self, peer: &Peer, may_prove: bool) -> Result<Visit, Refused> {
        let now = self.shared.now.load();
        let (tenant, is_known) = match now.matching.whose(peer) {
            Match::Tenant(at) => (&now.all[at as usize], true),
            Match::Nobody if now.unknown == Unknown::Allow || may_prove && !now.tokens.is_empty() => (&now.nobody, false),
            Match::Nobody => return Err(self.shared.refused(&now.nobody, Refused::Unknown)),
            Match::Several => return Err(self.shared.refused(&now.nobody, Refused::Several)),
        };
        if !tenant.connect() {
            return Err(self.shared.refused(tenant, Refused::Full));
        }
        let owes_proof = !is_known && now.unknown == Unknown::Refuse;
        Ok(Visit::new(self.clone(), tenant.clone(), owes_proof))
    }

    /// Whose token this is.
    pub fn by_token(&self, token: &[u8]) -> Option<TenantRef> {
        let now = self.shared.now.load();
        let owner = self.shared.key.token(token).owner(&now.tokens)?;
        Some(now.all[owner as usize].clone())
    }

    /// Whether any tenant has a token; where none has, what senders say as one means nothing.
    pub fn has_tokens(&self) -> bool {
        !self.shared.now.load().tokens.is_empty()
    }

    /// Whether only tenants may send.
    pub fn refuses_unknown(&self) -> bool {
        self.shared.now.load().unknown == Unknown::Refuse
    }

    /// Everybody who is no tenant, and then the tenants, in the order of the plan.
    pub fn all(&self) -> Vec<TenantRef> {
        let now = self.shared.now.load();
        std::iter::once(&now.nobody).chain(&now.all).cloned().collect()
    }

    /// Whether senders are told apart at all.
    pub fn are_in_use(&self) -> bool {
        self.shared.shares.is_some()
    }

    /// Waits until a connection waits for its tenant's share of the buffer, and a moment more; then wakes those of tenants that
    /// have room again. Somebody has to call it again and again.
    pub async fn make_room(&self, moment: Duration) {
        let Some(shares) = &self.shared.shares else { return std::future::pending().await };
        shares.asked().await;
        tokio::time::sleep(moment).await;
        let standings: Vec<Arc<Standing>> = {
            let kept = self.shared.kept.lock().expect("nobody panics while tenants are replaced");
            kept.standings.values().cloned().collect()
        };
        if standings.iter().filter(|standing| standing.wake()).count() > 0 {
            shares.ask();
        }
    }

    /// Brings the gauges of all tenants up to date.
    pub fn show(&self) {
        if self.are_in_use() {
            self.all().iter().for_each(|tenant| tenant.show());
        }
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants").finish_non_exhaustive()
    }
}

impl Shared {
    /// A tenant that is configured so, with what is kept of one of its name.
    fn tenant(&self, kept: &mut Kept, plan: TenantPlan) -> TenantRef {
        kept.versions += 1;
        let place = u32::try_from(kept.standings.len()).expect("there are few tenants");
        let most = plan.limits.memory_percent;
        let most = |of: &Intake| most.map(|percent| percent_of(of.bytes_max(), percent));
        let standing = kept.standings.entry(plan.name.clone()).or_insert_with(|| {
            let metrics = self.metrics.as_ref().map(|metrics| metrics.tenant(&plan.name));
            let (intake, unfinished) = (self.intake.account(None), self.unfinished.account(None));
            Arc::new(Standing::new(place, intake, unfinished, self.shares.clone(), metrics))
        });
        standing.intake.bound(most(&self.intake));
        standing.unfinished.bound(most(&self.unfinished));
        standing.bound(plan.limits.buffer_percent);
        Arc::new(Tenant::new(kept.versions, plan, standing.clone()))
    }

    fn refused(&self, tenant: &Tenant, why: Refused) -> Refused {
        if let Some(metrics) = &tenant.standing.metrics {
            metrics.refused(why as usize);
        }
        why
    }
}

#[cfg(test)]
mod tests;
