//! Times as text and as numbers, without a clock.
//!
//! Reads the shape AWS writes (`YYYY-MM-DDThh:mm:ss`, optional fraction, optional `Z`) and the ISO 8601 date-times other
//! senders write, and writes RFC 3339. It refuses to guess: a text of another shape is no time, and a date that does
//! not exist is none either.

use crate::batch::Micros;

const SECOND: Micros = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Whether a text has the shape of a timestamp: `YYYY-MM-DDThh:mm:ss`, a fraction of any length, a `Z`, the last two
/// optional. Says nothing about whether that day exists.
#[inline(always)]
pub fn has_shape(text: &[u8]) -> bool {
    let Some((date, rest)) = text.split_first_chunk::<8>() else { return false };
    let Some((hour, rest)) = rest.split_first_chunk::<8>() else { return false };
    let Some(([colon, tens, ones], tail)) = rest.split_first_chunk::<3>() else { return false };
    let seconds = *colon == b':' && tens.is_ascii_digit() && ones.is_ascii_digit();
    matches(*date, b"0000-00-") && matches(*hour, b"00T00:00") && seconds && tail_has_shape(tail)
}

/// Whether eight bytes are digits where the pattern has a zero, and the pattern's own byte elsewhere; in one word.
#[inline(always)]
fn matches(text: [u8; 8], pattern: &[u8; 8]) -> bool {
    let (mut digits, mut fixed) = (0, 0);
    for (at, &byte) in pattern.iter().enumerate() {
        if byte == b'0' {
            digits |= 0x06 << (8 * at);
            fixed |= 0xf0 << (8 * at);
        } else {
            fixed |= 0xff << (8 * at);
        }
    }
    // A digit is now 0 to 9 and every other byte of the pattern 0; six more carries 10 to 15 into the upper half.
    let off = u64::from_le_bytes(text) ^ u64::from_le_bytes(*pattern);
    (off | off.wrapping_add(digits)) & fixed == 0
}

#[inline(always)]
fn tail_has_shape(tail: &[u8]) -> bool {
    // What nearly all lines have.
    if let Ok(micros) = tail.try_into()
        && matches(micros, b".000000Z")
    {
        return true;
    }
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
    micros(digits)
}

/// Microseconds that the digits behind a decimal mark stand for, whatever follows them.
#[inline(always)]
fn micros(digits: &[u8]) -> Micros {
    if let Some(&[a, b, c, d, e, f]) = digits.first_chunk()
        && [a, b, c, d, e, f].iter().all(u8::is_ascii_digit)
    {
        let [a, b, c, d, e, f] = [a, b, c, d, e, f].map(|digit| i64::from(digit & 15));
        return ((a * 10 + b) * 100 + (c * 10 + d)) * 100 + (e * 10 + f);
    }
    let mut micros = 0;
    let mut unit = SECOND / 10;
    for digit in digits.iter().take(6).take_while(|digit| digit.is_ascii_digit()) {
        micros += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    micros
}

/// The moment an ISO 8601 date-time names; `None` when the text is none, or there is no such day, hour or offset.
///
/// Takes `YYYY-MM-DDThh:mm`, then optionally `:ss` with a fraction of any length behind `.` or `,`, then optionally `Z`
/// or an offset `+hh`, `+hhmm` or `+hh:mm` of less than a day; without either it is UTC. A date alone is no moment.
#[inline(always)]
pub fn parse_iso8601(text: &[u8]) -> Option<Micros> {
    if has_shape(text) { parse_shaped(text) } else { parse_uncommon(text) }
}

fn parse_uncommon(text: &[u8]) -> Option<Micros> {
    let (minute, mut rest) = text.split_at_checked(16)?;
    let mut whole = *b"0000-00-00T00:00:00";
    whole[..16].copy_from_slice(minute);
    let mut part = 0;
    if let [b':', tens, ones, tail @ ..] = rest {
        whole[17..].copy_from_slice(&[*tens, *ones]);
        rest = tail;
        if let [b'.' | b',', digits @ ..] = rest {
            let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            part = micros(digits);
            rest = &digits[length..];
        }
    }
    let local = if has_shape(&whole) { parse_shaped(&whole)? } else { return None };
    Some(local + part - offset(rest)?)
}

/// Microseconds a zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<Micros> {
    let (sign, digits) = match zone {
        [] | [b'Z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let digits = match digits {
        [a, b] => [*a, *b, b'0', b'0'],
        [a, b, c, d] | [a, b, b':', c, d] => [*a, *b, *c, *d],
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let [a, b, c, d] = digits.map(|digit| i64::from(digit - b'0'));
    let (hours, minutes) = (a * 10 + b, c * 10 + d);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) * SECOND)
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

    #[track_caller]
    fn check_iso8601(text: &str, want: Option<&str>) {
        let got = parse_iso8601(text.as_bytes()).map(|time| String::from_utf8(format_millis(time).to_vec()).expect("ASCII"));
        assert_eq!(got.as_deref(), want, "{text}");
    }

    #[test]
    fn date_times_other_senders_write() {
        check_iso8601("2026-03-01T10:20:30.123Z", Some("2026-03-01T10:20:30.123Z"));
        check_iso8601("2026-03-01T10:20:30,123456789Z", Some("2026-03-01T10:20:30.123Z"));
        check_iso8601("2026-03-01T10:20:30", Some("2026-03-01T10:20:30.000Z"));
        check_iso8601("2026-03-01T10:20", Some("2026-03-01T10:20:00.000Z"));
        check_iso8601("2026-03-01T10:20Z", Some("2026-03-01T10:20:00.000Z"));
        check_iso8601("2026-03-01T10:20+02:00", Some("2026-03-01T08:20:00.000Z"));
        check_iso8601("2026-03-01T00:20:30.5+0130", Some("2026-02-28T22:50:30.500Z"));
        check_iso8601("2026-12-31T23:20:30,5-01", Some("2027-01-01T00:20:30.500Z"));
        check_iso8601("2026-03-01T10:20:30-00:00", Some("2026-03-01T10:20:30.000Z"));
        check_iso8601("2026-03-01T10:20:30.0000000000000000000000001+23:59", Some("2026-02-28T10:21:30.000Z"));
    }

    #[test]
    fn texts_that_are_no_date_times() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T",
            "2026-03-01T10",
            "2026-03-01T10:2",
            "2026-03-01 10:20:30",
            "2026-03-01T10:20:",
            "2026-03-01T10:20:3",
            "2026-03-01T10:20:30.",
            "2026-03-01T10:20:30.Z",
            "2026-03-01T10:20.5Z",
            "2026-03-01T10:20:30ZZ",
            "2026-03-01T10:20:30Z+01:00",
            "2026-03-01T10:20:30+",
            "2026-03-01T10:20:30+1",
            "2026-03-01T10:20:30+1:00",
            "2026-03-01T10:20:30+24:00",
            "2026-03-01T10:20:30+01:60",
            "2026-03-01T10:20:30+01:00Z",
            "2026-02-30T10:20:30+01:00",
            "2026-03-01T25:20Z",
            "20260301T102030Z",
            "1772360430",
            "+2026-03-01T10:20:30Z",
        ] {
            check_iso8601(text, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_time_or_none(text in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let _ = parse_iso8601(&text);
        }

        #[test]
        fn anything_like_a_time_agrees_with_another_reader(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,9})?)?(Z|[+-][01][0-9](:?[0-5][0-9])?)") {
            let theirs = text.parse::<jiff::Timestamp>().ok().map(|time| time.as_nanosecond().div_euclid(1000));
            // Years around the ends of the calendar are beyond the other reader, not beyond this one.
            if text.starts_with('0') || text.starts_with("9999") { return Ok(()); }
            proptest::prop_assert_eq!(parse_iso8601(text.as_bytes()).map(i128::from), theirs);
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
