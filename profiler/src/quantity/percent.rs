//! Percentages as a user types them.

/// What a share of the target's CPU time may be, percent.
const ALLOWED: std::ops::RangeInclusive<f64> = 0.1..=1000.0;

/// Parses `5`, `0.5`: a share of CPU time, percent.
pub fn parse(text: &str) -> Result<f64, String> {
    check(text.parse().unwrap_or(f64::NAN))
}

/// The same of what is a number already.
pub fn check(number: f64) -> Result<f64, String> {
    if ALLOWED.contains(&number) {
        return Ok(number);
    }
    Err("a percentage from 0.1 to 1000, such as 5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_bounds() {
        assert_eq!(parse("5"), Ok(5.0));
        assert_eq!(parse("0.1"), Ok(0.1));
        assert_eq!(parse("1000"), Ok(1000.0));
        for text in ["", "x", "nan", "0", "-5", "1000.1", "inf", "5%"] {
            assert!(
                parse(text).is_err_and(|error| error.contains("from 0.1")),
                "{text}"
            );
        }
    }
}
