//! `elbow dead-letters replay`: rejected lines once more, as the configuration says now.

use std::io;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::EXIT_SOME;
use super::Trouble;
use super::change::check_owner;
use super::change::open;
use super::counted;
use super::look;
use super::say;
use crate::buffer::BufferPlan;
use crate::buffer::DiskPlan;
use crate::buffer::frame::SourceNames;
use crate::buffer::log::CommitError;
use crate::buffer::log::Durability;
use crate::buffer::log::Log;
use crate::buffer::log::LogPlan;
use crate::buffer::recovery::Recovered;
use crate::buffer::sift;
use crate::buffer::sift::Sieve;
use crate::buffer::sift::SiftError;
use crate::cli::args::ReplayLetters;
use crate::cli::check::load;
use crate::pipeline::letters::Choice;
use crate::pipeline::letters::KEPT;
use crate::pipeline::letters::Outcome;
use crate::pipeline::letters::Replay;
use crate::pipeline::lookups::Lookups;
use crate::pipeline::relay::RelayPlan;

pub(super) fn replay(command: &ReplayLetters) -> Result<u8, Trouble> {
    let plan = load(command.config.as_deref(), &command.overrides).map_err(|error| Trouble::Said(error.to_string()))?.relay;
    let none = || Trouble::Said("the configuration names no data_dir, so there are no dead letters".to_owned());
    let letters = plan.dead_letters.as_ref().ok_or_else(none)?;
    let BufferPlan::Disk(buffer) = &plan.buffer else {
        let text = "the buffer is in memory, so nothing can be put into it while the relay is stopped: write kind = \"disk\" in [buffer]";
        return Err(Trouble::Said(text.to_owned()));
    };
    if !letters.path.exists() {
        return finish(&Outcome::default(), 0, false);
    }
    let lookups = Lookups::load(&plan.lookups).map_err(|error| Trouble::Said(error.to_string()))?;
    let sources: Vec<String> = plan.sources.iter().map(|source| source.door.name.clone()).collect();
    let known = |wanted: &String| sources.contains(wanted) || command.as_is;
    if let Some(unknown) = command.source.as_ref().filter(|wanted| !known(wanted)) {
        let text = format!("no source is called {unknown:?}; there are {}", sources.join(", "));
        return Err(Trouble::Said(text));
    }
    let names = Arc::new(SourceNames::new(&sources));
    let choice = Choice { source: command.source.clone(), as_is: command.as_is };
    let work = Work { plan: &plan, lookups: &lookups, names, choice };
    if command.dry_run { work.dry_run(&letters.path) } else { work.run(letters, buffer) }
}

struct Work<'p> {
    plan: &'p RelayPlan,
    lookups: &'p Lookups,
    names: Arc<SourceNames>,
    choice: Choice,
}

impl Work<'_> {
    fn replay(&self, buffer: Option<Log>) -> Result<Replay, Trouble> {
        let replay = Replay::new(self.plan, self.lookups, self.choice.clone(), self.names.clone(), buffer);
        replay.map_err(|error| Trouble::Said(error.to_string()))
    }

    /// Says what would happen, from outside.
    fn dry_run(&self, path: &Path) -> Result<u8, Trouble> {
        let mut replay = self.replay(None)?;
        look(path, &self.names, &mut |event, _| {
            replay.goes(event);
            Ok(ControlFlow::Continue(()))
        })?;
        finish(&replay.expected, 0, true)
    }

    fn run(&self, letters: &DiskPlan, buffer: &DiskPlan) -> Result<u8, Trouble> {
        let sinks: Vec<String> = self.plan.sinks.iter().map(|sink| sink.name.clone()).collect();
        let buffer_plan = LogPlan { durability: Durability::Disk, ..buffer.log_plan() };
        // Before there is a buffer where there was none.
        check_owner(&letters.path)?;
        // As the relay does it: first the buffer.
        let (buffer, Recovered { marks, .. }) = open(&buffer.path, buffer_plan, self.names.clone(), &sinks, &buffer.forget)?;
        let (mut log, recovered) = open(&letters.path, sift::plan_for(letters), self.names.clone(), &[KEPT.to_owned()], &[])?;
        let mut replay = self.replay(Some(buffer))?;
        let sifted = sift::sift(&mut log, KEPT, recovered.marks[0], &mut replay);
        let expected = replay.expected;
        if let Some(mut buffer) = replay.into_buffer()
            && sifted.is_ok()
        {
            // So that the next start need not copy the last entries to be sure of them.
            buffer.checkpoint(sinks.into_iter().zip(marks).collect()).map_err(|error| Trouble::Said(error.to_string()))?;
        }
        match sifted {
            Ok(sifted) => finish(&expected, sifted.lost, false),
            Err(SiftError::Elsewhere(CommitError::Full(full))) => {
                say(&format!("elbow: {full}: start the relay so that sinks make room, stop it, and replay the rest"));
                Ok(EXIT_SOME)
            }
            Err(error) => Err(Trouble::Said(format!("{error}; what was replayed before is in the buffer, the rest is there"))),
        }
    }
}

/// Says what became of the letters and gives the exit status.
fn finish(outcome: &Outcome, lost: u64, is_dry: bool) -> Result<u8, Trouble> {
    let Outcome { good, as_is, dropped, rejected, of_no_source, of_no_sink, not_chosen } = *outcome;
    let would = if is_dry { "would be " } else { "" };
    let mut text = format!("{} {would}replayed", counted(good));
    for (count, what) in [
        (as_is, "put into the buffer as they are"),
        (dropped, "dropped by rules"),
        (rejected, "still rejected: they stay"),
        (of_no_source, "of sources that are not configured: they stay"),
        (of_no_sink, "refused by sinks that are not configured: they stay"),
        (not_chosen, "of other sources: left alone"),
        (lost, "damaged or missing: passed over"),
    ] {
        if count > 0 {
            text += &format!("\n{count} {what}");
        }
    }
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(if outcome.staying() > 0 { EXIT_SOME } else { 0 })
}
