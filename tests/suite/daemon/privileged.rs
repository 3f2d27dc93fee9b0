//! The daemon with the user, the capabilities and the system calls of its unit, and no others. What the unit says of
//! file systems, name spaces and limits is not in force here: that takes systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::daemon::{Daemon, Files};
use unfreed_tests::paths;

use super::{Copy, as_user, is_exact};
use crate::packaging::filter;
use crate::packaging::unit::Unit;
use crate::session::Session;

/// The daemon's user: nobody that there is.
const DAEMON: u32 = 64_321;
/// Whose process is recorded.
const TARGET: u32 = 65_534;

/// What the daemon is started from.
struct Service {
    unit: Unit,
    filtered: PathBuf,
    unfreed: PathBuf,
    directory: tempfile::TempDir,
}

impl Service {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let place = |name: &str, from: &Path| -> Result<PathBuf> {
            let path = directory.path().join(name);
            if fs::hard_link(from, &path).is_err() {
                fs::copy(from, &path).with_context(|| format!("copying {}", from.display()))?;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            Ok(path)
        };
        Ok(Self {
            unit: Unit::packaged()?,
            filtered: place("filtered", &build::program("filtered", Linkage::Dynamic)?)?,
            unfreed: place("unfreed", &paths::unfreed()?)?,
            directory,
        })
    }

    /// What starts it, without one of its system calls.
    fn command(&self, without: Option<&str>) -> Result<Command> {
        let mut calls = self.unit.system_calls()?;
        if let Some(without) = without {
            ensure!(calls.remove(without), "{without} is not in the unit");
        }
        let filter = self.directory.path().join("filter");
        fs::write(&filter, filter::instructions(&calls)?)?;
        fs::set_permissions(&filter, fs::Permissions::from_mode(0o644))?;
        ensure!(self.unit.one("SystemCallErrorNumber")? == "EPERM");
        let list = |name: &str| {
            let granted = self.unit.words(name).map(str::to_lowercase);
            let named = granted.map(|name| name.replacen("cap_", "+", 1));
            named.fold("-all".to_owned(), |list, name| list + "," + &name)
        };
        let bounding = list("CapabilityBoundingSet");
        let ambient = list("AmbientCapabilities");
        ensure!(self.unit.one("NoNewPrivileges")? == "yes");
        let mut command = Command::new("/usr/bin/setpriv");
        command
            .args(["--no-new-privs", "--clear-groups"])
            .arg(format!("--bounding-set={bounding}"))
            .arg(format!("--inh-caps={ambient}"))
            .arg(format!("--ambient-caps={ambient}"))
            .args([format!("--reuid={DAEMON}"), format!("--regid={DAEMON}")])
            .arg("--")
            .args([&self.filtered, &filter, &self.unfreed]);
        Ok(command)
    }
}

/// A line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("reading a status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name}"))?;
    Ok(line.trim_start_matches(':').trim().to_owned())
}

/// That a process has what the unit grants, and no more.
fn is_confined(pid: u32) -> Result<()> {
    const GRANTED: u64 = (1 << 2) | (1 << 19) | (1 << 21);
    let uid = status(pid, "Uid")?;
    ensure!(
        uid.split_whitespace()
            .all(|uid| uid == DAEMON.to_string().as_str()),
        "{uid}"
    );
    for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let capabilities = u64::from_str_radix(&status(pid, set)?, 16)?;
        ensure!(capabilities == GRANTED, "{set}: {capabilities:x}");
    }
    for (name, value) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let is = status(pid, name)?;
        ensure!(is == value, "{name}: {is}");
    }
    Ok(())
}

#[test]
fn a_process_of_another_user_is_recorded_exactly() -> Result<()> {
    let program = Copy::of_user("endings", TARGET)?;
    let service = Service::new()?;
    let files = Files::new()?;
    files.configure(&program.target("it", "").replacen(
        "views = [\"heap\"]",
        "views = [\"heap\", \"pages\"]",
        1,
    ))?;
    files.hand_to(DAEMON)?;
    let daemon = Daemon::by(service.command(None)?, files)?;
    is_confined(daemon.pid())?;
    let mut process = Session::ready(as_user(TARGET, &program.path).arg("exit"))?;
    let pid = process.pid();
    for view in ["heap", "pages"] {
        daemon.until_recorded(pid, view)?;
    }
    let workers = super::life::children(daemon.pid())?;
    ensure!(workers.len() == 2, "{workers:?}");
    for worker in workers {
        is_confined(worker)?;
    }
    process.tell("go")?;
    process.expect("done")?;
    process.tell("end")?;
    for view in ["heap", "pages"] {
        let entry = daemon
            .until_stored(|entry| entry["pid"] == json!(pid) && entry["view"] == json!(view))?;
        ensure!(entry["uid"] == json!(TARGET), "{entry}");
        ensure!(entry["how"] == json!({"how": "exited"}), "{entry}");
        ensure!(
            entry["exe"] == json!(program.path.display().to_string()),
            "{entry}"
        );
        let report = daemon.report(&entry)?;
        ensure!(
            !report
                .warnings
                .iter()
                .any(|warning| warning.contains("cannot be read")),
            "{:?}",
            report.warnings
        );
        if view == "heap" {
            is_exact(&daemon, &entry)?;
        }
    }
    // It may end what is its own, and does.
    let (status, said, took, _) = daemon.end()?;
    ensure!(status.success() && took.as_secs() < 30, "{status}: {said}");
    ensure!(
        !said.contains("denied") && !said.contains("not permitted"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_system_call_that_its_unit_lacked_would_be_missed() -> Result<()> {
    let service = Service::new()?;
    let files = Files::new()?;
    files.configure("")?;
    files.hand_to(DAEMON)?;
    let started = Daemon::by(service.command(Some("bpf"))?, files);
    let error = started.err().context("it started without bpf")?;
    let said = format!("{error:#}");
    ensure!(
        said.contains("exit status 1") && said.contains("ring buffer"),
        "{said}"
    );
    Ok(())
}
