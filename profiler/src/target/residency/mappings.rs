//! What is mapped where, as far as it decides what a resident page counts as.

use std::collections::HashMap;

use anyhow::Context as _;
use nix::sys::statfs::{self, HUGETLBFS_MAGIC, TMPFS_MAGIC};
use procfs::process::{MMapPath, MemoryMap, Process as ProcFs};

use crate::profile::Kind;

/// What pages of a mapping count as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A file's, or copies of them.
    File,
    /// Shared memory, or copies of it.
    Shmem,
    /// Not part of RSS: a device's memory, pages of hugetlbfs, the kernel's own data.
    Uncounted,
}

/// A mapping.
#[derive(Debug, Clone, Copy)]
pub struct MappedRange {
    /// Address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
    /// What its pages count as.
    pub class: Class,
}

impl Class {
    /// The kind of a page; `None`: RSS does not count it. `file`: it belongs to what is mapped, and is not
    /// the process's own.
    pub fn kind(self, file: bool, huge: bool) -> Option<Kind> {
        match (self, file) {
            (Self::Uncounted, _) => None,
            (_, false) if huge => Some(Kind::Huge),
            (_, false) => Some(Kind::Anonymous),
            (Self::File, true) => Some(Kind::File),
            (Self::Shmem, true) => Some(Kind::Shmem),
        }
    }
}

/// All mappings of the process, in the order of addresses.
pub fn read(pid: u32) -> anyhow::Result<Vec<MappedRange>> {
    let maps = ProcFs::new(pid.cast_signed())
        .and_then(|process| process.maps())
        .with_context(|| format!("reading the mappings of process {pid}"))?;
    // One answer for each file system.
    let mut devices: HashMap<(i32, i32), Class> = HashMap::new();
    let ranges = maps.iter().map(|map| MappedRange {
        start: map.address.0,
        end: map.address.1,
        class: class(pid, map, &mut devices),
    });
    Ok(ranges.collect())
}

fn class(pid: u32, map: &MemoryMap, devices: &mut HashMap<(i32, i32), Class>) -> Class {
    match &map.pathname {
        // Read by every process, owned by none (VM_PFNMAP).
        MMapPath::Vvar | MMapPath::Vsyscall => Class::Uncounted,
        MMapPath::Other(name) if name.starts_with("vvar") => Class::Uncounted,
        MMapPath::Path(path) => {
            let path = path.to_string_lossy();
            let memory = ["/dev/shm/", "/dev/zero"];
            let is_device = path.starts_with("/dev/");
            if is_device && !memory.iter().any(|memory| path.starts_with(memory)) {
                return Class::Uncounted;
            }
            *devices
                .entry(map.dev)
                .or_insert_with(|| class_of_file(pid, map.address))
        }
        MMapPath::Vsys(_) => *devices
            .entry(map.dev)
            .or_insert_with(|| class_of_file(pid, map.address)),
        _ => Class::File,
    }
}

/// By the file system it is in.
fn class_of_file(pid: u32, (start, end): (u64, u64)) -> Class {
    let file = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
    match statfs::statfs(file.as_str()).map(|found| found.filesystem_type()) {
        Ok(TMPFS_MAGIC) => Class::Shmem,
        Ok(HUGETLBFS_MAGIC) => Class::Uncounted,
        // Also when it cannot be asked: then its pages count as a file's.
        _ => Class::File,
    }
}
