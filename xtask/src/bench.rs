//! `cargo xtask bench`: measures what recording costs, and what unwind tables do, and writes
//! docs/benchmark.md.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::setup::{self, Scope};

const DOCUMENT: &str = "docs/benchmark.md";

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only one part, which is printed and not written
    #[arg(value_parser = ["pairs", "overhead", "faults", "tables"])]
    part: Option<String>,
}

/// Everything is measured on release builds. Only what cannot be measured fails, not what is slow.
pub fn task(arguments: &Arguments) -> Result<()> {
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
    command.args(&arguments.part);
    run::announce(&command);
    let bench = run::output(command.stderr(Stdio::inherit()))?;
    ensure!(
        bench.status.success(),
        "the benchmark failed: {}",
        bench.status
    );
    let text = String::from_utf8(bench.stdout).context("reading the report")?;
    if arguments.part.is_some() {
        print!("{text}");
        return Ok(());
    }
    let path = run::root().join(DOCUMENT);
    fs::write(&path, &text).with_context(|| format!("writing {DOCUMENT}"))?;
    print!("{text}");
    println!("bench: {DOCUMENT} is written");
    Ok(())
}
