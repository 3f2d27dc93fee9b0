//! The pages view on a program of which nothing is known.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::build::{self, Linkage};

use crate::pages::recorded::{PAGE, Setting};

/// No symbols, no allocator, no libc of its own: what is left are unwind tables and addresses.
#[test]
fn a_stripped_static_program_is_explained_all_the_same() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let stripped = directory.path().join("pages_churn");
    let program = build::program("pages_churn", Linkage::Static)?;
    let mut strip = Command::new("strip");
    strip
        .args(["--strip-all", "-o"])
        .arg(&stripped)
        .arg(program);
    let status = strip.status()?;
    ensure!(status.success(), "strip: {status}");
    let recorded = Setting::of("pages_churn").record_file(&stripped)?;
    recorded.check_sums()?;
    let explained = recorded.reconciled(&["explained", "anonymous"])?;
    let kept = recorded.expected()?["site_keeps"] * PAGE;
    ensure!(
        explained >= kept.cast_signed() && explained < (kept + 50 * PAGE).cast_signed(),
        "{explained} bytes instead of {kept}, or a little more"
    );
    ensure!(
        recorded.reconciled(&["unexplained", "anonymous"])? == 0,
        "{}",
        recorded.result["reconciliation"]
    );
    let stacks = recorded.result["stacks"].as_array().context("no stacks")?;
    let largest = &stacks[0];
    ensure!(largest["bytes"] == kept, "{largest}");
    let unwinding = &recorded.result["unwinding"];
    ensure!(unwinding["complete"] == unwinding["walked"], "{unwinding}");
    recorded.finish()
}
