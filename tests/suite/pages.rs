//! The pages view: whose touch made each page resident, against a program that knows it, and against
//! the kernel's own sums.

mod cases;
pub mod mixed;
mod plugins;
pub mod recorded;
mod swapped;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use unfreed_tests::build::{self, Linkage};

use crate::session::{self, Session};
use recorded::{Recorded, Setting};

/// The program that touches pages in the common ways.
fn pages<'a>(linkage: Linkage, options: &'a [&'a str]) -> Result<Recorded> {
    let setting = Setting {
        linkage,
        options,
        ..Setting::of("pages")
    };
    setting.record()
}

fn is_exact(linkage: Linkage, options: &[&str]) -> Result<()> {
    let recorded = pages(linkage, options)?;
    let of_file = recorded.expected()?["site_file"];
    ensure!(of_file >= 4, "no page of the file is mapped");
    recorded.is_exact()?;
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
    let recorded = pages(Linkage::Dynamic, &["--fault-events", "perf"])?;
    let (expected, found) = (recorded.expected()?, recorded.by_site()?);
    ensure!(found == expected, "expected {expected:?}, got {found:?}");
    recorded.check_sums()?;
    recorded.finish()
}

/// Every touch is counted, resident or not.
#[test]
fn all_touches_are_counted() -> Result<()> {
    let recorded = pages(Linkage::Dynamic, &["--all"])?;
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
    // How long it takes until it is looked at again depends on the machine.
    for seconds in [2, 8, 30] {
        let recorded = gone_after(Duration::from_secs(seconds))?;
        let late = &recorded.result["reconciliation"]["looked_seconds_before_end"];
        let late = late.as_f64().context("it does not say when it looked")?;
        if late < seconds as f64 {
            let found = recorded.by_site()?;
            ensure!(found.get("site_write") == Some(&300), "{found:?}");
            return recorded.check_sums();
        }
    }
    anyhow::bail!("it does not look")
}

/// The program is killed this long after its work.
fn gone_after(time: Duration) -> Result<Recorded> {
    let directory = tempfile::tempdir()?;
    let json = directory.path().join("pages.json");
    let (target, unfreed) = after_its_work(&json, &[])?;
    std::thread::sleep(time);
    target.signal(Signal::SIGKILL)?;
    let ended = unfreed.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    Ok(Recorded {
        said: Value::Null,
        result: session::read_json(&json)?,
        text: String::new(),
        target,
    })
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
