//! However a process ends, what it had at that moment is stored, exact, and marked with what ended it.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use unfreed_tests::daemon::Daemon;

use super::{Copy, is_exact};

/// Ends a process that has kept its blocks; the entry of its recording must say `how`.
fn check(argument: &str, signal: Option<Signal>, how: &Value) -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    let mut process = program.recorded(&daemon, argument)?;
    let pid = process.pid();
    process.tell("go")?;
    process.expect("done")?;
    match signal {
        Some(signal) => process.signal(signal)?,
        None => process.tell("end")?,
    }
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    ensure!(entry["how"] == *how, "{entry}");
    ensure!(entry["why"] == json!({"why": "continuous"}), "{entry}");
    ensure!(entry["target"] == json!("it"), "{entry}");
    is_exact(&daemon, &entry)?;
    let (status, _, took, _) = daemon.end()?;
    ensure!(status.success() && took.as_secs() < 30, "{status} {took:?}");
    Ok(())
}

#[test]
fn one_that_exits() -> Result<()> {
    check("exit", None, &json!({"how": "exited"}))
}

#[test]
fn one_that_executes_another_program() -> Result<()> {
    check("exec", None, &json!({"how": "exec"}))
}

#[test]
fn one_that_is_killed() -> Result<()> {
    check(
        "exit",
        Some(Signal::SIGKILL),
        &json!({"how": "killed", "signal": 9}),
    )
}

#[test]
fn one_that_is_told_to_end_and_does_not_listen() -> Result<()> {
    check(
        "exit",
        Some(Signal::SIGTERM),
        &json!({"how": "killed", "signal": 15}),
    )
}

#[test]
fn one_that_crashes() -> Result<()> {
    check(
        "exit",
        Some(Signal::SIGSEGV),
        &json!({"how": "killed", "signal": 11}),
    )
}
