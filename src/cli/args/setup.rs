//! The flags of `elbow setup`, as typed and as decided.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::Args;
use clap::Subcommand;

use super::TypedPlan;
use crate::config::overrides::Overrides;
use crate::units;

/// What to prepare, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Templates and the lifecycle of the indices that an Elasticsearch sink writes.
    Elasticsearch(Box<SetupElasticsearch>),
}

/// Preparing Elasticsearch or OpenSearch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupElasticsearch {
    /// The file with the sink; the built-in defaults where there is none.
    pub config: Option<PathBuf>,
    /// What wins over the file.
    pub overrides: Overrides,
    /// The sink, where there are several.
    pub sink: Option<String>,
    /// Whether the index is to be a data stream.
    pub data_stream: bool,
    /// How long indices grow and live.
    pub lifecycle: Lifecycle,
    /// Print what would be sent and change nothing.
    pub dry_run: bool,
}

/// How long indices grow and live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// No policy at all.
    pub is_off: bool,
    /// Documents are deleted when they are that old, or somewhat later.
    pub delete_after: Option<Duration>,
    /// A data stream gets a new index when a shard of the last one has so many bytes.
    pub rollover_size: Option<u64>,
    /// The same, when the last one is that old.
    pub rollover_age: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(super) enum TypedSetup {
    /// Put templates and a lifecycle policy for a sink's indices into Elasticsearch or OpenSearch
    ///
    /// Asks the server what it is and what it has, puts what is missing or different, and says of each whether it was created,
    /// updated or left as it is; a second run changes nothing. Takes the flags of `elbow run`, which should be given alike: the
    /// sink says where the server is, who asks, and what its indices are called; the sources say which schema documents have.
    /// Without a file, --to elasticsearch://https://HOST:PORT/INDEX and --schema say so.
    /// Indices that exist keep the mapping they have. Exit status: 0 all is as it should be, 1 the server cannot be asked or says
    /// no, 2 wrong configuration.
    #[command(after_help = ELASTICSEARCH_EXAMPLES)]
    Elasticsearch(Box<TypedElasticsearch>),
}

#[derive(Debug, Args)]
pub(super) struct TypedElasticsearch {
    #[command(flatten)]
    plan: TypedPlan,
    /// The sink to prepare for, where the file has several of this type
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Make the index a data stream, which the server parts into indices by size and age
    #[arg(long)]
    data_stream: bool,
    /// Delete documents when they are older than this, such as 30d; without it, never
    ///
    /// Whole indices are deleted, and none before its youngest document is that old.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    delete_after: Option<Duration>,
    /// With --data-stream, begin a new index when a shard has this size; 50GiB unless given
    #[arg(long, value_name = "SIZE", value_parser = size)]
    rollover_size: Option<u64>,
    /// With --data-stream, begin a new index when the last one is that old; 7d unless given
    #[arg(long, value_name = "SPAN", value_parser = span)]
    rollover_age: Option<Duration>,
    /// Install no lifecycle policy, for servers without one or with one of yours
    #[arg(long, conflicts_with_all = ["delete_after", "rollover_size", "rollover_age"])]
    no_lifecycle: bool,
    /// Print the requests that would change something, and send none of them
    ///
    /// Each is a line with method and path, its body as JSON, and an empty line, as the consoles of Kibana and OpenSearch
    /// Dashboards take them. The server is asked all the same.
    #[arg(long)]
    dry_run: bool,
}

impl TypedSetup {
    pub(super) fn decide(self, matches: &ArgMatches) -> Setup {
        let Self::Elasticsearch(typed) = self;
        let overrides = typed.plan.overrides(matches.subcommand().map_or(matches, |(_, inner)| inner));
        let TypedElasticsearch { plan, sink, data_stream, delete_after, rollover_size, rollover_age, no_lifecycle, dry_run } =
            *typed;
        let lifecycle = Lifecycle { is_off: no_lifecycle, delete_after, rollover_size, rollover_age };
        Setup::Elasticsearch(Box::new(SetupElasticsearch {
            config: plan.config,
            overrides,
            sink,
            data_stream,
            lifecycle,
            dry_run,
        }))
    }
}

/// Below an hour, a lifecycle would mostly wait for the server to look, which it does every few minutes.
const SPAN_MIN: Duration = Duration::from_secs(3_600);

/// Below, there would be more indices than a cluster can bear.
const SIZE_MIN: u64 = 1 << 20;

fn span(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text) {
        Ok(span) if span < SPAN_MIN => Err("it must be an hour or more".to_owned()),
        Ok(span) => Ok(span),
        Err(error) => Err(error.to_string()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    match units::parse_size(text) {
        Ok(size) if size < SIZE_MIN => Err("it must be 1MiB or more".to_owned()),
        Ok(size) => Ok(size),
        Err(error) => Err(error.to_string()),
    }
}

const ELASTICSEARCH_EXAMPLES: &str = "\
Examples:
  elbow setup elasticsearch -c elbow.toml --dry-run
  elbow setup elasticsearch -c elbow.toml --delete-after 30d
  elbow setup elasticsearch -c elbow.toml --sink search --data-stream --rollover-size 30GiB
  elbow setup elasticsearch --to elasticsearch://https://search.example:9200/elb-%Y.%m.%d --schema ecs";
