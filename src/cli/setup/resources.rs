//! What a server gets for the indices of a sink: component templates, an index template, and a lifecycle policy.
//!
//! It makes them of the field tables, the index's name and the flags, each server's in its own words. It asks nobody.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::cli::args::Lifecycle;
use crate::elb::Schema;
use crate::elb::mapping;
use crate::elb::mapping::MANAGED_BY;
use crate::sink::Flavour;
use crate::sink::Server;
use crate::sink::Target;
use crate::units::duration_text;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) target: &'a Target,
    pub(super) schema: Schema,
    pub(super) is_stream: bool,
    pub(super) lifecycle: Lifecycle,
}

/// What kind of thing a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A policy of Elasticsearch's index lifecycle management.
    Ilm,
    /// A policy of OpenSearch's index state management.
    Ism,
    Component,
    Index,
}

/// One thing that a server should have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) body: Value,
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Ilm | Self::Ism => "lifecycle policy",
            Self::Component => "component template",
            Self::Index => "index template",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Ilm => "_ilm/policy",
            Self::Ism => "_plugins/_ism/policies",
            Self::Component => "_component_template",
            Self::Index => "_index_template",
        }
    }

    pub(super) const fn is_policy(self) -> bool {
        matches!(self, Self::Ilm | Self::Ism)
    }
}

impl Resource {
    pub(super) fn path(&self) -> String {
        format!("/{}/{}", self.kind.path(), self.name)
    }

    /// What a person calls it.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.kind.words(), self.name)
    }

    /// The definition in the server's answer to asking for it.
    pub(super) fn defined<'a>(&self, answer: &'a Value) -> &'a Value {
        match self.kind {
            Kind::Ilm => &answer[&self.name],
            Kind::Ism => answer,
            Kind::Component => &answer["component_templates"][0]["component_template"],
            Kind::Index => &answer["index_templates"][0]["index_template"],
        }
    }
}

/// Bytes of a data stream's shard at which it gets a new index, as Elastic's own integrations have it.
const ROLLOVER_SIZE: u64 = 50 << 30;

/// Age at which it gets one in any case: so much longer than they have to may documents live.
const ROLLOVER_AGE: Duration = Duration::from_secs(7 * 86_400);

/// The least priority of our templates: above the 100 that Elastic's own have, so that ours counts where both match.
const PRIORITY: usize = 200;

/// The first versions that have composable templates, data streams, and sizes by shard: of Elasticsearch, then of OpenSearch.
const COMPOSABLE: (u16, u16) = (7, 8);
const STREAMS: (u16, u16) = (7, 9);
const BY_SHARD: [(u16, u16); 2] = [(7, 13), (1, 3)];

/// Everything that is wanted, in the order in which it has to be put.
///
/// # Errors
/// In words, why that makes no sense, or not for this server.
pub(super) fn resources(wanted: &Wanted<'_>, server: &Server) -> Result<Vec<Resource>, String> {
    let Wanted { target, schema, is_stream, lifecycle } = *wanted;
    let is_elastic = server.flavour == Flavour::Elasticsearch;
    let lacks = |since: (u16, u16)| is_elastic && !server.is_since(since.0, since.1);
    if lacks(COMPOSABLE) {
        return Err(format!("{server} has no composable index templates, which came with 7.8"));
    }
    if is_stream && lacks(STREAMS) {
        return Err(format!("{server} has no data streams, which came with 7.9: leave out --data-stream"));
    }
    if is_stream && target.span().is_some() {
        let stem = target.stem();
        return Err(format!(
            "a data stream has one name, and the sink's index {:?} has times in it: write index = {stem:?}, or leave out --data-stream",
            target.as_str()
        ));
    }
    if target.prefix().is_empty() || target.stem().is_empty() {
        let index = target.as_str();
        return Err(format!(
            "the index {index:?} begins with a time: a template for it would be one for all indices of the server"
        ));
    }
    if !is_stream && (lifecycle.rollover_size.is_some() || lifecycle.rollover_age.is_some()) {
        return Err("only a data stream gets new indices by size or age: add --data-stream, or leave those flags out".to_owned());
    }
    if !is_stream && lifecycle.delete_after.is_some() && target.span().is_none() {
        let index = target.as_str();
        return Err(format!(
            "there is one index {index:?}, which would be deleted while it is written: put times into its name, or add --data-stream"
        ));
    }
    let stem = target.stem();
    let name = if stem.starts_with("elbow") { stem } else { format!("elbow-{stem}") };
    let priority = PRIORITY + target.prefix().len();
    let mut all = Vec::new();
    let policy = policy(wanted, server, priority);
    let by_name = policy.is_some() && is_elastic;
    all.extend(policy.map(|(kind, body)| Resource { kind, name: name.clone(), body }));
    let about = |what: &str| json!({ "managed_by": MANAGED_BY, "description": format!("{what} of Elbow's documents in the schema {}", schema.label()) });
    let mut template = mapping::template(schema)["template"].take();
    let mut mappings = template["mappings"].take();
    if is_stream && let Some(time) = mappings["properties"]["@timestamp"].as_object_mut() {
        // What a data stream is ordered by may not be left out; every document of ours has a good one.
        time.remove("ignore_malformed");
    }
    let mut settings = template["settings"].take();
    if by_name {
        settings["index"]["lifecycle"] = json!({ "name": name });
    }
    let (mapped, set) = (format!("{name}-mappings"), format!("{name}-settings"));
    let component = |name: &str, what: &str, template: Value| Resource {
        kind: Kind::Component,
        name: name.to_owned(),
        body: json!({ "template": template, "_meta": about(what) }),
    };
    all.push(component(&mapped, "Mappings", json!({ "mappings": mappings })));
    all.push(component(&set, "Settings", json!({ "settings": settings })));
    let mut body = json!({
        "index_patterns": [target.pattern()],
        "composed_of": [mapped, set],
        "priority": priority,
        "_meta": about("Indices"),
    });
    if is_stream {
        body["data_stream"] = json!({});
    }
    all.push(Resource { kind: Kind::Index, name, body });
    Ok(all)
}

/// The policy, where anything is to be done with indices.
fn policy(wanted: &Wanted<'_>, server: &Server, priority: usize) -> Option<(Kind, Value)> {
    let Wanted { target, is_stream, lifecycle, .. } = *wanted;
    if lifecycle.is_off || !is_stream && lifecycle.delete_after.is_none() {
        return None;
    }
    let size = size_text(lifecycle.rollover_size.unwrap_or(ROLLOVER_SIZE));
    let rollover_age = lifecycle.rollover_age.unwrap_or(ROLLOVER_AGE);
    let age = duration_text(rollover_age);
    let span = target.span().unwrap_or_default();
    Some(match server.flavour {
        Flavour::Elasticsearch => {
            let mut phases = json!({});
            if is_stream {
                let by_shard = server.is_since(BY_SHARD[0].0, BY_SHARD[0].1);
                let by = if by_shard { "max_primary_shard_size" } else { "max_size" };
                phases["hot"] = json!({ "min_age": "0ms", "actions": { "rollover": { by: size, "max_age": age } } });
            }
            if let Some(after) = lifecycle.delete_after {
                // Counted from the rollover where there is one, and otherwise from when the first document made the index.
                phases["delete"] = json!({ "min_age": duration_text(after + span), "actions": { "delete": {} } });
            }
            (Kind::Ilm, json!({ "policy": { "phases": phases } }))
        }
        Flavour::OpenSearch => {
            let is_later = server.is_since(BY_SHARD[1].0, BY_SHARD[1].1);
            let by = if is_later { "min_primary_shard_size" } else { "min_size" };
            let actions = if is_stream { json!([{ "rollover": { by: size, "min_index_age": age } }]) } else { json!([]) };
            let mut states = vec![json!({ "name": "hot", "actions": actions, "transitions": [] })];
            if let Some(after) = lifecycle.delete_after {
                let conditions = match (is_stream, is_later) {
                    (true, true) => json!({ "min_rollover_age": duration_text(after) }),
                    (true, false) => json!({ "min_index_age": duration_text(after + rollover_age) }),
                    (false, _) => json!({ "min_index_age": duration_text(after + span) }),
                };
                states[0]["transitions"] = json!([{ "state_name": "delete", "conditions": conditions }]);
                states.push(json!({ "name": "delete", "actions": [{ "delete": {} }], "transitions": [] }));
            }
            let policy = json!({
                "description": "How long Elbow's documents are kept",
                "default_state": "hot",
                "states": states,
                "ism_template": [{ "index_patterns": [target.pattern()], "priority": priority }],
            });
            (Kind::Ism, json!({ "policy": policy }))
        }
    })
}

/// A size as servers write it: whole, with the largest unit, whose names are decimal and whose values are binary.
fn size_text(bytes: u64) -> String {
    let units = [("gb", 30), ("mb", 20), ("kb", 10)];
    let fits = units.into_iter().find(|(_, shift)| bytes.trailing_zeros() >= *shift);
    fits.map_or(format!("{bytes}b"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests;
