//! Times as a user types them.

use std::time::Duration;

/// Parses `60`, `60s`, `500ms`, `5m`, `1h30m`; a plain number is seconds.
pub fn parse(text: &str) -> Result<Duration, String> {
    let advice = "a time is a number of seconds or such as 500ms, 60s, 5m, 1h30m";
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| advice.to_owned())?;
    Duration::try_from(signed).map_err(|_| advice.to_owned())
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
        for text in ["", "x", "-1", "-5s", "5 parsecs", "1e3"] {
            assert!(
                parse(text).is_err_and(|error| error.contains("500ms")),
                "{text}"
            );
        }
    }
}
