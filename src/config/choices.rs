//! Getters for switches, and for texts of which there may be one or several.

use toml::de::DeValue;

use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::substitute;

impl Reader<'_, '_> {
    /// `true` or `false`.
    pub fn switch(&mut self, key: &'static str, default: bool) -> bool {
        let Some((on, from)) = self.is_on(key) else {
            if !self.has(key) {
                self.record(key, default.to_string(), Origin::Default);
            }
            return default;
        };
        self.record(key, on.to_string(), from);
        on
    }

    /// The same without recording it, if it is there and good.
    pub fn is_on(&mut self, key: &'static str) -> Option<(bool, Origin)> {
        let written = self.switch_or_text(key, "true or false", substitute::is_needed)?;
        let on = written.text.parse().ok();
        if on.is_none() {
            self.refuse(key, &written, "is neither true nor false", Some("true or false".to_owned()), None);
        }
        on.map(|on| (on, written.origin()))
    }

    /// `true`, `false` or a text, as text; `want` says what it should be where it is neither. A variable can only stand in
    /// a string, so a switch may stand there, too; `is_text` says which strings are taken at all.
    pub fn switch_or_text(&mut self, key: &'static str, want: &str, is_text: impl FnOnce(&str) -> bool) -> Option<Written> {
        match self.value(key).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Boolean(on), span)) => Some(self.bare(on.to_string(), span)),
            Some((DeValue::String(text), _)) if is_text(text) => self.string(key),
            Some((other, span)) => {
                self.wrong_type(key, span, want, other);
                None
            }
            None => None,
        }
    }

    /// A text or a list of them, if they are there and good; one text is a list of one.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<Written>> {
        match self.value(key).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::String(_), _)) => self.string(key).map(|written| vec![written]),
            Some((DeValue::Array(_), _)) => self.strings(key),
            Some((other, span)) => {
                self.wrong_type(key, span, "a string or a list of strings", other);
                None
            }
            None => None,
        }
    }
}
