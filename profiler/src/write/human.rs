//! Numbers as a person reads them. The only place that decides how bytes look.

use std::time::Duration;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Bytes in binary units with two decimals; exact below 1 KiB.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.995 would be printed as 1024.00 of the same unit
    while value >= 1023.995 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2} {}", UNITS[unit])
}

/// A whole number with separators between thousands.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and its noun, whose plural is formed with `s`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Milliseconds below a second, seconds with one decimal below a minute, whole units above.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        return format!("{} ms", duration.as_millis());
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours} h {minutes} min {seconds} s")
    } else {
        format!("{minutes} min {seconds} s")
    }
}

/// Per cent with one decimal. A part of nothing is nothing.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0.0%".to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    let mut permille = (part * 1000 + whole / 2) / whole;
    // Only the whole is called 100 %, only nothing 0 %.
    if part > 0 && part < whole {
        permille = permille.clamp(1, 999);
    }
    format!("{}.{}%", permille / 10, permille % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_exact_below_a_kibibyte() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1), "1 B");
        assert_eq!(bytes(1023), "1023 B");
    }

    #[test]
    fn bytes_have_binary_units() {
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!(bytes(1_999_993), "1.91 MiB");
        assert_eq!(bytes(29_097_984), "27.75 MiB");
        assert_eq!(bytes(3 << 30), "3.00 GiB");
        assert_eq!(bytes(u64::MAX), "16.00 EiB");
    }

    #[test]
    fn bytes_never_round_up_to_1024_of_a_unit() {
        assert_eq!(bytes(1024 * 1024 - 1), "1.00 MiB");
        assert_eq!(bytes(1024 * 1024 - 6), "1023.99 KiB");
        assert_eq!(bytes((1 << 30) - 1), "1.00 GiB");
    }

    #[test]
    fn thousands_are_separated() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(count(number), expected);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn nouns_have_a_plural() {
        assert_eq!(counted(0, "block"), "0 blocks");
        assert_eq!(counted(1, "block"), "1 block");
        assert_eq!(counted(2000, "block"), "2,000 blocks");
    }

    #[test]
    fn durations() {
        for (milliseconds, expected) in [
            (0, "0 ms"),
            (500, "500 ms"),
            (5000, "5.0 s"),
            (59_940, "59.9 s"),
            (59_960, "1 min 0 s"),
            (3_723_400, "1 h 2 min 3 s"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn shares() {
        assert_eq!(share(1, 3), "33.3%");
        assert_eq!(share(3, 3), "100.0%");
        assert_eq!(share(2, 3), "66.7%");
        assert_eq!(share(99_999, 100_000), "99.9%");
        assert_eq!(share(1, 100_000), "0.1%");
        assert_eq!(share(0, 0), "0.0%");
    }
}
