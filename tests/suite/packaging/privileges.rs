//! The unit's privileges, no more and no fewer: a process of another user, whose executable only that user may
//! read, is recorded exactly with them, and not without one of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::compare::{Side, compare};
use unfreed_tests::paths;
use unfreed_tests::program::Program;
use unfreed_tests::report::Report;

use super::unit::Unit;
use crate::session::{Ended, Session};

/// Whose process is recorded.
const TARGET: u32 = 65_534;
/// Who records it: nobody that there is.
const RECORDER: u32 = 64_321;

/// A target, and an unfreed that another user may execute.
struct Scene {
    program: Program,
    unfreed: PathBuf,
    _directory: tempfile::TempDir,
}

impl Scene {
    fn set() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let unfreed = directory.path().join("unfreed");
        fs::copy(paths::unfreed()?, &unfreed)?;
        fs::set_permissions(&unfreed, fs::Permissions::from_mode(0o755))?;
        let target = directory.path().join("target");
        fs::copy(build::program("functions", Linkage::Dynamic)?, &target)?;
        chown(&target, Some(TARGET), Some(TARGET))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o700))?;
        let mut arguments = become_user(TARGET);
        arguments.push("--".to_owned());
        arguments.push(path_text(&target)?);
        let program = Program::start(Path::new("/usr/bin/setpriv"), arguments, None)?;
        Ok(Self {
            program,
            unfreed,
            _directory: directory,
        })
    }

    /// unfreed as another user with these capabilities alone.
    fn unfreed(&self, view: &str, capabilities: &[&str], more: &[&str]) -> Command {
        let mut list = "-all".to_owned();
        for capability in capabilities {
            list.push_str(",+");
            list.push_str(&capability.to_lowercase().replacen("cap_", "", 1));
        }
        let mut command = Command::new("/usr/bin/setpriv");
        command
            .arg("--no-new-privs")
            .arg(format!("--bounding-set={list}"))
            .arg(format!("--inh-caps={list}"))
            .arg(format!("--ambient-caps={list}"))
            .args(become_user(RECORDER))
            .arg("--")
            .arg(&self.unfreed)
            .args([view, "-p", &self.program.pid().to_string()])
            .args(["--min-age", "0", "-q", "-f", "json"])
            .args(more);
        command
    }

    /// Runs it for a moment.
    fn briefly(&self, view: &str, capabilities: &[&str]) -> Result<Ended> {
        Session::start(&mut self.unfreed(view, capabilities, &["-d", "100ms"]))?.end()
    }
}

fn become_user(user: u32) -> Vec<String> {
    vec![
        format!("--reuid={user}"),
        format!("--regid={user}"),
        "--clear-groups".to_owned(),
    ]
}

fn path_text(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path that is no text")?;
    Ok(text.to_owned())
}

/// Whether no file was out of reach. Other warnings are of a machine that has too much to do.
fn saw_all(report: &Report) -> bool {
    let unreadable = |warning: &String| warning.contains("cannot be read");
    !report.warnings.iter().any(unreadable)
}

#[test]
fn are_enough_for_a_process_of_another_user() -> Result<()> {
    let unit = Unit::packaged()?;
    ensure!(unit.one("NoNewPrivileges")? == "yes");
    let capabilities: Vec<&str> = unit.words("AmbientCapabilities").collect();
    let mut scene = Scene::set()?;
    let recorder = Session::recorder(&mut scene.unfreed("heap", &capabilities, &[]))?;
    let ledger = scene.program.run()?;
    recorder.signal(Signal::SIGINT)?;
    let ended = recorder.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let report = Report::parse(&ended.stdout)?;
    ensure!(saw_all(&report), "{:?}", report.warnings);
    let differences = compare(&ledger, &report, Side::Outstanding);
    ensure!(differences.is_empty(), "{differences:?}");

    let pages = scene.briefly("pages", &capabilities)?;
    ensure!(pages.status.success(), "pages: {}", pages.stderr);
    let report = Report::parse(&pages.stdout)?;
    ensure!(saw_all(&report), "pages: {:?}", report.warnings);
    scene.program.finish()
}

#[test]
fn are_each_of_them_needed() -> Result<()> {
    let unit = Unit::packaged()?;
    let mut bounding: Vec<&str> = unit.words("CapabilityBoundingSet").collect();
    let mut capabilities: Vec<&str> = unit.words("AmbientCapabilities").collect();
    bounding.sort_unstable();
    capabilities.sort_unstable();
    ensure!(
        bounding == capabilities,
        "{bounding:?} and {capabilities:?}"
    );
    ensure!(!capabilities.is_empty());
    let scene = Scene::set()?;
    for without in &capabilities {
        let others: Vec<&str> = capabilities
            .iter()
            .copied()
            .filter(|other| other != without)
            .collect();
        let ended = scene.briefly("heap", &others)?;
        let whole = ended.status.success()
            && Report::parse(&ended.stdout).is_ok_and(|report| saw_all(&report));
        ensure!(!whole, "{without} is not needed: {}", ended.stderr);
        ensure!(
            ended.stderr.contains("unfreed: ") || ended.status.success(),
            "without {without} unfreed did not even start: {}",
            ended.stderr
        );
    }
    Ok(())
}
