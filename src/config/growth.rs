//! How much larger a document can be than its line, so that the buffer has room for the largest one.
//!
//! It knows schemas and lookups, not lines; a test holds it to what the writers really make of the worst lines.

use crate::config::fields::FIELDS_BYTES_MAX;
use crate::elb::Schema;
use crate::enrich::table::ROW_BYTES_MAX;
use crate::pipeline::lookups::LookupKind;

/// How the documents of one source grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// How often one byte of a line can stand in its document.
    copies: u64,
    /// Bytes that have nothing to do with the line.
    added: u64,
}

impl Growth {
    /// The growth of documents that look so.
    pub fn of<'a>(schema: Schema, keep_original: bool, lookups: impl Iterator<Item = &'a LookupKind>) -> Self {
        let mut growth = Self {
            copies: match schema {
                // The request as a whole and in three parts.
                Schema::Aws => 2,
                Schema::Classic => 1,
                // A URL as a whole, in its parts, and the extension beside the path.
                Schema::Ecs => 3,
            },
            added: FIELDS_BYTES_MAX as u64 + OWN_BYTES,
        };
        growth.copies += u64::from(keep_original);
        for lookup in lookups {
            match lookup {
                LookupKind::Table { .. } => growth.added += ROW_BYTES_MAX as u64,
                // In the `ecs` schema they are there anyway.
                LookupKind::Url if schema != Schema::Ecs => growth.copies += 2,
                LookupKind::Url | LookupKind::GeoIp { .. } | LookupKind::UserAgent { .. } => {}
            }
        }
        growth
    }

    /// How many times its line a document can be, what is added aside.
    pub fn times(&self) -> u64 {
        self.copies * ESCAPED_BYTES
    }

    /// The longest line whose document is certainly no larger than this.
    pub fn line_bytes_max(&self, document_bytes: u64) -> u64 {
        document_bytes.saturating_sub(self.added) / self.times()
    }
}

/// A control character in JSON: `\u0000`. Nothing else grows more: a secret of one byte with its name and its sign becomes at
/// most five times as long, an unknown field of one byte with its space twice.
const ESCAPED_BYTES: u64 = 6;

/// Names of members, the envelope, what a connection says of itself and of its object, and what databases and rules add: a
/// little more than less.
const OWN_BYTES: u64 = 32 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::BatchBuilder;
    use crate::batch::SourceId;
    use crate::event_id::IdKey;
    use crate::framing::lines::Whole;
    use crate::json::envelope::Received;
    use crate::pipeline::ids::Ids;
    use crate::pipeline::look::look;
    use crate::pipeline::lookups::LookupPlan;
    use crate::pipeline::lookups::Lookups;
    use crate::pipeline::parse::LineParser;
    use crate::pipeline::plan::Format;
    use crate::pipeline::plan::ParsePlan;
    use crate::pipeline::plan::Redact;

    /// Bytes of a line that grow, so many that what is added beside them hardly counts.
    const LINE_BYTES: usize = 64 << 10;

    /// ALB lines whose every byte that may be anything is one that grows: in the URL's extension, which stands in a document
    /// most often; in a list; in fields nobody knows; in secrets.
    fn worst() -> [String; 4] {
        let line = |url: &str, ports: &str, more: &str| {
            format!(
                "http 2026-03-01T10:20:30.123456Z app/web/1 192.0.2.10:40001 10.0.1.5:80 0 0 0 200 200 5 2 \"GET http://h/{url} \
                 HTTP/1.1\" \"-\" - - - \"-\" \"-\" \"-\" 0 2026-03-01T10:20:30.097000Z \"-\" \"-\" \"-\" \"{ports}\" \"-\" \
                 \"-\" \"-\" - - - - -{more}"
            )
        };
        [
            line(&format!(".{}", "\u{1}".repeat(LINE_BYTES)), "-", ""),
            line("", &"\u{1} ".repeat(LINE_BYTES / 2), ""),
            line("", "-", &" \u{1}".repeat(LINE_BYTES / 2)),
            line(&format!("?{}", "a=1&".repeat(LINE_BYTES / 4)), "-", ""),
        ]
    }

    #[track_caller]
    fn check(schema: Schema, keep_original: bool, kinds: &[LookupKind]) {
        let field = |kind: &LookupKind| if matches!(kind, LookupKind::Url) { "request_url" } else { "user_agent" }.to_owned();
        let name = |at: usize| format!("l{at}");
        let plans = kinds.iter().enumerate();
        let plans: Vec<LookupPlan> =
            plans.map(|(at, kind)| LookupPlan { name: name(at), field: field(kind), kind: kind.clone() }).collect();
        let plan = ParsePlan {
            keep_original,
            lookups: (0..kinds.len()).collect(),
            redact: Redact::Hash,
            redact_names: vec!["a".to_owned()],
            ..ParsePlan::plain(Format::Alb, schema)
        };
        let lookups = Lookups::load(&plans).unwrap();
        let look = Arc::new(look(&plan, IdKey::PUBLISHED, &lookups).unwrap());
        let growth = Growth::of(schema, keep_original, kinds.iter());
        let mut largest = 0;
        for line in worst() {
            let mut parser = LineParser::new(&plan, look.clone(), Ids::new(IdKey::PUBLISHED, [0; 12], SourceId(0), 0));
            let mut out = BatchBuilder::default();
            parser.line(line.as_bytes(), 0, line.len(), Whole::Yes, Received::at(0), &mut out);
            assert_eq!((out.len(), parser.last_reject), (1, None), "{schema:?}");
            let (bytes, line_bytes) = (out.bytes() as u64, line.len() as u64);
            assert!(growth.line_bytes_max(bytes) <= line_bytes, "{schema:?}: {bytes} bytes of a line of {line_bytes}");
            largest = largest.max(bytes);
        }
        let bound = growth.times() * LINE_BYTES as u64;
        assert!(largest >= bound, "{schema:?}: {largest} bytes at the most, so {bound} is more than is needed");
    }

    #[test]
    fn the_worst_lines_become_as_large_as_is_said_and_no_larger() {
        let lookups = [LookupKind::Url, LookupKind::UserAgent { path: None }];
        for schema in Schema::ALL {
            for keep_original in [false, true] {
                check(schema, keep_original, &[]);
                check(schema, keep_original, &lookups);
            }
        }
    }
}
