//! Files that are not as they were written: bits that changed, ends that are missing, guests.

use std::fs;
use std::path::Path;

use super::sample::{self, add, assert_only, assert_there, open};
use super::*;

/// A store with three recordings, closed, where syncing costs nothing.
fn three() -> (tempfile::TempDir, [Entry; 3]) {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = open(directory.path());
    let all = [0, 1, 2].map(|n| add(&store, n).unwrap());
    drop(store);
    (directory, all)
}

/// Opens what is damaged, asserts that all is there, and that it is in order afterwards.
fn assert_saved(directory: &Path, all: &[Entry; 3], damage: &str) {
    let (store, opened) = Store::open(directory).unwrap();
    assert_eq!(opened.recordings, 3, "{damage}: {:?}", opened.put_right);
    assert!(!opened.put_right.is_empty(), "{damage}: nothing was said");
    drop(store);
    let all: Vec<&Entry> = all.iter().collect();
    assert_there(&open(directory), &all);
    assert_only(
        directory,
        &all.iter().map(|entry| &entry.id).collect::<Vec<_>>(),
    );
}

#[test]
fn an_index_that_ends_anywhere_costs_nothing() {
    let (directory, all) = three();
    let index = directory.path().join(names::INDEX);
    let whole = fs::read(&index).unwrap();
    // without its very last byte, an end of line, it is still whole
    for end in 0..whole.len() - 1 {
        fs::write(&index, &whole[..end]).unwrap();
        assert_saved(directory.path(), &all, &format!("cut at {end}"));
    }
    fs::write(&index, &whole[..whole.len() - 1]).unwrap();
    let store = open(directory.path());
    let more = add(&store, 3).unwrap();
    drop(store);
    fs::remove_file(directory.path().join(Part::Entry.name(&more.id))).unwrap();
    let (store, _) = Store::open(directory.path()).unwrap();
    assert_there(&store, &[&all[0], &all[1], &all[2], &more]);
}

#[test]
fn a_bit_that_changed_anywhere_in_the_index_costs_nothing() {
    let (directory, all) = three();
    let index = directory.path().join(names::INDEX);
    let whole = fs::read(&index).unwrap();
    for at in 0..whole.len() - 1 {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&index, damaged).unwrap();
        assert_saved(directory.path(), &all, &format!("at {at}"));
    }
    for garbage in [&b"\n\n\n"[..], &[0; 5000], &[0xff; 5000], b"{}\n[]\n"] {
        fs::write(&index, garbage).unwrap();
        assert_saved(directory.path(), &all, "garbage");
    }
    fs::remove_file(&index).unwrap();
    assert_saved(directory.path(), &all, "no index");
}

#[test]
fn what_replaces_the_index_is_replaced_itself() {
    let (directory, all) = three();
    for entry in &all {
        fs::remove_file(directory.path().join(Part::Entry.name(&entry.id))).unwrap();
    }
    assert_saved(directory.path(), &all, "no lines beside the files");
    fs::remove_file(directory.path().join(names::INDEX)).unwrap();
    assert_saved(directory.path(), &all, "then no index");
}

#[test]
fn what_cannot_be_known_is_left_to_people() {
    let (directory, [a, b, c]) = three();
    let path = directory.path();
    let beside = |entry: &Entry| path.join(Part::Entry.name(&entry.id));
    // of `a` both lines are damaged, and `b` is `c` in all but its name
    fs::remove_file(path.join(names::INDEX)).unwrap();
    fs::write(beside(&a), "00000000 {}\n").unwrap();
    for part in Part::FILES {
        let of = |entry: &Entry| path.join(part.name(&entry.id));
        fs::copy(of(&c), of(&b)).unwrap();
    }
    let (store, opened) = Store::open(path).unwrap();
    assert_there(&store, &[&c]);
    let said = opened.put_right.join("\n");
    let meaning = "damaged: not shown, their files are left alone, remove them by hand";
    assert!(
        said.contains(&format!("{meaning}: {}, {}", a.id, b.id)),
        "{said}"
    );
    assert_only(path, &[&a.id, &b.id, &c.id]);
    // their names are not given again
    assert!(matches!(store.draft(&a.id), Err(StoreError::Exists { .. })));
}

#[test]
fn a_file_that_was_cut_is_not_shown() {
    for with_index in [false, true] {
        let (directory, [a, b, c]) = three();
        let path = directory.path();
        if !with_index {
            fs::remove_file(path.join(names::INDEX)).unwrap();
        }
        fs::write(path.join(Part::Pprof.name(&b.id)), "cut").unwrap();
        let (store, opened) = Store::open(path).unwrap();
        assert_there(&store, &[&a, &c]);
        let said = opened.put_right.join("\n");
        assert!(said.contains("damaged"), "{said}");
        // somebody may want what is left of it
        assert_only(path, &[&a.id, &b.id, &c.id]);
    }
}

#[test]
fn what_another_version_wrote_is_left_for_it() {
    let (directory, [a, b, c]) = three();
    let path = directory.path();
    let json = format!(r#"{{"added":{{"id":"{}","new":true}}}}"#, a.id);
    let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    let beside = path.join(Part::Entry.name(&a.id));
    let index = fs::read_to_string(path.join(names::INDEX)).unwrap();
    let rest: String = index.split_inclusive('\n').skip(1).collect();
    fs::write(path.join(names::INDEX), line.clone() + &rest).unwrap();
    fs::write(&beside, &line).unwrap();
    for _ in 0..2 {
        let (store, opened) = Store::open(path).unwrap();
        assert_there(&store, &[&b, &c]);
        let said = opened.put_right.join("\n");
        assert!(said.contains("another version wrote: not shown"), "{said}");
        assert_only(path, &[&a.id, &b.id, &c.id]);
    }
    assert_eq!(fs::read_to_string(&beside).unwrap(), line);
}

#[test]
fn guests_are_named_and_left_alone() {
    let (directory, [a, b, c]) = three();
    let path = directory.path();
    let guests = [
        "notes.json",
        "notes.pb.gz",
        "README",
        "a\nb",
        "20260101t000000000000-heap-1.json.bak",
    ];
    for guest in guests {
        fs::write(path.join(guest), "theirs").unwrap();
    }
    fs::create_dir(path.join("photos.draft")).unwrap();
    fs::create_dir(path.join("20260101t000000000000-heap-1.json")).unwrap();
    let (store, opened) = Store::open(path).unwrap();
    assert_there(&store, &[&a, &b, &c]);
    let said = opened.put_right.join("\n");
    assert_eq!(opened.put_right.len(), 1, "{said}");
    assert!(said.contains("and 2 more"), "{said}");
    for guest in guests {
        assert_eq!(fs::read(path.join(guest)).unwrap(), b"theirs");
    }
    assert!(path.join("photos.draft").is_dir());
    // a log has a line for each sentence
    for guest in ["notes.json", "notes.pb.gz", "README"] {
        fs::remove_file(path.join(guest)).unwrap();
    }
    drop(store);
    let said = Store::open(path).unwrap().1.put_right.join("; ");
    assert!(said.contains("a\\nb") && !said.contains('\n'), "{said}");
}

#[test]
fn what_nobody_was_told_of_is_removed() {
    let (directory, [a, b, c]) = three();
    let path = directory.path();
    let other = sample::entry(9, 0).id;
    let draft = path.join(Part::Draft.name(&other));
    fs::create_dir(&draft).unwrap();
    fs::write(draft.join("anything"), "half").unwrap();
    fs::write(path.join(Part::Json.name(&other)), "whole").unwrap();
    fs::write(path.join(Part::Pprof.name(&other)), "whole").unwrap();
    fs::write(path.join(names::NEXT_INDEX), "half").unwrap();
    let (store, opened) = Store::open(path).unwrap();
    assert_there(&store, &[&a, &b, &c]);
    assert_only(path, &[&a.id, &b.id, &c.id]);
    let said = opened.put_right.join("\n");
    assert!(said.contains("not finished"), "{said}");
}
