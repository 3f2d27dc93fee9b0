//! What the kernel says of a process's memory at one moment: its sizes, its memory cgroup, how much it waits for memory.
//! What cannot be read is absent; no number here is made up.

mod cgroup;
mod mounts;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::ops::BitOr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use jiff::Timestamp;
use procfs::process::Process as ProcFs;
use procfs::{FromRead as _, MemoryPressure};

use self::mounts::Mounts;
use crate::target::MemoryReading;

/// Where the hierarchies of cgroups are mounted: looked up once, as that does not change while a system runs.
static MOUNTS: LazyLock<Mounts> = LazyLock::new(Mounts::of_self);

/// What is read besides the sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// The number of mappings. Dear: the kernel writes a line for each, and the process cannot map meanwhile
    /// (up to Linux 6.10).
    pub mappings: bool,
    /// The memory cgroup: about three small files for each level of it.
    pub cgroup: bool,
    /// Memory pressure: one small file.
    pub pressure: bool,
}

impl BitOr for Wants {
    type Output = Self;

    /// What either wants.
    fn bitor(self, other: Self) -> Self {
        Self {
            mappings: self.mappings || other.mappings,
            cgroup: self.cgroup || other.cgroup,
            pressure: self.pressure || other.pressure,
        }
    }
}

/// A process's memory at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// When, for people.
    pub at: Timestamp,
    /// When, for computing: this clock neither jumps nor runs while the machine sleeps.
    pub moment: Instant,
    /// Resident, bytes (`/proc/PID/statm`; before Linux 6.16 that is wrong by some dozen pages a CPU).
    pub rss: u64,
    /// Mapped, bytes.
    pub vsz: u64,
    /// How many mappings there are (lines of `/proc/PID/maps`).
    pub mappings: Option<u64>,
    /// How many there may be (`vm.max_map_count`); read together with [`Reading::mappings`].
    pub most_mappings: Option<u64>,
    /// The memory cgroup that the process is charged to.
    pub cgroup: Option<CgroupReading>,
    /// Share of the last 10 s in which a task waited for memory, percent (PSI, `some avg10`): of the process's
    /// cgroup, else of the host.
    pub pressure: Option<f64>,
}

/// A memory cgroup at one moment. The limit and the events of its parents are its own, too: they meet the process
/// no less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupReading {
    /// Its directory. Counters of two cgroups have nothing to do with each other.
    pub directory: PathBuf,
    /// The tightest limit of it and its parents, bytes. `None`: there is none.
    pub limit: Option<u64>,
    /// What is charged to it, bytes.
    pub current: u64,
    /// How often `memory.high` was exceeded, its own or a parent's. `None` in version 1, which has no such thing.
    pub events_high: Option<u64>,
    /// How often a limit was hit, its own or a parent's (version 1: `memory.failcnt`).
    pub events_max: Option<u64>,
    /// How many of its processes the kernel ended for want of memory.
    pub oom_kill: Option<u64>,
}

impl Reading {
    /// Reads what is wanted of a process. `None`: it has ended.
    pub fn of(pid: u32, wants: &Wants) -> Option<Self> {
        let Wants {
            mappings,
            cgroup,
            pressure,
        } = *wants;
        let (at, moment) = (Timestamp::now(), Instant::now());
        let memory = MemoryReading::of(pid)?;
        let groups = if cgroup || pressure {
            groups(pid)
        } else {
            Vec::new()
        };
        Some(Self {
            at,
            moment,
            rss: memory.rss,
            vsz: memory.vsz,
            mappings: mappings.then(|| count_mappings(pid)).flatten(),
            most_mappings: mappings.then(most_mappings).flatten(),
            cgroup: cgroup.then(|| cgroup::of(&MOUNTS, &groups)).flatten(),
            pressure: pressure.then(|| pressure_of(&MOUNTS, &groups)).flatten(),
        })
    }
}

/// The process's cgroups, one for each hierarchy. None, if it has ended meanwhile.
fn groups(pid: u32) -> Vec<procfs::ProcessCGroup> {
    ProcFs::new(pid.cast_signed())
        .and_then(|process| process.cgroups())
        .map(|groups| groups.0)
        .unwrap_or_default()
}

/// A name with a line break in it is escaped there. No lines: the process has given back its memory.
fn count_mappings(pid: u32) -> Option<u64> {
    let lines = count_lines(Path::new(&format!("/proc/{pid}/maps")))?;
    (lines > 0).then_some(lines)
}

fn count_lines(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let mut buffer = vec![0; 64 << 10];
    let mut lines = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Some(lines),
            Ok(length) => {
                let ends = buffer[..length].iter().filter(|&&byte| byte == b'\n');
                lines += ends.count() as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn most_mappings() -> Option<u64> {
    procfs::sys::vm::max_map_count().ok()
}

/// The cgroup's file is absent where the kernel, or that cgroup, does not measure pressure.
fn pressure_of(mounts: &Mounts, groups: &[procfs::ProcessCGroup]) -> Option<f64> {
    let own = mounts
        .unified(groups)
        .and_then(|place| some_avg10(&place.directory.join("memory.pressure")));
    own.or_else(|| some_avg10(Path::new("/proc/pressure/memory")))
}

fn some_avg10(path: &Path) -> Option<f64> {
    let pressure = MemoryPressure::from_file(path).ok()?;
    Some(f64::from(pressure.some.avg10))
}
