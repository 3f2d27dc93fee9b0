//! What is lost is counted, named in every output, and seen in the exit status; what is not lost is
//! still exact.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use unfreed_tests::build::{self, Linkage};

use crate::recorded::Recorded;
use crate::session;
use crate::toolchain;

/// Records the program's work, in which this must be lost, and nothing else. The result and the
/// text report.
fn losing(program: &Path, more: &[&str], loss: &str) -> Result<(Value, String)> {
    let directory = tempfile::tempdir()?;
    let text = directory.path().join("heap.txt");
    let text_path = text.to_string_lossy().into_owned();
    let mut arguments = vec!["-o", &text_path];
    arguments.extend(more);
    let mut case = Recorded::start(&mut Command::new(program), &arguments)?;
    case.work()?;
    case.unfreed.signal(nix::sys::signal::Signal::SIGINT)?;
    let output = case.output.clone();
    let ended = case.unfreed.end()?;
    ensure!(
        ended.status.code() == Some(3),
        "{}: {}",
        ended.status,
        ended.stderr
    );
    let result = session::read_json(&output)?;
    let losses = result["losses"].as_object().context("no losses")?;
    for (name, count) in losses {
        let happened = count.as_u64().context("not a count")? > 0;
        ensure!(happened == (name == loss), "{name} in {losses:?}");
    }
    let warnings = result["warnings"].to_string();
    ensure!(warnings.contains(loss), "no {loss} in {warnings}");
    let text = std::fs::read_to_string(text)?;
    ensure!(text.contains(loss), "no {loss} in {text}");
    Ok((result, text))
}

fn unfreed_blocks(result: &Value) -> Option<u64> {
    result["totals"]["unfreed"]["count"].as_u64()
}

#[test]
fn blocks_for_which_the_live_map_has_no_room_are_counted() -> Result<()> {
    let program = build::program("endings", Linkage::Dynamic)?;
    let (result, text) = losing(&program, &["--max-live", "64"], "live_map_full")?;
    let lost = result["losses"]["live_map_full"].as_u64();
    // 300 blocks are kept. Of the 200 that are freed again at once, none finds room either.
    let taken = result["totals"]["taken"]["count"].as_u64();
    ensure!(taken == Some(500), "taken: {taken:?}");
    let (unfreed, lost) = unfreed_blocks(&result).zip(lost).context("no counts")?;
    ensure!(unfreed + lost == 500, "{unfreed} unfreed and {lost} lost");
    ensure!(text.contains("--max-live"), "no remedy in {text}");
    Ok(())
}

#[test]
fn stacks_that_are_cut_off_are_counted_and_keep_their_weight() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("loss_deep");
    toolchain::compile::<&str>("loss_deep.c", &program, &[])?;
    let (result, _) = losing(&program, &[], "stack_truncated")?;
    ensure!(unfreed_blocks(&result) == Some(10), "{}", result["totals"]);
    let frames = result["stacks"][0]["frames"]
        .as_array()
        .context("no frames")?;
    ensure!(frames.len() == 127, "{} frames", frames.len());
    ensure!(
        result["stacks"][0]["bytes"].as_u64() == Some(13010),
        "{}",
        result["totals"]
    );
    Ok(())
}
