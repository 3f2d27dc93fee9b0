//! What it costs to have thousands of recordings.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::sample::{self, add, open};
use super::*;

/// Fills an empty directory with recordings, without the syncing that a real store does for each.
fn fill(directory: &Path, recordings: u32) {
    let mut index = String::new();
    for n in 0..recordings {
        let id = sample::entry(n, 0).id;
        let entry = sample::entry(n, sample::size(&id));
        let line = line::added(&entry).unwrap();
        for part in [Part::Json, Part::Pprof] {
            fs::write(directory.join(part.name(&id)), sample::content(&id, part)).unwrap();
        }
        fs::write(directory.join(Part::Entry.name(&id)), &line).unwrap();
        index.push_str(&line);
    }
    fs::write(directory.join(names::INDEX), index).unwrap();
}

#[test]
fn one_more_costs_one_line() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 2000);
    let store = open(directory.path());
    let index = || fs::metadata(directory.path().join(names::INDEX)).unwrap();
    let before = index();
    for n in 2000..2003 {
        add(&store, n).unwrap();
    }
    store.remove(&sample::entry(7, 0).id).unwrap();
    let after = index();
    assert_eq!(after.ino(), before.ino(), "it was written anew");
    let grown = after.len() - before.len();
    assert!((600..3000).contains(&grown), "by {grown} bytes");
}

#[test]
fn the_index_does_not_grow_with_what_is_gone() {
    // where syncing costs nothing
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = open(directory.path());
    let kept = add(&store, 9999).unwrap();
    let mut longest = 0;
    for n in 0..1200 {
        let entry = add(&store, n).unwrap();
        store.remove(&entry.id).unwrap();
        longest = longest.max(
            fs::metadata(directory.path().join(names::INDEX))
                .unwrap()
                .len(),
        );
    }
    // 2400 lines were written; some 1000 of them, half of them short, are there at once
    assert!(longest < 400_000, "{longest} bytes");
    sample::assert_there(&store, &[&kept]);
    drop(store);
    sample::assert_there(&open(directory.path()), &[&kept]);
}

#[test]
#[ignore = "a measurement, to be run alone: what adding, listing and opening take with 10,000 recordings"]
fn ten_thousand() {
    let directory = tempfile::tempdir().unwrap();
    let timed = |what: &str, repeat: u32, action: &mut dyn FnMut(u32)| -> Duration {
        let begin = Instant::now();
        (0..repeat).for_each(&mut *action);
        let each = begin.elapsed() / repeat;
        eprintln!("{what}: {each:?}");
        each
    };
    let store = open(directory.path());
    let few = timed("adding to none", 50, &mut |n| {
        add(&store, 20_000 + n).unwrap();
    });
    drop(store);
    fs::remove_dir_all(directory.path()).unwrap();
    fs::create_dir(directory.path()).unwrap();
    fill(directory.path(), 10_000);
    timed("opening 10,000", 5, &mut |_| drop(open(directory.path())));
    let store = open(directory.path());
    let many = timed("adding to 10,000", 50, &mut |n| {
        add(&store, 20_000 + n).unwrap();
    });
    timed("listing again after each change", 50, &mut |n| {
        add(&store, 30_000 + n).unwrap();
        store.entries();
    });
    timed("writing the whole index instead", 5, &mut |_| {
        let (path, handle) = (&store.place.path, &store.place.handle);
        let entries = store.entries();
        Index::rewrite(&Real, path, handle, entries.iter()).unwrap();
    });
    drop(store);
    fs::remove_file(directory.path().join(names::INDEX)).unwrap();
    timed("opening 10,100 without an index", 1, &mut |_| {
        assert_eq!(Store::open(directory.path()).unwrap().1.recordings, 10_100);
    });
    assert!(many < few * 5, "{few:?} became {many:?}");
}
