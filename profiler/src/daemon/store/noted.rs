//! A disk for tests, that tells what was asked of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::disk::{Disk, Real};
use super::lock;
use super::names::Part;

/// Does what it is asked to, and notes it.
#[derive(Clone, Default)]
pub(super) struct Noted(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    steps: Vec<String>,
    /// The step that fails, counted from now on.
    failing: Option<usize>,
    /// What is to be copied before each step, and where to.
    copied: Option<(PathBuf, PathBuf)>,
}

impl Noted {
    /// Copies a directory before each step from now on, to the step's number in `to`.
    pub(super) fn copy_before_each(&self, from: &Path, to: &Path) {
        lock(&self.0).copied = Some((from.to_owned(), to.to_owned()));
    }

    /// The step of this number, from now on, fails for want of room.
    pub(super) fn fail_at(&self, step: usize) {
        lock(&self.0).failing = Some(step);
    }

    fn step(&self, what: &str, path: &Path) -> io::Result<()> {
        let mut notes = lock(&self.0);
        if let Some((from, to)) = &notes.copied {
            copy(from, &to.join(notes.steps.len().to_string()));
        }
        let directory = path.parent().unwrap();
        let draft = directory.extension().is_some_and(|end| end == "draft");
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = match Part::parse(name) {
            Some((_, part)) => format!("{part:?}"),
            None => name.to_owned(),
        };
        let whose = if draft { "draft's " } else { "" };
        notes.steps.push(format!("{what} {whose}{name}"));
        match &mut notes.failing {
            Some(0) => {
                notes.failing = None;
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Steps since the last call.
    pub(super) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0).steps)
    }
}

impl Disk for Noted {
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.step("sync", path)?;
        Real.sync(file, path)
    }

    fn append(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step("append to", path) {
            Real.append(file, path, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        Real.append(file, path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", from)?;
        Real.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.step("unlink", path)?;
        Real.unlink(path)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}
