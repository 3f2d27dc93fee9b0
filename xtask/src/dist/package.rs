//! The Debian package, by cargo-deb, and a tarball with the same files.
//!
//! What is in them, and where, is said once: in `profiler/Cargo.toml`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use super::{TARGET, licences};
use crate::run;

/// What was made.
pub struct Packages {
    pub debian: PathBuf,
    pub tarball: PathBuf,
}

/// Makes both in `dist`, of the binary `built`. The same commit gives the same bytes.
pub fn make(built: &Path, dist: &Path) -> Result<Packages> {
    let beside = built.with_file_name("packaging");
    replace_directory(&beside)?;
    for (what, directory) in [("man", "man"), ("completions", "completions")] {
        let directory = beside.join(directory);
        run::run(run::program(built).args(["generate", what]).arg(directory))?;
    }
    let texts = licences::of_dependencies(TARGET)?;
    fs::write(beside.join("THIRD-PARTY-LICENCES"), texts)
        .context("writing the licences of dependencies")?;
    let date = commit_date();
    let debian = debian(dist, &date)?;
    let tarball = tarball(&debian, dist, &date)?;
    Ok(Packages { debian, tarball })
}

/// A directory without files of an earlier time.
fn replace_directory(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("removing {}", path.display()))?;
    }
    fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))
}

/// When the last commit was made, in seconds since 1970: the date of every file. Without git, 0.
fn commit_date() -> String {
    let mut git = run::program("git");
    let output = run::output(git.args(["log", "-1", "--format=%ct"]));
    let date = output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|date| date.trim().to_owned());
    date.filter(|date| !date.is_empty())
        .unwrap_or_else(|| "0".to_owned())
}

fn debian(dist: &Path, date: &str) -> Result<PathBuf> {
    let place = dist.join("debian");
    replace_directory(&place)?;
    run::run(
        run::cargo()
            .env("SOURCE_DATE_EPOCH", date)
            .args([
                "deb",
                "--no-build",
                "--no-strip",
                "--no-dbgsym",
                "--package",
                "unfreed",
            ])
            .args(["--target", TARGET, "--output"])
            .arg(&place),
    )?;
    let files = fs::read_dir(&place).with_context(|| format!("reading {}", place.display()))?;
    let mut packages: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    match (packages.pop(), packages.is_empty()) {
        (Some(made), true) => {
            let name = made.file_name().context("a package without a name")?;
            let path = dist.join(name);
            fs::rename(&made, &path).with_context(|| format!("moving {}", made.display()))?;
            Ok(path)
        }
        _ => bail!("cargo-deb left not one package in {}", place.display()),
    }
}

/// The files of the package, for systems that know no such packages.
fn tarball(debian: &Path, dist: &Path, date: &str) -> Result<PathBuf> {
    let name = format!("unfreed-{}-x86_64-linux", env!("CARGO_PKG_VERSION"));
    let place = dist.join("tree");
    let tree = place.join(&name);
    replace_directory(&place)?;
    fs::create_dir(&tree).context("creating the tarball's directory")?;

    let files = run::output(run::program("ar").arg("p").arg(debian).arg("data.tar.xz"))?;
    ensure!(
        files.status.success(),
        "`ar` found no files in {}",
        debian.display()
    );
    let mut unpack = run::program("tar");
    unpack.args(["--extract", "--xz", "--directory"]).arg(&tree);
    run::announce(&unpack);
    let mut unpacking = unpack
        .stdin(Stdio::piped())
        .spawn()
        .context("starting tar")?;
    let mut pipe = unpacking.stdin.take().context("tar has no input")?;
    pipe.write_all(&files.stdout)
        .context("giving tar the files")?;
    drop(pipe);
    ensure!(unpacking.wait()?.success(), "tar did not unpack the files");

    let path = dist.join(format!("{name}.tar.gz"));
    run::run(
        run::program("tar")
            .args([
                "--create",
                "--gzip",
                "--sort=name",
                "--owner=0",
                "--group=0",
            ])
            .args(["--numeric-owner", &format!("--mtime=@{date}"), "--file"])
            .arg(&path)
            .arg("--directory")
            .args([&place, Path::new(&name)]),
    )?;
    Ok(path)
}
