//! Processes of a machine on which every process but init and the kernel's threads is a test's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use procfs::process::{StatFlags, all_processes};

/// The interval of polls that have a limit.
pub const INTERVAL: Duration = Duration::from_millis(10);

/// What is killed is gone within this time, even when it holds what the kernel takes long to free.
const DYING: Duration = Duration::from_secs(30);

/// Takes note of a child that ended, its own or an orphan. `None` when none has. Never waits.
pub fn reap() -> Result<Option<WaitStatus>> {
    match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => Ok(None),
        Ok(status) => Ok(Some(status)),
        Err(error) => Err(error).context("waiting for children"),
    }
}

/// Every process but init and the kernel's threads, as `PID NAME`, after those that have ended were
/// taken note of.
fn others() -> Result<Vec<String>> {
    while reap()?.is_some() {}
    let mut others = Vec::new();
    for process in all_processes().context("reading /proc")? {
        // It may have ended since.
        let Ok(stat) = process.and_then(|process| process.stat()) else {
            continue;
        };
        let is_kernel = stat
            .flags()
            .is_ok_and(|flags| flags.contains(StatFlags::PF_KTHREAD));
        if stat.pid != 1 && !is_kernel {
            others.push(format!("{} {}", stat.pid, stat.comm));
        }
    }
    Ok(others)
}

/// Waits until there are no others; those that are left after the limit.
pub fn stray(limit: Duration) -> Result<Vec<String>> {
    let start = Instant::now();
    loop {
        let others = others()?;
        if others.is_empty() || start.elapsed() > limit {
            return Ok(others);
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Kills every process but init and waits for their ends. Only for init itself.
pub fn kill_all() -> Result<()> {
    ensure!(std::process::id() == 1, "only init may kill everything");
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => return Err(error).context("killing what is left"),
    }
    let left = stray(DYING)?;
    ensure!(left.is_empty(), "not killed: {}", left.join(", "));
    Ok(())
}
