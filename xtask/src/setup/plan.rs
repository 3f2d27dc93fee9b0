//! What to install, and the commands for it: the same that are printed where they cannot be run.

use std::fmt;
use std::process::Command;

use anyhow::Result;

use super::apt;
use super::needs::{Machine, Need};
use super::rustc::BpfRustc;
use crate::run;
use crate::toolchain::LINKED_TOOLCHAIN;

const BPF_LINKER: &str = "bpf-linker@0.13.0";
const CARGO_DEB: &str = "cargo-deb@3.8.0";

/// Printed below the commands on a system without apt.
pub const OTHER_DISTRIBUTIONS: &str = "\
On another distribution: a C and a C++ compiler from it, then
  rustup toolchain install nightly --component rust-src --component clippy
and bpf-linker as its page says: https://github.com/aya-rs/bpf-linker
";

/// The names of Debian's Rust packages.
struct RustPackages {
    rustc: [&'static str; 3],
    clippy: &'static str,
    rustfmt: &'static str,
}

/// The newer Rust in a stable Debian's security suite, made for web browsers.
const WEB: RustPackages = RustPackages {
    rustc: ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"],
    clippy: "rust-web-clippy",
    rustfmt: "rustfmt-web",
};

/// The Rust of a newer Debian itself.
const PLAIN: RustPackages = RustPackages {
    rustc: ["rustc", "cargo", "libstd-rust-dev-bpf"],
    clippy: "rust-clippy",
    rustfmt: "rustfmt",
};

/// Packages first, then commands, each in order.
#[derive(Default)]
pub struct Plan {
    packages: Vec<String>,
    commands: Vec<Command>,
}

impl Plan {
    /// How to get all of `missing` on this machine.
    pub fn of(machine: &Machine, missing: &[Need]) -> Self {
        let web = apt::knows(WEB.rustc[2]) || !apt::knows(PLAIN.rustc[2]);
        Self::with(machine, missing, if web { &WEB } else { &PLAIN })
    }

    fn with(machine: &Machine, missing: &[Need], rust: &RustPackages) -> Self {
        let mut plan = Self::default();
        for need in missing {
            match need {
                Need::Package { name, .. } => {
                    plan.package(name);
                    if matches!(*name, "redis-server" | "prometheus") {
                        // Its package has it started at every boot; the tests start their own.
                        plan.command("update-rc.d", &[name, "disable"]);
                    }
                }
                Need::BpfRustc => {
                    rust.rustc.iter().for_each(|name| plan.package(name));
                    if machine.rustup {
                        plan.link_toolchain();
                    }
                }
                Need::LinkedToolchain => plan.link_toolchain(),
                Need::BpfLinker { llvm } => plan.bpf_linker(*llvm),
                Need::HostTool { tool } => match (machine.rustup, *tool) {
                    (_, "deb") => plan.command("cargo", &["install", CARGO_DEB, "--locked"]),
                    (true, "fmt") => plan.command("rustup", &["component", "add", "rustfmt"]),
                    (true, tool) => plan.command("rustup", &["component", "add", tool]),
                    (false, "fmt") => plan.package(rust.rustfmt),
                    (false, _) => plan.package(rust.clippy),
                },
                Need::BpfClippy => match &machine.bpf_rustc {
                    BpfRustc::Ready { toolchain, .. }
                        if machine.rustup && *toolchain != LINKED_TOOLCHAIN =>
                    {
                        let arguments = ["component", "add", "clippy", "--toolchain", toolchain];
                        plan.command("rustup", &arguments);
                    }
                    BpfRustc::Ready { .. } | BpfRustc::Missing | BpfRustc::Unlinked => {
                        plan.package(rust.clippy);
                    }
                },
            }
        }
        plan
    }

    /// Whether root is needed for it.
    pub fn needs_root(&self) -> bool {
        !self.packages.is_empty()
    }

    /// Runs it, stopping at the first failure.
    pub fn execute(mut self) -> Result<()> {
        if self.needs_root() {
            apt::install(&self.packages)?;
        }
        self.commands.iter_mut().try_for_each(run::run)
    }

    fn package(&mut self, name: &str) {
        if !self.packages.iter().any(|there| there == name) {
            self.packages.push(name.to_owned());
        }
    }

    fn command(&mut self, program: &str, arguments: &[&str]) {
        let mut command = run::program(program);
        command.args(arguments);
        self.commands.push(command);
    }

    fn link_toolchain(&mut self) {
        self.command("rustup", &["toolchain", "link", LINKED_TOOLCHAIN, "/usr"]);
    }

    fn bpf_linker(&mut self, llvm: u32) {
        self.package(&format!("llvm-{llvm}-dev"));
        self.package(&format!("libpolly-{llvm}-dev"));
        for library in ["zlib1g-dev", "libzstd-dev", "libxml2-dev"] {
            self.package(library);
        }
        let mut install = run::cargo();
        install
            .env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"))
            .args(["install", BPF_LINKER, "--locked", "--no-default-features"])
            .args(["--features", &format!("llvm-{llvm}")]);
        self.commands.push(install);
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sudo = if run::is_root() { "" } else { "sudo " };
        if self.needs_root() {
            writeln!(f, "  {sudo}apt-get update")?;
            writeln!(f, "  {sudo}apt-get install {}", self.packages.join(" "))?;
        }
        for command in &self.commands {
            let sudo = if command.get_program() == "update-rc.d" {
                sudo
            } else {
                ""
            };
            writeln!(f, "  {sudo}{}", run::shown(command))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(rustup: bool, bpf_rustc: BpfRustc) -> Machine {
        Machine {
            rustup,
            bpf_rustc,
            bpf_linker: false,
            bpf_clippy: false,
            host_tools: Vec::new(),
            packages: Vec::new(),
        }
    }

    fn commands(plan: &Plan) -> Vec<String> {
        plan.commands.iter().map(run::shown).collect()
    }

    #[test]
    fn a_fresh_debian_gets_the_recipe() {
        let machine = machine(true, BpfRustc::Missing);
        let plan = Plan::with(&machine, &machine.missing(), &WEB);
        assert_eq!(
            plan.packages,
            [
                "rustc-web",
                "cargo-web",
                "libstd-rust-web-dev-bpf",
                "llvm-22-dev",
                "libpolly-22-dev",
                "zlib1g-dev",
                "libzstd-dev",
                "libxml2-dev",
                "rust-web-clippy",
            ]
        );
        assert_eq!(
            commands(&plan),
            [
                "rustup toolchain link unfreed-bpf /usr",
                "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker@0.13.0 --locked \
                 --no-default-features --features llvm-22",
            ]
        );
    }

    #[test]
    fn without_rustup_nothing_is_linked() {
        let machine = machine(false, BpfRustc::Missing);
        let plan = Plan::with(&machine, &[Need::BpfRustc], &PLAIN);
        assert_eq!(plan.packages, PLAIN.rustc);
        assert!(plan.commands.is_empty());
    }

    #[test]
    fn clippy_comes_from_where_the_compiler_came_from() {
        let ready = |toolchain| BpfRustc::Ready {
            toolchain,
            sysroot: "/x".into(),
            llvm: 22,
        };
        let nightly = machine(true, ready("nightly"));
        let plan = Plan::with(&nightly, &[Need::BpfClippy], &WEB);
        assert!(plan.packages.is_empty());
        assert_eq!(
            commands(&plan),
            ["rustup component add clippy --toolchain nightly"]
        );
        let linked = machine(true, ready(LINKED_TOOLCHAIN));
        let plan = Plan::with(&linked, &[Need::BpfClippy], &WEB);
        assert_eq!(plan.packages, ["rust-web-clippy"]);
    }

    #[test]
    fn cargo_deb_is_built_as_it_was_released() {
        let machine = machine(true, BpfRustc::Missing);
        let plan = Plan::with(&machine, &[Need::HostTool { tool: "deb" }], &WEB);
        assert!(!plan.needs_root());
        assert_eq!(commands(&plan), ["cargo install cargo-deb@3.8.0 --locked"]);
    }

    #[test]
    fn services_do_not_stay_enabled() {
        let machine = machine(true, BpfRustc::Missing);
        let services = ["redis-server", "prometheus"].map(|name| Need::Package { name, why: "" });
        let plan = Plan::with(&machine, &services, &WEB);
        assert_eq!(
            commands(&plan),
            [
                "update-rc.d redis-server disable",
                "update-rc.d prometheus disable"
            ]
        );
    }
}
