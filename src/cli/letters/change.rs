//! Opens logs to change them: with their locks, and only as the user whose files they are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::process::geteuid;

use super::Trouble;
use crate::buffer::disk::RealDisk;
use crate::buffer::frame::SourceNames;
use crate::buffer::log::Log;
use crate::buffer::log::LogPlan;
use crate::buffer::recovery::OpenError;
use crate::buffer::recovery::Recovered;

/// Opens the log in a directory with these sinks; `forget` are those that are gone and whose backlog may go with them.
pub(super) fn open(
    path: &Path,
    plan: LogPlan,
    names: Arc<SourceNames>,
    sinks: &[String],
    forget: &[String],
) -> Result<(Log, Recovered), Trouble> {
    check_owner(path)?;
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(|error| Trouble::Said(format!("the system gives no random bytes: {error}")))?;
    let disk = RealDisk::open(path).map_err(|error| Trouble::Said(format!("{}: {error}", path.display())))?;
    Log::open(Arc::new(disk), plan, names, sinks, forget, uuid).map_err(|error| {
        Trouble::Said(match error {
            OpenError::Locked { path } => {
                format!(
                    "{path} is in use by a running relay; stop it, do this again, and start it: `list`, `show`, `export` and `replay --dry-run` work meanwhile"
                )
            }
            error => error.to_string(),
        })
    })
}

/// Refuses a directory of another user: files made there would be that user's no more, and the relay could not open them.
pub(super) fn check_owner(path: &Path) -> Result<(), Trouble> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if owner == own {
        return Ok(());
    }
    Err(Trouble::Said(format!(
        "{} belongs to the user with number {owner}, and this is the one with number {own}: run it as the user who runs the relay, such as `sudo -u elbow`",
        path.display()
    )))
}
