//! gdb as the judge: a program is stopped at random, hundreds of times, and gdb and unfreed both
//! say how it got there. A signal's handler allocates, which unfreed records, so that its stack
//! goes on into what the signal interrupted: any instruction of any code that runs.

mod programs;
mod verdict;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use unfreed_tests::gdb::{self, Gdb, Stop};

use crate::recorded::Recorded;
use programs::Language;

/// As many as are to be compared, and more for those at which gdb cannot see the whole stack.
const STOPS: i32 = 500;
const COMPARED: usize = 200;

/// Longest time between two stops, in microseconds.
const PAUSE: u64 = 3000;

/// Anything below `limit`.
fn random(limit: u64) -> u64 {
    RandomState::new().build_hasher().finish() % limit
}

/// Any thread of the process.
fn random_thread(pid: u32) -> Result<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .context("reading its threads")?;
    let thread = &threads[random(threads.len() as u64) as usize];
    let name = thread.file_name();
    name.to_string_lossy().parse().context("no thread id")
}

/// Stops the process at random times.
fn stop_often(pid: u32) -> Result<Vec<Stop>> {
    let mut gdb = Gdb::attach(pid)?;
    let mut stops = Vec::new();
    for number in 1..=STOPS {
        // Not for readiness: how far the program gets meanwhile is to be random.
        std::thread::sleep(Duration::from_micros(random(PAUSE)));
        gdb::send(pid, random_thread(pid)?, number)?;
        let stop = gdb.stop()?;
        ensure!(
            stop.stop == number,
            "stop {} instead of {number}",
            stop.stop
        );
        stops.push(stop);
    }
    gdb::send(pid, pid, 0)?;
    gdb.finish()?;
    Ok(stops)
}

/// Fails unless unfreed's stacks are gdb's.
fn judge(name: &str, language: Language, plugin: Option<&str>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = programs::program(name, language, directory.path())?;
    let mut command = Command::new(program);
    if let Some(plugin) = plugin {
        command.arg(programs::library(plugin, directory.path())?);
    }
    let mut case = Recorded::start(&mut command, &["--allocator", "judge_"])?;
    case.target.tell("go")?;
    let pid = case.target.pid();
    let stops = stop_often(pid)?;
    case.unfreed.signal(Signal::SIGINT)?;
    let (result, target) = case.result()?;
    // Once more: gdb may have taken it with it.
    gdb::send(pid, pid, 0)?;
    let ended = target.end()?;
    ensure!(ended.status.success(), "it ended with {}", ended.status);

    let verdict = verdict::judge(&stops, &result)?;
    println!(
        "{name}: {} stacks are gdb's, {} more up to a pending return probe, {} are a probe's own, \
         {} are gdb's and not whole, {} are not gdb's; \
         {} instructions; depths {:?}",
        verdict.compared,
        verdict.behind_probe,
        verdict.in_probe,
        verdict.same_and_cut,
        verdict.differences.len(),
        verdict.instructions,
        verdict.depths
    );
    let differences: Vec<_> = verdict
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    ensure!(differences.is_empty(), "{}", differences.join(""));
    ensure!(
        verdict.same_and_cut <= STOPS as usize / 100,
        "{} stacks are cut, by gdb, too",
        verdict.same_and_cut
    );
    ensure!(verdict.compared >= COMPARED, "only {}", verdict.compared);
    Ok(())
}

#[test]
fn stacks_of_cplusplus_with_templates_and_exceptions_are_gdbs() -> Result<()> {
    judge("cplusplus", Language::Cplusplus, None)
}

#[test]
fn stacks_of_callbacks_from_the_c_library_are_gdbs() -> Result<()> {
    judge("qsort", Language::C, None)
}

#[test]
fn stacks_of_threads_are_gdbs() -> Result<()> {
    judge("threads", Language::C, None)
}

#[test]
fn stacks_through_a_signals_frame_are_gdbs() -> Result<()> {
    judge("signals", Language::C, None)
}

#[test]
fn stacks_of_a_plugin_loaded_while_recorded_are_gdbs() -> Result<()> {
    judge("dlopen", Language::C, Some("plugin"))
}

#[test]
fn stacks_of_a_rust_program_are_gdbs() -> Result<()> {
    judge("rust", Language::Rust, None)
}
