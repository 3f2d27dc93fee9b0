//! What a target says of its recordings is what they are like.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use unfreed_tests::daemon::{Daemon, entries};
use unfreed_tests::report::Report;

use super::Copy;
use crate::session::Session;

/// Records a program twice, which is told by its name, as `options` say, until it is killed after it has kept 300 blocks; the
/// second recording. The name must be nobody else's.
fn record(name: &str, options: &str) -> Result<(Daemon, Report)> {
    let program = Copy::of("endings")?;
    let named = program.path.with_file_name(name);
    fs::rename(&program.path, &named)?;
    let target =
        format!("[[target]]\nname = \"it\"\ncomm = {name:?}\nviews = [\"heap\"]\n{options}\n");
    let daemon = Daemon::start(&target)?;
    let mut entry = Value::Null;
    for _ in 0..2 {
        let mut process = Session::ready(&mut Command::new(&named))?;
        let pid = process.pid();
        daemon.until_recorded(pid, "heap")?;
        process.tell("go")?;
        process.expect("done")?;
        drop(process);
        entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    }
    let report = daemon.report(&entry)?;
    Ok((daemon, report))
}

#[test]
fn so_many_are_kept_of_blocks_that_are_sampled() -> Result<()> {
    let options = "min_age = 0\nsample = \"4KiB\"\nmax_overhead = 0\nmax_count = 1";
    let (daemon, report) = record("unfreed-kept", options)?;
    let sampled = report.sampled.context("every block is recorded")?;
    ensure!(sampled.mean_bytes == 4096, "{sampled:?}");
    // Of 300 blocks of 1999 bytes each with a chance of 1 - exp(-1999 / 4096): 116, with a spread of 8.
    ensure!((76..156).contains(&sampled.samples), "{sampled:?}");
    // The first one was removed for the second.
    daemon.until("/api/v1/recordings", |list| {
        (entries(list)?.len() == 1).then_some(())
    })
}

#[test]
fn what_is_younger_is_left_out() -> Result<()> {
    let options = "min_age = \"59m\"\nsample = 0\nmax_overhead = 0";
    let (_daemon, report) = record("unfreed-young", options)?;
    ensure!(report.sampled.is_none());
    let unfreed = report.totals.unfreed;
    ensure!(unfreed.count == 0, "{unfreed}");
    ensure!(report.totals.taken.count >= 300, "{:?}", report.totals);
    Ok(())
}
