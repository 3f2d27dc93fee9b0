//! `kill -9` at random moments. A child does with a store what a daemon does, as fast as it can, and says on a pipe
//! what it is about to do and what it has done; then it is killed, and what it said is held against what is there.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::sample::{self, add, assert_only, assert_whole};
use super::*;

/// The child's store.
const DIRECTORY: &str = "UNFREED_TEST_KILLED_STORE";
/// The number of the first recording that the child may add.
const FIRST: &str = "UNFREED_TEST_KILLED_FIRST";
/// How often to kill: 100 times unless it says otherwise.
const TIMES: &str = "UNFREED_TEST_KILLS";
/// What of the child's output is for us; the rest is the test harness's.
const MARK: &str = "@kill_test ";

/// Which recordings there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// Adding or removing was begun.
    Open,
    /// Adding was done.
    There,
    /// Removing was done.
    Gone,
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// Says it in one write, so that no half of it is ever read as a whole.
fn say(what: char, n: u32) {
    let line = format!("{MARK}{what} {n}\n");
    io::stdout().write_all(line.as_bytes()).unwrap();
    io::stdout().flush().unwrap();
}

#[test]
#[ignore = "the child of `nothing_is_lost_by_kill_9`, which runs it"]
fn child() {
    let Ok(directory) = env::var(DIRECTORY) else {
        return;
    };
    let mut next: u32 = env::var(FIRST).unwrap().parse().unwrap();
    let (store, _) = Store::open(Path::new(&directory)).unwrap();
    loop {
        let entries = store.entries();
        match random(10) {
            0 if !entries.is_empty() => {
                let entry = &entries[random(entries.len() as u64) as usize];
                say('?', entry.pid);
                assert!(store.remove(&entry.id).unwrap());
                say('-', entry.pid);
            }
            1 => {
                let kept = 5 + random(20) as usize;
                let gone = entries.get(kept..).unwrap_or_default();
                for entry in gone {
                    say('?', entry.pid);
                }
                let total = Retention {
                    max_count: Some(kept as u64),
                    ..Retention::default()
                };
                let swept = store
                    .sweep(sample::time(next), &total, &|_| Retention::default())
                    .unwrap();
                assert_eq!(swept.len(), gone.len());
                for entry in gone {
                    say('-', entry.pid);
                }
            }
            _ => {
                say('?', next);
                add(&store, next).unwrap();
                say('+', next);
                next += 1;
            }
        }
    }
}

/// Runs a child, kills it, and takes down what it said.
fn run_and_kill(directory: &Path, first: u32, fates: &mut BTreeMap<u32, Fate>) {
    let module = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::child")])
        .args(["--include-ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8(line.unwrap()).unwrap();
            // the harness has written something before the first of them
            let Some((_, line)) = line.split_once(MARK) else {
                continue;
            };
            let (what, n) = line.split_once(' ').unwrap();
            said.push((what.to_owned(), n.parse::<u32>().unwrap()));
            let _ = begun.send(());
        }
        said
    });
    // half of them from the first word on, half from the very start: also while it opens the store
    if random(2) == 0 {
        has_begun.recv_timeout(Duration::from_mins(1)).unwrap();
    }
    thread::sleep(Duration::from_micros(random(40_000)));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(libc::SIGKILL), "it ended by itself");
    for (what, n) in reader.join().unwrap() {
        let fate = match what.as_str() {
            "+" => Fate::There,
            "-" => Fate::Gone,
            _ => Fate::Open,
        };
        fates.insert(n, fate);
    }
}

/// Opens the store and holds it against what was said. What was open is known afterwards. How many were.
fn check(directory: &Path, fates: &mut BTreeMap<u32, Fate>) -> usize {
    let (store, opened) = Store::open(directory).unwrap();
    let said = opened.put_right;
    for entry in store.entries().iter() {
        assert!(fates.contains_key(&entry.pid), "{} is nobody's", entry.id);
    }
    let mut open = 0;
    for (n, fate) in fates.iter_mut() {
        let entry = sample::entry(*n, 0);
        let size = sample::size(&entry.id);
        let there = store.get(&entry.id).is_some();
        match fate {
            Fate::There => assert!(there, "{} is lost; {said:?}", entry.id),
            Fate::Gone => assert!(!there, "{} is back; {said:?}", entry.id),
            Fate::Open => open += 1,
        }
        if there {
            assert_whole(&store, &Entry { size, ..entry });
        }
        *fate = if there { Fate::There } else { Fate::Gone };
    }
    let entries = store.entries();
    assert_only(
        directory,
        &entries.iter().map(|entry| &entry.id).collect::<Vec<_>>(),
    );
    // one that is gone and comes back is nobody's from now on
    fates.retain(|_, fate| *fate != Fate::Gone);
    drop(store);
    // once put right, it is right
    assert_eq!(sample::open(directory).entries(), entries);
    open
}

#[test]
fn nothing_is_lost_by_kill_9() {
    let times: u32 = env::var(TIMES).map_or(100, |times| times.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut fates = BTreeMap::new();
    let (mut interrupted, mut most) = (0, 0);
    let mut first = 0;
    for _ in 0..times {
        run_and_kill(directory.path(), first, &mut fates);
        first = fates.keys().max().map_or(first, |last| first.max(last + 1));
        interrupted += usize::from(check(directory.path(), &mut fates) > 0);
        most = most.max(fs::read_dir(directory.path()).unwrap().count());
    }
    eprintln!(
        "{times} kills, {interrupted} of them while something was being done; {first} recordings, at most {most} files"
    );
    assert!(
        interrupted * 4 > times as usize,
        "only {interrupted} of {times} hit anything"
    );
    assert!(first > times, "only {first} recordings");
}
