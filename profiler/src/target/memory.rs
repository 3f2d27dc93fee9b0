//! The kernel's own account of a process.

use procfs::process::Process as ProcFs;

/// Resident and virtual size of a process at one moment, bytes (`/proc/PID/statm`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryReading {
    /// Resident set size.
    pub rss: u64,
    /// Virtual size.
    pub vsz: u64,
}

impl MemoryReading {
    /// Reads it; `None` when the process has ended (its memory is gone even while it is a zombie).
    pub fn of(pid: u32) -> Option<Self> {
        let statm = ProcFs::new(pid.cast_signed()).ok()?.statm().ok()?;
        let page = procfs::page_size();
        (statm.size > 0).then(|| Self {
            rss: statm.resident * page,
            vsz: statm.size * page,
        })
    }
}
