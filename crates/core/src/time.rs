//! Points in time and lengths of time that cannot read a clock: the caller says what time it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the Unix epoch; saturates at the ends of the range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The time `ttl` later; saturates.
    #[must_use]
    pub const fn plus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add(ttl.as_micros()))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Ttl {
        let micros = self.0.saturating_sub(earlier.0);
        Ttl(if micros < 0 { 0 } else { micros })
    }

    /// RFC 3339 with microseconds and `Z`, the form of `metav1.MicroTime`.
    pub fn rfc3339(self) -> String {
        use time::OffsetDateTime;
        let nanos = i128::from(self.0).saturating_mul(1000);
        let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
            return format!("@{}us", self.0);
        };
        let mut text = String::with_capacity(27);
        match u32::try_from(at.year()) {
            Ok(year) => push_digits(&mut text, year, 4),
            Err(_) => text.push_str(&format!("{:04}", at.year())),
        }
        for (before, value, digits) in [
            ('-', u8::from(at.month()).into(), 2),
            ('-', at.day().into(), 2),
            ('T', at.hour().into(), 2),
            (':', at.minute().into(), 2),
            (':', at.second().into(), 2),
            ('.', at.microsecond(), 6),
        ] {
            text.push(before);
            push_digits(&mut text, value, digits);
        }
        text.push('Z');
        text
    }
}

/// The last `count` decimal digits of `value`: several times a request, for which `format!` is slow.
fn push_digits(text: &mut String, value: u32, count: u32) {
    for place in (0..count).rev() {
        let digit = value / 10u32.pow(place) % 10;
        text.extend(char::from_digit(digit, 10));
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// A length of time, in microseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ttl(i64);

impl Ttl {
    /// From whole seconds; saturates.
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs as i64 * 1_000_000)
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0 / 1_000_000
    }

    /// Microseconds.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Ttl {
    /// `7h59m`, `59m30s`, `12s`: two units at most, as kubectl shows ages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.as_secs();
        let (d, h, m, r) = (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
        match (d, h, m) {
            (0, 0, 0) => write!(f, "{r}s"),
            (0, 0, _) => write!(f, "{m}m{r}s"),
            (0, _, _) => write!(f, "{h}h{m}m"),
            _ => write!(f, "{d}d{h}h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_has_microseconds() {
        assert_eq!(
            Timestamp::from_micros(0).rfc3339(),
            "1970-01-01T00:00:00.000000Z"
        );
        assert_eq!(
            Timestamp::from_micros(1_795_474_253_000_042).rfc3339(),
            "2026-11-23T22:50:53.000042Z"
        );
        assert_eq!(
            Timestamp::from_secs(253_402_300_799).rfc3339(),
            "9999-12-31T23:59:59.000000Z"
        );
        assert_eq!(
            Timestamp::from_secs(-62_198_755_200).rfc3339(),
            "-001-01-01T00:00:00.000000Z"
        );
    }

    #[test]
    fn since_is_never_negative() {
        let (a, b) = (Timestamp::from_secs(10), Timestamp::from_secs(25));
        assert_eq!(b.since(a).as_secs(), 15);
        assert_eq!(a.since(b).as_secs(), 0);
    }

    #[test]
    fn ttl_reads_like_kubectl_ages() {
        for (secs, text) in [
            (12, "12s"),
            (90, "1m30s"),
            (28_740, "7h59m"),
            (200_000, "2d7h"),
        ] {
            assert_eq!(Ttl::from_secs(secs).to_string(), text);
        }
    }
}
