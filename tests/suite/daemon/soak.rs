//! Thirty targets whose processes start, leak, execute, exit and are killed, for as long as is asked for.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use unfreed_tests::daemon::{Client, Daemon, entries};

use super::life::children;
use super::{Copy, is_exact, target};
use crate::session::Session;

/// How long, unless `UNFREED_SOAK_SECONDS` says so.
const SECONDS: u64 = 60;

const TARGETS: usize = 30;

/// How much the daemon's memory may grow after the first quarter.
const FLAT: f64 = 1.1;

/// A process that has been, and how its recording has to be marked.
struct Life {
    pid: u32,
    target: String,
    how: Value,
}

#[test]
fn targets_that_come_and_go_leave_their_recordings_and_nothing_else() -> Result<()> {
    let seconds = match std::env::var("UNFREED_SOAK_SECONDS") {
        Ok(seconds) => seconds.parse().context("UNFREED_SOAK_SECONDS")?,
        Err(_) => SECONDS,
    };
    let program = Copy::of("endings")?;
    let paths: Vec<_> = (0..TARGETS)
        .map(|index| program.path.with_file_name(format!("soaked-{index}")))
        .collect();
    let mut targets = String::new();
    for (index, path) in paths.iter().enumerate() {
        fs::hard_link(&program.path, path)?;
        targets += &target(&format!("target-{index}"), path, "");
    }
    let daemon = Daemon::start(&targets)?;
    let pid = daemon.pid();
    daemon.get("/api/v1/targets")?;
    let files = descriptors(pid)?;

    let end = Instant::now() + Duration::from_secs(seconds);
    let lives = Mutex::new(Vec::new());
    let client: &Client = &daemon;
    let mut workers = 0;
    let sizes = std::thread::scope(|scope| -> Result<Vec<u64>> {
        let drivers: Vec<_> = paths
            .iter()
            .enumerate()
            .map(|(index, path)| {
                let lives = &lives;
                scope.spawn(move || drive(client, path, index, end, lives))
            })
            .collect();
        let mut sizes = Vec::new();
        while Instant::now() < end {
            sizes.push(rss(pid)?);
            workers = workers.max(children(pid)?.len());
            std::thread::sleep(Duration::from_millis(500));
        }
        for driver in drivers {
            driver
                .join()
                .map_err(|_| anyhow::anyhow!("a driver panicked"))??;
        }
        Ok(sizes)
    })?;
    let lives = lives.into_inner().context("a driver panicked")?;
    let quarter = sizes.len() / 4;
    let most = |sizes: &[u64]| sizes.iter().copied().max().unwrap_or_default() as f64;
    let (early, late) = (most(&sizes[..quarter]), most(&sizes[3 * quarter..]));
    eprintln!(
        "soak: {} lives in {seconds} s, RSS {early} at first, {late} at last, {workers} workers at most",
        lives.len()
    );
    ensure!(lives.len() >= TARGETS, "{} lives only", lives.len());
    // All that may be recorded, and eight that wait for their probes to be removed.
    ensure!(workers <= TARGETS + 8, "{workers} workers");

    are_there(&daemon, &lives)?;

    // Nothing is left in the daemon.
    let health = &daemon.json("/api/v1/targets")?["health"];
    ensure!(
        health["failed"] == json!(0) && health["events_lost"] == json!(0),
        "{health}"
    );
    daemon.until("/api/v1/targets", |_| {
        (descriptors(pid).ok()? <= files).then_some(())
    })?;
    ensure!(late <= early * FLAT, "RSS grew from {early} to {late}");
    let (status, _, took, _) = daemon.end()?;
    ensure!(
        status.success() && took < Duration::from_secs(30),
        "{status} {took:?}"
    );
    Ok(())
}

/// Every one of them has its recording, exact, and marked with what ended it; and there are no others.
fn are_there(daemon: &Client, lives: &[Life]) -> Result<()> {
    let is_of = |entry: &Value, life: &Life| {
        entry["pid"] == json!(life.pid) && entry["target"] == json!(life.target)
    };
    let is_there = |list: &Value, life: &Life| {
        entries(list).is_some_and(|all| all.iter().any(|entry| is_of(entry, life)))
    };
    let list = daemon.until("/api/v1/recordings?limit=100000", |list| {
        lives
            .iter()
            .all(|life| is_there(list, life))
            .then(|| list.clone())
    })?;
    let list = entries(&list).context("no list")?;
    for life in lives {
        // In the end a pid may be given to another process of its target.
        let same = |other: &&Life| other.pid == life.pid && other.target == life.target;
        let of_life: Vec<_> = list.iter().filter(|entry| is_of(entry, life)).collect();
        ensure!(
            of_life.len() == lives.iter().filter(same).count(),
            "{of_life:?}"
        );
        ensure!(
            of_life.iter().any(|entry| entry["how"] == life.how),
            "{of_life:?} is not {}",
            life.how
        );
        for entry in of_life {
            is_exact(daemon, entry)?;
        }
    }
    ensure!(
        list.len() == lives.len(),
        "{} of {}",
        list.len(),
        lives.len()
    );
    Ok(())
}

/// One life after the other, each with another end.
fn drive(
    daemon: &Client,
    path: &Path,
    index: usize,
    end: Instant,
    lives: &Mutex<Vec<Life>>,
) -> Result<()> {
    let mut turn = index;
    while Instant::now() < end {
        let (argument, signal, how) = match turn % 4 {
            0 => ("exit", None, json!({"how": "exited"})),
            1 => ("exec", None, json!({"how": "exec"})),
            2 => (
                "exit",
                Some(Signal::SIGKILL),
                json!({"how": "killed", "signal": 9}),
            ),
            _ => (
                "exit",
                Some(Signal::SIGTERM),
                json!({"how": "killed", "signal": 15}),
            ),
        };
        let mut process = Session::ready(Command::new(path).arg(argument))?;
        let pid = process.pid();
        daemon.until_recorded(pid, "heap")?;
        process.tell("go")?;
        process.expect("done")?;
        match signal {
            Some(signal) => process.signal(signal)?,
            None => process.tell("end")?,
        }
        process.end()?;
        lives
            .lock()
            .map_err(|_| anyhow::anyhow!("a driver panicked"))?
            .push(Life {
                pid,
                target: format!("target-{index}"),
                how,
            });
        turn += 1;
    }
    Ok(())
}

/// How many files a process has open.
fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))
        .context("the daemon's files")?
        .count())
}

/// Bytes.
fn rss(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).context("the daemon's size")?;
    let pages: u64 = text.split_whitespace().nth(1).context("statm")?.parse()?;
    Ok(pages * 4096)
}
