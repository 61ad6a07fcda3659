//! Tenants as they are configured, and the files with their tokens: read at the start, and read again when they change.
//!
//! What is new is checked as a whole and takes the place of the old as a whole; what is broken changes nothing but a counter and
//! the log. Nothing here runs on a line's way.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::look::LookError;
use super::look::Looks;
use super::reload;
use crate::buffer::Buffer;
use crate::intake::Intake;
use crate::metrics::LookupMetrics;
use crate::metrics::Metrics;
use crate::tenant::SameToken;
use crate::tenant::Tenants;
use crate::tenant::plan::TenantPlan;
use crate::tenant::plan::TenantsPlan;
use crate::tenant::token::TOKEN_FILE_BYTES_MAX;
use crate::tenant::token::Token;
use crate::tenant::token::TokenKey;
use crate::tenant::token::TokensError;

/// How often somebody looks whether the buffer has room again for tenants that wait for their share of it.
const ROOM_INTERVAL: Duration = Duration::from_millis(20);

/// Why tenants cannot be so.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// A file of tokens cannot be read.
    #[error("the tokens of tenant {tenant:?} cannot be read: {}: {source}", .path.display())]
    Read {
        /// The tenant.
        tenant: String,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no tokens, or something else.
    #[error("the tokens of tenant {tenant:?} cannot be used: {}: {source}", .path.display())]
    Tokens {
        /// The tenant.
        tenant: String,
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokensError,
    },
    /// Two tenants have the same token.
    #[error(transparent)]
    Same(#[from] SameToken),
    /// The documents of a source cannot have a tenant's fields.
    #[error("tenant {tenant:?} cannot send to source {name}: {source}")]
    Look {
        /// The tenant.
        tenant: String,
        /// The source.
        name: String,
        /// Why.
        source: LookError,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes to keep tokens under: {0}")]
    Random(io::Error),
}

/// Whether the documents of a source can have the fields of all tenants.
///
/// # Errors
/// The first tenant whose they cannot have.
pub(super) fn check(plan: &TenantsPlan, name: &str, looks: &Looks) -> Result<(), TenancyError> {
    for tenant in &plan.tenants {
        let failed = |source| TenancyError::Look { tenant: tenant.name.clone(), name: name.to_owned(), source };
        looks.check(&tenant.fields).map_err(failed)?;
    }
    Ok(())
}

/// A plan and what its files hold.
pub(super) struct Tenancy {
    plan: TenantsPlan,
    key: TokenKey,
    tokens: Vec<Vec<Token>>,
}

impl Tenancy {
    /// Reads the files of a plan. Blocks.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(super) fn read(plan: TenantsPlan) -> Result<Self, TenancyError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| TenancyError::Random(error.into()))?;
        let key = TokenKey::new(key);
        let tokens = plan.tenants.iter().map(|tenant| tokens_of(tenant, key)).collect::<Result<_, _>>()?;
        Ok(Self { plan, key, tokens })
    }

    /// Makes tenants of it, with these accounts and this buffer. `looks` are those of all sources, with their names.
    ///
    /// # Errors
    /// When two tenants have the same token.
    pub(super) fn open(
        self,
        means: (Intake, Intake, Buffer),
        metrics: &Arc<Metrics>,
        looks: Vec<(String, Arc<Looks>)>,
    ) -> Result<Keeper, TenancyError> {
        let Self { plan, key, tokens } = self;
        let tenants = Tenants::new(&plan, key, tokens.clone(), means, metrics.clone())?;
        let broken = vec![false; plan.tenants.len()];
        Ok(Keeper { plan, key, tokens, broken, tenants, looks, metrics: metrics.tenant_reloads() })
    }
}

/// What keeps tenants as they are configured.
pub(super) struct Keeper {
    plan: TenantsPlan,
    key: TokenKey,
    tokens: Vec<Vec<Token>>,
    /// Whether a tenant's file could not be used when it was last looked at, which is said once.
    broken: Vec<bool>,
    tenants: Tenants,
    looks: Vec<(String, Arc<Looks>)>,
    metrics: LookupMetrics,
}

impl Keeper {
    /// The tenants.
    pub(super) fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Looks at the files, and at the buffer for tenants that wait for it, until the process ends; what is sent takes the place of
    /// the plan. Nothing where senders are not told apart.
    pub(super) fn keep(self, asked: reload::Looks) -> Option<(JoinHandle<()>, mpsc::Sender<TenantsPlan>)> {
        let (plans, changed) = mpsc::channel(1);
        let is_in_use = self.tenants.are_in_use();
        let tenants = self.tenants.clone();
        let kept = async move {
            let room = async {
                loop {
                    tenants.make_room(ROOM_INTERVAL).await;
                }
            };
            tokio::join!(self.run(asked, changed), room);
        };
        is_in_use.then(|| (tokio::spawn(kept), plans))
    }

    async fn run(mut self, mut asked: reload::Looks, mut changed: mpsc::Receiver<TenantsPlan>) {
        loop {
            let plan = tokio::select! {
                Some(plan) = changed.recv() => Some(plan),
                _ = asked.next() => None,
            };
            let looked = tokio::task::spawn_blocking(move || {
                match plan {
                    Some(plan) if plan != self.plan => self.replace(plan),
                    _ => self.refresh(),
                }
                self
            });
            self = match looked.await {
                Ok(keeper) => keeper,
                Err(error) => {
                    tracing::error!(%error, "tenants are not kept up to date any more");
                    return;
                }
            };
        }
    }

    /// Puts another plan in the place of the present one, if it can be.
    fn replace(&mut self, plan: TenantsPlan) {
        let read = || {
            for (name, looks) in &self.looks {
                check(&plan, name, looks)?;
            }
            let tokens = plan.tenants.iter().map(|tenant| tokens_of(tenant, self.key)).collect::<Result<Vec<_>, _>>()?;
            self.tenants.replace(&plan, tokens.clone())?;
            Ok::<_, TenancyError>(tokens)
        };
        match read() {
            Ok(tokens) => {
                tracing::info!(tenants = plan.tenants.len(), "the tenants of the changed configuration are in force");
                self.broken = vec![false; plan.tenants.len()];
                (self.plan, self.tokens) = (plan, tokens);
                self.metrics.loaded();
            }
            Err(error) => {
                tracing::error!(%error, "the tenants of the changed configuration cannot be used; those before stay in force");
                self.metrics.refused();
            }
        }
    }

    /// Reads what has changed in the files.
    fn refresh(&mut self) {
        let mut tokens = self.tokens.clone();
        for (at, tenant) in self.plan.tenants.iter().enumerate() {
            match tokens_of(tenant, self.key) {
                Ok(new) => {
                    self.broken[at] = false;
                    tokens[at] = new;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.broken[at], true) {
                        tracing::error!(%error, "a changed file cannot be used; what it was before stays in use");
                        self.metrics.refused();
                    }
                }
            }
        }
        if tokens.iter().flatten().count() == self.tokens.iter().flatten().count()
            && tokens.iter().zip(&self.tokens).all(|(new, old)| are_same(new, old))
        {
            return;
        }
        match self.tenants.replace(&self.plan, tokens.clone()) {
            Ok(()) => {
                tracing::info!("changed tokens have been loaded");
                self.metrics.loaded();
            }
            Err(error) => {
                tracing::error!(%error, "changed tokens cannot be used; those before stay in use");
                self.metrics.refused();
            }
        }
        // Either way they are not new any more.
        self.tokens = tokens;
    }
}

fn are_same(one: &[Token], other: &[Token]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is(other))
}

/// The tokens in a tenant's file; none where it has no file.
fn tokens_of(tenant: &TenantPlan, key: TokenKey) -> Result<Vec<Token>, TenancyError> {
    let Some(path) = &tenant.token_file else { return Ok(Vec::new()) };
    let (name, path) = (tenant.name.clone(), path.clone());
    match read(&path) {
        Ok(text) => key.read(&text).map_err(|source| TenancyError::Tokens { tenant: name, path, source }),
        Err(source) => Err(TenancyError::Read { tenant: name, path, source }),
    }
}

/// Reads a file of at most so many bytes and one more, which whoever reads them as tokens finds to be too many.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(TOKEN_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
