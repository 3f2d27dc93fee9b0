//! eBPF objects in the kernel: which there are, and which a process holds.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;

use anyhow::{Context as _, Result};
use aya::maps::{MapError, loaded_maps};
use aya::programs::links::LinkError;
use aya::programs::{ProgramError, loaded_links, loaded_programs};

/// An object, by the number that the kernel gave it and gives to no other for a long time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A program.
    Program(u32),
    /// A map.
    Map(u32),
    /// What keeps a program attached; of the kernels that have such an object for it.
    Link(u32),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(id) => write!(f, "program {id}"),
            Self::Map(id) => write!(f, "map {id}"),
            Self::Link(id) => write!(f, "link {id}"),
        }
    }
}

/// All that are in the kernel. Needs root.
pub fn loaded() -> Result<BTreeSet<Object>> {
    let mut all = BTreeSet::new();
    for program in loaded_programs() {
        match program {
            Ok(program) => drop(all.insert(Object::Program(program.id()))),
            Err(ProgramError::SyscallError(error)) if is_gone(&error.io_error) => {}
            Err(error) => return Err(error).context("listing the kernel's eBPF programs"),
        }
    }
    for map in loaded_maps() {
        match map {
            Ok(map) => drop(all.insert(Object::Map(map.id()))),
            Err(MapError::SyscallError(error)) if is_gone(&error.io_error) => {}
            Err(error) => return Err(error).context("listing the kernel's eBPF maps"),
        }
    }
    for link in loaded_links() {
        match link {
            Ok(link) => drop(all.insert(Object::Link(link.id()))),
            Err(LinkError::SyscallError(error)) if is_gone(&error.io_error) => {}
            Err(error) => return Err(error).context("listing the kernel's eBPF links"),
        }
    }
    Ok(all)
}

/// Freed between the moment in which its number was read and that in which it was looked at.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Those that a process has open.
pub fn held_by(pid: u32) -> Result<BTreeSet<Object>> {
    let directory = format!("/proc/{pid}/fdinfo");
    let mut all = BTreeSet::new();
    for file in fs::read_dir(&directory).with_context(|| format!("reading {directory}"))? {
        let file = file.with_context(|| format!("reading {directory}"))?;
        // Files are closed meanwhile, too.
        let Ok(text) = fs::read_to_string(file.path()) else {
            continue;
        };
        all.extend(text.lines().filter_map(described));
    }
    Ok(all)
}

/// What a line of `/proc/PID/fdinfo/FD` says about the file; a link's says which program it is of, too.
fn described(line: &str) -> Option<Object> {
    let (key, value) = line.split_once(':')?;
    let object = match key {
        "prog_id" => Object::Program,
        "map_id" => Object::Map,
        "link_id" => Object::Link,
        _ => return None,
    };
    value.trim().parse().ok().map(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_is() {
        let info = "pos:\t0\nflags:\t02000000\nlink_type:\tperf\nlink_id:\t6\nprog_tag:\t0a\nprog_id:\t41\n";
        let objects: Vec<Object> = info.lines().filter_map(described).collect();
        assert_eq!(objects, [Object::Link(6), Object::Program(41)]);
        assert_eq!(described("map_id:\t7"), Some(Object::Map(7)));
    }
}
