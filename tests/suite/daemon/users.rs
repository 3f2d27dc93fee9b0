//! Users who are not root, at the socket: they see and record what is theirs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::Group;
use serde_json::{Value, json};
use unfreed_tests::child::Lines;
use unfreed_tests::daemon::{Daemon, Files, entries, process};
use unfreed_tests::paths;
use unfreed_tests::report::Report;

use super::{Copy, as_user, is_exact};
use crate::session::Session;

/// Users that are nobody else.
const OWN: u32 = 65_534;
const OTHER: u32 = 64_322;
const THIRD: u32 = 64_323;

/// A group that every Debian has, and whose members may use the socket here.
const GROUP: &str = "users";

/// Somebody at the socket.
struct User {
    uid: u32,
    /// A group besides his own.
    group: Option<u32>,
    socket: PathBuf,
}

impl User {
    /// Status and body of the answer.
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<(u16, String)> {
        let groups = match self.group {
            Some(group) => format!("--groups={group}"),
            None => "--clear-groups".to_owned(),
        };
        let mut command = Command::new("/usr/bin/setpriv");
        command
            .args([
                format!("--reuid={}", self.uid),
                format!("--regid={}", self.uid),
            ])
            .args([&groups, "--", "curl", "--silent", "--show-error"])
            .args(["--max-time", "120", "--write-out", "\n%{http_code}"])
            .arg("--unix-socket")
            .arg(&self.socket);
        if let Some(body) = body {
            command
                .args(["--header", "Content-Type: application/json", "--data"])
                .arg(body.to_string());
        }
        let output = command
            .arg(format!("http://localhost{path}"))
            .output()
            .context("running setpriv and curl")?;
        if !output.status.success() {
            bail!("curl: {}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout)?;
        let (body, status) = text.rsplit_once('\n').context("no status")?;
        Ok((status.parse()?, body.to_owned()))
    }

    fn json(&self, path: &str) -> Result<Value> {
        let (status, body) = self.ask(path, None)?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(serde_json::from_str(&body)?)
    }

    fn start(&self, pid: u32) -> Result<(u16, String)> {
        let order = json!({"pid": pid, "view": "heap", "seconds": 600});
        self.ask("/api/v1/recordings", Some(&order))
    }

    fn stop(&self, pid: u32) -> Result<(u16, String)> {
        let order = json!({"pid": pid, "view": "heap"});
        self.ask("/api/v1/recordings/stop", Some(&order))
    }

    fn list(&self) -> Result<Vec<Value>> {
        let list = self.json("/api/v1/recordings")?;
        entries(&list).cloned().context("no list")
    }
}

#[test]
fn see_and_record_their_own_processes_and_no_others() -> Result<()> {
    let (own, other) = (
        Copy::of_user("endings", OWN)?,
        Copy::of_user("endings", OTHER)?,
    );
    let files = Files::new()?;
    let socket = files.socket();
    let never = "record = \"triggered\"\n[[target.trigger]]\nrss_above = \"1TiB\"";
    files.configure(&format!(
        "[socket]\npath = \"{}\"\ngroup = \"{GROUP}\"\n{}{}",
        socket.display(),
        own.target("own", never),
        other.target("theirs", "")
    ))?;
    files.hand_to(0)?;
    let daemon = Daemon::with(files)?;
    let group = Group::from_name(GROUP)?.context("no group of users")?;
    let user = |uid| User {
        uid,
        group: Some(group.gid.as_raw()),
        socket: socket.clone(),
    };
    let (owner, stranger) = (user(OWN), user(THIRD));
    let outside = User {
        group: None,
        ..user(OWN)
    };
    ensure!(outside.json("/api/v1/targets").is_err(), "not of the group");

    // Something of somebody else: a process, one that was, and its recording.
    let run = |uid, copy: &Copy| Session::ready(as_user(uid, &copy.path).arg("exit"));
    let was = run(OTHER, &other)?;
    let gone = was.pid();
    daemon.until_recorded(gone, "heap")?;
    drop(was);
    let theirs = daemon.until_stored(|entry| entry["pid"] == json!(gone))?;
    let running = run(OTHER, &other)?;
    daemon.until_recorded(running.pid(), "heap")?;
    let mut mine = run(OWN, &own)?;
    let pid = mine.pid();
    daemon.until("/api/v1/targets", |status| process(status, pid).map(drop))?;

    // Of all that there is nothing to be seen.
    let seen = owner.json("/api/v1/targets")?;
    ensure!(process(&seen, pid).is_some(), "{seen}");
    ensure!(
        seen["targets"].as_array().is_some_and(|all| all.len() == 1),
        "{seen}"
    );
    let nothing = json!({"store_problem": null, "recordings": 0, "stored_bytes": 0});
    ensure!(seen["health"] == nothing, "{seen}");
    ensure!(owner.list()?.is_empty());
    for path in ["/", "/metrics"] {
        let (status, text) = owner.ask(path, None)?;
        ensure!(status == 200 && text.contains(&pid.to_string()), "{text}");
        let hidden = [
            format!("\"{}\"", running.pid()),
            "theirs".to_owned(),
            "unfreed_recordings_".to_owned(),
            "unfreed_stored_".to_owned(),
            "unfreed_daemon_".to_owned(),
        ];
        for hidden in hidden {
            ensure!(!text.contains(&hidden), "{path} has {hidden}: {text}");
        }
    }
    let id = theirs["id"].as_str().context("no name")?;
    for path in ["", "/json", "/pprof", "/svg"] {
        let (status, _) = owner.ask(&format!("/api/v1/recordings/{id}{path}"), None)?;
        ensure!(status == 404, "{path}: {status}");
    }
    // Nor to be done. That a process is not there is not told apart from that.
    for refused in [running.pid(), daemon.pid(), 1, i32::MAX as u32] {
        let (start, stop) = (owner.start(refused)?, owner.stop(refused)?);
        ensure!(start.0 == 403 && stop.0 == 403, "{start:?} {stop:?}");
    }
    daemon.until_recorded(running.pid(), "heap")?;

    // What is theirs can be recorded, and is for them alone.
    let (status, answer) = owner.start(pid)?;
    ensure!(status == 202, "{status} {answer}");
    daemon.until_recorded(pid, "heap")?;
    ensure!(stranger.stop(pid)?.0 == 403);
    mine.tell("go")?;
    mine.expect("done")?;
    let (status, answer) = owner.stop(pid)?;
    ensure!(status == 200, "{status} {answer}");
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    ensure!(entry["uid"] == json!(OWN), "{entry}");
    ensure!(entry["why"] == json!({"why": "asked"}), "{entry}");
    is_exact(&daemon, &entry)?;
    ensure!(owner.list()? == std::slice::from_ref(&entry));
    let id = entry["id"].as_str().context("no name")?;
    let path = format!("/api/v1/recordings/{id}/json");
    let (status, text) = owner.ask(&path, None)?;
    ensure!(status == 200, "{status}: {text}");
    let read = Report::parse(&text)?;
    ensure!(read.by_site().0.contains_key("site_kept"), "{text}");
    for others in [&stranger, &user(OTHER)] {
        ensure!(others.ask(&path, None)?.0 == 404, "{}", others.uid);
        ensure!(!others.list()?.contains(&entry), "{}", others.uid);
    }
    Ok(())
}

/// What a worker says last that is asked to record this process only if it is this user's; it gets a little time.
fn worker_says(pid: u32, only_uid: u32) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let nothing = json!({"secs": 0, "nanos": 0});
    let order = json!({
        "pid": pid, "view": "heap", "duration": {"secs": 0, "nanos": 200_000_000}, "min_age": nothing,
        "sample": 0, "max_overhead": null, "max_entries": 1 << 16, "only_uid": only_uid,
        "json": directory.path().join("json"), "pprof": directory.path().join("pprof"),
    });
    let mut child = Command::new(paths::unfreed()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Held to its end: the worker would stop.
    let mut input = child.stdin.take().context("its input")?;
    writeln!(input, "{order}")?;
    let lines = Lines::of(child.stdout.take().context("its output")?);
    let said = lines.rest(std::time::Duration::from_mins(2));
    drop(input);
    child.wait()?;
    let said = said?;
    let last = said.lines().last().context("it says nothing")?;
    if last.contains("failed") {
        let left = fs::read_dir(directory.path())?.count();
        ensure!(left == 0, "{left} files are left");
    }
    Ok(serde_json::from_str(last)?)
}

#[test]
fn get_nothing_of_a_program_that_came_into_their_process() -> Result<()> {
    let program = Copy::of_user("endings", OWN)?;
    let owned = Session::ready(&mut as_user(OWN, &program.path))?;
    let said = worker_says(owned.pid(), OWN)?;
    ensure!(said["is"] == json!("written"), "{said}");
    let said = worker_says(owned.pid(), OTHER)?;
    ensure!(said["is"] == json!("failed"), "{said}");

    // It looked harmless when it was asked for, and has executed a set-user-id program since.
    let raised = Copy::of("endings")?;
    let parent = raised.path.parent().context("no directory")?;
    fs::set_permissions(parent, fs::Permissions::from_mode(0o711))?;
    chown(&raised.path, Some(0), Some(0))?;
    fs::set_permissions(&raised.path, fs::Permissions::from_mode(0o4755))?;
    let raised = Session::ready(&mut as_user(OWN, &raised.path))?;
    let said = worker_says(raised.pid(), OWN)?;
    ensure!(said["is"] == json!("failed"), "{said}");
    let reason = said["reason"].as_str().context("no reason")?;
    ensure!(reason.contains(&format!("of the user {OWN}")), "{reason}");
    Ok(())
}
