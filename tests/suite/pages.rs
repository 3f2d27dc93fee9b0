//! The pages view: whose touch made each page resident, against a program that knows it, and against
//! the kernel's own sums.

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

const PAGE: u64 = 4096;

/// What the program says, what unfreed says, and the program, still alive.
struct Recorded {
    said: Value,
    result: Value,
    text: String,
    target: Session,
}

impl Recorded {
    /// Records the program while it works. `more`: options for unfreed.
    fn of(linkage: Linkage, more: &[&str]) -> Result<Self> {
        let mut target = Session::ready(&mut Command::new(build::program("pages", linkage)?))?;
        let directory = tempfile::tempdir()?;
        let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let (json, text) = (file("pages.json"), file("pages.txt"));
        let pid = target.pid().to_string();
        let arguments = [
            "pages",
            "-p",
            &pid,
            "--min-age",
            "0",
            "-q",
            "-o",
            &json,
            "-o",
            &text,
        ];
        let unfreed = Session::recording(&[&arguments, more].concat())?;
        target.tell("go")?;
        let line = target.stdout.next(Duration::from_mins(1))?;
        let said = serde_json::from_str(&line.context("the program has ended")?)?;
        unfreed.signal(Signal::SIGINT)?;
        let ended = unfreed.end()?;
        ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
        Ok(Self {
            said,
            result: session::read_json(json.as_ref())?,
            text: std::fs::read_to_string(text)?,
            target,
        })
    }

    /// Lets the program end, which has to be unharmed.
    fn finish(mut self) -> Result<()> {
        self.target.tell("end")?;
        let ended = self.target.end()?;
        ensure!(ended.status.success(), "the target: {}", ended.status);
        Ok(())
    }

    /// Pages by the function that touched them. Of files only those that it touched on purpose: its own code,
    /// and that of the functions it calls, may be mapped at that moment, too.
    fn by_site(&self) -> Result<BTreeMap<String, u64>> {
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
            if let Some(site) = site.filter(|site| !of_file || *site == "site_file") {
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
    fn expected(&self) -> Result<BTreeMap<String, u64>> {
        let mut expected: BTreeMap<String, u64> =
            serde_json::from_value(self.said["pages"].clone())?;
        for (site, range) in self.said["ranges"].as_object().context("no ranges")? {
            expected.insert(site.clone(), self.resident(range)?);
        }
        Ok(expected)
    }

    fn reconciled(&self, path: &[&str]) -> Result<i64> {
        let mut value = &self.result["reconciliation"];
        for key in path {
            value = &value[key];
        }
        value.as_i64().with_context(|| format!("no {path:?}"))
    }

    /// What came and went is what the kernel's sums say, whichever way it is counted.
    fn check_sums(&self) -> Result<()> {
        let of = |what: &str| -> Result<i64> {
            Ok(self.reconciled(&[what, "anonymous"])? + self.reconciled(&[what, "huge"])?)
        };
        let ours = of("explained")? + of("unexplained")? - of("given_back_of_before")?;
        let kernels = self.reconciled(&["after", "anonymous"])?
            - self.reconciled(&["before", "anonymous"])?;
        ensure!(
            ours == kernels,
            "anonymous memory grew by {kernels}, and by our account by {ours}: {}",
            self.result["reconciliation"]
        );
        Ok(())
    }
}

fn is_exact(linkage: Linkage, more: &[&str]) -> Result<()> {
    let recorded = Recorded::of(linkage, more)?;
    let expected = recorded.expected()?;
    ensure!(expected["site_file"] >= 4, "no page of the file is mapped");
    let found = recorded.by_site()?;
    ensure!(found == expected, "expected {expected:?}, got {found:?}");
    recorded.check_sums()?;
    let populated = recorded.resident(&recorded.said["populated"])?;
    ensure!(populated == 25, "{populated} pages are populated");
    let unexplained = recorded.reconciled(&["unexplained", "anonymous"])?;
    ensure!(
        unexplained == (populated * PAGE).cast_signed(),
        "unexplained: {unexplained}, where only populated memory is"
    );
    // The dynamic linker's trampoline, which binds a function at its first call, has no rule of ours.
    let unwinding = &recorded.result["unwinding"];
    let walks = |what: &str| unwinding[what].as_u64().context("no number");
    ensure!(walks("walked")? - walks("complete")? <= 5, "{unwinding}");
    let text = &recorded.text;
    ensure!(text.contains("site_memset"), "{text}");
    ensure!(text.contains("explained by stacks"), "{text}");
    recorded.finish()
}

#[test]
fn every_page_belongs_to_the_touch_that_made_it_resident() -> Result<()> {
    is_exact(Linkage::Dynamic, &[])
}

#[test]
fn every_page_of_a_static_program_does() -> Result<()> {
    is_exact(Linkage::Static, &[])
}

/// perf's event does not say whether a page was there: copies after a fork look like first touches.
#[test]
fn by_perf_events_the_same_is_found() -> Result<()> {
    let recorded = Recorded::of(Linkage::Dynamic, &["--fault-events", "perf"])?;
    let (expected, found) = (recorded.expected()?, recorded.by_site()?);
    ensure!(found == expected, "expected {expected:?}, got {found:?}");
    recorded.check_sums()?;
    recorded.finish()
}

/// Every touch is counted, resident or not.
#[test]
fn all_touches_are_counted() -> Result<()> {
    let recorded = Recorded::of(Linkage::Dynamic, &["--all"])?;
    let found = recorded.by_site()?;
    for (site, pages) in [
        ("site_write", 300),
        ("site_read_zeros", 200),
        ("site_unmapped", 120),
        ("site_dropped", 90),
        ("site_touches_again", 40),
    ] {
        ensure!(found.get(site) == Some(&pages), "{site} in {found:?}");
    }
    recorded.finish()
}

/// The program, and the unfreed that still records it into that file, after its work.
fn after_its_work(json: &Path, more: &[&str]) -> Result<(Session, Session)> {
    let program = build::program("pages", Linkage::Dynamic)?;
    let mut target = Session::ready(&mut Command::new(program))?;
    let pid = target.pid().to_string();
    let path = json.to_string_lossy();
    let arguments = ["pages", "-p", &pid, "--min-age", "0", "-q", "-o", &path];
    let unfreed = Session::recording(&[&arguments, more].concat())?;
    target.tell("go")?;
    let line = target.stdout.next(Duration::from_mins(1))?;
    ensure!(line.is_some(), "the program has ended");
    Ok((target, unfreed))
}

#[test]
fn what_is_gone_is_what_was_resident_at_the_last_look() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let json = directory.path().join("pages.json");
    let (target, unfreed) = after_its_work(&json, &[])?;
    // Until it was looked at: twice the interval.
    std::thread::sleep(Duration::from_secs(2));
    target.signal(Signal::SIGKILL)?;
    let ended = unfreed.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let result = session::read_json(&json)?;
    let recorded = Recorded {
        said: Value::Null,
        result,
        text: String::new(),
        target,
    };
    let found = recorded.by_site()?;
    ensure!(found.get("site_write") == Some(&300), "{found:?}");
    recorded.check_sums()?;
    let late = &recorded.result["reconciliation"]["looked_seconds_before_end"];
    let late = late.as_f64().context("it does not say when it looked")?;
    ensure!(late < 2.0, "{late}");
    Ok(())
}

#[test]
fn touches_for_which_there_is_no_room_are_counted() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let json = directory.path().join("pages.json");
    let (mut target, unfreed) = after_its_work(&json, &["--max-pages", "64"])?;
    unfreed.signal(Signal::SIGINT)?;
    let ended = unfreed.end()?;
    ensure!(ended.status.code() == Some(3), "{}", ended.status);
    let result = session::read_json(&json)?;
    let lost = result["losses"]["touch_map_full"].as_u64();
    ensure!(lost.is_some_and(|lost| lost > 1000), "{}", result["losses"]);
    ensure!(result["warnings"].to_string().contains("--max-pages"));
    target.tell("end")?;
    ensure!(target.end()?.status.success());
    Ok(())
}
