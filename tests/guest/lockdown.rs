//! A kernel that lets nobody read its memory, root included: for a guest that was booted with
//! `guest_lockdown=confidentiality`.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::paths;

use crate::refused::{check_heap_refused, check_refused};

/// The words of the refusal: the lack, its effect, the remedy.
const PARTS: &[&str] = &[
    "the kernel is locked down (confidentiality)",
    "may not read",
    "lockdown=integrity",
];

fn check_locked_down() -> Result<()> {
    let path = "/sys/kernel/security/lockdown";
    let mode = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    ensure!(
        mode.contains("[confidentiality]"),
        "not locked down: {mode}"
    );
    Ok(())
}

#[test]
fn a_recording_is_refused_and_leaves_the_target_alone() -> Result<()> {
    check_locked_down()?;
    check_heap_refused(|_| (), PARTS)
}

#[test]
fn check_says_what_is_wrong() -> Result<()> {
    check_locked_down()?;
    let output = Command::new(paths::unfreed()?)
        .arg("check")
        .stdin(Stdio::null())
        .output()
        .context("running unfreed")?;
    check_refused(&output, PARTS)
}
