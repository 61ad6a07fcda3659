//! Typed reading of a TOML table that goes on after a mistake.
//!
//! Every getter checks a value, records it for the report, and answers with the default where the value was wrong, so
//! that planning reaches every other mistake too; those for sizes, times and numbers are in `quantities`. [`Reader::finish`]
//! complains about the keys nobody asked for. It knows
//! TOML, flags and ranges; what the keys mean is its callers' business.

use std::fmt::Display;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::complaint::position;
use crate::config::mask;
use crate::config::overrides::Given;
use crate::config::report::Origin;
use crate::config::report::Report;
use crate::config::substitute;
use crate::config::words::Words;
use crate::config::words::nearest;
use crate::config::words::quoted;

/// What all readers of one file share.
pub struct Desk<'t> {
    /// The file's text.
    pub text: &'t str,
    /// Variables for `${…}`.
    pub lookup: &'t dyn Fn(&str) -> Option<String>,
    /// The mistakes so far.
    pub complaints: Vec<Complaint>,
    /// The settings so far.
    pub report: Report,
}

/// One table being read.
pub struct Reader<'d, 't> {
    desk: &'d mut Desk<'t>,
    table: Option<&'t DeTable<'t>>,
    /// Where the table begins, for what is missing in it.
    place: Place,
    path: String,
    known: Vec<&'static str>,
    given: Vec<(&'static str, Given)>,
}

/// A string as it was written, and where.
#[derive(Clone, Debug)]
pub struct Written {
    /// What it says, variables replaced.
    pub text: String,
    place: Place,
    from: Origin,
    replaced: bool,
}

impl<'d, 't> Reader<'d, 't> {
    /// Reads a table that begins at `place`; without a table every setting has its default.
    pub fn new(desk: &'d mut Desk<'t>, table: Option<&'t DeTable<'t>>, place: Place, path: &str) -> Self {
        Self { desk, table, place, path: path.to_owned(), known: Vec::new(), given: Vec::new() }
    }

    /// What is shared by all readers.
    pub fn desk(&mut self) -> &mut Desk<'t> {
        self.desk
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// Lets a flag or variable stand in for what the table says about a string.
    pub fn give(&mut self, key: &'static str, given: Given) {
        self.given.push((key, given));
    }

    /// Whether a key is there, in the table or given.
    pub fn has(&self, key: &str) -> bool {
        self.given.iter().any(|(name, _)| *name == key) || self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A table within this one; it reads defaults where there is none.
    pub fn table(&mut self, key: &'static str) -> Reader<'_, 't> {
        let (mut table, mut place) = (None, self.place());
        if let Some(value) = self.value(key) {
            place = Place::File(value.span());
            match value.get_ref() {
                DeValue::Table(inner) => table = Some(inner),
                other => self.wrong_type(key, value.span(), "a table", other),
            }
        }
        let path = self.path_to(key);
        Reader::new(self.desk, table, place, &path)
    }

    /// The tables of an array of tables, each with where it begins.
    pub fn tables(&mut self, key: &'static str) -> Vec<(&'t DeTable<'t>, Range<usize>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let mut tables = Vec::new();
        let DeValue::Array(array) = value.get_ref() else {
            let complaint = self.complaint(key, Place::File(value.span()), "there can be several of these");
            let header = self.path_to(key);
            self.desk.complaints.push(complaint.remedy(format!("write [[{header}]] with two brackets")));
            if let DeValue::Table(table) = value.get_ref() {
                tables.push((table, value.span()));
            }
            return tables;
        };
        for element in array {
            match element.get_ref() {
                DeValue::Table(table) => tables.push((table, element.span())),
                other => self.wrong_type(key, element.span(), "a table", other),
            }
        }
        tables
    }

    /// The entries of a table within this one, in the order of the file.
    pub fn entries(&mut self, key: &'static str) -> Vec<(&'t str, &'t Spanned<DeValue<'t>>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value.span(), "a table", value.get_ref());
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries.into_iter().map(|(name, value)| (name.get_ref().as_ref(), value)).collect()
    }

    /// A string; complains when it is not there.
    pub fn required(&mut self, key: &'static str, example: &str) -> Option<Written> {
        if !self.has(key) {
            let complaint = Complaint::missing(self.place(), self.path_to(key), "is missing");
            self.known.push(key);
            self.desk.complaints.push(complaint.remedy(format!("add {key} = {example}")));
            return None;
        }
        self.string(key)
    }

    /// A string, if it is there and good.
    pub fn string(&mut self, key: &'static str) -> Option<Written> {
        let value = self.value(key);
        if let Some(given) = self.given_for(key) {
            return Some(Written::given(given));
        }
        let value = value?;
        match value.get_ref() {
            DeValue::String(text) => self.complete(key, text, value.span()),
            other => {
                self.wrong_type(key, value.span(), "a string", other);
                None
            }
        }
    }

    /// A list of strings, if it is there and good. One that is given has commas between its parts.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<Written>> {
        let value = self.value(key);
        if let Some(given) = self.given_for(key) {
            let part = |text: &str| Written::given(Given { value: text.trim().to_owned(), by: given.by.clone() });
            return Some(given.value.split(',').map(part).collect());
        }
        let value = value?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(key, value.span(), "a list of strings", value.get_ref());
            return None;
        };
        let mut texts = Vec::new();
        for element in array {
            match element.get_ref() {
                DeValue::String(text) => texts.extend(self.complete(key, text, element.span())),
                other => self.wrong_type(key, element.span(), "a string", other),
            }
        }
        (texts.len() == array.len()).then_some(texts)
    }

    /// One word of several; the default when it is not there.
    pub fn one_of<T: Copy>(&mut self, key: &'static str, words: &Words<'_, T>, default: (&'static str, T)) -> T {
        let Some(written) = self.string(key) else {
            if !self.has(key) {
                self.record(key, default.0, Origin::Default);
            }
            return default.1;
        };
        self.choose(key, &written, words).unwrap_or(default.1)
    }

    /// What a word stands for; complains when it is none of them.
    pub fn choose<T: Copy>(&mut self, key: &'static str, written: &Written, words: &Words<'_, T>) -> Option<T> {
        if let Some((word, choice)) = words.now.iter().find(|(word, _)| *word == written.text) {
            self.record(key, *word, written.from.clone());
            return Some(*choice);
        }
        let list: Vec<&str> = words.now.iter().map(|(word, _)| *word).collect();
        let allowed = Some(quoted(&list));
        if words.later.contains(&written.text.as_str()) {
            let what = format!("{key} = {:?} is not available yet", written.text);
            self.refuse(key, written, what, allowed, None);
        } else {
            let near = nearest(&written.text, &list).map(|word| format!("did you mean {word:?}?"));
            self.refuse(key, written, format!("unknown {key} {:?}", written.text), allowed, near);
        }
        None
    }

    /// A key this version recognises but cannot serve.
    pub fn later(&mut self, key: &'static str, instead: &str) {
        let Some(span) = self.key_span(key) else { return };
        self.known.push(key);
        let complaint = self.complaint(key, Place::File(span), "is not available yet");
        self.desk.complaints.push(complaint.remedy(instead));
    }

    /// A key that belongs elsewhere; says where.
    pub fn belongs(&mut self, keys: &[&'static str], to: &str) {
        for key in keys {
            let Some(span) = self.key_span(key).filter(|_| !self.known.contains(key)) else { continue };
            self.known.push(key);
            let complaint = self.complaint(key, Place::File(span), &format!("belongs to {to}"));
            self.desk.complaints.push(complaint);
        }
    }

    /// Records a setting that was decided by the caller.
    pub fn record(&mut self, key: &str, value: impl Into<String>, from: Origin) {
        self.desk.report.record(key, value, from);
    }

    /// Complains about a value. What a flag or variables made of it is said, but for what may be a secret.
    pub fn refuse(&mut self, key: &str, written: &Written, what: impl Display, allowed: Option<String>, remedy: Option<String>) {
        let what = match &written.place {
            Place::Given(_) => format!("{:?}: {what}", mask::value(key, &written.text)),
            Place::File(_) if written.replaced => format!("{what} (it reads {:?})", mask::value(key, &written.text)),
            Place::File(_) => what.to_string(),
        };
        let complaint = self.complaint(key, written.place.clone(), &what);
        self.desk.complaints.push(Complaint { allowed, remedy, ..complaint });
    }

    /// Complains about the value of a key, or about the table where the key is not written.
    pub fn refuse_key(&mut self, key: &str, what: &str, remedy: &str) {
        let written = self.table.and_then(|table| table.get(key)).map(|value| Place::File(value.span()));
        let complaint = self.complaint(key, written.unwrap_or_else(|| self.place()), what);
        self.desk.complaints.push(complaint.remedy(remedy));
    }

    /// Replaces variables in a string of the file.
    pub fn complete(&mut self, key: &str, text: &str, span: Range<usize>) -> Option<Written> {
        match substitute::substitute(text, self.desk.lookup) {
            Ok(completed) => {
                let mut written = self.bare(completed, span);
                written.replaced = substitute::is_needed(text);
                Some(written)
            }
            Err(error) => {
                let complaint = self.complaint(key, Place::File(span), &error.to_string());
                let remedy = match error {
                    substitute::SubstituteError::Unset { name } => {
                        format!("set it, or write ${{{name}:-default}}; $$ is a dollar sign")
                    }
                    _ => "write ${NAME}, or $$ for a dollar sign".to_owned(),
                };
                self.desk.complaints.push(complaint.remedy(remedy));
                None
            }
        }
    }

    /// A value at this place of the file, taken as it is.
    pub fn bare(&self, text: String, span: Range<usize>) -> Written {
        let from = Origin::Line(position(self.desk.text, span.start).0);
        Written { text, place: Place::File(span), from, replaced: false }
    }

    /// Complains about every key that was never asked for, with the nearest one that was.
    pub fn finish(self) {
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let complaint = self.complaint(name, Place::File(key.span()), "unknown key");
            let complaint = match nearest(name, &self.known) {
                Some(near) => complaint.remedy(format!("did you mean {near}?")),
                None => complaint.remedy(format!("known here: {}", self.known.join(", "))),
            };
            self.desk.complaints.push(complaint);
        }
    }

    /// Says that a key belongs here although nobody read it.
    pub fn known(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// What stands at a key, which counts as asked for.
    pub fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table?.get(key)
    }

    fn given_for(&self, key: &str) -> Option<Given> {
        self.given.iter().find(|(name, _)| *name == key).map(|(_, given)| given.clone())
    }

    fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table?.get_key_value(key).map(|(key, _)| key.span())
    }

    fn path_to(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn complaint(&self, key: &str, place: Place, what: &str) -> Complaint {
        Complaint::wrong(place, self.path_to(key), what)
    }

    /// Complains about a value of another type.
    pub fn wrong_type(&mut self, key: &str, span: Range<usize>, want: &str, found: &DeValue<'_>) {
        let what = format!("expected {want}, found {}", type_words(found));
        let complaint = self.complaint(key, Place::File(span), &what);
        self.desk.complaints.push(complaint);
    }
}

impl Written {
    /// What a flag or variable says.
    pub fn given(given: Given) -> Self {
        let Given { value, by } = given;
        Self { text: value, place: Place::Given(by.clone()), from: Origin::Given(by), replaced: false }
    }

    /// Where its value came from.
    pub fn origin(&self) -> Origin {
        self.from.clone()
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place.clone()
    }
}

fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
