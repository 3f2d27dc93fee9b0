//! The process to be profiled: which one it is, what it has mapped, how it ends.

mod debug_file;
mod loading;
mod mapped;
mod memory;
mod module;
mod modules;
mod pidfd;
mod residency;
mod spawn;

use std::io::Read as _;
use std::num::NonZeroU32;

use anyhow::{Context as _, bail};
use procfs::process::Process as ProcFs;

pub use loading::may_load;
pub use mapped::{MapEvents, Mapped};
pub use memory::MemoryReading;
pub use module::{Image, Module};
pub use modules::{Location, Modules, Range};
pub use pidfd::PidFd;
pub use residency::{Folio, HUGE_PAGE, Lazy, Method, PAGE, Residency, Run, settle};
pub use spawn::{SpawnError, Started, start};

use crate::check;
use crate::profile::Process;

/// A process that can be profiled.
pub struct Target {
    /// Process id.
    pub pid: NonZeroU32,
    /// Readable when the process has ended.
    pub pidfd: PidFd,
    /// How it introduces itself.
    pub process: Process,
}

impl Target {
    /// Finds the running process `pid`. Fails with what to do when it cannot be profiled.
    pub fn running(pid: u32) -> anyhow::Result<Self> {
        let nonzero = NonZeroU32::new(pid).context("0 is not a process id")?;
        let no_process = || {
            format!(
                "no process {pid}: it does not exist or has ended; \
                 find the right one with `pgrep -a NAME` or `ps aux`"
            )
        };
        let proc = ProcFs::new(pid.cast_signed()).with_context(no_process)?;
        let tgid = proc.status().with_context(no_process)?.tgid;
        if tgid != pid.cast_signed() {
            bail!(
                "{pid} is a thread of process {tgid}, and a whole process is profiled; use -p {tgid}"
            );
        }
        // From here on the pid cannot come to mean another process unnoticed.
        let pidfd = PidFd::open(nonzero).with_context(no_process)?;
        let status = proc.status().with_context(no_process)?;
        if status.state.starts_with('Z') {
            bail!(
                "process {pid} is a zombie: it has ended, or its main thread has; \
                 there is nothing to attach to"
            );
        }
        if status.vmsize.is_none() {
            bail!("process {pid} is a kernel thread: it has no user memory to profile");
        }
        refuse_32_bit(pid)?;
        refuse_seccomp(pid, status.seccomp)?;
        Ok(Self {
            pid: nonzero,
            pidfd,
            process: introduce(&proc, pid),
        })
    }

    /// How many threads it has; 0 when it has ended.
    pub fn threads(&self) -> u32 {
        ProcFs::new(self.pid.get().cast_signed())
            .and_then(|process| process.stat())
            .map_or(0, |stat| stat.num_threads as u32)
    }
}

/// The name and executable of a process; empty where they cannot be read.
fn introduce(proc: &ProcFs, pid: u32) -> Process {
    let comm = proc.stat().map(|stat| stat.comm).unwrap_or_default();
    let exe = proc
        .exe()
        .map(|path| without_deleted(&path.to_string_lossy()))
        .unwrap_or_default();
    Process { pid, comm, exe }
}

/// The kernel marks the paths of files that have no name any more.
pub(crate) fn without_deleted(path: &str) -> String {
    path.strip_suffix(" (deleted)").unwrap_or(path).to_owned()
}

/// The eBPF programs read arguments where the calling convention of 64-bit code has them.
fn refuse_32_bit(pid: u32) -> anyhow::Result<()> {
    let mut identification = [0; 5];
    let read = std::fs::File::open(format!("/proc/{pid}/exe"))
        .and_then(|mut file| file.read_exact(&mut identification));
    if read.is_ok() && identification[4] == object::elf::ELFCLASS32 {
        bail!(
            "process {pid} is a 32-bit program, whose functions take their arguments in ways that \
             unfreed does not know; only 64-bit programs can be profiled"
        );
    }
    Ok(())
}

/// A filter that does not know how return probes return can end the process.
fn refuse_seccomp(pid: u32, seccomp: Option<u32>) -> anyhow::Result<()> {
    const SECCOMP_MODE_FILTER: u32 = 2;
    if seccomp != Some(SECCOMP_MODE_FILTER) || check::seccomp_spares_return_probes()? {
        return Ok(());
    }
    bail!(
        "process {pid} runs under a seccomp filter, and this kernel (Linux 6.11 to 6.13 without a \
         later fix) lets such a filter kill a process whose functions have return probes; profile \
         it on another kernel, or run it without the filter (systemd: SystemCallFilter=, Docker: \
         seccomp=unconfined)"
    )
}

/// `CLOCK_MONOTONIC` in nanoseconds, the clock of `bpf_ktime_get_ns`.
pub fn monotonic_now() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(u64::MAX, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}
