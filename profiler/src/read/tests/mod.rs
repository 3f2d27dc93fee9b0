//! What is written is what is read, and nothing that is read makes anything panic.

mod damaged;
mod recordings;

use std::io::Write as _;

use proptest::prelude::*;

use super::{file, json};
use crate::profile::Profile;
use crate::write::{self, Options, WRITERS, Weigh, sample};

/// A profile as one of the formats.
fn written(profile: &Profile, format: &str, weight: Weigh) -> Vec<u8> {
    let options = Options {
        weight,
        ..Options::default()
    };
    let mut out = Vec::new();
    let writer = write::by_name(format).unwrap();
    writer.write(profile, &options, &mut out).unwrap();
    out
}

fn as_json(profile: &Profile) -> Vec<u8> {
    written(profile, "json", Weigh::Bytes)
}

fn assert_survives(profile: &Profile) {
    let before = as_json(profile);
    let read = json(&before[..]).unwrap();
    assert_eq!(
        String::from_utf8(as_json(&read)).unwrap(),
        String::from_utf8(before).unwrap()
    );
    for writer in WRITERS {
        for weight in [Weigh::Bytes, Weigh::Count] {
            let name = writer.name();
            let (before, after) = (written(profile, name, weight), written(&read, name, weight));
            assert!(
                before == after,
                "{name} differs:\n{}\n---\n{}",
                String::from_utf8_lossy(&before),
                String::from_utf8_lossy(&after)
            );
        }
    }
}

#[test]
fn the_sample_survives_in_every_format() {
    assert_survives(&sample::profile());
    assert_survives(&sample::empty());
}

/// They follow from the rest: whatever the file says, the same is written again.
#[test]
fn what_is_unfreed_at_least_survives_with_the_rest() {
    let profile = sample::gaps();
    assert_survives(&profile);
    let text = String::from_utf8(as_json(&profile)).unwrap();
    let wrong = text.replace("\"at_least\": 2984", "\"at_least\": 3000");
    assert_ne!(wrong, text);
    let read = json(wrong.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(as_json(&read)).unwrap(), text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_recording_survives_in_every_format(profile in recordings::profile()) {
        assert_survives(&profile);
    }
}

#[test]
fn equal_frames_are_one() {
    let read = json(&as_json(&sample::profile())[..]).unwrap();
    let malloc = |stack: usize| read.stacks[stack].frames[0].clone();
    assert_eq!(malloc(0).label(), "malloc");
    assert!(std::sync::Arc::ptr_eq(&malloc(0), &malloc(1)));
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    let text = String::from_utf8(as_json(&sample::profile())).unwrap();
    let more = text
        .replacen("\"view\"", "\"later\": [{\"x\": 1e999}, [[]]], \"view\"", 1)
        .replace("\"inlined\"", "\"colour\": \"red\", \"inlined\"")
        .replace("{\"bytes\"", "{\"later\": null, \"bytes\"");
    assert_ne!(more, text);
    let read = json(more.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(as_json(&read)).unwrap(), text);
}

#[test]
fn a_file_can_be_gzipped() {
    let directory = tempfile::tempdir().unwrap();
    let (plain, gzipped) = (
        directory.path().join("heap.json"),
        directory.path().join("heap.json.gz"),
    );
    let text = as_json(&sample::profile());
    std::fs::write(&plain, &text).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&text).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(&gzipped, &packed).unwrap();
    for path in [&plain, &gzipped] {
        assert_eq!(as_json(&file(path).unwrap()), text);
    }
    // cut off behind the last bracket: the checksum is missing
    std::fs::write(&gzipped, &packed[..packed.len() - 4]).unwrap();
    let error = format!("{:#}", file(&gzipped).unwrap_err());
    let expected = format!("reading {}: ", gzipped.display());
    assert!(error.starts_with(&expected), "{error}");
    let error = format!("{:#}", file(&directory.path().join("none")).unwrap_err());
    assert!(error.contains("none: No such file"), "{error}");
}
