//! What the store asks of the disk where the order matters: what must survive a power cut is synced before
//! anything refers to it. A trait, so that a test can see the order, and what is there between any two steps.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// One step each. `path` is that of `file`.
pub(super) trait Disk: Send + Sync {
    /// What was written to the file, or entered in the directory, survives a power cut afterwards.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Writes all of `bytes` at the file's end. What is there after an error is any part of them.
    fn append(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name, at once. What had the name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away; it is no error if there is none.
    fn unlink(&self, path: &Path) -> io::Result<()>;
}

impl dyn Disk + '_ {
    /// Writes a file of the mode 0600, and sees it to the disk.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        self.append(&file, path, bytes)?;
        self.sync(&file, path)
    }
}

/// The one there is.
pub(super) struct Real;

impl Disk for Real {
    fn sync(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn append(&self, mut file: &File, _: &Path, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}
