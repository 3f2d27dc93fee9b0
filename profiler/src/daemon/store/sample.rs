//! Recordings for tests: each is told by a number, from which all of it follows.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::super::entry::{Amount, Entry, How, Id, Why};
use super::{Part, Store, StoreError};
use crate::profile::View;

/// When recording `n` began: one a minute.
pub(super) fn time(n: u32) -> Timestamp {
    let first: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
    first + SignedDuration::from_mins(n.into())
}

/// What is known of recording `n`.
pub(super) fn entry(n: u32, size: u64) -> Entry {
    let target = if n.is_multiple_of(2) { "api" } else { "worker" };
    Entry {
        id: Id::new(time(n), View::Heap, n),
        target: target.to_owned(),
        pid: n,
        comm: "a \"quoted\"\nname".to_owned(),
        exe: "/usr/bin/über".to_owned(),
        uid: 1000,
        view: View::Heap.name().to_owned(),
        started_at: time(n),
        duration_seconds: 10.0,
        why: Why::Triggered {
            trigger: "RSS grew by 52.1 MiB in 10 min".to_owned(),
        },
        how: How::Killed { signal: 9 },
        unfreed: Amount {
            bytes: 1_999_993,
            count: 17,
        },
        lost: 3,
        size,
    }
}

/// What is in a file of a recording: from one byte to some pages.
pub(super) fn content(id: &Id, part: Part) -> Vec<u8> {
    let name = part.name(id);
    let times = crc32fast::hash(name.as_bytes()) % 200;
    name.repeat(times as usize + 1).into_bytes()
}

/// Size of both.
pub(super) fn size(id: &Id) -> u64 {
    (content(id, Part::Json).len() + content(id, Part::Pprof).len()) as u64
}

/// Stores recording `n`; as it must be found afterwards.
pub(super) fn add(store: &Store, n: u32) -> Result<Entry, StoreError> {
    let entry = entry(n, 0);
    let draft = store.draft(&entry.id)?;
    let full = |error| StoreError::new("writing", error);
    fs::write(draft.json(), content(&entry.id, Part::Json)).map_err(full)?;
    fs::write(draft.pprof(), content(&entry.id, Part::Pprof)).map_err(full)?;
    store.add(draft, entry.clone())?;
    Ok(Entry {
        size: size(&entry.id),
        ..entry
    })
}

/// Asserts that these recordings are there as they were stored, and no others.
pub(super) fn assert_there(store: &Store, expected: &[&Entry]) {
    let mut expected: Vec<Entry> = expected.iter().map(|entry| (*entry).clone()).collect();
    expected.sort_by(|a, b| b.id.cmp(&a.id));
    assert_eq!(*store.entries(), *expected);
    for entry in &expected {
        assert_whole(store, entry);
    }
}

/// Asserts that both files of a recording are what was stored.
pub(super) fn assert_whole(store: &Store, entry: &Entry) {
    assert_eq!(store.get(&entry.id).as_ref(), Some(entry));
    let files = [
        (store.json(&entry.id), Part::Json),
        (store.pprof(&entry.id), Part::Pprof),
    ];
    for (file, part) in files {
        let mut found = Vec::new();
        file.unwrap().unwrap().read_to_end(&mut found).unwrap();
        assert!(
            found == content(&entry.id, part),
            "{part:?} of {} is not what was stored",
            entry.id
        );
    }
}

/// Asserts that a directory has the files of these recordings, the store's own, and nothing else.
pub(super) fn assert_only(directory: &Path, ids: &[&Id]) {
    let mut expected = BTreeSet::from(["index".to_owned(), "lock".to_owned()]);
    for id in ids {
        expected.extend(Part::FILES.map(|part| part.name(id)));
    }
    assert_eq!(names(directory), expected);
}

/// What is in a directory.
pub(super) fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Opens a store that must be in order.
pub(super) fn open(directory: &Path) -> Store {
    let (store, opened) = Store::open(directory).unwrap();
    assert_eq!(opened.put_right, Vec::<String>::new());
    assert_eq!(opened.recordings, store.entries().len());
    store
}
