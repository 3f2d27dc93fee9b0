//! Which files a process executes, which of them have an allocator, and that both stay true when
//! files come, go, are hidden or are replaced; and that a target is left as it was found.

mod allocators;
mod commands;
mod files;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use unfreed_tests::build::{self, Linkage};

use crate::recorded::Recorded;

/// How many bytes of a process's code are not those of the files that it executes.
fn changed_bytes(pid: u32) -> Result<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).context("reading mappings")?;
    let memory = File::open(format!("/proc/{pid}/mem")).context("opening its memory")?;
    let mut changed = 0;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [range, permissions, offset, _, _, path] = fields[..] else {
            continue;
        };
        if !permissions.contains('x') || !path.starts_with('/') {
            continue;
        }
        let (start, end) = range.split_once('-').context("a mapping without a range")?;
        let start = u64::from_str_radix(start, 16)?;
        let length = (u64::from_str_radix(end, 16)? - start) as usize;
        let (mut mapped, mut in_file) = (vec![0; length], vec![0; length]);
        memory
            .read_exact_at(&mut mapped, start)
            .context("reading its memory")?;
        let file = File::open(path).with_context(|| format!("opening {path}"))?;
        // Behind the end of the file there are zeros.
        let offset = u64::from_str_radix(offset, 16)?;
        let available = (file.metadata()?.len() - offset).min(length as u64) as usize;
        file.read_exact_at(&mut in_file[..available], offset)?;
        changed += mapped.iter().zip(&in_file).filter(|(a, b)| a != b).count();
    }
    Ok(changed)
}

/// A program whose probes are to go when unfreed ends by this signal.
fn leaves_no_probe(signal: Signal) -> Result<()> {
    let program = build::program("endings", Linkage::Dynamic)?;
    let mut case = Recorded::start(Command::new(program).arg("exit"), &[])?;
    let pid = case.target.pid();
    ensure!(changed_bytes(pid)? > 0, "no probe is seen at all");
    case.work()?;
    case.unfreed.signal(signal)?;
    case.unfreed.end()?;
    let changed = changed_bytes(pid)?;
    ensure!(changed == 0, "{changed} bytes of the target are changed");
    case.target.tell("end")?;
    let status = case.target.end()?.status;
    ensure!(status.success(), "the target ended with {status}");
    Ok(())
}

#[test]
fn no_probe_is_left_after_the_end() -> Result<()> {
    leaves_no_probe(Signal::SIGINT)
}

#[test]
fn no_probe_is_left_after_unfreed_was_killed() -> Result<()> {
    leaves_no_probe(Signal::SIGKILL)
}

#[test]
fn a_command_is_left_without_a_probe_or_a_breakpoint() -> Result<()> {
    let program = build::program("endings", Linkage::Dynamic)?;
    let program = program.to_string_lossy();
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("heap.json");
    let arguments = [
        "heap",
        "-q",
        "-o",
        &output.to_string_lossy(),
        "--",
        &program,
        "exit",
    ];
    let mut unfreed = crate::session::Session::recording(&arguments)?;
    unfreed.expect("ready")?;
    let children = format!("/proc/{0}/task/{0}/children", unfreed.pid());
    let command: u32 = std::fs::read_to_string(children)?.trim().parse()?;
    unfreed.tell("go")?;
    unfreed.expect("done")?;
    ensure!(changed_bytes(command)? > 0, "no probe is seen at all");
    unfreed.signal(Signal::SIGINT)?;
    wait_until_gone(unfreed.pid())?;
    let changed = changed_bytes(command)?;
    ensure!(changed == 0, "{changed} bytes of the command are changed");
    unfreed.tell("end")?;
    let status = unfreed.end()?.status;
    ensure!(status.success(), "unfreed ended with {status}");
    Ok(())
}

/// Waits until a child of ours is a zombie: it has let everything go and is not yet waited for.
fn wait_until_gone(pid: u32) -> Result<()> {
    poll(std::time::Duration::from_mins(1), || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z')))
    })
    .map(drop)
}

/// Asks until it is so; how long that took, or an error when it took longer than `limit`.
fn poll(
    limit: std::time::Duration,
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<std::time::Duration> {
    let start = std::time::Instant::now();
    while !is_so()? {
        ensure!(start.elapsed() < limit, "not so within {limit:?}");
        // The interval of a poll that has a limit.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(start.elapsed())
}
