//! Unwind tables of files that are large, and of those that every process has.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use memmap2::Mmap;
use unfreed::unwind::Table;
use unfreed_common::unwind::Row;

use crate::numbers::Spread;

/// Directories, and how the names of files in them begin. `SYSROOT` is the Rust toolchain's.
const FILES: &[(&str, &str)] = &[
    ("/lib/x86_64-linux-gnu", "libc.so.6"),
    ("/lib64", "libc.so.6"),
    ("/usr/lib/x86_64-linux-gnu", "libstdc++.so.6"),
    ("/usr/lib64", "libstdc++.so.6"),
    ("/usr/bin", "python3"),
    ("/usr/bin", "node"),
    ("/usr/lib/x86_64-linux-gnu", "libLLVM"),
    ("/usr/lib64", "libLLVM"),
    ("SYSROOT/lib", "librustc_driver"),
    ("/usr/lib/chromium", "chromium"),
    ("/opt/google/chrome", "chrome"),
];

/// How often each table is made.
const TIMES: usize = 5;

/// A file's table.
#[derive(Debug)]
pub struct Measured {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Rows of its table.
    pub rows: usize,
    /// What they take in the kernel.
    pub bytes: usize,
    /// Milliseconds to make it, on one thread, from a file that is in the page cache.
    pub milliseconds: Spread,
}

/// All of [`FILES`] that are there and have a table, the smallest first.
pub fn measure() -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for path in paths()? {
        if let Some(file) = of(&path)? {
            measured.push(file);
        }
    }
    measured.sort_by_key(|file| file.size);
    Ok(measured)
}

fn of(path: &Path) -> Result<Option<Measured>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut milliseconds = Vec::new();
    let mut rows = 0;
    // Once more, for the page cache.
    for _ in 0..=TIMES {
        let begin = Instant::now();
        // SAFETY: an installed file, which package managers replace instead of writing to it.
        let bytes = unsafe { Mmap::map(&file) }.context("mapping a file")?;
        let Ok(table) = Table::of_elf(&bytes) else {
            // A script, for instance.
            return Ok(None);
        };
        milliseconds.push(begin.elapsed().as_secs_f64() * 1e3);
        rows = table.rows.len();
    }
    Ok(Some(Measured {
        path: path.to_owned(),
        size: file.metadata().context("asking for a file's size")?.len(),
        rows,
        bytes: rows * size_of::<Row>(),
        milliseconds: Spread::of(milliseconds.split_off(1)).context("no table was made")?,
    }))
}

/// Each of [`FILES`] that is there, once, whatever its links are called.
pub fn paths() -> Result<BTreeSet<PathBuf>> {
    let rustc = std::process::Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("asking rustc for its directory")?;
    let sysroot = String::from_utf8_lossy(&rustc.stdout);
    let mut paths = BTreeSet::new();
    for (directory, begin) in FILES {
        let directory = directory.replace("SYSROOT", sysroot.trim());
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(begin)
                && let Ok(path) = entry.path().canonicalize()
                && path.is_file()
            {
                paths.insert(path);
            }
        }
    }
    Ok(paths)
}
