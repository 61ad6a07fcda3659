//! Letters about documents that a sink has not delivered, because its destination has refused them or the buffer was full: the
//! document itself stands in them as it was.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// A letter about a document that a sink has not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, in a word.
    pub reason: &'static str,
    /// The sink that was to deliver it.
    pub sink: String,
    /// What the destination said, or the relay.
    pub words: String,
    /// The document as it was, newline included.
    pub document: Vec<u8>,
}

/// Takes such a letter apart; `None`: it is none of those.
pub fn refused(letter: &[u8]) -> Option<Refused> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(letter).ok()?;
    let about: Value = serde_json::from_str(members.get("elbow")?.get()).ok()?;
    let reason = REASONS.into_iter().find(|reason| about["reason"] == *reason)?;
    // As it was, byte by byte: its numbers may be larger than any that are calculated with.
    let document = format!("{}\n", members.get("document")?.get()).into_bytes();
    let text = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
    Some(Refused { reason, sink: text("sink"), words: text("words"), document })
}

/// The reasons in such letters.
const REASONS: [&str; 2] = ["refused", "buffer_full"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_comes_out_byte_by_byte() {
        let document = r#"{"a":12345678901234567890123,"a":1.0e400,"b":"\u00e4 ","c":{"document":1}}"#;
        for reason in REASONS {
            let letter =
                format!(r#"{{"elbow":{{"reason":"{reason}","sink":"s","status":400,"words":"no"}},"document":{document}}}"#);
            let document = format!("{document}\n").into_bytes();
            let want = Refused { reason, sink: "s".to_owned(), words: "no".to_owned(), document };
            assert_eq!(refused(letter.as_bytes()), Some(want));
        }
    }

    #[test]
    fn other_letters_are_none_of_these() {
        for letter in [
            "",
            "{}",
            "{",
            r#"{"message":"x","elbow":{"reason":"too_few_fields"}}"#,
            r#"{"document":{},"elbow":{"reason":"too_few_fields"}}"#,
            r#"{"elbow":{"reason":"refused"}}"#,
        ] {
            assert_eq!(refused(letter.as_bytes()), None, "{letter}");
        }
    }
}
