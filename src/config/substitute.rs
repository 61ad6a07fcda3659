//! `${VAR}` in the strings of a configuration.
//!
//! Works on strings already read from the TOML, never on its text: a variable cannot bring in keys or tables, and every
//! mistake keeps the place of what was written. What a variable holds is not looked at again.

use thiserror::Error;

/// Why a string could not be completed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubstituteError {
    /// The variable does not exist and no default is given.
    #[error("the variable {name} is not set")]
    Unset {
        /// Its name.
        name: String,
    },
    /// A `${` without its `}`.
    #[error("${{ is never closed")]
    Unclosed,
    /// Something between the braces that is neither form.
    #[error("expected ${{NAME}} or ${{NAME:-default}}")]
    Shape,
    /// A dollar sign that begins neither `${` nor `$$`.
    #[error("a single $ means nothing here")]
    Lone,
}

/// Whether a string asks for anything.
pub fn is_needed(text: &str) -> bool {
    text.contains('$')
}

/// Replaces `${NAME}`, `${NAME:-default}` (used when the variable is unset or empty) and `$$` (a dollar sign).
///
/// # Errors
///
/// Says what is wrong with the first part that could not be replaced, never what a variable holds.
pub fn substitute(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, SubstituteError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}').ok_or(SubstituteError::Unclosed)?;
            out.push_str(&value(&inner[..end], lookup)?);
            rest = &inner[end + 1..];
        } else {
            return Err(SubstituteError::Lone);
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value(inner: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, SubstituteError> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(SubstituteError::Shape);
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(SubstituteError::Unset { name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("logs.example".to_owned()),
            "EMPTY" => Some(String::new()),
            "SLY" => Some("${HOST}$$".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(substitute(text, &lookup).as_deref(), Ok(want));
    }

    #[track_caller]
    fn check_refused(text: &str, want: &str) {
        assert_eq!(substitute(text, &lookup).unwrap_err().to_string(), want);
    }

    #[test]
    fn variables_are_replaced() {
        check("", "");
        check("plain {HOST}", "plain {HOST}");
        check("${HOST}:5000", "logs.example:5000");
        check("${HOST}${HOST}", "logs.examplelogs.example");
        check("${NONE:-fallback}", "fallback");
        check("${NONE:-}", "");
        check("${EMPTY}", "");
        check("${EMPTY:-fallback}", "fallback");
        check("${HOST:-fallback}", "logs.example");
        check("$$5 and $${HOST}", "$5 and ${HOST}");
        check("${SLY}", "${HOST}$$");
    }

    #[test]
    fn refusals_say_why() {
        check_refused("${NONE}", "the variable NONE is not set");
        check_refused("a ${HOST", "${ is never closed");
        check_refused("${}", "expected ${NAME} or ${NAME:-default}");
        check_refused("${1X}", "expected ${NAME} or ${NAME:-default}");
        check_refused("${HOST-x}", "expected ${NAME} or ${NAME:-default}");
        check_refused("$HOST", "a single $ means nothing here");
        check_refused("cost: 5$", "a single $ means nothing here");
    }
}
