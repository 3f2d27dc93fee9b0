//! `cargo xtask bench`: measures what recording costs, and what unwind tables do, and writes
//! docs/benchmark.md.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::setup::{self, Scope};

const DOCUMENT: &str = "docs/benchmark.md";

/// Everything is measured on release builds. Only what cannot be measured fails, not what is slow.
pub fn task() -> Result<()> {
    setup::check(Scope::Everything)?;
    run::run(run::cargo().args([
        "build",
        "--release",
        "--package=unfreed",
        "--package=unfreed-tests",
        "--bins",
    ]))?;
    let release = run::target_dir()?.join("release");
    let mut command = run::program(release.join("bench"));
    command.env("UNFREED_BIN", release.join("unfreed"));
    run::announce(&command);
    let bench = run::output(command.stderr(Stdio::inherit()))?;
    ensure!(
        bench.status.success(),
        "the benchmark failed: {}",
        bench.status
    );
    let text = String::from_utf8(bench.stdout).context("reading the report")?;
    let path = run::root().join(DOCUMENT);
    fs::write(&path, &text).with_context(|| format!("writing {DOCUMENT}"))?;
    print!("{text}");
    println!("bench: {DOCUMENT} is written");
    Ok(())
}
