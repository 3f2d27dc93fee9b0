//! Debian's package manager, without questions and without starting services.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command};
use std::slice;

use anyhow::{Context, Result};

use super::backports::Backports;
use crate::run;
use crate::toolchain::on_path;

/// Asked by every maintainer script that wants to start a service; exit status 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_MARK: &str = "# written by unfreed's `cargo xtask setup`";

/// Whether packages can be had with apt on this machine.
pub fn available() -> bool {
    on_path("apt-get") && on_path("apt-cache")
}

/// Whether the package lists have a package of this name.
pub fn knows(package: &str) -> bool {
    available() && run::succeeds(Command::new("apt-cache").args(["show", package]))
}

/// Brings the package lists up to date. A failure is told and survived: one unreachable
/// repository out of several may not be the one that is needed.
pub fn update() {
    if let Err(error) = run::run(&mut apt_get(&["update"])) {
        eprintln!("setup: {error:#}; going on with the package lists that are there");
    }
}

/// Installs `packages`, removing none to make room. No service is started by it: redis-server's
/// package would start one.
///
/// A package that does not go with what is there is taken from the release's backports. So it is with
/// qemu-system-x86 where qemu-utils came from them.
pub fn install(packages: &[String]) -> Result<()> {
    let _no_services = NoServices::begin()?;
    if goes_with_what_is_there(packages) {
        return run::run(&mut installation(packages));
    }
    let (plain, others): (Vec<_>, Vec<_>) = packages
        .iter()
        .cloned()
        .partition(|package| goes_with_what_is_there(slice::from_ref(package)));
    if others.is_empty() {
        // They do not go with one another; apt says why.
        return run::run(&mut installation(packages));
    }
    eprintln!(
        "setup: {} cannot be installed beside what is there; trying the backports",
        others.join(", ")
    );
    run::run(&mut installation(&plain))?;
    let backports = Backports::of_this_release()?;
    run::run(backports.apply(&mut apt_get(&["update"])))?;
    run::run(backports.apply(&mut installation(&others)))
}

fn goes_with_what_is_there(packages: &[String]) -> bool {
    run::succeeds(installation(packages).arg("--simulate"))
}

fn installation(packages: &[String]) -> Command {
    let mut command = apt_get(&["install", "--yes", "--no-install-recommends", "--no-remove"]);
    command.args(packages);
    command
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = run::program("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--quiet", "--option", "Dpkg::Use-Pty=0"])
        .args(arguments);
    command
}

/// While it lives, packages may not start services.
struct NoServices {
    ours: bool,
}

impl NoServices {
    /// Leaves a policy that somebody else wrote as it is: it usually forbids all, as in containers.
    fn begin() -> Result<Self> {
        let policy = Path::new(POLICY);
        let someone_elses = policy.exists()
            && !fs::read_to_string(policy).is_ok_and(|text| text.contains(POLICY_MARK));
        if someone_elses {
            return Ok(Self { ours: false });
        }
        // Should this process be killed, the file stays behind; it then forbids nothing.
        let pid = process::id();
        let script =
            format!("#!/bin/sh\n{POLICY_MARK}\nkill -0 {pid} 2>/dev/null && exit 101\nexit 0\n");
        fs::write(policy, script)
            .and_then(|()| fs::set_permissions(policy, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("writing {POLICY}, so that no service is started"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("setup: {POLICY} could not be removed ({error}); please do");
        }
    }
}
