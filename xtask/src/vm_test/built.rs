//! What is built for the guests, on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::output::stdout_of;
use super::select::Test;
use crate::run;

/// The test binaries of the package unfreed-tests.
const BINARIES: [&str; 2] = ["suite", "guest"];

/// Paths on this machine.
pub struct Built {
    pub unfreed: PathBuf,
    /// The guests' `/init`.
    pub init: PathBuf,
    /// With their names.
    pub binaries: Vec<(&'static str, PathBuf)>,
    /// The tests that each binary has.
    pub tests: Vec<Test>,
}

impl Built {
    /// Builds everything as the other tasks do, and the two test binaries.
    pub fn new() -> Result<Self> {
        run::build_debug()?;
        let mut cargo = run::cargo();
        cargo.args(["test", "--no-run", "--message-format=json"]);
        for name in BINARIES {
            cargo.args(["--test", name]);
        }
        run::announce(&cargo);
        let messages = stdout_of(cargo.stderr(Stdio::inherit()))?;
        let mut built = Self {
            unfreed: run::debug_binary("unfreed")?,
            init: run::debug_binary("guest_init")?,
            binaries: Vec::new(),
            tests: Vec::new(),
        };
        for name in BINARIES {
            let path = executable(&messages, name)
                .with_context(|| format!("cargo built no test binary `{name}`"))?;
            built.tests.extend(tests(name, &path)?);
            built.binaries.push((name, path));
        }
        Ok(built)
    }

    /// Builds every program that a test may start in a guest; their paths.
    pub fn programs() -> Result<Vec<PathBuf>> {
        let mut command = run::program(run::debug_binary("programs")?);
        run::announce(&command);
        let paths = stdout_of(command.stderr(Stdio::inherit()))?;
        let paths: Vec<PathBuf> = paths.lines().map(PathBuf::from).collect();
        ensure!(!paths.is_empty(), "no test program was built");
        Ok(paths)
    }
}

/// A copy without debug information, which is most of the file and of no use in a guest.
pub fn stripped(path: &Path, name: &str, vm: &Path) -> Result<PathBuf> {
    let directory = vm.join("stripped");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let copy = directory.join(name);
    let mut strip = run::program("strip");
    strip.arg("--strip-debug").arg("-o").arg(&copy).arg(path);
    stdout_of(&mut strip)?;
    Ok(copy)
}

/// A message of `cargo --message-format=json`; other kinds lack these fields.
#[derive(Deserialize)]
struct Message {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The path of a test binary in cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.name == name && message.target.kind == ["test"])
        .find_map(|message| message.executable)
}

fn tests(binary: &str, path: &Path) -> Result<Vec<Test>> {
    let list = |more: &[&str]| -> Result<BTreeSet<String>> {
        let mut command = run::program(path);
        let listed = stdout_of(command.args(["--list", "--format=terse"]).args(more))?;
        Ok(names(&listed))
    };
    let ignored = list(&["--ignored"])?;
    let test = |name: String| Test {
        binary: binary.to_owned(),
        ignored: ignored.contains(&name),
        name,
    };
    Ok(list(&[])?.into_iter().map(test).collect())
}

/// From libtest's lines `heap_matrix::heap_functions_on_glibc: test`.
fn names(listed: &str) -> BTreeSet<String> {
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_a_test_binary_is() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"other"},"executable":"/t/other-1"}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"suite"},"executable":"/t/suite"}
{"reason":"compiler-message","message":{"rendered":"warning"}}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"suite"},"executable":"/t/suite-2"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages, "suite"), Some("/t/suite-2".into()));
        assert_eq!(executable(messages, "guest"), None);
    }

    #[test]
    fn tests_and_nothing_else_are_listed() {
        let listed = "b::two: test\na::one: test\nc::three: benchmark\n";
        let names: Vec<_> = names(listed).into_iter().collect();
        assert_eq!(names, ["a::one", "b::two"]);
    }
}
