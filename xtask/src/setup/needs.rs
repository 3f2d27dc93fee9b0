//! What building and testing need, and which of it this machine lacks.
//!
//! Judged by effect (a file, a program that runs), not by the package database: what was installed
//! in another way counts too.

use std::fmt;
use std::path::Path;

use super::rustc::{BpfRustc, USUAL_LLVM};
use crate::run;
use crate::toolchain::{LINKED_TOOLCHAIN, on_path};

/// Where shared libraries may be.
const LIBRARY_DIRS: &[&str] = &["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// What the machine is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Building unfreed and the demo.
    Build,
    /// Building, and making packages.
    Packages,
    /// The same, and installing them into a system of its own to see that they work.
    PackagesTried,
    /// Building, testing and checking.
    Everything,
}

/// One thing that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A rustc that can compile for the BPF target.
    BpfRustc,
    /// rustup's name for the system's rustc, which has a BPF core.
    LinkedToolchain,
    /// bpf-linker, built with this LLVM.
    BpfLinker { llvm: u32 },
    /// clippy or rustfmt for the compiler of the host side, or cargo-deb.
    HostTool { tool: &'static str },
    /// clippy for the compiler of the eBPF side.
    BpfClippy,
    /// A program or library that is in the Debian package of this name.
    Package {
        name: &'static str,
        why: &'static str,
    },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BpfRustc => f.write_str(
                "a rustc that compiles eBPF: nightly with rust-src, or one with a prebuilt BPF core",
            ),
            Self::LinkedToolchain => {
                write!(f, "the system's rustc as the rustup toolchain {LINKED_TOOLCHAIN}")
            }
            Self::BpfLinker { llvm } => write!(f, "bpf-linker (with LLVM {llvm})"),
            Self::HostTool { tool } => write!(f, "cargo {tool}"),
            Self::BpfClippy => f.write_str("clippy for the compiler of the eBPF programs"),
            Self::Package { name, why } => write!(f, "{name}: {why}"),
        }
    }
}

/// What was found on this machine.
#[derive(Debug, Clone)]
pub struct Machine {
    pub rustup: bool,
    pub bpf_rustc: BpfRustc,
    pub bpf_linker: bool,
    pub bpf_clippy: bool,
    /// `(cargo subcommand, whether it runs)`
    pub host_tools: Vec<(&'static str, bool)>,
    /// `(package, what for, whether what it brings is there)`
    pub packages: Vec<(&'static str, &'static str, bool)>,
}

impl Machine {
    /// Looks for everything in `scope`. Starts a handful of compilers with `--version`.
    pub fn look(scope: Scope) -> Self {
        let rustup = on_path("rustup");
        let bpf_rustc = BpfRustc::look(rustup);
        let mut packages = vec![
            ("gcc", "links everything", on_path("gcc")),
            ("g++", "compiles the demo", on_path("g++")),
        ];
        let mut host_tools = Vec::new();
        let mut bpf_clippy = true;
        if matches!(scope, Scope::Packages | Scope::PackagesTried) {
            host_tools.push(("deb", on_path("cargo-deb")));
            let unpacks = "takes the package apart again, for the tarball";
            packages.extend([
                ("binutils", unpacks, on_path("ar")),
                ("xz-utils", unpacks, on_path("xz")),
            ]);
        }
        if scope == Scope::PackagesTried {
            let tries = "makes a system to install the package in";
            packages.push(("debootstrap", tries, on_path("debootstrap")));
        }
        if scope == Scope::Everything {
            packages.extend(for_the_tests());
            for tool in ["clippy", "fmt"] {
                host_tools.push((tool, run::succeeds(run::cargo().args([tool, "--version"]))));
            }
            bpf_clippy = match &bpf_rustc {
                BpfRustc::Ready { sysroot, .. } => sysroot.join("bin/cargo-clippy").is_file(),
                BpfRustc::Missing | BpfRustc::Unlinked => false,
            };
        }
        Self {
            rustup,
            bpf_rustc,
            bpf_linker: on_path("bpf-linker"),
            bpf_clippy,
            host_tools,
            packages,
        }
    }

    /// What of it is missing, in the order in which it is to be installed.
    pub fn missing(&self) -> Vec<Need> {
        let Self {
            rustup: _,
            bpf_rustc,
            bpf_linker,
            bpf_clippy,
            host_tools,
            packages,
        } = self;
        let mut missing: Vec<Need> = packages
            .iter()
            .filter(|(_, _, there)| !there)
            .map(|&(name, why, _)| Need::Package { name, why })
            .collect();
        match bpf_rustc {
            BpfRustc::Missing => missing.push(Need::BpfRustc),
            BpfRustc::Unlinked => missing.push(Need::LinkedToolchain),
            BpfRustc::Ready { .. } => {}
        }
        if !bpf_linker {
            let llvm = match bpf_rustc {
                BpfRustc::Ready { llvm, .. } => *llvm,
                BpfRustc::Missing | BpfRustc::Unlinked => USUAL_LLVM,
            };
            missing.push(Need::BpfLinker { llvm });
        }
        let tools = host_tools.iter().filter(|(_, runs)| !runs);
        missing.extend(tools.map(|&(tool, _)| Need::HostTool { tool }));
        if !bpf_clippy {
            missing.push(Need::BpfClippy);
        }
        missing
    }
}

/// What the tests and the benchmark take from the machine: `(package, what for, whether what it
/// brings is there)`.
fn for_the_tests() -> Vec<(&'static str, &'static str, bool)> {
    let preloaded = "an allocator that the tests preload";
    let real = "a program for the tests that nobody here wrote";
    vec![
        ("libjemalloc2", preloaded, library("libjemalloc.so.2")),
        (
            "libtcmalloc-minimal4",
            preloaded,
            library("libtcmalloc_minimal.so.4"),
        ),
        ("libmimalloc2.0", preloaded, library("libmimalloc.so.2")),
        (
            "musl-tools",
            "a C library for the tests",
            on_path("musl-gcc"),
        ),
        (
            "libc6-arm64-cross",
            "a library of another machine, for the tests of unwind tables",
            Path::new("/usr/aarch64-linux-gnu/lib/libc.so.6").exists(),
        ),
        (
            "binutils",
            "what the tests compare unwind tables with",
            on_path("readelf"),
        ),
        ("gdb", "what the tests compare stacks with", on_path("gdb")),
        (
            "qemu-system-x86",
            "virtual machines with other kernels, for the tests",
            on_path("qemu-system-x86_64"),
        ),
        (
            "bpftrace",
            "another profiler, for the tests beside it",
            on_path("bpftrace"),
        ),
        (
            "golang-go",
            "another language's compiler, for test programs, and programs made with it",
            on_path("go"),
        ),
        (
            "systemd",
            "what the tests judge the unit with; it is not started",
            on_path("systemd-analyze"),
        ),
        (
            "man-db",
            "what the tests read the man pages with",
            on_path("man"),
        ),
        ("python3", real, Path::new("/usr/bin/python3").exists()),
        ("nodejs", real, on_path("node")),
        ("redis-server", real, on_path("redis-server")),
        (
            "prometheus",
            "what reads the daemon's metrics in the tests",
            on_path("promtool"),
        ),
        (
            "chromium",
            "what opens the page in the tests",
            on_path("chromium"),
        ),
        (
            "curl",
            "who asks the daemon over its socket in the tests",
            on_path("curl"),
        ),
        ("redis-tools", real, on_path("redis-cli")),
        (
            "sqlite3",
            "a program for the benchmark that nobody here wrote",
            on_path("sqlite3"),
        ),
    ]
}

fn library(name: &str) -> bool {
    LIBRARY_DIRS
        .iter()
        .any(|dir| Path::new(dir).join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            rustup: true,
            bpf_rustc: BpfRustc::Ready {
                toolchain: LINKED_TOOLCHAIN,
                sysroot: "/usr".into(),
                llvm: 21,
            },
            bpf_linker: true,
            bpf_clippy: true,
            host_tools: vec![("clippy", true), ("fmt", true)],
            packages: vec![("gcc", "why", true), ("musl-tools", "why", true)],
        }
    }

    #[test]
    fn nothing_is_missing_where_all_is_there() {
        assert_eq!(machine().missing(), []);
    }

    #[test]
    fn each_lack_is_named() {
        let mut bare = machine();
        bare.bpf_rustc = BpfRustc::Missing;
        bare.bpf_linker = false;
        bare.bpf_clippy = false;
        bare.host_tools[1].1 = false;
        bare.packages[1].2 = false;
        assert_eq!(
            bare.missing(),
            [
                Need::Package {
                    name: "musl-tools",
                    why: "why"
                },
                Need::BpfRustc,
                Need::BpfLinker { llvm: USUAL_LLVM },
                Need::HostTool { tool: "fmt" },
                Need::BpfClippy,
            ]
        );
    }

    #[test]
    fn the_linker_is_built_with_the_compilers_llvm() {
        let mut machine = machine();
        machine.bpf_linker = false;
        assert_eq!(machine.missing(), [Need::BpfLinker { llvm: 21 }]);
    }

    #[test]
    fn an_unlinked_toolchain_is_only_linked() {
        let mut machine = machine();
        machine.bpf_rustc = BpfRustc::Unlinked;
        assert_eq!(machine.missing(), [Need::LinkedToolchain]);
    }
}
