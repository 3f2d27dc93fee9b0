//! The licences of everything that is linked into the binary: most of them want to go with it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::run;

/// How files with licences and notices begin.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// What of `cargo metadata` is of use here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for the workspace's own.
    source: Option<String>,
    manifest_path: PathBuf,
}

/// One text: name, version, licence and the files that say so, of each dependency for `target`.
///
/// A crate without such a file is listed with its licence alone, as its authors have published it.
pub fn of_dependencies(target: &str) -> Result<String> {
    let linked = linked(target)?;
    let mut command = run::cargo();
    command.args([
        "metadata",
        "--format-version=1",
        "--filter-platform",
        target,
    ]);
    let output = run::output(&mut command)?;
    ensure!(output.status.success(), "`{}` failed", run::shown(&command));
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("reading cargo's metadata")?;
    let mut packages: Vec<Package> = metadata
        .packages
        .into_iter()
        .filter(|package| package.source.is_some())
        .filter(|package| linked.contains(&(package.name.clone(), package.version.clone())))
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    ensure!(!packages.is_empty(), "cargo knows no dependencies");
    let mut text = String::from("What is linked into unfreed, and under which licence.\n");
    for package in &packages {
        write_one(package, &mut text)?;
    }
    Ok(text)
}

/// Name and version of every crate that is linked into the binary: not what only builds or tests it.
fn linked(target: &str) -> Result<BTreeSet<(String, String)>> {
    let mut command = run::cargo();
    command.args([
        "tree",
        "--package",
        "unfreed",
        "--edges",
        "normal,no-proc-macro",
    ]);
    command.args(["--prefix", "none", "--format", "{p}", "--target", target]);
    let output = run::output(&mut command)?;
    ensure!(output.status.success(), "`{}` failed", run::shown(&command));
    let list = String::from_utf8(output.stdout).context("cargo's list of crates")?;
    Ok(list.lines().filter_map(name_and_version).collect())
}

/// Of a line such as `libc v0.2.1 (*)`.
fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

fn write_one(package: &Package, text: &mut String) -> Result<()> {
    let Package {
        name,
        version,
        license,
        source: _,
        manifest_path,
    } = package;
    let Some(license) = license else {
        bail!("{name} {version} does not say under which licence it is");
    };
    let line = "=".repeat(79);
    write!(text, "\n{line}\n{name} {version}: {license}\n").context("writing a licence")?;
    let directory = manifest_path.parent().unwrap_or(Path::new("."));
    for path in files(directory)? {
        let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let content = String::from_utf8_lossy(&content);
        write!(text, "\n{}\n", content.trim_end()).context("writing a licence")?;
    }
    Ok(())
}

/// The files with licences of a crate, by name.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().to_uppercase();
            NAMES.iter().any(|begin| name.starts_with(begin))
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cargo_tree_has_name_and_version() {
        let expected = Some(("libc".to_owned(), "0.2.1".to_owned()));
        assert_eq!(name_and_version("libc v0.2.1"), expected);
        assert_eq!(name_and_version("libc v0.2.1 (*)"), expected);
        assert_eq!(name_and_version(""), None);
    }

    #[test]
    fn what_is_linked_goes_with_its_licence_and_what_is_not_does_not() {
        let text = of_dependencies(super::super::TARGET).unwrap();
        assert!(text.contains("\ninferno "), "{}", &text[..2000]);
        assert!(text.contains("CDDL"));
        assert!(text.contains("Permission is hereby granted"));
        // for tests only, and a macro
        assert!(!text.contains("\nproptest "));
        assert!(!text.contains("\nserde_derive "));
    }
}
