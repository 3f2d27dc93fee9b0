//! Where recordings are kept: a directory that is private to the daemon.
//!
//! A recording is `<id>.json` and `<id>.pb.gz`, and `<id>.entry.json` with what is known of it without opening them.
//! The `index` has the same of all recordings, so that a start reads one file instead of thousands. A recording is
//! there when its line of the index is; `.entry.json` is for an index that was damaged.
//!
//! **Adding** syncs the files, renames them into the directory, syncs that, and writes the line. **Removing** takes
//! away the files, the JSON first, then writes a line that says so; without that line it is removed all the same,
//! which is what makes room on a full disk possible. Nothing is there by halves: see `opening.rs`.

mod disk;
mod draft;
mod error;
mod index;
mod line;
mod names;
mod opening;
mod place;
mod removal;
mod report;
mod retention;
mod shown;

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod full_test;
#[cfg(test)]
mod kill_test;
#[cfg(test)]
mod noted;
#[cfg(test)]
mod order_test;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod size_test;
#[cfg(test)]
mod store_test;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;

pub use draft::Draft;
pub use error::{StoreError, is_full};
pub use retention::Retention;

use super::entry::{Entry, Id};
use disk::{Disk, Real};
use index::{Contents, Index};
use names::Part;
use place::Place;
use report::Report;
use shown::Shown;

/// The recordings of a directory, which is this daemon's alone as long as the store lives. Its methods block on the
/// disk, except [`Store::entries`] and [`Store::get`], which never do.
pub struct Store {
    place: Place,
    disk: Box<dyn Disk>,
    /// Held by whoever changes what is there.
    index: Mutex<Index>,
    /// Held for moments only, so that the page is shown while a slow disk syncs.
    shown: Mutex<Shown>,
}

/// What was found when a store was opened.
#[derive(Debug)]
pub struct Opened {
    /// How many recordings there are.
    pub recordings: usize,
    /// What was not as it should be and what was done about it: sentences for the log.
    pub put_right: Vec<String>,
}

impl Store {
    /// Takes `directory`, making it (0700) if it is not there, and puts right what a crash or damage has left. Fails
    /// if another daemon has it, or if it or its index cannot be read; damaged content is no failure.
    pub fn open(directory: &Path) -> anyhow::Result<(Self, Opened)> {
        Self::open_on(Box::new(Real), directory)
    }

    fn open_on(disk: Box<dyn Disk>, directory: &Path) -> anyhow::Result<(Self, Opened)> {
        let place = Place::take(directory)?;
        // Not taken for an empty one: that would be the end of recordings whose own lines are missing.
        let contents = Contents::read(&place.path).with_context(|| {
            format!(
                "reading the index in {}; if it is lost, move it away: recordings are found again by their .entry.json",
                place.path.display()
            )
        })?;
        let mut report = Report::default();
        let entries = opening::put_right(&*disk, &place.path, &contents, &mut report)?;
        let mut index = None;
        if !contents.is(&entries) {
            match Index::rewrite(&*disk, &place.path, &place.handle, entries.values()) {
                Ok(rewritten) => index = Some(rewritten),
                // on a full disk, say; the old one does until there is room
                Err(error) => report.failed.push(format!("rewriting the index: {error}")),
            }
        }
        let index = match index {
            Some(index) => index,
            None => Index::open(&place.path, &contents).with_context(|| {
                format!("opening the index in {} for writing", place.path.display())
            })?,
        };
        let opened = Opened {
            recordings: entries.len(),
            put_right: report.sentences(),
        };
        let store = Self {
            place,
            disk,
            index: Mutex::new(index),
            shown: Mutex::new(Shown::new(entries)),
        };
        Ok((store, opened))
    }

    /// A place to write a recording into, by whoever makes it.
    pub fn draft(&self, id: &Id) -> Result<Draft, StoreError> {
        Draft::new(&self.place.path, id)
    }

    /// Keeps a recording whose two files are written. After `Ok` it survives a power cut; after an error it is gone,
    /// and its files too. [`Entry::size`] is set here.
    pub fn add(&self, draft: Draft, mut entry: Entry) -> Result<(), StoreError> {
        check(&draft, &entry)?;
        let id = entry.id.clone();
        entry.size = draft
            .seal(&*self.disk, Part::Json)?
            .saturating_add(draft.seal(&*self.disk, Part::Pprof)?);
        let mut index = lock(&self.index);
        if let Err(error) = self.keep(&mut index, &draft, &entry) {
            // what is left after an error here has no line, and goes when the store is opened
            for part in Part::FILES {
                let _ = self.disk.unlink(&self.place.path.join(part.name(&id)));
            }
            return Err(StoreError::new(format!("storing recording {id}"), error));
        }
        lock(&self.shown).insert(entry);
        // empty by now
        drop(draft);
        Ok(())
    }

    fn keep(&self, index: &mut Index, draft: &Draft, entry: &Entry) -> io::Result<()> {
        let line = line::added(entry)?;
        self.disk.put(&draft.path(Part::Entry), line.as_bytes())?;
        for part in Part::FILES {
            let to = self.place.path.join(part.name(&entry.id));
            self.disk.rename(&draft.path(part), &to)?;
        }
        self.disk.sync(&self.place.handle, &self.place.path)?;
        index.append(&*self.disk, &line)
    }

    /// All recordings, newest first. Cheap, and never waits for the disk.
    pub fn entries(&self) -> Arc<[Entry]> {
        lock(&self.shown).newest_first()
    }

    /// What is known of a recording.
    pub fn get(&self, id: &Id) -> Option<Entry> {
        lock(&self.shown).get(id).cloned()
    }

    /// Its JSON; `None` if there is no such recording. The file can be read to its end even if the recording is
    /// removed meanwhile.
    pub fn json(&self, id: &Id) -> Result<Option<File>, StoreError> {
        self.file(id, Part::Json)
    }

    /// Its pprof, likewise.
    pub fn pprof(&self, id: &Id) -> Result<Option<File>, StoreError> {
        self.file(id, Part::Pprof)
    }

    fn file(&self, id: &Id, part: Part) -> Result<Option<File>, StoreError> {
        if lock(&self.shown).get(id).is_none() {
            return Ok(None);
        }
        let path = self.place.path.join(part.name(id));
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            // removed since
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::new(
                format!("opening {}", path.display()),
                error,
            )),
        }
    }
}

/// What is said of a recording must be about it, and must be readable again.
fn check(draft: &Draft, entry: &Entry) -> Result<(), StoreError> {
    let why = if draft.id() != &entry.id {
        format!("what is said is about {}", entry.id)
    } else if !entry.duration_seconds.is_finite() {
        // JSON has no such number
        format!("it took {} s", entry.duration_seconds)
    } else {
        return Ok(());
    };
    let id = draft.id().clone();
    Err(StoreError::Untrue { id, why })
}

/// What the lock guards is whole at any moment, also when somebody panicked with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
