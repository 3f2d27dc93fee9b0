//! The whole daemon is killed, again and again, while it stores: nothing that it has shown is ever gone.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use unfreed_tests::child::Owned;
use unfreed_tests::daemon::{Client, Daemon, Files, entries};
use unfreed_tests::paths;

use super::{Copy, target};
use crate::session::Session;

/// How often, unless `UNFREED_KILLS` says so.
const KILLS: u64 = 10;

const TARGETS: usize = 4;

/// The longest that a daemon lives from when it is ready, or, every other one, from when it has stored something: some
/// windows of a second.
const LIFE: Duration = Duration::from_secs(3);

/// The longest that one lives that is killed before it is ready.
const START: Duration = Duration::from_millis(600);

/// By their names.
type Entries = BTreeMap<String, Value>;

/// A moment, any.
fn sometime(most: Duration) -> Duration {
    let share = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    most.mul_f64(share)
}

/// All that a daemon has.
fn all(daemon: &Client) -> Result<Entries> {
    let mut all = Entries::new();
    let mut path = "/api/v1/recordings?limit=1000".to_owned();
    loop {
        let list = daemon.json(&path)?;
        let mut oldest = None;
        for entry in entries(&list).context("no list")? {
            let id = entry["id"].as_str().context("no name")?;
            all.insert(id.to_owned(), entry.clone());
            oldest = Some(id);
        }
        match oldest {
            Some(id) if list["more"] == Value::Bool(true) => {
                path = format!("/api/v1/recordings?limit=1000&before={id}");
            }
            _ => return Ok(all),
        }
    }
}

/// That a recording can be read in both of its files.
fn is_whole(daemon: &Client, id: &str, entry: &Value) -> Result<()> {
    let report = daemon.report(entry).with_context(|| id.to_owned())?;
    ensure!(
        entry["unfreed"]["bytes"] == report.totals.unfreed.bytes,
        "{entry} is not {:?}",
        report.totals
    );
    let (status, pprof) = daemon.get(&format!("/api/v1/recordings/{id}/pprof"))?;
    ensure!(
        status == 200 && pprof.starts_with(&[0x1f, 0x8b]),
        "{id}: {status}"
    );
    Ok(())
}

/// Kills one that may not even be ready.
fn kill_at_its_start(files: &Files) -> Result<()> {
    let mut command = Command::new(paths::unfreed()?);
    command
        .args(["daemon", "--config"])
        .arg(files.config())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let daemon = Owned::spawn(&mut command).context("starting the daemon")?;
    std::thread::sleep(sometime(START));
    // Dropping it is SIGKILL.
    drop(daemon);
    Ok(())
}

#[test]
fn at_any_moment_it_keeps_what_it_has_shown() -> Result<()> {
    let kills = match std::env::var("UNFREED_KILLS") {
        Ok(kills) => kills.parse().context("UNFREED_KILLS")?,
        Err(_) => KILLS,
    };
    let program = Copy::of("grow")?;
    let mut targets = String::new();
    let mut growers = Vec::new();
    for index in 0..TARGETS {
        let path = program.path.with_file_name(format!("killed-{index}"));
        fs::hard_link(&program.path, &path)?;
        targets += &target(&format!("target-{index}"), &path, "window = \"1s\"");
        growers.push(Session::ready(&mut Command::new(&path))?);
    }
    let mut files = Files::new()?;
    files.configure(&targets)?;

    let mut known = Entries::new();
    for kill in 0..kills {
        let round = || format!("after {kill} kills");
        if kill % 3 == 2 {
            kill_at_its_start(&files)?;
        }
        let daemon = Daemon::with(files).with_context(round)?;
        let there = all(&daemon)?;
        for (id, entry) in &known {
            ensure!(there.get(id) == Some(entry), "{id} is gone {}", round());
        }
        for (id, entry) in there.iter().filter(|(id, _)| !known.contains_key(*id)) {
            is_whole(&daemon, id, entry).with_context(round)?;
        }
        known.extend(there);
        for grower in &mut growers {
            grower.tell("1")?;
            grower.expect("done")?;
        }
        if kill % 2 == 1 {
            daemon.until_stored(|entry| {
                let is_known = |id: &str| known.contains_key(id);
                entry["id"].as_str().is_some_and(|id| !is_known(id))
            })?;
        }
        let end = Instant::now() + sometime(LIFE);
        while Instant::now() < end {
            known.extend(all(&daemon)?);
            // Not for readiness: a moment passes until the next look.
            std::thread::sleep(Duration::from_millis(50));
        }
        files = daemon.kill()?;
    }

    let daemon = Daemon::with(files).context("at last")?;
    let there = all(&daemon)?;
    for (id, entry) in &known {
        ensure!(there.get(id) == Some(entry), "{id} is gone");
    }
    for (id, entry) in &there {
        is_whole(&daemon, id, entry)?;
    }
    eprintln!("killed: {kills} times, {} recordings", there.len());
    ensure!(
        there.len() as u64 >= kills / 2,
        "only {} recordings",
        there.len()
    );
    let (status, ..) = daemon.end()?;
    ensure!(status.success(), "{status}");
    Ok(())
}
