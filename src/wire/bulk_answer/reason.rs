//! What a server says of an error, made fit to be shown.
//!
//! Servers quote what they refuse, and what they refuse may be secret. It removes the quotations whose form is known and
//! whatever `redact` finds, and bounds what is left. It does not promise that a form nobody has written down is removed.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::LazyLock;

use crate::json::escape::unescape;
use crate::json::scan::Member;
use crate::json::scan::Scan;
use crate::redact;
use crate::redact::Redactor;
use crate::redact::Replacement;

/// Most characters of a reason that is shown.
pub const REASON_CHARS_MAX: usize = 300;

/// Most characters of a kind of error that is shown; Elasticsearch's longest today has 55.
const TYPE_CHARS_MAX: usize = 100;

/// Stands where a value stood.
const REMOVED: &str = "…";

/// An error of a whole request, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReason {
    /// The kind of error, where the server has a word for it.
    pub error_type: Option<String>,
    /// What it says of it.
    pub reason: Option<String>,
}

/// What is said in an answer that is an error as a whole; none where nothing in it is known to be that.
///
/// Knows the object of Elasticsearch and OpenSearch, the text both give in its place now and then, the message of Amazon's
/// service, and the plain text of OpenSearch's security plugin. A page in HTML is none of them.
pub fn error_reason(body: &[u8]) -> Option<ErrorReason> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let (error_type, reason) = match text.as_bytes().first()? {
        b'{' => in_object(text.as_bytes())?,
        // A page, a value of another kind, or something that has been cut.
        b'<' | b'[' | b'"' => return None,
        _ => (None, Some(Cow::Borrowed(text))),
    };
    let error_type = error_type.map(|word| clean_type(&word));
    let reason = reason.map(|reason| clean_reason(&reason));
    (error_type.is_some() || reason.is_some()).then_some(ErrorReason { error_type, reason })
}

/// The kind of an error and the reason.
type Pair<'a> = (Option<Cow<'a, str>>, Option<Cow<'a, str>>);

/// What an answer that is an object says of an error; none where it is not whole JSON.
fn in_object(text: &[u8]) -> Option<Pair<'_>> {
    let mut scan = Scan::new();
    scan.scan(text, 0, text.len()).ok()?;
    let member = |name| value_of(&scan, text, name);
    Some(match member("error") {
        Some(error) => type_and_reason(error),
        None => (None, member("message").or_else(|| member("Message")).and_then(text_of)),
    })
}

/// The kind and the reason of an error: of an object, or of the text that old servers give in its place.
pub(super) fn type_and_reason(error: &[u8]) -> Pair<'_> {
    let mut scan = Scan::new();
    if error.first() != Some(&b'{') {
        return (None, text_of(error));
    }
    if scan.scan(error, 0, error.len()).is_err() {
        return (None, None);
    }
    let text = |name| value_of(&scan, error, name).and_then(text_of);
    let reason = text("reason").map(|reason| match value_of(&scan, error, "caused_by").map(type_and_reason) {
        // That is all that some versions say of many mistakes.
        Some((_, Some(cause))) if reason.ends_with("failed to parse") => Cow::Owned(format!("{reason}: {cause}")),
        _ => reason,
    });
    (text("type"), reason)
}

/// The value of an object's first member of this name, as it is written.
fn value_of<'a>(scan: &Scan, object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let is_named = |member: &&Member| read(&object[member.key.range()]) == name;
    scan.members().iter().find(is_named).map(|member| &object[member.value.range()])
}

/// What a value says that is a text, if that is anything.
fn text_of(value: &[u8]) -> Option<Cow<'_, str>> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(read(inside)).filter(|text| !text.is_empty())
}

/// The inside of a JSON string, escapes resolved.
fn read(inside: &[u8]) -> Cow<'_, str> {
    if !inside.contains(&b'\\') {
        return String::from_utf8_lossy(inside);
    }
    // No escape is shorter than what it stands for.
    let mut room = vec![0; inside.len()];
    let text = unescape(inside, &mut room).unwrap_or_default();
    Cow::Owned(String::from_utf8_lossy(text).into_owned())
}

/// How a value from a document is quoted in a reason.
struct Quotation {
    before: &'static str,
    /// What may stand behind it; the value reaches to the text's end where none of that does.
    behind: &'static [&'static str],
    /// Whether it is one only if both are there, because what stands before is common.
    needs_both: bool,
}

const fn after(before: &'static str) -> Quotation {
    Quotation { before, behind: &[], needs_both: false }
}

const fn between(before: &'static str, behind: &'static [&'static str]) -> Quotation {
    Quotation { before, behind, needs_both: false }
}

const fn around(before: &'static str, behind: &'static [&'static str]) -> Quotation {
    Quotation { before, behind, needs_both: true }
}

/// The forms in which values from documents are known to be quoted, and the class that does it. Values may hold anything, also
/// what stands behind them, so that each reaches to the last place where that stands.
const QUOTATIONS: &[Quotation] = &[
    // FieldMapper, Elasticsearch since 7.0 and OpenSearch: "failed to parse field [..] of type [..] in document with id '..'."
    after("Preview of field's value: "),
    // Lucene's indexing chain: the first bytes of a term over 32,766 bytes, as numbers.
    between("The prefix of the first immense term is: ", &[", original message: "]),
    // JavaDateFormatter.
    between("failed to parse date field [", &["] with format ["]),
    // java.time.format.DateTimeFormatter.
    around("Text '", &["' could not be parsed"]),
    // java.lang.NumberFormatException.
    after("For input string: "),
    // NumberFieldMapper and AbstractXContentParser; Jackson's ParserBase.
    between("Value [", &["] is out of range for ", "] has a decimal part"]),
    between("Value \"", &["\" has a decimal part"]),
    around("Numeric value (", &[") out of range of "]),
    between("supports only finite values, but got [", &["]"]),
    // InetAddresses.
    around("'", &["' is not an IP string literal"]),
    // Booleans.
    between("Failed to parse value [", &["] as only [true] or [false] are allowed"]),
    // ConstantKeywordFieldMapper, the second value; the first is the mapping's.
    between("defined in the mappings [", &["]"]),
    between(", but got [", &["]"]),
    // GeoPoint and GeoUtils, Geohash.
    between("illegal latitude value [", &["]"]),
    between("illegal longitude value [", &["]"]),
    between("unsupported symbol [", &["]"]),
    // DataStreamTimestampFieldMapper and TsdbIndex: the document's time.
    between("the document timestamp [", &["] is outside of ranges"]),
    // Jackson, where the request may be repeated as a whole, and Elasticsearch's own note of the place.
    between("Unrecognized token '", &["': was expecting"]),
    between("[Source: ", &["; line: "]),
];

/// A server's reason without what is known to be from documents, without secrets in what is like a URL, without control
/// characters, and no longer than [`REASON_CHARS_MAX`] characters.
///
/// A few passes over the text.
pub fn clean_reason(reason: &str) -> String {
    cleaned(reason, REASON_CHARS_MAX)
}

/// A kind of error in the same way.
pub fn clean_type(kind: &str) -> String {
    cleaned(kind, TYPE_CHARS_MAX)
}

fn cleaned(reason: &str, chars_max: usize) -> String {
    let mut text = Cow::Borrowed(reason);
    for quotation in QUOTATIONS {
        if let Some((start, end)) = quotation.find(&text) {
            text.to_mut().replace_range(start..end, REMOVED);
        }
    }
    bounded(&redacted(&text), chars_max)
}

impl Quotation {
    /// Where the value stands.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        let start = text.find(self.before)? + self.before.len();
        match self.behind.iter().filter_map(|behind| text[start..].rfind(behind)).max() {
            Some(length) => Some((start, start + length)),
            None if self.needs_both => None,
            None => Some((start, text.len())),
        }
    }
}

fn redacted(text: &str) -> Cow<'_, str> {
    static REDACTOR: LazyLock<Redactor> =
        LazyLock::new(|| Redactor::new(Replacement::Mask, &[]).expect("there is no extra name that could be wrong"));
    let mut found = Vec::new();
    REDACTOR.find(text.as_bytes(), 0, text.len(), &mut found);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    redact::apply(&REDACTOR, text.as_bytes(), 0, text.len(), &found, &mut out, |_, _| {});
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The text on one line, and cut behind so many characters.
fn bounded(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut left = chars_max;
    for letter in text.chars() {
        let before = out.len();
        if is_invisible(letter) {
            write!(out, "{}", letter.escape_default()).expect("memory takes everything");
        } else {
            out.push(letter);
        }
        let chars = out[before..].chars().count();
        if chars > left {
            out.truncate(before);
            return with_ellipsis(out, left);
        }
        left -= chars;
    }
    out
}

/// Says that something is missing, in the place of the last character if there is no other.
fn with_ellipsis(mut out: String, left: usize) -> String {
    if left == 0 {
        out.pop();
    }
    out.push('…');
    out
}

/// Whether a character moves the cursor or changes the direction of what stands around it: controls, Unicode's line ends, and
/// the formatting characters of its bidirectional algorithm.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(reason: &str, clean: &str) {
        assert_eq!(clean_reason(reason), clean);
    }

    #[test]
    fn values_from_documents_are_removed() {
        for (reason, clean) in [
            (
                "failed to parse field [status] of type [long] in document with id 'a1'. Preview of field's value: 'hunter2'. x'",
                "failed to parse field [status] of type [long] in document with id 'a1'. Preview of field's value: …",
            ),
            (
                "failed to parse date field [hunter2] with format [x] with format [strict_date_optional_time||epoch_millis]",
                "failed to parse date field […] with format [strict_date_optional_time||epoch_millis]",
            ),
            ("failed to parse date field [hunter2", "failed to parse date field […"),
            ("For input string: \"hunter2\"", "For input string: …"),
            ("Text 'hunter2' could not be parsed at index 3", "Text '…' could not be parsed at index 3"),
            ("Value [hunter2] is out of range for a byte", "Value […] is out of range for a byte"),
            ("Value [1.5] has a decimal part", "Value […] has a decimal part"),
            ("Value [hunter2", "Value […"),
            ("Numeric value (123456) out of range of int", "Numeric value (…) out of range of int"),
            ("'hunter2' is not an IP string literal.", "'…' is not an IP string literal."),
            (
                "Failed to parse value [hunter2] as only [true] or [false] are allowed.",
                "Failed to parse value […] as only [true] or [false] are allowed.",
            ),
            ("[half_float] supports only finite values, but got [NaN]", "[half_float] supports only finite values, but got […]"),
            (
                "immense term in field=\"m\". The prefix of the first immense term is: '[104, 117]...', original message: bytes",
                "immense term in field=\"m\". The prefix of the first immense term is: …, original message: bytes",
            ),
            (
                "Unrecognized token 'hunter2': was expecting (JSON String)\n at [Source: (byte[])\"{hunter2\"; line: 1, column: 9]",
                "Unrecognized token '…': was expecting (JSON String)\\n at [Source: …; line: 1, column: 9]",
            ),
        ] {
            check(reason, clean);
        }
    }

    #[test]
    fn what_helps_to_mend_it_is_kept() {
        for reason in [
            "no such index [logs-elb]",
            "Limit of total fields [1000] has been exceeded while adding new field [x]",
            "object mapping for [a.b] tried to parse field [b] as object, but found a concrete value",
            "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];",
            "action [indices:data/write/bulk[s]] is unauthorized for user [elbow] on indices [logs]",
        ] {
            check(reason, reason);
        }
    }

    #[test]
    fn secrets_in_urls_are_redacted() {
        check(
            "cannot reach https://elastic:hunter2@es:9200/?token=hunter2",
            "cannot reach https://REDACTED@es:9200/?token=REDACTED",
        );
    }

    #[test]
    fn it_is_one_line_of_bounded_length() {
        check("a\r\n\u{1b}[2Jb\u{202e}c\u{85}", "a\\r\\n\\u{1b}[2Jb\\u{202e}c\\u{85}");
        check(&"ü".repeat(300), &"ü".repeat(300));
        check(&"ü".repeat(301), &format!("{}…", "ü".repeat(299)));
        check("", "");
    }

    proptest! {
        #[test]
        fn any_reason_becomes_short_and_plain(reason in "\\PC{0,20}[\\x00-\\x20]{0,200}\\PC{0,400}") {
            let clean = clean_reason(&reason);
            prop_assert!(clean.chars().count() <= REASON_CHARS_MAX);
            prop_assert!(!clean.chars().any(char::is_control));
        }

        #[test]
        fn a_value_in_a_known_quotation_is_never_shown(which in 0..QUOTATIONS.len(), end in 0..4usize, tail in "[ -~]{0,30}") {
            let Quotation { before, behind, .. } = &QUOTATIONS[which];
            let behind = behind.get(end % behind.len().max(1)).unwrap_or(&"");
            let clean = clean_reason(&format!("a {before}hunter2{tail}{behind} b"));
            prop_assert!(!clean.contains("hunter2"), "{}", clean);
        }
    }

    #[track_caller]
    fn check_error(body: &str, error_type: Option<&str>, reason: Option<&str>) {
        let got = error_reason(body.as_bytes());
        let want = ErrorReason { error_type: error_type.map(str::to_owned), reason: reason.map(str::to_owned) };
        assert_eq!(got, (want.error_type.is_some() || want.reason.is_some()).then_some(want), "{body}");
    }

    #[test]
    fn errors_of_whole_requests_are_read() {
        let (kind, reason) = (Some("security_exception"), Some("missing authentication credentials for REST request [/_bulk]"));
        check_error(
            r#"{"error":{"root_cause":[{"type":"x","reason":"y"}],"type":"security_exception","reason":"missing authentication credentials for REST request [/_bulk]","header":{"WWW-Authenticate":["Basic"]}},"status":401}"#,
            kind,
            reason,
        );
        check_error(r#"{"status":405,"error":"Incorrect HTTP method"}"#, None, Some("Incorrect HTTP method"));
        check_error(r#"{"error":{"type":"x"}}"#, Some("x"), None);
        check_error(
            r#"{"error":{"type":"x","reason":"failed to parse","caused_by":{"type":"y","reason":"field name cannot be an empty string"}}}"#,
            Some("x"),
            Some("failed to parse: field name cannot be an empty string"),
        );
        check_error(
            r#"{"error":{"type":"x","reason":"failed to parse","caused_by":{"reason":"For input string: \"hunter2\""}}}"#,
            Some("x"),
            Some("failed to parse: For input string: …"),
        );
        check_error(r#"{"error":{"type":"x","reason":"y","caused_by":{"reason":"z"}}}"#, Some("x"), Some("y"));
        check_error(r#"{"Message":"User: anonymous is not authorized"}"#, None, Some("User: anonymous is not authorized"));
        check_error(r#"{"message":"expired"}"#, None, Some("expired"));
        check_error("Unauthorized", None, Some("Unauthorized"));
        check_error("OpenSearch Security not initialized.\n", None, Some("OpenSearch Security not initialized."));
        for body in
            ["", " ", "<html>502</html>", "{", "{}", "[]", "\"x\"", r#"{"error":null}"#, r#"{"error":{}}"#, r#"{"error":{"type""#]
        {
            check_error(body, None, None);
        }
        assert_eq!(error_reason(b"\xff"), None);
        check_error(&format!(r#"{{"error":{{"type":"{}"}}}}"#, "x".repeat(200)), Some(&format!("{}…", "x".repeat(99))), None);
    }
}
