//! eBPF objects in the kernel: which there are, and which a process holds.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;

use anyhow::{Context as _, Result};

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
///
/// None of them is opened for it: whoever opens and closes an array of programs that is just being freed can
/// make the kernel keep it for ever (`prog_array_map_clear` takes a reference for work that is scheduled
/// already).
pub fn loaded() -> Result<BTreeSet<Object>> {
    /// `enum bpf_cmd` of `include/uapi/linux/bpf.h`.
    const NEXT_PROGRAM: libc::c_int = 11;
    const NEXT_MAP: libc::c_int = 12;
    const NEXT_LINK: libc::c_int = 31;
    let mut all = BTreeSet::new();
    for (command, object) in [
        (NEXT_PROGRAM, Object::Program as fn(u32) -> Object),
        (NEXT_MAP, Object::Map),
        (NEXT_LINK, Object::Link),
    ] {
        let mut last = 0;
        while let Some(id) = next(command, last).context("listing the kernel's eBPF objects")? {
            all.insert(object(id));
            last = id;
        }
    }
    Ok(all)
}

/// The first number above `id`.
fn next(command: libc::c_int, id: u32) -> io::Result<Option<u32>> {
    // start_id, next_id, open_flags
    let mut attributes = [id, 0, 0];
    // SAFETY: the kernel reads and writes the attributes, which live until then.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of_val(&attributes),
        )
    };
    if result >= 0 {
        return Ok(Some(attributes[1]));
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::NotFound => Ok(None),
        error => Err(error),
    }
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
