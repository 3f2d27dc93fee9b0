//! The store when all goes well, and when it is asked what it cannot do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use super::sample::{self, add, assert_only, assert_there, open};
use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_added_is_there_newest_first_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let [b, a, c] = [1, 0, 2].map(|n| add(&store, n).unwrap());
    let names: Vec<_> = store.entries().iter().map(|entry| entry.pid).collect();
    assert_eq!(names, [2, 1, 0]);
    assert_there(&store, &[&a, &b, &c]);
    drop(store);
    let store = open(directory.path());
    assert_there(&store, &[&a, &b, &c]);
    assert_only(directory.path(), &[&a.id, &b.id, &c.id]);
}

#[test]
fn what_is_removed_is_gone_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let [a, b] = [0, 1].map(|n| add(&store, n).unwrap());
    assert!(store.remove(&a.id).unwrap());
    assert!(!store.remove(&a.id).unwrap());
    assert!(store.json(&a.id).unwrap().is_none());
    assert!(store.pprof(&a.id).unwrap().is_none());
    assert_there(&store, &[&b]);
    assert_only(directory.path(), &[&b.id]);
    drop(store);
    assert_there(&open(directory.path()), &[&b]);
}

#[test]
fn a_removed_name_can_be_given_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let a = add(&store, 0).unwrap();
    store.remove(&a.id).unwrap();
    add(&store, 0).unwrap();
    drop(store);
    assert_there(&open(directory.path()), &[&a]);
}

#[test]
fn a_sweep_removes_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let all = [0, 1, 2, 3, 4].map(|n| add(&store, n).unwrap());
    let total = Retention {
        max_count: Some(3),
        ..Retention::default()
    };
    // `worker` is no longer configured, say: it is asked for all the same
    let of_target = |name: &str| Retention {
        max_count: (name == "worker").then_some(1),
        ..Retention::default()
    };
    let gone = store.sweep(sample::time(5), &total, &of_target).unwrap();
    assert_eq!(gone, [all[0].id.clone(), all[1].id.clone()]);
    assert_there(&store, &[&all[2], &all[3], &all[4]]);
    assert_eq!(
        store.sweep(sample::time(5), &total, &of_target).unwrap(),
        []
    );
    drop(store);
    assert_there(&open(directory.path()), &[&all[2], &all[3], &all[4]]);
}

#[test]
fn nobody_else_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/unfreed");
    let store = open(&path);
    let entry = sample::entry(0, 0);
    let draft = store.draft(&entry.id).unwrap();
    assert_eq!(mode(draft.json().parent().unwrap()), 0o700);
    for file in [draft.json(), draft.pprof()] {
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    }
    store.add(draft, entry).unwrap();
    assert_eq!(mode(&path), 0o700);
    for name in sample::names(&path) {
        assert_eq!(mode(&path.join(&name)), 0o600, "{name}");
    }
    // a store that somebody has opened to others is closed again; a directory that was somebody's before is not ours
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    drop(store);
    drop(open(&path));
    assert_eq!(mode(&path), 0o700);
    let others = directory.path().join("others");
    fs::create_dir(&others).unwrap();
    fs::write(others.join("theirs"), "").unwrap();
    fs::set_permissions(&others, fs::Permissions::from_mode(0o777)).unwrap();
    drop(Store::open(&others).unwrap());
    assert_eq!(mode(&others), 0o777);
    // an empty one that was made for us, by an installer say, is
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).unwrap();
    drop(open(&empty));
    assert_eq!(mode(&empty), 0o700);
}

#[test]
fn a_directory_has_one_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let error = Store::open(directory.path()).err().unwrap().to_string();
    assert!(error.contains("another `unfreed daemon`"), "{error}");
    drop(store);
    open(directory.path());
}

#[test]
fn a_draft_that_is_not_added_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let entry = sample::entry(0, 0);
    let draft = store.draft(&entry.id).unwrap();
    fs::write(draft.json(), "half").unwrap();
    fs::write(draft.json().with_extension("tmp"), "half").unwrap();
    drop(draft);
    assert_only(directory.path(), &[]);
    // nor does one that lacks a file, or has something else in its place
    let draft = store.draft(&entry.id).unwrap();
    fs::write(draft.json(), "whole").unwrap();
    let error = store.add(draft, entry.clone()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    let draft = store.draft(&entry.id).unwrap();
    fs::write(draft.json(), "whole").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", draft.pprof()).unwrap();
    let error = store.add(draft, entry).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert_only(directory.path(), &[]);
    assert_there(&store, &[]);
}

#[test]
fn a_name_is_given_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let a = add(&store, 0).unwrap();
    let error = store.draft(&a.id).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    let other = sample::entry(1, 0);
    let draft = store.draft(&other.id).unwrap();
    let error = store.draft(&other.id).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    drop(draft);
    store.draft(&other.id).unwrap();
    assert_there(&store, &[&a]);
}

#[test]
fn what_cannot_be_true_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let draft = |n| store.draft(&sample::entry(n, 0).id).unwrap();
    let error = store.add(draft(0), sample::entry(1, 0)).unwrap_err();
    assert!(matches!(error, StoreError::Untrue { .. }), "{error}");
    let mut endless = sample::entry(0, 0);
    endless.duration_seconds = f64::NAN;
    let error = store.add(draft(0), endless).unwrap_err();
    assert!(matches!(error, StoreError::Untrue { .. }), "{error}");
    assert_only(directory.path(), &[]);
}

#[test]
fn a_recording_is_read_to_its_end_while_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let a = add(&store, 0).unwrap();
    let mut file = store.json(&a.id).unwrap().unwrap();
    store.remove(&a.id).unwrap();
    let mut found = Vec::new();
    io::Read::read_to_end(&mut file, &mut found).unwrap();
    assert_eq!(found, sample::content(&a.id, Part::Json));
}

#[test]
fn many_use_it_at_once() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Arc::new(open(directory.path()));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                let mut kept = Vec::new();
                for n in (0..100).map(|n| n * 4 + thread) {
                    let entry = add(&store, n).unwrap();
                    // what others do is seen as a whole
                    for other in store.entries().iter() {
                        assert_eq!(other.size, sample::size(&other.id));
                    }
                    if n % 3 == 0 {
                        assert!(store.remove(&entry.id).unwrap());
                    } else {
                        sample::assert_whole(&store, &entry);
                        kept.push(entry);
                    }
                }
                kept
            })
        })
        .collect();
    let kept: Vec<Entry> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    assert_there(&store, &kept.iter().collect::<Vec<_>>());
    drop(store);
    assert_there(&open(directory.path()), &kept.iter().collect::<Vec<_>>());
}
