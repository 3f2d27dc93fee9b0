//! However a recording ends, what was recorded up to then is written, exact, and says why it ended;
//! and the target is unharmed.

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::report::Totals;

use crate::recorded::{Recorded, run};
use crate::session::Session;

/// What `endings.c` keeps.
const KEPT_BYTES: u64 = 300 * 1999;
const KEPT_BLOCKS: u64 = 300;

fn program() -> Result<PathBuf> {
    build::program("endings", Linkage::Dynamic)
}

/// The program, recorded, after its workload.
fn begin(end: &str, more: &[&str]) -> Result<Recorded> {
    let mut case = Recorded::start(Command::new(program()?).arg(end), more)?;
    case.work()?;
    Ok(case)
}

/// Waits for unfreed's end; its result must be exact and end for this reason.
fn finish(case: Recorded, reason: &str) -> Result<Session> {
    let (result, target) = case.result()?;
    check(&result, reason)?;
    Ok(target)
}

fn check(result: &Value, reason: &str) -> Result<()> {
    ensure!(
        result["ended"] == json!(reason),
        "ended: {}",
        result["ended"]
    );
    let stacks = result["stacks"].as_array().context("no stacks")?;
    let kept = stacks
        .iter()
        .filter(|stack| stack["frames"][1]["function"] == json!("site_kept"))
        .map(|stack| Some((stack["bytes"].as_u64()?, stack["count"].as_u64()?)))
        .collect::<Option<Vec<_>>>();
    ensure!(
        kept == Some(vec![(KEPT_BYTES, KEPT_BLOCKS)]),
        "kept: {kept:?} in {stacks:?}"
    );
    ensure!(
        !result.to_string().contains("site_freed"),
        "a freed block is shown"
    );
    Ok(())
}

fn still_works(mut target: Session) -> Result<()> {
    target.tell("end")?;
    let ended = target.end()?;
    ensure!(
        ended.status.success(),
        "the target ended with {}",
        ended.status
    );
    Ok(())
}

#[test]
fn ctrl_c_writes_the_result_and_leaves_the_target() -> Result<()> {
    let case = begin("exit", &[])?;
    case.unfreed.signal(Signal::SIGINT)?;
    still_works(finish(case, "interrupted")?)
}

/// Threads that never pause are in the middle of a call when the recording ends, or of what is done for one.
#[test]
fn in_the_middle_of_calls_each_counts_wholly_or_not_at_all() -> Result<()> {
    let case = begin("never-pausing", &[])?;
    sleep(Duration::from_millis(500));
    case.unfreed.signal(Signal::SIGINT)?;
    let (result, target) = case.result()?;
    check(&result, "interrupted")?;
    let totals: Totals = serde_json::from_value(result["totals"].clone())?;
    ensure!(
        totals.given_back.count > 10_000,
        "hardly anything happened: {totals:?}"
    );
    ensure!(
        totals.given_back + totals.unfreed == totals.taken,
        "something counts on one side only: {totals:?}"
    );
    let shown = result["stacks"].as_array().context("no stacks")?;
    let shown: Option<u64> = shown.iter().map(|stack| stack["count"].as_u64()).sum();
    ensure!(
        shown == Some(totals.unfreed.count),
        "{shown:?} blocks are shown of {totals:?}"
    );
    still_works(target)
}

#[test]
fn sigterm_writes_the_result_and_leaves_the_target() -> Result<()> {
    let case = begin("exit", &[])?;
    case.unfreed.signal(Signal::SIGTERM)?;
    still_works(finish(case, "interrupted")?)
}

#[test]
fn the_duration_ends_a_recording() -> Result<()> {
    let case = begin("exit", &["-d", "2"])?;
    still_works(finish(case, "the duration was over")?)
}

#[test]
fn the_targets_exit_ends_a_recording() -> Result<()> {
    let mut case = begin("exit", &[])?;
    case.target.tell("end")?;
    finish(case, "the target exited").map(drop)
}

#[test]
fn the_targets_violent_end_ends_a_recording() -> Result<()> {
    let case = begin("exit", &[])?;
    case.target.signal(Signal::SIGKILL)?;
    finish(case, "the target exited").map(drop)
}

#[test]
fn exec_ends_a_recording_and_the_new_program_works() -> Result<()> {
    let mut case = begin("exec", &[])?;
    case.target.tell("exec")?;
    let mut cat = finish(case, "the target replaced its program (exec)")?;
    cat.tell("meow")?;
    cat.expect("meow")?;
    let ended = cat.end()?;
    ensure!(ended.status.success(), "cat ended with {}", ended.status);
    Ok(())
}

#[test]
fn the_main_threads_exit_ends_a_recording_and_the_others_go_on() -> Result<()> {
    let mut case = begin("main-thread", &[])?;
    case.target.tell("exit")?;
    case.target.expect("alone")?;
    still_works(finish(case, "the target's main thread exited")?)
}

#[test]
fn killing_unfreed_leaves_the_target_unharmed_and_unprobed() -> Result<()> {
    let case = begin("exit", &[])?;
    case.unfreed.signal(Signal::SIGKILL)?;
    let status = case.unfreed.end()?.status;
    ensure!(!status.success(), "unfreed survived SIGKILL: {status}");
    still_works(case.target)
}

#[test]
fn a_command_is_recorded_from_its_first_instruction_to_its_end() -> Result<()> {
    let program = program()?.to_string_lossy().into_owned();
    let finished = run(&[&program, "at-once"], &[], &[])?;
    let said = finished.stdout;
    ensure!(
        said == "ready\ndone\n",
        "the command's own output: {said:?}"
    );
    check(&finished.result, "the target exited with status 7")
}
