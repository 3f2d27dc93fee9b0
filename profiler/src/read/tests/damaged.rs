//! Input that is no recording.

use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> String {
    format!("{:#}", json(text.as_bytes()).unwrap_err())
}

fn sample_text() -> String {
    String::from_utf8(as_json(&sample::profile())).unwrap()
}

/// If it can be read at all, every format can be written of it.
fn assert_no_panic(input: &[u8]) {
    if let Ok(profile) = json(input) {
        for writer in WRITERS {
            written(&profile, writer.name(), Weigh::Bytes);
            written(&profile, writer.name(), Weigh::Count);
        }
    }
}

#[test]
fn what_is_cut_off_is_refused_wherever() {
    let text = sample_text();
    let whole = text.trim_end().len();
    for end in 0..whole {
        assert!(json(&text.as_bytes()[..end]).is_err(), "{end} of {whole}");
    }
    assert!(json(&text.as_bytes()[..whole]).is_ok());
    assert!(json(format!("{text}x").as_bytes()).is_err());
}

#[test]
fn a_refusal_says_what_is_wrong_and_where() {
    let text = sample_text();
    let no_recording = "this is no recording in unfreed's JSON, or not a whole one: ";
    for (from, to, expected) in [
        (
            "\"schema\": 1",
            "\"schema\": 2",
            "it has schema 2, and this unfreed reads schema 1: use the one that wrote it at line 2 column 14",
        ),
        (
            "\"schema\": 1,",
            "\"schema\": 1, \"diff\": true,",
            "it is a comparison of two recordings: give one of them at line 2 column ",
        ),
        ("\"schema\": 1,", "", "missing field `schema` at line"),
        (
            "\"heap\"",
            "\"bananas\"",
            "view \"bananas\" is not known to this unfreed, which knows heap, pages",
        ),
        (
            "\"bytes\": 70000",
            "\"bytes\": 18446744073709551615",
            "the stacks weigh more than can be counted together at line",
        ),
        (
            "\"bytes\": 70000",
            "\"bytes\": 18446744073709551616",
            "invalid type: floating point `1.8446744073709552e",
        ),
        (
            "\"bytes\": 70000",
            "\"taken_bytes\": 1, \"bytes\": 70000",
            "taken_bytes and taken_count go together at line",
        ),
        (
            "\"rss_after\": 137363456",
            "\"rss_after\": 9223372036854775807",
            "9223372036854775807 bytes are more memory than a process can have",
        ),
        (
            "\"duration_seconds\": 10.25",
            "\"duration_seconds\": -1",
            "duration_seconds: -1 is no time: ",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let error = refusal(&text.replacen(from, to, 1));
        let error = error.strip_prefix(no_recording).expect(&error).to_owned();
        assert!(error.starts_with(expected), "{error}");
    }
    for other in ["", "[]", "{}", "digraph {}", "\u{feff}{}", "1"] {
        let error = refusal(other);
        assert!(error.starts_with(no_recording), "{error}");
    }
}

#[test]
fn a_stack_without_end_does_not_take_all_memory() {
    let frames = vec!["{}"; (1 << 16) + 1].join(",");
    let text = sample_text().replacen("\"frames\": [", &format!("\"frames\": [{frames},"), 1);
    let error = refusal(&text);
    assert!(
        error.contains("a stack has more than 65536 frames"),
        "{error}"
    );
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = "[".repeat(1_000_000);
    refusal(&deep);
    refusal(&format!("{{\"later\": {deep}"));
}

/// Where a number begins.
fn numbers(text: &str) -> Vec<usize> {
    let values = text
        .match_indices("\": ")
        .map(|(at, colon)| at + colon.len());
    let values = values.filter(|&at| text[at..].starts_with(|c: char| c.is_ascii_digit()));
    values.collect()
}

/// Every number in a recording with every field, one and two at a time.
#[test]
fn numbers_of_any_size_do_no_harm() {
    let text = String::from_utf8(as_json(&recordings::full())).unwrap();
    let starts = numbers(&text);
    assert!(starts.len() > 70, "{}", starts.len());
    for number in [
        "18446744073709551615",
        "9223372036854775808",
        "144115188075855872",
        "0",
        "1e300",
    ] {
        for (index, &start) in starts.iter().enumerate() {
            let replace = |text: &mut String, start: usize| {
                let length = text[start..].find([',', '}', '\n']).unwrap();
                text.replace_range(start..start + length, number);
            };
            let mut one = text.clone();
            replace(&mut one, start);
            assert_no_panic(one.as_bytes());
            // with a neighbour, which it is likely to be added to
            if let Some(&next) = starts.get(index + 1) {
                let mut two = text.clone();
                replace(&mut two, next);
                replace(&mut two, start);
                assert_no_panic(two.as_bytes());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn flipped_bits_do_no_harm(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..4),
        profile in recordings::profile(),
    ) {
        let mut text = as_json(&profile);
        for (at, bit) in flips {
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
        }
        assert_no_panic(&text);
    }
}
