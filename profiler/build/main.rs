//! Compiles the eBPF programs; the object is embedded in the binary by `bpf/load.rs`.

mod toolchain;

use std::process::ExitCode;

use aya_build::{Package, Toolchain};
use toolchain::{BpfToolchain, LINKED_TOOLCHAIN};

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=../profiler-common/src");

    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(lack) => {
            eprintln!("cannot build unfreed's eBPF programs: {lack}.\nRun `cargo xtask setup`.");
            return ExitCode::FAILURE;
        }
    };
    let toolchain = match toolchain {
        BpfToolchain::NightlyWithSource => Toolchain::Nightly,
        BpfToolchain::PrebuiltCore => {
            // SAFETY: a build script's main thread, before any other thread exists.
            // Crate names, not 1: aya-ebpf and our programs (inline assembly) get their unstable
            // features, and aya-build does not ask for -Z build-std: the prebuilt core is used.
            unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "aya_ebpf,unfreed_ebpf") };
            Toolchain::Custom(LINKED_TOOLCHAIN)
        }
    };
    let package = Package {
        name: "unfreed-ebpf",
        root_dir: "../profiler-ebpf",
        ..Package::default()
    };
    match aya_build::build_ebpf([package], toolchain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compiling unfreed's eBPF programs failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
