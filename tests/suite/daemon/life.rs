//! The daemon itself begins, is told to read its configuration again, ends, and is killed.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use unfreed_tests::daemon::{Daemon, Files, entries};

use super::{Copy, is_exact};
use crate::session::{self, Session};

/// How long the daemon may take to be gone. The kernel removes its tracepoints in turn with the probes of all tests that run
/// beside this one; nothing that was recorded depends on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// When it last said this word.
fn said_at(said: &str, word: &str) -> Result<jiff::Timestamp> {
    let line = said.lines().rfind(|line| line.contains(word));
    let (time, _) = line
        .and_then(|line| line.split_once(' '))
        .with_context(|| format!("no {word} in {said}"))?;
    Ok(time.parse()?)
}

#[test]
fn a_process_that_is_there_already_is_found() -> Result<()> {
    let program = Copy::of("endings")?;
    let process = Session::ready(&mut Command::new(&program.path))?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    daemon.until_recorded(process.pid(), "heap")?;
    let own = daemon.json("/api/v1/targets")?;
    ensure!(
        unfreed_tests::daemon::process(&own, daemon.pid()).is_none(),
        "the daemon records itself: {own}"
    );
    Ok(())
}

#[test]
fn at_its_end_what_is_being_recorded_is_written() -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    let mut process = program.recorded(&daemon, "exit")?;
    process.tell("go")?;
    process.expect("done")?;
    let (status, _, took, files) = daemon.end()?;
    ensure!(status.success(), "{status}");
    ensure!(took < PATIENCE, "{took:?}");
    // Nobody minds the end of what watches.
    process.tell("end")?;
    ensure!(process.end()?.status.success());
    // The next one has it.
    let daemon = Daemon::with(files)?;
    let entry = daemon.until_stored(|entry| entry["how"] == json!({"how": "over"}))?;
    is_exact(&daemon, &entry)
}

#[test]
fn at_its_end_it_does_not_wait_for_probes_to_be_removed() -> Result<()> {
    // The kernel removes them one after the other, those of all recordings: that may go on for longer than a recording
    // has to be written.
    const PROCESSES: usize = 6;
    let program = Copy::of("endings")?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        let mut process = program.recorded(&daemon, "exit")?;
        process.tell("go")?;
        process.expect("done")?;
        processes.push(process);
    }
    let (status, said, took, files) = daemon.end()?;
    ensure!(status.success(), "{status}");
    ensure!(!said.contains("given up"), "{said}");
    ensure!(took < PATIENCE, "{took:?}");
    let writing = said_at(&said, " stored ")?.duration_since(said_at(&said, " ending ")?);
    ensure!(writing.as_secs() < 10, "{writing}: {said}");
    let daemon = Daemon::with(files)?;
    for process in &processes {
        let is_it = |entry: &serde_json::Value| entry["pid"] == json!(process.pid());
        let list = daemon.json("/api/v1/recordings")?;
        let entry = entries(&list).and_then(|all| all.iter().find(|entry| is_it(entry)));
        is_exact(&daemon, entry.with_context(|| format!("{said}{list}"))?)?;
    }
    Ok(())
}

#[test]
fn a_reload_leaves_alone_what_did_not_change() -> Result<()> {
    let (stays, goes, comes) = (
        Copy::of("endings")?,
        Copy::of("endings")?,
        Copy::of("endings")?,
    );
    let files = Files::new()?;
    files.configure(&(stays.target("stays", "") + &goes.target("goes", "")))?;
    let daemon = Daemon::with(files)?;
    let mut stayer = stays.recorded(&daemon, "exit")?;
    let leaver = goes.recorded(&daemon, "exit")?;
    let since = |daemon: &Daemon| -> Result<_> {
        let status = daemon.json("/api/v1/targets")?;
        let process = unfreed_tests::daemon::process(&status, stayer.pid()).context("gone")?;
        Ok(process["recordings"]["heap"]["since"].clone())
    };
    let before = since(&daemon)?;
    // What is wrong changes nothing.
    std::fs::write(daemon.files().config(), "[[target]]\nnome = \"x\"\n")?;
    daemon.signal(Signal::SIGHUP)?;
    let said = daemon.until_said("stays as it was")?;
    ensure!(said.contains("config.toml:2:1"), "{said}");
    ensure!(since(&daemon)? == before);
    daemon
        .files()
        .configure(&(comes.target("comes", "") + &stays.target("stays", "")))?;
    daemon.signal(Signal::SIGHUP)?;
    comes.recorded(&daemon, "exit")?;
    daemon.until_stored(|entry| entry["pid"] == json!(leaver.pid()))?;
    ensure!(since(&daemon)? == before, "it began anew");
    let pid = stayer.pid();
    stayer.tell("go")?;
    stayer.expect("done")?;
    stayer.tell("end")?;
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    is_exact(&daemon, &entry)
}

#[test]
fn killed_it_leaves_no_worker_and_a_store_that_opens() -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    let first = program.recorded(&daemon, "exit")?;
    let pid = first.pid();
    drop(first);
    daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    let mut second = program.recorded(&daemon, "exit")?;
    let workers = children(daemon.pid())?;
    // Of the first, too, whose probes may be there for a while.
    ensure!(!workers.is_empty());
    let files = daemon.kill()?;
    let begin = std::time::Instant::now();
    while workers
        .iter()
        .any(|pid| std::path::Path::new(&format!("/proc/{pid}/exe")).exists())
    {
        ensure!(
            begin.elapsed() < Duration::from_secs(20),
            "a worker is left: {workers:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    second.tell("go")?;
    second.expect("done")?;
    let daemon = Daemon::with(files)?;
    daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    daemon.until_recorded(second.pid(), "heap")
}

#[test]
fn two_of_them_do_not_share_a_store() -> Result<()> {
    let daemon = Daemon::start("")?;
    let config = daemon.files().config().display().to_string();
    let second = session::run(&["daemon", "--config", &config])?;
    ensure!(second.status.code() == Some(1), "{}", second.status);
    ensure!(second.stderr.contains("store"), "{}", second.stderr);
    Ok(())
}

/// The children of a process.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(&path).with_context(|| path)?;
    text.split_whitespace()
        .map(|child| child.parse().context("a process id"))
        .collect()
}
