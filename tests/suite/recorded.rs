//! A program that says `ready`, works when it is told to, and says `done`, with an unfreed that
//! records it; and what of a result the tests look at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use unfreed_tests::ledger::Weight;
use unfreed_tests::report::Report;

use crate::session::{self, Session};

/// Bytes and blocks by call site: what a result has to show.
pub type Sites<'a> = &'a [(&'a str, u64, u64)];

/// A target and its recorder.
pub struct Recorded {
    pub target: Session,
    pub unfreed: Session,
    pub output: PathBuf,
    _directory: tempfile::TempDir,
}

impl Recorded {
    /// Starts the program and records it.
    pub fn start(command: &mut Command, more: &[&str]) -> Result<Self> {
        let target = Session::ready(command)?;
        let pid = target.pid();
        Self::attach(target, pid, more)
    }

    /// Records the process `pid`, which `target` is or has started.
    pub fn attach(target: Session, pid: u32, more: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let output = directory.path().join("heap.json");
        let path = output.to_string_lossy().into_owned();
        let pid = pid.to_string();
        let mut arguments = vec!["heap", "-p", &pid, "--min-age", "0", "-q", "-o", &path];
        arguments.extend(more);
        let unfreed = Session::recording(&arguments)?;
        Ok(Self {
            target,
            unfreed,
            output,
            _directory: directory,
        })
    }

    /// Lets the program work, up to the end of its work.
    pub fn work(&mut self) -> Result<()> {
        self.target.tell("go")?;
        self.target.expect("done")
    }

    /// Ends the recording, then the program, which has to be unharmed.
    pub fn stop(self) -> Result<Value> {
        self.unfreed.signal(Signal::SIGINT)?;
        let (result, mut target) = self.result()?;
        target.tell("end")?;
        let ended = target.end()?;
        ensure!(
            ended.status.success(),
            "the target ended with {}",
            ended.status
        );
        Ok(result)
    }

    /// Ends the program by SIGKILL, and with it the recording.
    pub fn kill(self) -> Result<Value> {
        self.target.signal(Signal::SIGKILL)?;
        Ok(self.result()?.0)
    }

    /// Waits for the end of unfreed.
    pub fn result(self) -> Result<(Value, Session)> {
        let ended = self.unfreed.end()?;
        ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
        Ok((session::read_json(&self.output)?, self.target))
    }
}

/// A command recorded from its first instruction to its end.
pub struct Finished {
    /// What unfreed wrote.
    pub result: Value,
    /// What the command said.
    pub stdout: String,
}

/// Runs `command` under unfreed, with these lines as its input.
pub fn run(command: &[&str], environment: &[(&str, &str)], input: &[&str]) -> Result<Finished> {
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("heap.json");
    let path = output.to_string_lossy().into_owned();
    let arguments = ["heap", "--min-age", "0", "-q", "-o", &path, "--"];
    let mut unfreed = session::unfreed(&[&arguments, command].concat())?;
    unfreed.envs(environment.iter().copied());
    let mut session = Session::start(&mut unfreed)?;
    for line in input {
        session.tell(line)?;
    }
    let ended = session.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    Ok(Finished {
        result: session::read_json(&output)?,
        stdout: ended.stdout,
    })
}

/// Runs a shell in mount and pid namespaces of its own, which becomes the program in the end; and
/// the pid of that here. They end with their owner.
pub fn in_namespaces(script: &str, arguments: &[&Path]) -> Result<(Session, u32)> {
    let session = Session::ready(
        Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-e", "-c", script, "sh"])
            .args(arguments),
    )?;
    let children = format!("/proc/{0}/task/{0}/children", session.pid());
    let children = std::fs::read_to_string(children)?;
    let pid = children.trim().parse().context("no single child")?;
    Ok((session, pid))
}

/// What a result says, as far as the test programs' ledgers can be compared with it.
pub fn report(result: &Value) -> Result<Report> {
    serde_json::from_value(result.clone()).context("the result is not what the contract says")
}

/// Fails unless each of these call sites, and no other, has exactly this weight, and nothing is
/// lost.
pub fn check_sites(result: &Value, expected: Sites<'_>) -> Result<()> {
    let report = report(result)?;
    let (found, _) = report.by_site();
    let expected: BTreeMap<String, Weight> = expected
        .iter()
        .map(|&(site, bytes, count)| (site.to_owned(), Weight { bytes, count }))
        .collect();
    ensure!(
        found == expected,
        "expected {expected:?}, got {found:?} in {}",
        result["stacks"]
    );
    let lost: Vec<_> = report.lost().collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

/// The frames of the stack with this many bytes, from the innermost outwards.
pub fn frames(result: &Value, bytes: u64) -> Result<Vec<Value>> {
    let stacks = result["stacks"].as_array().context("no stacks")?;
    let stack = stacks
        .iter()
        .find(|stack| stack["bytes"] == bytes)
        .with_context(|| format!("no stack of {bytes} bytes in {}", result["stacks"]))?;
    stack["frames"].as_array().cloned().context("no frames")
}
