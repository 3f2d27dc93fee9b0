//! The recordings that are there, in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::entry::{Entry, Id};

/// By name, and in order.
pub(super) struct Shown {
    entries: BTreeMap<Id, Entry>,
    /// Made when somebody asks after a change, so that a change costs the same whatever there is.
    newest_first: Option<Arc<[Entry]>>,
}

impl Shown {
    pub(super) fn new(entries: BTreeMap<Id, Entry>) -> Self {
        Self {
            entries,
            newest_first: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.newest_first = None;
        self.entries.insert(entry.id.clone(), entry);
    }

    pub(super) fn remove(&mut self, id: &Id) -> Option<Entry> {
        self.newest_first = None;
        self.entries.remove(id)
    }

    pub(super) fn newest_first(&mut self) -> Arc<[Entry]> {
        let entries = &self.entries;
        self.newest_first
            .get_or_insert_with(|| {
                let mut entries: Vec<Entry> = entries.values().cloned().collect();
                entries.sort_by(|a, b| {
                    Reverse((a.started_at, &a.id)).cmp(&Reverse((b.started_at, &b.id)))
                });
                entries.into()
            })
            .clone()
    }
}
