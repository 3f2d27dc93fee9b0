//! An unfreed with any arguments, beside a program it records.

use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use unfreed_tests::child::{Lines, Owned};
use unfreed_tests::paths;

const LIMIT: Duration = Duration::from_mins(1);

/// A child with its pipes.
pub struct Session {
    child: Owned,
    stdin: ChildStdin,
    pub stdout: Lines,
    stderr: Lines,
}

/// How a session ended and what it said since the last line that was read.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Session {
    /// Starts a program.
    pub fn start(command: &mut Command) -> Result<Self> {
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let mut child = Owned::new(spawned);
        let pipes = child.child();
        let stdin = pipes.stdin.take().context("stdin")?;
        let stdout = Lines::of(pipes.stdout.take().context("stdout")?);
        let stderr = Lines::of(pipes.stderr.take().context("stderr")?);
        Ok(Self {
            child,
            stdin,
            stdout,
            stderr,
        })
    }

    /// Starts a program and waits for its line `ready`.
    pub fn ready(command: &mut Command) -> Result<Self> {
        let session = Self::start(command)?;
        session.expect("ready")?;
        Ok(session)
    }

    /// Starts unfreed and waits until it records.
    pub fn recording(arguments: &[&str]) -> Result<Self> {
        Self::recorder(&mut unfreed(arguments)?)
    }

    /// Starts an unfreed, in whatever way, and waits until it records.
    pub fn recorder(command: &mut Command) -> Result<Self> {
        let session = Self::start(command)?;
        let mut said = String::new();
        while let Some(line) = session.stderr.next(LIMIT)? {
            if line.starts_with("recording") {
                return Ok(session);
            }
            said.push_str(&line);
        }
        bail!("unfreed did not begin to record: {said}")
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Sends a line.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        use std::io::Write as _;
        writeln!(self.stdin, "{line}").context("telling a program to go on")
    }

    /// Reads stdout up to this line.
    pub fn expect(&self, expected: &str) -> Result<()> {
        while let Some(line) = self.stdout.next(LIMIT)? {
            if line == expected {
                return Ok(());
            }
        }
        bail!("the output ended without {expected:?}")
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).context("sending a signal")
    }

    /// Waits for its end by itself.
    pub fn end(mut self) -> Result<Ended> {
        drop(self.stdin);
        let status = self.child.wait(LIMIT, || ())?;
        Ok(Ended {
            status,
            stdout: self.stdout.rest(LIMIT)?,
            stderr: self.stderr.rest(LIMIT)?,
        })
    }
}

/// unfreed with these arguments.
pub fn unfreed(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(paths::unfreed()?);
    command.args(arguments);
    Ok(command)
}

/// Runs unfreed to its end; the status, stdout and stderr.
pub fn run(arguments: &[&str]) -> Result<Ended> {
    Session::start(&mut unfreed(arguments)?)?.end()
}

/// The result file, parsed.
pub fn read_json(path: &Path) -> Result<serde_json::Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).context("the result is not JSON")
}
