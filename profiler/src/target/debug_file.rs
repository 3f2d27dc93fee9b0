//! Finds the file with a module's split-off debug information.
//!
//! By build id, then by `.gnu_debuglink`: the two ways and directories that gdb documents ("Debugging
//! Information in Separate Files"), first in the target's root directory, then in ours. A file is
//! taken only when it is proven to belong to the module: names in the file system may lead to
//! another build of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use object::Object as _;

const DEBUG_DIRECTORY: &str = "usr/lib/debug";

/// What a debug file must have to belong to a module.
#[derive(Debug, PartialEq, Eq)]
enum Proof<'a> {
    BuildId(&'a [u8]),
    Checksum(u32),
}

/// The debug file of the module with these `bytes` at `path`, as a process with this `root` sees it;
/// `None` when the module has the information itself, or none is found.
pub fn find(bytes: &[u8], path: &Path, root: &Path) -> Option<File> {
    let file = object::File::parse(bytes).ok()?;
    if file.section_by_name(".debug_info").is_some() {
        return None;
    }
    let build_id = file.build_id().ok()?;
    let link = file.gnu_debuglink().ok()?;
    let proof = match (build_id, link) {
        (Some(id), _) => Proof::BuildId(id),
        (None, Some((_, checksum))) => Proof::Checksum(checksum),
        (None, None) => return None,
    };
    let link = link.and_then(|(name, _)| std::str::from_utf8(name).ok());
    candidates(path, root, build_id, link)
        .into_iter()
        .filter_map(|path| File::open(path).ok())
        .find(|file| belongs(file, &proof))
}

fn candidates(
    path: &Path,
    root: &Path,
    build_id: Option<&[u8]>,
    link: Option<&str>,
) -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    let directory = path
        .parent()
        .and_then(|directory| directory.strip_prefix("/").ok());
    for root in [root, Path::new("/")] {
        let debug = root.join(DEBUG_DIRECTORY);
        if let Some(id) = build_id {
            let hex = hex(id);
            // Two digits name the directory.
            if let Some((first, rest)) = hex.split_at_checked(2) {
                candidates.push(debug.join(format!(".build-id/{first}/{rest}.debug")));
            }
        }
        // A plain name: the link must not lead out of these directories.
        let name = link.and_then(|link| Path::new(link).file_name());
        if let (Some(directory), Some(name)) = (directory, name) {
            candidates.push(root.join(directory).join(name));
            candidates.push(root.join(directory).join(".debug").join(name));
            candidates.push(debug.join(directory).join(name));
        }
    }
    candidates
}

/// Lowercase digits, two for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn belongs(file: &File, proof: &Proof<'_>) -> bool {
    // SAFETY: as for modules: read through code that checks every offset; a debug file that is
    // overwritten in place meanwhile would end unfreed, not the target.
    let Ok(bytes) = (unsafe { Mmap::map(file) }) else {
        return false;
    };
    match proof {
        Proof::BuildId(id) => object::File::parse(&*bytes)
            .is_ok_and(|debug| debug.build_id().is_ok_and(|found| found == Some(*id))),
        Proof::Checksum(checksum) => crc32fast::hash(&bytes) == *checksum,
    }
}
