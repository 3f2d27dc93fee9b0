//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The sources of the test programs.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// Cargo's target directory: the one above the running executable that cargo has marked.
pub fn target() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the running executable")?;
    exe.ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists())
        .map(Path::to_owned)
        .with_context(|| format!("no cargo target directory above {}", exe.display()))
}

/// The `unfreed` under test: `UNFREED_BIN`, or the debug build.
pub fn unfreed() -> Result<PathBuf> {
    let path = match std::env::var_os("UNFREED_BIN") {
        Some(path) => PathBuf::from(path),
        None => target()?.join("debug/unfreed"),
    };
    ensure!(
        path.exists(),
        "{} is not there: build it first (cargo build -p unfreed), or name another one in UNFREED_BIN",
        path.display()
    );
    Ok(path)
}
