//! When it is recorded: window after window, now and then, when a trigger fires, when somebody asks.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use unfreed_tests::daemon::{Daemon, entries, process};

use super::Copy;
use crate::session::Session;

/// Waits until so many recordings of the process are stored; oldest first.
fn stored(daemon: &Daemon, pid: u32, count: usize) -> Result<Vec<Value>> {
    daemon.until("/api/v1/recordings", |list| {
        let of_pid = entries(list)?
            .iter()
            .filter(|entry| entry["pid"] == json!(pid));
        let mut of_pid: Vec<Value> = of_pid.cloned().collect();
        of_pid.reverse();
        (of_pid.len() >= count).then_some(of_pid)
    })
}

#[test]
fn windows_follow_each_other_without_a_gap() -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start(&program.target("it", "window = \"2s\""))?;
    let process = program.recorded(&daemon, "exit")?;
    let entries = stored(&daemon, process.pid(), 2)?;
    for pair in entries.windows(2) {
        let begin = |entry: &Value| -> Result<jiff::Timestamp> {
            Ok(entry["started_at"]
                .as_str()
                .context("no beginning")?
                .parse()?)
        };
        let seconds = pair[0]["duration_seconds"]
            .as_f64()
            .context("no duration")?;
        let between = begin(&pair[1])?
            .duration_since(begin(&pair[0])?)
            .as_secs_f64();
        ensure!(between <= seconds, "{between} s after one of {seconds} s");
        ensure!(seconds >= 2.0, "{seconds}");
    }
    Ok(())
}

#[test]
fn a_schedule_is_kept() -> Result<()> {
    let program = Copy::of("endings")?;
    // It begins when its probes are there, which on a busy machine may take some seconds.
    let more = "record = \"every\"\nwindow = \"1s\"\nperiod = \"8s\"";
    let daemon = Daemon::start(&program.target("it", more))?;
    let process = program.recorded(&daemon, "exit")?;
    let entries = stored(&daemon, process.pid(), 2)?;
    for entry in &entries {
        let seconds = entry["duration_seconds"].as_f64().context("no duration")?;
        ensure!((1.0..1.5).contains(&seconds), "{entry}");
        ensure!(entry["why"] == json!({"why": "scheduled"}), "{entry}");
    }
    let begin = |index: usize| {
        entries[index]["started_at"]
            .as_str()
            .map(str::parse::<jiff::Timestamp>)
    };
    let between = begin(1)
        .context("none")??
        .duration_since(begin(0).context("none")??);
    ensure!((6.0..20.0).contains(&between.as_secs_f64()), "{between}");
    Ok(())
}

#[test]
fn a_trigger_begins_a_recording() -> Result<()> {
    let program = Copy::of("grow")?;
    let more = "record = \"triggered\"\nwindow = \"1s\"\n[[target.trigger]]\nrss_grows = \"50MiB\"\nwithin = \"10m\"";
    let daemon = Daemon::start(&program.target("it", more))?;
    let mut grower = Session::ready(&mut Command::new(&program.path))?;
    let pid = grower.pid();
    daemon.until("/api/v1/targets", |status| {
        let rss = process(status, pid)?["rss"].as_u64()?;
        (rss > 0).then_some(())
    })?;
    let list = daemon.json("/api/v1/recordings")?;
    ensure!(entries(&list).is_some_and(Vec::is_empty), "{list}");
    grower.tell("60")?;
    grower.expect("done")?;
    let entry = &stored(&daemon, pid, 1)?[0];
    let trigger = entry["why"]["trigger"].as_str().context("no trigger")?;
    ensure!(trigger.contains("RSS grew by 6"), "{trigger}");
    let status = daemon.json("/api/v1/targets")?;
    ensure!(
        status["targets"][0]["fired"][0]["trigger"] == json!(trigger),
        "{status}"
    );
    Ok(())
}

#[test]
fn a_trigger_stores_what_a_continuous_recording_has_seen() -> Result<()> {
    const GROWN: u64 = 60 << 20;
    let program = Copy::of("grow")?;
    let more = "[[target.trigger]]\nrss_grows = \"50MiB\"\nwithin = \"10m\"";
    let daemon = Daemon::start(&program.target("it", more))?;
    let mut grower = program.recorded(&daemon, "")?;
    let pid = grower.pid();
    daemon.until_read(pid, |_| true)?;
    grower.tell("60")?;
    grower.expect("done")?;
    let entry = &stored(&daemon, pid, 1)?[0];
    ensure!(entry["why"]["why"] == json!("triggered"), "{entry}");
    ensure!(entry["how"] == json!({"how": "over"}), "{entry}");
    let widest = daemon
        .report(entry)?
        .stacks
        .first()
        .map(|stack| stack.bytes);
    ensure!(widest == Some(GROWN), "{widest:?}");
    // And it goes on.
    daemon.until("/api/v1/targets", |status| {
        let recording = &process(status, pid)?["recordings"]["heap"];
        (recording["why"] == json!({"why": "continuous"})).then_some(())
    })
}

/// Asks for ten minutes of a process: status and answer.
fn ask(daemon: &Daemon, pid: u32) -> Result<(u16, Value)> {
    let order = json!({"pid": pid, "view": "heap", "seconds": 600});
    daemon.post("/api/v1/recordings", &order)
}

/// A process that is nobody's target, and that somebody asked for.
fn asked_for(program: &Copy, daemon: &Daemon) -> Result<Session> {
    let process = Session::ready(&mut Command::new(&program.path))?;
    let (status, answer) = ask(daemon, process.pid())?;
    ensure!(status == 202, "{status} {answer}");
    Ok(process)
}

#[test]
fn somebody_asks() -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start("")?;
    let mut process = asked_for(&program, &daemon)?;
    let pid = process.pid();
    let (status, answer) = ask(&daemon, pid)?;
    ensure!(status == 409, "{status} {answer}");
    process.tell("go")?;
    process.expect("done")?;
    let (status, answer) = daemon.post(
        "/api/v1/recordings/stop",
        &json!({"pid": pid, "view": "heap"}),
    )?;
    ensure!(status == 200, "{status} {answer}");
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    ensure!(entry["why"] == json!({"why": "asked"}), "{entry}");
    let unfreed = daemon.report(&entry)?.totals.unfreed;
    // Attached or not when the program began: but nothing else.
    ensure!(
        unfreed.bytes <= 700_000 && unfreed.count <= 310,
        "{unfreed}"
    );
    let (status, answer) = daemon.post(
        "/api/v1/recordings",
        &json!({"pid": 0, "view": "heap", "seconds": 1}),
    )?;
    ensure!((400..500).contains(&status), "{status} {answer}");
    Ok(())
}

#[test]
fn somebody_asks_for_a_process_that_is_killed() -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start("[log]\nlevel = \"debug\"\n")?;
    let mut process = asked_for(&program, &daemon)?;
    let pid = process.pid();
    // It is nobody's target: only the log tells when it is attached.
    daemon.until_said("Recording {")?;
    process.tell("go")?;
    process.expect("done")?;
    process.signal(Signal::SIGTERM)?;
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    let killed = json!({"how": "killed", "signal": 15});
    ensure!(entry["how"] == killed, "{entry}");
    Ok(())
}
