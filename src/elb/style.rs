//! How the documents of one source look: the schema, and what is the same in all of them, rendered once.

use serde_json::Value;

use super::classic_schema;
use super::ecs_cache::Cache;
use super::ecs_compile;
use super::ecs_compile::Compiled;
use super::ecs_compile::Presence;
use super::ecs_program;
use super::ecs_program::Additions;
use super::ecs_program::Step;
use super::format::Kind;
use crate::json::envelope::Envelope;
use crate::json::envelope::Tags;

/// The names under which a line's fields appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schema {
    /// AWS's own snake-case names, numbers as numbers.
    Aws,
    /// The field names of the Lambda this relay replaces.
    Classic,
    /// The Elastic Common Schema, with `aws.elb.*` beside it.
    Ecs,
}

impl Schema {
    /// Every schema.
    pub const ALL: [Self; 3] = [Self::Aws, Self::Classic, Self::Ecs];

    /// The word for configuration and documentation.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Classic => "classic",
            Self::Ecs => "ecs",
        }
    }

    /// The schema a word stands for.
    pub fn from_label(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.label() == word)
    }
}

/// How documents shall look.
#[derive(Clone, Copy, Debug)]
pub struct StylePlan<'a> {
    /// The schema.
    pub schema: Schema,
    /// Static fields. One whose name a document has already is left out there.
    pub fields: &'a [(String, Value)],
    /// Whether documents of the classic schema have the fields it has no column for.
    pub classic_extra: bool,
    /// Whether the line is kept as it came: in `event.original` in the `ecs` schema, in `message` elsewhere.
    pub keep_original: bool,
    /// Whether enrichment may add members.
    pub enriched: bool,
    /// Names of members that enrichment adds.
    pub taken: &'a [String],
}

impl StylePlan<'static> {
    /// A schema and nothing more.
    pub const fn plain(schema: Schema) -> Self {
        Self { schema, fields: &[], classic_extra: false, keep_original: false, enriched: false, taken: &[] }
    }
}

/// How documents look; made once per source or connection.
#[derive(Clone, Debug)]
pub struct Style {
    schema: Schema,
    classic_extra: bool,
    keep_original: bool,
    enriched: bool,
    /// Static fields that no member of that kind's documents has the name of, as `,"name":value…`, by kind.
    tails: Vec<Vec<u8>>,
    /// The classic schema's five constant members.
    constants: Vec<u8>,
    /// The `ecs` schema's steps, by kind: without an HTTP status, and with one.
    steps: Vec<[Vec<Step>; 2]>,
    /// Places at which a negative number is none in the `ecs` schema, by kind.
    natural: [u64; Kind::ALL.len()],
    /// What has been made of the steps so far.
    programs: Cache,
    /// Most bytes of a document that do not depend on its line, by kind.
    fixed_bytes: Vec<usize>,
}

impl Style {
    /// Documents that look so.
    pub fn new(plan: &StylePlan<'_>) -> Self {
        let &StylePlan { schema, fields, classic_extra, keep_original, enriched, taken } = plan;
        let constants = classic_schema::constants(fields);
        let programs = if schema == Schema::Ecs { Cache::new() } else { Cache::none() };
        let natural = Kind::ALL.map(|kind| ecs_compile::natural_places(kind.format()));
        let (tails, steps, fixed_bytes) = (Vec::new(), Vec::new(), Vec::new());
        let mut style =
            Self { schema, classic_extra, keep_original, enriched, tails, constants, steps, natural, programs, fixed_bytes };
        for kind in Kind::ALL {
            let tail = render(fields.iter().filter(|(name, _)| !style.has_member(kind, name) && !taken.contains(name)));
            let mut bytes = fixed_bytes_of_members(kind) + style.constants.len() + tail.len();
            if schema == Schema::Ecs {
                let additions = Additions { fields, original: keep_original, enriched };
                let (tcp, tcp_bytes) = ecs_program::steps(kind.format(), false, &additions);
                let (http, http_bytes) = ecs_program::steps(kind.format(), true, &additions);
                bytes += tcp_bytes.max(http_bytes);
                style.steps.push([tcp, http]);
            }
            style.fixed_bytes.push(bytes);
            style.tails.push(tail);
        }
        style
    }

    /// Whether documents are longer than their fields alone would make them.
    pub fn writes_more(&self) -> bool {
        self.schema == Schema::Ecs || self.classic_extra || self.keep_original || self.enriched
    }

    /// Whether documents have a member of this name of their own, whatever their kind.
    pub fn is_own_member(&self, name: &str) -> bool {
        const RELAYS: [&str; 5] = ["@timestamp", "@version", "event", "tags", "message"];
        RELAYS.contains(&name) || Kind::ALL.into_iter().any(|kind| self.has_member(kind, name))
    }

    /// Whether a line decides what a member of this name holds, so that no field of that name can stand for something else. The
    /// constant members of the classic schema are fields.
    pub fn is_of_lines(&self, name: &str) -> bool {
        let is_constant = self.schema == Schema::Classic && classic_schema::is_constant(name);
        self.is_own_member(name) && !is_constant
    }

    /// Whether the documents of a kind have a member of this name, or take this field up elsewhere.
    fn has_member(&self, kind: Kind, name: &str) -> bool {
        let by_aws = || {
            name == "unknown_fields" || kind.format().fields.iter().flat_map(|field| field.members()).any(|member| member == name)
        };
        let message = self.keeps_message() && name == "message";
        message
            || match self.schema {
                Schema::Aws => by_aws(),
                Schema::Classic if kind.format().columns.is_none() || self.classic_extra => {
                    by_aws() || classic_schema::has_member(name)
                }
                Schema::Classic => classic_schema::has_member(name),
                Schema::Ecs => ecs_program::joins(name),
            }
    }

    /// The same look without programs.
    #[cfg(test)]
    pub(super) fn walking(self) -> Self {
        Self { programs: Cache::none(), ..self }
    }

    /// The same look with other static fields.
    pub fn with_fields(&self, fields: &[(String, Value)], taken: &[String]) -> Self {
        let &Self { schema, classic_extra, keep_original, enriched, .. } = self;
        Self::new(&StylePlan { schema, fields, classic_extra, keep_original, enriched, taken })
    }

    /// The schema.
    #[inline(always)]
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// Whether the classic schema has the fields it has no column for.
    #[inline(always)]
    pub(super) fn has_classic_extra(&self) -> bool {
        self.classic_extra
    }

    /// Whether `message` holds the line as it came.
    #[inline(always)]
    pub(super) fn keeps_message(&self) -> bool {
        self.keep_original && self.schema != Schema::Ecs
    }

    /// Most bytes the document of a line takes: `escapes` of its `line_bytes` bytes need escaping, quotes aside.
    ///
    /// No byte of a line becomes more than [`COPIES_MAX`] bytes, escapes aside: the request stands in a document twice,
    /// in the `ecs` schema a URL does so as well and its extension once more, and an unknown field of one byte and its
    /// space becomes four bytes.
    #[inline(always)]
    pub(super) fn document_bound(&self, kind: Kind, line_bytes: usize, escapes: usize) -> usize {
        let copies = if self.schema == Schema::Ecs { COPIES_MAX } else { 2 } + if self.keep_original { 2 } else { 0 };
        self.fixed_bytes[kind as usize] + copies * line_bytes + 5 * copies * escapes
    }

    #[inline(always)]
    pub(super) fn tail(&self, kind: Kind) -> &[u8] {
        &self.tails[kind as usize]
    }

    #[inline(always)]
    pub(super) fn constants(&self) -> &[u8] {
        &self.constants
    }

    #[inline(always)]
    pub(super) fn steps(&self, kind: Kind, http: bool) -> &[Step] {
        &self.steps[kind as usize][usize::from(http)]
    }

    #[inline(always)]
    pub(super) fn natural(&self, kind: Kind) -> u64 {
        self.natural[kind as usize]
    }

    /// The program for lines of this presence, where there is one.
    #[inline(always)]
    pub(super) fn program(&self, presence: &Presence) -> Option<&Compiled> {
        self.programs.get(presence, || {
            let format = presence.kind.format();
            ecs_compile::compile(format, self.steps(presence.kind, presence.is_http(format)), presence)
        })
    }
}

/// Most often one byte of a line stands in a document of the `ecs` schema.
const COPIES_MAX: usize = 4;

/// The members as `,"name":value…`.
pub(crate) fn render<'a>(fields: impl Iterator<Item = &'a (String, Value)>) -> Vec<u8> {
    let mut text = String::new();
    for (name, value) in fields {
        text.push(',');
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        text.push_str(&value.to_string());
    }
    text.into_bytes()
}

fn fixed_bytes_of_members(kind: Kind) -> usize {
    // Each member has its comma, colon and four quotes, and at the most `null` or a number in place of text.
    const MEMBER: usize = 12;
    let members: usize = kind.format().fields.iter().flat_map(|field| field.members()).map(|name| name.len() + MEMBER).sum();
    let unknown = ",\"unknown_fields\":[]".len();
    let message = ",\"message\":\"\"".len();
    members + classic_schema::MEMBERS_BYTES_MAX + unknown + message + Envelope::BYTES_MAX + Tags::BYTES_MAX + 16
}
