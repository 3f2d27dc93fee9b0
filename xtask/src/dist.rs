//! `cargo xtask dist`: one static binary that runs on any x86-64 Linux, and packages with it.

mod licences;
mod package;
mod tried;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::setup::{self, Scope};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The flags of `dist`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also install the Debian package into a system of its own, and profile a process with it there
    #[arg(long)]
    check: bool,
}

/// Builds it, proves that it needs nothing of the system, and says where it is; then the packages.
pub fn task(arguments: &Arguments) -> Result<()> {
    let scope = if arguments.check {
        Scope::PackagesTried
    } else {
        Scope::Packages
    };
    setup::install(scope)?;
    let target = run::target_dir()?;
    let built = build(&target)?;
    let dist = target.join("dist");
    let binary = dist.join("unfreed");
    fs::create_dir_all(&dist).context("creating dist/")?;
    let size = fs::copy(&built, &binary).with_context(|| format!("copying {}", built.display()))?;

    let elf = fs::read(&binary).with_context(|| format!("reading {}", binary.display()))?;
    ensure!(
        !wants_interpreter(&elf).context("reading the binary's program headers")?,
        "{} is not static: it names a dynamic loader",
        binary.display()
    );
    let version = version_alone(&binary)?;
    println!(
        "dist: {} ({:.1} MB, static): {version}",
        binary.display(),
        size as f64 / 1e6
    );

    let packages = package::make(&built, &dist)?;
    for path in [&packages.debian, &packages.tarball] {
        println!("dist: {}", path.display());
    }
    if arguments.check {
        tried::try_out(&packages.debian, &dist)?;
    }
    Ok(())
}

/// The static binary, where cargo has put it.
fn build(target: &Path) -> Result<PathBuf> {
    run::run(
        run::cargo()
            // Symbols stay: a backtrace in a report from the field must have names.
            .env(
                "RUSTFLAGS",
                "-C target-feature=+crt-static -C strip=debuginfo",
            )
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // With --target, build scripts and macros stay dynamic.
            .args([
                "build",
                "--release",
                "--package",
                "unfreed",
                "--target",
                TARGET,
            ]),
    )?;
    Ok(target.join(TARGET).join("release/unfreed"))
}

/// What `unfreed --version` prints in a file system that holds nothing but the binary; as a user,
/// who cannot change the root, in this one.
fn version_alone(binary: &Path) -> Result<String> {
    let mut command = if run::is_root() {
        let mut chroot = run::program("chroot");
        chroot
            .arg(binary.parent().unwrap_or(Path::new("/")))
            .arg("/unfreed");
        chroot
    } else {
        run::program(binary)
    };
    let output = run::output(command.arg("--version"))?;
    ensure!(
        output.status.success(),
        "`{}`: {}: {}",
        run::shown(&command),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a 64-bit little-endian ELF file has a `PT_INTERP` header; `None` if it is no such file.
fn wants_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u64 = 3;
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let headers = number(elf, 0x20, 8)? as usize;
    let size = number(elf, 0x36, 2)? as usize;
    let count = number(elf, 0x38, 2)? as usize;
    for index in 0..count {
        if number(elf, headers + index * size, 4)? == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

/// The little-endian number of `width` bytes at `offset`.
fn number(bytes: &[u8], offset: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_told_from_a_static_one() {
        let mut elf = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(wants_interpreter(&elf), Some(true));
        // The same file without program headers.
        elf[0x38..0x3a].fill(0);
        assert_eq!(wants_interpreter(&elf), Some(false));
        assert_eq!(wants_interpreter(b"#!/bin/sh"), None);
        assert_eq!(wants_interpreter(b"\x7fELF\x02\x01"), None);
    }
}
