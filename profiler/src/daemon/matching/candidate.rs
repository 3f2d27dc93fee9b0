//! What is known of a process when it is to be decided whether it is meant.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use procfs::process::{Process, StatFlags, Status};
use procfs::{FromBufRead as _, ProcError, ProcResult, ProcessCGroups};

use crate::target::without_deleted;

/// Who only root may look into.
const ROOT: u32 = 0;

/// A process as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Process id.
    pub pid: u32,
    /// The kernel's short name of it, up to 15 bytes.
    pub comm: String,
    /// Path of its executable as the process itself sees it, without the mark of deleted files; empty when it
    /// may not be read.
    pub exe: String,
    /// Its control groups, one for each hierarchy (version 1 has several), each once: paths from the hierarchy's
    /// root, as seen from our own control group namespace.
    pub cgroups: Vec<String>,
    /// The user whose process it is: who may trace it. Where its user ids differ (a set-user-id program), or
    /// where the kernel lets only root look into it, that is root, 0.
    pub uid: u32,
    /// When it was started, clock ticks since boot: tells processes apart that have the same pid one after the
    /// other. An exec does not change it.
    pub started: u64,
}

impl Candidate {
    /// The process `pid`. `None` for what cannot be profiled: no such process (any more), a thread of one, a
    /// kernel thread, a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        Self::read(&Process::new(i32::try_from(pid).ok()?).ok()?).ok()?
    }

    /// All there are.
    pub fn all() -> Vec<Self> {
        // Without /proc nothing works, and `check` has said so.
        let processes = procfs::process::all_processes().into_iter().flatten();
        processes
            .filter_map(|process| Self::read(&process.ok()?).ok()?)
            .collect()
    }

    /// All files are read through one descriptor, so that they are of one process even if its pid is reused.
    fn read(process: &Process) -> ProcResult<Option<Self>> {
        let stat = process.stat()?;
        // Compared as bits, as newer kernels have flags that the library does not know.
        let kernel_thread = stat.flags & StatFlags::PF_KTHREAD.bits() != 0;
        if kernel_thread || matches!(stat.state, 'Z' | 'X') {
            return Ok(None);
        }
        let (status, owner) = lossy(process, "status")?;
        let status = Status::from_buf_read(status.as_bytes())?;
        if status.tgid != status.pid {
            return Ok(None);
        }
        let exe = match process.exe() {
            Ok(exe) => without_deleted(&exe.to_string_lossy()),
            Err(ProcError::PermissionDenied(_)) => String::new(),
            // It is about to end.
            Err(error) => return Err(error),
        };
        let (cgroups, _) = lossy(process, "cgroup")?;
        Ok(Some(Self {
            pid: stat.pid.cast_unsigned(),
            comm: stat.comm,
            exe,
            cgroups: paths(&cgroups)?,
            uid: user(&status, owner),
            started: stat.starttime,
        }))
    }
}

/// A file of the process, with what is not UTF-8 replaced, as anybody may name a process or a control group;
/// and the file's owner.
fn lossy(process: &Process, name: &str) -> ProcResult<(String, u32)> {
    let mut file = process.open_relative(name)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let owner = file.metadata()?.uid();
    Ok((String::from_utf8_lossy(&bytes).into_owned(), owner))
}

/// Each path once. The kernel marks groups that were removed while a process was in them.
fn paths(cgroups: &str) -> ProcResult<Vec<String>> {
    let mut paths = Vec::new();
    for group in ProcessCGroups::from_buf_read(cgroups.as_bytes())?.0 {
        let path = without_deleted(&group.pathname);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The kernel's own rule (`ptrace_may_access`): all of its user ids are the same, and it may be dumped, which
/// the owner of its files tells.
fn user(status: &Status, owner: u32) -> u32 {
    let same = [status.ruid, status.suid, owner]
        .iter()
        .all(|&id| id == status.euid);
    if same { status.euid } else { ROOT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_are_taken_once_each() {
        let text = "12:cpu,cpuacct:/docker/a:b\n4:memory:/docker/a:b\n1:name=systemd:/x.slice\n0::/x (deleted)\n";
        let paths = paths(text).expect("the kernel's format");
        assert_eq!(paths, ["/docker/a:b", "/x.slice", "/x"]);
    }

    #[test]
    fn a_process_of_two_users_is_roots() {
        let text = std::fs::read_to_string("/proc/self/status").expect("our status");
        let with = |ids: &str| {
            let (before, rest) = text.split_once("\nUid:").expect("its user ids");
            let (_, after) = rest.split_once('\n').expect("another line");
            let text = format!("{before}\nUid:\t{ids}\n{after}");
            Status::from_buf_read(text.as_bytes()).expect("the kernel's format")
        };
        assert_eq!(user(&with("7 7 7 7"), 7), 7);
        assert_eq!(user(&with("8 7 7 7"), 7), ROOT);
        assert_eq!(user(&with("7 7 8 7"), 7), ROOT);
        assert_eq!(user(&with("7 8 7 7"), 7), ROOT);
        assert_eq!(user(&with("7 7 7 7"), ROOT), ROOT);
    }
}
