//! A connection's first line, when it names the connection instead of being an event.

use serde_json::Map;
use serde_json::Value;

use super::ids::Ids;
use super::look::Look;
use super::object;
use crate::elb::object_key::ObjectKey;
use crate::elb::object_key::ObjectName;
use crate::elb::object_key::ObjectNameError;

/// Longest first line that is looked at: a preamble is small, and a long first line is an ordinary event.
const BYTES_MAX: usize = 64 * 1024;

/// Most bytes of names and values a sender may put on each of its events: a line of one byte carries them too.
const FIELDS_BYTES_MAX: usize = 4 * 1024;

/// Most bytes of the fields that an object's name gives: twice the longest key and what stands around it.
const OBJECT_BYTES_MAX: usize = 2560;

/// Most bytes a preamble puts on each event.
pub(super) const BYTES_MAX_PER_EVENT: usize = FIELDS_BYTES_MAX + OBJECT_BYTES_MAX;

/// What a preamble says. Members that are unknown or of the wrong type are in `ignored` and otherwise without effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Preamble {
    /// Fields for every event of the connection.
    pub(super) fields: Vec<(String, Value)>,
    /// The object the lines come from.
    pub(super) object: Option<Object>,
    /// Names of members that were not taken.
    pub(super) ignored: Vec<String>,
}

/// The object a connection's lines come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    /// `s3://bucket/key`.
    pub(super) url: String,
    /// Its version, without which nobody can tell it from another object of that key.
    pub(super) etag: Option<String>,
    /// Number of the next line in it.
    pub(super) line: u64,
}

impl Object {
    /// Bucket and key.
    pub(super) fn named(&self) -> Result<ObjectName<'_>, ObjectNameError> {
        ObjectName::parse(&self.url)
    }
}

/// Names no sender may set: the relay's own members.
const RESERVED: [&str; 7] = ["@timestamp", "@version", "event", "event.id", "message", "tags", "elbow"];

/// What a preamble has changed.
pub(super) struct Taken {
    /// How documents look from here on, where that is new.
    pub(super) look: Option<Look>,
    /// Whether the lines are those of a load balancer's log, by the name of their object.
    pub(super) is_log: bool,
    /// Members that were not taken.
    pub(super) ignored: u64,
}

/// Has a connection's ids and look follow its preamble; `None`: the line is none.
pub(super) fn take(line: &[u8], look: &Look, ids: &mut Ids) -> Option<Taken> {
    let Preamble { mut fields, object, mut ignored } = read(line)?;
    fields.retain(|(name, _)| {
        if look.is_of_sender(name) {
            ignored.push(format!("fields.{name}"));
        }
        !look.is_of_sender(name)
    });
    let mut is_log = false;
    if let Some(object) = &object {
        match object.named() {
            Ok(name) => {
                is_log = ObjectKey::parse(name.key).is_some();
                if let Some(etag) = &object.etag {
                    ids.begin_object(name.bucket, name.key, etag, object.line);
                }
                // What the sender says in so many words counts more than what the key says.
                let mut all = object::fields(&name, look.style.schema());
                if rendered_bytes(&all) > OBJECT_BYTES_MAX {
                    ignored.push(format!("object (its fields are more than {OBJECT_BYTES_MAX} bytes)"));
                } else {
                    all.append(&mut fields);
                    fields = all;
                }
            }
            Err(error) => ignored.push(format!("object ({error})")),
        }
    }
    let mut count = ignored.len() as u64;
    if !ignored.is_empty() {
        tracing::warn!(members = ?ignored, "a connection's preamble has members that are unknown or of the wrong type; they are ignored");
    }
    let look = look.with(fields).inspect_err(|error| {
        count += 1;
        tracing::warn!(%error, "the fields of a connection's preamble are ignored");
    });
    Some(Taken { look: look.ok(), is_log, ignored: count })
}

/// Bytes of fields as members of a document, or a few more.
fn rendered_bytes(fields: &[(String, Value)]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.to_string().len() + 4).sum()
}

/// The preamble a line is: an object whose single key is `@elbow`. Anything else is none.
pub(super) fn read(line: &[u8]) -> Option<Preamble> {
    if line.len() > BYTES_MAX || memchr::memmem::find(line, b"elbow").is_none() {
        return None;
    }
    let mut object: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let own = object.remove("@elbow").filter(|_| object.is_empty())?;
    let mut preamble = Preamble::default();
    let (mut url, mut etag, mut first_line) = (None, None, 1);
    let Value::Object(members) = own else {
        preamble.ignored.push("@elbow".to_owned());
        return Some(preamble);
    };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("fields", Value::Object(fields)) if Value::Object(fields.clone()).to_string().len() > FIELDS_BYTES_MAX => {
                preamble.ignored.push(format!("fields (more than {FIELDS_BYTES_MAX} bytes)"));
            }
            ("fields", Value::Object(fields)) => {
                for (name, value) in fields {
                    if RESERVED.contains(&name.as_str()) {
                        preamble.ignored.push(format!("fields.{name}"));
                    } else {
                        preamble.fields.push((name, value));
                    }
                }
            }
            ("object", Value::String(text)) => url = Some(text),
            ("etag", Value::String(text)) => etag = Some(text),
            ("line", Value::Number(number)) if number.is_u64() => first_line = number.as_u64().unwrap_or_default(),
            // What it is for comes with tenants; a sender may already give it.
            ("token", Value::String(_)) => {}
            _ => preamble.ignored.push(name),
        }
    }
    preamble.object = url.map(|url| Object { url, etag, line: first_line });
    Some(preamble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_preamble() {
        let line = br#"{"@elbow":{"fields":{"Environment":"ci","n":3},"token":"t","object":"s3://b/k","etag":"e","line":1}}"#;
        let preamble = read(line).expect("a preamble");
        assert_eq!(preamble.fields, [("Environment".to_owned(), Value::from("ci")), ("n".to_owned(), Value::from(3))]);
        assert!(preamble.ignored.is_empty());
        let object = preamble.object.expect("an object");
        assert_eq!((object.url.as_str(), object.etag.as_deref(), object.line), ("s3://b/k", Some("e"), 1));
    }

    #[test]
    fn what_is_wrong_is_named_and_ignored() {
        let preamble = read(br#"{"@elbow":{"fields":{"@timestamp":"x","a":1},"line":"1","what":true}}"#).expect("a preamble");
        assert_eq!(preamble.ignored, ["fields.@timestamp", "line", "what"]);
        assert_eq!(preamble.fields.len(), 1);
        assert_eq!(read(br#"{"@elbow":5}"#).expect("a preamble").ignored, ["@elbow"]);
    }

    #[test]
    fn fields_are_small() {
        let line = format!(r#"{{"@elbow":{{"fields":{{"a":"{}"}}}}}}"#, "x".repeat(FIELDS_BYTES_MAX));
        let preamble = read(line.as_bytes()).expect("a preamble");
        assert_eq!((preamble.fields.len(), preamble.ignored.len()), (0, 1));
    }

    #[test]
    fn anything_else_is_an_event() {
        for line in [r#"{"@elbow":{},"a":1}"#, r#"{"elbow":{}}"#, r#"[{"@elbow":{}}]"#, r#"{"@elbow":{}"#, "elbow"] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
