//! A child process that does not outlive its owner, and whose output is read with a time limit.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// Kills its process when dropped.
#[derive(Debug)]
pub struct Owned(Child);

impl Owned {
    /// Takes the process over.
    pub fn new(child: Child) -> Self {
        Self(child)
    }

    /// Starts a process that the kernel ends, too, should the calling thread be killed before it
    /// can drop this.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let die_with_parent = || Ok(prctl::set_pdeathsig(Signal::SIGKILL)?);
        // SAFETY: runs between fork and exec, and makes one system call, which is allowed there.
        unsafe { command.pre_exec(die_with_parent) };
        command.spawn().map(Self)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// For taking its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Waits for its end. An error when it is still there after `limit`; `meanwhile` is called
    /// about every 5 ms.
    pub fn wait(&mut self, limit: Duration, mut meanwhile: impl FnMut()) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            meanwhile();
            if let Some(status) = self.0.try_wait().context("waiting for a child")? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("process {} did not end within {limit:?}", self.pid());
            }
            // Not for readiness: the interval of a poll that has a limit.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Fails only when it has ended already, and then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process ended, in words.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".to_owned(),
    }
}

/// The lines of a pipe, read by a thread of their own, so that a pipe is never full and waiting
/// for a line has a limit.
#[derive(Debug)]
pub struct Lines(Receiver<String>);

impl Lines {
    /// Starts to read.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// The next line; `None` at the end of the output.
    pub fn next(&self, limit: Duration) -> Result<Option<String>> {
        match self.0.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("no line of output within {limit:?}"),
        }
    }

    /// All that is left, up to the end of the output.
    pub fn rest(&self, limit: Duration) -> Result<String> {
        let mut text = String::new();
        while let Some(line) = self.next(limit)? {
            text.push_str(&line);
            text.push('\n');
        }
        Ok(text)
    }
}
