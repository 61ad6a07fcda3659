//! The command line as typed, and as decided.
//!
//! clap knows words and help texts; what a value means is decided where the file's values are, so that a mistake in a flag
//! reads like one in the file. Flags win over `ELBOW_*` variables, those over the file.

mod buffer;
mod letters;
mod logs;
mod setup;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::Args;
use clap::CommandFactory;
use clap::FromArgMatches;
use clap::Parser;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::parser::ValueSource;

use crate::cli::args::buffer::BUFFER_EXAMPLES;
pub use crate::cli::args::buffer::Buffer;
pub use crate::cli::args::buffer::BufferAction;
pub use crate::cli::args::buffer::Dump;
use crate::cli::args::buffer::TypedBuffer;
use crate::config::overrides::Given;
use crate::config::overrides::Overrides;
use crate::config::overrides::Target;
use crate::config::plan::Plan;
use crate::elb::Schema;
use crate::pipeline::plan::Format;
use crate::pipeline::plan::OnReject;
use crate::pipeline::plan::ParsePlan;
use letters::TypedLetters;
use setup::TypedSetup;

pub use crate::cli::args::logs::LogFormat;
pub use crate::cli::args::logs::LogLevel;
pub use letters::Address;
pub use letters::Letters;
pub use letters::LettersPlace;
pub use letters::Purged;
pub use letters::ReplayLetters;
pub use setup::Lifecycle;
pub use setup::Setup;
pub use setup::SetupElasticsearch;

/// What to do, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the relay.
    Run(Run),
    /// Show the plan or every mistake.
    Check(Check),
    /// Lines in, documents out, offline.
    Parse(Parse),
    /// Print the index template of a schema.
    Mapping(Schema),
    /// Look into a buffer on disk.
    Buffer(Buffer),
    /// Look after dead letters.
    Letters(Letters),
    /// Prepare a destination.
    Setup(Setup),
}

/// Running the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The file; the built-in defaults where there is none.
    pub config: Option<PathBuf>,
    /// What wins over the file.
    pub overrides: Overrides,
    /// How logs look.
    pub log_format: LogFormat,
    /// Which logs are written.
    pub log_level: LogLevel,
}

/// Checking a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The file; the built-in defaults where there is none.
    pub config: Option<PathBuf>,
    /// What wins over the file.
    pub overrides: Overrides,
}

/// Parsing offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse {
    /// What the lines are.
    pub format: Format,
    /// What documents look like; where nobody says, the file decides.
    pub schema: Option<Schema>,
    /// Leave out what the relay adds.
    pub bare: bool,
    /// Keep the line in its document, whatever the file says.
    pub keep_original: bool,
    /// Have the fields that the classic schema has no name for, whatever the file says.
    pub classic_extra: bool,
    /// The file whose first source says how lines become documents.
    pub config: Option<PathBuf>,
    /// What to read; `-` is standard input, which is also read where nothing is named.
    pub files: Vec<PathBuf>,
}

impl Parse {
    /// How lines become documents: as flags say, then as the first source of `plan` does, then as `elbow parse` does alone.
    pub fn plan(&self, plan: Option<&Plan>) -> ParsePlan {
        let first = plan.and_then(|plan| plan.relay.sources.first()).map(|source| source.parse.clone());
        let base = first.unwrap_or(ParsePlan::plain(self.format, Schema::Aws));
        // A reject is what people run this for: it is shown whatever the source does with it.
        let schema = self.schema.unwrap_or(base.schema);
        let keep_original = self.keep_original || base.keep_original;
        let classic_extra = self.classic_extra || base.classic_extra;
        let base = ParsePlan { keep_original, classic_extra, bare: self.bare, ..base };
        ParsePlan { format: self.format, schema, on_reject: OnReject::Tag, ..base }
    }
}

/// Reads the command line of this process; on a mistake or `--help` writes to the terminal and exits, with 2 or 0.
pub fn from_process() -> Command {
    try_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads a command line, program name first.
///
/// # Errors
///
/// clap's own, which also stands for `--help` and `--version`.
pub fn try_from(args: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = Typed::command().try_get_matches_from(args)?;
    let typed = Typed::from_arg_matches(&matches)?;
    let inner = matches.subcommand().map_or(&matches, |(_, inner)| inner);
    Ok(match typed.command {
        None => Command::Run(typed.run.decide(inner)),
        Some(TypedCommand::Run(run)) => Command::Run(run.decide(inner)),
        Some(TypedCommand::Check(given)) => {
            let overrides = given.overrides(inner);
            Command::Check(Check { config: given.config, overrides })
        }
        Some(TypedCommand::Buffer { command }) => Command::Buffer(command.decide()),
        Some(TypedCommand::DeadLetters(letters)) => Command::Letters(letters.decide(inner)),
        Some(TypedCommand::Setup(setup)) => Command::Setup(setup.decide(inner)),
        Some(TypedCommand::Schema(schema)) => Command::Mapping(schema.mapping),
        Some(TypedCommand::Parse(parse)) => Command::Parse(Parse {
            format: parse.format,
            schema: parse.schema,
            bare: parse.bare,
            keep_original: parse.keep_original,
            classic_extra: parse.classic_extra,
            config: parse.config,
            files: parse.files,
        }),
    })
}

/// Relay for load-balancer logs: raw ELB lines or JSON in, finished documents out to Elasticsearch, OpenSearch, Logstash, or
/// anything that takes JSON over HTTP.
///
/// Without a command it runs with built-in defaults: lines on tcp 127.0.0.1:5000, requests on http 127.0.0.1:8080, metrics on
/// 127.0.0.1:9600, documents to standard output. All flags of `elbow run` may follow at once.
#[derive(Debug, Parser)]
#[command(name = "elbow", version, args_conflicts_with_subcommands = true, after_help = TOP_EXAMPLES)]
struct Typed {
    #[command(subcommand)]
    command: Option<TypedCommand>,
    #[command(flatten)]
    run: TypedRun,
}

#[derive(Debug, Subcommand)]
enum TypedCommand {
    /// Run the relay
    #[command(after_help = RUN_EXAMPLES)]
    Run(TypedRun),
    /// Print the plan as decided, or every mistake at once with its place and remedy
    ///
    /// Listens nowhere and connects to nothing; certificates, keys and files with secrets are read. Takes the flags of `elbow run` and prints what it would run with. Exit status: 0
    /// the configuration is good, 2 it is not.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(TypedPlan),
    /// Turn lines into documents, offline
    ///
    /// Documents go to standard output. A line no parser takes is printed there as its tagged document, and on standard error as
    /// FILE:LINE:COLUMN: reason, with the column in bytes from 1. Exit status: 0 no line was rejected, 1 some were, 2 a file could
    /// not be read.
    #[command(after_help = PARSE_EXAMPLES)]
    Parse(TypedParse),
    /// Print what other programs need to know of the documents
    ///
    /// With --mapping, the index template that Elasticsearch and OpenSearch take for documents of a schema.
    Schema(TypedSchema),
    /// Look into a buffer on disk; changes nothing
    ///
    /// Works on the data directory of a relay that is stopped, that runs, or that cannot start, and needs no configuration.
    #[command(after_help = BUFFER_EXAMPLES)]
    Buffer {
        #[command(subcommand)]
        command: TypedBuffer,
    },
    /// List, show, export, replay and remove the lines that no parser took and the documents that a destination refused
    #[command(subcommand)]
    DeadLetters(TypedLetters),
    /// Prepare a destination for what a sink will send
    #[command(subcommand)]
    Setup(TypedSetup),
}

#[derive(Debug, Args)]
struct TypedSchema {
    /// The index template of this schema, as JSON
    #[arg(long, value_name = "SCHEMA", value_parser = schemas())]
    mapping: Schema,
}

#[derive(Debug, Args)]
struct TypedRun {
    #[command(flatten)]
    plan: TypedPlan,
    /// How logs are written: text on a terminal and JSON otherwise, or always one of them
    #[arg(long, env = "ELBOW_LOG_FORMAT", value_name = "FORMAT", default_value = "auto", hide_env_values = true)]
    log_format: LogFormat,
    /// The least important logs that are written
    #[arg(long, env = "ELBOW_LOG_LEVEL", value_name = "LEVEL", default_value = "info", hide_env_values = true)]
    log_level: LogLevel,
}

#[derive(Debug, Args)]
struct TypedPlan {
    /// The configuration file; without one, the built-in defaults
    #[arg(short, long, env = "ELBOW_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Where to receive lines: the address of the file's source
    ///
    /// A file with several sources is refused, because they cannot share an address.
    #[arg(long, env = "ELBOW_LISTEN", value_name = "ADDRESS", hide_env_values = true)]
    listen: Option<String>,
    /// Where documents go, instead of all sinks of the file; may be repeated
    #[arg(long, env = "ELBOW_TO", value_name = "URL", hide_env_values = true, long_help = help_of_to())]
    to: Vec<String>,
    /// Where /metrics, /health and /ready are served, on this machine only; "off" for nowhere
    #[arg(long, env = "ELBOW_ADMIN", value_name = "ADDRESS", hide_env_values = true)]
    admin: Option<String>,
    /// Keep events on disk in this directory until they are delivered, and dead letters beside them
    #[arg(long, env = "ELBOW_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    data_dir: Option<String>,
    /// Give up the backlog of this sink, which is configured no longer; may be repeated
    #[arg(long, value_name = "SINK")]
    forget: Vec<String>,
    /// The names in documents, for every source: aws, classic or ecs
    #[arg(long, env = "ELBOW_SCHEMA", value_name = "SCHEMA", hide_env_values = true)]
    schema: Option<String>,
    /// A field for every document, over a field of that name in the file; may be repeated
    ///
    /// The value is a string. Several in ELBOW_FIELD are separated by commas.
    #[arg(long = "field", env = "ELBOW_FIELD", value_name = "NAME=VALUE", hide_env_values = true)]
    fields: Vec<String>,
}

#[derive(Debug, Args)]
struct TypedParse {
    /// What the lines are; elb is any ELB log or JSON
    #[arg(long, value_name = "FORMAT", default_value = "elb", value_parser = formats())]
    format: Format,
    /// The names in documents: aws, classic or ecs; those of the file's first source, or aws
    #[arg(long, value_name = "SCHEMA", value_parser = schemas())]
    schema: Option<Schema>,
    /// Leave out what the relay adds: @timestamp, @version and event.id
    #[arg(long)]
    bare: bool,
    /// Keep each load-balancer line in its document: in message, or in event.original with ecs
    #[arg(long)]
    keep_original: bool,
    /// With classic, add the fields it has no name for, under AWS's names
    #[arg(long)]
    classic_extra: bool,
    /// Take schema, fields and limits of the first source in this configuration file, and its redaction, rules and lookups
    ///
    /// Without a file nothing is redacted, dropped or looked up.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Files to read, plain or .gz; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,
}

impl TypedRun {
    fn decide(self, matches: &ArgMatches) -> Run {
        let overrides = self.plan.overrides(matches);
        let Self { plan, log_format, log_level } = self;
        Run { config: plan.config, overrides, log_format, log_level }
    }
}

impl TypedPlan {
    fn overrides(&self, matches: &ArgMatches) -> Overrides {
        let by = |id: &str, flag: &str, variable: &str| match matches.value_source(id) {
            Some(ValueSource::EnvVariable) => variable.to_owned(),
            _ => flag.to_owned(),
        };
        // A variable set to nothing says nothing: that is how containers leave one out.
        let one = |value: &Option<String>, id: &str, flag: &str, variable: &str| {
            let given = value.as_ref().map(|value| Given { value: value.clone(), by: by(id, flag, variable) });
            given.filter(|given| !given.value.is_empty() || given.by == flag)
        };
        // A variable holds all values in one text; a flag is repeated, and its text taken as it is.
        let many = |values: &[String], id: &str, flag: &str, variable: &str, between: fn(char) -> bool| {
            let by = by(id, flag, variable);
            let split = |value: &String| -> Vec<String> {
                if by == flag {
                    return vec![value.clone()];
                }
                value.split(between).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            };
            values.iter().flat_map(split).map(|value| Given { value, by: by.clone() }).collect()
        };
        Overrides {
            listen: one(&self.listen, "listen", "--listen", "ELBOW_LISTEN"),
            to: many(&self.to, "to", "--to", "ELBOW_TO", char::is_whitespace),
            admin: one(&self.admin, "admin", "--admin", "ELBOW_ADMIN"),
            data_dir: one(&self.data_dir, "data_dir", "--data-dir", "ELBOW_DATA_DIR"),
            forget: self.forget.clone(),
            schema: one(&self.schema, "schema", "--schema", "ELBOW_SCHEMA"),
            fields: many(&self.fields, "fields", "--field", "ELBOW_FIELD", |c| c == ','),
            is_running: false,
        }
    }
}

fn help_of_to() -> String {
    format!(
        "Where documents go, instead of all sinks of the file; may be repeated\n\n{}. logstash:// is a Logstash TCP input with the \
         codec json_lines, lumberjack:// a beats input, logstash-http:// and http(s):// take JSON over HTTP; an elasticsearch:// \
         that names no index writes elb-%Y.%m.%d, and file:PATH is a rotated file. Every --to gets all documents. Several in \
         ELBOW_TO are separated by spaces.",
        Target::ALLOWED
    )
}

fn formats() -> impl TypedValueParser<Value = Format> {
    let words = PossibleValuesParser::new(Format::ALL.map(Format::label));
    words.try_map(|word| Format::from_label(&word).ok_or("unknown format"))
}

fn schemas() -> impl TypedValueParser<Value = Schema> {
    let words = PossibleValuesParser::new(Schema::ALL.map(Schema::label));
    words.try_map(|word| Schema::from_label(&word).ok_or("unknown schema"))
}

const TOP_EXAMPLES: &str = "\
Examples:
  elbow                                        try it: then paste a line with `nc 127.0.0.1 5000`
  elbow --to logstash://logstash.example:5000  on to a Logstash TCP input
  elbow run -c elbow.toml                      as the file says
  elbow check -c elbow.toml                    what the file says, or what is wrong with it
  elbow parse access.log.gz                    the documents a log gives";

const RUN_EXAMPLES: &str = "\
Examples:
  elbow run -c elbow.toml
  elbow run --listen 0.0.0.0:5000 --to logstash://a.example:5000,b.example:5000
  elbow run -c elbow.toml --to - --to file:/var/log/documents.json
  elbow run -c elbow.toml --schema classic --field Environment=ci
  elbow run --data-dir /var/lib/elbow --to logstash://a.example:5000
  ELBOW_LISTEN=0.0.0.0:5000 ELBOW_TO=logstash://a.example:5000 elbow

Exit status:
  0  stopped with everything delivered
  1  failed while running
  2  wrong configuration
  3  stopped with undelivered events that were in memory only";

const CHECK_EXAMPLES: &str = "\
Examples:
  elbow check -c elbow.toml
  elbow check --to logstash://a.example:5000   the built-in defaults with one flag";

const PARSE_EXAMPLES: &str = "\
Examples:
  elbow parse access.log.gz
  cat access.log | elbow parse --schema classic -
  elbow parse --format alb --bare access.log   only what the line itself says
  elbow parse --schema ecs -c elbow.toml access.log";

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn read(line: &str) -> Result<Command, clap::Error> {
        try_from(line.split_whitespace().map(OsString::from))
    }

    #[track_caller]
    fn run(line: &str) -> Run {
        match read(line) {
            Ok(Command::Run(run)) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Typed::command().debug_assert();
    }

    #[test]
    fn nothing_at_all_runs() {
        let run = run("elbow");
        assert_eq!((run.log_format, run.log_level), (LogFormat::Auto, LogLevel::Info));
        assert_eq!(run.config, None);
        assert_eq!(run.overrides, Overrides::default());
    }

    #[test]
    fn flags_work_with_and_without_the_word() {
        let flags = "--to logstash://a:1,b:2 --to - --listen :1 --field a=b,c --log-level debug -c x.toml";
        let bare = run(&format!("elbow {flags}"));
        assert_eq!(bare, run(&format!("elbow run {flags}")));
        let to: Vec<_> = bare.overrides.to.iter().map(|given| (given.value.as_str(), given.by.as_str())).collect();
        assert_eq!(to, [("logstash://a:1,b:2", "--to"), ("-", "--to")]);
        assert_eq!(bare.overrides.fields[0].value, "a=b,c");
        assert_eq!(bare.log_level.level(), Level::DEBUG);
    }

    #[test]
    fn other_commands_have_their_own_flags() {
        let Ok(Command::Check(check)) = read("elbow check -c x.toml --admin off") else { panic!() };
        assert_eq!(check.config, Some(PathBuf::from("x.toml")));
        assert_eq!(check.overrides.admin.unwrap().value, "off");
        let Ok(Command::Parse(parse)) = read("elbow parse --bare --schema classic a b.gz -") else { panic!() };
        assert_eq!((parse.format, parse.schema, parse.bare), (Format::Elb, Some(Schema::Classic), true));
        assert_eq!(parse.files.len(), 3);
        let Ok(Command::Parse(parse)) = read("elbow parse") else { panic!() };
        assert_eq!(parse.files, [PathBuf::from("-")]);
        let plan = parse.plan(None);
        assert_eq!((plan.schema, plan.keep_original, plan.classic_extra), (Schema::Aws, false, false));
        let Ok(Command::Parse(parse)) = read("elbow parse --schema classic --keep-original --classic-extra") else { panic!() };
        let plan = parse.plan(None);
        assert_eq!((plan.schema, plan.keep_original, plan.classic_extra), (Schema::Classic, true, true));
    }

    #[test]
    fn mistakes_exit_with_2_and_help_with_0() {
        assert_eq!(read("elbow --lisen x").unwrap_err().exit_code(), 2);
        assert_eq!(read("elbow parse --format xml").unwrap_err().exit_code(), 2);
        assert_eq!(read("elbow --help").unwrap_err().exit_code(), 0);
    }
}
