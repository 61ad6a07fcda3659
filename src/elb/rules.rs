//! Rules that drop lines, or keep one in so many of them, by what their fields say.
//!
//! A rule is a name, conditions that must all hold, and what to do then; the first rule that matches a line decides, and
//! a line that none matches is kept. Values are compared as the bytes that stand in the line, before anything is decoded.
//! Nothing is allocated for a line. It does not cut lines into fields, does not know how rules are written down, and
//! counts nothing.

use std::num::NonZeroU32;
use std::sync::Arc;

use thiserror::Error;

use super::field_at::FieldAt;
use super::format::Kind;
use crate::batch::EventId;
use crate::value_test::Compiled;
pub use crate::value_test::Test;

/// Most rules: every line is held against all of them until one matches.
pub const RULES_MAX: usize = 64;

/// One rule, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlan {
    /// Its name, for whoever counts what it dropped.
    pub name: String,
    /// What must hold, all of it; without any the rule matches every line.
    pub conditions: Vec<ConditionPlan>,
    /// What becomes of a line that matches.
    pub action: Action,
}

/// What becomes of a line that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is dropped.
    Drop,
    /// One in so many is kept, chosen by the event's id: those whose id, taken as a little-endian number, the count
    /// divides. An id is a hash, so that this is one in so many on average; the same event has the same fate on every
    /// node and however often it is sent. Two relays in a row that ask the same of an id choose the same events.
    KeepOneIn(NonZeroU32),
}

/// One condition, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionPlan {
    /// The field by AWS's name (`client:port`) or by that of its part (`client_ip`), see [`Format::find`](super::format::Format::find).
    pub field: String,
    /// What its value is held against.
    pub test: Test,
    /// Whether the condition holds when the test does not. A line of a kind without the field matches neither way.
    pub negate: bool,
}

/// Why rules cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RulesError {
    /// More than [`RULES_MAX`].
    #[error("{count} rules are more than {RULES_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A rule drops and has no condition: it would drop everything.
    #[error("rule {rule:?} would drop every line: give it a condition")]
    DropsAll {
        /// Name of the rule.
        rule: String,
    },
    /// A condition names a field that no kind of line has.
    #[error("rule {rule:?} names the field {field:?}, which no kind of line has")]
    UnknownField {
        /// Name of the rule.
        rule: String,
        /// Name of the field.
        field: String,
    },
    /// A condition lists nothing, or a range ends before it starts.
    #[error("rule {rule:?} tests the field {field:?} for nothing that a value could be")]
    EmptyTest {
        /// Name of the rule.
        rule: String,
        /// Name of the field.
        field: String,
    },
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept.
    Keep,
    /// It is dropped.
    Drop {
        /// The rule that says so, as an index into the plans.
        rule: usize,
    },
}

/// Rules made ready for lines. Cheap to share, never changed.
#[derive(Debug)]
pub struct Rules {
    /// For each kind the rules that can match its lines, in order.
    kinds: [Box<[Rule]>; Kind::ALL.len()],
}

/// One rule as it is for one kind.
#[derive(Debug)]
struct Rule {
    /// Index into the plans.
    index: usize,
    conditions: Box<[Condition]>,
    action: Action,
}

#[derive(Debug)]
struct Condition {
    field: FieldAt,
    /// One for all kinds: it may hold very many networks.
    test: Arc<Compiled>,
    negate: bool,
}

impl Rules {
    /// Makes rules ready. A rule with a field that a kind does not have never matches lines of that kind.
    ///
    /// # Errors
    /// When there are too many rules, or one of them is certainly not what somebody meant.
    pub fn new(plans: Vec<RulePlan>) -> Result<Self, RulesError> {
        let resolve = |kind: Kind, field: &str| kind.format().find(field);
        if plans.len() > RULES_MAX {
            return Err(RulesError::TooMany { count: plans.len() });
        }
        let mut kinds = Kind::ALL.map(|_| Vec::new());
        for (index, plan) in plans.into_iter().enumerate() {
            if plan.conditions.is_empty() && plan.action == Action::Drop {
                return Err(RulesError::DropsAll { rule: plan.name });
            }
            let mut tests = Vec::with_capacity(plan.conditions.len());
            for condition in plan.conditions {
                let ConditionPlan { field, test, negate } = condition;
                if Kind::ALL.iter().all(|&kind| resolve(kind, &field).is_none()) {
                    return Err(RulesError::UnknownField { rule: plan.name, field });
                }
                let Some(test) = Compiled::new(test) else {
                    return Err(RulesError::EmptyTest { rule: plan.name, field });
                };
                tests.push((field, Arc::new(test), negate));
            }
            for kind in Kind::ALL {
                let conditions: Option<Vec<Condition>> = tests
                    .iter()
                    .map(|(field, test, negate)| {
                        Some(Condition { field: resolve(kind, field)?, test: Arc::clone(test), negate: *negate })
                    })
                    .collect();
                if let Some(mut conditions) = conditions {
                    // All must hold, so their order is ours to choose.
                    conditions.sort_by_key(|condition| (condition.test.cost(), condition.field.part));
                    kinds[kind as usize].push(Rule { index, conditions: conditions.into(), action: plan.action });
                }
            }
        }
        Ok(Self { kinds: kinds.map(Vec::into_boxed_slice) })
    }

    /// Whether some rule can match a line of this kind (`kind as usize`), so that asking is worth while.
    ///
    /// # Panics
    /// When there is no such kind.
    #[inline(always)]
    pub fn concern(&self, kind: usize) -> bool {
        !self.kinds[kind].is_empty()
    }

    /// What becomes of a line of a kind (`kind as usize`) that is the event `id`.
    ///
    /// `value` gives the bytes of a field or part as they stand in the line, without the field's quotes, and `-` where the
    /// line has none; it is asked again for each condition.
    ///
    /// # Panics
    /// When there is no such kind.
    #[inline]
    pub fn decide<'v>(&self, kind: usize, id: EventId, value: impl Fn(FieldAt) -> &'v [u8]) -> Verdict {
        let matches = |rule: &&Rule| rule.conditions.iter().all(|condition| condition.holds(value(condition.field)));
        match self.kinds[kind].iter().find(matches) {
            Some(rule) if !rule.action.keeps(id) => Verdict::Drop { rule: rule.index },
            _ => Verdict::Keep,
        }
    }
}

impl Action {
    #[inline]
    fn keeps(self, id: EventId) -> bool {
        match self {
            Self::Drop => false,
            Self::KeepOneIn(count) => u128::from_le_bytes(id.0).is_multiple_of(u128::from(count.get())),
        }
    }
}

impl Condition {
    #[inline]
    fn holds(&self, value: &[u8]) -> bool {
        self.test.passes(value) != self.negate
    }
}

#[cfg(test)]
mod tests;
