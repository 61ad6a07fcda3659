//! Getters for sizes, time spans and whole numbers, each held to a range.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::substitute;
use crate::units;

impl Reader<'_, '_> {
    /// A number of bytes: text such as `"64MiB"`, or bare bytes.
    pub fn size(&mut self, key: &'static str, range: RangeInclusive<u64>, default: u64, from: Origin) -> u64 {
        let allowed = || format!("{} to {}", units::size_text(*range.start()), units::size_text(*range.end()));
        let written = match self.value(key).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Integer(number), span)) => Some(self.bare(number.to_string(), span)),
            _ => self.string(key),
        };
        let Some(written) = written else {
            self.record(key, units::size_text(default), from);
            return default;
        };
        match units::parse_size(&written.text) {
            Ok(bytes) if range.contains(&bytes) => {
                self.record(key, units::size_text(bytes), written.origin());
                return bytes;
            }
            Ok(bytes) => self.refuse(key, &written, side(&bytes, &range), Some(allowed()), None),
            Err(error) => self.refuse(key, &written, error, Some(allowed()), None),
        }
        default
    }

    /// A time span such as `"2s"`.
    pub fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>, default: Duration) -> Duration {
        let Some(written) = self.duration_text(key) else {
            self.record(key, units::duration_text(default), Origin::Default);
            return default;
        };
        self.check_duration(key, &written, &range, "").unwrap_or(default)
    }

    /// A time span, or `"off"`.
    pub fn duration_or_off(&mut self, key: &'static str, range: RangeInclusive<Duration>, default: Duration) -> Option<Duration> {
        match self.duration_text(key) {
            None => {
                self.record(key, units::duration_text(default), Origin::Default);
                Some(default)
            }
            Some(written) if written.text == "off" => {
                self.record(key, "off", written.origin());
                None
            }
            Some(written) => self.check_duration(key, &written, &range, ", or \"off\""),
        }
    }

    /// A whole number.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let written = match self.value(key).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Integer(number), span)) => Some(self.bare(number.to_string(), span)),
            // A variable can only stand in a string, so a number may stand there too.
            Some((DeValue::String(text), _)) if substitute::is_needed(text) => self.string(key),
            Some((other, span)) => {
                self.wrong_type(key, span, "a whole number", other);
                return default;
            }
            None => None,
        };
        let Some(written) = written else {
            self.record(key, default.to_string(), Origin::Default);
            return default;
        };
        let allowed = Some(format!("{} to {}", range.start(), range.end()));
        match parse_integer(&written.text) {
            Some(number) if u32::try_from(number).is_ok_and(|number| range.contains(&number)) => {
                self.record(key, number.to_string(), written.origin());
                return u32::try_from(number).unwrap_or(default);
            }
            Some(number) => {
                let wide = i128::from(*range.start())..=i128::from(*range.end());
                self.refuse(key, &written, side(&number, &wide), allowed, None);
            }
            None => self.refuse(key, &written, "is not a whole number", allowed, None),
        }
        default
    }

    fn duration_text(&mut self, key: &'static str) -> Option<Written> {
        match self.value(key).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Integer(number), span)) => Some(self.bare(number.to_string(), span)),
            _ => self.string(key),
        }
    }

    fn check_duration(
        &mut self,
        key: &'static str,
        written: &Written,
        range: &RangeInclusive<Duration>,
        also: &str,
    ) -> Option<Duration> {
        let (least, most) = (units::duration_text(*range.start()), units::duration_text(*range.end()));
        let allowed = Some(format!("{least} to {most}{also}"));
        match units::parse_duration(&written.text) {
            Ok(span) if range.contains(&span) => {
                self.record(key, units::duration_text(span), written.origin());
                return Some(span);
            }
            Ok(span) => self.refuse(key, written, side(&span, range), allowed, None),
            Err(error) => self.refuse(key, written, error, allowed, None),
        }
        None
    }
}

fn side<T: PartialOrd>(value: &T, range: &RangeInclusive<T>) -> &'static str {
    if value < range.start() { "too small" } else { "too large" }
}

/// A TOML integer as it is shown, or decimal digits.
fn parse_integer(text: &str) -> Option<i128> {
    let radix = match text.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => return text.parse().ok(),
    };
    i128::from_str_radix(&text[2..], radix).ok()
}
