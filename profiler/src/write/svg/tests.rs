use super::*;
use crate::profile::Stack;
use crate::write::sample;
use proptest::prelude::*;

fn svg(profile: &Profile, options: &Options) -> String {
    let mut out = Vec::new();
    Svg.write(profile, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What is ours in the graph: without inferno's style and script, one element a line.
pub fn ours(svg: &str) -> String {
    let (_, notes) = svg.split_once("<!--NOTES").unwrap();
    let (notes, rest) = notes.split_once("-->").unwrap();
    let (_, body) = rest.split_once("</script>").unwrap();
    format!("<!--NOTES{notes}-->\n{}", body.replace("><", ">\n<"))
}

/// What the title elements say, which are what the mouse shows: `name (weight)`.
pub fn tooltips(svg: &str) -> Vec<String> {
    let elements = svg.split("<title>").skip(1);
    let text = elements.map(|after| after.split_once("</title>").unwrap().0);
    text.map(|text| {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&")
    })
    .collect()
}

/// Panics where an XML parser would: tags, attributes, references, comments, characters.
pub fn assert_well_formed(xml: &str) {
    let character = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(character));
    let references = |text: &str| {
        for after in text.split('&').skip(1) {
            let (reference, _) = after.split_once(';').expect("a reference ends");
            assert!(
                ["lt", "gt", "amp", "quot", "apos"].contains(&reference),
                "{reference}"
            );
        }
    };
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some((text, markup)) = rest.split_once('<') {
        references(text);
        assert!(!text.contains("]]>"));
        rest = if let Some(comment) = markup.strip_prefix("!--") {
            let (comment, after) = comment.split_once("--").expect("a comment ends");
            assert!(!comment.ends_with('-'));
            after.strip_prefix('>').expect("-- only ends a comment")
        } else if let Some(data) = markup.strip_prefix("![CDATA[") {
            data.split_once("]]>").expect("CDATA ends").1
        } else {
            let (tag, after) = markup.split_once('>').expect("a tag ends");
            references(tag);
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = tag.split([' ', '/']).next().unwrap();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed));
            } else if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
                open.push(name);
            }
            after
        };
    }
    assert_eq!((rest.trim(), open.len()), ("", 0));
}

#[test]
fn graph() {
    let svg = svg(&sample::profile(), &Options::default());
    assert_well_formed(&svg);
    insta::assert_snapshot!(ours(&svg));
}

#[test]
fn by_count_with_a_title() {
    let mut profile = sample::profile();
    profile.losses.clear();
    profile.warnings.clear();
    let options = Options {
        weight: Weigh::Count,
        title: Some("before & after <the fix>".to_owned()),
        ..Options::default()
    };
    let svg = svg(&profile, &options);
    assert_well_formed(&svg);
    insta::assert_snapshot!(ours(&svg));
}

#[test]
fn nothing() {
    let mut profile = sample::empty();
    profile.process.comm = "<sh> & co--".to_owned();
    let empty = svg(&profile, &Options::default());
    assert_well_formed(&empty);
    insta::assert_snapshot!(empty);
    // blocks without bytes have no width
    profile.stacks = vec![sample::stack(0, 3, &["malloc"])];
    assert_eq!(svg(&profile, &Options::default()), empty);
}

#[test]
fn the_same_profile_is_the_same_graph() {
    let profile = sample::profile();
    let mut reversed = profile.clone();
    reversed.stacks.reverse();
    let options = Options::default();
    assert_eq!(svg(&profile, &options), svg(&reversed, &options));
}

#[test]
fn what_is_too_narrow_does_not_change_the_rest() {
    let mut profile = sample::empty();
    for i in 0..300 {
        let (leaf, caller) = (format!("leaf{i}"), format!("caller{}", i % 7));
        // from far below to far above the ten-thousandth
        let bytes = 1 << (i % 30);
        let names = ["malloc", &leaf, &caller, "main"];
        profile.stacks.push(sample::stack(bytes, 1, &names));
    }
    let all: Vec<String> = Lines::of(&profile, Weigh::Bytes).iter().collect();
    let mut graph = flamegraph::Options::default();
    graph.count_name = "bytes".to_owned();
    let mut direct = Vec::new();
    flamegraph::from_lines(&mut graph, all.iter().map(String::as_str), &mut direct).unwrap();
    let mut expected = tooltips(&String::from_utf8(direct).unwrap());
    let mut actual = tooltips(&svg(&profile, &Options::default()));
    expected.sort();
    actual.sort();
    assert!(expected.len() < 2 * all.len(), "something is not drawn");
    assert_eq!(actual, expected);
}

#[test]
fn a_function_is_one_tower() {
    let mut profile = sample::empty();
    profile.stacks = vec![
        sample::stack(2, 1, &["foo"]),
        sample::stack(3, 1, &["x", "foo(int)"]),
        sample::stack(4, 1, &["y", "foo"]),
    ];
    let mut tooltips = tooltips(&svg(&profile, &Options::default()));
    tooltips.sort();
    assert_eq!(
        tooltips,
        [
            "all (9 bytes, 100%)",
            "foo (6 bytes, 66.67%)",
            "foo(int) (3 bytes, 33.33%)",
            "x (3 bytes, 33.33%)",
            "y (4 bytes, 44.44%)",
        ]
    );
}

#[test]
#[should_panic(expected = "a reference ends")]
fn the_check_of_xml_finds_what_is_not_escaped() {
    assert_well_formed("<a>b & c</a>");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn well_formed_whatever_the_names(
        name in any::<String>(),
        frames in prop::collection::vec("([a-c]|[;<>&\"' -]|\\PC|--|]]>){0,8}", 1..5),
        bytes in 1..1_u64 << 40,
    ) {
        let mut profile = sample::profile();
        profile.process.comm.clone_from(&name);
        profile.warnings.push(crate::warning::Warning::LateModule { module: name.clone() });
        let frames: Vec<_> = frames.iter().map(String::as_str).collect();
        let added: Stack = sample::stack(bytes, 1, &frames);
        profile.stacks.push(added);
        let options = Options { title: Some(name), ..Options::default() };
        let svg = svg(&profile, &options);
        assert_well_formed(&svg);
        // as wide as everything together
        let all = super::super::sum(&profile.stacks).bytes;
        let expected = format!("all ({} bytes, 100%)", human::count(all));
        prop_assert!(tooltips(&svg).contains(&expected));
    }
}
