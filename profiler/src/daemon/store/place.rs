//! The directory of a store: made, private, and one daemon's alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::names::{INDEX, LOCK};

/// It is ours as long as this lives.
pub(super) struct Place {
    /// Absolute, whatever the working directory is later.
    pub(super) path: PathBuf,
    /// The directory itself, to sync it.
    pub(super) handle: File,
    /// The kernel gives it back with the process, however that ends.
    lock: File,
}

impl Place {
    /// Makes `directory` if it is not there (0700), and takes its lock.
    pub(super) fn take(directory: &Path) -> anyhow::Result<Self> {
        let name = directory.display();
        make(directory).with_context(|| format!("making the directory {name}"))?;
        let path = directory
            .canonicalize()
            .with_context(|| format!("looking for {name}"))?;
        let handle = File::open(&path).with_context(|| format!("opening {name}"))?;
        let is_ours = path.join(LOCK).exists() || path.join(INDEX).exists();
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path.join(LOCK))
            .with_context(|| format!("making a file in {name}, where recordings are kept"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another `unfreed daemon` keeps its recordings in {name}: end it, or give this one another directory"
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {name}"));
            }
        }
        if is_ours {
            close_to_others(&handle).with_context(|| format!("making {name} private"))?;
        }
        Ok(Self { path, handle, lock })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Closing is not enough: a process that is just being started has the file too, until it executes its program.
        let _ = self.lock.unlock();
    }
}

/// Makes the directory and those above it, so that they survive a power cut. One that is there and empty becomes
/// private; one with anything in it may be shared with others, and is only if it is a store already.
fn make(directory: &Path) -> anyhow::Result<()> {
    if directory.is_dir() {
        if fs::read_dir(directory)?.next().is_none() {
            close_to_others(&File::open(directory)?)?;
        }
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    for above in directory.canonicalize()?.ancestors().skip(1) {
        // some cannot be opened, or are of a file system that has nothing to sync
        if let Ok(above) = File::open(above) {
            let _ = above.sync_all();
        }
    }
    Ok(())
}

fn close_to_others(directory: &File) -> std::io::Result<()> {
    let mode = directory.metadata()?.permissions().mode() & 0o777;
    let private = mode & 0o700;
    if mode == private {
        return Ok(());
    }
    directory.set_permissions(Permissions::from_mode(private))
}
