//! Checks that a line is JSON and finds the parts of its top level, in one pass and without building anything.
//!
//! It accepts what RFC 8259 allows and nothing else: no comments, no trailing commas, no byte order mark. Numbers are
//! checked for their shape and never read, so neither their size nor their precision matters. An escaped surrogate
//! that stands alone (`"\ud800"`) is accepted, because the grammar allows it and it passes as it came. The only things
//! refused beyond the grammar are nesting deeper than [`DEPTH_MAX`](crate::json::cursor::DEPTH_MAX) and bytes that are not UTF-8.

use std::ops::Range;

use crate::json::cursor::Cursor;
use crate::json::reject::JsonReject;
use crate::json::reject::JsonRejectReason;

/// Most members or elements a [`Scan`] keeps room for between two lines, so that one line of a hundred thousand keys
/// does not hold memory for good.
const ROOM_KEPT: usize = 1024;

/// A part of a chunk, in bytes from the chunk's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The same as a range to index with.
    #[inline(always)]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Callers hold offsets into a chunk that [`Scan::scan`] has found short enough.
    #[inline(always)]
    fn of(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }
}

/// One member of the top-level object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key as written, without its quotes.
    pub key: Span,
    /// The value as written, quotes and brackets included.
    pub value: Span,
    /// The value's first byte, which tells its type.
    pub first: u8,
    /// Whether the key contains a backslash, so that its text is not its name.
    pub key_escaped: bool,
}

/// One element of the top-level array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The element as written.
    pub value: Span,
    /// Its first byte, which tells its type.
    pub first: u8,
}

/// What the top level is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    /// An object: see [`Scan::members`].
    Object,
    /// An array: see [`Scan::elements`].
    Array,
    /// A string, number, `true`, `false` or `null`.
    #[default]
    Scalar,
}

/// The outline of one line. Reuse it: after a few lines it allocates nothing more.
#[derive(Debug, Default)]
pub struct Scan {
    kind: Kind,
    value: Span,
    has_newline: bool,
    members: Vec<Member>,
    elements: Vec<Element>,
}

impl Scan {
    /// An outline of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans the line `chunk[start..end]`; white space around the value is fine.
    ///
    /// Bytes behind `end` are looked at, where the chunk has some, but never count: a line amid its chunk is scanned
    /// faster than one cut out of it.
    ///
    /// # Errors
    /// When the line is no JSON. What the outline holds then is of no use. Where a line is neither JSON nor UTF-8 the
    /// first fault of its JSON is told, so a line with `InvalidUtf8` becomes JSON by repairing its strings.
    ///
    /// # Panics
    /// When `start..end` is no range of the chunk.
    pub fn scan(&mut self, chunk: &[u8], start: usize, end: usize) -> Result<(), JsonReject> {
        self.forget();
        if end > u32::MAX as usize {
            return Err(JsonReject { at: 0, reason: JsonRejectReason::TooLong });
        }
        assert!(start <= end, "a line ends behind its start");
        let mut cursor = Cursor::new(chunk, start, end);
        let fault = |at: usize, reason| JsonReject { at: at - start, reason };
        if let Err(reason) = self.walk(&mut cursor) {
            return Err(fault(cursor.at, reason));
        }
        self.has_newline = cursor.has_newline;
        if cursor.seen_high() {
            std::str::from_utf8(&chunk[start..end])
                .map_err(|error| fault(start + error.valid_up_to(), JsonRejectReason::InvalidUtf8))?;
        }
        Ok(())
    }

    /// Keeps no more memory than an ordinary line needs; the outline is empty afterwards.
    #[inline]
    pub fn forget(&mut self) {
        self.members.clear();
        self.elements.clear();
        if self.members.capacity() > ROOM_KEPT {
            self.members.shrink_to(ROOM_KEPT);
        }
        if self.elements.capacity() > ROOM_KEPT {
            self.elements.shrink_to(ROOM_KEPT);
        }
    }

    #[inline(always)]
    fn walk(&mut self, cursor: &mut Cursor<'_>) -> Result<(), JsonRejectReason> {
        let first = cursor.token()?;
        let start = cursor.at;
        match first {
            b'{' => {
                self.kind = Kind::Object;
                cursor.at = cursor.at.wrapping_add(1);
                walk_object(cursor, &mut self.members)?;
            }
            b'[' => {
                self.kind = Kind::Array;
                cursor.at = cursor.at.wrapping_add(1);
                walk_array(cursor, &mut self.elements)?;
            }
            _ => {
                self.kind = Kind::Scalar;
                cursor.scalar(first)?;
            }
        }
        self.value = Span::of(start, cursor.at);
        match cursor.token() {
            Err(_) => Ok(()),
            Ok(_) => Err(JsonRejectReason::TrailingBytes),
        }
    }

    /// What the line is.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The value itself, without the white space around it.
    #[inline(always)]
    pub fn value(&self) -> Span {
        self.value
    }

    /// The members of an object, in order, duplicates included; nothing for other kinds.
    #[inline(always)]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The elements of an array, in order; nothing for other kinds. One that is an object can be scanned by its range.
    #[inline(always)]
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Whether a raw line feed or carriage return stands somewhere outside of strings; inside it is a fault.
    #[inline(always)]
    pub fn has_newline(&self) -> bool {
        self.has_newline
    }
}

/// Walks an object from behind its `{` to behind its `}`, noting its members.
#[inline(always)]
fn walk_object(cursor: &mut Cursor<'_>, members: &mut Vec<Member>) -> Result<(), JsonRejectReason> {
    if cursor.token()? == b'}' {
        cursor.at = cursor.at.wrapping_add(1);
        return Ok(());
    }
    loop {
        cursor.expect(b'"')?;
        let key_start = cursor.at;
        let key_escaped = cursor.string()?;
        let key = Span::of(key_start, cursor.at.wrapping_sub(1));
        cursor.colon()?;
        let first = cursor.token()?;
        let start = cursor.at;
        cursor.value(first)?;
        members.push(Member { key, value: Span::of(start, cursor.at), first, key_escaped });
        match cursor.token()? {
            b',' => cursor.at = cursor.at.wrapping_add(1),
            b'}' => {
                cursor.at = cursor.at.wrapping_add(1);
                return Ok(());
            }
            _ => return Err(JsonRejectReason::UnexpectedByte),
        }
        cursor.token()?;
    }
}

/// Walks an array from behind its `[` to behind its `]`, noting its elements.
fn walk_array(cursor: &mut Cursor<'_>, elements: &mut Vec<Element>) -> Result<(), JsonRejectReason> {
    if cursor.token()? == b']' {
        cursor.at = cursor.at.wrapping_add(1);
        return Ok(());
    }
    loop {
        let first = cursor.token()?;
        let start = cursor.at;
        cursor.value(first)?;
        elements.push(Element { value: Span::of(start, cursor.at), first });
        match cursor.token()? {
            b',' => cursor.at = cursor.at.wrapping_add(1),
            b']' => {
                cursor.at = cursor.at.wrapping_add(1);
                return Ok(());
            }
            _ => return Err(JsonRejectReason::UnexpectedByte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    fn scan(text: &[u8]) -> Result<Scan, JsonReject> {
        let mut scan = Scan::new();
        scan.scan(text, 0, text.len()).map(|()| scan)
    }

    #[track_caller]
    fn check_reject(text: impl AsRef<[u8]>, at: usize, reason: JsonRejectReason) {
        let text = text.as_ref();
        assert_eq!(scan(text).err(), Some(JsonReject { at, reason }), "{}", text.escape_ascii());
    }

    #[track_caller]
    fn check_kind(text: &str, kind: Kind) {
        assert_eq!(scan(text.as_bytes()).map(|scan| scan.kind()), Ok(kind), "{text}");
    }

    #[test]
    fn members_are_found_where_they_stand() {
        let text = "  {\"a\" : 1 ,\"\\u0062\":{\"x\":[]},\"\":\"}\" } \r\n";
        let scan = scan(text.as_bytes()).expect("JSON");
        assert_eq!(scan.kind(), Kind::Object);
        assert_eq!(&text[scan.value().range()], text.trim());
        assert!(scan.has_newline());
        let members: Vec<_> = scan
            .members()
            .iter()
            .map(|member| (&text[member.key.range()], &text[member.value.range()], member.first, member.key_escaped))
            .collect();
        assert_eq!(members, [("a", "1", b'1', false), ("\\u0062", "{\"x\":[]}", b'{', true), ("", "\"}\"", b'"', false)]);
    }

    #[test]
    fn elements_can_be_scanned_on_their_own() {
        let text = b"[ {\"a\":1}, 7 ,\n[\"x\"],{}]";
        let mut outline = scan(text).expect("JSON");
        assert_eq!(outline.kind(), Kind::Array);
        let elements = outline.elements().to_vec();
        let texts: Vec<_> = elements.iter().map(|element| (&text[element.value.range()], element.first)).collect();
        assert_eq!(texts, [(&b"{\"a\":1}"[..], b'{'), (b"7", b'7'), (b"[\"x\"]", b'['), (b"{}", b'{')]);
        let first = elements[0].value.range();
        outline.scan(text, first.start, first.end).expect("an element is JSON");
        assert_eq!(&text[outline.members()[0].key.range()], b"a");
        assert!(!outline.has_newline());
        assert!(outline.elements().is_empty());
    }

    #[test]
    fn a_line_of_very_many_parts_leaves_little_behind() {
        for line in [format!("[{}0]", "0,".repeat(100_000)), format!("{{{}\"\":0}}", "\"\":0,".repeat(100_000))] {
            let mut scan = scan(line.as_bytes()).expect("JSON");
            scan.forget();
            assert!(scan.members.capacity() <= ROOM_KEPT && scan.elements.capacity() <= ROOM_KEPT);
        }
    }

    #[test]
    fn kinds() {
        check_kind("{}", Kind::Object);
        check_kind("[\t]", Kind::Array);
        for scalar in ["null", " true ", "false", "0", "-0.0e-0", "1e400", "12345678901234567890123", "\"\"", r#""\ud800""#] {
            check_kind(scalar, Kind::Scalar);
        }
        check_kind(&format!("[{}]", "9".repeat(2_000_000)), Kind::Array);
        check_kind("{\"a\":1,\"a\":2}", Kind::Object);
        check_kind("\"\u{7f}\u{2028}ü\u{1f980}\"", Kind::Scalar);
    }

    #[test]
    fn rejects_say_where_and_why() {
        use JsonRejectReason::*;
        for text in [
            "",
            " ",
            "{",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "[",
            "[1,",
            "\"\\",
            "\"\\u12",
            "-",
            "1.",
            "1e",
            "1e+",
            "tru",
        ] {
            check_reject(text, text.len(), UnexpectedEnd);
        }
        check_reject("{a:1}", 1, UnexpectedByte);
        check_reject("{\"a\":1,}", 7, UnexpectedByte);
        check_reject("{\"a\" 1}", 5, UnexpectedByte);
        check_reject("{\"a\":1 \"b\"}", 7, UnexpectedByte);
        check_reject("{\"a\":{\"b\":1]}", 11, UnexpectedByte);
        check_reject("[1,]", 3, UnexpectedByte);
        check_reject("[1}", 2, UnexpectedByte);
        check_reject("[[1}]", 3, UnexpectedByte);
        check_reject("[[,1]]", 2, UnexpectedByte);
        check_reject("[{,}]", 2, UnexpectedByte);
        check_reject("trux", 3, UnexpectedByte);
        check_reject("NaN", 0, UnexpectedByte);
        check_reject("\u{feff}{}", 0, UnexpectedByte);
        check_reject("[1,\u{0b}2]", 3, UnexpectedByte);
        check_reject("{\"a\":1}{\"b\":2}", 7, TrailingBytes);
        check_reject("{} x", 3, TrailingBytes);
        check_reject("1 2", 2, TrailingBytes);
        check_reject("\"\\x\"", 2, InvalidEscape);
        check_reject("\"\\u12g4\"", 5, InvalidEscape);
        check_reject("\"a\nb\"", 2, ControlCharacter);
        check_reject("\"a\0b\"", 2, ControlCharacter);
        check_reject("01", 1, InvalidNumber);
        check_reject("-x", 1, InvalidNumber);
        check_reject("[1.]", 3, InvalidNumber);
        check_reject("[1e]", 3, InvalidNumber);
        check_reject("[.5]", 1, UnexpectedByte);
        check_reject(b"{\"a\":\"x\xffy\"}", 7, InvalidUtf8);
        check_reject(b"{\"a\":\"\xed\xa0\x80\"}", 6, InvalidUtf8);
        check_reject(b"{\"a\":\"x\xff\n\"}", 8, ControlCharacter);
        check_reject(b"\xff", 0, UnexpectedByte);
    }

    #[test]
    fn depth_has_a_limit_at_the_same_place_for_both_brackets() {
        let nest = |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
        check_kind(&nest("[", "]", 64), Kind::Array);
        check_kind(&format!("{}{{}}{}", "{\"a\":".repeat(63), "}".repeat(63)), Kind::Object);
        check_reject(nest("[", "]", 65), 64, JsonRejectReason::TooDeep);
        check_reject(format!("{}{{}}{}", "{\"a\":".repeat(64), "}".repeat(64)), 320, JsonRejectReason::TooDeep);
        check_reject("[".repeat(100_000), 64, JsonRejectReason::TooDeep);
        check_kind(&format!("[{}]", [nest("[", "]", 63), nest("[", "]", 63)].join(",")), Kind::Array);
    }

    #[test]
    fn room_for_a_huge_line_is_given_back() {
        let huge = format!("[{}0]", "0,".repeat(100_000));
        let mut outline = scan(huge.as_bytes()).expect("JSON");
        assert_eq!(outline.elements().len(), 100_001);
        outline.scan(b"{}", 0, 2).expect("JSON");
        assert!(outline.elements.capacity() < 2 * ROOM_KEPT);
    }

    #[test]
    fn faults_are_told_in_one_word_each() {
        let reject = JsonReject { at: 3, reason: JsonRejectReason::TooDeep };
        assert_eq!(reject.to_string(), "too_deep at byte 3");
    }

    /// JSON text with white space in every place it may stand.
    fn json_text() -> impl Strategy<Value = String> {
        let space = || prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\n"), 1 => Just("\t\r\n ")];
        let string = prop_oneof!["[a-z@_]{0,20}", ".{0,40}", Just("\u{1}\u{1f}\"\\/".to_owned())]
            .prop_map(|text| serde_json::to_string(&text).expect("text is JSON"));
        let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
        let leaf = prop_oneof![
            string.clone(),
            number,
            Just("true".to_owned()),
            Just("false".to_owned()),
            Just("null".to_owned()),
            Just(r#""\ud800\u0041\/""#.to_owned()),
        ];
        let spaced =
            move |inner: BoxedStrategy<String>| (space(), inner, space()).prop_map(|(a, text, b)| format!("{a}{text}{b}"));
        leaf.prop_recursive(4, 40, 6, move |inner| {
            let value = spaced(inner.boxed()).boxed();
            let key = spaced(string.clone().boxed());
            let member = (key, value.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
            prop_oneof![
                proptest::collection::vec(value, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
                proptest::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
            ]
        })
    }

    /// What another reader thinks; it does not look at the text of strings it ignores.
    fn is_json(text: &[u8]) -> bool {
        std::str::from_utf8(text).is_ok() && serde_json::from_slice::<IgnoredAny>(text).is_ok()
    }

    fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
        match scan(text) {
            Ok(_) => prop_assert!(is_json(text)),
            Err(JsonReject { reason: JsonRejectReason::TooDeep, .. }) => {}
            Err(reject) => {
                prop_assert!(!is_json(text), "{reject}");
                prop_assert!(reject.at <= text.len());
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn any_bytes_are_json_or_rejected(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            agrees(&text)?;
        }

        #[test]
        fn any_soup_of_tokens_is_judged_as_another_reader_does(text in "[\\[\\]{}:,\"0-9eE.+\\-tnul \\\\]{0,24}") {
            agrees(text.as_bytes())?;
        }

        #[test]
        fn json_is_accepted_and_changed_json_is_judged_as_another_reader_does(
            text in json_text(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\\')], 0u8..3), 0..3),
        ) {
            prop_assert!(scan(text.as_bytes()).is_ok());
            let mut text = text.into_bytes();
            for (place, byte, how) in changes {
                let place = place.index(text.len().max(1));
                match how {
                    _ if text.is_empty() => text.push(byte),
                    0 => text[place] = byte,
                    1 => text.insert(place, byte),
                    _ => { text.remove(place); }
                }
            }
            agrees(&text)?;
        }

        #[test]
        fn what_stands_around_a_line_does_not_matter(
            text in prop_oneof![json_text().prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..80)],
            before in proptest::collection::vec(any::<u8>(), 0..40),
            behind in proptest::collection::vec(any::<u8>(), 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let text = &text[..text.len() - cut.index(text.len() + 1) / 4];
            let chunk = [&before, text, &behind].concat();
            let (start, end) = (before.len(), before.len() + text.len());
            let (mut amid, mut alone) = (Scan::new(), Scan::new());
            let results = (amid.scan(&chunk, start, end), alone.scan(text, 0, text.len()));
            prop_assert_eq!(results.0, results.1);
            if results.0.is_ok() {
                prop_assert_eq!(amid.kind(), alone.kind());
                prop_assert_eq!(amid.has_newline(), alone.has_newline());
                prop_assert_eq!(&chunk[amid.value().range()], &text[alone.value().range()]);
                prop_assert_eq!(amid.members().len(), alone.members().len());
                for (one, other) in amid.members().iter().zip(alone.members()) {
                    prop_assert_eq!(&chunk[one.key.range()], &text[other.key.range()]);
                    prop_assert_eq!(&chunk[one.value.range()], &text[other.value.range()]);
                }
                let elements = |scan: &Scan, of: &[u8]| scan.elements().iter().map(|element| of[element.value.range()].to_vec()).collect::<Vec<_>>();
                prop_assert_eq!(elements(&amid, &chunk), elements(&alone, text));
            }
        }
    }
}
