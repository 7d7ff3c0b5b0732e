//! A point in time as the API shows it and the database keeps it: UTC, to the millisecond.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

const EXPECTED: &str = "expected a date and time with its offset (RFC 3339), such as 2030-12-31T20:00:00Z";

/// Milliseconds since the Unix epoch; RFC 3339 in JSON. It holds only times that RFC 3339 can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2030-12-31T20:00:00Z"))]
pub(crate) struct Timestamp(i64);

// === impl Timestamp ===

impl Timestamp {
    /// The time of the system's clock.
    pub(crate) fn now() -> Self {
        let now = OffsetDateTime::now_utc();
        Self(now.unix_timestamp() * 1000 + i64::from(now.millisecond()))
    }

    pub(crate) fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub(crate) fn as_millis(self) -> i64 {
        self.0
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    pub(crate) fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long ago it was; nothing when the clock was set back meanwhile.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_millis(u64::try_from(Self::now().0 - self.0).unwrap_or(0))
    }

    fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
        // The year 0 in one offset is the year -1 in UTC, which RFC 3339 cannot write.
        (0..=9999).contains(&time.year()).then(|| Self(time.unix_timestamp() * 1000 + i64::from(time.millisecond())))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .map_err(serde::ser::Error::custom)?;
        let text = time.format(&Rfc3339).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(EXPECTED))?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(EXPECTED))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_time_is_kept_in_utc_or_refused() {
        let check = |text: &str| Timestamp::parse(text).map(|time| serde_json::to_string(&time).unwrap());
        assert_eq!(check("2030-12-31T20:00:00+02:00").as_deref(), Some("\"2030-12-31T18:00:00Z\""));
        assert_eq!(check("2030-12-31T20:00:00.123456Z").as_deref(), Some("\"2030-12-31T20:00:00.123Z\""));
        assert_eq!(check("1969-12-31T23:59:59.5Z").as_deref(), Some("\"1969-12-31T23:59:59.5Z\""));
        for refused in [
            "",
            "tomorrow",
            "2030-12-31",
            "2030-13-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0000-01-01T00:00:00+01:00",
        ] {
            assert_eq!(check(refused), None, "{refused}");
        }
    }
}
