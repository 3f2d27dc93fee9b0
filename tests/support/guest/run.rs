//! Runs one test and judges it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, setsid};

use super::leftovers::Before;
use super::plan::Planned;
use super::processes::{self, INTERVAL};

/// What a test finds in its environment; nothing else.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/bin:/bin:/guest/bin"),
    ("HOME", "/tmp"),
    ("TMPDIR", "/tmp"),
    ("UNFREED_BIN", "/guest/bin/unfreed"),
    ("UNFREED_TEST_PROGRAMS", "/guest/programs"),
];

/// Not in `/tmp`, which is the tests'. A file, not a pipe: what a test leaves behind cannot keep it
/// open, and it is never full.
const OUTPUT: &str = "/guest/output";

/// The result of a test.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took, what it left behind included.
    pub took: Duration,
    /// Of a test that did not pass: all that is known about it.
    pub said: Vec<u8>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passed and left nothing behind.
    Passed,
    /// It did not.
    Failed,
    /// It was killed after its limit.
    TimedOut,
}

impl Verdict {
    /// The word on the console.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMEOUT",
        }
    }
}

/// Runs a test. An error is init's own.
pub fn run(test: &Planned) -> Result<Outcome> {
    let start = Instant::now();
    let mut before = Before::now()?;
    let status = execute(test)?;
    let output = fs::read(OUTPUT).context("reading what the test said")?;
    let mut wrong: Vec<String> = match status {
        Some(status) => judge(status, &String::from_utf8_lossy(&output))
            .into_iter()
            .collect(),
        None => vec![format!("it did not end within {:?}", test.limit)],
    };
    wrong.extend(before.left()?);
    let verdict = match status {
        None => Verdict::TimedOut,
        Some(_) if wrong.is_empty() => Verdict::Passed,
        Some(_) => Verdict::Failed,
    };
    let mut said = Vec::new();
    if verdict != Verdict::Passed {
        said = output;
        let messages = before.messages()?;
        let messages = messages.lines().map(|line| format!("kernel: {line}"));
        for line in messages.chain(wrong) {
            said.extend_from_slice(format!("\n{line}").as_bytes());
        }
    }
    Ok(Outcome {
        verdict,
        took: start.elapsed(),
        said,
    })
}

/// Runs it to its end, which is `None` when it had to be killed, with all that it had started.
fn execute(test: &Planned) -> Result<Option<WaitStatus>> {
    let output = File::create(OUTPUT).context("creating a file for what the test says")?;
    let mut command = Command::new(test.path());
    command
        .args(["--exact", &test.test, "--test-threads=1"])
        .env_clear()
        .envs(ENVIRONMENT.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("the test's output")?)
        .stderr(output);
    let session = || setsid().map(drop).map_err(std::io::Error::from);
    // SAFETY: runs between fork and exec, and makes one system call, which is allowed there.
    unsafe { command.pre_exec(session) };
    let start = Instant::now();
    // Not waited for by its value: init takes note of every process's end.
    let child = command
        .spawn()
        .with_context(|| format!("starting {}", test.path().display()))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    loop {
        while let Some(status) = processes::reap()? {
            if status.pid() == Some(pid) {
                return Ok(Some(status));
            }
        }
        if start.elapsed() > test.limit {
            processes::kill_all()?;
            return Ok(None);
        }
        std::thread::sleep(INTERVAL);
    }
}

/// What is wrong with how a test binary ended and with what it said; it has to have run one test.
fn judge(status: WaitStatus, output: &str) -> Option<String> {
    match status {
        WaitStatus::Exited(_, 0) => {}
        // It says itself what failed.
        WaitStatus::Exited(_, code) => return Some(format!("exit status {code}")),
        WaitStatus::Signaled(_, signal, _) => return Some(format!("killed by {signal}")),
        other => return Some(format!("an unknown end: {other:?}")),
    }
    let passed = output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter(|line| line.starts_with("1 passed;"))
        .count();
    (passed != 1).then(|| "no test of this name was run".to_owned())
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;

    const PASSED: &str = "\nrunning 1 test\ntest a ... ok\n\n\
        test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s\n";

    fn exited(code: i32) -> WaitStatus {
        WaitStatus::Exited(Pid::from_raw(7), code)
    }

    #[test]
    fn one_test_has_to_pass() {
        assert_eq!(judge(exited(0), PASSED), None);
        for none in ["0 passed; 0 failed; 1 ignored;", "0 passed;", "11 passed;"] {
            let output = PASSED.replace("1 passed; 0 failed;", none);
            assert!(judge(exited(0), &output).is_some(), "{output}");
        }
        assert!(judge(exited(0), "").is_some());
    }

    #[test]
    fn the_status_counts_whatever_was_said() {
        assert!(judge(exited(101), PASSED).unwrap().contains("101"));
        let killed = WaitStatus::Signaled(Pid::from_raw(7), Signal::SIGSEGV, false);
        assert!(judge(killed, PASSED).unwrap().contains("SIGSEGV"));
    }
}
