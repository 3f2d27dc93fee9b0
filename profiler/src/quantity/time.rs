//! Times as a user types them.

use std::fmt;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

const ADVICE: &str = "a time is a number of seconds or such as 500ms, 60s, 5m, 1h30m, 7d";

/// Parses `60`, `60s`, `500ms`, `5m`, `1h30m`, `7d`; a plain number is seconds, a day has 24 hours.
pub fn parse(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    // Months and years have no length.
    let signed = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    signed
        .and_then(Duration::try_from)
        .map_err(|_| ADVICE.to_owned())
}

/// A time in a configuration: a string as [`parse`] takes it, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Typed)
    }
}

struct Typed;

impl Visitor<'_> for Typed {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"60s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        parse(text).map(Time).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Time, E> {
        Ok(Time(Duration::from_secs(seconds)))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Time, E> {
        let seconds = u64::try_from(seconds).map_err(|_| E::custom(ADVICE))?;
        self.visit_u64(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        for (text, milliseconds) in [
            ("0", 0),
            ("60", 60_000),
            ("60s", 60_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused_with_examples() {
        for text in ["", "x", "-1", "-5s", "-2d", "5 parsecs", "1e3", "1mo", "1y"] {
            assert!(
                parse(text).is_err_and(|error| error.contains("500ms")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_configuration_has_times_as_text_or_seconds() {
        let read = |json: &str| serde_json::from_str::<Time>(json).map(|time| time.0.as_secs());
        assert_eq!(read("\"5m\"").ok(), Some(300));
        assert_eq!(read("5").ok(), Some(5));
        for json in ["-5", "5.5", "\"x\"", "[]"] {
            let error = read(json).expect_err(json).to_string();
            assert!(error.contains("a time"), "{json}: {error}");
        }
    }
}
