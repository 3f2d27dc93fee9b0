//! Which Rust toolchain compiles the eBPF programs, and what is missing when none can.
//!
//! Shared by `profiler/build/main.rs` and `xtask setup`, so that both give the same answer.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The name under which `cargo xtask setup` links Debian's rustc as a rustup toolchain.
pub const LINKED_TOOLCHAIN: &str = "unfreed-bpf";

/// A toolchain that can compile `core` for `bpfel-unknown-none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BpfToolchain {
    /// rustup's nightly with the `rust-src` component: builds `core` from source.
    NightlyWithSource,
    /// A toolchain with a prebuilt `core` for the BPF target (Debian's `libstd-rust-*-dev-bpf`).
    PrebuiltCore,
}

/// Finds the toolchain, or says which piece is missing, in one line.
pub fn find() -> Result<BpfToolchain, String> {
    if !on_path("bpf-linker") {
        return Err("bpf-linker is not installed".into());
    }
    if let Some(sysroot) = sysroot("nightly")
        && sysroot.join("lib/rustlib/src/rust/library/core").is_dir()
    {
        return Ok(BpfToolchain::NightlyWithSource);
    }
    if let Some(sysroot) = sysroot(LINKED_TOOLCHAIN)
        && sysroot.join("lib/rustlib/bpfel-unknown-none/lib").is_dir()
    {
        return Ok(BpfToolchain::PrebuiltCore);
    }
    Err("no Rust toolchain here can compile eBPF: \
         neither a nightly with rust-src nor a rustc with a prebuilt BPF core"
        .into())
}

/// Whether `program` is in one of the directories of `PATH`.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| is_file(&dir.join(program))))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}

/// The sysroot of a rustup toolchain; of the only rustc there is where rustup is not installed.
fn sysroot(toolchain: &str) -> Option<PathBuf> {
    let mut command = if on_path("rustup") {
        let mut command = Command::new("rustup");
        command.args(["run", toolchain, "rustc"]);
        command
    } else {
        Command::new("rustc")
    };
    let output = command.args(["--print", "sysroot"]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    Some(PathBuf::from(
        String::from_utf8(output.stdout).ok()?.trim_end(),
    ))
}
