//! A secret, and nothing that would show it by accident.
//!
//! Whoever needs the text asks for it by name. It is not wiped from memory: that would promise more than a copy in some buffer keeps.

use core::fmt;
use std::path::Path;
use std::path::PathBuf;

/// A password, key or token. It has no `Display`, and its `Debug` shows that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// Where it was read from, for whoever reads it again.
    file: Option<PathBuf>,
}

impl Secret {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), file: None }
    }

    /// Takes what a file holds, without the newline at its end.
    pub fn of_file(path: impl Into<PathBuf>, text: &str) -> Self {
        Self { text: text.trim_end_matches(['\r', '\n']).to_owned(), file: Some(path.into()) }
    }

    /// The text, to be sent to whom it is for and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The file it was read from, where it was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether it can be part of a header: it is not empty and has only visible characters and spaces.
    pub fn fits_a_header(&self) -> bool {
        !self.text.is_empty() && self.text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
        assert_eq!(format!("{:?}", Secret::of_file("/run/secrets/a", "hunter2\n")), "***");
    }

    #[track_caller]
    fn check(file: &str, text: &str, fits: bool) {
        let secret = Secret::of_file("a", file);
        assert_eq!((secret.reveal(), secret.fits_a_header()), (text, fits), "{file:?}");
    }

    #[test]
    fn a_file_ends_in_a_newline_or_not_and_what_it_holds_has_to_fit_a_header() {
        check("open sesame", "open sesame", true);
        check("open sesame\n", "open sesame", true);
        check("open sesame\r\n\n", "open sesame", true);
        check("\n", "", false);
        check("open\nsesame", "open\nsesame", false);
        check("öffne dich", "öffne dich", false);
    }
}
