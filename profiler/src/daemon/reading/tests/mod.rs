//! Tests of readings: of made files, and of processes.

mod real;

use std::fs;

use super::mounts::Place;
use super::*;

/// A directory tree as a hierarchy of cgroups has it.
fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Place) {
    let top = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = top.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let place = Place {
        directory: top.path().join("pod/app"),
        top: top.path().to_owned(),
    };
    (top, place)
}

const EVENTS: &str = "low 0\nhigh 3\nmax 20\noom 1\noom_kill 1\noom_group_kill 0\n";

/// Version 2: a pod with a limit, an app in it.
const POD: [(&str, &str); 9] = [
    ("pod/memory.max", "1000000\n"),
    ("pod/memory.current", "900000\n"),
    ("pod/memory.events.local", EVENTS),
    (
        "pod/memory.events",
        "low 9\nhigh 99\nmax 99\noom 9\noom_kill 9\n",
    ),
    ("pod/app/memory.max", "max\n"),
    ("pod/app/memory.current", "500000\n"),
    (
        "pod/app/memory.events.local",
        "low 0\nhigh 0\nmax 4\noom 0\noom_kill 2\n",
    ),
    (
        "pod/app/memory.events",
        "low 0\nhigh 0\nmax 4\noom 0\noom_kill 2\n",
    ),
    ("cgroup.procs", ""),
];

#[test]
fn limits_and_events_of_parents_are_the_processs_too() {
    let (top, place) = tree(&POD);
    let expected = CgroupReading {
        directory: top.path().join("pod/app"),
        limit: Some(1_000_000),
        current: 500_000,
        events_high: Some(3),
        events_max: Some(24),
        oom_kill: Some(2),
    };
    assert_eq!(cgroup::version_2(&place), Some(expected));
    fs::write(top.path().join("pod/app/memory.max"), "700000\n").unwrap();
    assert_eq!(cgroup::version_2(&place).unwrap().limit, Some(700_000));
}

#[test]
fn where_the_controller_is_off_the_parent_is_charged() {
    let (top, place) = tree(&POD[..4]);
    fs::create_dir_all(&place.directory).unwrap();
    let reading = cgroup::version_2(&place).unwrap();
    assert_eq!(reading.directory, top.path().join("pod"));
    assert_eq!(reading.current, 900_000);
    assert_eq!(reading.events_max, Some(20));
}

#[test]
fn the_root_of_version_2_accounts_for_nothing() {
    let (_top, place) = tree(&[("cgroup.procs", ""), ("pod/app/cgroup.procs", "")]);
    assert_eq!(cgroup::version_2(&place), None);
    assert_eq!(cgroup::version_1(&place), None);
}

#[test]
fn what_is_absent_or_no_number_is_no_zero() {
    let (_top, place) = tree(&[
        ("pod/app/memory.current", "5\n"),
        ("pod/app/memory.max", "max\n"),
        ("pod/app/memory.events.local", "high many\nmaximum 3\n"),
    ]);
    let reading = cgroup::version_2(&place).unwrap();
    assert_eq!(reading.limit, None);
    assert_eq!(reading.events_high, None);
    assert_eq!(reading.events_max, None);
    assert_eq!(reading.oom_kill, None);
}

#[test]
fn a_sum_that_lacks_a_level_is_none() {
    let (_top, place) = tree(&POD);
    let unreadable = place.top.join("pod/memory.events.local");
    fs::remove_file(&unreadable).unwrap();
    // Fails to be read as a file, but exists: as a counter that fails for a moment.
    fs::create_dir(&unreadable).unwrap();
    let reading = cgroup::version_2(&place).unwrap();
    assert_eq!(reading.events_max, None);
    assert_eq!(reading.oom_kill, Some(2));
}

#[test]
fn version_1_has_files_of_its_own() {
    let (_top, place) = tree(&[
        ("memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory.failcnt", "0\n"),
        ("pod/memory.limit_in_bytes", "300000\n"),
        ("pod/memory.failcnt", "5\n"),
        ("pod/app/memory.limit_in_bytes", "9223372036854771712\n"),
        ("pod/app/memory.failcnt", "2\n"),
        ("pod/app/memory.usage_in_bytes", "200000\n"),
        (
            "pod/app/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
        ),
    ]);
    let reading = cgroup::version_1(&place).unwrap();
    assert_eq!(reading.limit, Some(300_000));
    let pods = place.top.join("pod/memory.limit_in_bytes");
    fs::write(pods, "9223372036854771712\n").unwrap();
    assert_eq!(cgroup::version_1(&place).unwrap().limit, None);
    assert_eq!(reading.current, 200_000);
    assert_eq!(reading.events_high, None);
    assert_eq!(reading.events_max, Some(7));
    assert_eq!(reading.oom_kill, Some(6));
}

#[test]
fn a_cgroup_without_pressure_is_answered_for_by_the_host() {
    let (top, _place) = tree(&[(
        "a/memory.pressure",
        "some avg10=1.53 avg60=0.87 avg300=0.00 total=100\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=9\n",
    )]);
    let line = format!("1 2 0:3 / {} rw - cgroup2 c rw", top.path().display());
    let mounts = Mounts::parse(&line);
    let of = |pathname: &str| {
        let group = procfs::ProcessCGroup {
            hierarchy: 0,
            controllers: Vec::new(),
            pathname: pathname.to_owned(),
        };
        pressure_of(&mounts, &[group])
    };
    assert!((of("/a").unwrap() - 1.53).abs() < 1e-6);
    let host = Path::new("/proc/pressure/memory");
    assert_eq!(of("/b").is_some(), some_avg10(host).is_some());
}

#[test]
fn what_is_not_wanted_is_not_read_and_what_is_gone_is_nothing() {
    let own = std::process::id();
    let reading = Reading::of(own, &Wants::default()).unwrap();
    assert!(reading.rss > 0 && reading.vsz > reading.rss);
    assert_eq!(reading.mappings, None);
    assert_eq!(reading.most_mappings, None);
    assert_eq!(reading.cgroup, None);
    assert_eq!(reading.pressure, None);
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    assert!(Reading::of(child.id(), &Wants::default()).is_none());
}

#[test]
fn all_lines_of_a_long_file_are_counted() {
    let (top, _place) = tree(&[("maps", &"7f00-7f01 rw-p\n".repeat(20_000))]);
    assert_eq!(count_lines(&top.path().join("maps")), Some(20_000));
    assert_eq!(count_lines(&top.path().join("none")), None);
}

#[test]
fn mappings_are_counted() {
    let wants = Wants {
        mappings: true,
        ..Wants::default()
    };
    // Nobody else maps in a process of one thread that waits.
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let deadline = Instant::now() + std::time::Duration::from_secs(20);
    let lines = loop {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let reading = Reading::of(pid, &wants).unwrap();
        let lines = maps.lines().count() as u64;
        if lines > 10 && reading.mappings == Some(lines) {
            break lines;
        }
        assert!(Instant::now() < deadline, "{lines} {reading:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let most = Reading::of(pid, &wants).unwrap().most_mappings.unwrap();
    assert!(most > lines);
    drop(child.stdin.take());
    child.wait().unwrap();
}
