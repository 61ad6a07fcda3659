//! Sizes and durations as people write them: `64MiB`, `2s`.
//!
//! Whole numbers with one unit, in both directions. It refuses fractions and combinations such as `1h30m`: there is one
//! way to read what it takes, and what it writes it reads back as the same number.

use std::time::Duration;

use thiserror::Error;

/// Why a text is no size or no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The text does not start with a digit, or has something other than a unit behind its number.
    #[error("expected a whole number and a unit, such as {example}")]
    Shape {
        /// A text that would have been right.
        example: &'static str,
    },
    /// A duration without a unit: five of what?
    #[error("a duration needs a unit ({units}), such as {example}")]
    NoUnit {
        /// The units there are.
        units: &'static str,
        /// A text that would have been right.
        example: &'static str,
    },
    /// The number is good, the unit is none of ours.
    #[error("unknown unit; expected one of {units}, such as {example}")]
    Unit {
        /// The units there are.
        units: &'static str,
        /// A text that would have been right.
        example: &'static str,
    },
    /// More than 64 bits can count.
    #[error("the number is too large")]
    Large,
}

/// Reads a number of bytes: `512`, `512B`, `64MiB` (powers of 1024), `1GB` (powers of 1000).
///
/// # Errors
///
/// Says what was expected and gives an example.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text, SIZE_EXAMPLE)?;
    if unit.is_empty() || unit == "B" {
        return Ok(number);
    }
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::Unit { units: SIZE_UNITS, example: SIZE_EXAMPLE });
    };
    number.checked_mul(*factor).ok_or(UnitError::Large)
}

/// Reads a time span: `500ms`, `2s`, `5m` or `5min`, `6h`, `1d`.
///
/// # Errors
///
/// Says what was expected and gives an example.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text, DURATION_EXAMPLE)?;
    if unit.is_empty() {
        return Err(UnitError::NoUnit { units: DURATION_UNITS, example: DURATION_EXAMPLE });
    }
    let unit = if unit == "min" { "m" } else { unit };
    let Some((_, factor)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::Unit { units: DURATION_UNITS, example: DURATION_EXAMPLE });
    };
    number.checked_mul(*factor).map(Duration::from_millis).ok_or(UnitError::Large)
}

/// Writes a number of bytes in its shortest exact form; of two as short, the one with the larger unit.
pub fn size_text(bytes: u64) -> String {
    shortest(bytes, &SIZES).unwrap_or_else(|| bytes.to_string())
}

/// Writes a time span in its shortest exact form. What is below a millisecond is cut off.
pub fn duration_text(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    shortest(millis, &DURATIONS).unwrap_or_else(|| format!("{millis}ms"))
}

/// The shortest text with one of these units that stands for exactly `number`; `None` when no unit divides it.
fn shortest(number: u64, units: &[(&str, u64)]) -> Option<String> {
    let fits = units.iter().filter(|(_, factor)| number >= *factor && number.is_multiple_of(*factor));
    let texts = fits.map(|(unit, factor)| format!("{}{unit}", number / factor));
    texts.min_by_key(String::len)
}

fn split<'t>(text: &'t str, example: &'static str) -> Result<(u64, &'t str), UnitError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if digits == 0 || !unit.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(UnitError::Shape { example });
    }
    let number = number.parse().map_err(|_| UnitError::Large)?;
    Ok((number, unit))
}

const SIZE_EXAMPLE: &str = "\"64MiB\"";
const SIZE_UNITS: &str = "B, KiB, MiB, GiB, TiB, kB, MB, GB, TB";

/// Largest first within a family, and the binary family first, so that of two texts of one length the first is the one
/// people would have written.
const SIZES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

const DURATION_EXAMPLE: &str = "\"2s\"";
const DURATION_UNITS: &str = "ms, s, m, h, d";

/// In milliseconds, largest first.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_size(text: &str, bytes: u64) {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }

    #[track_caller]
    fn check_duration(text: &str, millis: u64) {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }

    #[track_caller]
    fn check_refused(error: UnitError, words: &str) {
        assert_eq!(error.to_string(), words);
    }

    #[test]
    fn sizes_are_read() {
        check_size("0", 0);
        check_size("512", 512);
        check_size("512B", 512);
        check_size("1kB", 1_000);
        check_size("1KiB", 1_024);
        check_size("64MiB", 64 << 20);
        check_size("1GB", 1_000_000_000);
        check_size("2TiB", 2 << 40);
        check_size("3TB", 3_000_000_000_000);
        check_size(" 64 MiB ", 64 << 20);
    }

    #[test]
    fn durations_are_read() {
        check_duration("0s", 0);
        check_duration("500ms", 500);
        check_duration("2s", 2_000);
        check_duration("5m", 300_000);
        check_duration("5min", 300_000);
        check_duration("6h", 21_600_000);
        check_duration("1d", 86_400_000);
    }

    #[test]
    fn refusals_say_what_was_expected() {
        check_refused(parse_size("").unwrap_err(), "expected a whole number and a unit, such as \"64MiB\"");
        check_refused(parse_size("1.5GiB").unwrap_err(), "expected a whole number and a unit, such as \"64MiB\"");
        check_refused(parse_size("-1").unwrap_err(), "expected a whole number and a unit, such as \"64MiB\"");
        check_refused(
            parse_size("64mb").unwrap_err(),
            "unknown unit; expected one of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB, such as \"64MiB\"",
        );
        check_refused(parse_size("99999999999999999999").unwrap_err(), "the number is too large");
        check_refused(parse_size("99999999TiB").unwrap_err(), "the number is too large");
        check_refused(parse_duration("5").unwrap_err(), "a duration needs a unit (ms, s, m, h, d), such as \"2s\"");
        check_refused(parse_duration("5w").unwrap_err(), "unknown unit; expected one of ms, s, m, h, d, such as \"2s\"");
        check_refused(parse_duration("1h30m").unwrap_err(), "expected a whole number and a unit, such as \"2s\"");
        check_refused(parse_duration("99999999999999999d").unwrap_err(), "the number is too large");
    }

    #[test]
    fn texts_are_the_shortest_exact_ones() {
        for text in ["0", "512", "1000B", "1KiB", "1536", "64MiB", "192MiB", "1MB", "1GB", "1TiB"] {
            let bytes = parse_size(text).unwrap();
            let want = if text == "1000B" { "1kB" } else { text };
            assert_eq!(size_text(bytes), want);
        }
        for (text, want) in [("0s", "0s"), ("500ms", "500ms"), ("60s", "1m"), ("90s", "90s"), ("24h", "1d"), ("1500ms", "1500ms")]
        {
            assert_eq!(duration_text(parse_duration(text).unwrap()), want);
        }
        assert_eq!(duration_text(Duration::from_micros(1_999)), "1ms");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: u64, millis: u64) {
            prop_assert_eq!(parse_size(&size_text(bytes)), Ok(bytes));
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&duration_text(span)), Ok(span));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = parse_size(&text);
            let _ = parse_duration(&text);
        }
    }
}
