use super::*;
use std::io::Read as _;
use std::process::Command;
use std::sync::Arc;

use crate::profile::{Frame, Module, Sampled, Stack, Weight};
use crate::write::sample;

fn packed(profile: &Profile) -> Vec<u8> {
    let mut out = Vec::new();
    let options = Options::default();
    Pprof.write(profile, &options, &mut out).unwrap();
    out
}

fn read(profile: &Profile) -> proto::Profile {
    let mut message = Vec::new();
    let packed = packed(profile);
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut message)
        .unwrap();
    proto::Profile::decode(&message[..]).unwrap()
}

fn types(message: &proto::Profile) -> Vec<&str> {
    let types = message.sample_type.iter();
    types.map(|it| text(message, it.r#type)).collect()
}

fn text(message: &proto::Profile, index: i64) -> &str {
    &message.string_table[index as usize]
}

fn comments(message: &proto::Profile) -> Vec<&str> {
    let comments = message.comment.iter();
    comments.map(|&index| text(message, index)).collect()
}

fn has_comment(message: &proto::Profile, part: &str) -> bool {
    comments(message)
        .iter()
        .any(|comment| comment.contains(part))
}

/// The functions at a location, innermost first, with their lines.
fn lines(message: &proto::Profile, id: u64) -> Vec<(&str, i64)> {
    let lines = message.location[id as usize - 1].line.iter();
    lines
        .map(|line| {
            let function = &message.function[line.function_id as usize - 1];
            (text(message, function.name), line.line)
        })
        .collect()
}

/// What another reader, Google's own, says of the file.
fn go_tool_pprof(profile: &Profile, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("heap.pb.gz");
    std::fs::write(&path, packed(profile)).unwrap();
    let output = Command::new("go")
        .args(["tool", "pprof"])
        .args(arguments)
        .arg(&path)
        .env("PPROF_TMPDIR", directory.path())
        .env("HOME", directory.path())
        .output()
        .expect("go (Debian: golang-go)");
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{err}");
    out
}

/// The sample, with what was taken at each stack.
fn with_taken() -> Profile {
    let mut profile = sample::profile();
    for stack in &mut profile.stacks {
        stack.taken = Some(Weight {
            bytes: stack.weight.bytes + 1000,
            count: stack.weight.count + 10,
        });
    }
    profile
}

#[test]
fn go_reads_the_same_numbers_names_and_files() {
    let profile = with_taken();
    let raw = go_tool_pprof(&profile, &["-raw"]);
    let bytes: u64 = profile.stacks.iter().map(|it| it.weight.bytes).sum();
    let taken: u64 = bytes + 1000 * profile.stacks.len() as u64;
    let rows: Vec<Vec<u64>> = raw
        .lines()
        .skip_while(|line| *line != "Samples:")
        .take_while(|line| *line != "Locations")
        .filter_map(|line| {
            let (values, _) = line.split_once(": ")?;
            let values = values.split_whitespace().map(str::parse);
            values.collect::<Result<_, _>>().ok()
        })
        .collect();
    assert_eq!(rows.len(), profile.stacks.len(), "{raw}");
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<u64>();
    assert_eq!((sum(1), sum(3)), (taken, bytes), "{raw}");
    for expected in [
        "PeriodType: space bytes\nPeriod: 1\n",
        "Time: 2026-03-01 12:00:00",
        "Duration: 10.2\n",
        "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]\n",
        // malloc, operator new, the allocator, insert inlined in handle, run, main, start
        "         23   26000909         13   25999909: 1 2 3 4 5 6 7 \n",
        // one location, two lines
        "     4: 0x1000000004a10 M=1 Cache::insert(std::string const&) /build/shop/src/cache.cpp:87 s=0",
        " void handle<Checkout, std::vector<int, std::allocator<int> > >(Request const&) /build/shop/src/handler.cpp:31",
        "\n1: 0x1000000000000/0x1000000006000/0x0 /srv/shop/bin/storefront 0123456789abcdef0123456789abcdef01234567 [FN][FL][LN][IN]",
        "/usr/lib/x86_64-linux-gnu/libc.so.6  [FN][FL][LN][IN]",
        // without any name in it
        ": 0x2000000000000/0x2000000002000/0x0 /opt/plug in/libplugin.so  \n",
    ] {
        assert!(raw.contains(expected), "{expected}\nis not in\n{raw}");
    }
    let top = go_tool_pprof(&profile, &["-top", "-cum", "-sample_index=inuse_objects"]);
    assert!(top.contains("File: storefront\n"), "{top}");
    assert!(top.contains("Type: inuse_objects\n"), "{top}");
    let row = top.lines().find(|line| line.ends_with(" malloc")).unwrap();
    let figures: Vec<_> = row.split_whitespace().take(2).collect();
    assert_eq!(figures, ["3017", "99.77%"], "{top}");
}

#[test]
fn what_is_doubtful_is_in_comments() {
    let shown = go_tool_pprof(&sample::profile(), &["-comments"]);
    for expected in [
        "storefront (pid 4711), heap, unfreed: 27.73 MiB in 3,024 blocks",
        "ended: the duration was over",
        "2 events were lost (stack_truncated 2)",
        "warning: /usr/lib/<plug&in>--.so defines an allocator",
    ] {
        assert!(shown.contains(expected), "{expected}\nis not in\n{shown}");
    }
}

#[test]
fn the_same_recording_is_the_same_file() {
    let mut reversed = sample::profile();
    assert_eq!(packed(&sample::profile()), packed(&reversed));
    // the header has no time
    assert_eq!(packed(&reversed)[4..8], [0; 4]);
    reversed.stacks.reverse();
    assert_ne!(packed(&sample::profile()), packed(&reversed));
}

#[test]
fn values_of_each_mode_and_view() {
    let heap = [
        "alloc_objects",
        "alloc_space",
        "inuse_objects",
        "inuse_space",
    ];
    let mut profile = with_taken();
    let message = read(&profile);
    assert_eq!(types(&message), heap);
    assert_eq!(text(&message, message.default_sample_type), "inuse_space");
    assert_eq!(message.sample[1].value, [3010, 3_001_000, 3000, 3_000_000]);
    assert!(has_comment(
        &message,
        "alloc_* is what was taken at the stacks that have"
    ));

    profile.stacks[1].taken = None;
    let message = read(&profile);
    assert_eq!(message.sample[1].value, [3000, 3_000_000, 3000, 3_000_000]);
    assert!(has_comment(&message, "not known of 1 of 5 stacks"));

    profile.mode = Mode::All;
    let message = read(&profile);
    assert_eq!(types(&message), heap[..2]);
    assert_eq!(text(&message, message.default_sample_type), "alloc_space");
    assert_eq!(message.sample[1].value, [3000, 3_000_000]);
    assert!(has_comment(&message, "so there is no inuse_space"));
    for stack in &mut profile.stacks {
        stack.unfreed = Some(Weight { bytes: 7, count: 1 });
    }
    let message = read(&profile);
    assert_eq!(types(&message), heap);
    assert_eq!(message.sample[1].value, [3000, 3_000_000, 1, 7]);

    profile.view = View::Pages;
    profile.stacks[1].kind = Some(Kind::Huge);
    let message = read(&profile);
    assert_eq!(
        types(&message),
        ["touched_pages", "touched_space", "pages", "resident_space"]
    );
    profile.mode = Mode::Unfreed;
    let message = read(&profile);
    assert_eq!(types(&message), ["pages", "resident_space"]);
    assert_eq!(message.sample[1].value, [3000, 3_000_000]);
    let label = message.sample[1].label[0];
    assert_eq!(
        (text(&message, label.key), text(&message, label.str)),
        ("kind", "huge")
    );
    assert!(message.sample[0].label.is_empty());
}

#[test]
fn what_is_more_than_the_format_holds_is_the_most() {
    let mut profile = sample::empty();
    profile.stacks = vec![sample::stack(u64::MAX, 1, &["f"])];
    assert_eq!(read(&profile).sample[0].value, [1, i64::MAX, 1, i64::MAX]);
}

#[test]
fn the_period_is_that_of_the_samples() {
    let mut profile = sample::profile();
    profile.sampled = Some(Sampled {
        mean_bytes: 524_288,
        samples: 96,
    });
    let message = read(&profile);
    assert_eq!(message.period, 524_288);
    assert!(has_comment(&message, "sampled: one byte of 512.00 KiB"));
}

fn frame(function: Option<&str>, module: Option<&str>, offset: Option<u64>) -> Frame {
    Frame {
        function: function.map(str::to_owned),
        module: module.map(str::to_owned),
        offset,
        ..Frame::default()
    }
}

fn of_frames(frames: Vec<Frame>) -> Profile {
    let mut profile = sample::empty();
    profile.stacks = vec![Stack {
        frames: frames.into_iter().map(Arc::new).collect(),
        ..sample::stack(1, 1, &[])
    }];
    profile
}

#[test]
fn inlined_functions_share_a_location_with_the_one_they_are_in() {
    let inlined = |name, line| Frame {
        inlined: true,
        line: Some(line),
        ..frame(Some(name), Some("/a"), Some(5))
    };
    let outer = |name, offset| frame(Some(name), Some("/a"), Some(offset));
    let message = read(&of_frames(vec![
        inlined("innermost", 1),
        inlined("inner", 2),
        outer("outer", 5),
        // recursion: the same address again is another frame
        outer("outer", 5),
        // its outer function is missing
        inlined("lonely", 3),
        outer("elsewhere", 6),
    ]));
    let ids = &message.sample[0].location_id;
    let stack: Vec<_> = ids.iter().map(|&id| lines(&message, id)).collect();
    assert_eq!(
        stack,
        [
            vec![("innermost", 1), ("inner", 2), ("outer", 0)],
            vec![("outer", 0)],
            vec![("lonely", 3)],
            vec![("elsewhere", 0)],
        ]
    );
}

#[test]
fn addresses_of_modules_do_not_meet() {
    let message = read(&of_frames(vec![
        frame(None, Some("/b"), Some(0x10)),
        frame(None, Some("/a"), Some(0x10)),
        frame(None, Some("[anon]"), Some(0x7fff_ffff_f000)),
        frame(None, None, Some(0x7f00_0000_1000)),
        frame(None, Some("/a"), Some(u64::MAX)),
        frame(Some("f"), None, None),
        frame(None, None, None),
    ]));
    let ids = &message.sample[0].location_id;
    let places: Vec<_> = ids
        .iter()
        .map(|&id| {
            let location = &message.location[id as usize - 1];
            (location.mapping_id, location.address)
        })
        .collect();
    assert_eq!(
        places,
        [
            (2, 0x2_0000_0000_0010),
            (1, 0x1_0000_0000_0010),
            (3, 0x3_7fff_ffff_f000),
            (0, 0x7f00_0000_1000),
            (1, 0),
            (0, 0),
            (0, 0),
        ]
    );
    let mappings = &message.mapping;
    for pair in mappings.windows(2) {
        assert!(pair[0].memory_limit <= pair[1].memory_start);
    }
    assert!(mappings.iter().all(|mapping| !mapping.has_functions));
    assert_eq!(mappings[2].memory_limit, 0x3_8000_0000_0000);
}

#[test]
fn a_path_of_two_files_has_no_build_id() {
    let module = |id: &str| Module {
        path: "/a".to_owned(),
        build_id: Some(id.to_owned()),
    };
    let mut profile = of_frames(vec![frame(Some("f"), Some("/a"), Some(1))]);
    profile.modules = vec![module("aa"), module("aa")];
    let message = read(&profile);
    assert_eq!(text(&message, message.mapping[0].build_id), "aa");
    profile.modules = vec![module("aa"), module("bb")];
    let message = read(&profile);
    assert_eq!(text(&message, message.mapping[0].build_id), "");
}

#[test]
fn a_stack_without_frames_still_counts() {
    let message = read(&of_frames(Vec::new()));
    let id = message.sample[0].location_id[0];
    assert_eq!(lines(&message, id), [("[unknown]", 0)]);
}

#[test]
fn go_takes_an_empty_recording_and_hostile_names() {
    go_tool_pprof(&sample::empty(), &["-raw"]);
    let mut profile = of_frames(vec![frame(Some("\u{1b}[31mred\n"), Some("\n"), Some(1))]);
    profile.started_at = "whenever".to_owned();
    let raw = go_tool_pprof(&profile, &["-raw"]);
    assert!(raw.contains("[31mred") && !raw.contains('\u{1b}'), "{raw}");
}
