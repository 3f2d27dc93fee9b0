//! Profiles, fetched as Parca and Alloy fetch them, and read by Go's own pprof.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use unfreed_tests::daemon::{Client, Daemon};

use super::Copy;

/// What `endings.c` keeps.
const KEPT: u64 = 300 * 1999;

/// What pprof makes of the newest recording of a target.
fn pprof(daemon: &Client, target: &str, arguments: &[&str]) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let output = Command::new("go")
        .args(["tool", "pprof", "-sample_index=inuse_space"])
        // Names are in the profile already.
        .arg("-symbolize=none")
        .args(arguments)
        .arg(format!(
            "http://{}/debug/pprof/heap?target={target}",
            daemon.address
        ))
        .env("PPROF_TMPDIR", directory.path())
        .output()
        .context("running go (cargo xtask setup installs it)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_leak_is_named_with_its_bytes() -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    let mut process = program.recorded(&daemon, "exit")?;
    let pid = process.pid();
    process.tell("go")?;
    process.expect("done")?;
    process.tell("end")?;
    daemon.until_stored(|entry| entry["pid"] == json!(pid))?;

    // Columns: flat, its share, the sum of shares, cumulative, its share, and the function.
    let top = pprof(&daemon, "it", &["-top", "-unit=B", "-nodefraction=0"])?;
    let site = top
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.last() == Some(&"site_kept"))
        .with_context(|| format!("no site_kept in {top}"))?;
    let cumulative = site.get(3).context("no cumulative bytes")?;
    ensure!(*cumulative == format!("{KEPT}B"), "{top}");
    ensure!(!top.contains("site_freed"), "{top}");

    let raw = pprof(&daemon, "it", &["-raw"])?;
    for kind in [
        "alloc_objects/count",
        "alloc_space/bytes",
        "inuse_objects/count",
        "inuse_space/bytes",
    ] {
        ensure!(raw.contains(kind), "no {kind} in {raw}");
    }
    // A sample: its values in this order, and where.
    let sample = raw.lines().find(|line| {
        let mut words = line
            .split_whitespace()
            .map(|word| word.trim_end_matches(':'));
        words.nth(2) == Some("300") && words.next() == Some(&KEPT.to_string())
    });
    sample.with_context(|| format!("no sample of 300 blocks in {raw}"))?;
    ensure!(raw.contains(&program.path.display().to_string()), "{raw}");

    // Of a target that there is not, a scraper hears an error and not an empty profile.
    let error = pprof(&daemon, "other", &["-top"])
        .err()
        .context("of another target")?;
    ensure!(error.to_string().contains("404"), "{error}");
    Ok(())
}
