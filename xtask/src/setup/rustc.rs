//! Which rustc on this machine compiles the eBPF programs, and with which LLVM.

use std::path::{Path, PathBuf};

use crate::toolchain::{BpfToolchain, ask_rustc, find_rustc};

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
    /// What is there.
    pub fn look(rustup: bool) -> Self {
        if let Some((toolchain, sysroot)) = find_rustc() {
            return Self::Ready {
                toolchain: toolchain.name(),
                sysroot,
                llvm: llvm(toolchain).unwrap_or(USUAL_LLVM),
            };
        }
        if rustup && Path::new("/usr/lib/rustlib/bpfel-unknown-none/lib").is_dir() {
            return Self::Unlinked;
        }
        Self::Missing
    }
}

/// The major version of a toolchain's LLVM. bpf-linker must not be older.
fn llvm(toolchain: BpfToolchain) -> Option<u32> {
    llvm_in(&ask_rustc(toolchain, &["-vV"])?)
}

fn llvm_in(version: &str) -> Option<u32> {
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.parse().ok()
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
