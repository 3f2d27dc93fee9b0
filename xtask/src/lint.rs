//! `cargo xtask lint`: formatting, clippy on both sides of the kernel boundary, documentation,
//! licences. Any finding is an error.

use anyhow::{Result, anyhow};

use crate::run;
use crate::setup::{self, Scope};
use crate::toolchain::{self, BOOTSTRAPPED, BpfToolchain, on_path};

const BPF_TARGET: &str = "bpfel-unknown-none";

/// Runs every check, stopping at the first that fails.
pub fn task() -> Result<()> {
    setup::check(Scope::Everything)?;
    run::run(run::cargo().args(["fmt", "--all", "--check"]))?;
    run::run(run::cargo().args(["clippy", "--all-targets", "--", "-D", "warnings"]))?;
    for machine in ["x86_64", "aarch64"] {
        clippy_bpf(machine)?;
    }
    run::run(run::cargo().env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--no-deps",
        "--document-private-items",
    ]))?;
    licences()?;
    println!("lint: clean");
    Ok(())
}

/// clippy on the eBPF crate for targets of this machine, for the BPF target and with the compiler that builds it: the host's
/// clippy would see neither the target's `core` nor the code behind its `cfg`s.
fn clippy_bpf(machine: &str) -> Result<()> {
    let toolchain = toolchain::find().map_err(|lack| anyhow!(lack))?;
    let (bootstrap, build_std): (_, &[_]) = match toolchain {
        BpfToolchain::NightlyWithSource => (None, &["-Z", "build-std=core"]),
        BpfToolchain::PrebuiltCore => (Some(BOOTSTRAPPED), &[]),
    };
    let mut clippy = if on_path("rustup") {
        let mut rustup = run::program("rustup");
        rustup.args(["run", toolchain.name(), "cargo"]);
        rustup
    } else {
        run::program("cargo")
    };
    if let Some(crates) = bootstrap {
        clippy.env("RUSTC_BOOTSTRAP", crates);
    }
    clippy
        .env("RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{machine}\""))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args([
            "clippy",
            "--package",
            "unfreed-ebpf",
            "--bins",
            "--target",
            BPF_TARGET,
        ])
        // Another compiler's output has no place among the host's.
        .arg("--target-dir")
        .arg(run::target_dir()?.join("lint-bpf").join(machine))
        .args(build_std)
        .args(["--", "-D", "warnings"]);
    run::run(&mut clippy)
}

/// Licences and sources of every dependency, where cargo-deny is installed: building it takes
/// minutes, so setup does not.
fn licences() -> Result<()> {
    if !on_path("cargo-deny") {
        println!(
            "lint: cargo-deny is not installed: licences NOT CHECKED (cargo install cargo-deny)"
        );
        return Ok(());
    }
    run::run(run::cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}
