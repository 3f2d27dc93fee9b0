//! A disk that is really full.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::sample::{self, add, assert_only, assert_there, open};
use super::*;

/// A file system of 256 KiB.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        mount(
            Some("tmpfs"),
            directory.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=256k,mode=0700"),
        )
        .expect("this test mounts a small file system, which root may");
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Uses up all room but `pages`, in a file outside of the store.
    fn fill(&self, pages: usize) {
        let mut filler = File::create(self.path().join("filler")).unwrap();
        let page = [1; 4096];
        let mut written = 0;
        while filler.write_all(&page).is_ok() {
            written += page.len();
        }
        filler
            .set_len(written.saturating_sub(pages * page.len()) as u64)
            .unwrap();
    }

    fn clear(&self) {
        // Cut first: another test may be starting a process just now, which has the file until it executes its program,
        // and what is open keeps its room.
        let filler = self.path().join("filler");
        fs::write(&filler, "").unwrap();
        fs::remove_file(filler).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// Writes a draft while there is room, and adds it when there are only `pages` left.
fn add_late(small: &Small, store: &Store, n: u32, pages: usize) -> Result<Entry, StoreError> {
    let entry = sample::entry(n, 0);
    let draft = store.draft(&entry.id).unwrap();
    fs::write(draft.json(), sample::content(&entry.id, Part::Json)).unwrap();
    fs::write(draft.pprof(), sample::content(&entry.id, Part::Pprof)).unwrap();
    small.fill(pages);
    let added = store.add(draft, entry.clone());
    let size = sample::size(&entry.id);
    added.map(|()| Entry { size, ..entry })
}

#[test]
fn a_full_disk_is_told_apart_and_costs_nothing_earlier() {
    let small = Small::new();
    let path = small.path().join("store");
    let store = open(&path);
    let a = add(&store, 0).unwrap();
    let error = add_late(&small, &store, 1, 0).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert!(error.to_string().starts_with("the disk is full"), "{error}");
    assert_there(&store, &[&a]);
    assert_only(&path, &[&a.id]);
    // a daemon that begins now
    drop(store);
    let store = open(&path);
    assert_there(&store, &[&a]);
    // and when there is room again
    small.clear();
    let b = add(&store, 1).unwrap();
    assert_there(&store, &[&a, &b]);
    drop(store);
    assert_there(&open(&path), &[&a, &b]);
}

#[test]
fn the_index_may_be_what_does_not_fit() {
    let small = Small::new();
    let path = small.path().join("store");
    let store = open(&path);
    // A page is room for the recording's own line; the index needs another only when its last one is used up. No
    // recording is kept long, so that the disk is full for no other reason.
    let mut index_full = 0;
    for n in 0..40 {
        let before = fs::read(path.join(names::INDEX)).unwrap();
        match add_late(&small, &store, n, 1) {
            Ok(entry) => {
                // there must be a way to make room
                assert!(store.remove(&entry.id).unwrap());
            }
            Err(error) => {
                assert!(error.is_full(), "{error}");
                assert_eq!(fs::read(path.join(names::INDEX)).unwrap(), before);
                index_full += 1;
                small.clear();
                // over the page's end, so that the next one fits again
                let entry = add(&store, n).unwrap();
                store.remove(&entry.id).unwrap();
                continue;
            }
        }
        assert_there(&store, &[]);
        small.clear();
    }
    assert!(index_full >= 2, "{index_full} times");
    assert_only(&path, &[]);
    drop(store);
    assert_there(&open(&path), &[]);
}

#[test]
fn a_full_disk_can_be_cleared_and_opened() {
    let small = Small::new();
    let path = small.path().join("store");
    let store = open(&path);
    let mut all = Vec::new();
    let error = loop {
        match add(&store, all.len() as u32) {
            Ok(entry) => all.push(entry),
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error}");
    assert!(all.len() > 3);
    assert_there(&store, &all.iter().collect::<Vec<_>>());
    small.fill(0);
    // with an index that wants to be rewritten, for which there is no room
    drop(store);
    let index = fs::read(path.join(names::INDEX)).unwrap();
    let at = index.len() / 2;
    let mut damaged = index.clone();
    damaged[at] ^= 1;
    fs::write(path.join(names::INDEX), damaged).unwrap();
    let (store, opened) = Store::open(&path).unwrap();
    assert!(
        opened
            .put_right
            .iter()
            .any(|said| said.contains("rewriting the index")),
        "{:?}",
        opened.put_right
    );
    // half of it would take room
    assert!(!path.join(names::NEXT_INDEX).exists());
    assert_there(&store, &all.iter().collect::<Vec<_>>());
    let keep = Retention {
        max_count: Some(2),
        ..Retention::default()
    };
    let gone = store
        .sweep(sample::time(0), &keep, &|_| Retention::default())
        .unwrap();
    assert_eq!(gone.len(), all.len() - 2);
    let newest = all.split_off(all.len() - 2);
    let more = add(&store, 1000).unwrap();
    assert_there(&store, &[&newest[0], &newest[1], &more]);
    drop(store);
    let (store, _) = Store::open(&path).unwrap();
    assert_there(&store, &[&newest[0], &newest[1], &more]);
}
