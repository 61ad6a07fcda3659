//! The flags of `elbow dead-letters`, as typed and as decided.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ArgMatches;
use clap::Args;
use clap::Subcommand;

use super::TypedPlan;
use crate::config::overrides::Overrides;

/// What to do with dead letters, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// Name each letter and count them.
    List {
        /// Where they are.
        place: LettersPlace,
        /// Only letters of this source.
        source: Option<String>,
        /// Most letters that are named; all are counted.
        limit: Option<u64>,
    },
    /// Print letters in full.
    Show {
        /// Where they are.
        place: LettersPlace,
        /// Which.
        addresses: Vec<Address>,
    },
    /// Print documents as JSON lines.
    Export {
        /// Where they are.
        place: LettersPlace,
        /// Only letters of this source.
        source: Option<String>,
    },
    /// Parse them again and put what is good into the buffer.
    Replay(Box<ReplayLetters>),
    /// Remove letters.
    Purge {
        /// Where they are.
        place: LettersPlace,
        /// Which.
        what: Purged,
    },
}

/// Replaying dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayLetters {
    /// The file; the built-in defaults where there is none.
    pub config: Option<PathBuf>,
    /// What wins over the file.
    pub overrides: Overrides,
    /// Only letters of this source.
    pub source: Option<String>,
    /// Put those that still are rejects into the buffer, too, as they are.
    pub as_is: bool,
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
}

/// Where dead letters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LettersPlace {
    /// In the data directory that this file names.
    Config(PathBuf),
    /// In this data directory.
    DataDir(PathBuf),
}

/// Which letters are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purged {
    /// All.
    All,
    /// Those up to this one, with it.
    Through(Address),
    /// Those of this source.
    Source(String),
}

/// What a letter is called for as long as it stays where it is: the number of its entry, and its place in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The number of the entry.
    pub seq: u64,
    /// The place in it, from zero.
    pub index: usize,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.seq, self.index))
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').and_then(|(seq, index)| Some((seq.parse().ok()?, index.parse().ok()?)));
        let (seq, index) = parts.ok_or("an address is two numbers, as `elbow dead-letters list` prints them: 12:0")?;
        Ok(Self { seq, index })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum TypedLetters {
    /// Name each letter: address, receive time, source, reason, id and the beginning of its line
    ///
    /// How many there are of each source and reason is said on standard error. Works while a relay runs. Exit status: 0 they
    /// could be read, 2 not.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        place: TypedPlace,
        /// Only letters of this source
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// Name no more than this many; all are counted
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Print letters in full, with what is kept beside the document
    ///
    /// Works while a relay runs. Exit status: 0 all are there, 1 some are not, 2 they could not be read.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        place: TypedPlace,
        /// Which, as `list` calls them
        #[arg(value_name = "ADDRESS", required = true)]
        addresses: Vec<Address>,
    },
    /// Print the documents as JSON lines
    ///
    /// Works while a relay runs. Exit status: 0 they could be read, 2 not.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        #[command(flatten)]
        place: TypedPlace,
        /// Only letters of this source
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
    },
    /// Parse the lines again as the configuration says now, and put what is good into the buffer, with the documents that a
    /// destination refused
    ///
    /// The relay must be stopped, and delivers them when it starts again. Takes the flags of `elbow run`, which should be given
    /// alike. Events keep the ids they had. Lines that are still rejected stay. Broken off, it may replay some letters again
    /// the next time, with the same ids. Exit status: 0 all were replayed, 1 some stayed, 2 nothing could be done.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay {
        #[command(flatten)]
        plan: TypedPlan,
        /// Only letters of this source
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// Put lines that are still rejected into the buffer, too: as the tagged documents they are
        #[arg(long)]
        as_is: bool,
        /// Say what would happen and change nothing; works while a relay runs
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove letters for good
    ///
    /// The relay must be stopped. Nothing is asked. Exit status: 0 they are removed, 2 not.
    #[command(after_help = PURGE_EXAMPLES)]
    Purge {
        #[command(flatten)]
        place: TypedPlace,
        #[command(flatten)]
        what: TypedPurged,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct TypedPlace {
    /// The configuration file of the relay, which names the data directory
    #[arg(short, long, env = "ELBOW_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The data directory, whatever the file says
    #[arg(long, env = "ELBOW_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct TypedPurged {
    /// All letters
    #[arg(long)]
    all: bool,
    /// The letter of this address and all before it
    #[arg(long, value_name = "ADDRESS")]
    through: Option<Address>,
    /// The letters of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

impl TypedPlace {
    fn decide(self) -> LettersPlace {
        let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        match given(self.data_dir) {
            Some(directory) => LettersPlace::DataDir(directory),
            None => LettersPlace::Config(self.config.unwrap_or_default()),
        }
    }
}

impl TypedPurged {
    fn decide(self) -> Purged {
        match self {
            Self { through: Some(address), .. } => Purged::Through(address),
            Self { source: Some(source), .. } => Purged::Source(source),
            Self { .. } => Purged::All,
        }
    }
}

impl TypedLetters {
    pub(super) fn decide(self, matches: &ArgMatches) -> Letters {
        match self {
            Self::List { place, source, limit } => Letters::List { place: place.decide(), source, limit },
            Self::Show { place, addresses } => Letters::Show { place: place.decide(), addresses },
            Self::Export { place, source } => Letters::Export { place: place.decide(), source },
            Self::Replay { plan, source, as_is, dry_run } => {
                let overrides = plan.overrides(matches.subcommand().map_or(matches, |(_, inner)| inner));
                Letters::Replay(Box::new(ReplayLetters { config: plan.config, overrides, source, as_is, dry_run }))
            }
            Self::Purge { place, what } => Letters::Purge { place: place.decide(), what: what.decide() },
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  elbow dead-letters list -c elbow.toml
  elbow dead-letters list --data-dir /var/lib/elbow --source elb --limit 20";

const SHOW_EXAMPLES: &str = "\
Examples:
  elbow dead-letters show -c elbow.toml 12:0 12:1";

const EXPORT_EXAMPLES: &str = "\
Examples:
  elbow dead-letters export -c elbow.toml > letters.json
  elbow dead-letters export -c elbow.toml | jq -r .message | elbow parse -c elbow.toml";

const REPLAY_EXAMPLES: &str = "\
Examples:
  elbow dead-letters replay -c elbow.toml --dry-run   what would happen
  elbow dead-letters replay -c elbow.toml             with the relay stopped
  elbow dead-letters replay -c elbow.toml --source elb --as-is";

const PURGE_EXAMPLES: &str = "\
Examples:
  elbow dead-letters purge -c elbow.toml --through 12:1
  elbow dead-letters purge -c elbow.toml --source elb
  elbow dead-letters purge --data-dir /var/lib/elbow --all";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Command;
    use super::super::try_from;
    use super::*;

    #[track_caller]
    fn read(line: &str) -> Letters {
        match try_from(format!("elbow dead-letters {line}").split_whitespace().map(OsString::from)) {
            Ok(Command::Letters(letters)) => letters,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_command_has_its_flags() {
        let place = LettersPlace::Config("x.toml".into());
        let (source, limit) = (Some("elb".to_owned()), Some(3));
        assert_eq!(read("list -c x.toml --source elb --limit 3"), Letters::List { place: place.clone(), source, limit });
        let addresses = vec![Address { seq: 12, index: 0 }, Address { seq: 3, index: 41 }];
        assert_eq!(read("show -c x.toml 12:0 3:41"), Letters::Show { place: place.clone(), addresses });
        let directory = LettersPlace::DataDir("/d".into());
        assert_eq!(read("export --data-dir /d"), Letters::Export { place: directory.clone(), source: None });
        assert_eq!(read("purge --data-dir /d -c x.toml --all"), Letters::Purge { place: directory, what: Purged::All });
        let what = Purged::Through(Address { seq: 1, index: 2 });
        assert_eq!(read("purge -c x.toml --through 1:2"), Letters::Purge { place, what });
        let Letters::Replay(replay) = read("replay -c x.toml --data-dir /d --as-is") else { panic!() };
        assert_eq!((replay.as_is, replay.dry_run, replay.overrides.data_dir.unwrap().value), (true, false, "/d".to_owned()));
    }

    #[test]
    fn what_is_not_said_is_not_guessed() {
        for line in ["list", "purge -c x.toml", "purge -c x.toml --all --source elb", "show -c x.toml", "show -c x.toml 12", ""] {
            let words = format!("elbow dead-letters {line}");
            let error = try_from(words.split_whitespace().map(OsString::from)).expect_err("it is no command");
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let address = Address { seq: u64::MAX, index: 7 };
        assert_eq!(address.to_string().parse(), Ok(address));
        for wrong in ["", "1", ":", "1:", ":1", "-1:0", "1:0:0", "a:b"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
