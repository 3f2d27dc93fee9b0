//! When triggers fire, and when they do not.

use proptest::prelude::*;

use super::super::Watch;
use super::*;

fn watch(lines: &str) -> Watch {
    Watch::new(&settings(lines))
}

/// At which of these seconds and sizes it fires.
fn fires(watch: &mut Watch, steps: &[(u64, u64)]) -> Vec<u64> {
    let fired = |&(at, rss): &(u64, u64)| watch.look(&reading(at, rss)).map(|_| at);
    steps.iter().filter_map(fired).collect()
}

#[test]
fn growth_fires_once_it_is_reached_and_says_so() {
    let mut watch = watch("rss_grows = '50MiB'\nwithin = '10m'\ncooldown = 0");
    assert_eq!(watch.look(&reading(0, 100 * MIB)), None);
    assert_eq!(watch.look(&reading(60, 90 * MIB)), None);
    assert_eq!(watch.look(&reading(500, 140 * MIB - 1)), None);
    assert_eq!(
        watch.look(&reading(540, 142 * MIB)).as_deref(),
        Some("RSS grew by 52.00 MiB in 8 min 0 s (limit 50.00 MiB in 10 min 0 s)")
    );
    // From here it counts anew.
    assert_eq!(
        fires(
            &mut watch,
            &[(550, 142 * MIB), (560, 191 * MIB), (570, 192 * MIB)]
        ),
        [570]
    );
}

#[test]
fn slow_growth_never_fires() {
    let mut watch = watch("rss_grows = '50MiB'\nwithin = '10m'\ncooldown = 0");
    let steps: Vec<_> = (0..1000).map(|i| (10 * i, i * MIB * 8 / 10)).collect();
    assert!(fires(&mut watch, &steps).is_empty());
}

#[test]
fn a_pause_is_no_growth() {
    let mut watch = watch("rss_grows = '50MiB'\nwithin = '10m'\ncooldown = 0");
    let steps = [(0, MIB), (10, MIB), (4000, 9000 * MIB), (4010, 9001 * MIB)];
    assert!(fires(&mut watch, &steps).is_empty());
    assert_eq!(fires(&mut watch, &[(4020, 9050 * MIB)]), [4020]);
}

#[test]
fn above_fires_again_only_after_a_fall_below_the_hysteresis() {
    let mut watch = watch("rss_above = 1000\ncooldown = 0");
    let steps = [
        (0, 1000),
        (1, 1001),
        (2, 5000),
        (3, 900),
        (4, 1001),
        (5, 899),
        (6, 1000),
        (7, 1001),
    ];
    assert_eq!(fires(&mut watch, &steps), [1, 7]);
}

#[test]
fn a_fall_during_the_cooldown_counts_and_a_rise_is_told_after_it() {
    let mut watch = watch("rss_above = 1000\ncooldown = 100");
    let steps = [
        (0, 2000),
        (10, 100),
        (20, 2000),
        (99, 2000),
        (100, 2000),
        (300, 2000),
    ];
    assert_eq!(fires(&mut watch, &steps), [0, 100]);
}

#[test]
fn a_share_is_of_the_cgroups_limit_whatever_that_is_now() {
    let mut watch = watch("rss_above = '80%'\ncooldown = 0");
    let mut look = |at, rss, limit| {
        let mut reading = reading(at, rss);
        let limited = |limit| CgroupReading {
            limit: Some(limit),
            ..cgroup("/a", None, None)
        };
        reading.cgroup = Some(limited(limit));
        watch.look(&reading)
    };
    assert_eq!(look(0, 80 * MIB, 100 * MIB), None);
    assert_eq!(
        look(1, 81 * MIB, 100 * MIB).as_deref(),
        Some("RSS is 81.00 MiB (limit 80.00 MiB, 80% of the cgroup's limit 100.00 MiB)")
    );
    // More is allowed, then less again.
    assert_eq!(look(2, 81 * MIB, 200 * MIB), None);
    assert!(look(3, 81 * MIB, 100 * MIB).is_some());
    // Without a limit there is no share of it.
    assert_eq!(watch.look(&reading(4, 1 << 60)), None);
}

#[test]
fn other_measures_have_words_of_their_own() {
    let mut now = reading(0, 3 * MIB);
    now.pressure = Some(12.5);
    now.mappings = Some(60_000);
    now.most_mappings = Some(65_530);
    for (lines, words) in [
        ("vsz_above = '5MiB'", "VSZ is 6.00 MiB (limit 5.00 MiB)"),
        (
            "pressure_above = 10",
            "memory was waited for in 12.50% of the last 10 s (limit 10.00%)",
        ),
        (
            "mappings_above = 50000",
            "there are 60,000 mappings (limit 50,000)",
        ),
        (
            "mappings_above = '80%'",
            "there are 60,000 mappings (limit 52,424, 80% of vm.max_map_count 65,530)",
        ),
    ] {
        assert_eq!(watch(lines).look(&now).as_deref(), Some(words), "{lines}");
    }
}

/// What it says at these counts of `max`, of these directories, one a second.
fn events(watch: &mut Watch, counts: &[(&str, Option<u64>)]) -> Vec<Option<String>> {
    let look = |(at, &(directory, max)): (usize, &(&str, Option<u64>))| {
        let mut reading = reading(at as u64, MIB);
        reading.cgroup = Some(cgroup(directory, Some(7), max));
        watch.look(&reading)
    };
    counts.iter().enumerate().map(look).collect()
}

#[test]
fn events_fire_when_their_counter_grows() {
    let mut watch = watch("cgroup_event = 'max'\ncooldown = 0");
    let said = events(
        &mut watch,
        &[("/a", Some(5)), ("/a", Some(5)), ("/a", Some(8))],
    );
    let words = "the cgroup hit its memory limit 3 times";
    assert_eq!(said, [None, None, Some(words.to_owned())]);
}

#[test]
fn a_counter_that_goes_backwards_or_is_anothers_does_not_fire() {
    let mut watch = watch("cgroup_event = 'max'\ncooldown = 0");
    let counts = [
        ("/a", Some(5)),
        ("/a", Some(2)),
        ("/a", None),
        ("/a", Some(2)),
        ("/b", Some(90)),
        ("/b", Some(90)),
    ];
    assert!(events(&mut watch, &counts).iter().all(Option::is_none));
    let said = events(&mut watch, &[("/b", Some(91))]);
    assert!(said[0].as_ref().is_some_and(|said| said.contains("1 time")));
}

#[test]
fn events_of_the_cooldown_are_not_told_after_it() {
    let mut watch = watch("cgroup_event = 'max'\ncooldown = 2");
    let counts = [0, 1, 2, 2, 3].map(|count| ("/a", Some(count)));
    let said = events(&mut watch, &counts);
    let fired: Vec<bool> = said.iter().map(Option::is_some).collect();
    assert_eq!(fired, [false, true, false, false, true]);
}

proptest! {
    #[test]
    fn nothing_fires_twice_within_the_cooldown(
        which in 0_usize..4,
        steps in proptest::collection::vec((0_u64..20, 0_u64..3000, 0_u64..30), 1..100),
    ) {
        let conditions = [
            "rss_grows = 500\nwithin = 40",
            "rss_above = 1000",
            "vsz_above = 1000\nhysteresis = '0%'",
            "cgroup_event = 'max'",
        ];
        let mut watch = watch(&format!("{}\ncooldown = 30", conditions[which]));
        let (mut at, mut last) = (0, None);
        for (pause, rss, max) in steps {
            at += pause;
            let mut reading = reading(at, rss);
            reading.cgroup = Some(cgroup("/a", None, Some(max)));
            if watch.look(&reading).is_some() {
                prop_assert!(last.is_none_or(|last| at - last >= 30), "{last:?} {at}");
                last = Some(at);
            }
        }
    }

    #[test]
    fn noise_around_the_limit_fires_once(rss in proptest::collection::vec(900_u64..1200, 1..100)) {
        let mut watch = watch("rss_above = 1000\ncooldown = 0");
        let steps: Vec<_> = (0..).zip(rss.iter().copied()).collect();
        let above = rss.iter().any(|&rss| rss > 1000);
        prop_assert_eq!(fires(&mut watch, &steps).len(), usize::from(above));
    }
}
