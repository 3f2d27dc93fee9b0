//! A program that measures itself, `programs/bench_*.c`, running.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use unfreed_tests::child::{Lines, Owned};

/// A batch takes some milliseconds; only one that hangs takes this long.
const LIMIT: Duration = Duration::from_mins(1);

/// The running program.
#[derive(Debug)]
pub struct Worker {
    child: Owned,
    stdin: ChildStdin,
    lines: Lines,
}

impl Worker {
    /// Starts it and waits until it is ready.
    pub fn start(path: &Path) -> Result<Self> {
        Self::start_as(Command::new(path)).with_context(|| format!("starting {}", path.display()))
    }

    /// The same, by a command that may run it under a tool.
    pub fn start_as(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Owned::spawn(&mut command).context("starting a program")?;
        let stdin = child.child().stdin.take().context("the program's input")?;
        let stdout = child.child().stdout.take();
        let lines = Lines::of(stdout.context("the program's output")?);
        let first = lines.next(LIMIT)?.context("the program ended at once")?;
        ensure!(first == "ready", "the program said {first:?}");
        Ok(Self {
            child,
            stdin,
            lines,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Nanoseconds of CPU time that each of `count` times of what the program does took. `how` is for the
    /// program: how many calls below main, or how many pages at a time.
    pub fn run(&mut self, how: u32, count: u32) -> Result<f64> {
        writeln!(self.stdin, "{how} {count}").context("asking for a batch")?;
        let line = self.lines.next(LIMIT)?.context("the program has ended")?;
        let nanoseconds: u64 = line
            .parse()
            .with_context(|| format!("the program said {line:?}"))?;
        Ok(nanoseconds as f64 / f64::from(count))
    }
}
