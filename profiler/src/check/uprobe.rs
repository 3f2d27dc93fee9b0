//! Probes on a function of this program, to see what the kernel makes of them.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context as _;

use crate::perf::{self, Attributes};

/// The function with the probe.
#[inline(never)]
pub extern "C" fn probed() {
    // SAFETY: a system call without arguments.
    std::hint::black_box(unsafe { libc::syscall(libc::SYS_getppid) });
}

/// Sets a probe on [`probed`] in this process, and takes it away again.
pub fn on_ourselves(sysfs: &Path) -> anyhow::Result<()> {
    const OURSELVES: i32 = 0;
    set(sysfs, 0, OURSELVES).map(drop)
}

/// A return probe on [`probed`] in the process `pid`, which must have been forked from this one.
pub fn returns(sysfs: &Path, pid: i32) -> anyhow::Result<OwnedFd> {
    let bit = read(sysfs, "format/retprobe")?;
    let bit: u32 = bit
        .trim()
        .trim_start_matches("config:")
        .parse()
        .context("retprobe's bit")?;
    set(sysfs, 1 << bit, pid)
}

fn set(sysfs: &Path, config: u64, pid: i32) -> anyhow::Result<OwnedFd> {
    let attributes = Attributes {
        kind: read(sysfs, "type")?
            .trim()
            .parse()
            .context("uprobe's type")?,
        config,
        config1: c"/proc/self/exe".as_ptr() as u64,
        config2: own_offset(probed as *const () as u64)?,
        ..Attributes::default()
    };
    Ok(perf::open(&attributes, pid, -1)?)
}

fn read(sysfs: &Path, name: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(sysfs.join("bus/event_source/devices/uprobe").join(name))
        .with_context(|| format!("reading uprobe's {name}"))
}

/// Where in this program's file the code at `address` is.
pub fn own_offset(address: u64) -> anyhow::Result<u64> {
    let maps = procfs::process::Process::myself()?.maps()?;
    let mapping = maps
        .iter()
        .find(|mapping| (mapping.address.0..mapping.address.1).contains(&address))
        .context("own code is not mapped")?;
    Ok(address - mapping.address.0 + mapping.offset)
}
