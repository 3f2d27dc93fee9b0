//! Triggers as they are written.

use super::super::{Condition, Event, Limit, Measure};
use super::*;
use crate::daemon::reading::Wants;

fn refused(lines: &str) -> String {
    match toml::from_str::<Settings>(lines) {
        Ok(settings) => panic!("{lines}: {settings:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_condition_is_read() {
    let above = |measure, limit| Condition::Above {
        measure,
        limit,
        hysteresis: 0.1,
    };
    let gib = 1024.0 * MIB as f64;
    let grows = Condition::RssGrows {
        by: 50 * MIB,
        within: Duration::from_mins(10),
    };
    for (lines, condition) in [
        ("rss_grows = '50MiB'\nwithin = '10m'", grows.clone()),
        ("rss_grows = 52428800\nwithin = 600", grows),
        (
            "rss_above = '2GiB'",
            above(Measure::Rss, Limit::Fixed(2.0 * gib)),
        ),
        (
            "rss_above = '80%'",
            above(Measure::Rss, Limit::Percent(80.0)),
        ),
        (
            "vsz_above = '400%'",
            above(Measure::Vsz, Limit::Percent(400.0)),
        ),
        (
            "pressure_above = 10",
            above(Measure::Pressure, Limit::Fixed(10.0)),
        ),
        (
            "pressure_above = 0.5",
            above(Measure::Pressure, Limit::Fixed(0.5)),
        ),
        (
            "mappings_above = 50000",
            above(Measure::Mappings, Limit::Fixed(50_000.0)),
        ),
        (
            "mappings_above = '80%'",
            above(Measure::Mappings, Limit::Percent(80.0)),
        ),
        ("cgroup_event = 'high'", Condition::Event(Event::High)),
        ("cgroup_event = 'max'", Condition::Event(Event::Max)),
    ] {
        let settings = settings(lines);
        assert_eq!(settings.condition, condition, "{lines}");
        assert_eq!(settings.cooldown, Duration::from_mins(30), "{lines}");
    }
}

#[test]
fn cooldown_and_hysteresis_can_be_set() {
    let settings = settings("rss_above = 7\ncooldown = '90s'\nhysteresis = '25%'");
    assert_eq!(settings.cooldown, Duration::from_secs(90));
    let condition = Condition::Above {
        measure: Measure::Rss,
        limit: Limit::Fixed(7.0),
        hysteresis: 0.25,
    };
    assert_eq!(settings.condition, condition);
}

#[test]
fn a_trigger_has_exactly_one_condition() {
    assert!(refused("cooldown = '1m'").contains("needs a condition, one of rss_grows, rss_above"));
    let two = refused("rss_above = '1GiB'\nvsz_above = '1GiB'");
    assert!(two.contains("rss_above and vsz_above"), "{two}");
    let grows = refused("rss_grows = '1MiB'\nwithin = '1m'\ncgroup_event = 'max'");
    assert!(grows.contains("rss_grows and cgroup_event"), "{grows}");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    for (lines, words) in [
        ("rss_grows = '1MiB'", "within = \"10m\""),
        ("rss_above = '1MiB'\nwithin = '10m'", "rss_grows only"),
        (
            "cgroup_event = 'max'\nhysteresis = '10%'",
            "nothing to cgroup_event",
        ),
        (
            "rss_grows = '1MiB'\nwithin = '1m'\nhysteresis = '10%'",
            "nothing to rss_grows",
        ),
        ("rss_above = '1MiB'\nrss_abuv = 3", "unknown field"),
    ] {
        let said = refused(lines);
        assert!(said.contains(words), "{lines}: {said}");
    }
}

#[test]
fn bad_values_are_refused_with_an_example_and_their_line() {
    for (line, words) in [
        ("rss_above = '0'", "50MiB"),
        ("rss_above = -5", "50MiB"),
        ("rss_above = 'much'", "80%"),
        ("rss_above = '0%'", "1000%"),
        ("rss_above = '1001%'", "1000%"),
        ("rss_above = 'NaN%'", "1000%"),
        ("rss_above = '%'", "1000%"),
        ("rss_above = true", "text in quotes"),
        ("rss_grows = ['1MiB']", "text in quotes"),
        ("vsz_above = '80 %%'", "1000%"),
        ("mappings_above = 0", "at least 1"),
        ("mappings_above = 1.5", "at least 1"),
        ("mappings_above = '100%'", "vm.max_map_count"),
        ("pressure_above = 0", "between 0 and 100"),
        ("pressure_above = 100", "between 0 and 100"),
        ("pressure_above = nan", "between 0 and 100"),
        ("pressure_above = -inf", "between 0 and 100"),
        ("cgroup_event = 'oom'", "`high` or `max`"),
        ("within = '0'", "at least 1s"),
        ("within = '200h'", "at most 168h"),
        ("within = 18446744073709551615", ""),
        ("cooldown = '-1m'", "500ms"),
        ("hysteresis = 10", "100%"),
        ("hysteresis = 0.1", "100%"),
        ("hysteresis = '100%'", "100%"),
        ("hysteresis = '-1%'", "100%"),
        ("hysteresis = 'nan%'", "100%"),
    ] {
        let said = refused(&format!("\n\n{line}"));
        assert!(said.contains(words), "{line}: {said}");
        assert!(said.contains("line 3"), "{line}: {said}");
    }
}

#[test]
fn only_what_is_needed_is_read() {
    let none = Wants::default();
    let cgroup = Wants {
        cgroup: true,
        ..none
    };
    for (lines, wants) in [
        ("rss_grows = 1\nwithin = '1m'", none),
        ("rss_above = '1GiB'", none),
        ("rss_above = '80%'", cgroup),
        ("vsz_above = '80%'", cgroup),
        ("cgroup_event = 'max'", cgroup),
        (
            "pressure_above = 1",
            Wants {
                pressure: true,
                ..none
            },
        ),
        (
            "mappings_above = '80%'",
            Wants {
                mappings: true,
                ..none
            },
        ),
    ] {
        assert_eq!(settings(lines).wants(), wants, "{lines}");
    }
}
