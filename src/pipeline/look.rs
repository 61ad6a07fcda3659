//! How the documents of a source look, from its plan and from what its lines are looked up in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::Value;

use super::handling::Handling;
use super::handling::HandlingError;
use super::lookups::Lookups;
use super::plan::ParsePlan;
use super::sender;
use super::text;
use crate::elb::Style;
use crate::elb::StylePlan;
use crate::enrich::fields::Fields;
use crate::enrich::fields::FieldsError;
use crate::event_id::IdKey;
use crate::peer::Peer;
use crate::tenant::Tenant;

/// How documents of one source or connection look, rendered once.
#[derive(Debug)]
pub struct Look {
    pub(super) style: Style,
    pub(super) text_tail: Vec<u8>,
    pub(super) fields: Fields,
    pub(super) pairs: Vec<(String, Value)>,
    /// Those of the fields that stand whatever a sender or its events say.
    pub(super) forced: Fields,
    pub(super) handling: Arc<Handling>,
    /// Whether documents say whose they are.
    names_senders: bool,
}

impl Look {
    /// The look of a source's documents.
    ///
    /// # Errors
    /// When a field has a name the relay writes itself, or the fields are too many or too large.
    pub fn new(plan: &ParsePlan, handling: Arc<Handling>) -> Result<Self, FieldsError> {
        let &ParsePlan { schema, classic_extra, keep_original, ref fields, ref lookups, .. } = plan;
        let enriched = !lookups.is_empty();
        let taken = &handling.taken;
        let style = Style::new(&StylePlan { schema, fields, classic_extra, keep_original, enriched, taken });
        let look = Self { names_senders: plan.sender_fields, ..Self::of(style, fields, handling)? };
        if look.names_senders {
            // Whether there is room for them is found out here and not by the first sender.
            look.with(sender::largest(schema))?;
        }
        Ok(look)
    }

    fn of(style: Style, pairs: &[(String, Value)], handling: Arc<Handling>) -> Result<Self, FieldsError> {
        let fields = Fields::from_pairs(pairs.iter().cloned())?;
        Ok(Self {
            style,
            text_tail: text::tail(pairs),
            fields,
            pairs: pairs.to_vec(),
            forced: Fields::new(),
            handling,
            names_senders: false,
        })
    }

    /// The look of the documents of this sender, where they say whose they are.
    pub(super) fn for_sender(self: &Arc<Self>, peer: &Peer) -> Arc<Self> {
        if !self.names_senders {
            return self.clone();
        }
        let fields = sender::fields(peer, self.style.schema());
        Arc::new(self.with(fields).expect("there is room for the largest such fields"))
    }

    /// Whether a field of this name says whose a document is, so that no sender may set it.
    pub(super) fn is_of_sender(&self, name: &str) -> bool {
        self.names_senders && sender::names(self.style.schema()).contains(&name)
    }

    /// Whether documents have a member of this name of their own.
    pub(super) fn has_member(&self, name: &str) -> bool {
        self.style.is_own_member(name)
    }

    /// What is done with lines before they are written.
    pub fn handling(&self) -> &Handling {
        &self.handling
    }

    /// The same with more fields; of two fields of one name the new one counts, unless the old one is forced.
    pub(super) fn with(&self, more: Vec<(String, Value)>) -> Result<Self, FieldsError> {
        let mut pairs = self.pairs.clone();
        for (name, value) in more {
            match pairs.iter_mut().find(|(known, _)| *known == name) {
                Some(_) if self.forced.find(&name).is_some() => {}
                Some(field) => field.1 = value,
                None => pairs.push((name, value)),
            }
        }
        let look = Self::of(self.style.with_fields(&pairs, &self.handling.taken), &pairs, self.handling.clone())?;
        Ok(Self { forced: self.forced.clone(), names_senders: self.names_senders, ..look })
    }

    /// The same with fields that nothing can override.
    ///
    /// # Errors
    /// When a field has a name of which something else decides, or they are too many or too large.
    pub(super) fn forcing(&self, fields: &[(String, Value)]) -> Result<Self, LookError> {
        let is_taken =
            |name: &String| self.style.is_of_lines(name) || self.handling.taken.contains(name) || self.is_of_sender(name);
        if let Some((name, _)) = fields.iter().find(|(name, _)| is_taken(name)) {
            return Err(LookError::Forced { name: name.clone() });
        }
        let forced = Fields::from_pairs(fields.iter().cloned())?;
        let look = Self { forced, ..self.with(fields.to_vec())? };
        if look.names_senders {
            // As with the source's own fields.
            look.with(sender::largest(look.style.schema()))?;
        }
        Ok(look)
    }
}

/// The looks of a source's documents: its own, and those of each tenant.
#[derive(Debug)]
pub struct Looks {
    plain: Arc<Look>,
    /// By version of the tenant. Made when its first connection comes.
    of_tenants: Mutex<HashMap<u64, Arc<Look>>>,
}

/// Looks kept; beyond that all are forgotten and made anew, which only reloads without end ever come to.
const LOOKS_MAX: usize = 16 * 1024;

impl Looks {
    /// The looks of a source with this one.
    pub fn new(plain: Arc<Look>) -> Self {
        Self { plain, of_tenants: Mutex::default() }
    }

    /// The source's own.
    pub fn plain(&self) -> &Arc<Look> {
        &self.plain
    }

    /// Whether a tenant's fields can be forced on these documents.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, fields: &[(String, Value)]) -> Result<(), LookError> {
        self.plain.forcing(fields).map(drop)
    }

    /// The look of a tenant's documents.
    ///
    /// # Panics
    /// When its fields have not been checked.
    pub fn of(&self, tenant: &Tenant) -> Arc<Look> {
        if tenant.fields().is_empty() {
            return self.plain.clone();
        }
        let mut looks = self.of_tenants.lock().expect("nobody panics while a look is made");
        if looks.len() >= LOOKS_MAX {
            looks.clear();
        }
        let make = || Arc::new(self.plain.forcing(tenant.fields()).expect("a tenant's fields are checked before it is one"));
        looks.entry(tenant.version()).or_insert_with(make).clone()
    }
}

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
    /// A tenant's field stands in another member's place.
    #[error("the field {name:?} of a tenant is a member that lines or lookups decide about: give the field another name")]
    Forced {
        /// The field.
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
    match taken.into_iter().find(|name| look.has_member(name) || look.is_of_sender(name)) {
        Some(name) => Err(LookError::Member { name }),
        None => Ok(look),
    }
}
