//! A program of the pages view, what it says it did, and what unfreed says.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use procfs::process::Process;
use serde_json::Value;
use unfreed_tests::build::{self, Linkage};

use crate::session::{self, Session};

/// Bytes.
pub const PAGE: u64 = 4096;

/// What the program says, what unfreed says, and the program, still alive.
pub struct Recorded {
    pub said: Value,
    pub result: Value,
    /// The report, without its line breaks.
    pub text: String,
    pub target: Session,
}

/// A program, and how it is recorded.
pub struct Setting<'a> {
    pub program: &'static str,
    pub linkage: Linkage,
    /// For the program.
    pub arguments: &'a [&'a str],
    /// For unfreed.
    pub options: &'a [&'a str],
}

impl Setting<'_> {
    /// The program as it is.
    pub fn of(program: &'static str) -> Self {
        Self {
            program,
            linkage: Linkage::Dynamic,
            arguments: &[],
            options: &[],
        }
    }

    /// Records the program while it works.
    pub fn record(&self) -> Result<Recorded> {
        self.record_file(&build::program(self.program, self.linkage)?)
    }

    /// The same of a file that was made of the program.
    pub fn record_file(&self, path: &Path) -> Result<Recorded> {
        let mut command = Command::new(path);
        let mut target = Session::ready(command.args(self.arguments))?;
        let directory = tempfile::tempdir()?;
        let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let (json, text) = (file("pages.json"), file("pages.txt"));
        let pid = target.pid().to_string();
        let mut arguments = vec!["pages", "-p", &pid, "--min-age", "0", "-q"];
        arguments.extend(["-o", &json, "-o", &text]);
        arguments.extend(self.options);
        let unfreed = Session::recording(&arguments)?;
        target.tell("go")?;
        let line = target.stdout.next(Duration::from_mins(1))?;
        let Some(line) = line else {
            let said = target.end()?.stderr;
            anyhow::bail!("the program has ended: {said}");
        };
        unfreed.signal(Signal::SIGINT)?;
        let ended = unfreed.end()?;
        ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
        let recorded = Recorded {
            said: serde_json::from_str(&line).with_context(|| line.clone())?,
            result: session::read_json(json.as_ref())?,
            text: words(&std::fs::read_to_string(text)?),
            target,
        };
        for (what, _) in numbers(&recorded.said["lacks"])? {
            println!("{}: not tried, as this kernel lacks {what}", self.program);
        }
        Ok(recorded)
    }
}

impl Recorded {
    /// Lets the program end, which has to be unharmed.
    pub fn finish(mut self) -> Result<()> {
        self.target.tell("end")?;
        let ended = self.target.end()?;
        ensure!(
            ended.status.success(),
            "the target: {}: {}",
            ended.status,
            ended.stderr
        );
        Ok(())
    }

    /// Pages by the function that touched them. Of files only those that it touched on purpose: its own code,
    /// and that of the functions it calls, may be mapped at that moment, too.
    pub fn by_site(&self) -> Result<BTreeMap<String, u64>> {
        let mut sites = BTreeMap::new();
        for stack in self.result["stacks"].as_array().context("no stacks")? {
            let frames = stack["frames"].as_array().context("no frames")?;
            let site = frames
                .iter()
                .filter_map(|frame| frame["function"].as_str())
                .find(|function| function.starts_with("site_"));
            let pages = stack["count"].as_u64().context("no count")?;
            ensure!(
                stack["bytes"].as_u64() == Some(pages * PAGE),
                "not pages: {stack}"
            );
            let of_file = stack["kind"] == "file";
            if let Some(site) = site.filter(|site| !of_file || site.starts_with("site_file")) {
                *sites.entry(site.to_owned()).or_default() += pages;
            }
        }
        Ok(sites)
    }

    /// Resident pages of a range of addresses, as the kernel says.
    fn resident(&self, range: &Value) -> Result<u64> {
        let at = |index: usize| range[index].as_u64().context("not a range");
        let (start, end) = (at(0)?, at(1)?);
        let maps = Process::new(self.target.pid().cast_signed())?.smaps()?;
        let within = maps
            .iter()
            .filter(|map| start <= map.address.0 && map.address.1 <= end);
        Ok(within
            .filter_map(|map| map.extension.map.get("Rss"))
            .sum::<u64>()
            / PAGE)
    }

    /// The program's own numbers, and the kernel's where it cannot know.
    pub fn expected(&self) -> Result<BTreeMap<String, u64>> {
        let mut expected = numbers(&self.said["pages"])?;
        if let Some(ranges) = self.said["ranges"].as_object() {
            for (site, range) in ranges {
                expected.insert(site.clone(), self.resident(range)?);
            }
        }
        expected.retain(|_, pages| *pages > 0);
        Ok(expected)
    }

    /// A number of the reconciliation, by the names that lead to it.
    pub fn reconciled(&self, path: &[&str]) -> Result<i64> {
        let mut value = &self.result["reconciliation"];
        for key in path {
            value = &value[key];
        }
        value.as_i64().with_context(|| format!("no {path:?}"))
    }

    /// What came and went is what the kernel's sums say, whichever way it is counted.
    pub fn check_sums(&self) -> Result<()> {
        let of = |what: &str| -> Result<i64> {
            Ok(self.reconciled(&[what, "anonymous"])? + self.reconciled(&[what, "huge"])?)
        };
        let ours = of("explained")? + of("unexplained")? - of("given_back_of_before")?
            + self.reconciled(&["given_back_lazily", "not_counted"])?;
        let kernels = self.reconciled(&["after", "anonymous"])?
            - self.reconciled(&["before", "anonymous"])?;
        ensure!(
            ours == kernels,
            "anonymous memory grew by {kernels}, and by our account by {ours}: {}",
            self.result["reconciliation"]
        );
        Ok(())
    }

    /// All that the program says is what unfreed says.
    pub fn is_exact(&self) -> Result<()> {
        let (expected, found) = (self.expected()?, self.by_site()?);
        ensure!(
            found == expected,
            "expected {expected:?}, got {found:?}: {}",
            self.result["reconciliation"]
        );
        self.check_sums()?;
        let said = numbers(&self.said["unexplained"])?;
        for kind in ["anonymous", "huge", "shmem"] {
            let expected = said.get(kind).copied().unwrap_or_default() * PAGE;
            let unexplained = self.reconciled(&["unexplained", kind])?;
            ensure!(
                unexplained == expected.cast_signed(),
                "unexplained {kind}: {unexplained} instead of {expected}"
            );
        }
        for (what, pages) in numbers(&self.said["given_back_lazily"])? {
            let found = self.reconciled(&["given_back_lazily", &what])?;
            ensure!(
                found == (pages * PAGE).cast_signed(),
                "given back lazily, {what}: {found} instead of {pages} pages"
            );
        }
        Ok(())
    }
}

/// The text without line breaks.
pub fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An object of numbers; none at all when it is not there.
fn numbers(value: &Value) -> Result<BTreeMap<String, u64>> {
    if value.is_null() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_value(value.clone()).with_context(|| format!("not numbers: {value}"))
}
