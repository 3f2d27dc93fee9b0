//! Compiles the eBPF programs; the object is embedded in the binary by `bpf/load.rs`.

mod toolchain;

use std::process::ExitCode;

use aya_build::{Package, Toolchain};
use toolchain::{BOOTSTRAPPED, BpfToolchain};

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
    if toolchain == BpfToolchain::PrebuiltCore {
        // SAFETY: a build script's main thread, before any other thread exists.
        unsafe { std::env::set_var("RUSTC_BOOTSTRAP", BOOTSTRAPPED) };
    }
    let package = Package {
        name: "unfreed-ebpf",
        root_dir: "../profiler-ebpf",
        ..Package::default()
    };
    match aya_build::build_ebpf([package], Toolchain::Custom(toolchain.name())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compiling unfreed's eBPF programs failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
