//! The words of `elbow buffer`, as typed and as decided.

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

/// Looking into a buffer on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What is wanted of it.
    pub action: BufferAction,
    /// Its folder, or the data directory that folder is in.
    pub directory: PathBuf,
    /// Look at the dead letters of a data directory instead.
    pub dead_letters: bool,
}

/// What is wanted of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BufferAction {
    /// A table of figures.
    Stat,
    /// Every damaged place.
    Check,
    /// Documents.
    Dump(Dump),
}

/// Which documents, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Number of the first entry.
    pub from: u64,
    /// So many documents at the most.
    pub limit: Option<u64>,
    /// With what is kept beside them.
    pub with_meta: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TypedBuffer {
    /// Print how much is held and what waits for each sink
    ///
    /// Reads the heads of segments and frames only and believes them; `check` reads everything. Exit status: 0, or 2 the directory
    /// is no buffer, cannot be read, or was written by a later version.
    Stat(TypedDirectory),
    /// Read everything, and print each damaged place with what it costs
    ///
    /// One line each, FILE:OFFSET: what, and the events that are lost, then a summary. Exit status: 0 no damage; a last write that
    /// was cut short is none, and said. 1 there is damage. 2 the directory is no buffer, cannot be read, or was written by a later
    /// version.
    Check(TypedDirectory),
    /// Print the documents, those included that every sink has but whose segment is still there
    ///
    /// Each once and one a line, as they are. What is damaged is left out, and counted on standard error. Exit status: 0, or 2 the
    /// directory is no buffer, cannot be read, or was written by a later version.
    Dump {
        #[command(flatten)]
        directory: TypedDirectory,
        /// Begin with this entry; `elbow buffer stat` prints where each sink is
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        from: u64,
        /// Print so many documents at the most
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Print a JSON object a document: seq, id, time, received, source, tenant where there is one, document
        #[arg(long)]
        with_meta: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct TypedDirectory {
    /// The folder that holds segments and checkpoint, or the data directory it is in
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Look at the dead letters of the data directory instead of its buffer
    #[arg(long)]
    dead_letters: bool,
}

impl TypedBuffer {
    /// What was decided by it.
    pub(super) fn decide(self) -> Buffer {
        let (directory, action) = match self {
            Self::Stat(directory) => (directory, BufferAction::Stat),
            Self::Check(directory) => (directory, BufferAction::Check),
            Self::Dump { directory, from, limit, with_meta } => (directory, BufferAction::Dump(Dump { from, limit, with_meta })),
        };
        let TypedDirectory { directory, dead_letters } = directory;
        Buffer { action, directory, dead_letters }
    }
}

pub(super) const BUFFER_EXAMPLES: &str = "\
Examples:
  elbow buffer stat /var/lib/elbow
  elbow buffer check /var/lib/elbow
  elbow buffer dump /var/lib/elbow | head
  elbow buffer dump --from 1200 --with-meta /var/lib/elbow
  elbow buffer stat --dead-letters /var/lib/elbow";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::args::Command;
    use crate::cli::args::try_from;

    fn read(line: &str) -> Result<Command, clap::Error> {
        try_from(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_buffer_is_looked_into_in_three_ways() {
        let Ok(Command::Buffer(stat)) = read("elbow buffer stat /data --dead-letters") else { panic!() };
        assert_eq!(stat, Buffer { action: BufferAction::Stat, directory: "/data".into(), dead_letters: true });
        let Ok(Command::Buffer(check)) = read("elbow buffer check /data") else { panic!() };
        assert_eq!((check.action, check.dead_letters), (BufferAction::Check, false));
        let Ok(Command::Buffer(dump)) = read("elbow buffer dump --from 7 --limit 2 --with-meta /data") else { panic!() };
        assert_eq!(dump.action, BufferAction::Dump(Dump { from: 7, limit: Some(2), with_meta: true }));
        assert_eq!(read("elbow buffer").unwrap_err().exit_code(), 2);
        assert_eq!(read("elbow buffer stat").unwrap_err().exit_code(), 2);
    }
}
