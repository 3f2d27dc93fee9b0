use super::*;
use crate::profile::Profile;
use crate::write::diff::sample as compared;
use crate::write::sample;
use crate::write::svg::tests::{assert_well_formed, ours, tooltips};
use proptest::prelude::*;

fn svg(writer: &Svg, diff: &Diff, options: &Options) -> String {
    let mut out = Vec::new();
    writer.write(diff, options, &mut out).unwrap();
    let svg = String::from_utf8(out).unwrap();
    assert_well_formed(&svg);
    svg
}

/// What each frame is called, with its weight and change, and its colour.
fn frames(svg: &str) -> Vec<(String, String)> {
    let colours = svg.split("<title>").skip(1).map(|frame| {
        let (_, colour) = frame.split_once("fill=\"rgb(").unwrap();
        colour.split_once(')').unwrap().0.to_owned()
    });
    let mut frames: Vec<_> = tooltips(svg).into_iter().zip(colours).collect();
    frames.sort();
    frames
}

/// Red, blue or grey.
fn hue(colour: &str) -> &'static str {
    let [red, _, blue] = colour.split(',').collect::<Vec<_>>()[..] else {
        panic!("{colour}");
    };
    let (red, blue): (u8, u8) = (red.parse().unwrap(), blue.parse().unwrap());
    match red.cmp(&blue) {
        std::cmp::Ordering::Greater => "red",
        std::cmp::Ordering::Less => "blue",
        std::cmp::Ordering::Equal => "grey",
    }
}

fn hues(svg: &str) -> Vec<(String, &'static str)> {
    let frames = frames(svg).into_iter();
    frames
        .map(|(title, colour)| (title, hue(&colour)))
        .collect()
}

fn recording(stacks: &[(u64, &[&str])]) -> Profile {
    let mut profile = sample::empty();
    let stacks = stacks.iter();
    profile.stacks = stacks
        .map(|(bytes, names)| sample::stack(*bytes, 1, names))
        .collect();
    profile
}

fn example() -> Diff {
    let before = recording(&[
        (100, &["malloc", "stays", "main"]),
        (60, &["malloc", "gone", "main"]),
        (40, &["malloc", "less", "main"]),
        (50, &["malloc", "other"]),
    ]);
    let after = recording(&[
        (100, &["malloc", "stays", "main"]),
        (10, &["malloc", "less", "main"]),
        (50, &["malloc", "more", "main"]),
        (75, &["malloc", "other"]),
    ]);
    Diff::of(&before, &after).unwrap()
}

#[test]
fn graph() {
    insta::assert_snapshot!(ours(&svg(
        &Svg::AFTER,
        &compared::diff(),
        &Options::default()
    )));
}

#[test]
fn as_wide_as_before_with_a_title() {
    let options = Options {
        weight: Weigh::Count,
        title: Some("before & after <the fix>".to_owned()),
        ..Options::default()
    };
    insta::assert_snapshot!(ours(&svg(&Svg::BEFORE, &compared::diff(), &options)));
}

#[test]
fn every_frame_has_the_change_of_all_stacks_through_it() {
    let after = svg(&Svg::AFTER, &example(), &Options::default());
    let expected = [
        ("all (235 bytes, 100%; -15, 250 before)", "blue"),
        ("less (10 bytes, 4.26%; -30, 40 before)", "blue"),
        ("main (160 bytes, 68.09%; -40, 200 before)", "blue"),
        ("malloc (10 bytes, 4.26%; -30, 40 before)", "blue"),
        ("malloc (100 bytes, 42.55%; 0, 100 before)", "grey"),
        ("malloc (50 bytes, 21.28%; +50, 0 before)", "red"),
        ("malloc (75 bytes, 31.91%; +25, 50 before)", "red"),
        ("more (50 bytes, 21.28%; +50, 0 before)", "red"),
        ("other (75 bytes, 31.91%; +25, 50 before)", "red"),
        ("stays (100 bytes, 42.55%; 0, 100 before)", "grey"),
    ];
    assert_eq!(
        hues(&after),
        expected.map(|(title, hue)| (title.to_owned(), hue))
    );
    assert!(after.contains("gone, so without width here: 60 B (see the graph as wide as before)"));
}

#[test]
fn what_is_gone_is_seen_in_the_graph_as_wide_as_before() {
    let before = svg(&Svg::BEFORE, &example(), &Options::default());
    let hues = hues(&before);
    let gone = ("gone (60 bytes, 24.00%; -60, 0 after)".to_owned(), "blue");
    assert!(hues.contains(&gone), "{hues:?}");
    let grew = ("other (50 bytes, 20.00%; +25, 75 after)".to_owned(), "red");
    assert!(hues.contains(&grew), "{hues:?}");
    assert!(!hues.iter().any(|(title, _)| title.starts_with("more")));
    assert!(before.contains("new, so without width here: 50 B (see the graph as wide as after)"));
}

#[test]
fn more_is_stronger() {
    let frames = frames(&svg(&Svg::AFTER, &example(), &Options::default()));
    let colour = |name: &str| {
        let (_, colour) = frames
            .iter()
            .find(|(title, _)| title.starts_with(name))
            .unwrap();
        colour.as_str()
    };
    assert_eq!(colour("more"), "255,90,90");
    assert_eq!(colour("other"), "255,123,123");
}

#[test]
fn nothing_there() {
    let (empty, full) = (recording(&[]), recording(&[(5, &["f"])]));
    let gone = Diff::of(&full, &empty).unwrap();
    let text = svg(&Svg::AFTER, &gone, &Options::default());
    assert!(text.contains("nothing is there after"), "{text}");
    assert!(text.contains("gone, so without width here: 5 B"), "{text}");
    svg(&Svg::BEFORE, &gone, &Options::default());
    let new = Diff::of(&empty, &full).unwrap();
    let text = svg(&Svg::BEFORE, &new, &Options::default());
    assert!(text.contains("nothing was there before"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// inferno draws what we think it draws: each frame finds its sums, whatever the names and however narrow.
    #[test]
    fn frames_are_as_wide_as_they_say(
        stacks in prop::collection::vec(
            (prop::collection::vec("[a-c;<&)(]{1,2}", 0..5), 0..1_000_000_u64, 0..1_000_u64),
            1..30,
        ),
        by_after in any::<bool>(),
    ) {
        let (mut before, mut after) = (recording(&[]), recording(&[]));
        for (names, was, is) in &stacks {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            before.stacks.push(sample::stack(*was, 1, &names));
            after.stacks.push(sample::stack(*is, 1, &names));
        }
        let diff = Diff::of(&before, &after).unwrap();
        let writer = if by_after { Svg::AFTER } else { Svg::BEFORE };
        let svg = svg(&writer, &diff, &Options::default());
        for (title, colour) in frames(&svg) {
            let (_, figures) = title.rsplit_once(" (").unwrap();
            let number = |text: &str| -> i64 { text.replace(',', "").parse().unwrap() };
            let wide = number(figures.split_once(" bytes").unwrap().0);
            let (change, other) = figures.split_once("; ").unwrap().1.split_once(", ").unwrap();
            let (change, other) = (number(change), number(other.split_once(' ').unwrap().0));
            prop_assert_eq!(change, if by_after { wide - other } else { other - wide });
            let expected = ["blue", "grey", "red"][(change.signum() + 1) as usize];
            prop_assert_eq!(hue(&colour), expected);
        }
    }
}
