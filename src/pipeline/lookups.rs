//! The files that lines are looked up in: read at the start, and read again when they have changed.
//!
//! A changed file is read beside the old table and takes its place as a whole; one that is broken or has other members
//! changes nothing but a counter and the log. Files are looked at by time, size and number, so that a file replaced by
//! renaming, or through a symbolic link, is noticed as well. Nothing here runs on a line's way.

use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::elb::Schema;
use crate::elb::enrichment::Enrichment;
use crate::elb::enrichment::FieldPlaces;
use crate::elb::enrichment::OWN_MEMBERS;
use crate::elb::enrichment::Step;
use crate::elb::format::Kind;
use crate::enrich::agent;
use crate::enrich::agent::Agents;
use crate::enrich::agent::RulesError;
use crate::enrich::geo;
use crate::enrich::geo::Geo;
use crate::enrich::geo::GeoError;
use crate::enrich::table;
use crate::enrich::table::Table;
use crate::enrich::table::TableError;
use crate::enrich::table::TablePlan;
use crate::metrics::LookupMetrics;
use crate::metrics::Metrics;
use crate::pipeline::handling::SharedEnrichment;
use crate::pipeline::reload::Looks;

/// Something that is looked up, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupPlan {
    /// Its name, which is its label in metrics.
    pub name: String,
    /// What it is.
    pub kind: LookupKind,
    /// The field that is looked up, by AWS's name or by that of its part.
    pub field: String,
}

/// What is looked up, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupKind {
    /// A table of one's own.
    Table {
        /// The file.
        path: PathBuf,
        /// What to make of it.
        plan: TablePlan,
    },
    /// A MaxMind database.
    GeoIp {
        /// The file.
        path: PathBuf,
    },
    /// What a user agent says of itself.
    UserAgent {
        /// Rules in place of the built-in ones.
        path: Option<PathBuf>,
    },
    /// The parts of a URL.
    Url,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no table.
    #[error("{}: {source}", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TableError,
    },
    /// It is no database.
    #[error("{}: {source}", .path.display())]
    Geo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GeoError,
    },
    /// It has no rules.
    #[error("{}: {source}", .path.display())]
    Agents {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RulesError,
    },
    /// It has become another kind of table or database.
    #[error("{} has other members than before: {now:?}; restart the relay to use it", .path.display())]
    Members {
        /// The file.
        path: PathBuf,
        /// The members it would write.
        now: Vec<String>,
    },
}

impl LookupPlan {
    /// The file it is read from, if any.
    fn path(&self) -> Option<&Path> {
        match &self.kind {
            LookupKind::Table { path, .. } | LookupKind::GeoIp { path } => Some(path),
            LookupKind::UserAgent { path } => path.as_deref(),
            LookupKind::Url => None,
        }
    }

    /// Reads the file and makes the step of it.
    fn load(&self) -> Result<Step, LookupError> {
        let field: FieldPlaces = Kind::ALL.map(|kind| kind.format().find(&self.field));
        match &self.kind {
            LookupKind::Table { path, plan } => {
                let bytes = read(path, table::FILE_BYTES_MAX)?;
                let table = Table::from_csv(&bytes, plan).map_err(|source| LookupError::Table { path: path.clone(), source })?;
                Ok(Step::Table { field, by: plan.match_by, table: Arc::new(table) })
            }
            LookupKind::GeoIp { path } => {
                let bytes = read(path, geo::DATABASE_BYTES_MAX)?;
                let geo = Geo::from_bytes(bytes).map_err(|source| LookupError::Geo { path: path.clone(), source })?;
                Ok(Step::Geo { field, geo: Arc::new(geo) })
            }
            LookupKind::UserAgent { path: None } => Ok(Step::Agent { field, agents: Arc::new(Agents::built_in()) }),
            LookupKind::UserAgent { path: Some(path) } => {
                let text = String::from_utf8_lossy(&read(path, agent::RULES_BYTES_MAX)?).into_owned();
                let agents = Agents::from_rules(&text).map_err(|source| LookupError::Agents { path: path.clone(), source })?;
                Ok(Step::Agent { field, agents: Arc::new(agents) })
            }
            LookupKind::Url => Ok(Step::Url { field }),
        }
    }
}

/// Reads a file of at most so many bytes and one more, which tells whoever counts them that it is too large.
fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, LookupError> {
    let failed = |source| LookupError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Everything that is looked up, loaded.
#[derive(Debug)]
pub struct Lookups {
    all: Vec<Lookup>,
}

/// One of them.
#[derive(Debug)]
struct Lookup {
    plan: LookupPlan,
    step: Step,
    stamp: Option<Stamp>,
}

/// What tells two states of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    number: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { bytes: metadata.len(), modified: metadata.modified().ok(), number: number(&metadata) })
    }
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}

impl Lookups {
    /// Loads everything, in order. Takes as long as reading and sorting the files takes.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(plans: &[LookupPlan]) -> Result<Self, LookupError> {
        let all = plans.iter().map(|plan| {
            // Taken before the file is read: one that changes meanwhile is read again.
            let stamp = plan.path().and_then(Stamp::of);
            Ok(Lookup { plan: plan.clone(), step: plan.load()?, stamp })
        });
        Ok(Self { all: all.collect::<Result<_, _>>()? })
    }

    /// The steps of a source that uses these of the lookups.
    pub fn enrichment(&self, uses: &[usize]) -> Enrichment {
        Enrichment::new(uses.iter().map(|&at| self.all[at].step.clone()).collect())
    }

    /// Names of the members that these of the lookups write into documents of a schema, beside those of the line.
    pub fn members(&self, uses: &[usize], schema: Schema) -> Vec<String> {
        let of_step = |at: &usize| match &self.all[*at].step {
            Step::Table { table, .. } => table.members().to_vec(),
            // They are put into objects of the document, and take no name of a field that stands beside those.
            Step::Geo { geo, .. } if schema == Schema::Ecs => match geo.kind() {
                geo::Kind::Place => vec!["client.geo".to_owned()],
                geo::Kind::Network => vec!["client.as".to_owned()],
            },
            Step::Agent { .. } if schema == Schema::Ecs => vec!["user_agent.name".to_owned()],
            Step::Url { .. } if schema == Schema::Ecs => Vec::new(),
            Step::Geo { geo, .. } => vec![OWN_MEMBERS[usize::from(geo.kind() == geo::Kind::Network)].to_owned()],
            Step::Agent { .. } => vec![OWN_MEMBERS[2].to_owned()],
            Step::Url { .. } => vec![OWN_MEMBERS[3].to_owned()],
        };
        let mut names: Vec<String> = uses.iter().flat_map(of_step).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Reads what has changed; `true`: something has.
    fn refresh(&mut self, metrics: &[LookupMetrics]) -> bool {
        let mut changed = false;
        for (lookup, metrics) in self.all.iter_mut().zip(metrics) {
            let stamp = lookup.plan.path().and_then(Stamp::of);
            if stamp == lookup.stamp {
                continue;
            }
            lookup.stamp = stamp;
            match lookup.plan.load().and_then(|step| lookup.replaced_by(step)) {
                Ok(step) => {
                    lookup.step = step;
                    changed = true;
                    metrics.loaded();
                    tracing::info!(lookup = lookup.plan.name, "a changed file has been loaded");
                }
                Err(error) => {
                    metrics.refused();
                    tracing::error!(lookup = lookup.plan.name, %error, "a changed file cannot be used; what it was before stays in use");
                }
            }
        }
        changed
    }
}

impl Lookup {
    /// The new step, where it writes the members that the old one does.
    fn replaced_by(&self, step: Step) -> Result<Step, LookupError> {
        let other = |now: Vec<String>| {
            let path = self.plan.path().map(Path::to_owned).unwrap_or_default();
            Err(LookupError::Members { path, now })
        };
        match (&self.step, &step) {
            (Step::Table { table: old, .. }, Step::Table { table: new, .. }) if old.members() != new.members() => {
                other(new.members().to_vec())
            }
            (Step::Geo { geo: old, .. }, Step::Geo { geo: new, .. }) if old.kind() != new.kind() => {
                other(vec![OWN_MEMBERS[usize::from(new.kind() == geo::Kind::Network)].to_owned()])
            }
            _ => Ok(step),
        }
    }
}

/// Looks at the files until the process ends, and gives each source what it uses anew when one of them has changed.
pub async fn keep_fresh(
    mut lookups: Lookups,
    sources: Vec<(Vec<usize>, SharedEnrichment)>,
    metrics: Arc<Metrics>,
    mut looks: Looks,
) {
    let metrics: Arc<[LookupMetrics]> = lookups.all.iter().map(|lookup| metrics.lookup(&lookup.plan.name)).collect();
    loop {
        looks.next().await;
        let counted = metrics.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let changed = lookups.refresh(&counted);
            (lookups, changed)
        });
        let changed;
        (lookups, changed) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "files are no longer looked at: what has been loaded stays in use");
                return;
            }
        };
        if changed {
            for (uses, shared) in &sources {
                shared.store(Arc::new(lookups.enrichment(uses)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::table::Match;

    fn plan(path: &Path) -> LookupPlan {
        let plan = TablePlan { key_column: "lb".to_owned(), match_by: Match::Exact, columns: Vec::new(), numbers: Vec::new() };
        let kind = LookupKind::Table { path: path.to_owned(), plan };
        LookupPlan { name: "teams".to_owned(), kind, field: "elb".to_owned() }
    }

    fn find(lookups: &Lookups, key: &str) -> Option<String> {
        let Step::Table { table, .. } = &lookups.all[0].step else { panic!("a table") };
        table.find(key.as_bytes()).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    #[test]
    fn a_changed_file_takes_effect_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("teams.csv");
        let write = |text: &str| {
            // By renaming, as whoever writes such files should: never is half a table there.
            let new = folder.path().join("new");
            std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).expect("a file");
        };
        write("lb,team\na,red\n");
        let mut lookups = Lookups::load(&[plan(&path)]).expect("a table");
        let metrics = [Metrics::new().lookup("teams")];
        assert_eq!(lookups.members(&[0], Schema::Ecs), ["team"]);
        assert!(!lookups.refresh(&metrics), "nothing has changed");

        write("lb,team\na,blue\n");
        assert!(lookups.refresh(&metrics));
        assert_eq!(find(&lookups, "a").as_deref(), Some(",\"team\":\"blue\""));
        for broken in ["lb,team\na\n", "lb,squad\na,blue\n", ""] {
            write(broken);
            assert!(!lookups.refresh(&metrics), "{broken:?}");
            assert!(!lookups.refresh(&metrics), "it is looked at once");
        }
        std::fs::remove_file(&path).expect("a file");
        assert!(!lookups.refresh(&metrics));
        assert_eq!(find(&lookups, "a").as_deref(), Some(",\"team\":\"blue\""));
        write("lb,team\nb,green\n");
        assert!(lookups.refresh(&metrics));
        assert_eq!((find(&lookups, "a"), find(&lookups, "b").as_deref()), (None, Some(",\"team\":\"green\"")));
    }

    #[test]
    fn a_file_that_is_missing_at_the_start_is_an_error_that_names_it() {
        let error = Lookups::load(&[plan(Path::new("/no/such/file.csv"))]).expect_err("no file");
        assert!(error.to_string().starts_with("/no/such/file.csv cannot be read: "), "{error}");
    }
}
