//! The log on a disk that loses, tears and fails, step by step against a plain list of what it was given.
//!
//! `BUFFER_SEED` and `BUFFER_STEPS` repeat one life, as a failure says. It knows nothing of how the log does its work.

#[path = "support/buffer_world.rs"]
mod buffer_world;
#[path = "support/modelled_disk.rs"]
mod modelled_disk;
#[path = "support/planted_disk.rs"]
mod planted_disk;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use buffer_world::Stat;
use buffer_world::World;
use planted_disk::Mistake;

/// Steps of one life.
const STEPS: u64 = 300;

/// Lives that every run of the tests goes through.
const LIVES: u64 = 100;

/// Lives of the long form: more than a million steps.
const LIVES_LONG: u64 = 10_000;

/// Lives until a planted mistake must have been found.
const LIVES_MISTAKEN: u64 = 60;

/// One life from beginning to end; what was broken in it, with all that led there.
fn live(seed: u64, steps: u64, mistake: Option<Mistake>) -> Result<Stat, String> {
    let mut world = World::new(seed, mistake);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..steps {
            world.step()?;
        }
        world.finish()
    }));
    let broken = match lived {
        Ok(Ok(())) => return Ok(world.stat),
        Ok(Err(broken)) => broken,
        Err(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => format!("it panicked: {text}"),
            (_, Some(text)) => format!("it panicked: {text}"),
            _ => "it panicked".to_owned(),
        },
    };
    let again = format!("BUFFER_SEED={seed} BUFFER_STEPS={steps} cargo test --test buffer_model one_life");
    Err(format!("{broken}\nin step {} of {steps}; again by\n\n    {again}\n\n{}", world.stat.steps, world.story()))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Many lives, and what happened in them.
fn live_all(seeds: impl Iterator<Item = u64>, steps: u64) -> Stat {
    let mut total = Stat::default();
    let mut broken = Vec::new();
    for seed in seeds {
        match live(seed, steps, None) {
            Ok(stat) => total.add(&stat),
            Err(how) => broken.push(how),
        }
    }
    for how in broken.iter().skip(1) {
        println!("{}\n", how.split("the last calls").next().unwrap_or_default());
    }
    if let Some(first) = broken.first() {
        panic!("{} lives were broken; the first: {first}", broken.len());
    }
    for (what, times) in total.figures() {
        println!("{times:>9} {what}");
        assert!(times > 0, "no {what}: the simulation does not try what it is for");
    }
    total
}

#[test]
fn a_log_keeps_its_promises_through_many_lives() {
    let _ = live_all(0..LIVES, STEPS);
}

#[test]
fn one_life() {
    let (seed, steps) = (number("BUFFER_SEED").unwrap_or(0), number("BUFFER_STEPS").unwrap_or(STEPS));
    live(seed, steps, None).unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
#[ignore = "takes minutes; BUFFER_SEED says where to begin, BUFFER_LIVES how many there are"]
fn a_log_keeps_its_promises_through_very_many_lives() {
    let first = number("BUFFER_SEED").unwrap_or(LIVES);
    let lives = number("BUFFER_LIVES").unwrap_or(LIVES_LONG);
    let stat = live_all(first..first + lives, number("BUFFER_STEPS").unwrap_or(STEPS));
    assert!(stat.steps > 0);
}

#[test]
fn every_planted_mistake_is_found() {
    for mistake in Mistake::ALL {
        let found = (0..LIVES_MISTAKEN).find_map(|seed| live(seed, STEPS, Some(mistake)).err());
        let found = found.unwrap_or_else(|| panic!("{mistake:?} was not found in {LIVES_MISTAKEN} lives"));
        println!("{mistake:?}: {}", found.lines().next().unwrap_or_default());
    }
}
