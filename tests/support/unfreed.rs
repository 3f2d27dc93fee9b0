//! A running `unfreed heap`, or another view.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::child::{Lines, Owned, describe};
use crate::paths;
use crate::report::Report;

const LIMIT: Duration = Duration::from_mins(2);

/// A recording that goes on until it is stopped.
#[derive(Debug)]
pub struct Unfreed {
    child: Owned,
    stderr: Lines,
    said: String,
    output: PathBuf,
    _directory: tempfile::TempDir,
}

/// A recording that was stopped.
#[derive(Debug)]
pub struct Recording {
    /// What it wrote.
    pub report: Report,
    /// How unfreed ended.
    pub status: ExitStatus,
    /// All that it said.
    pub stderr: String,
    /// From the signal until the file was there.
    pub written_after: Duration,
    /// Its largest resident set, bytes, read until shortly before its end.
    pub peak_rss: u64,
}

impl Unfreed {
    /// Starts to record a process, exactly and without a minimum age, and waits until everything
    /// is counted.
    pub fn heap(pid: u32, more: &[&str]) -> Result<Self> {
        Self::view("heap", pid, more)
    }

    /// The same of page faults.
    pub fn pages(pid: u32, more: &[&str]) -> Result<Self> {
        Self::view("pages", pid, more)
    }

    fn view(view: &str, pid: u32, more: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir().context("creating a directory for the recording")?;
        let output = directory.path().join("recording.json");
        let mut command = Command::new(paths::unfreed()?);
        command
            .args([view, "-p", &pid.to_string(), "--min-age", "0", "-q", "-o"])
            .arg(&output)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = Owned::spawn(&mut command).context("starting unfreed")?;
        let stderr = Lines::of(child.child().stderr.take().context("unfreed's stderr")?);
        let mut said = String::new();
        loop {
            let Some(line) = stderr
                .next(LIMIT)
                .with_context(|| format!("unfreed said: {said}"))?
            else {
                bail!(
                    "unfreed ended with {} before it recorded: {said}",
                    describe(child.wait(LIMIT, || ())?)
                );
            };
            said.push_str(&line);
            said.push('\n');
            if line.starts_with("recording") {
                break;
            }
        }
        Ok(Self {
            child,
            stderr,
            said,
            output,
            _directory: directory,
        })
    }

    /// The process id of unfreed.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Stops the recording with SIGINT and reads what was written. Status 0 and 3 (something was
    /// lost) both are a result.
    pub fn stop(mut self) -> Result<Recording> {
        let pid = self.child.pid();
        let signalled = Instant::now();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT).context("interrupting unfreed")?;
        let (mut written_after, mut peak_rss) = (None, 0);
        let status = self.child.wait(LIMIT, || {
            peak_rss = peak_rss.max(high_water_mark(pid).unwrap_or(0));
            if written_after.is_none() && self.output.exists() {
                written_after = Some(signalled.elapsed());
            }
        })?;
        let written_after = written_after.unwrap_or_else(|| signalled.elapsed());
        self.said.push_str(&self.stderr.rest(LIMIT)?);
        let said = &self.said;
        ensure!(
            matches!(status.code(), Some(0 | 3)),
            "unfreed ended with {}; it said: {said}",
            describe(status)
        );
        let text = std::fs::read_to_string(&self.output)
            .with_context(|| format!("reading what unfreed wrote; it said: {said}"))?;
        Ok(Recording {
            report: Report::parse(&text)?,
            status,
            stderr: self.said,
            written_after,
            peak_rss,
        })
    }
}

impl Recording {
    /// Its report, of which nothing may be lost.
    pub fn whole(self) -> Result<Report> {
        let lost: Vec<_> = self.report.lost().collect();
        ensure!(lost.is_empty(), "events were lost: {lost:?}");
        Ok(self.report)
    }
}

/// `VmHWM` of a process in bytes; `None` when it has ended.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
