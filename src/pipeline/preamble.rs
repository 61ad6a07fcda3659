//! A connection's first line, when it names the connection instead of being an event.

use std::fmt;
use std::sync::Arc;

use serde_json::Map;
use serde_json::Value;

use super::ids::Ids;
use super::look::Look;
use super::look::Looks;
use super::object;
use crate::elb::object_key::ObjectKey;
use crate::elb::object_key::ObjectName;
use crate::elb::object_key::ObjectNameError;
use crate::peer::Peer;
use crate::tenant::TenantRef;
use crate::tenant::Visit;

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
    /// What the sender says to prove whose it is.
    pub(super) token: Option<Proof>,
    /// Names of members that were not taken.
    pub(super) ignored: Vec<String>,
}

/// A token as it was said. It cannot be shown.
#[derive(Clone, PartialEq)]
pub(super) struct Proof(String);

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(***)")
    }
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

/// Whose a connection is, for as long as its first line may say it.
#[derive(Debug)]
pub(super) struct Whose {
    pub(super) visit: Visit,
    pub(super) looks: Arc<Looks>,
    pub(super) peer: Peer,
}

/// What a preamble has changed.
pub(super) struct Taken {
    /// How documents look from here on.
    pub(super) look: Arc<Look>,
    /// Whose they are from here on, where that has changed.
    pub(super) tenant: Option<TenantRef>,
    /// Whether the sender may not send.
    pub(super) refused: bool,
    /// Whether the lines are those of a load balancer's log, by the name of their object.
    pub(super) is_log: bool,
    /// Members that were not taken.
    pub(super) ignored: u64,
    /// Fields that the tenant has itself.
    pub(super) overridden: u64,
}

/// Has a connection's ids and look follow its preamble; `None`: the line is none.
pub(super) fn take(line: &[u8], look: &Arc<Look>, ids: &mut Ids, whose: Option<&Whose>) -> Option<Taken> {
    let Preamble { mut fields, object, token, mut ignored } = read(line)?;
    let mut taken = Taken { look: look.clone(), tenant: None, refused: false, is_log: false, ignored: 0, overridden: 0 };
    if let Some(Whose { visit, looks, peer }) = whose {
        taken.refused = match &token {
            Some(Proof(token)) => visit.prove(token.as_bytes()).is_err(),
            None if visit.owes_proof() => {
                visit.is_unproved();
                true
            }
            None => false,
        };
        if taken.refused {
            return Some(taken);
        }
        if token.is_some() {
            let tenant = visit.tenant();
            ids.belong_to(tenant.name());
            taken.look = looks.of(&tenant).for_sender(peer);
            taken.tenant = Some(tenant);
        }
    }
    let overridden = fields.iter().filter(|(name, _)| taken.look.forced.find(name).is_some()).count();
    taken.overridden = overridden as u64;
    fields.retain(|(name, _)| {
        if look.is_of_sender(name) {
            ignored.push(format!("fields.{name}"));
        }
        !look.is_of_sender(name)
    });
    if let Some(object) = &object {
        match object.named() {
            Ok(name) => {
                taken.is_log = ObjectKey::parse(name.key).is_some();
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
    taken.ignored = ignored.len() as u64;
    if !ignored.is_empty() {
        tracing::warn!(members = ?ignored, "a connection's preamble has members that are unknown or of the wrong type; they are ignored");
    }
    match taken.look.with(fields) {
        Ok(look) => taken.look = Arc::new(look),
        Err(error) => {
            taken.ignored += 1;
            tracing::warn!(%error, "the fields of a connection's preamble are ignored");
        }
    }
    Some(taken)
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
            ("token", Value::String(text)) => preamble.token = Some(Proof(text)),
            _ => preamble.ignored.push(name),
        }
    }
    preamble.object = url.map(|url| Object { url, etag, line: first_line });
    Some(preamble)
}

/// What stands in place of a token.
const MASK: &str = "***";

/// The same line without its token, where it is a preamble that came too late to be one: as an event it would show it.
#[inline(always)]
pub(super) fn masked(line: &[u8]) -> Option<Vec<u8>> {
    // No line of a load balancer begins like this, and no other JSON does either.
    let name = line.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    if matches!(name.first(), Some(b'@' | b'\\')) { without_token(line) } else { None }
}

#[cold]
fn without_token(line: &[u8]) -> Option<Vec<u8>> {
    if line.len() > BYTES_MAX || memchr::memmem::find(line, b"elbow").is_none() {
        return None;
    }
    let mut object: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let only = object.len() == 1;
    let token = object.get_mut("@elbow").filter(|_| only)?.get_mut("token").filter(|token| *token != MASK)?;
    *token = MASK.into();
    Some(Value::Object(object).to_string().into_bytes())
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
    fn a_late_preamble_shows_no_token() {
        for line in
            [r#"{"@elbow":{"line":1,"token":"secret"}}"#, r#"{ "\u0040elbow" : {"token":"other","line":1,"token":"secret"} }"#]
        {
            let masked = masked(line.as_bytes()).expect("there is one");
            assert_eq!(String::from_utf8(masked.clone()).expect("UTF-8"), r#"{"@elbow":{"line":1,"token":"***"}}"#);
            assert_eq!(super::masked(&masked), None, "and no longer");
        }
        for line in [r#"{"@elbow":{"line":1}}"#, r#"{"@elbow":{"token":"x"},"a":1}"#, r#"{"@elbow":5}"#, r#"{"a":"@elbow"}"#] {
            assert_eq!(masked(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn anything_else_is_an_event() {
        for line in [r#"{"@elbow":{},"a":1}"#, r#"{"elbow":{}}"#, r#"[{"@elbow":{}}]"#, r#"{"@elbow":{}"#, "elbow"] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
