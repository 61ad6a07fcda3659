//! What is known of a load-balancer line beyond the line: by its client's address, its user agent, its URL, and by tables.
//!
//! The steps themselves are pure and live in [`enrich`](crate::enrich); here they are given the fields they ask for, and
//! what they find is put where the schema has a place for it. Nothing here is loaded or reloaded.

use core::net::IpAddr;
use std::sync::Arc;

use super::Extras;
use super::Schema;
use super::field_at::FieldAt;
use super::format::Kind;
use crate::enrich::agent::Agents;
use crate::enrich::geo;
use crate::enrich::geo::Geo;
use crate::enrich::table::Match;
use crate::enrich::table::Table;
use crate::enrich::url;

/// Where a field stands in the lines of each kind.
pub type FieldPlaces = [Option<FieldAt>; Kind::ALL.len()];

/// The steps for one source's lines, in order. Replaced as a whole when a table has changed.
#[derive(Debug, Default)]
pub struct Enrichment {
    steps: Vec<Step>,
}

/// One thing that is looked up.
#[derive(Clone, Debug)]
pub enum Step {
    /// A field's value in a table. Its members are the document's.
    Table {
        /// The field.
        field: FieldPlaces,
        /// How it is looked up.
        by: Match,
        /// The table.
        table: Arc<Table>,
    },
    /// An address in a MaxMind database: `geo` and `as`.
    Geo {
        /// The field that is the address.
        field: FieldPlaces,
        /// The database.
        geo: Arc<Geo>,
    },
    /// What a user agent says of itself.
    Agent {
        /// The field that is the user agent.
        field: FieldPlaces,
        /// The rules.
        agents: Arc<Agents>,
    },
    /// The parts of a URL. The `ecs` schema has them already.
    Url {
        /// The field that is the URL.
        field: FieldPlaces,
    },
}

/// Members the steps write into documents of the `aws` and `classic` schemas, tables aside.
pub const OWN_MEMBERS: [&str; 4] = ["client_geo", "client_as", "user_agent_details", "request_url_parts"];

/// What was found for one line; its memory is kept from line to line.
#[derive(Debug, Default)]
pub(super) struct Found {
    document: Vec<u8>,
    client: Vec<u8>,
    user_agent: Vec<u8>,
}

impl Found {
    pub(super) fn extras(&self) -> Extras<'_> {
        Extras { document: &self.document, client: &self.client, user_agent: &self.user_agent }
    }
}

impl Enrichment {
    /// These steps in this order.
    pub fn new(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Looks up what there is to know; `value` gives a field's text, empty where the line is too short.
    pub(super) fn run<'l>(&self, schema: Schema, kind: Kind, value: impl Fn(FieldAt) -> &'l [u8], found: &mut Found) {
        let ecs = schema == Schema::Ecs;
        let Found { document, client, user_agent } = found;
        document.clear();
        client.clear();
        user_agent.clear();
        let text = |field: &FieldPlaces| field[kind as usize].map(&value).filter(|text| !matches!(*text, b"" | b"-"));
        for step in &self.steps {
            match step {
                Step::Table { field, by, table } => {
                    let Some(text) = text(field) else { continue };
                    let row = match by {
                        Match::Exact => table.find(text),
                        Match::Cidr => address(text).and_then(|address| table.find_ip(address)),
                    };
                    document.extend_from_slice(row.unwrap_or_default());
                }
                Step::Geo { field, geo } => {
                    let Some(address) = text(field).and_then(address) else { continue };
                    let members = geo.find(address);
                    match (geo.kind(), ecs) {
                        (geo::Kind::Place, true) => object(client, "geo", &members),
                        (geo::Kind::Place, false) => object(document, OWN_MEMBERS[0], &members),
                        (geo::Kind::Network, true) => object(client, "as", &members),
                        (geo::Kind::Network, false) => object(document, OWN_MEMBERS[1], &members),
                    }
                }
                Step::Agent { field, agents } => {
                    let Some(text) = text(field) else { continue };
                    let members = agents.find(text);
                    if ecs {
                        user_agent.extend_from_slice(&members);
                    } else {
                        object(document, OWN_MEMBERS[2], &members);
                    }
                }
                Step::Url { .. } if ecs => {}
                Step::Url { field } => {
                    let Some(text) = text(field) else { continue };
                    if let Some(parts) = url::split(text, 0, text.len()) {
                        let start = open(document, OWN_MEMBERS[3]);
                        url::append(text, &parts, document);
                        document[start] = b'{';
                        document.push(b'}');
                    }
                }
            }
        }
    }
}

/// The address a text is, if it is one.
fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Appends `,"name":` and says where the value starts.
fn open(out: &mut Vec<u8>, name: &str) -> usize {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.len()
}

/// Appends an object of these members; nothing where there are none.
fn object(out: &mut Vec<u8>, name: &str, members: &[u8]) {
    if members.is_empty() {
        return;
    }
    let start = open(out, name);
    out.extend_from_slice(members);
    // The first member's comma becomes the brace.
    out[start] = b'{';
    out.push(b'}');
}
