//! A line is taken as JSON exactly where serde_json takes it, and nothing of its members is changed or lost on the way.
//!
//! The first byte chooses how many bytes at either end of the chunk are outside the line, the second what is added; the
//! rest is the chunk.

use elbow::batch::BatchBuilder;
use elbow::batch::EventId;
use elbow::enrich::fields::Fields;
use elbow::json::envelope::Envelope;
use elbow::json::envelope::Received;
use elbow::json::envelope::Tag;
use elbow::json::envelope::Tags;
use elbow::json::reject::JsonRejectReason;
use elbow::json::scan::Kind;
use elbow::json::scan::Scan;
use elbow::json::splice::pass;
use elbow::json::splice::splice;
use serde::de::IgnoredAny;

use super::tree;

/// The name a key has; `None` where an escape in it is half a character.
fn name(key: &[u8]) -> Option<String> {
    serde_json::from_slice(key).ok()
}

/// A value as it stands in a document: line breaks, which can only be between tokens, are spaces there.
fn on_one_line(value: &[u8]) -> Vec<u8> {
    value.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect()
}

fn is_json(text: &[u8]) -> bool {
    // A lone surrogate in an escape is JSON by its grammar, though no text: it is passed on and not decoded here.
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn check_object(scan: &Scan, chunk: &[u8], line: &[u8], choice: u8) {
    let mut tags = Tags::NONE;
    for (at, tag) in Tag::ALL.into_iter().enumerate().filter(|(at, _)| choice & 3 == 1 || choice & 3 == 2 && at % 2 == 0) {
        assert!(at < Tag::ALL.len());
        tags = tags.with(tag);
    }
    let pairs: [(&str, serde_json::Value); 4] =
        [("Environment", "ci".into()), ("a", serde_json::json!({"b": [1, null]})), ("tags", "own".into()), ("é\"", 7.into())];
    let taken = usize::from(choice >> 2 & 7).min(pairs.len());
    let fields = Fields::from_pairs(pairs.into_iter().take(taken).map(|(name, value)| (name.to_owned(), value)));
    let fields = fields.expect("the fields are good");
    let envelope = Envelope { received: Received::at(1_700_000_000_123_456), id: EventId([0xab; 16]) };
    let mut out = BatchBuilder::default();
    let spliced = splice(scan, chunk, &envelope, &fields, tags, &mut out);
    let document = out.documents();
    assert!(document.starts_with(b"{") && document.ends_with(b"}\n"));
    assert!(!document[..document.len() - 1].contains(&b'\n') && is_json(document));

    let own = tree::members(line).expect("the line is an object");
    let all = tree::members(document).expect("the document is an object");
    assert!(own.len() <= all.len());
    let mut names = Vec::new();
    let last_tags = own.iter().rposition(|(key, _)| name(&line[key.clone()]).as_deref() == Some("tags"));
    for (at, ((key, value), (new_key, new_value))) in own.iter().zip(&all).enumerate() {
        let (key, value) = (&line[key.clone()], on_one_line(&line[value.clone()]));
        let (new_key, new_value) = (&document[new_key.clone()], &document[new_value.clone()]);
        let is_time = name(key).as_deref() == Some("@timestamp");
        if is_time && spliced.timestamp_renamed {
            assert_eq!(name(new_key).as_deref(), Some("_@timestamp"));
        } else {
            assert_eq!(key, new_key);
            names.push(name(key));
        }
        if last_tags == Some(at) && value != new_value {
            let inside = value.strip_prefix(b"[").map_or(&value[..], |value| &value[..value.len() - 1]);
            assert!(new_value.strip_prefix(b"[").is_some_and(|new| new.starts_with(inside)));
        } else {
            assert_eq!(value, new_value);
        }
    }
    for (key, _) in &all[own.len()..] {
        let name = name(&document[key.clone()]);
        assert!(name.is_some() && !names.contains(&name), "{name:?} is there already");
        names.push(name);
    }
    for needed in ["@timestamp", "@version", "event.id"].into_iter().chain(fields.iter().map(|field| field.name())) {
        assert!(names.contains(&Some(needed.to_owned())), "{needed}");
    }

    let mut out = BatchBuilder::default();
    let _ = pass(scan, chunk, 0, &mut out);
    assert_eq!(out.documents().strip_suffix(b"\n"), Some(&on_one_line(line.trim_ascii())[..]));
}

pub(crate) fn check(input: &[u8]) {
    let [around, choice, chunk @ ..] = input else { return };
    let start = usize::from(*around & 15).min(chunk.len());
    let end = chunk.len().saturating_sub(usize::from(*around >> 4)).max(start);
    let line = &chunk[start..end];
    let mut scan = Scan::new();
    let scanned = scan.scan(chunk, start, end);
    let kind = scan.kind();
    let mut alone = Scan::new();
    assert_eq!(alone.scan(line, 0, line.len()), scanned, "what stands around a line does not matter");
    match scanned {
        Ok(()) => {
            assert!(is_json(line));
            let bracket = line.trim_ascii_start()[0];
            assert_eq!(kind == Kind::Object, bracket == b'{');
            assert_eq!(kind == Kind::Array, bracket == b'[');
            if kind == Kind::Object {
                check_object(&scan, chunk, line, *choice);
            }
        }
        Err(reject) => {
            assert!(reject.at <= line.len());
            assert!(reject.reason == JsonRejectReason::TooDeep || !is_json(line), "{reject}");
        }
    }
}
