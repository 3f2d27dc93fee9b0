use super::*;
use crate::profile::Mode;
use crate::write::sample;

fn json(profile: &Profile) -> String {
    let mut out = Vec::new();
    Json.write(profile, &Options::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The version changes with every release, the snapshot should not.
fn without_version(json: &str) -> String {
    json.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn schema_1() {
    insta::assert_snapshot!(without_version(&json(&sample::profile())));
}

#[test]
fn of_an_empty_profile() {
    insta::assert_snapshot!(without_version(&json(&sample::empty())));
}

#[test]
fn numbers_are_exact_and_text_survives() {
    let mut profile = sample::empty();
    let name = "a\"b\\c\u{1}<\u{e9}>;\n";
    profile.stacks = vec![sample::stack(u64::MAX, 9_007_199_254_740_993, &[name])];
    let value: serde_json::Value = serde_json::from_str(&json(&profile)).unwrap();
    let stack = &value["stacks"][0];
    assert_eq!(stack["bytes"].as_u64(), Some(u64::MAX));
    assert_eq!(stack["count"].as_u64(), Some(9_007_199_254_740_993));
    assert_eq!(
        stack["frames"][0],
        serde_json::json!({"function": name, "inlined": false})
    );
}

#[test]
fn estimates_say_so() {
    let mut profile = sample::empty();
    let value: serde_json::Value = serde_json::from_str(&json(&profile)).unwrap();
    assert_eq!(value.get("sampled"), None);
    profile.sampled = Some(Sampled {
        mean_bytes: 524_288,
        samples: 96,
    });
    let value: serde_json::Value = serde_json::from_str(&json(&profile)).unwrap();
    let expected = serde_json::json!({"mean_bytes": 524_288, "samples": 96});
    assert_eq!(value["sampled"], expected);
}

#[test]
fn what_is_unfreed_at_least_is_told_of_each_stack_where_there_are_gaps() {
    let at_least = |profile: &Profile| -> Vec<Option<u64>> {
        let value: serde_json::Value = serde_json::from_str(&json(profile)).unwrap();
        let stacks = value["stacks"].as_array().unwrap();
        stacks
            .iter()
            .map(|it| it.get("at_least")?.as_u64())
            .collect()
    };
    let mut profile = sample::gaps();
    // of 3,008 all stacks together, which show 3,024: of those of each all but 16
    let expected = [0, 2984, 0, 0, 0].map(Some);
    assert_eq!(at_least(&profile), expected);
    assert!(json(&profile).contains("\"count\": 3000, \"at_least\": 2984, \"frames\": ["));
    profile.mode = Mode::All;
    assert_eq!(at_least(&profile), [None; 5], "everything taken");
    assert_eq!(at_least(&sample::profile()), [None; 5], "no gaps");
}

#[test]
fn one_line_for_each_stack() {
    let profile = sample::profile();
    let lines = json(&profile)
        .lines()
        .filter(|line| line.starts_with("    {\"bytes\": "))
        .count();
    assert_eq!(lines, profile.stacks.len());
}
