//! `elbow setup`: prepares a destination for what its sink will send.
//!
//! It asks for everything before it changes anything, changes only what is missing or different, and never what somebody else has made. It
//! touches no index and no document.

mod compare;
mod resources;

use std::io;
use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;
use tokio::runtime::Builder;

use crate::batch::SourceId;
use crate::cli::args::Setup;
use crate::cli::args::SetupElasticsearch;
use crate::cli::check::EXIT_CONFIGURATION;
use crate::cli::check::load;
use crate::cli::setup::compare::difference;
use crate::cli::setup::resources::Resource;
use crate::cli::setup::resources::Wanted;
use crate::cli::setup::resources::resources;
use crate::config::overrides::Given;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::config::words::quoted;
use crate::elb::Schema;
use crate::elb::mapping::MANAGED_BY;
use crate::select::SelectPlan;
use crate::select::Subject;
use crate::sink::ElasticsearchPlan;
use crate::sink::Managed;
use crate::sink::Reply;
use crate::sink::SinkError;
use crate::sink::SinkKind;

/// Exit status when the server cannot be asked or says no.
const EXIT_FAILED: u8 = 1;

/// Prepares what was asked for.
pub fn setup(command: &Setup) -> ExitCode {
    let Setup::Elasticsearch(command) = command;
    match elasticsearch(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) => complain(&format!("elbow: the output cannot be written: {error}"), EXIT_FAILED),
        Err(Trouble::Mistake(text)) => complain(&text, EXIT_CONFIGURATION),
        Err(Trouble::Server(text)) => complain(&format!("elbow: {text}"), EXIT_FAILED),
    }
}

fn complain(text: &str, status: u8) -> ExitCode {
    say(text);
    ExitCode::from(status)
}

/// Writes to a person. When nobody can read it there is nobody to tell.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Why a command was broken off.
enum Trouble {
    /// Standard output takes nothing more.
    Output(io::Error),
    /// What was configured or typed, in words.
    Mistake(String),
    /// What the server is, has or says, in words.
    Server(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<SinkError> for Trouble {
    fn from(error: SinkError) -> Self {
        let remedy = match error.status() {
            Some(403) => {
                "give its user the right to ask what the server is and to manage index templates and lifecycle policies: monitor, \
                 manage_index_templates and manage_ilm in Elasticsearch; cluster:monitor/main, cluster_manage_index_templates and \
                 cluster:admin/opendistro/ism/* in OpenSearch"
            }
            Some(400 | 404 | 405) => "see what it says, and the server's own log",
            _ => error.remedy(),
        };
        Self::Server(format!("{}\n  remedy: {remedy}", error.words()))
    }
}

fn elasticsearch(command: &SetupElasticsearch) -> Result<(), Trouble> {
    let mistake = |text: String| Trouble::Mistake(format!("elbow: {text}"));
    let mut overrides = meant(&command.overrides);
    // It says what this sink gets, not what sources are to write, who may have settings for their own schema only.
    let given = overrides.schema.take();
    let plan = load(command.config.as_deref(), &overrides).map_err(|error| Trouble::Mistake(error.to_string()))?;
    let (sink, when) = sink(&plan, command.sink.as_deref()).map_err(mistake)?;
    let schema = given.as_ref().map_or_else(|| schema(&plan, when), given_schema).map_err(mistake)?;
    let (is_stream, lifecycle) = (command.data_stream, command.lifecycle);
    let wanted = Wanted { target: &sink.target, schema, is_stream, lifecycle };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut out = io::stdout().lock();
    let server = Managed::new(sink).map_err(|error| Trouble::Mistake(format!("elbow: {error}")))?;
    runtime.block_on(install(&server, &wanted, command.dry_run, &mut out))
}

/// A URL of HTTP, which stands for another sink elsewhere, stands here for the only kind that is set up.
fn meant(overrides: &Overrides) -> Overrides {
    let mut overrides = overrides.clone();
    for to in &mut overrides.to {
        if to.value.starts_with("http://") || to.value.starts_with("https://") {
            to.value = format!("elasticsearch://{}", to.value);
        }
    }
    overrides
}

/// A sink to set a server up for, and which documents it gets.
type Meant<'p> = (&'p ElasticsearchPlan, Option<&'p SelectPlan>);

/// The sink that is meant. One that stands in for another is a sink, too, and gets what that one is to have.
fn sink<'p>(plan: &'p Plan, name: Option<&str>) -> Result<Meant<'p>, String> {
    let both = plan.relay.sinks.iter().flat_map(|sink| {
        let fallback = sink.fallback.as_ref().map(|fallback| (fallback.name.as_str(), &fallback.kind, sink.when.as_ref()));
        [Some((sink.name.as_str(), &sink.kind, sink.when.as_ref())), fallback].into_iter().flatten()
    });
    let sinks = both.filter_map(|(name, kind, when)| match kind {
        SinkKind::Elasticsearch(kind) => Some((name, (&**kind, when))),
        _ => None,
    });
    let sinks: Vec<(&str, Meant<'_>)> = sinks.collect();
    let names = sinks.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match (name, sinks.as_slice()) {
        (_, []) => {
            let how = "add one to the file and name that with -c, or say --to elasticsearch://https://HOST:PORT/INDEX";
            Err(format!("there is no sink of type \"elasticsearch\": {how}"))
        }
        (None, [(_, sink)]) => Ok(*sink),
        (None, _) => Err(format!("there are several sinks of type \"elasticsearch\": say with --sink which of {names}")),
        (Some(name), sinks) => {
            let found = sinks.iter().find(|(other, _)| *other == name).map(|(_, sink)| *sink);
            found.ok_or_else(|| format!("no sink of type \"elasticsearch\" is called {name:?}; there are {names}"))
        }
    }
}

/// The schema of the documents that come from the sources of which a sink may get some.
fn schema(plan: &Plan, when: Option<&SelectPlan>) -> Result<Schema, String> {
    let sources = plan.relay.sources.iter().zip(0..).filter(|(_, at)| may_come_from(when, SourceId(*at)));
    let mut schemas: Vec<Schema> = sources.map(|(source, _)| source.parse.schema).collect();
    schemas.dedup();
    match schemas.as_slice() {
        [first, rest @ ..] if rest.iter().all(|schema| schema == first) => Ok(*first),
        [] => Err("the sink's `when` selects no source: say with --schema which schema it gets".to_owned()),
        _ => Err(
            "the sources write documents of different schemas, whose members have the same name and another type now and then: \
                  say with --schema which one this sink gets"
                .to_owned(),
        ),
    }
}

/// Whether conditions about sources, of which all must hold, leave this one.
fn may_come_from(when: Option<&SelectPlan>, source: SourceId) -> bool {
    when.is_none_or(|when| {
        when.conditions.iter().all(|condition| match &condition.subject {
            Subject::Source(ids) => ids.contains(&source) != condition.negate,
            Subject::Tenant(_) | Subject::Format(_) | Subject::Field { .. } => true,
        })
    })
}

/// The schema that a flag or variable says.
fn given_schema(given: &Given) -> Result<Schema, String> {
    let allowed = quoted(&Schema::ALL.map(Schema::label));
    Schema::from_label(&given.value).ok_or_else(|| format!("{}: unknown schema {:?}: say {allowed}", given.by, given.value))
}

/// Puts what is missing or different, or prints that, and says what became of each.
async fn install(server: &Managed, wanted: &Wanted<'_>, is_dry: bool, out: &mut impl Write) -> Result<(), Trouble> {
    let about = server.server().await?;
    say(&format!("{} at {}", about, server.name()));
    if about.is_unknown() {
        say("it is newer than every version known to this program, and asked as the last of those would be");
    }
    let all = resources(wanted, &about).map_err(|text| Trouble::Mistake(format!("elbow: {text}")))?;
    // All of it before the first change: what stands in the way of one thing must not leave the others half done.
    let mut changes = Vec::new();
    for resource in &all {
        match look(server, resource).await? {
            Has::Same => say(&format!("unchanged  {}", resource.title())),
            Has::Nothing => changes.push((resource, "created", resource.path())),
            Has::Other { at, query } => {
                say(&format!("differs    {}, at {at}", resource.title()));
                changes.push((resource, "updated", format!("{}{query}", resource.path())));
            }
        }
    }
    for (resource, what, path) in &changes {
        if is_dry {
            writeln!(out, "PUT {path}\n{:#}\n", resource.body)?;
            continue;
        }
        let reply = server.put(path, &resource.body).await?;
        if !(200..300).contains(&reply.status) {
            return Err(reply.into_error().into());
        }
        say(&format!("{what:<10} {}", resource.title()));
    }
    out.flush()?;
    say(match (changes.len(), is_dry) {
        (0, _) => "nothing to change",
        (_, true) => "nothing was changed, because of --dry-run",
        (_, false) => "done; indices that were there before keep what they had",
    });
    Ok(())
}

/// What a server has in a resource's place.
enum Has {
    Nothing,
    Same,
    Other {
        /// Where it first differs.
        at: String,
        /// What has to be added to the path, so that only this is replaced.
        query: String,
    },
}

async fn look(server: &Managed, resource: &Resource) -> Result<Has, Trouble> {
    let reply = server.get(&resource.path()).await?;
    if is_without(&reply) {
        let title = resource.title();
        return Err(Trouble::Server(if resource.kind.is_policy() {
            format!("{} has no lifecycle management: say --no-lifecycle, and delete old indices in another way", reply.peer)
        } else {
            format!("{} knows nothing of a {title}", reply.peer)
        }));
    }
    match reply.status {
        200 => {}
        404 => return Ok(Has::Nothing),
        _ => return Err(reply.into_error().into()),
    }
    let got = resource.defined(&reply.body);
    if !resource.kind.is_policy() && got["_meta"]["managed_by"] != MANAGED_BY {
        let text = format!(
            "{} has this already, and Elbow has not made it: {}; remove it, or call the sink's index otherwise",
            reply.peer,
            resource.title()
        );
        return Err(Trouble::Server(text));
    }
    let Some(at) = difference(&resource.body, got) else { return Ok(Has::Same) };
    // OpenSearch replaces a policy only for whoever says which one.
    let query = match (&got["_seq_no"], &got["_primary_term"]) {
        (Value::Number(seq), Value::Number(term)) => format!("?if_seq_no={seq}&if_primary_term={term}"),
        _ => String::new(),
    };
    Ok(Has::Other { at, query })
}

/// Whether the server has nothing at such a path, so that it takes its first part for an index or complains of the method.
fn is_without(reply: &Reply) -> bool {
    match reply.status {
        400 | 405 | 410 | 501 => true,
        404 => reply.body["error"]["index"].as_str().is_some_and(|index| index.starts_with('_')),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
