//! The programs of one look of `ecs` documents, compiled when the first line comes that one is for.
//!
//! Shared by all connections of a source. A program, once there, stays as long as the look does: lines of a few presences
//! make nearly all of a load balancer's log. There are [`SLOTS`] at the most, about 3 kB each, so that lines made up to
//! differ can neither fill memory nor have programs compiled over and over; what finds no slot is written by the walk.

use std::sync::OnceLock;

use super::ecs_compile::Compiled;
use super::ecs_compile::Presence;

/// Most programs there are.
const SLOTS: usize = 32;

/// Slots that may hold one presence's program.
const PROBES: usize = 4;

/// The programs compiled so far.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    slots: Box<[OnceLock<Slot>]>,
}

#[derive(Clone, Debug)]
struct Slot {
    presence: Presence,
    compiled: Option<Compiled>,
}

impl Cache {
    /// No program yet.
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| OnceLock::new()).collect() }
    }

    /// No program ever.
    pub(super) fn none() -> Self {
        Self { slots: Box::default() }
    }

    /// The program for lines of this presence; `None` where there is none or no room for one.
    #[inline(always)]
    pub(super) fn get(&self, presence: &Presence, compile: impl Fn() -> Option<Compiled>) -> Option<&Compiled> {
        let first = presence.hash() as usize;
        for probe in 0..PROBES {
            let slot = self.slots.get(first.wrapping_add(probe) % SLOTS)?;
            let slot = slot.get_or_init(|| Slot { presence: *presence, compiled: compile() });
            if slot.presence == *presence {
                return slot.compiled.as_ref();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::format::Kind;
    use super::*;

    fn presence(absent: u64) -> Presence {
        Presence { kind: Kind::Alb, known: 30, own: 0, absent }
    }

    #[test]
    fn made_up_lines_compile_no_more_programs_than_there_are_slots() {
        let compiled = Cell::new(0);
        let cache = Cache::new();
        for _ in 0..2 {
            for absent in 0..1000 {
                let _ = cache.get(&presence(absent), || {
                    compiled.set(compiled.get() + 1);
                    None
                });
            }
        }
        assert_eq!(compiled.get(), SLOTS);
    }

    #[test]
    fn a_presence_is_given_its_own_program() {
        let cache = Cache::new();
        let program = |at: u16| Compiled {
            ops: vec![super::super::ecs_compile::Op {
                before: at,
                len: 0,
                place: 0,
                how: super::super::ecs_compile::How::Constant,
            }]
            .into_boxed_slice(),
            text: Box::default(),
            members: Box::default(),
        };
        for _ in 0..2 {
            for absent in 0..1000 {
                if let Some(found) = cache.get(&presence(absent), || Some(program(absent as u16))) {
                    assert_eq!(u64::from(found.ops[0].before), absent);
                }
            }
        }
        assert!(cache.get(&presence(0), || None).is_some(), "the first presence has a program");
    }
}
