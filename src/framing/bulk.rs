//! The body of an Elasticsearch bulk request: which of its lines are actions and which are documents, and what became of each.
//!
//! It hands documents on as they stand and remembers what to answer for each action, equal ones in one place. Where a document
//! is to go, and under which id, is the sender's view of another product: the index is repeated in the answer and used for
//! nothing, the id for nothing at all. It stores nothing, and parses no document.

mod answer;

use memchr::memchr;
use serde_json::Value;

pub use answer::Answer;

/// Longest action line, in bytes. An action names an index (at most 255 bytes), an id (at most 512), and routing.
pub const ACTION_BYTES_MAX: usize = 8 * 1024;

/// Longest name of an index that is repeated, in bytes; Elasticsearch takes none that is longer.
pub const INDEX_BYTES_MAX: usize = 255;

/// Names of indices that are told apart in one answer.
const NAMES_MAX: usize = 64;

/// Changes from one kind of answer to another in one request. Each is remembered, and so many take half a mebibyte.
const RUNS_MAX: usize = 64 * 1024;

/// What a sender wants done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep it.
    Index,
    /// Keep it where there is none of its id, which is never looked for.
    Create,
    /// Change another.
    Update,
    /// Remove another; no document follows.
    Delete,
}

impl Action {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Index, Self::Create, Self::Update, Self::Delete].into_iter().find(|action| action.word() == word)
    }
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its document is handed on.
    Taken,
    /// Nothing here can be changed or removed.
    NotSupported,
    /// Its document is over the limit.
    TooLong,
    /// Its document is an empty line, or did not come.
    NoDocument,
}

impl Outcome {
    /// Its status, as HTTP numbers them.
    pub const fn status(self) -> u16 {
        match self {
            Self::Taken => 201,
            Self::NotSupported | Self::NoDocument => 400,
            Self::TooLong => 413,
        }
    }

    /// The kind of error and what it says; nothing where there is none.
    pub const fn error(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Taken => None,
            Self::NotSupported => Some(("illegal_argument_exception", "only index and create are taken here")),
            Self::TooLong => Some(("document_too_large", "the document is larger than this source takes")),
            Self::NoDocument => Some(("mapper_parsing_exception", "there is no document behind this action")),
        }
    }
}

/// Why a body is no bulk request. Nothing behind it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its line, counted from one.
    pub line: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// Actions that follow one another and are answered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    count: u32,
    name: u8,
    action: Action,
    outcome: Outcome,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Action,
    Document { action: Action, name: u8 },
}

/// One bulk request on its way.
#[derive(Debug)]
pub struct Bulk {
    document_bytes_max: usize,
    /// Whether documents that are too long are handed on all the same, for somebody else to cut.
    passes: bool,
    /// Names of indices as JSON texts. The first is that of the request.
    names: Vec<Box<str>>,
    runs: Vec<Run>,
    next: Next,
    /// The beginning of a line whose end has not come yet.
    carry: Vec<u8>,
    /// Whether the rest of a document that is too long is being passed over.
    skipping: bool,
    /// The action line before this one, and what it was: mostly they are all the same.
    known: (Vec<u8>, Next),
    line: u64,
    fault: Option<Fault>,
}

impl Bulk {
    /// A request to this index, whose documents may have so many bytes.
    pub fn new(index: &str, document_bytes_max: usize) -> Self {
        Self {
            document_bytes_max,
            passes: false,
            names: vec![named(index)],
            runs: Vec::new(),
            next: Next::Action,
            carry: Vec::new(),
            skipping: false,
            known: (Vec::new(), Next::Action),
            line: 0,
            fault: None,
        }
    }

    /// The same where documents that are too long are handed on as they come, and taken.
    #[must_use]
    pub fn passing(self, passes: bool) -> Self {
        Self { passes, ..self }
    }

    /// Takes the bytes of one read and adds the documents that became complete to `out`, each ended by a newline.
    pub fn feed(&mut self, mut read: &[u8], out: &mut Vec<u8>) {
        while self.fault.is_none() {
            let Some(length) = memchr(b'\n', read) else { return self.keep(read, out) };
            let (line, rest) = (&read[..length], &read[length + 1..]);
            if self.carry.is_empty() {
                self.line(line, out);
            } else {
                self.keep(line, out);
                let whole = std::mem::take(&mut self.carry);
                self.line(&whole, out);
            }
            read = rest;
        }
    }

    /// Ends the body. A last line counts without its newline, too, because a request says where its bytes end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.fault.is_some() {
            return;
        }
        let rest = std::mem::take(&mut self.carry);
        if !rest.is_empty() || self.skipping {
            self.line(&rest, out);
        }
        if let Next::Document { action, name } = self.next {
            self.next = Next::Action;
            self.answer(action, name, if takes(action) { Outcome::NoDocument } else { Outcome::NotSupported });
        }
    }

    /// Why nothing is taken any more, if so.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Bytes of memory held for a line whose end has not come yet.
    pub fn carried_bytes(&self) -> usize {
        self.carry.capacity()
    }

    /// Bytes of memory held for the answer.
    pub fn remembered_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// What to answer once everything handed on is stored, so many milliseconds after it began.
    pub fn into_answer(self, took_ms: u64) -> Answer {
        Answer::new(self.names, self.runs, took_ms)
    }

    /// Keeps the beginning of a line for later, unless it is too long already.
    fn keep(&mut self, part: &[u8], out: &mut Vec<u8>) {
        let was_skipping = self.skipping;
        let limit = match self.next {
            Next::Action => ACTION_BYTES_MAX,
            Next::Document { .. } => self.document_bytes_max,
        };
        // One byte more, which may be the carriage return of a line end.
        let length = self.carry.len() + part.len();
        if length > limit + 1 {
            match self.next {
                Next::Action => return self.fail(self.line + 1, "an action is too long"),
                Next::Document { .. } => self.skipping = true,
            }
        }
        if self.skipping && self.passes && matches!(self.next, Next::Document { action, .. } if takes(action)) {
            if !was_skipping {
                out.extend_from_slice(&self.carry);
            }
            out.extend_from_slice(part);
        }
        if self.skipping {
            // A byte is left, so that what follows is not taken for a line of its own.
            self.carry = vec![b'.'];
        } else {
            self.carry.extend_from_slice(part);
        }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        self.line += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.next {
            Next::Action => self.action(line),
            Next::Document { action, name } => {
                self.next = Next::Action;
                let is_passed = self.passes && std::mem::take(&mut self.skipping);
                let outcome = if !takes(action) {
                    Outcome::NotSupported
                } else if is_passed {
                    out.push(b'\n');
                    Outcome::Taken
                } else if std::mem::take(&mut self.skipping) || line.len() > self.document_bytes_max && !self.passes {
                    Outcome::TooLong
                } else if line.trim_ascii().is_empty() {
                    Outcome::NoDocument
                } else {
                    out.extend_from_slice(line);
                    out.push(b'\n');
                    Outcome::Taken
                };
                self.skipping = false;
                self.answer(action, name, outcome);
            }
        }
    }

    fn action(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        if line.len() > ACTION_BYTES_MAX {
            return self.fail(self.line, "an action is too long");
        }
        if self.known.0 != line {
            let Some((action, index)) = parse(line) else { return self.fail(self.line, "this is no action") };
            let name = index.map_or(0, |index| self.name(&index));
            self.known.0.clear();
            self.known.0.extend_from_slice(line);
            self.known.1 = Next::Document { action, name };
        }
        match self.known.1 {
            Next::Document { action: Action::Delete, name } => self.answer(Action::Delete, name, Outcome::NotSupported),
            next => self.next = next,
        }
    }

    /// The place of a name; that of the request where there are too many.
    fn name(&mut self, index: &str) -> u8 {
        let text = named(index);
        let place = self.names.iter().position(|known| *known == text).unwrap_or_else(|| {
            if self.names.len() == NAMES_MAX {
                return 0;
            }
            self.names.push(text);
            self.names.len() - 1
        });
        u8::try_from(place).expect("there are not so many")
    }

    fn answer(&mut self, action: Action, name: u8, outcome: Outcome) {
        let runs = self.runs.len();
        match self.runs.last_mut() {
            Some(run) if (run.action, run.name, run.outcome) == (action, name, outcome) && run.count < u32::MAX => run.count += 1,
            _ if runs == RUNS_MAX => self.fail(self.line, "too many kinds of actions take turns"),
            _ => self.runs.push(Run { count: 1, name, action, outcome }),
        }
    }

    #[cold]
    fn fail(&mut self, line: u64, what: &'static str) {
        self.carry = Vec::new();
        self.fault = Some(Fault { line, what });
    }
}

/// Whether an action's document is kept.
fn takes(action: Action) -> bool {
    matches!(action, Action::Index | Action::Create)
}

/// A name as a JSON text; an empty one where no index can be called that.
fn named(index: &str) -> Box<str> {
    let index = if index.len() > INDEX_BYTES_MAX { "" } else { index };
    Value::from(index).to_string().into_boxed_str()
}

/// The action of a line, and the index it names.
fn parse(line: &[u8]) -> Option<(Action, Option<String>)> {
    let Value::Object(members) = serde_json::from_slice(line).ok()? else { return None };
    let mut members = members.into_iter();
    let (Some((word, Value::Object(mut details))), None) = (members.next(), members.next()) else { return None };
    let index = match details.remove("_index") {
        Some(Value::String(index)) => Some(index),
        _ => None,
    };
    Some((Action::of(&word)?, index))
}

#[cfg(test)]
mod tests;
