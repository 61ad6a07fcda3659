//! Configuration: the text of a file, flags and variables become one [`Plan`], or every mistake at once.
//!
//! Planning opens nothing, resolves nothing and reads no clock; the same inputs give the same plan. The built-in
//! defaults are a text like any other, so that they can do nothing a file cannot.
//!
//! Reading order: [`plan`] is what comes out; [`decide`], [`source`], [`rule`], [`lookup`], [`sink`], [`tenant`], [`storage`] and [`tls`]
//! know what keys mean;
//! [`reader`] knows tables, ranges and types; [`complaint`] shows mistakes, `mask` without their secrets; [`report`] what was decided.

pub mod address;
pub mod aims;
mod choices;
pub mod complaint;
pub mod condition;
pub mod decide;
pub mod fields;
pub mod growth;
pub mod listener;
pub mod lookup;
mod mask;
pub mod overrides;
pub mod plan;
mod quantities;
pub mod reader;
pub mod redaction;
pub mod report;
pub mod rule;
pub mod sink;
pub mod source;
pub mod storage;
pub mod substitute;
pub mod tenant;
pub mod tls;
pub mod words;

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use thiserror::Error;
use toml::de::DeTable;

use crate::config::complaint::Complaint;
use crate::config::complaint::Complaints;
use crate::config::complaint::Place;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::config::reader::Desk;
use crate::config::reader::Reader;
use crate::config::report::Report;

/// The text of a configuration and what its author calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'t> {
    /// The path as given, or what to call it in a complaint.
    pub name: &'t str,
    /// TOML.
    pub text: &'t str,
    /// Whether it is the built-in text, which nobody can look up by line.
    pub built_in: bool,
}

/// What the relay does when nobody tells it anything: one source of each kind, one sink, all on this machine.
pub const BUILT_IN: Text<'static> = Text {
    name: "the built-in defaults",
    text: "\
[[source]]
name = \"tcp\"
type = \"tcp\"
address = \"127.0.0.1:5000\"

[[source]]
name = \"http\"
type = \"http\"
address = \"127.0.0.1:8080\"

[[sink]]
name = \"stdout\"
type = \"stdout\"
",
    built_in: true,
};

/// The same for whoever says where to listen, which is one address.
const BUILT_IN_FOR_LINES: Text<'static> = Text {
    name: BUILT_IN.name,
    text: "\
[[source]]
name = \"tcp\"
type = \"tcp\"
address = \"127.0.0.1:5000\"

[[sink]]
name = \"stdout\"
type = \"stdout\"
",
    built_in: true,
};

/// The text that stands where nobody has written one, beside these flags and variables.
pub fn built_in(overrides: &Overrides) -> Text<'static> {
    if overrides.listen.is_some() { BUILT_IN_FOR_LINES } else { BUILT_IN }
}

/// Decides the whole configuration.
///
/// `overrides` are flags and variables, which win over the text; `lookup` gives the variables for `${…}`.
///
/// # Errors
///
/// All mistakes, in the order of the text.
pub fn load(input: &Text<'_>, overrides: &Overrides, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Plan, Complaints> {
    let (table, errors) = DeTable::parse_recoverable(input.text);
    let syntax = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(input.text.len()..input.text.len());
        Complaint::syntax(Place::File(span), format!("not TOML: {}", error.message()))
    };
    let complaints = errors.iter().map(syntax).collect();
    let mut desk = Desk { text: input.text, lookup, complaints, report: Report::default() };
    let root = Reader::new(&mut desk, Some(table.get_ref()), Place::File(0..0), "");
    let mut plan = decide::decide(root, overrides);
    let Desk { complaints, mut report, .. } = desk;
    if !complaints.is_empty() {
        return Err(Complaints::new(input.name, input.text, complaints));
    }
    if input.built_in {
        report.forget_lines();
    }
    plan.report = report;
    Ok(plan)
}

/// Reads the text of a configuration file.
///
/// # Errors
///
/// When it cannot be read, is not UTF-8, or is larger than any configuration is.
pub fn read(path: &Path) -> Result<String, ReadError> {
    let open = |source| ReadError::Open { path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).map_err(open)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(open)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ReadError::Large { path: path.to_owned() });
    }
    String::from_utf8(text).map_err(|_| ReadError::Encoding { path: path.to_owned() })
}

/// Why a configuration file could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be one.
    #[error("{} is larger than 1 MiB: that is no configuration", path.display())]
    Large {
        /// Which file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("{} is not UTF-8 text: that is no configuration", path.display())]
    Encoding {
        /// Which file.
        path: PathBuf,
    },
}

/// A hundred times what the largest sensible configuration needs; keeps a wrong path from filling memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;
