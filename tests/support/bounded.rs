//! `bounded.c`, which tells what it has done whenever it is asked.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use procfs::process::Process;

use crate::build::{self, Linkage};
use crate::child::{Lines, Owned};

const LIMIT: Duration = Duration::from_mins(1);

/// Each takes a whole processor: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The program, and how it is asked.
pub struct Bounded {
    _alone: MutexGuard<'static, ()>,
    child: Owned,
    lines: Lines,
}

/// What it says of itself, and the kernel of it.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// Pairs of malloc and free.
    pub pairs: f64,
    /// CPU time, seconds: what others take from it does not count.
    pub cpu: f64,
    /// Bytes that have leaked.
    pub leaked_bytes: f64,
    /// Blocks that have leaked.
    pub leaked: f64,
    /// Clock ticks in user mode, and all.
    ticks: (f64, f64),
}

impl Bounded {
    /// Starts it.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = build::program("bounded", Linkage::Dynamic)?;
        let mut command = Command::new(path);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = Owned::spawn(&mut command)?;
        let lines = Lines::of(child.child().stdout.take().context("its output")?);
        ensure!(lines.next(LIMIT)?.as_deref() == Some("ready"), "not ready");
        Ok(Self {
            _alone: alone,
            child,
            lines,
        })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Up to now.
    pub fn ask(&mut self) -> Result<Said> {
        let pid = i32::try_from(self.pid())?;
        let mut stdin = self.child.child().stdin.as_ref().context("its input")?;
        stdin.write_all(b"?\n")?;
        let line = self.lines.next(LIMIT)?.context("it has ended")?;
        let numbers: Vec<f64> = line.split(' ').filter_map(|it| it.parse().ok()).collect();
        let [pairs, cpu, leaked_bytes, leaked] = numbers[..] else {
            anyhow::bail!("it said {line:?}");
        };
        let stat = Process::new(pid)?.stat()?;
        Ok(Said {
            pairs,
            cpu: cpu / 1e9,
            leaked_bytes,
            leaked,
            ticks: (stat.utime as f64, (stat.utime + stat.stime) as f64),
        })
    }

    /// Pairs for each second of CPU time, in this time from now on.
    pub fn speed(&mut self, time: Duration) -> Result<f64> {
        let begin = self.ask()?;
        std::thread::sleep(time);
        Ok(self.ask()?.speed_since(begin))
    }
}

impl Said {
    /// Pairs for each second of CPU time.
    pub fn speed_since(self, begin: Self) -> f64 {
        (self.pairs - begin.pairs) / (self.cpu - begin.cpu)
    }

    /// Which share of its CPU time was in user mode. It makes no system calls to speak of, so that the rest is what probes
    /// take; other than its speed, this is the same on a machine where others run.
    pub fn own_since(self, begin: Self) -> f64 {
        (self.ticks.0 - begin.ticks.0) / (self.ticks.1 - begin.ticks.1)
    }
}
