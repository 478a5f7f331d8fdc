//! Strings of a log line that are borrowed from it where they can be.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A string of the line, or a copy where it has escapes. `null` is empty, and so are numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words).map(Self)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }
}

/// What may be `null`, and is then what it is when it is not there.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Microseconds since the Unix epoch of an RFC 3339 time; the form that API servers write is read by hand, which
/// is most of the speed.
pub(super) fn micros(text: &str) -> Option<i64> {
    fast(text.as_bytes()).or_else(|| {
        let format = &time::format_description::well_known::Rfc3339;
        let moment = time::OffsetDateTime::parse(text, format).ok()?;
        i64::try_from(moment.unix_timestamp_nanos() / 1_000).ok()
    })
}

/// `2026-11-25T06:18:00.123456Z`, with up to nine digits of a second or none.
fn fast(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| {
        let digits = head.get(range)?;
        digits.iter().try_fold(0_i64, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let is = |at: usize, byte: u8| head.get(at) == Some(&byte);
    let marks = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !marks || !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + fraction(rest)?)
}

/// Microseconds of `.123456Z` or `Z`.
fn fraction(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z")?;
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(b".")?;
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut found = 0;
    for position in 0..6 {
        let digit = digits.get(position).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        found = found * 10 + i64::from(digit - b'0');
    }
    Some(found)
}

/// Days since the Unix epoch (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_library_reads_them() {
        for text in [
            "2026-11-25T06:18:00.123456Z",
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.9Z",
            "2100-03-01T00:00:00.123456789Z",
            "1969-12-31T23:59:59.000001Z",
            "2026-11-25T06:18:00+02:00",
        ] {
            let format = &time::format_description::well_known::Rfc3339;
            let expected = time::OffsetDateTime::parse(text, format).unwrap();
            let expected = i64::try_from(expected.unix_timestamp_nanos() / 1_000).unwrap();
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "Z",
            "2026-13-01T00:00:00Z",
            "2026-11-25T06:18:00.Z",
            "2026-11-25 06:18",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn text_is_borrowed_unless_it_has_escapes() {
        let plain: Text<'_> = serde_json::from_str(r#""alice""#).unwrap();
        assert!(matches!(plain.0, Cow::Borrowed("alice")));
        let escaped: Text<'_> = serde_json::from_str(r#""a\"b""#).unwrap();
        assert_eq!(&*escaped, "a\"b");
        assert_eq!(&*serde_json::from_str::<Text<'_>>("null").unwrap(), "");
        assert!(serde_json::from_str::<Text<'_>>("[1]").is_err());
    }
}
