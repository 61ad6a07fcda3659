//! Secrets are found in order inside the text, and redacting what has been redacted changes nothing.
//!
//! The first byte chooses how many bytes at either end are outside the text; the rest is the chunk.

use std::sync::LazyLock;

use elbow::redact::Finding;
use elbow::redact::Redactor;
use elbow::redact::Replacement;

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(Replacement::Mask, &["p".to_owned(), "customer".to_owned()]).expect("the names are good"));

fn find(chunk: &[u8], start: usize, end: usize) -> Vec<Finding> {
    let mut found = Vec::new();
    REDACTOR.find(chunk, start, end, &mut found);
    let mut decided = start;
    for finding in &found {
        assert!(decided <= finding.start && finding.start < finding.end && finding.end <= end);
        decided = finding.end;
    }
    found
}

fn redacted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    for finding in find(text, 0, text.len()) {
        out.extend_from_slice(&text[at..finding.start]);
        REDACTOR.replace(&text[finding.start..finding.end], &mut out);
        at = finding.end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

pub(crate) fn check(input: &[u8]) {
    let [choice, chunk @ ..] = input else { return };
    let start = usize::from(*choice & 15).min(chunk.len());
    let end = chunk.len().saturating_sub(usize::from(*choice >> 4)).max(start);
    let text = &chunk[start..end];
    let found = find(chunk, start, end);
    let alone = find(text, 0, text.len());
    assert!(
        found.iter().map(|finding| (finding.start - start, finding.end - start, finding.rule)).eq(alone.iter().map(|finding| (
            finding.start,
            finding.end,
            finding.rule
        )))
    );
    let once = redacted(text);
    assert_eq!(redacted(&once), once);
}
