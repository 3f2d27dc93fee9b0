use super::*;
use crate::profile::Sampled;
use crate::write::sample;

fn recording(stacks: &[(u64, &[&str])]) -> Profile {
    let mut profile = sample::empty();
    let stacks = stacks.iter();
    profile.stacks = stacks
        .map(|(bytes, names)| sample::stack(*bytes, 1, names))
        .collect();
    profile
}

fn lines(diff: &Diff) -> Vec<String> {
    let names = |change: &Change| {
        let labels: Vec<_> = change.frames.iter().map(|frame| frame.label()).collect();
        labels.join("<")
    };
    let line = |change: &Change| {
        format!(
            "{} {} -> {}",
            names(change),
            change.before.bytes,
            change.after.bytes
        )
    };
    diff.stacks.iter().map(line).collect()
}

#[test]
fn stacks_are_joined_and_the_largest_change_is_first() {
    let before = recording(&[
        (100, &["malloc", "stays", "main"]),
        (50, &["malloc", "vanishes", "main"]),
        (7, &["malloc", "grows", "main"]),
    ]);
    let after = recording(&[
        (100, &["malloc", "stays", "main"]),
        (1007, &["malloc", "grows", "main"]),
        (60, &["malloc", "appears", "main"]),
    ]);
    let diff = Diff::of(&before, &after).unwrap();
    assert_eq!(
        lines(&diff),
        [
            "malloc<grows<main 7 -> 1007",
            "malloc<appears<main 0 -> 60",
            "malloc<vanishes<main 50 -> 0",
            "malloc<stays<main 100 -> 100",
        ]
    );
    assert_eq!(
        (diff.before.total.bytes, diff.after.total.bytes),
        (157, 1167)
    );
    assert_eq!((diff.before.total.count, diff.after.total.count), (3, 3));
}

/// A stack of one frame.
fn at(function: Option<&str>, module: Option<&str>, offset: u64, bytes: u64) -> Profile {
    let mut profile = recording(&[(bytes, &["x"])]);
    profile.stacks[0].frames = vec![Arc::new(Frame {
        function: function.map(str::to_owned),
        module: module.map(str::to_owned),
        offset: Some(offset),
        file: Some("a.c".to_owned()),
        line: Some(offset as u32),
        inlined: false,
    })];
    profile
}

#[test]
fn a_named_function_is_the_same_wherever_it_is() {
    let before = at(Some("f"), Some("/lib/old.so.1"), 0x10, 1);
    let after = at(Some("f"), Some("/lib/new.so.2"), 0x999, 2);
    let diff = Diff::of(&before, &after).unwrap();
    assert_eq!(lines(&diff), ["f 1 -> 2"]);
    let frame = &diff.stacks[0].frames[0];
    assert_eq!(frame.module.as_deref(), Some("/lib/new.so.2"));
    assert_eq!((frame.offset, &frame.file, frame.line), (None, &None, None));
}

#[test]
fn an_unnamed_function_is_known_by_its_offset_in_a_file_only() {
    let file = Some("/lib/a.so");
    let diff = Diff::of(&at(None, file, 0x10, 1), &at(None, file, 0x10, 2)).unwrap();
    assert_eq!(lines(&diff), ["[a.so]+0x10 1 -> 2"]);
    let diff = Diff::of(&at(None, file, 0x10, 1), &at(None, file, 0x20, 2)).unwrap();
    assert_eq!(lines(&diff), ["[a.so]+0x20 0 -> 2", "[a.so]+0x10 1 -> 0"]);
    // made at run time: somewhere else in every process
    let anonymous = Some("[anon]");
    let diff = Diff::of(&at(None, anonymous, 0x10, 1), &at(None, anonymous, 0x20, 2)).unwrap();
    assert_eq!(lines(&diff), ["[anon] 1 -> 2"]);
    let diff = Diff::of(&at(None, None, 0x10, 1), &at(None, None, 0x20, 2)).unwrap();
    assert_eq!(lines(&diff), ["[unknown] 1 -> 2"]);
}

#[test]
fn kinds_of_memory_are_kept_apart() {
    let mut before = recording(&[(10, &["f"]), (20, &["f"])]);
    before.stacks[0].kind = Some(Kind::File);
    before.stacks[1].kind = Some(Kind::Anonymous);
    let mut after = before.clone();
    after.stacks[1].weight.bytes = 50;
    let diff = Diff::of(&before, &after).unwrap();
    assert_eq!(lines(&diff), ["f 20 -> 50", "f 10 -> 10"]);
    assert_eq!(diff.stacks[0].kind, Some(Kind::Anonymous));
}

#[test]
fn only_recordings_of_one_kind_are_compared() {
    let before = recording(&[]);
    let mut after = recording(&[]);
    after.view = View::Pages;
    let refused = Diff::of(&before, &after).unwrap_err().to_string();
    let expected = "a recording of heap (unfreed) and one of pages (unfreed) cannot be compared: ";
    assert!(refused.starts_with(expected), "{refused}");
    after.view = View::Heap;
    assert!(!Diff::of(&before, &after).unwrap().after.estimated);
    after.mode = Mode::All;
    let refused = Diff::of(&before, &after).unwrap_err().to_string();
    let expected = "a recording of heap (unfreed) and one of heap (all) cannot be compared: ";
    assert!(refused.starts_with(expected), "{refused}");
}

#[test]
fn estimates_are_told() {
    let mut after = recording(&[]);
    after.sampled = Some(Sampled {
        mean_bytes: 1,
        samples: 1,
    });
    let diff = Diff::of(&recording(&[]), &after).unwrap();
    assert_eq!((diff.before.estimated, diff.after.estimated), (false, true));
}
