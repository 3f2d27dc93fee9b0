//! Which rustc on this machine compiles the eBPF programs, and with which LLVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::toolchain::LINKED_TOOLCHAIN;

/// The LLVM of Debian 12's rustc, and the one assumed before there is a rustc to ask.
pub const USUAL_LLVM: u32 = 22;

/// The compiler for the eBPF side, as far as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BpfRustc {
    Missing,
    /// The system's rustc has a BPF core, but rustup has no name for it.
    Unlinked,
    /// Usable; rustup calls it by this name.
    Ready {
        toolchain: &'static str,
        sysroot: PathBuf,
        llvm: u32,
    },
}

impl BpfRustc {
    /// The same two answers, in the same order, as `toolchain::find`, which cannot be asked before
    /// bpf-linker is there.
    pub fn look(rustup: bool) -> Self {
        let candidates = [
            ("nightly", "lib/rustlib/src/rust/library/core"),
            (LINKED_TOOLCHAIN, "lib/rustlib/bpfel-unknown-none/lib"),
        ];
        for (toolchain, proof) in candidates {
            let Some(sysroot) = sysroot(rustup, toolchain) else {
                continue;
            };
            if sysroot.join(proof).is_dir() {
                return Self::Ready {
                    toolchain,
                    sysroot,
                    llvm: llvm(rustup, toolchain).unwrap_or(USUAL_LLVM),
                };
            }
        }
        if rustup && Path::new("/usr/lib/rustlib/bpfel-unknown-none/lib").is_dir() {
            return Self::Unlinked;
        }
        Self::Missing
    }
}

/// A toolchain's directory; the only rustc's where rustup is not installed.
fn sysroot(rustup: bool, toolchain: &str) -> Option<PathBuf> {
    let text = rustc(rustup, toolchain, &["--print", "sysroot"])?;
    Some(PathBuf::from(text.trim_end()))
}

/// The major version of a toolchain's LLVM. bpf-linker must not be older.
fn llvm(rustup: bool, toolchain: &str) -> Option<u32> {
    llvm_in(&rustc(rustup, toolchain, &["-vV"])?)
}

fn llvm_in(version: &str) -> Option<u32> {
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.parse().ok()
}

fn rustc(rustup: bool, toolchain: &str, arguments: &[&str]) -> Option<String> {
    let mut rustc = if rustup {
        let mut rustc = Command::new("rustup");
        rustc.args(["run", toolchain, "rustc"]);
        rustc
    } else {
        Command::new("rustc")
    };
    let output = rustc.args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_is_the_compilers() {
        let version = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_in(version), Some(22));
        assert_eq!(llvm_in("rustc 1.96.0\n"), None);
    }
}
