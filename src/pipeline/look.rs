//! How the documents of a source look, from its plan and from what its lines are looked up in.

use std::sync::Arc;

use super::handling::Handling;
use super::handling::HandlingError;
use super::lookups::Lookups;
use super::parse::Look;
use super::plan::ParsePlan;
use crate::enrich::fields::FieldsError;
use crate::event_id::IdKey;

/// Why documents cannot look so.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The static fields cannot be.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// Lines cannot be handled so.
    #[error(transparent)]
    Handling(#[from] HandlingError),
    /// A lookup writes a member that documents have already.
    #[error("a lookup writes the member {name:?}, which documents of this schema have already: give its column another name")]
    Member {
        /// The member.
        name: String,
    },
    /// Two lookups write the same member.
    #[error("two lookups write the same member: {names:?}; give their columns different names, or use each once")]
    Twice {
        /// The members of both.
        names: Vec<String>,
    },
}

/// The look of a source's documents.
///
/// # Errors
/// When fields, rules or lookups do not go together.
pub fn look(plan: &ParsePlan, key: IdKey, lookups: &Lookups) -> Result<Look, LookError> {
    let mut taken = Vec::new();
    for at in &plan.lookups {
        let members = lookups.members(&[*at], plan.schema);
        if members.iter().any(|name| taken.contains(name)) {
            return Err(LookError::Twice { names: members });
        }
        taken.extend(members);
    }
    let handling = Handling::new(plan, key, lookups.enrichment(&plan.lookups), taken.clone())?;
    let look = Look::new(plan, Arc::new(handling))?;
    match taken.into_iter().find(|name| look.has_member(name)) {
        Some(name) => Err(LookError::Member { name }),
        None => Ok(look),
    }
}
