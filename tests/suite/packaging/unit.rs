//! The unit file, as text and as settings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use unfreed_tests::paths;

/// A unit file.
pub struct Unit {
    pub text: String,
}

impl Unit {
    pub fn new(text: String) -> Self {
        Self { text }
    }

    /// The one that is packaged.
    pub fn packaged() -> Result<Self> {
        read("unfreed.service").map(Self::new)
    }

    /// The drop-in for old kernels.
    pub fn old_kernels() -> Result<String> {
        read("unfreed.service.d/old-kernels.conf")
    }

    /// Who is made when the package is installed.
    pub fn sysusers() -> Result<String> {
        read("unfreed.sysusers")
    }

    /// The values of a setting, in their order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_it = move |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
        self.text.lines().filter_map(of_it)
    }

    /// The words of all of them.
    pub fn words<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(name).flat_map(str::split_whitespace)
    }

    /// The value of a setting that is there once.
    pub fn one<'a>(&'a self, name: &'a str) -> Result<&'a str> {
        let values: Vec<&str> = self.values(name).collect();
        match values[..] {
            [value] => Ok(value),
            _ => bail!("{name} has the values {values:?}"),
        }
    }

    /// Writes it, with another program in the place of unfreed.
    pub fn write(&self, directory: &Path, program: &str) -> Result<PathBuf> {
        let path = directory.join("unfreed.service");
        let text = self
            .text
            .replace("=/usr/bin/unfreed ", &format!("={program} "));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Which system calls its filter lets through, of those that systemd knows.
    pub fn system_calls(&self) -> Result<BTreeSet<String>> {
        let mut calls = BTreeSet::new();
        for value in self.values("SystemCallFilter") {
            let (refuse, words) = match value.strip_prefix('~') {
                Some(words) => (true, words),
                None => (false, value),
            };
            for word in words.split_whitespace() {
                let mut of_word = BTreeSet::new();
                expand(word, &mut of_word)?;
                for call in of_word {
                    if refuse {
                        calls.remove(&call);
                    } else {
                        calls.insert(call);
                    }
                }
            }
        }
        Ok(calls)
    }
}

fn read(name: &str) -> Result<String> {
    let path = paths::sources().join("../../profiler/packaging").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// The system calls of a group, and of the groups in it, as systemd knows them.
fn expand(word: &str, calls: &mut BTreeSet<String>) -> Result<()> {
    if !word.starts_with('@') {
        calls.insert(word.to_owned());
        return Ok(());
    }
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", word])
        .output()
        .context("running systemd-analyze (cargo xtask setup installs it)")?;
    let list = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "systemd knows no {word}");
    for line in list.lines().skip(1).map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            expand(line, calls)?;
        }
    }
    Ok(())
}
