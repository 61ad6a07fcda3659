//! Times as text and as numbers, without a clock.
//!
//! Reads the shape AWS writes (`YYYY-MM-DDThh:mm:ss`, optional fraction, optional `Z`) and writes RFC 3339. It refuses
//! to guess: a text of another shape is no time, and a date that does not exist is none either.

use crate::batch::Micros;

const SECOND: Micros = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Whether a text has the shape of a timestamp: `YYYY-MM-DDThh:mm:ss`, a fraction of any length, a `Z`, the last two
/// optional. Says nothing about whether that day exists.
#[inline(always)]
pub fn has_shape(text: &[u8]) -> bool {
    const PATTERN: &[u8; 19] = b"0000-00-00T00:00:00";
    let Some((head, tail)) = text.split_first_chunk::<19>() else { return false };
    let mut good = true;
    for (&byte, &want) in head.iter().zip(PATTERN) {
        good &= if want == b'0' { byte.is_ascii_digit() } else { byte == want };
    }
    good && tail_has_shape(tail)
}

#[inline(always)]
fn tail_has_shape(tail: &[u8]) -> bool {
    let tail = tail.strip_suffix(b"Z").unwrap_or(tail);
    match tail.split_first() {
        None => true,
        Some((b'.', digits)) => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

/// The moment a text of that shape names, taken as UTC; `None` when there is no such day or hour.
///
/// Digits below a microsecond are cut off. A 60th second is the first of the next minute.
#[inline(always)]
pub fn parse_shaped(text: &[u8]) -> Option<Micros> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let two = |at: usize| i64::from(head[at].wrapping_sub(b'0')) * 10 + i64::from(head[at + 1].wrapping_sub(b'0'));
    let date = days(two(0) * 100 + two(2), two(5), two(8))?;
    let (hour, minute, second) = (two(11), two(14), two(17));
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = date * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    Some(seconds * SECOND + fraction(tail))
}

/// Microseconds of `.123…`; zero where there is no fraction.
#[inline(always)]
fn fraction(tail: &[u8]) -> Micros {
    let Some((b'.', digits)) = tail.split_first() else { return 0 };
    let mut micros = 0;
    let mut unit = SECOND / 10;
    for digit in digits.iter().take(6).take_while(|digit| digit.is_ascii_digit()) {
        micros += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    micros
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` when that date does not exist.
#[inline(always)]
pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    // Years start in March, so that the leap day is the last: Howard Hinnant, "chrono-compatible low-level date algorithms".
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[inline(always)]
fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Writes a moment as `YYYY-MM-DDThh:mm:ss.mmmZ`, cut to milliseconds.
///
/// Years outside 0 to 9999 do not occur: a receive time comes from the machine's clock, anything else was parsed.
pub fn format_millis(time: Micros) -> [u8; 24] {
    let seconds = time.div_euclid(SECOND);
    let millis = time.rem_euclid(SECOND) / 1000;
    let (year, month, day) = date(seconds.div_euclid(DAY_SECONDS));
    let of_day = seconds.rem_euclid(DAY_SECONDS);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |at: usize, width: usize, mut value: i64| {
        for place in (at..at + width).rev() {
            text[place] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    };
    put(0, 4, year.clamp(0, 9999));
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, of_day / 3600);
    put(14, 2, of_day / 60 % 60);
    put(17, 2, of_day % 60);
    put(20, 3, millis);
    text
}

/// Year, month and day of a number of days since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert!(has_shape(text.as_bytes()), "{text} has the shape");
        let got = parse_shaped(text.as_bytes()).map(|time| String::from_utf8(format_millis(time).to_vec()).expect("ASCII"));
        assert_eq!(got.as_deref(), want, "{text}");
    }

    #[test]
    fn times_as_aws_writes_them() {
        check("2026-03-01T10:20:30.123456Z", Some("2026-03-01T10:20:30.123Z"));
        check("2020-04-01T08:51:42", Some("2020-04-01T08:51:42.000Z"));
        check("2020-02-29T00:00:00.5", Some("2020-02-29T00:00:00.500Z"));
        check("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000Z"));
        check("1969-12-31T23:59:59.999999999Z", Some("1969-12-31T23:59:59.999Z"));
        check("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00.000Z"));
    }

    #[test]
    fn days_that_do_not_exist() {
        for text in [
            "2021-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn other_shapes_are_no_times() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01 10:20:30",
            "2026-03-01T10:20:30.",
            "2026-03-01T10:20:30+00:00",
            "2026-03-01T10:20:30ZZ",
            "x026-03-01T10:20:30Z",
        ] {
            assert!(!has_shape(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn every_day_of_five_centuries_comes_back() {
        let first = days(1700, 1, 1).expect("a day");
        for day in first..first + 500 * 366 {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), Some(day));
        }
    }
}
