//! How the documents of one source look: the schema, and the static fields rendered once.

use serde_json::Value;

use super::classic_schema;
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
}

impl Schema {
    /// Every schema.
    pub const ALL: [Self; 2] = [Self::Aws, Self::Classic];

    /// The word for configuration and documentation.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Classic => "classic",
        }
    }

    /// The schema a word stands for.
    pub fn from_label(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.label() == word)
    }
}

/// How documents look; made once per source or connection.
#[derive(Clone, Debug)]
pub struct Style {
    schema: Schema,
    /// Static fields that no member of that kind's documents has the name of, as `,"name":value…`, by kind.
    tails: Vec<Vec<u8>>,
    /// The classic schema's five constant members.
    constants: Vec<u8>,
    /// Most bytes of a document that do not depend on its line, by kind.
    fixed_bytes: Vec<usize>,
}

impl Style {
    /// Documents in this schema with these static fields. A field whose name a document has already is left out there.
    pub fn new(schema: Schema, fields: &[(String, Value)]) -> Self {
        let constants = classic_schema::constants(fields);
        let mut style = Self { schema, tails: Vec::new(), constants, fixed_bytes: Vec::new() };
        for kind in Kind::ALL {
            let has = |name: &str| match schema {
                Schema::Aws => {
                    name == "unknown_fields"
                        || kind.format().fields.iter().any(|field| field.members().any(|member| member == name))
                }
                Schema::Classic => classic_schema::has_member(name),
            };
            let tail = render(fields.iter().filter(|(name, _)| !has(name)));
            style.fixed_bytes.push(fixed_bytes(kind) + style.constants.len() + tail.len());
            style.tails.push(tail);
        }
        style
    }

    /// The schema.
    #[inline(always)]
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// Most bytes the document of a line takes: `escapes` of its `line_bytes` bytes need escaping.
    ///
    /// The request stands in a document twice, an escape makes six bytes of one, and an unknown field of one byte and
    /// its space becomes four bytes: no byte of a line becomes more than two, escapes aside.
    #[inline(always)]
    pub(super) fn document_bound(&self, kind: Kind, line_bytes: usize, escapes: usize) -> usize {
        self.fixed_bytes[kind as usize] + 2 * line_bytes + 10 * escapes
    }

    #[inline(always)]
    pub(super) fn tail(&self, kind: Kind) -> &[u8] {
        &self.tails[kind as usize]
    }

    pub(super) fn constants(&self) -> &[u8] {
        &self.constants
    }
}

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

fn fixed_bytes(kind: Kind) -> usize {
    // Each member has its comma, colon and four quotes, and at the most `null` or a number in place of text.
    const MEMBER: usize = 12;
    let members: usize = kind.format().fields.iter().flat_map(|field| field.members()).map(|name| name.len() + MEMBER).sum();
    let unknown = ",\"unknown_fields\":[]".len();
    members.max(classic_schema::MEMBERS_BYTES_MAX) + unknown + Envelope::BYTES_MAX + Tags::BYTES_MAX + 16
}
