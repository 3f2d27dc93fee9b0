//! `cargo xtask bench`: measures what recording costs, and what unwind tables do, and writes
//! docs/benchmark.md; and real workloads under unfreed and other tools, for docs/overhead.md.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::setup::{self, Scope};

/// Documents, and the part of the benchmark that each is made of; without, of all others.
const DOCUMENTS: [(&str, Option<&str>); 2] = [
    ("docs/benchmark.md", None),
    ("docs/overhead.md", Some(WORKLOADS)),
];

const WORKLOADS: &str = "workloads";

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only one part, which is printed and not written
    #[arg(value_parser = ["pairs", "overhead", "pieces", "faults", "tables", "bounded", WORKLOADS])]
    part: Option<String>,

    /// With `workloads`: write docs/overhead.md nevertheless
    #[arg(long, requires = "part")]
    write: bool,
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
    let Some(part) = arguments.part.as_deref() else {
        return DOCUMENTS
            .into_iter()
            .try_for_each(|(document, part)| write(document, &measure(part)?));
    };
    if !arguments.write {
        print!("{}", measure(Some(part))?);
        return Ok(());
    }
    let its_own = DOCUMENTS.iter().find(|(_, whole)| *whole == Some(part));
    let (document, _) = its_own.with_context(|| format!("{part} is not a whole document"))?;
    write(document, &measure(Some(part))?)
}

fn measure(part: Option<&str>) -> Result<String> {
    let release = run::target_dir()?.join("release");
    let mut command = run::program(release.join("bench"));
    command.env("UNFREED_BIN", release.join("unfreed"));
    command.args(part);
    run::announce(&command);
    let bench = run::output(command.stderr(Stdio::inherit()))?;
    ensure!(
        bench.status.success(),
        "the benchmark failed: {}",
        bench.status
    );
    String::from_utf8(bench.stdout).context("reading the report")
}

fn write(document: &str, text: &str) -> Result<()> {
    fs::write(run::root().join(document), text).with_context(|| format!("writing {document}"))?;
    print!("{text}");
    println!("bench: {document} is written");
    Ok(())
}
