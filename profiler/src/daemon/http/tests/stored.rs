//! Recordings in a store.

use std::io::BufWriter;
use std::path::Path;

use jiff::Timestamp;

use crate::daemon::entry::{Amount, Entry, How, Id, Why};
use crate::daemon::store::Store;
use crate::profile::{Profile, View};
use crate::write::{self, Options, registry};

/// An entry of the target `shop` that began at this second.
pub fn entry(view: &str, pid: u32, second: i64) -> Entry {
    let started_at = Timestamp::from_second(1_772_366_400 + second).unwrap();
    let kind = if view == "heap" {
        View::Heap
    } else {
        View::Pages
    };
    Entry {
        id: Id::new(started_at, kind, pid),
        target: "shop".to_owned(),
        pid,
        comm: "storefront".to_owned(),
        exe: "/srv/shop/bin/storefront".to_owned(),
        uid: 0,
        view: view.to_owned(),
        started_at,
        duration_seconds: 10.25,
        why: Why::Scheduled,
        how: How::Over,
        unfreed: Amount {
            bytes: 29_074_005,
            count: 3024,
        },
        lost: 0,
        size: 0,
    }
}

/// Adds a recording with this content.
pub fn add(store: &Store, entry: &Entry, profile: &Profile) {
    let draft = store.draft(&entry.id).unwrap();
    for (name, path) in [("json", draft.json()), ("pprof", draft.pprof())] {
        let mut out = BufWriter::new(std::fs::File::create(path).unwrap());
        let writer = registry::by_name::<Profile>(name).unwrap();
        writer
            .write(profile, &Options::default(), &mut out)
            .unwrap();
        out.into_inner().unwrap();
    }
    store.add(draft, entry.clone()).unwrap();
}

/// A store in this directory with a few recordings, and their entries, oldest first: two of a process's heap,
/// its pages at the time of the second, and one of the user 65534 that was killed for want of memory.
pub fn some(directory: &Path) -> (Store, Vec<Entry>) {
    let (store, _) = Store::open(directory).unwrap();
    let mut pages = entry("pages", 4711, 102);
    pages.why = Why::Triggered {
        trigger: "RSS grew by 52.1 MiB in 10 min".to_owned(),
    };
    pages.lost = 2;
    let mut dead = entry("heap", 815, 300);
    dead.target = "batch".to_owned();
    dead.comm = "<script>alert(1)</script>".to_owned();
    dead.uid = 65534;
    dead.how = How::OutOfMemory;
    let entries = vec![
        entry("heap", 4711, 0),
        entry("heap", 4711, 100),
        pages,
        dead,
    ];
    for (index, entry) in entries.iter().enumerate() {
        let mut profile = write::sample::profile();
        profile.process.pid = entry.pid;
        profile.process.comm.clone_from(&entry.comm);
        if entry.view == "pages" {
            profile.view = View::Pages;
        }
        profile.stacks[1].weight.bytes += 7_000_000 * index as u64;
        profile.stacks[2].weight.bytes /= 1 + index as u64;
        profile.stacks.push(write::sample::stack(
            9_000,
            1,
            &["malloc", "<img src=x onerror=alert(2)>", "main"],
        ));
        profile
            .stacks
            .sort_by_key(|stack| std::cmp::Reverse(stack.weight));
        add(&store, entry, &profile);
    }
    (store, entries)
}
