//! Debian's package manager, without questions and without starting services.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command};

use anyhow::{Context, Result};

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
pub fn install(packages: &[String]) -> Result<()> {
    let _no_services = NoServices::begin()?;
    let flags = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    run::run(apt_get(&flags).args(packages))
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
