//! Members text: zero or more JSON members, each behind a comma, `,"name":value,"name":{..}`, as the steps here yield it.
//!
//! Appends to a buffer that the caller owns. It refuses raw newlines, because everything inside a string is escaped, and
//! texts so long that an event would be mostly them.

use std::borrow::Cow;

/// Most bytes of one text taken from a database or found in a user agent, once escaped; longer ones are left out.
///
/// The longest name of an autonomous system's holder in the registries has about 100.
pub const TEXT_BYTES_MAX: usize = 256;

/// Bytes looked at in one go for one that must be escaped.
const BLOCK: usize = 32;

/// Appends `,"name":"text"`.
pub(crate) fn put_text(out: &mut Vec<u8>, name: &str, text: &str) {
    put_name(out, name);
    out.push(b'"');
    put_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Appends `,"name":"text"`, or nothing where the text is empty or longer than [`TEXT_BYTES_MAX`].
pub(crate) fn put_short_text(out: &mut Vec<u8>, name: &str, text: &str) {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return;
    }
    let start = out.len();
    put_name(out, name);
    let inside = out.len() + 1;
    out.push(b'"');
    put_escaped(out, text.as_bytes());
    if out.len() - inside > TEXT_BYTES_MAX {
        out.truncate(start);
        return;
    }
    out.push(b'"');
}

/// Appends `,"name":`, escaped.
pub(crate) fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    put_escaped(out, name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends `,"name":{..}` with the members that `inside` appends, or nothing where it appends none.
pub(crate) fn put_object(out: &mut Vec<u8>, name: &str, inside: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put_name(out, name);
    let open = out.len();
    inside(out);
    if out.len() == open {
        out.truncate(start);
        return;
    }
    // The first member's comma becomes the brace.
    out[open] = b'{';
    out.push(b'}');
}

/// The text of some bytes, with U+FFFD in place of what is no UTF-8.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Appends valid UTF-8 as the inside of a JSON string.
pub(crate) fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let clean = clean_prefix(rest);
        out.extend_from_slice(&rest[..clean]);
        let Some(byte) = rest.get(clean) else { return };
        put_escape(out, *byte);
        rest = &rest[clean + 1..];
    }
}

/// How many bytes at the start of a text need no escape.
///
/// Whole blocks are judged without looking where in them the odd byte is, which the compiler does with wide registers.
fn clean_prefix(text: &[u8]) -> usize {
    let odd = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let clean =
        text.chunks_exact(BLOCK).take_while(|block| !block.iter().fold(false, |any, byte| any | odd(byte))).count() * BLOCK;
    clean + text[clean..].iter().position(odd).unwrap_or(text.len() - clean)
}

fn put_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
    }
}

/// What members text says, for the tests of every step: an object of one member before it and nothing behind it.
#[cfg(test)]
#[track_caller]
pub(crate) fn parsed(members: &[u8]) -> serde_json::Map<String, serde_json::Value> {
    assert!(!members.contains(&b'\n') && !members.contains(&b'\r'), "members text has no raw newline");
    assert!(members.is_empty() || members[0] == b',', "every member stands behind a comma");
    // A name longer than those that are drawn.
    let text = [b"{\"what stands before the members\":0", members, b"}"].concat();
    let mut map: serde_json::Map<_, _> = serde_json::from_slice(&text).expect("members text is JSON");
    assert!(map.remove("what stands before the members").is_some(), "the member before is still there");
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_without_members_are_left_out() {
        let mut out = Vec::new();
        put_object(&mut out, "os", |_| {});
        assert_eq!(out, b"");
        put_object(&mut out, "os", |out| {
            put_text(out, "a", "1");
            put_object(out, "deep", |out| put_text(out, "b", "2"));
        });
        assert_eq!(out, br#","os":{"a":"1","deep":{"b":"2"}}"#);
    }

    #[test]
    fn texts_that_are_empty_or_too_long_are_left_out() {
        #[track_caller]
        fn check(text: &str, kept: bool) {
            let mut out = b"before".to_vec();
            put_short_text(&mut out, "n", text);
            assert_eq!(out.len() > 6, kept, "{text:?}");
        }
        check("", false);
        check("a", true);
        check(&"a".repeat(TEXT_BYTES_MAX), true);
        check(&"a".repeat(TEXT_BYTES_MAX + 1), false);
        check(&"\"".repeat(TEXT_BYTES_MAX / 2), true);
        check(&"\"".repeat(TEXT_BYTES_MAX / 2 + 1), false);
        check(&"\u{1}".repeat(100), false);
    }

    proptest::proptest! {
        #[test]
        fn any_name_and_text_come_back(name in "(?s).{0,20}", text in "(?s).{0,100}", odd in "[\"\\\\\\x00-\\x1fa]{0,80}") {
            let mut out = Vec::new();
            put_text(&mut out, &name, &text);
            put_object(&mut out, "an object behind the member", |out| put_text(out, &text, &odd));
            let mut want = json!({ name: text.clone() });
            want["an object behind the member"] = json!({ text: odd });
            let got = parsed(&out);
            proptest::prop_assert_eq!(serde_json::Value::Object(got), want);
        }
    }
}
