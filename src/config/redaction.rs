//! `redact` and `redact_names` of a source: what becomes of secrets in its lines.

use crate::config::decide::Shared;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::pipeline::plan::Redact;
use crate::redact::Redactor;
use crate::redact::Replacement;
use crate::redact::names::EXTRA_NAMES_MAX;

/// Reads what becomes of secrets, and which further names are those of secrets.
pub fn decide_redaction(source: &mut Reader<'_, '_>, shared: &Shared) -> (Redact, Vec<String>) {
    let redact = decide_redact(source, shared);
    let Some(names) = source.strings("redact_names") else { return (redact, Vec::new()) };
    if redact == Redact::Off {
        source.refuse_key("redact_names", "names secrets that redact = false leaves where they are", "remove one of the two");
    }
    if names.len() > EXTRA_NAMES_MAX {
        source.refuse_key("redact_names", "too many names", "at most 256 are possible");
    }
    for written in &names {
        if let Err(error) = Redactor::new(Replacement::Mask, std::slice::from_ref(&written.text)) {
            source.refuse("redact_names", written, error, None, None);
        }
    }
    let texts: Vec<String> = names.iter().map(|written| written.text.clone()).collect();
    source.record("redact_names", texts.join(", "), names.first().map_or(Origin::Default, Written::origin));
    (redact, texts)
}

fn decide_redact(source: &mut Reader<'_, '_>, shared: &Shared) -> Redact {
    let Some(written) = source.switch_or_text("redact", "true, false, \"mask\" or \"hash\"", |_| true) else {
        if !source.has("redact") {
            source.record("redact", MASK, Origin::Default);
        }
        return Redact::Mask;
    };
    let words = [("true", Redact::Mask), ("false", Redact::Off), (MASK, Redact::Mask), ("hash", Redact::Hash)];
    let choice = source.choose("redact", &written, &Words { now: &words, later: &[] });
    if choice == Some(Redact::Hash) && shared.key_is_published {
        let remedy = "set id_key at the top of the file, or write \"mask\"".to_owned();
        let what = "needs an id_key of your own: with the published key anyone could try guesses against the hashes";
        source.refuse("redact", &written, what, None, Some(remedy));
    }
    choice.unwrap_or(Redact::Mask)
}

const MASK: &str = "mask";
