//! The Debian package in a Debian that has nothing else: installed, used, removed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::debian;
use crate::run;

/// What a package needs that makes a user, without systemd itself.
const INCLUDED: &str = "systemd-standalone-sysusers";

/// Has perl, which every Debian has, allocate and keep, now and then.
const LEAK: &str = r#"$| = 1; print "ready\n"; for (;;) { push @kept, "x" x 9973; select undef, undef, undef, 0.01 }"#;

/// What the package has to bring.
const FILES: [&str; 9] = [
    "usr/bin/unfreed",
    "usr/lib/systemd/system/unfreed.service",
    "etc/unfreed/config.toml",
    "usr/lib/sysusers.d/unfreed.conf",
    "usr/share/bash-completion/completions/unfreed",
    "usr/share/zsh/vendor-completions/_unfreed",
    "usr/share/fish/vendor_completions.d/unfreed.fish",
    "usr/share/doc/unfreed/copyright",
    "usr/share/doc/unfreed/THIRD-PARTY-LICENCES",
];

/// Makes a small Debian below `dist`, installs the package there, records a process with it, and removes
/// both. Minutes, and a few hundred megabytes from Debian's archive.
pub fn try_out(package: &Path, dist: &Path) -> Result<()> {
    ensure!(
        run::is_root(),
        "a Debian to try the package in can be made by root only: run `cargo xtask dist --check` as root"
    );
    let root = Root::make(dist)?;
    let name = package.file_name().context("a package without a name")?;
    fs::copy(package, root.path.join("tmp").join(name)).context("copying the package")?;
    let inside = format!("/tmp/{}", name.to_string_lossy());

    root.run(&["dpkg", "--install", &inside])?;
    for file in FILES {
        ensure!(
            root.path.join(file).exists(),
            "the package did not bring /{file}"
        );
    }
    let wanted = "etc/systemd/system/multi-user.target.wants/unfreed.service";
    ensure!(
        fs::symlink_metadata(root.path.join(wanted)).is_err(),
        "the package enabled the service"
    );
    root.run(&["getent", "passwd", "unfreed"])?;
    root.run(&["getent", "group", "unfreed"])?;
    root.run(&["unfreed", "--version"])?;
    record(&root)?;

    let config = root.path.join("etc/unfreed/config.toml");
    root.run(&["dpkg", "--remove", "unfreed"])?;
    ensure!(config.exists(), "the configuration went with the removal");
    fs::create_dir_all(root.path.join("var/lib/unfreed")).context("making a store")?;
    root.run(&["dpkg", "--purge", "unfreed"])?;
    for file in FILES.iter().chain(&["var/lib/unfreed"]) {
        ensure!(
            !root.path.join(file).exists(),
            "/{file} is left after the purge"
        );
    }
    println!("dist: the package was installed, recorded a process, and was removed");
    Ok(())
}

/// Records a process of that Debian with the unfreed of that Debian.
fn record(root: &Root) -> Result<()> {
    let target = Target::start(root)?;
    let output = root.run(&[
        "unfreed",
        "heap",
        "-p",
        &target.0.id().to_string(),
        "-d",
        "3",
        "--min-age",
        "0",
        "-f",
        "folded",
    ])?;
    let folded = String::from_utf8_lossy(&output.stdout);
    let bytes: u64 = folded
        .lines()
        .filter(|line| line.contains("perl"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum();
    // Three seconds of a hundred strings each, on a machine that may have much else to do.
    ensure!(
        bytes > 10 * 9973,
        "perl keeps what it allocates, and the recording has: {folded}"
    );
    println!("dist: recorded {bytes} bytes of perl's");
    Ok(())
}

/// A small Debian in a directory. Its file systems are mounted for each command by itself, in a mount
/// namespace that ends with it: nothing is left mounted, whatever happens, and nothing of the host is there
/// when the directory is removed.
struct Root {
    path: std::path::PathBuf,
}

impl Root {
    fn make(dist: &Path) -> Result<Self> {
        let suite = debian::release()?;
        let archive = debian::archive()?;
        let root = Self {
            path: dist.join("root"),
        };
        if root.path.exists() {
            fs::remove_dir_all(&root.path).context("removing an earlier Debian")?;
        }
        fs::create_dir_all(&root.path).context("making a directory for a Debian")?;
        run::run(
            run::program("unshare")
                .args([
                    "--mount",
                    "--propagation=private",
                    "debootstrap",
                    "--variant=minbase",
                ])
                .arg(format!("--include={INCLUDED}"))
                .arg(&suite)
                .arg(&root.path)
                .arg(archive.address(&suite)),
        )?;
        Ok(root)
    }

    /// A command in it, with /proc and /sys.
    fn command(&self, arguments: &[&str]) -> Command {
        let script = "mount --rbind /proc \"$0/proc\" && mount --rbind /sys \"$0/sys\" && exec chroot \"$0\" \"$@\"";
        let mut command = run::program("unshare");
        command
            .args(["--mount", "--propagation=private", "sh", "-c", script])
            .arg(&self.path)
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8")
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
        command
    }

    /// Runs it; it has to succeed.
    fn run(&self, arguments: &[&str]) -> Result<Output> {
        eprintln!("+ (in the new Debian) {}", arguments.join(" "));
        let output = run::output(&mut self.command(arguments))?;
        let said = String::from_utf8_lossy(&output.stderr);
        eprint!("{said}");
        if !output.status.success() {
            bail!("`{}`: {}: {said}", arguments.join(" "), output.status);
        }
        Ok(output)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!(
                "dist: {} could not be removed ({error})",
                self.path.display()
            );
        }
    }
}

/// A process in that Debian; ended when this is dropped.
struct Target(Child);

impl Target {
    fn start(root: &Root) -> Result<Self> {
        // unshare, sh and chroot replace themselves: the child is perl.
        let mut command = root.command(&["perl", "-e", LEAK]);
        let child = command.stdout(Stdio::piped()).spawn();
        let mut target = Self(child.context("starting perl")?);
        let output = target.0.stdout.as_mut().context("perl has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == "ready", "perl did not start: {line:?}");
        Ok(target)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Only this child, by its pid. It may be gone already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
