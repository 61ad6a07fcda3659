//! Whatever is asked for, a line gives one JSON object without a name in it twice, or a reject that points into the line;
//! which of the two is the same in every schema, and redacting a line first or on the way gives the same document.
//!
//! The first byte chooses schema, envelope, tags and static fields, the second what is done with the line; the rest is the
//! line.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::OnceLock;

use elbow::batch::BatchBuilder;
use elbow::batch::EventId;
use elbow::elb::Context;
use elbow::elb::Failure;
use elbow::elb::Parsed;
use elbow::elb::Parser;
use elbow::elb::Schema;
use elbow::elb::Style;
use elbow::elb::StylePlan;
use elbow::elb::Treatment;
use elbow::elb::enrichment::Enrichment;
use elbow::elb::enrichment::FieldPlaces;
use elbow::elb::enrichment::OWN_MEMBERS;
use elbow::elb::enrichment::Step;
use elbow::elb::format::Kind;
use elbow::elb::trim;
use elbow::enrich::table::Match;
use elbow::enrich::table::Table;
use elbow::enrich::table::TablePlan;
use elbow::json::envelope::Envelope;
use elbow::json::envelope::Received;
use elbow::json::envelope::Tag;
use elbow::json::envelope::Tags;
use elbow::redact;
use elbow::redact::Redactor;
use elbow::redact::Replacement;
use serde_json::Value;

use super::tree;

static REDACTORS: LazyLock<[Redactor; 2]> = LazyLock::new(|| {
    [Replacement::Mask, Replacement::Hash([7; 32])].map(|with| Redactor::new(with, &["p".to_owned()]).expect("the name is good"))
});

static ENRICHMENT: LazyLock<Enrichment> = LazyLock::new(|| {
    let table = |text: &str, match_by, numbers| {
        let plan = TablePlan { key_column: "key".to_owned(), match_by, columns: Vec::new(), numbers };
        Arc::new(Table::from_csv(text.as_bytes(), &plan).expect("the table is good"))
    };
    let agents = table("key,bot,n\n-,no,1\ncurl/8.4.0,\"y\"\"es\",2\n", Match::Exact, vec!["n".to_owned()]);
    let networks = table("key,net\n10.0.0.0/8,in\n0.0.0.0/0,out\n::/0,six\n", Match::Cidr, Vec::new());
    Enrichment::new(vec![
        Step::Url { field: places("request_url") },
        Step::Table { field: places("user_agent"), by: Match::Exact, table: agents },
        Step::Table { field: places("client_ip"), by: Match::Cidr, table: networks },
    ])
});

/// Names the tables above add.
const TABLES: [&str; 3] = ["bot", "n", "net"];

fn places(name: &str) -> FieldPlaces {
    Kind::ALL.map(|kind| kind.format().find(name))
}

/// Static fields, some of them with names that documents have themselves.
fn fields() -> Vec<(String, Value)> {
    let fields: [(&str, Value); 8] = [
        ("Environment", "ci".into()),
        ("client_ip", 7.into()),
        ("Status", Value::Null),
        ("http", serde_json::json!({"request": {"method": "GET"}})),
        ("labels", serde_json::json!({"a\"b": ["\u{7f}"]})),
        ("unknown_fields", true.into()),
        ("url", "u".into()),
        ("", "no name".into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Documents that look so; made once, which takes longer than reading a line.
fn style(schema: usize, choices: [bool; 4]) -> &'static Style {
    static STYLES: [OnceLock<Style>; 48] = [const { OnceLock::new() }; 48];
    let number = choices.iter().fold(schema, |number, &choice| 2 * number + usize::from(choice));
    STYLES[number].get_or_init(|| {
        let [with_fields, classic_extra, keep_original, enriched] = choices;
        let fields = if with_fields { fields() } else { Vec::new() };
        let added: Vec<String> = OWN_MEMBERS.iter().chain(&TABLES).map(|name| (*name).to_owned()).collect();
        let taken = if enriched { &added[..] } else { &[] };
        Style::new(&StylePlan { schema: Schema::ALL[schema], fields: &fields, classic_extra, keep_original, enriched, taken })
    })
}

/// The document of a line, or why there is none; and the line with its secrets replaced, where it can be told.
struct Outcome {
    made: Result<Parsed, Failure>,
    document: Vec<u8>,
    redacted: Option<Vec<u8>>,
}

fn parse(line: &[u8], style: &Style, envelope: Option<Envelope>, tags: Tags, treatment: Treatment<'_>) -> Outcome {
    let mut parser = Parser::default();
    let mut out = BatchBuilder::default();
    let context = Context { style, only: None, envelope, tags, treatment };
    let made = parser.document(line, 0, line.len(), &context, &mut out);
    let redacted = treatment.redactor.filter(|_| made.is_ok()).and_then(|redactor| {
        let secrets = parser.secrets();
        // A quote or backslash that is replaced may let the line be read in an earlier way than before.
        let plain = |at: usize| !matches!(line[at], b'"' | b'\\');
        secrets.iter().all(|secret| (secret.start..secret.end).all(plain)).then(|| {
            let mut text = Vec::new();
            redact::apply(redactor, line, 0, line.len(), secrets, &mut text, |_, _| {});
            text
        })
    });
    if matches!(made, Err(Failure::Unknown)) {
        assert!(parser.unknown(line, 0, line.len()).at <= line.len());
    }
    assert!(made.is_ok() || out.is_empty() && out.documents().is_empty(), "a line that is none leaves nothing");
    Outcome { made, document: out.documents().to_vec(), redacted }
}

fn word(made: &Result<Parsed, Failure>) -> Result<Kind, &'static str> {
    match made {
        Ok(parsed) => Ok(parsed.kind),
        Err(Failure::Unknown) => Err("unknown"),
        Err(Failure::InvalidUtf8) => Err("invalid UTF-8"),
        Err(Failure::Rejected(reject)) => Err(reject.reason.label()),
    }
}

pub(crate) fn check(input: &[u8]) {
    let [looks, done, line @ ..] = input else { return };
    let Some((start, end)) = trim(line, 0, line.len()) else { return };
    let line = &line[start..end];
    let bit = |byte: &u8, at: u8| byte >> at & 1 == 1;
    let enriched = bit(done, 2);
    let schema = usize::from(looks & 3) % Schema::ALL.len();
    let choices = [bit(looks, 4), bit(done, 0), bit(done, 1), enriched];
    let style = style(schema, choices);
    let envelope = bit(looks, 2).then(|| Envelope { received: Received::at(1_700_000_000_123_456), id: EventId([0xab; 16]) });
    let tags = if bit(looks, 3) { Tags::NONE.with(Tag::InvalidUtf8).with(Tag::Unterminated) } else { Tags::NONE };
    let redactor = bit(done, 3).then(|| &REDACTORS[usize::from(bit(done, 4))]);
    let enrichment = enriched.then(|| &*ENRICHMENT);
    let treatment = Treatment { redactor, rules: None, enrichment };

    let outcome = parse(line, style, envelope, tags, treatment);
    let plain = parse(line, self::style(0, [false; 4]), None, Tags::NONE, Treatment::default());
    assert_eq!(word(&outcome.made), word(&plain.made));
    match &outcome.made {
        Ok(_) => {
            let text = std::str::from_utf8(&outcome.document).expect("a document is UTF-8");
            let text = text.strip_suffix('\n').expect("a document ends in a newline");
            assert!(!text.contains('\n'));
            let document = tree::read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(matches!(document, tree::Tree::Object(members) if !members.is_empty()));
        }
        Err(Failure::Rejected(reject)) => {
            assert!(reject.at <= line.len());
            let known = |field| Kind::ALL.iter().any(|kind| kind.format().fields.iter().any(|known| known.name() == field));
            assert!(reject.field.is_none_or(known), "{reject}");
        }
        Err(Failure::Unknown | Failure::InvalidUtf8) => {}
    }
    if let Some(redacted) = outcome.redacted {
        let first = parse(&redacted, style, envelope, tags, Treatment { redactor: None, ..treatment });
        assert_eq!(String::from_utf8(first.document), String::from_utf8(outcome.document.clone()));
        let again = parse(&redacted, style, envelope, tags, treatment);
        assert_eq!(String::from_utf8(again.document), String::from_utf8(outcome.document));
    }
}
