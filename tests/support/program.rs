//! A test program with a ledger: started, driven over its pipes, ended.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::child::{Lines, Owned, describe};
use crate::ledger::Ledger;

/// Recording makes programs many times slower; a test fails only when one hangs.
const LIMIT: Duration = Duration::from_mins(4);

/// A running program that waits for the line that starts its workload, or has done it.
#[derive(Debug)]
pub struct Program {
    child: Owned,
    stdin: ChildStdin,
    lines: Lines,
    errors: std::fs::File,
}

impl Program {
    /// Starts it and waits until it says that it is ready. `preload` goes to the program only.
    pub fn start(
        path: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        preload: Option<&Path>,
    ) -> Result<Self> {
        let errors = tempfile::tempfile().context("creating a file for the program's errors")?;
        let mut command = Command::new(path);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?);
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        let mut child =
            Owned::spawn(&mut command).with_context(|| format!("starting {}", path.display()))?;
        let stdin = child.child().stdin.take().context("the program's input")?;
        let stdout = child
            .child()
            .stdout
            .take()
            .context("the program's output")?;
        let mut program = Self {
            child,
            stdin,
            lines: Lines::of(stdout),
            errors,
        };
        let line = program.line()?;
        ensure!(
            line == "ready",
            "{} said {line:?} instead of \"ready\"",
            path.display()
        );
        Ok(program)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Runs the workload to its end. The program then lives on, with its blocks.
    pub fn run(&mut self) -> Result<Ledger> {
        self.stdin
            .write_all(b"go\n")
            .context("starting the workload")?;
        Ledger::parse(&self.line()?)
    }

    /// Lets it exit, and makes sure that it was unharmed up to then.
    pub fn finish(mut self) -> Result<()> {
        // The line may come too late for a program that was killed: its status says so.
        let _ = self.stdin.write_all(b"end\n");
        let status = self.child.wait(LIMIT, || ())?;
        ensure!(
            status.success(),
            "the program ended with {}{}",
            describe(status),
            self.said()
        );
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        if let Some(line) = self.lines.next(LIMIT)? {
            return Ok(line);
        }
        let status = self.child.wait(LIMIT, || ())?;
        bail!(
            "the program ended early with {}{}",
            describe(status),
            self.said()
        );
    }

    fn said(&mut self) -> String {
        let mut text = String::new();
        // Only decoration of another error.
        let _ = self
            .errors
            .rewind()
            .and_then(|()| self.errors.read_to_string(&mut text));
        if text.is_empty() {
            text
        } else {
            format!("; it said: {}", text.trim_end())
        }
    }
}
