use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};

use super::*;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A history with this RSS every ten seconds.
fn history(rss: impl IntoIterator<Item = u64>) -> History {
    let mut history = History::default();
    for (i, rss) in (0..).zip(rss) {
        note(&mut history, 10 * i, rss);
    }
    history
}

fn note(history: &mut History, seconds: u64, rss: u64) {
    history.note(&Reading {
        at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds.cast_signed()),
        moment: *BEGIN + Duration::from_secs(seconds),
        rss,
        vsz: rss + 1,
        mappings: None,
        most_mappings: None,
        cgroup: None,
        pressure: None,
    });
}

fn growth(rss: impl IntoIterator<Item = u64>) -> f64 {
    history(rss).growth().unwrap()
}

#[test]
fn a_day_is_shown_in_few_samples_of_equal_distance() {
    let samples = history((0..20_000).map(|i| 1000 + i)).samples();
    assert!((120..=Process::MOST_SAMPLES).contains(&samples.len()));
    let last = samples.last().unwrap();
    assert_eq!((last.rss, last.vsz), (20_999, 21_000));
    assert_eq!(last.at.as_second(), 199_990);
    let span = last.at.as_second() - samples[0].at.as_second();
    assert!((80_000..=86_400).contains(&span), "{span}");
}

#[test]
fn two_hours_are_shown_from_the_beginning() {
    let samples = history(0..720).samples();
    assert!((120..=Process::MOST_SAMPLES).contains(&samples.len()));
    assert_eq!(samples[0].at, Timestamp::UNIX_EPOCH);
}

#[test]
fn of_a_steady_leak_the_rate_is_exact() {
    assert!((growth((0..60).map(|i| 1000 + 250 * i)) - 25.0).abs() < 1e-9);
    assert!((growth((0..60).map(|i| 100_000 - 250 * i)) + 25.0).abs() < 1e-9);
    assert!(growth([4096; 10]).abs() < 1e-9);
}

#[test]
fn a_step_and_peaks_are_no_growth() {
    let step = (0..90).map(|i| if i < 25 { 10 } else { 1 << 30 });
    assert!(growth(step).abs() < 1e-9);
    let leak_with_peaks = (0..90).map(|i| 1000 * i + if i % 5 == 3 { 1 << 30 } else { 0 });
    let rate = growth(leak_with_peaks);
    assert!((rate - 100.0).abs() < 5.0, "{rate}");
}

#[test]
fn what_is_long_ago_does_not_count() {
    let rss = (0..300_u64).map(|i| if i < 200 { 5000 * i } else { 1_000_000 });
    assert!(growth(rss).abs() < 1e-9);
}

#[test]
fn of_too_little_nothing_is_said() {
    assert_eq!(history([]).growth(), None);
    assert_eq!(history([1, 2, 3]).growth(), None, "20 s");
    assert!(history([1, 2, 3, 4]).growth().is_some());
    let mut far_apart = History::default();
    note(&mut far_apart, 0, 1);
    note(&mut far_apart, 600, 1 << 30);
    assert_eq!(far_apart.growth(), None);
}

#[test]
fn a_pause_is_no_infinite_rate() {
    let mut history = history([1000; 30]);
    note(&mut history, 290, 9_000_000_000);
    note(&mut history, 90_000, 9_000_000_000);
    assert_eq!(history.growth(), None, "all else is too old");
    note(&mut history, 90_010, 9_000_000_000);
    note(&mut history, 90_040, 9_000_000_000);
    assert!(history.growth().unwrap().abs() < 1e-9);
}

#[test]
fn readings_of_one_moment_have_no_slope() {
    let mut history = history([1000; 4]);
    for _ in 0..20 {
        note(&mut history, 40, 1000);
    }
    assert!(history.growth().unwrap().abs() < 1e-9);
}
