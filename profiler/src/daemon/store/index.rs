//! The index: a file that lines are added to, rewritten only when most of it is about recordings that are gone.
//!
//! One file that is rewritten for each recording would be simpler, but costs what there are of them, not what is new:
//! 10,000 are 4 MB. Lines with checksums cost one line, and a crash can spoil the last one only.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::entry::{Entry, Id};
use super::disk::Disk;
use super::line::{self, Line, Reading};
use super::names::{INDEX, NEXT_INDEX};

/// More lines than there are recordings, by this much and the recordings' number, are worth rewriting.
const SPARE: usize = 1000;

/// What the file says.
#[derive(Default)]
pub(super) struct Contents {
    /// The recordings that are there by it.
    pub(super) entries: BTreeMap<Id, Entry>,
    /// Lines that say something.
    lines: usize,
    /// Lines that are not what was written.
    pub(super) damaged: usize,
    /// Lines of another version.
    pub(super) unknown: usize,
    /// The last line has no end.
    torn: bool,
    /// There was no file.
    missing: bool,
}

impl Contents {
    /// Reads the index in `directory`. No content is an error, only that it cannot be read.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let bytes = match fs::read(directory.join(INDEX)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    missing: true,
                    ..Self::default()
                });
            }
            Err(error) => return Err(error),
        };
        let mut contents = Self {
            torn: bytes.last().is_some_and(|last| *last != b'\n'),
            ..Self::default()
        };
        for line in bytes.split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                contents.take(line::decode(line));
            }
        }
        Ok(contents)
    }

    fn take(&mut self, reading: Reading) {
        self.lines += 1;
        match reading {
            Reading::Whole(Line::Added(entry)) => {
                self.entries.insert(entry.id.clone(), *entry);
            }
            Reading::Whole(Line::Removed(id)) => {
                self.entries.remove(&id);
            }
            Reading::Unknown => self.unknown += 1,
            Reading::Damaged => self.damaged += 1,
        }
    }

    /// Whether the file says just what `entries` are, and nothing else.
    pub(super) fn is(&self, entries: &BTreeMap<Id, Entry>) -> bool {
        // an end that is missing is put there by the next line
        !self.missing && self.lines == entries.len() && self.entries.keys().eq(entries.keys())
    }
}

/// The file, open.
pub(super) struct Index {
    path: PathBuf,
    file: File,
    lines: usize,
    /// What is at the end is no line and could not be taken back; the next line must begin a new one.
    torn: bool,
}

impl Index {
    /// As it is, to be added to; made if there is none.
    pub(super) fn open(directory: &Path, contents: &Contents) -> io::Result<Self> {
        let path = directory.join(INDEX);
        Ok(Self {
            file: open(&path)?,
            path,
            lines: contents.lines,
            torn: contents.torn,
        })
    }

    /// Written anew, for `entries`. When that fails the old one is still there. `handle` is the directory's.
    pub(super) fn rewrite<'a>(
        disk: &dyn Disk,
        directory: &Path,
        handle: &File,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> io::Result<Self> {
        let (path, next) = (directory.join(INDEX), directory.join(NEXT_INDEX));
        let mut text = String::new();
        let mut lines = 0;
        for entry in entries {
            text.push_str(&line::added(entry)?);
            lines += 1;
        }
        let opened = disk
            .put(&next, text.as_bytes())
            // opened before it gets its name, so that there is no way back after the rename but its own failure
            .and_then(|()| open(&next))
            .and_then(|file| disk.rename(&next, &path).map(|()| file));
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                // half of it may be there and take the room that is missing; what is left is removed by the next `open`
                let _ = disk.unlink(&next);
                return Err(error);
            }
        };
        // The name is given: whoever went on with the old file now would write where nobody reads. Should the new name
        // not survive a power cut, then the next change syncs the directory before it writes a line.
        let _ = disk.sync(handle, directory);
        Ok(Self {
            path,
            file,
            lines,
            torn: false,
        })
    }

    /// Adds whole lines, all or none of them; `Ok` means that they survive a power cut.
    pub(super) fn append(&mut self, disk: &dyn Disk, lines: &str) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        let text = if self.torn {
            format!("\n{lines}")
        } else {
            lines.to_owned()
        };
        let written = disk
            .append(&self.file, &self.path, text.as_bytes())
            .and_then(|()| disk.sync(&self.file, &self.path));
        if written.is_ok() {
            self.torn = false;
            self.lines += lines.lines().count();
        } else if self.file.set_len(before).is_err() {
            self.torn = true;
        }
        written
    }

    /// Whether most of it is about what is gone, now that there are `recordings`.
    pub(super) fn is_mostly_past(&self, recordings: usize) -> bool {
        self.lines > 2 * recordings + SPARE
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}
