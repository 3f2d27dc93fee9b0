//! The sample configuration: that it is right, and that it is complete.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;

const SAMPLE: &str = include_str!("../../../packaging/config.toml");

/// A commented-out setting has no space behind the `#`, prose has one.
fn is_setting(line: &str) -> bool {
    line.strip_prefix('#')
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(' '))
}

/// With every setting in force.
pub(super) fn uncommented() -> String {
    let lines = SAMPLE
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

fn parse(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn the_sample_is_right_as_it_is() {
    let config = parse(SAMPLE);
    assert_eq!(config.targets, []);
    assert_eq!(config, parse("[http]\n[socket]"));
    assert!(config.http.is_some() && config.socket.is_some());
}

#[test]
fn what_is_commented_out_is_the_default() {
    let all = parse(&uncommented());
    let target = "[[target]]\nname = \"web\"\nexe = \"/usr/sbin/nginx\"";
    // Of what has no default there is an example.
    let defaults = parse(&format!(
        "[http]\ntoken_file = \"/etc/unfreed/token\"\nhosts = [\"web-7.example.org\"]\n[socket]\n{target}"
    ));
    assert_eq!(all.targets[0], defaults.targets[0]);
    let without_targets = |config: &Config| Config {
        targets: Vec::new(),
        ..config.clone()
    };
    assert_eq!(without_targets(&all), without_targets(&defaults));

    // The other kinds of target, and triggers.
    let shorter = r#"
        [[target]]
        name = "a"
        comm = "a"
        record = "every"
        [[target]]
        name = "b"
        comm = "b"
        record = "triggered"
        trigger = [{ rss_grows = "50MiB", within = "10m" }, { rss_above = "80%" }]
    "#;
    let shorter = parse(shorter).targets;
    assert_eq!(all.targets[1].schedule, shorter[0].schedule);
    assert_eq!(all.targets[2].triggers[..2], shorter[1].triggers);
}

/// The keys that a table may have: what is expected instead of one that it has not.
fn schema(table: &str) -> BTreeSet<String> {
    let problems = Config::parse(&format!("{table}\nno_such_key = 1")).expect_err(table);
    let (_, expected) = problems[0].message.split_once("expected").expect(table);
    let keys = expected.split('`').skip(1).step_by(2).map(str::to_owned);
    keys.collect()
}

/// The keys of each table of a document, by the table's path.
fn keys(path: &str, table: &toml::Table, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for (key, value) in table {
        found
            .entry(path.to_owned())
            .or_default()
            .insert(key.clone());
        let below = format!("{path}.{key}");
        let tables = match value {
            toml::Value::Table(table) => vec![table],
            toml::Value::Array(values) => values.iter().filter_map(|v| v.as_table()).collect(),
            _ => Vec::new(),
        };
        for table in tables {
            keys(&below, table, found);
        }
    }
}

#[test]
fn every_key_is_in_the_sample() {
    let mut found = BTreeMap::new();
    keys(
        "",
        &toml::from_str(&uncommented()).expect("TOML"),
        &mut found,
    );
    let target = "[[target]]\nname = \"a\"";
    for (path, table, least) in [
        ("", "", 6),
        (".http", "[http]", 3),
        (".socket", "[socket]", 2),
        (".store", "[store]", 4),
        (".log", "[log]", 1),
        (".target", target, 18),
        (
            ".target.trigger",
            &format!("{target}\n[[target.trigger]]"),
            9,
        ),
    ] {
        let schema = schema(table);
        assert!(schema.len() >= least, "{path}: {schema:?}");
        assert_eq!(found.remove(path), Some(schema), "{path}");
    }
    assert!(
        found.is_empty(),
        "tables that are not asked for above: {found:?}"
    );
}

#[test]
fn every_key_is_described() {
    let mut described = false;
    let mut keys = BTreeSet::new();
    for line in SAMPLE.lines() {
        if line.starts_with("# ") {
            described = true;
        } else if line.is_empty() {
            described = false;
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ") {
            // A description may be for several keys, or for an example that repeats known ones.
            assert!(keys.contains(key) || described, "{line}");
            keys.insert(key.to_owned());
        }
    }
    assert!(keys.len() > 25);
}
