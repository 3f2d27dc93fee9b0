//! What is understood and what is refused, with its place.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tracing::Level;

use super::sample_tests::uncommented;
use super::{Config, ConfigError, Schedule};
use crate::daemon::trigger::Condition;
use crate::profile::View;

fn parse(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn everything_that_is_given_arrives() {
    let config = parse(
        r#"
        sample_every = 5
        [http]
        listen = "0.0.0.0:80"
        token_file = "/t"
        hosts = ["A.example"]
        [socket]
        path = "/s"
        group = "g"
        [store]
        directory = "/d"
        max_age = "2d"
        max_count = 3
        max_size = "4MiB"
        [log]
        level = "debug"
        [[target]]
        name = "a"
        exe = "/a"
        comm = "b"
        cgroup = "/c"
        unit = "d.service"
        container = "0123456789ab"
        views = ["pages", "heap"]
        record = "every"
        window = "6s"
        period = "7s"
        min_age = "800ms"
        sample = 0
        max_overhead = 0
        max_processes = 9
        max_age = "10h"
        max_count = 11
        max_size = "12MiB"
        [[target.trigger]]
        rss_grows = "1MiB"
        within = "15s"
        [[target]]
        name = "b"
        comm = "b"
        views = ["heap"]
        sample = "1MB"
        max_overhead = 2.5
        "#,
    );
    let http = config.http.expect("http");
    assert_eq!(http.listen.to_string(), "0.0.0.0:80");
    assert_eq!(http.token_file.as_deref(), Some(Path::new("/t")));
    assert_eq!(http.hosts, ["a.example"]);
    let socket = config.socket.expect("socket");
    assert_eq!(
        (socket.path.as_path(), socket.group.as_str()),
        (Path::new("/s"), "g")
    );
    let store = config.store;
    assert_eq!(store.directory, Path::new("/d"));
    assert_eq!(store.retention.max_age, Some(seconds(2 * 86400)));
    assert_eq!(store.retention.max_count, Some(3));
    assert_eq!(store.retention.max_size, Some(4 << 20));
    assert_eq!(config.log, Level::DEBUG);
    assert_eq!(config.sample_every, seconds(5));

    let [a, b] = &config.targets[..] else {
        panic!("two targets")
    };
    let matching = &a.matching;
    assert!(matching.exe.as_ref().is_some_and(|exe| exe.matches("/a")));
    assert!(matching.comm.as_ref().is_some_and(|comm| comm.matches("b")));
    assert!(
        matching
            .cgroup
            .as_ref()
            .is_some_and(|group| group.matches("/c"))
    );
    assert!(
        matching
            .unit
            .as_ref()
            .is_some_and(|unit| unit.matches("/d.service"))
    );
    assert!(matching.container.is_some());
    assert_eq!(a.views, [View::Pages, View::Heap]);
    let (window, period) = (seconds(6), seconds(7));
    assert_eq!(a.schedule, Schedule::Every { window, period });
    assert_eq!(a.schedule.window(), window);
    assert_eq!(a.min_age, Duration::from_millis(800));
    assert_eq!((a.sample, a.max_overhead, a.max_processes), (0, None, 9));
    assert_eq!(a.retention.max_age, Some(seconds(36000)));
    assert_eq!(a.retention.max_count, Some(11));
    assert_eq!(a.retention.max_size, Some(12 << 20));
    assert!(matches!(
        a.triggers[0].condition,
        Condition::RssGrows { .. }
    ));
    assert_eq!((b.sample, b.max_overhead), (1_000_000, Some(2.5)));
}

#[test]
fn what_is_not_given_has_a_default() {
    let config = parse("[[target]]\nname = \"a\"\ncomm = \"a\"");
    assert_eq!(config.http, None);
    assert_eq!(config.socket, None);
    assert_eq!(config.log, Level::INFO);
    let target = &config.targets[0];
    assert_eq!(target.views, [View::Heap, View::Pages]);
    let window = seconds(3600);
    assert_eq!(target.schedule, Schedule::Continuous { window });
    assert_eq!(target.retention.max_age, None);
    assert_eq!(parse("[http]\nlisten = \"\"").http, None);
    let loopback = [
        "127.0.0.1:0",
        "127.8.8.8:1",
        "[::1]:7070",
        "[::ffff:127.0.0.1]:1",
    ];
    for listen in loopback {
        assert!(
            parse(&format!("[http]\nlisten = {listen:?}"))
                .http
                .is_some()
        );
    }
}

#[test]
fn a_reload_can_tell_which_targets_changed() {
    let target =
        |name: &str, more: &str| format!("[[target]]\nname = {name:?}\nexe = \"/*\"\n{more}\n");
    let before = parse(&(target("a", "") + &target("b", "")));
    let after = parse(
        &(target("b", "min_age = \"0.5s\"")
            + &target("a", "exe = \"/b\"").replacen("exe = \"/*\"\n", "", 1)),
    );
    assert_eq!(
        before.targets[1], after.targets[0],
        "only written differently"
    );
    assert_ne!(before.targets[0], after.targets[1], "another glob");
    assert_ne!(before.targets[0], before.targets[1]);
}

/// Below each line of `mistakes.txt` that is wrong is where, and what words the message has, which tell what would be
/// right. Nothing else may be found to be wrong.
#[test]
fn each_mistake_has_its_place_and_a_remedy() {
    for case in include_str!("mistakes.txt").split("---\n") {
        let mut text = String::new();
        let mut expected = Vec::new();
        for line in case.lines() {
            match line.split_once('^') {
                Some((before, words)) if before.trim().is_empty() => {
                    expected.push((text.lines().count(), before.len() + 1, words.trim()));
                }
                _ => text = text + line + "\n",
            }
        }
        let problems = Config::parse(&text).expect_err(case);
        assert_eq!(problems.len(), expected.len(), "{case}\n{problems:?}");
        for (problem, (line, column, words)) in problems.iter().zip(expected) {
            let place = (problem.line, problem.column);
            assert_eq!(place, (line, column), "{case}\n{problem}");
            assert!(problem.message.contains(words), "{case}\n{problem}");
            assert!(!problem.message.contains('\n'));
        }
    }
}

#[test]
fn a_file_is_read_and_its_name_told() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"[log]\nlevel = 1\n").expect("written");
    let error = super::read(file.path())
        .expect_err("a wrong level")
        .to_string();
    let begin = format!("{}:2:9: ", file.path().display());
    assert!(error.starts_with(&begin), "{error}");

    file.write_all(b"# \xc3\xa4\xff\n").expect("written");
    let error = super::read(file.path()).expect_err("no text").to_string();
    assert!(error.contains(":3:4: not UTF-8"), "{error}");

    file.write_all(&vec![b'\n'; 1 << 20]).expect("written");
    let error = super::read(file.path()).expect_err("too large");
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");

    let error = super::read(Path::new("/no/such"))
        .expect_err("no file")
        .to_string();
    assert!(
        error.starts_with("/no/such: ") && error.contains("No such file"),
        "{error}"
    );
    assert!(super::read(Path::new("/")).is_err());
}

proptest! {
    /// Whatever it is, it is refused or understood, and a problem is somewhere in it.
    #[test]
    fn damaged_text_is_no_panic(keep in 0usize..8000, at in 0usize..8000, with in "[\\PC\n]{0,8}") {
        let sample = uncommented();
        let mut text = sample.chars().take(keep).collect::<Vec<_>>();
        let at = at.min(text.len());
        text.splice(at..at, with.chars());
        let text = text.into_iter().collect::<String>();
        if let Err(problems) = Config::parse(&text) {
            let lines = text.matches('\n').count() + 1;
            for problem in problems {
                prop_assert!((1..=lines).contains(&problem.line), "{}", problem);
            }
        }
    }
}
