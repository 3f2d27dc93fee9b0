//! Figures and times as the page shows them.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::daemon::entry::{How, Why};
use crate::write::human;

/// A moment, to the second: UTC, as in logs.
pub fn time(at: Timestamp) -> Markup {
    let exact = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let shown = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(exact) { (shown) } }
}

/// How long ago that was: `12 min ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    match seconds {
        ..=0 => "just now".to_owned(),
        1..=59 => format!("{seconds} s ago"),
        60..=3_599 => format!("{} min ago", seconds / 60),
        3_600..=86_399 => format!("{} h {} min ago", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h ago", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Growth, by the minute: a second is too short for what leaks.
pub fn growth(bytes_a_second: f64) -> String {
    let a_minute = bytes_a_second * 60.0;
    if !a_minute.is_finite() || a_minute.abs() < 1.0 {
        return "0 B/min".to_owned();
    }
    let sign = if a_minute < 0.0 { "\u{2212}" } else { "+" };
    format!("{sign}{}/min", human::bytes(a_minute.abs() as u64))
}

/// A share in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// Why a recording was begun.
pub fn why(why: &Why) -> Markup {
    match why {
        Why::Scheduled => html! { "scheduled" },
        Why::Continuous => html! { "continuous" },
        Why::Triggered { trigger } => {
            html! { strong.triggered { "triggered" } ": " (clean(trigger)) }
        }
        Why::Asked => html! { "asked for" },
    }
}

/// How it ended, marked where the target came to harm.
pub fn how(how: &How) -> Markup {
    match how {
        How::Over => html! { "complete" },
        How::Exited => html! { "target exited" },
        How::Killed { signal } => html! {
            span.badge.bad { "killed by " (signal_name(*signal)) }
        },
        How::OutOfMemory => html! { span.badge.oom { "OOM-killed" } },
        How::Exec => html! { "target executed another program" },
    }
}

/// `SIGSEGV`, or the number.
fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(
        |_| format!("signal {signal}"),
        |signal| signal.as_str().to_owned(),
    )
}

/// A text from outside that cannot reorder or hide what is around it.
pub fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    crate::write::name::clean(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_by_the_minute() {
        assert_eq!(growth(0.0), "0 B/min");
        assert_eq!(growth(f64::NAN), "0 B/min");
        assert_eq!(growth(1024.0), "+60.00 KiB/min");
        assert_eq!(growth(-1024.0), "\u{2212}60.00 KiB/min");
    }

    #[test]
    fn times_past() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (seconds, expected) in [
            (-5, "just now"),
            (59, "59 s ago"),
            (125, "2 min ago"),
            (7_260, "2 h 1 min ago"),
            (180_000, "2 d 2 h ago"),
        ] {
            let at = Timestamp::from_second(1_000_000 - seconds).unwrap();
            assert_eq!(ago(at, now), expected);
        }
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(11), "SIGSEGV");
        assert_eq!(signal_name(64), "signal 64");
        assert!(how(&How::OutOfMemory).into_string().contains("OOM-killed"));
    }
}
