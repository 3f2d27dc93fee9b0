//! gdb, attached to a program with `judge.c`: what it takes the stack to be, at stops that are
//! chosen here.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use serde::Deserialize;

use crate::child::{Lines, Owned, describe};
use crate::paths;

const LIMIT: Duration = Duration::from_mins(1);

/// How gdb ends a stack when it has reached the outermost function.
pub const OUTERMOST: &str = "outermost";

/// A gdb that its process is stopped by. The process goes on without it when it is dropped.
#[derive(Debug)]
pub struct Gdb {
    child: Owned,
    lines: Lines,
    errors: File,
}

/// A stack as gdb sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct Stop {
    /// Which stop: the value that was sent with the signal.
    pub stop: i32,
    /// From the innermost outwards; none for functions that were inlined.
    pub frames: Vec<Place>,
    /// Why there are no more.
    pub end: String,
    /// What was to be executed next.
    pub instruction: String,
}

/// An address in the code of a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Place {
    /// The file, or a name in brackets for what is none; empty where nothing is mapped.
    pub module: String,
    /// As the file's headers count it; the plain address for what is no file.
    pub address: u64,
    /// The function's name, if there is one.
    #[serde(default)]
    pub name: Option<String>,
}

impl Gdb {
    /// Attaches to a process and waits until that runs again.
    pub fn attach(pid: u32) -> Result<Self> {
        let errors = tempfile::tempfile().context("creating a file for gdb's errors")?;
        let mut command = Command::new("gdb");
        command
            .args(["-nx", "-q", "-batch"])
            // Looking for debug information on the network takes its time.
            .args(["-iex", "set debuginfod enabled off"])
            .args(["-p", &pid.to_string(), "-x"])
            .arg(paths::sources().join("judge_gdb.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?);
        let mut child = Owned::spawn(&mut command)
            .context("gdb does not run: apt-get install gdb, or cargo xtask setup")?;
        let lines = Lines::of(child.child().stdout.take().context("gdb's output")?);
        let mut gdb = Self {
            child,
            lines,
            errors,
        };
        let line = gdb.line()?;
        ensure!(line == "\"attached\"", "gdb said {line}");
        Ok(gdb)
    }

    /// The stop that this signal caused, which was sent by [`send`].
    pub fn stop(&mut self) -> Result<Stop> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("gdb said {line}"))
    }

    /// Waits for its end, after the value 0 was sent.
    pub fn finish(mut self) -> Result<()> {
        let status = self.child.wait(LIMIT, || ())?;
        ensure!(status.success(), "gdb ended with {}", describe(status));
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let limit = "gdb does not answer";
        while let Some(line) = self.lines.next(LIMIT).context(limit)? {
            if let Some(said) = line.strip_prefix("judge ") {
                return Ok(said.to_owned());
            }
        }
        let mut said = String::new();
        self.errors.rewind()?;
        self.errors.read_to_string(&mut said)?;
        bail!("gdb ended; it said: {said}")
    }
}

/// `siginfo_t` of a signal with a value (include/uapi/asm-generic/siginfo.h, `_rt`).
#[repr(C)]
struct SignalInfo {
    number: i32,
    errno: i32,
    code: i32,
    padding: i32,
    pid: i32,
    uid: u32,
    value: i64,
    rest: [u8; 96],
}

/// Sends SIGUSR2 with a value to one thread of a process.
pub fn send(pid: u32, thread: u32, value: i32) -> Result<()> {
    let info = SignalInfo {
        number: libc::SIGUSR2,
        errno: 0,
        code: libc::SI_QUEUE,
        padding: 0,
        pid: std::process::id().cast_signed(),
        uid: 0,
        value: value.into(),
        rest: [0; 96],
    };
    // SAFETY: the fourth argument is a siginfo_t, of 128 bytes, which the kernel only reads.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            pid,
            thread,
            libc::SIGUSR2,
            &raw const info,
        )
    };
    Errno::result(result).with_context(|| format!("signalling thread {thread} of {pid}"))?;
    Ok(())
}
