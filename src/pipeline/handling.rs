//! What is done with the load-balancer lines of one source before they are written: secrets replaced, noise dropped,
//! things looked up. Made once per source; only what is looked up changes while the relay runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::Cache;

use super::plan::ParsePlan;
use super::plan::Redact;
use crate::elb::enrichment::Enrichment;
use crate::elb::rules::Rules;
use crate::elb::rules::RulesError;
use crate::event_id::IdKey;
use crate::redact::Redactor;
use crate::redact::Replacement;
use crate::redact::names::NameError;

/// What a source looks up, replaced as a whole when a file has changed.
pub type SharedEnrichment = Arc<ArcSwap<Enrichment>>;

/// The same in the hands of one connection, which notices a replacement with its next line.
pub(super) type CachedEnrichment = Cache<SharedEnrichment, Arc<Enrichment>>;

/// What is done with the lines of one source.
#[derive(Debug)]
pub struct Handling {
    /// Replaces secrets, unless the source wants lines as they are.
    pub(super) redactor: Option<Redactor>,
    /// Drops what nobody wants, if anything.
    pub(super) rules: Option<Rules>,
    /// What is looked up.
    pub enrichment: SharedEnrichment,
    /// Names of members that lookups write, so that no sender's field stands beside them.
    pub(super) taken: Vec<String>,
}

/// Why a source's lines cannot be handled so.
#[derive(Debug, thiserror::Error)]
pub enum HandlingError {
    /// A name that can never be a parameter's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A rule that cannot be.
    #[error(transparent)]
    Rules(#[from] RulesError),
}

impl Handling {
    /// The handling of a source's lines. `key` is the one event ids are computed under; `taken` are the names of members
    /// that `enrichment` writes.
    ///
    /// # Errors
    /// When a rule or a name cannot be.
    pub fn new(plan: &ParsePlan, key: IdKey, enrichment: Enrichment, taken: Vec<String>) -> Result<Self, HandlingError> {
        let replacement = match plan.redact {
            Redact::Off => None,
            Redact::Mask => Some(Replacement::Mask),
            Redact::Hash => Some(Replacement::Hash(key.bytes())),
        };
        let redactor = replacement.map(|replacement| Redactor::new(replacement, &plan.redact_names)).transpose()?;
        let rules = if plan.rules.is_empty() { None } else { Some(Rules::new(plan.rules.clone())?) };
        Ok(Self { redactor, rules, enrichment: Arc::new(ArcSwap::from_pointee(enrichment)), taken })
    }
}
