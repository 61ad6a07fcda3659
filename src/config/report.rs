//! What was decided and why, for people: every setting with its value and where the value came from.
//!
//! Filled while the configuration is read, so that it cannot drift from what was read. It never holds a secret.

use std::fmt;

/// All settings in reading order, and what someone should know about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    sections: Vec<Section>,
    /// Which of them is being recorded.
    current: usize,
    warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    title: String,
    settings: Vec<Setting>,
}

/// One setting as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key within the section.
    pub key: String,
    /// Its value as it would be written.
    pub value: String,
    /// Where the value came from.
    pub from: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This line of the file.
    Line(usize),
    /// This flag or variable.
    Given(String),
    /// Nobody said otherwise.
    Default,
    /// Nobody said otherwise, and it follows from another setting.
    Derived(&'static str),
}

impl Report {
    /// Begins a section; what is recorded from now on belongs to it.
    pub fn begin(&mut self, title: impl Into<String>) {
        self.current = self.sections.len();
        self.sections.push(Section { title: title.into(), settings: Vec::new() });
    }

    /// Begins a section that interrupts another one; gives what [`resume`](Self::resume) wants to go on with that.
    pub fn begin_within(&mut self, title: impl Into<String>) -> usize {
        let outer = self.current;
        self.begin(title);
        outer
    }

    /// Goes on with a section that was interrupted. It is shown before what interrupted it.
    pub fn resume(&mut self, outer: usize) {
        self.current = outer;
    }

    /// The title of the section that is being recorded.
    pub fn title(&self) -> &str {
        self.sections.get(self.current).map_or("", |section| &section.title)
    }

    /// Records a setting.
    pub fn record(&mut self, key: impl Into<String>, value: impl Into<String>, from: Origin) {
        let setting = Setting { key: key.into(), value: value.into(), from };
        match self.sections.get_mut(self.current) {
            Some(section) => section.settings.push(setting),
            None => self.sections.push(Section { title: String::new(), settings: vec![setting] }),
        }
    }

    /// Records what is allowed but probably not meant.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Gives the section that is being recorded another title.
    pub fn retitle(&mut self, title: impl Into<String>) {
        if let Some(section) = self.sections.get_mut(self.current) {
            section.title = title.into();
        }
    }

    /// Number of sections.
    pub fn len(&self) -> usize {
        self.sections.len()
    }

    /// Whether there is no section.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Forgets all sections behind the first `len`.
    pub fn cut(&mut self, len: usize) {
        self.sections.truncate(len);
    }

    /// Takes what stands in the text for a default, because the text is built in.
    pub fn forget_lines(&mut self) {
        for setting in self.sections.iter_mut().flat_map(|section| &mut section.settings) {
            if matches!(setting.from, Origin::Line(_)) {
                setting.from = Origin::Default;
            }
        }
    }

    /// What is allowed but probably not meant.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The settings of all sections that have this title.
    pub fn settings(&self, title: &str) -> impl Iterator<Item = &Setting> {
        self.sections.iter().filter(move |section| section.title == title).flat_map(|section| &section.settings)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = || self.sections.iter().flat_map(|section| &section.settings);
        let widest = |width: fn(&Setting) -> usize| settings().map(width).max().unwrap_or(0).min(COLUMN_MAX);
        let keys = widest(|setting| setting.key.chars().count());
        let values = widest(|setting| setting.value.chars().count());
        for section in self.sections.iter().filter(|section| !section.settings.is_empty()) {
            writeln!(f, "{}", section.title)?;
            for Setting { key, value, from } in &section.settings {
                writeln!(f, "  {key:keys$}  {value:values$}  {from}")?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Given(by) => write!(f, "{by}"),
            Self::Default => write!(f, "default"),
            Self::Derived(how) => write!(f, "default: {how}"),
        }
    }
}

/// One long value shall not push the last column of all others off the screen.
const COLUMN_MAX: usize = 40;
