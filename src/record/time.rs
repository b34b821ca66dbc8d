//! [`Timestamp`]: a moment in UTC with milliseconds, written as RFC 3339 says it.

#![forbid(unsafe_code)]

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (as CLOCK_REALTIME). Years 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last millisecond of the year 9999: RFC 3339 has four digits for the year.
const LAST: u64 = 253_402_300_799_999;

impl Timestamp {
    /// The present moment by CLOCK_REALTIME; a clock before 1970 or after 9999 is cut to these.
    #[must_use]
    pub fn now() -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(LAST))
    }

    /// That many milliseconds after the epoch, at most the end of the year 9999.
    #[must_use]
    pub fn from_millis(millis: u64) -> Timestamp {
        Timestamp(millis.min(LAST))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// How long before `later` this is; zero if it is not before.
    #[must_use]
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// The civil date of a day counted from 1970-01-01 (the proleptic Gregorian calendar, years that begin in March so that
/// the leap day is the last one; eras of 400 years have 146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`]; the year is at least 1970.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, milli) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = civil(second / 86_400);
        let of_day = second % 86_400;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{milli:03}Z",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60
        )
    }
}

/// The text is not `YYYY-MM-DDTHH:MM:SS.mmmZ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-01-31T23:59:59.000Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    /// Reads exactly what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Timestamp, NotATime> {
        let bytes: &[u8; 24] = text.as_bytes().try_into().map_err(|_| NotATime)?;
        let template = b"dddd-dd-ddTdd:dd:dd.dddZ";
        let fits = bytes.iter().zip(template).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == form,
        });
        if !fits {
            return Err(NotATime);
        }
        let number = |range: std::ops::Range<usize>| -> Result<u64, NotATime> {
            text.get(range).and_then(|s| s.parse().ok()).ok_or(NotATime)
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        if year < 1970
            || !(1..=12).contains(&month)
            || day < 1
            || hour > 23
            || minute > 59
            || second > 59
        {
            return Err(NotATime);
        }
        let at = days(year, month, day);
        // The 31st of a month with 30 days would silently be the next day.
        if civil(at) != (year, month, day) {
            return Err(NotATime);
        }
        let seconds = at * 86_400 + hour * 3600 + minute * 60 + second;
        Ok(Timestamp(seconds * 1000 + number(20..23)?))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn known_moments() {
        // By date(1): date -u -d @SECONDS +%FT%TZ
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_704_067_199_001, "2023-12-31T23:59:59.001Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(millis)), "{text}");
        }
        assert_eq!(Timestamp::from_millis(u64::MAX).millis(), LAST);
    }

    #[test]
    fn every_day_of_four_centuries_goes_there_and_back() {
        let mut last = (1969, 12, 31);
        for day in 0..146_097 {
            let date = civil(day);
            assert!(date > last, "{date:?} after {last:?}");
            assert_eq!(days(date.0, date.1, date.2), day, "{date:?}");
            last = date;
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-01-31T23:59:59Z",
            "2026-01-31 23:59:59.000Z",
            "2026-01-31T23:59:59.000z",
            "2026-02-29T00:00:00.000Z",
            "2026-04-31T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:60:00.000Z",
            "2026-01-01T00:00:60.000Z",
            "1969-12-31T23:59:59.999Z",
            "+026-01-31T23:59:59.000Z",
            "2026-01-31T23:59:59.0é0Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn now_is_in_this_century() {
        let now = Timestamp::now();
        assert!(now > "2025-01-01T00:00:00.000Z".parse().unwrap());
        assert!(now < "2100-01-01T00:00:00.000Z".parse().unwrap());
    }
}
