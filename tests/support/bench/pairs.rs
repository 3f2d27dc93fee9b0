//! `programs/bench_pairs.c`, running.

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
pub struct Pairs {
    child: Owned,
    stdin: ChildStdin,
    lines: Lines,
}

impl Pairs {
    /// Starts it and waits until it is ready.
    pub fn start(path: &Path) -> Result<Self> {
        let mut command = Command::new(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            Owned::spawn(&mut command).with_context(|| format!("starting {}", path.display()))?;
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

    /// Nanoseconds of CPU time that each of `pairs` pairs of malloc and free took, `depth` calls
    /// below main.
    pub fn run(&mut self, depth: u32, pairs: u32) -> Result<f64> {
        writeln!(self.stdin, "{depth} {pairs}").context("asking for pairs")?;
        let line = self.lines.next(LIMIT)?.context("the program has ended")?;
        let nanoseconds: u64 = line
            .parse()
            .with_context(|| format!("the program said {line:?}"))?;
        Ok(nanoseconds as f64 / f64::from(pairs))
    }
}
