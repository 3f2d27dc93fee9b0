//! How recordings go: when somebody says so, or by the limits.

use std::io;

use jiff::Timestamp;

use super::super::entry::Id;
use super::index::Index;
use super::names::Part;
use super::{Retention, Store, StoreError, line, lock, retention};

impl Store {
    /// Removes a recording; whether there was one.
    pub fn remove(&self, id: &Id) -> Result<bool, StoreError> {
        Ok(!self.discard(std::slice::from_ref(id))?.is_empty())
    }

    /// Removes what is beyond the limits, those of its target first, then those of all together: `of_target` is
    /// asked for every target that has a recording, so also for those that are no longer configured. What was
    /// removed, oldest first. An error ends nothing: the others are removed all the same, and it is given back then.
    pub fn sweep(
        &self,
        now: Timestamp,
        total: &Retention,
        of_target: &dyn Fn(&str) -> Retention,
    ) -> Result<Vec<Id>, StoreError> {
        self.discard(&retention::beyond(&self.entries(), now, total, of_target))
    }

    /// Removes recordings; those that there were.
    fn discard(&self, ids: &[Id]) -> Result<Vec<Id>, StoreError> {
        let mut index = lock(&self.index);
        let mut removed = Vec::new();
        let mut lines = String::new();
        let mut problem = Ok(());
        for id in ids {
            let Some(entry) = lock(&self.shown).remove(id) else {
                continue;
            };
            if let Err(error) = self.unlink(id) {
                problem = problem.and(Err(StoreError::new(
                    format!("removing recording {id}"),
                    error,
                )));
                // its first file is what makes it a recording
                if self.place.path.join(Part::FILES[0].name(id)).exists() {
                    lock(&self.shown).insert(entry);
                    continue;
                }
            }
            if let Ok(line) = line::removed(id) {
                lines.push_str(&line);
            }
            removed.push(id.clone());
        }
        if !removed.is_empty() {
            let synced = self.disk.sync(&self.place.handle, &self.place.path);
            problem = problem.and(
                synced.map_err(|error| StoreError::new("removing recordings for good", error)),
            );
            self.forget(&mut index, &lines);
        }
        problem.map(|()| removed)
    }

    fn unlink(&self, id: &Id) -> io::Result<()> {
        for part in Part::FILES {
            self.disk.unlink(&self.place.path.join(part.name(id)))?;
        }
        Ok(())
    }

    /// Says in the index that recordings are gone. That they are, their files say: so this may fail, as it does when
    /// there is no room for a line on the disk that is being cleared.
    fn forget(&self, index: &mut Index, lines: &str) {
        let _ = index.append(&*self.disk, lines);
        // copied, so that nobody who asks for an entry waits for the writing
        let entries = {
            let mut shown = lock(&self.shown);
            if !index.is_mostly_past(shown.len()) {
                return;
            }
            shown.newest_first()
        };
        let (path, handle) = (&self.place.path, &self.place.handle);
        match Index::rewrite(&*self.disk, path, handle, entries.iter()) {
            Ok(rewritten) => *index = rewritten,
            Err(error) => tracing::debug!("the index is not rewritten for now: {error}"),
        }
    }
}
