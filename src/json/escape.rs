//! Reads the text of JSON strings that contain escapes, piece by piece and into room the caller lends.
//!
//! Takes only strings that a scan has found valid. Half of a surrogate pair without the other reads as U+FFFD, because
//! there is no text for it.

use std::char::decode_utf16;

/// The inside of a JSON string, escapes resolved, in `room`; `None` when it is longer than that.
pub fn unescape<'a>(inside: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    let mut at = 0;
    let mut small = [0; 4];
    while at < inside.len() {
        let piece = next_piece(inside, &mut at, &mut small);
        let end = length + piece.len();
        room.get_mut(length..end)?.copy_from_slice(piece);
        length = end;
    }
    Some(&room[..length])
}

/// The next run without an escape, or the text of the next escape. Goes behind it.
fn next_piece<'a>(inside: &'a [u8], at: &mut usize, room: &'a mut [u8; 4]) -> &'a [u8] {
    let rest = &inside[*at..];
    let clean = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
    if clean > 0 {
        *at += clean;
        return &rest[..clean];
    }
    let letter = rest.get(1).copied().unwrap_or(b'\\');
    if letter == b'u' {
        return unicode(rest, at, room);
    }
    *at += 2;
    room[0] = match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    };
    &room[..1]
}

/// The text of `\uXXXX`, or of two of them that are a surrogate pair.
fn unicode<'a>(rest: &[u8], at: &mut usize, room: &'a mut [u8; 4]) -> &'a [u8] {
    let units = [hex_unit(rest), hex_unit(rest.get(6..).unwrap_or(&[]))];
    let first = decode_utf16(units.into_iter().map_while(|unit| unit)).next();
    let letter = first.and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER);
    *at += letter.len_utf16() * 6;
    letter.encode_utf8(room).as_bytes()
}

/// The code unit of a `\uXXXX` at the start of a text.
fn hex_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(inside: &str, want: &str) {
        let mut room = [0; 64];
        assert_eq!(unescape(inside.as_bytes(), &mut room), Some(want.as_bytes()), "{inside}");
    }

    #[test]
    fn escapes_are_resolved() {
        check("", "");
        check("tags", "tags");
        check(r"\u0074ags", "tags");
        check(r"t\u0061g\u0073", "tags");
        check(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t");
        check(r"\ud83e\udd80!", "\u{1f980}!");
        check(r"\ud83ex", "\u{fffd}x");
        check(r"\udd80\ud83e\udd80", "\u{fffd}\u{1f980}");
        check(r"ü\u00FC", "üü");
    }

    #[test]
    fn a_text_longer_than_the_room_is_none() {
        assert_eq!(unescape(b"12345", &mut [0; 4]), None);
        assert_eq!(unescape(br"123\u00e4", &mut [0; 4]), None);
        assert_eq!(unescape(br"12\u00e4", &mut [0; 4]), Some("12\u{e4}".as_bytes()));
    }

    proptest::proptest! {
        #[test]
        fn any_escaped_text_reads_as_another_reader_has_it(text in ".{0,30}", ascii in proptest::bool::ANY) {
            let mut quoted = serde_json::to_string(&text).expect("text is JSON");
            if ascii {
                quoted = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                quoted = format!("\"{quoted}\"");
            }
            let inside = &quoted.as_bytes()[1..quoted.len() - 1];
            let mut room = [0; 200];
            proptest::prop_assert_eq!(unescape(inside, &mut room), Some(text.as_bytes()));
        }
    }
}
