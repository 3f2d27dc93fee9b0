//! The order of what is done on the disk, and a crash or a failure between any two steps of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::noted::Noted;
use super::sample::{self, add, assert_only, assert_there, assert_whole};
use super::*;

/// A store in `store` of the directory, with two recordings.
fn begin() -> (tempfile::TempDir, PathBuf, Noted, Store, [Entry; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let noted = Noted::default();
    let (store, _) = Store::open_on(Box::new(noted.clone()), &path).unwrap();
    let earlier = [0, 1].map(|n| add(&store, n).unwrap());
    noted.taken();
    (directory, path, noted, store, earlier)
}

#[test]
fn what_is_referred_to_is_on_the_disk_already() {
    let (_directory, _, noted, store, [a, _]) = begin();
    add(&store, 2).unwrap();
    assert_eq!(
        noted.taken(),
        [
            "sync draft's Json",
            "sync draft's Pprof",
            "append to draft's Entry",
            "sync draft's Entry",
            "rename draft's Json",
            "rename draft's Pprof",
            "rename draft's Entry",
            "sync store",
            "append to index",
            "sync index",
        ]
    );
    store.remove(&a.id).unwrap();
    assert_eq!(
        noted.taken(),
        [
            "unlink Json",
            "unlink Pprof",
            "unlink Entry",
            "sync store",
            "append to index",
            "sync index",
        ]
    );
    // a start with an index that has lines to spare
    let path = store.place.path.clone();
    drop(store);
    let (_store, _) = Store::open_on(Box::new(noted.clone()), &path).unwrap();
    assert_eq!(
        noted.taken(),
        [
            "append to index.new",
            "sync index.new",
            "rename index.new",
            "sync store",
        ]
    );
}

/// Does something with a store, and opens what there was before each step of it.
fn crash_at_each_step(
    action: &dyn Fn(&Path, Store, &Noted),
    always: &[u32],
    maybe: &[u32],
    steps: usize,
) {
    let (directory, path, noted, store, _) = begin();
    let copies = directory.path().join("copies");
    fs::create_dir(&copies).unwrap();
    noted.copy_before_each(&path, &copies);
    action(&path, store, &noted);
    assert_eq!(noted.taken().len(), steps);
    let whole = |n: &u32| {
        let entry = sample::entry(*n, 0);
        let size = sample::size(&entry.id);
        Entry { size, ..entry }
    };
    for step in 0..steps {
        let copy = copies.join(step.to_string());
        let (store, opened) = Store::open(&copy).unwrap();
        eprintln!("before step {step}: {:?}", opened.put_right);
        for entry in always.iter().map(whole) {
            assert_whole(&store, &entry);
        }
        for entry in maybe.iter().map(whole) {
            if store.get(&entry.id).is_some() {
                assert_whole(&store, &entry);
            }
        }
        let entries = store.entries();
        let known = |entry: &Entry| always.contains(&entry.pid) || maybe.contains(&entry.pid);
        assert!(entries.iter().all(known));
        assert_only(
            &copy,
            &entries.iter().map(|entry| &entry.id).collect::<Vec<_>>(),
        );
        // and once put right, it is right
        drop(store);
        let store = sample::open(&copy);
        assert_eq!(store.entries(), entries);
        add(&store, 77).unwrap();
    }
}

#[test]
fn a_crash_between_any_two_steps_costs_nothing_earlier() {
    crash_at_each_step(&|_, store, _| drop(add(&store, 2)), &[0, 1], &[2], 10);
    let remove = |_: &Path, store: Store, _: &Noted| {
        store.remove(&sample::entry(0, 0).id).unwrap();
    };
    crash_at_each_step(&remove, &[1], &[0], 6);
    // the index is rewritten
    let reopen = |path: &Path, store: Store, noted: &Noted| {
        drop(store);
        let index = path.join(names::INDEX);
        let twice = fs::read_to_string(&index).unwrap().repeat(2);
        fs::write(&index, twice).unwrap();
        Store::open_on(Box::new(noted.clone()), path).unwrap();
    };
    crash_at_each_step(&reopen, &[0, 1], &[], 4);
}

#[test]
fn a_failure_at_any_step_of_adding_leaves_all_as_it_was() {
    for step in 0..10 {
        let (_directory, path, noted, store, [a, b]) = begin();
        noted.fail_at(step);
        let error = add(&store, 2).unwrap_err();
        assert!(error.is_full(), "step {step}: {error}");
        assert_there(&store, &[&a, &b]);
        assert_only(&path, &[&a.id, &b.id]);
        let c = add(&store, 2).unwrap();
        drop(store);
        assert_there(&sample::open(&path), &[&a, &b, &c]);
    }
}

#[test]
fn a_failure_at_any_step_of_removing_leaves_it_whole_or_not_at_all() {
    for step in 0..6 {
        let (_directory, path, noted, store, [a, b]) = begin();
        noted.fail_at(step);
        let removed = store.remove(&a.id);
        // the line in the index is not what removes it
        assert_eq!(removed.is_ok(), step >= 4, "step {step}");
        let there: &[&Entry] = if step == 0 { &[&a, &b] } else { &[&b] };
        assert_there(&store, there);
        let c = add(&store, 2).unwrap();
        drop(store);
        let (store, _) = Store::open(&path).unwrap();
        assert_eq!(store.entries().len(), there.len() + 1, "step {step}");
        assert_whole(&store, &c);
        let entries = store.entries();
        assert_only(
            &path,
            &entries.iter().map(|entry| &entry.id).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn a_line_that_cannot_be_taken_back_spoils_no_other() {
    let (_directory, path, noted, store, [a, b]) = begin();
    // as when cutting the file is refused as well: half a line is there, without an end
    {
        let mut index = lock(&store.index);
        let contents = fs::read(path.join(names::INDEX)).unwrap();
        fs::write(
            path.join(names::INDEX),
            [&contents[..], b"0123 half"].concat(),
        )
        .unwrap();
        let contents = Contents::read(&path).unwrap();
        *index = Index::open(&path, &contents).unwrap();
    }
    let c = add(&store, 2).unwrap();
    let d = add(&store, 3).unwrap();
    drop(store);
    // by the index alone
    for entry in [&a, &b, &c, &d] {
        fs::remove_file(path.join(Part::Entry.name(&entry.id))).unwrap();
    }
    let (store, _) = Store::open_on(Box::new(noted), &path).unwrap();
    assert_there(&store, &[&a, &b, &c, &d]);
}

#[test]
fn after_a_power_cut_any_of_the_names_may_be_there() {
    // renames and removals that were not synced survive in any combination
    for there in 0..8_u32 {
        for in_index in [false, true] {
            let (_directory, path, _, store, [a, b]) = begin();
            let without = fs::read(path.join(names::INDEX)).unwrap();
            let c = add(&store, 2).unwrap();
            drop(store);
            if !in_index {
                fs::write(path.join(names::INDEX), without).unwrap();
            }
            for (bit, part) in Part::FILES.into_iter().enumerate() {
                if there & (1 << bit) == 0 {
                    fs::remove_file(path.join(part.name(&c.id))).unwrap();
                }
            }
            let (store, _) = Store::open(&path).unwrap();
            // both files, and to know it by
            let whole = there & 3 == 3 && (in_index || there & 4 != 0);
            let expected: &[&Entry] = if whole { &[&a, &b, &c] } else { &[&a, &b] };
            assert_there(&store, expected);
            let ids: Vec<&Id> = expected.iter().map(|entry| &entry.id).collect();
            assert_only(&path, &ids);
            drop(store);
            sample::open(&path);
        }
    }
}
