//! The one place of this crate that reads a clock, and the words people use for lengths of time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kubestile_core::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        // A clock before 1970 is wrong; nothing holds then.
        Err(_) => i64::MAX,
    };
    Timestamp::from_micros(micros)
}

/// `8h`, `90m`, `1h30m`, `45s`, `7d`: numbers with units, largest first or not.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("`{text}` is not a length of time: write `90s`, `15m`, `8h`, `1h30m` or `7d`");
    let mut total: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        let number: u64 = digits.parse().map_err(|_| bad())?;
        digits.clear();
        total = number
            .checked_mul(unit)
            .and_then(|secs| total.checked_add(secs))
            .filter(|secs| *secs <= 100 * 365 * 86_400)
            .ok_or_else(bad)?;
    }
    if text.is_empty() || !digits.is_empty() {
        return Err(bad());
    }
    Ok(Duration::from_secs(total))
}

/// A point in time: RFC 3339 (`2026-11-24T08:00:00Z`), a date (UTC), or a length of time before `now`.
pub(crate) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    use time::format_description::well_known::Rfc3339;
    use time::{Date, OffsetDateTime, macros::format_description};
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        let micros = at.unix_timestamp_nanos() / 1000;
        return i64::try_from(micros)
            .map(Timestamp::from_micros)
            .map_err(|e| e.to_string());
    }
    if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(Timestamp::from_secs(
            date.midnight().assume_utc().unix_timestamp(),
        ));
    }
    match duration(text) {
        Ok(ago) => {
            let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
            Ok(Timestamp::from_micros(now.as_micros().saturating_sub(ago)))
        }
        Err(_) => Err(format!(
            "`{text}` is not a time: write `2026-11-24T08:00:00Z`, `2026-11-24`, or `2h` for two hours ago"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, secs) in [
            ("90s", 90),
            ("1h30m", 5400),
            ("8h", 28_800),
            ("7d", 604_800),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for bad in [
            "",
            "8",
            "h",
            "8h5",
            "-1h",
            "1y",
            "99999999999999999999s",
            "1.5h",
            "5000000000d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments() {
        let now = Timestamp::from_secs(1_000_000);
        assert_eq!(moment("1h", now), Ok(Timestamp::from_secs(996_400)));
        assert_eq!(moment("1970-01-02", now), Ok(Timestamp::from_secs(86_400)));
        assert_eq!(
            moment("1970-01-01T00:00:01.5Z", now),
            Ok(Timestamp::from_micros(1_500_000))
        );
        assert_eq!(
            moment("1970-01-01T01:00:00+01:00", now),
            Ok(Timestamp::from_secs(0))
        );
        assert!(moment("yesterday", now).is_err());
    }
}
