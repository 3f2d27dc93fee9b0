//! The kernel is asked to tell of what is mapped only where that matters: each mapping of each process pays for it.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use procfs::process::{MMapPath, Process};
use serde_json::Value;
use unfreed_tests::build::beforehand::PAGES_PLUGINS;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::unfreed::Unfreed;

use crate::session::Session;

/// How many rings of perf events a process has mapped: one for each processor, or none.
fn rings(pid: u32) -> Result<usize> {
    let maps = Process::new(pid.cast_signed())?.maps()?;
    let is_ring = |path: &MMapPath| match path {
        MMapPath::Path(path) => path.to_string_lossy().contains("[perf_event]"),
        _ => false,
    };
    Ok(maps.iter().filter(|map| is_ring(&map.pathname)).count())
}

#[test]
fn a_target_that_loads_plugins_is_heard_from_the_start() -> Result<()> {
    let [alpha, bravo] = PAGES_PLUGINS.map(build::frameless_library);
    let path = build::program("pages_plugins", Linkage::Dynamic)?;
    let target = Session::ready(Command::new(path).args([alpha?, bravo?]))?;
    let unfreed = Unfreed::pages(target.pid(), &[])?;
    let rings = rings(unfreed.pid())?;
    unfreed.stop()?.whole()?;
    ensure!(rings > 0, "it is not heard");
    Ok(())
}

#[test]
fn a_target_that_loads_nothing_is_heard_once_it_does() -> Result<()> {
    let path = build::program("pages_loading", Linkage::Dynamic)?;
    let mut target = Session::ready(&mut Command::new(path))?;
    let unfreed = Unfreed::pages(target.pid(), &[])?;
    let before = rings(unfreed.pid())?;
    ensure!(before == 0, "{before} rings of a target that loads nothing");
    target.tell("go")?;
    let line = target.stdout.next(Duration::from_mins(1))?;
    let said: Value = serde_json::from_str(&line.context("the program has ended")?)?;
    let begin = Instant::now();
    while rings(unfreed.pid())? == 0 {
        ensure!(begin.elapsed() < Duration::from_secs(20), "it is not heard");
        sleep(Duration::from_millis(10));
    }
    let report = unfreed.stop()?.whole()?;
    let (sites, _) = report.by_site();
    for site in ["site_before", "site_after"] {
        let pages = sites.get(site).map(|weight| weight.count);
        ensure!(pages == said["pages"][site].as_u64(), "{site}: {sites:?}");
    }
    target.tell("end")?;
    ensure!(target.end()?.status.success(), "the target was hurt");
    Ok(())
}
