//! `elbow dead-letters`: what looks at letters. What removes them is in `replay` and `purge`.
//!
//! It looks without a lock and changes nothing, so that it may be used while a relay runs.

mod change;
mod purge;
mod replay;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use crate::buffer::DiskPlan;
use crate::buffer::disk::RealDisk;
use crate::buffer::frame::SourceNames;
use crate::buffer::outside;
use crate::buffer::sift::Event;
use crate::buffer::sift::events;
use crate::cli::args::Address;
use crate::cli::args::Letters;
use crate::cli::args::LettersPlace;
use crate::cli::check::EXIT_CONFIGURATION;
use crate::cli::check::load;
use crate::config::overrides::Overrides;
use crate::pipeline::letters::KEPT;
use crate::pipeline::letters::Letter;
use crate::pipeline::letters::refused;
use crate::time::format_millis;

/// Exit status when some letters stay, or are not there.
const EXIT_SOME: u8 = 1;

/// Exit status when nothing could be done.
const EXIT_FAILED: u8 = EXIT_CONFIGURATION;

/// Bytes of a line that `list` shows.
const SHOWN_BYTES: usize = 80;

/// Does what was asked.
pub fn letters(command: &Letters) -> ExitCode {
    let done = match command {
        Letters::List { place, source, limit } => list(place, source.as_deref(), limit.unwrap_or(u64::MAX)),
        Letters::Show { place, addresses } => show(place, addresses),
        Letters::Export { place, source } => export(place, source.as_deref()),
        Letters::Replay(command) => replay::replay(command),
        Letters::Purge { place, what } => purge::purge(place, what),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) => complain(&format!("letters cannot be written: {error}")),
        Err(Trouble::Said(text)) => complain(&text),
    }
}

fn complain(text: &str) -> ExitCode {
    say(&format!("elbow: {text}"));
    ExitCode::from(EXIT_FAILED)
}

/// So many letters, in words.
fn counted(letters: u64) -> String {
    if letters == 1 { "1 letter".to_owned() } else { format!("{letters} letters") }
}

/// Writes to a person. When nobody can read it there is nobody to tell.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Why a command was broken off.
enum Trouble {
    /// Standard output takes nothing more.
    Output(io::Error),
    /// Cause and remedy in words.
    Said(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The directory of the letters, and how it is kept where a file says so.
fn directory(place: &LettersPlace) -> Result<(PathBuf, Option<DiskPlan>), Trouble> {
    match place {
        LettersPlace::DataDir(path) => Ok((path.join(KEPT), None)),
        LettersPlace::Config(file) => {
            let plan = load(Some(file), &Overrides::default()).map_err(|error| Trouble::Said(error.to_string()))?;
            let none = || Trouble::Said(format!("{} names no data_dir, so there are no dead letters", file.display()));
            let plan = plan.relay.dead_letters.ok_or_else(none)?;
            Ok((plan.path.clone(), Some(plan)))
        }
    }
}

/// Is given a letter and the name of its source, and says whether to go on.
type Each<'e> = dyn FnMut(&Event<'_>, &str) -> Result<ControlFlow<()>, Trouble> + 'e;

/// Gives each letter and the name of its source to `each` until it breaks.
fn look(path: &Path, names: &SourceNames, each: &mut Each<'_>) -> Result<(), Trouble> {
    if !path.exists() {
        return Err(Trouble::Said(format!("there are no dead letters: {} does not exist", path.display())));
    }
    let mut failed = None;
    let lost = outside::entries(&RealDisk::read_only(path), KEPT, names, &mut |entry| {
        let source = names.name(entry.batch.source);
        for event in events(entry) {
            match each(&event, &source) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
                Err(trouble) => {
                    failed = Some(trouble);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    });
    let lost = lost.map_err(|error| Trouble::Said(error.to_string()))?;
    if lost > 0 {
        say(&format!("{lost} letters are damaged or missing and were passed over"));
    }
    failed.map_or(Ok(()), Err)
}

fn address(event: &Event<'_>) -> Address {
    Address { seq: event.entry.seq.0, index: event.index }
}

fn is_of(wanted: Option<&str>, source: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == source)
}

fn list(place: &LettersPlace, wanted: Option<&str>, limit: u64) -> Result<u8, Trouble> {
    let (path, _) = directory(place)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut named = 0;
    look(&path, &SourceNames::default(), &mut |event, source| {
        if !is_of(wanted, source) {
            return Ok(ControlFlow::Continue(()));
        }
        let (reason, message) = match (Letter::read(event.document), refused(event.document)) {
            (Some(letter), _) => (letter.reason, letter.message),
            (None, Some(refused)) => (refused.reason.to_owned(), format!("{}: {}", refused.sink, refused.words)),
            (None, None) => (NO_LETTER.to_owned(), String::new()),
        };
        *counts.entry((source.to_owned(), reason.clone())).or_default() += 1;
        if named < limit {
            let (id, received) = (event.mark.id.hex(), format_millis(event.entry.batch.received));
            let (id, received) = (String::from_utf8_lossy(&id), String::from_utf8_lossy(&received));
            writeln!(out, "{:<8} {received} {source} {reason} {id} {}", address(event), beginning(&message))?;
            named += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush()?;
    let total: u64 = counts.values().sum();
    say(&counted(total));
    for ((source, reason), count) in counts {
        say(&format!("{count:>9} {source} {reason}"));
    }
    Ok(0)
}

/// Stands for the reason of a document that is none of a rejected line.
const NO_LETTER: &str = "no_letter";

/// The first bytes of a line for a terminal: nothing in it moves a cursor.
fn beginning(message: &str) -> String {
    let mut text = String::new();
    for character in message.chars() {
        if text.len() >= SHOWN_BYTES {
            text.push('…');
            break;
        }
        // Beside the control characters those that turn the direction of text.
        if character.is_control()
            || matches!(character, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

fn show(place: &LettersPlace, addresses: &[Address]) -> Result<u8, Trouble> {
    let (path, _) = directory(place)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left: BTreeSet<Address> = addresses.iter().copied().collect();
    look(&path, &SourceNames::default(), &mut |event, source| {
        if left.remove(&address(event)) {
            write!(out, "{}", in_full(event, source))?;
        }
        Ok(if left.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    out.flush()?;
    for address in &left {
        say(&format!("elbow: there is no letter {address}; it may have been replayed or removed"));
    }
    Ok(if left.is_empty() { 0 } else { EXIT_SOME })
}

/// A letter and what is kept beside it.
fn in_full(event: &Event<'_>, source: &str) -> String {
    let time = |micros| String::from_utf8_lossy(&format_millis(micros)).into_owned();
    let document = match serde_json::from_slice::<Value>(event.document) {
        // Control characters are escaped in JSON.
        Ok(document) => format!("{document:#}"),
        Err(_) => String::from_utf8_lossy(event.document).escape_default().to_string(),
    };
    let tenant = event.entry.batch.tenant.as_ref();
    let tenant = tenant.map_or(String::new(), |tenant| format!("tenant    {}\n", tenant.escape_default()));
    format!(
        "address   {}\nsource    {source}\n{tenant}received  {}\ntime      {}\nid        {}\nbytes     {}\n{document}\n\n",
        address(event),
        time(event.entry.batch.received),
        time(event.mark.time),
        String::from_utf8_lossy(&event.mark.id.hex()),
        event.document.len(),
    )
}

fn export(place: &LettersPlace, wanted: Option<&str>) -> Result<u8, Trouble> {
    let (path, _) = directory(place)?;
    let mut out = BufWriter::new(io::stdout().lock());
    look(&path, &SourceNames::default(), &mut |event, source| {
        if is_of(wanted, source) {
            out.write_all(event.document)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush()?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_so_that_it_does_nothing_to_a_terminal() {
        assert_eq!(beginning("a\tb\u{1b}[2J\u{202e}é"), "a\\tb\\u{1b}[2J\\u{202e}é");
        let long = beginning(&"x".repeat(500));
        assert_eq!((long.chars().count(), long.ends_with('…')), (SHOWN_BYTES + 1, true));
        assert_eq!(beginning(&"x".repeat(SHOWN_BYTES)).len(), SHOWN_BYTES);
    }
}
