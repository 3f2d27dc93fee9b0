//! Names, files and lines of the functions on a stack, as far as they can be known.

mod split;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use unfreed_tests::paths;

use crate::recorded::{Recorded, frames};
use crate::toolchain;

/// What `sym_inlined.cc` takes: 300 blocks of 1999 bytes.
const INLINED: u64 = 300 * 1999;

/// The line of a source that says `at NAME`.
fn line_of(source: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(paths::sources().join(source))?;
    let mark = format!("// at {name}");
    let index = text.lines().position(|line| line.ends_with(&mark));
    Ok(index.with_context(|| format!("no line says {mark}"))? as u64 + 1)
}

fn function(frame: &Value) -> &str {
    frame["function"].as_str().unwrap_or_default()
}

/// Fails unless the frames below malloc are those of `sym_inlined.cc`, each with its file and line.
fn check_inlined(result: &Value) -> Result<()> {
    let frames = frames(result, INLINED)?;
    let expected = [
        ("innermost", true),
        ("middle", true),
        ("outermost", true),
        ("holder", false),
        ("main", false),
    ];
    ensure!(frames.len() > expected.len(), "frames: {frames:?}");
    for (frame, (name, inlined)) in frames[1..].iter().zip(expected) {
        let line = line_of("sym_inlined.cc", name)?;
        let file = frame["file"].as_str().unwrap_or_default();
        // The compiler keeps no full name of what it has put into its caller.
        let named = match inlined {
            true => function(frame).ends_with(name),
            false if name == "main" => function(frame) == "main",
            false => function(frame) == format!("deep::{name}()"),
        };
        ensure!(
            named
                && frame["inlined"] == inlined
                && frame["line"] == line
                && Path::new(file).ends_with("programs/sym_inlined.cc"),
            "expected {name}, line {line}, inlined: {inlined}; got {frame} in {frames:?}"
        );
    }
    Ok(())
}

#[test]
fn inlined_functions_are_frames_with_their_lines() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("sym_inlined");
    toolchain::compile::<&str>("sym_inlined.cc", &program, &[])?;
    let mut case = Recorded::start(&mut Command::new(&program), &[])?;
    case.work()?;
    check_inlined(&case.stop()?)
}

/// A recording of this program, as JSON and folded.
fn in_two_formats(program: &Path) -> Result<(Value, String)> {
    let directory = tempfile::tempdir()?;
    let folded = directory.path().join("heap.folded");
    let more = ["-o", &folded.to_string_lossy()];
    let mut case = Recorded::start(&mut Command::new(program), &more)?;
    case.work()?;
    Ok((case.stop()?, std::fs::read_to_string(folded)?))
}

/// Fails unless the first frame of our own on each stack, known by its size, has one of the names.
fn check_names(program: &Path, expected: &[(u64, &str)]) -> Result<()> {
    let (result, folded) = in_two_formats(program)?;
    for &(bytes, name) in expected {
        let frames = frames(&result, bytes)?;
        let found = frames.iter().any(|frame| function(frame) == name);
        ensure!(found, "no {name} in {frames:?}");
        let line = folded
            .lines()
            .find(|line| line.ends_with(&format!(" {bytes}")));
        let line = line.with_context(|| format!("no line of {bytes} bytes in {folded}"))?;
        // What separates frames cannot be in a name.
        let name = name.replace(';', ":");
        let found = line.split(';').any(|frame| {
            frame == name || frame.strip_suffix(&format!(" {bytes}")) == Some(name.as_str())
        });
        ensure!(found, "no {name} in {line}");
    }
    for mangled in ["_ZN", "_R", "17h"] {
        ensure!(!folded.contains(mangled), "{mangled} in {folded}");
    }
    Ok(())
}

#[test]
fn names_of_c_plus_plus_are_demangled() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("sym_names");
    toolchain::compile::<&str>("sym_names.cc", &program, &[])?;
    check_names(
        &program,
        &[
            (101, "void* names::Pair<long, 7>::fill<char>(char)"),
            (103, "names::Pair<long, 7>::operator<<(long const&) const"),
            (107, "names::Pair<long, 7>::operator()(int) const"),
            (109, "names::Pair<long, 7>::operator void*() const"),
            (
                113,
                "names::(anonymous namespace)::hidden(char const*, unsigned long)",
            ),
            (127, "names::run()::{lambda(int)#1}::operator()(int) const"),
        ],
    )
}

#[test]
fn names_of_rust_are_demangled() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("sym_names");
    toolchain::rust("sym_names.rs", &program, "v0")?;
    check_names(
        &program,
        &[
            (
                1103,
                "<sym_names::Holder<[u64; 4]> as sym_names::Fill>::fill",
            ),
            (1109, "<sym_names::Holder<u8>>::generic::<&str>"),
            (1117, "sym_names::main::{closure#0}"),
        ],
    )
}

#[test]
fn old_names_of_rust_are_demangled() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("sym_names");
    toolchain::rust("sym_names.rs", &program, "legacy")?;
    check_names(
        &program,
        &[
            (1103, "<sym_names::Holder<[T; 4]> as sym_names::Fill>::fill"),
            (1109, "sym_names::Holder<T>::generic"),
            (1117, "sym_names::main::{{closure}}"),
        ],
    )
}
