//! Mistakes in a configuration: where, what, what would be right, and how to get there.
//!
//! All mistakes of a file are shown together, in the order of the file, each with its line and a caret. What may be a
//! secret is never shown, whatever is wrong around it.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use crate::config::mask;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where it is.
    pub place: Place,
    /// The key it is about, from the top of the file, such as `memory.max_bytes`; empty for a mistake in the TOML.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What is allowed there.
    pub allowed: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What sort of mistake it is.
    pub kind: Kind,
}

/// Where a mistake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At these bytes of the file.
    File(Range<usize>),
    /// In this flag or variable.
    Given(String),
}

/// Sorts of mistakes, as far as one hides another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text is not TOML. What was read around it is a guess.
    Syntax,
    /// Something is not there; where the TOML is broken, it may only have been misread.
    Missing,
    /// Something there is wrong.
    Wrong,
}

impl Complaint {
    /// A mistake in what is written at `place`.
    pub fn wrong(place: Place, key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place, key: key.into(), what: what.into(), allowed: None, remedy: None, kind: Kind::Wrong }
    }

    /// Something that should stand at `place` and does not.
    pub fn missing(place: Place, key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind: Kind::Missing, ..Self::wrong(place, key, what) }
    }

    /// Text that is not TOML.
    pub fn syntax(place: Place, what: impl Into<String>) -> Self {
        Self { kind: Kind::Syntax, ..Self::wrong(place, "", what) }
    }

    /// The same, saying what is allowed.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// All mistakes of one configuration, in its order; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    name: String,
    text: String,
    list: Vec<Complaint>,
}

impl Complaints {
    /// Puts the mistakes found in `text`, known to its author as `name`, into order.
    ///
    /// Where the TOML itself is broken, what seems missing and whatever else stands on a broken line is left out: it
    /// would send people after mistakes they did not make.
    pub fn new(name: &str, text: &str, mut list: Vec<Complaint>) -> Self {
        list.sort_by_key(|complaint| match &complaint.place {
            Place::File(span) => (0, span.start, complaint.kind != Kind::Syntax),
            Place::Given(_) => (1, 0, false),
        });
        let mut complaints = Self { name: name.to_owned(), text: text.to_owned(), list };
        complaints.forget_guesses();
        complaints
    }

    /// The mistakes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Complaint> {
        self.list.iter()
    }

    /// Line and column of a mistake, both from 1, the column in characters; `None` when it is not in the file.
    pub fn position(&self, complaint: &Complaint) -> Option<(usize, usize)> {
        match &complaint.place {
            Place::File(span) => Some(position(&self.text, span.start)),
            Place::Given(_) => None,
        }
    }

    fn forget_guesses(&mut self) {
        let line = |complaint: &Complaint| match &complaint.place {
            Place::File(span) => Some(position(&self.text, span.start).0),
            Place::Given(_) => None,
        };
        let syntax = self.list.iter().filter(|complaint| complaint.kind == Kind::Syntax);
        let mut broken: Vec<usize> = syntax.filter_map(line).collect();
        broken.dedup();
        if broken.is_empty() {
            return;
        }
        let mut told = 0;
        let lines: Vec<Option<usize>> = self.list.iter().map(line).collect();
        let mut lines = lines.into_iter();
        self.list.retain(|complaint| {
            let line = lines.next().flatten();
            match complaint.kind {
                // The first mistake of a line is the cause; the parser's further ones are consequences.
                Kind::Syntax => {
                    let first = line.is_some_and(|line| line > told);
                    told = line.unwrap_or(told);
                    first
                }
                Kind::Missing => false,
                // A value without a byte of text was made up by the parser to go on with.
                Kind::Wrong if matches!(&complaint.place, Place::File(span) if span.is_empty()) => false,
                Kind::Wrong => line.is_none_or(|line| broken.binary_search(&line).is_err()),
            }
        });
    }

    fn write_one(&self, complaint: &Complaint, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if complaint.key.is_empty() { String::new() } else { format!("{}: ", complaint.key) };
        let margin = match &complaint.place {
            Place::Given(by) => {
                writeln!(f, "{by}: {}", complaint.what)?;
                2
            }
            Place::File(span) => {
                let (line, column) = position(&self.text, span.start);
                writeln!(f, "{}:{line}:{column}: {about}{}", self.name, complaint.what)?;
                self.write_source(complaint, span, line, f)?;
                MARGIN
            }
        };
        if let Some(allowed) = &complaint.allowed {
            writeln!(f, "{:margin$} = allowed: {allowed}", "")?;
        }
        if let Some(remedy) = &complaint.remedy {
            // A snippet of several lines stays readable below its first one.
            let remedy = remedy.replace('\n', &format!("\n{:margin$}   ", ""));
            writeln!(f, "{:margin$} = {remedy}", "")?;
        }
        Ok(())
    }

    fn write_source(&self, complaint: &Complaint, span: &Range<usize>, line: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.text[..floor(&self.text, span.start)].rfind('\n').map_or(0, |at| at + 1);
        let source = self.text[start..].lines().next().unwrap_or("");
        let shown = mask::line(&self.text[..start], source, &complaint.key);
        let in_line = |at: usize| floor(source, (at - start).min(source.len()));
        let before = source[..in_line(span.start)].chars().count();
        let marked = source[in_line(span.start)..in_line(span.end.max(span.start))].chars().count().max(1);
        // Tabs are kept so that the caret stands below its text however wide they are shown.
        let indent: String = source.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{line:MARGIN$} | {}", printable(&shown))?;
        writeln!(f, "{:MARGIN$} | {indent}{}", "", "^".repeat(marked.min(MARKED_MAX)))
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for complaint in &self.list {
            self.write_one(complaint, f)?;
        }
        let count = self.list.len();
        write!(f, "{count} mistake{}", if count == 1 { "" } else { "s" })?;
        let in_file = self.list.iter().any(|complaint| matches!(complaint.place, Place::File(_)));
        if in_file { write!(f, " in {}", self.name) } else { Ok(()) }
    }
}

impl Error for Complaints {}

/// Line and column of a byte, both from 1, the column in characters.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..floor(text, at)];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[start..].chars().count() + 1)
}

/// The character boundary at or before a byte offset, which may lie behind the end.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// Replaces what could move the cursor or colour the terminal.
fn printable(line: &str) -> String {
    let safe = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    line.chars().map(safe).collect()
}

/// Width of the line numbers.
const MARGIN: usize = 5;

/// More carets than a terminal is wide help nobody.
const MARKED_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, span: Range<usize>) -> String {
        let complaint = Complaint::wrong(Place::File(span), "a.b", "is wrong").allowed("1 to 2").remedy("say 1");
        Complaints::new("x.toml", text, vec![complaint]).to_string()
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_a_caret() {
        let want = "\
x.toml:2:5: a.b: is wrong
    2 | b = \"ü\"
      |     ^^^
      = allowed: 1 to 2
      = say 1
1 mistake in x.toml";
        assert_eq!(one("[a]\nb = \"ü\"\n", 8..12), want);
    }

    #[test]
    fn a_mistake_at_the_end_of_the_file_has_a_place_too() {
        assert!(one("", 0..0).starts_with("x.toml:1:1: "));
        assert!(one("a = ", 4..4).contains("    1 | a = \n      |     ^\n"));
        assert!(one("a\n", 9..12).starts_with("x.toml:2:1: "));
    }

    #[test]
    fn mistakes_stand_in_the_order_of_the_file_and_flags_come_last() {
        let at = |place| Complaint::wrong(place, "", "w");
        let list = vec![at(Place::Given("--to".into())), at(Place::File(3..4)), at(Place::File(0..1))];
        let complaints = Complaints::new("x.toml", "a\nb\n", list);
        let lines: Vec<_> = complaints.iter().map(|complaint| complaints.position(complaint)).collect();
        assert_eq!(lines, [Some((1, 1)), Some((2, 2)), None]);
    }

    #[test]
    fn broken_toml_hides_what_may_be_its_consequence() {
        let text = "a = \nb = 1\n";
        let list = vec![
            Complaint::wrong(Place::File(0..1), "a", "consequence"),
            Complaint::syntax(Place::File(4..4), "cause"),
            Complaint::syntax(Place::File(4..4), "again"),
            Complaint::missing(Place::File(0..0), "c", "guess"),
            Complaint::wrong(Place::File(5..6), "b", "real"),
        ];
        let complaints = Complaints::new("x.toml", text, list);
        let words: Vec<_> = complaints.iter().map(|complaint| complaint.what.as_str()).collect();
        assert_eq!(words, ["cause", "real"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let key = "0123456789abcdef".repeat(4);
        for line in [
            format!("id_key = \"{key}\""),
            format!("idkey = '{key}'"),
            format!("id_key = \"{}zz-plainly-wrong\"", &key[..20]),
            format!("idkey = \"{}", &key[..40]),
        ] {
            let shown = one(&line, 0..5);
            assert!(!shown.contains(&key[..8]) && !shown.contains("wrong\""), "{shown}");
        }
        for line in [
            "password = \"hush\"",
            "passwort='hush'",
            "sink.api_key=\"hush\\q\"",
            "s = { user = \"u\", \"token\" = \"hush\" }",
            "token = hush",
            "token = \"${hush",
            "token = \"${A}hush\"",
            "token = \"${A:-hush}\"",
            "hosts = [\"a:1\", \"http://u:hush@a\"]",
            "api_key = \"hush\u{e9}\"",
        ] {
            assert!(!one(line, 0..5).contains("hush"), "{}", one(line, 0..5));
        }
        let shown =
            ["id_key = \"${ELBOW_ID_KEY}\"", "token_file = \"/run/token\"", "key = \"/etc/key.pem\"", "password = \"${A:-"];
        for line in shown {
            assert!(one(line, 0..5).contains(line), "{}", one(line, 0..5));
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!one("a = \"\u{1b}[31m\"", 0..1).contains('\u{1b}'));
    }
}
