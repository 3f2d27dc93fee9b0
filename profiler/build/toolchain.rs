//! Which Rust toolchain compiles the eBPF programs, and what is missing when none can.
//!
//! Shared by `profiler/build/main.rs` and `xtask setup`, so that both give the same answer.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The name under which `cargo xtask setup` links Debian's rustc as a rustup toolchain.
pub const LINKED_TOOLCHAIN: &str = "unfreed-bpf";

/// The crates that may use unstable features when a released compiler builds them
/// (`RUSTC_BOOTSTRAP`). Not 1: then aya-build would ask for -Z build-std, and the prebuilt core would
/// not be used.
pub const BOOTSTRAPPED: &str = "aya_ebpf,unfreed_ebpf";

/// A toolchain that can compile `core` for `bpfel-unknown-none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BpfToolchain {
    /// rustup's nightly with the `rust-src` component: builds `core` from source.
    NightlyWithSource,
    /// A toolchain with a prebuilt `core` for the BPF target (Debian's `libstd-rust-*-dev-bpf`).
    PrebuiltCore,
}

impl BpfToolchain {
    /// What rustup calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NightlyWithSource => "nightly",
            Self::PrebuiltCore => LINKED_TOOLCHAIN,
        }
    }
}

/// Finds toolchain and linker, or says which piece is missing, in one line.
pub fn find() -> Result<BpfToolchain, String> {
    if !on_path("bpf-linker") {
        return Err("bpf-linker is not installed".into());
    }
    find_rustc().map(|(toolchain, _)| toolchain).ok_or_else(|| {
        "no Rust toolchain here can compile eBPF: \
         neither a nightly with rust-src nor a rustc with a prebuilt BPF core"
            .into()
    })
}

/// Finds the toolchain and its directory.
pub fn find_rustc() -> Option<(BpfToolchain, PathBuf)> {
    let candidates = [
        (
            BpfToolchain::NightlyWithSource,
            "lib/rustlib/src/rust/library/core",
        ),
        (
            BpfToolchain::PrebuiltCore,
            "lib/rustlib/bpfel-unknown-none/lib",
        ),
    ];
    candidates.into_iter().find_map(|(toolchain, proof)| {
        let sysroot = sysroot(toolchain)?;
        sysroot.join(proof).is_dir().then_some((toolchain, sysroot))
    })
}

/// What `rustc` of a toolchain prints; of the only rustc there is where rustup is not installed.
pub fn ask_rustc(toolchain: BpfToolchain, arguments: &[&str]) -> Option<String> {
    let mut rustc = if on_path("rustup") {
        let mut rustup = Command::new("rustup");
        rustup.args(["run", toolchain.name(), "rustc"]);
        rustup
    } else {
        Command::new("rustc")
    };
    let output = rustc.args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

/// Whether `program` is in one of the directories of `PATH`.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| is_file(&dir.join(program))))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}

fn sysroot(toolchain: BpfToolchain) -> Option<PathBuf> {
    // Without rustup the only rustc is asked, and source is of use to a nightly only.
    if toolchain == BpfToolchain::NightlyWithSource
        && !ask_rustc(toolchain, &["--version"])?.contains("nightly")
    {
        return None;
    }
    let sysroot = ask_rustc(toolchain, &["--print", "sysroot"])?;
    Some(PathBuf::from(sysroot.trim_end()))
}
