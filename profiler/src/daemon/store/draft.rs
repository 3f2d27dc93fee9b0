//! A recording that is being written.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::entry::Id;
use super::disk::Disk;
use super::error::StoreError;
use super::names::Part;

/// A private directory (mode 0700) that both files of a recording are written into, by whoever makes them. It goes
/// with all that is in it when this is dropped; what is not added was never there.
#[derive(Debug)]
pub struct Draft {
    id: Id,
    directory: TempDir,
}

impl Draft {
    pub(super) fn new(store: &Path, id: &Id) -> Result<Self, StoreError> {
        for part in Part::FILES {
            if store.join(part.name(id)).symlink_metadata().is_ok() {
                return Err(StoreError::Exists { id: id.clone() });
            }
        }
        // nothing random in the name: two who write the same recording must not go unnoticed
        let directory = tempfile::Builder::new()
            .prefix(&Part::Draft.name(id))
            .rand_bytes(0)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(store);
        match directory {
            Ok(directory) => Ok(Self {
                id: id.clone(),
                directory,
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(StoreError::Exists { id: id.clone() })
            }
            Err(error) => Err(StoreError::new(
                format!("making a directory for recording {id}"),
                error,
            )),
        }
    }

    /// Whose.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Where the JSON is to be written.
    pub fn json(&self) -> PathBuf {
        self.path(Part::Json)
    }

    /// Where the pprof is to be written.
    pub fn pprof(&self) -> PathBuf {
        self.path(Part::Pprof)
    }

    pub(super) fn path(&self, part: Part) -> PathBuf {
        self.directory.path().join(part.name(&self.id))
    }

    /// Sees a file to the disk, with the mode 0600. Its size, bytes.
    pub(super) fn seal(&self, disk: &dyn Disk, part: Part) -> Result<u64, StoreError> {
        let path = self.path(part);
        seal(disk, &path)
            .map_err(|error| StoreError::new(format!("storing {}", path.display()), error))
    }
}

fn seal(disk: &dyn Disk, path: &Path) -> io::Result<u64> {
    // another process wrote it: no link is followed, and nothing waited for
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    disk.sync(&file, path)?;
    Ok(metadata.len())
}
