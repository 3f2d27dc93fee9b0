//! A trigger says when it cannot fire.

use super::super::Watch;
use super::*;

/// What must be said of a trigger.
fn lack(lines: &str, reading: &Reading) -> Option<String> {
    Watch::new(&settings(lines)).lack(reading)
}

#[test]
fn what_is_absent_is_named_with_what_to_do() {
    let nothing = reading(0, MIB);
    for (lines, words) in [
        ("rss_above = '80%'", "use a size"),
        ("vsz_above = '80%'", "use a size"),
        ("pressure_above = 10", "psi=1"),
        ("mappings_above = 10", "CAP_SYS_PTRACE"),
        ("cgroup_event = 'max'", "use rss_above"),
        ("cgroup_event = 'high'", "use rss_above"),
    ] {
        let said = lack(lines, &nothing).unwrap_or_default();
        assert!(said.contains(words), "{lines}: {said}");
    }
    for lines in [
        "rss_above = 1",
        "vsz_above = 1",
        "rss_grows = 1\nwithin = 60",
    ] {
        assert_eq!(lack(lines, &nothing), None, "{lines}");
    }
}

#[test]
fn version_1_of_cgroups_has_no_high() {
    let mut now = reading(0, MIB);
    now.cgroup = Some(cgroup("/a", None, Some(0)));
    let said = lack("cgroup_event = 'high'", &now).unwrap();
    assert!(said.contains("version 1"), "{said}");
    assert_eq!(lack("cgroup_event = 'max'", &now), None);
}

#[test]
fn what_is_there_is_no_lack() {
    let mut now = reading(0, MIB);
    let limited = CgroupReading {
        limit: Some(MIB),
        ..cgroup("/a", Some(0), Some(0))
    };
    now.cgroup = Some(limited);
    now.pressure = Some(0.0);
    now.mappings = Some(1);
    assert!(lack("mappings_above = '80%'", &now).is_some());
    now.most_mappings = Some(65530);
    for lines in [
        "rss_above = '80%'",
        "pressure_above = 10",
        "mappings_above = '80%'",
        "cgroup_event = 'high'",
    ] {
        assert_eq!(lack(lines, &now), None, "{lines}");
    }
}
