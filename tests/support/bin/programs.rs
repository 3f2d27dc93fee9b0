//! Builds every test program that a machine without a compiler can need (see `build::beforehand`)
//! and prints the files, one a line. Exits with 1 when one cannot be built.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use unfreed_tests::build::beforehand;

fn run() -> Result<()> {
    for recipe in beforehand::recipes() {
        let file = recipe
            .file()
            .with_context(|| format!("building {recipe:?}"))?;
        writeln!(stdout(), "{}", file.display()).context("printing a file's name")?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("programs: {error:#}");
            ExitCode::FAILURE
        }
    }
}
