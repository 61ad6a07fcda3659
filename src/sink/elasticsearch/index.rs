//! Which index a document is created in: a name, with parts of the event's time in it where there are some.
//!
//! It takes an event's time and id from beside the document. Names are those Elasticsearch and OpenSearch allow for new indices.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::batch::Mark;
use crate::batch::Micros;

/// An index or data stream, or one for each span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    parts: Vec<Part>,
    written: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A conversion of `strftime`, all of which have a length of their own.
    Time(&'static str),
}

/// Conversions, and how many bytes each becomes.
const CONVERSIONS: [(&str, usize); 6] = [("%Y", 4), ("%m", 2), ("%d", 2), ("%H", 2), ("%G", 4), ("%V", 2)];

/// Why a text names no index.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Too much.
    #[error("it is longer than 255 bytes")]
    Long,
    /// A character that a name cannot have.
    #[error("{0:?} cannot stand in the name of an index")]
    Character(char),
    /// A character that a name cannot begin with.
    #[error("a name cannot begin with {0:?}")]
    First(char),
    /// A `%` with something else behind it.
    #[error("{0:?} is none of %Y, %m, %d, %H, %G (year of the week) and %V (week)")]
    Conversion(String),
}

impl Target {
    /// Reads a name, in which `%Y`, `%m`, `%d`, `%H`, `%G` and `%V` stand for parts of the event's time in UTC.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let mut parts = Vec::new();
        let mut bytes = 0;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '%' {
                let end = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
                let known = CONVERSIONS.iter().find(|(word, _)| *word == &rest[..end]);
                let (word, length) = known.ok_or_else(|| TargetError::Conversion(rest[..end].to_owned()))?;
                bytes += length;
                parts.push(Part::Time(word));
                rest = &rest[end..];
                continue;
            }
            let plain = rest.split('%').next().unwrap_or(rest);
            if let Some(wrong) = plain.chars().find(|&wrong| !is_allowed(wrong)) {
                return Err(TargetError::Character(wrong));
            }
            if let (true, Some(wrong)) = (parts.is_empty(), plain.chars().next().filter(|first| "-_+.".contains(*first))) {
                return Err(TargetError::First(wrong));
            }
            bytes += plain.len();
            parts.push(Part::Text(plain.to_owned()));
            rest = &rest[plain.len()..];
        }
        match bytes {
            0 => Err(TargetError::Empty),
            1..=255 => Ok(Self { parts, written: text.to_owned() }),
            _ => Err(TargetError::Long),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Bytes of the line before each document, whatever its time.
    pub(super) fn each(&self) -> usize {
        let bytes = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Time(word) => CONVERSIONS.iter().find(|(known, _)| known == word).map_or(0, |(_, bytes)| *bytes),
        };
        HEAD.len() + self.parts.iter().map(bytes).sum::<usize>() + MIDDLE.len() + ID_BYTES + TAIL.len()
    }

    /// The name for events of this time; of the first or last one whose year has four digits, where it is beyond.
    pub fn name(&self, time: Micros) -> String {
        let time = time.clamp(YEAR_ZERO, Timestamp::MAX.as_second() * 1_000_000);
        let time = Timestamp::from_microsecond(time).expect("it is one that the calendar has").to_zoned(TimeZone::UTC);
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Time(word) => time.strftime(word).to_string(),
        };
        self.parts.iter().map(part).collect()
    }

    /// What all its names have in common, with `*` for each part of a time, as patterns of indices have it.
    pub fn pattern(&self) -> String {
        let mut pattern = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => pattern.push_str(text),
                Part::Time(_) if pattern.ends_with('*') => {}
                Part::Time(_) => pattern.push('*'),
            }
        }
        pattern
    }

    /// What stands before the first part of a time.
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// The words of it, without times and what stands between those: `elb` for `elb-%Y.%m.%d`.
    pub fn stem(&self) -> String {
        let words = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.trim_matches(BETWEEN)),
            Part::Time(_) => None,
        });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// How much time has one name at the most; none where all time has one.
    pub fn span(&self) -> Option<Duration> {
        let hours = |part: &Part| match part {
            Part::Text(_) => None,
            Part::Time("%H") => Some(1),
            Part::Time("%d") => Some(24),
            Part::Time("%V") => Some(7 * 24),
            Part::Time("%m") => Some(31 * 24),
            Part::Time(_) => Some(366 * 24),
        };
        self.parts.iter().filter_map(hours).min().map(|hours| Duration::from_secs(hours * 3_600))
    }

    fn has_time(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Time(_)))
    }
}

/// Characters that part words and times in a name.
const BETWEEN: [char; 3] = ['-', '_', '.'];

/// What Elasticsearch refuses in names, and what would have to be escaped in JSON.
fn is_allowed(character: char) -> bool {
    !(character.is_uppercase() || character.is_control() || "\\/*?\"<>| ,#:".contains(character))
}

/// 0000-01-01T00:00:00Z.
const YEAR_ZERO: Micros = -62_167_219_200_000_000;

const HEAD: &[u8] = br#"{"create":{"_index":""#;
const MIDDLE: &[u8] = br#"","_id":""#;
const TAIL: &[u8] = b"\"}}\n";

/// Microseconds in the finest part of time that a name can have.
const HOUR: Micros = 3_600_000_000;

/// Writes the line before each document.
#[derive(Debug)]
pub(super) struct Actions {
    target: Arc<Target>,
    /// The line for events of that hour, with some id.
    line: Vec<u8>,
    /// Where the id stands in it.
    id: usize,
    hour: Option<Micros>,
}

/// Bytes of an id in a line.
const ID_BYTES: usize = 32;

impl Actions {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, line: Vec::new(), id: 0, hour: None }
    }

    /// The line before the document with this mark.
    pub(super) fn line(&mut self, mark: &Mark) -> &[u8] {
        self.turn_to(mark);
        self.line[self.id..self.id + ID_BYTES].copy_from_slice(&mark.id.hex());
        &self.line
    }

    fn turn_to(&mut self, mark: &Mark) {
        let hour = if self.target.has_time() { mark.time.div_euclid(HOUR) } else { 0 };
        if self.hour != Some(hour) {
            self.hour = Some(hour);
            let name = self.target.name(mark.time);
            self.line = [HEAD, name.as_bytes(), MIDDLE, &[0; ID_BYTES], TAIL].concat();
            self.id = HEAD.len() + name.len() + MIDDLE.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::EventId;

    /// 2027-01-01T22:15:23Z, a Friday that is in the last week of 2026.
    const TIME: Micros = 1_798_841_723_000_000;

    #[track_caller]
    fn check(text: &str, name: Result<&str, TargetError>) {
        let target = Target::parse(text);
        assert_eq!(target.as_ref().map(|target| target.name(TIME)).map_err(Clone::clone), name.map(str::to_owned), "{text}");
        if let Ok(target) = target {
            let mark = Mark { end: 1, id: EventId([0xab; 16]), time: TIME, origin: None };
            let mut actions = Actions::new(Arc::new(target.clone()));
            let line = actions.line(&mark);
            let wanted = format!("{{\"create\":{{\"_index\":\"{}\",\"_id\":\"{}\"}}}}\n", target.name(TIME), "ab".repeat(16));
            assert_eq!(line, wanted.as_bytes());
            assert_eq!(target.each(), wanted.len());
        }
    }

    #[test]
    fn names_have_the_events_time() {
        check("logs", Ok("logs"));
        check("elb-%Y.%m.%d", Ok("elb-2027.01.01"));
        check("elb-%Y.%m.%d-%H", Ok("elb-2027.01.01-22"));
        check("elb-%G.%V", Ok("elb-2026.53"));
        check("%Y", Ok("2027"));
        check("löß-1", Ok("löß-1"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        check("", Err(TargetError::Empty));
        check(&"x".repeat(256), Err(TargetError::Long));
        check("Logs", Err(TargetError::Character('L')));
        check("a b", Err(TargetError::Character(' ')));
        check("a\"b", Err(TargetError::Character('"')));
        check("_a", Err(TargetError::First('_')));
        check(".a", Err(TargetError::First('.')));
        check("a-%F", Err(TargetError::Conversion("%F".to_owned())));
        check("a-%", Err(TargetError::Conversion("%".to_owned())));
        check("a-%ß", Err(TargetError::Conversion("%ß".to_owned())));
    }

    #[track_caller]
    fn check_pattern(text: &str, pattern: &str, stem: &str, hours: Option<u64>) {
        let target = Target::parse(text).expect("a name");
        assert_eq!((target.pattern().as_str(), target.stem().as_str()), (pattern, stem), "{text}");
        assert_eq!(target.span(), hours.map(|hours| Duration::from_secs(hours * 3_600)), "{text}");
        assert!(target.pattern().starts_with(target.prefix()) && !target.prefix().contains('*'), "{text}");
    }

    #[test]
    fn all_names_of_one_have_a_pattern_and_a_stem() {
        check_pattern("logs", "logs", "logs", None);
        check_pattern("elb-%Y.%m.%d", "elb-*.*.*", "elb", Some(24));
        check_pattern("elb-%Y%m%d-%H", "elb-*-*", "elb", Some(1));
        check_pattern("a_%G-w%V-eu", "a_*-w*-eu", "a-w-eu", Some(168));
        check_pattern("a.b-%Y-%m", "a.b-*-*", "a.b", Some(744));
        check_pattern("%Y", "*", "", Some(8_784));
    }

    #[test]
    fn times_beyond_the_calendar_are_of_its_first_or_last_day() {
        let target = Target::parse("a-%Y.%m.%d").expect("a name");
        // The last millisecond that four digits can write, and what no clock says.
        for (time, name) in [(253_402_300_799_999_000, "a-9999.12.30"), (Micros::MAX, "a-9999.12.30"), (0, "a-1970.01.01")] {
            assert_eq!(target.name(time), name);
        }
        for time in [Micros::MIN, YEAR_ZERO - 1, YEAR_ZERO] {
            assert_eq!(target.name(time), "a-0000.01.01");
        }
        assert_eq!(Target::parse("a-%G.%V").expect("a name").name(Micros::MIN).len(), 9);
    }

    #[test]
    fn a_new_hour_is_a_new_name() {
        let mut actions = Actions::new(Arc::new(Target::parse("a-%H").expect("a name")));
        let times = [0, HOUR - 1, HOUR, -1].map(|time| Mark { end: 1, id: EventId([0; 16]), time, origin: None });
        let text = times.map(|mark| String::from_utf8(actions.line(&mark).to_vec()).expect("ASCII")).concat();
        let names: Vec<&str> = text.lines().map(|line| &line[21..25]).collect();
        assert_eq!(names, ["a-00", "a-00", "a-01", "a-23"]);
    }
}
