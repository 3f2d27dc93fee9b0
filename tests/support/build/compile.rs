//! The compilers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::{GoBuild, Linkage, Recipe, Variant};
use crate::paths;

/// Stacks have to be readable by frame pointers, every call has to have a frame, and the compiler
/// must not remove an allocation.
pub const FLAGS: &[&str] = &[
    "-O2",
    "-g",
    "-fno-omit-frame-pointer",
    "-mno-omit-leaf-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fno-builtin",
    "-Wall",
    "-Wextra",
    "-Werror",
];

/// What distributions use: no frame pointers, and calls at the end of a function become jumps.
pub const FRAMELESS: &[&str] = &[
    "-O2",
    "-g",
    "-fomit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-Werror",
];

impl Recipe {
    /// Builds it in this directory, which has to exist.
    pub(super) fn make(self, directory: &Path) -> Result<PathBuf> {
        let output = &directory.join(self.file_name());
        match self {
            Self::Program(name, linkage) => compile(output, name, linkage, Kind::Program),
            Self::Plugin(name, linkage) => compile(output, name, linkage, Kind::Plugin),
            Self::Frameless(name, linkage) => compile(output, name, linkage, Kind::Frameless),
            Self::FramelessRust(name) => rustc(output, name),
            Self::FramelessLibrary(variant) => library(output, variant),
            Self::Rust(feature) => cargo(output, feature),
            Self::Go(name, build) => go(output, name, build),
        }
    }
}

/// What a C or C++ source becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    Plugin,
    Frameless,
}

fn compile(output: &Path, name: &str, linkage: Linkage, kind: Kind) -> Result<PathBuf> {
    let sources = paths::sources();
    let cplusplus = sources.join(format!("{name}.cc"));
    let source = if cplusplus.exists() {
        &cplusplus
    } else {
        &sources.join(format!("{name}.c"))
    };
    let (compiler, package) = match linkage {
        Linkage::Musl | Linkage::MuslStatic => ("musl-gcc", "musl-tools"),
        Linkage::Dynamic | Linkage::Static if cplusplus.exists() => ("g++", "g++"),
        Linkage::Dynamic | Linkage::Static => ("gcc", "gcc"),
    };
    let flags = match kind {
        Kind::Program | Kind::Plugin => FLAGS,
        Kind::Frameless => FRAMELESS,
    };
    let mut command = Command::new(compiler);
    command.args(flags).arg(source);
    if kind == Kind::Plugin {
        command.args(["-shared", "-fPIC"]);
    } else {
        // g++ takes the ledger for C, too.
        command
            .args(["-x", "c"])
            .arg(sources.join("ledger.c"))
            .args(["-pthread", "-rdynamic"]);
    }
    if kind == Kind::Frameless {
        command.arg(sources.join("chain_shadow.c"));
    }
    if matches!(linkage, Linkage::Static | Linkage::MuslStatic) {
        command.args(["-static", "-DLEDGER_STATIC"]);
    }
    in_place(output, |output| run(command.arg("-o").arg(output), package))
}

/// Every function of it has a frame, though no frame pointer.
fn library(output: &Path, variant: Variant) -> Result<PathBuf> {
    let mut command = Command::new("gcc");
    command
        .args(FLAGS)
        .args(FRAMELESS)
        .args(variant.options)
        .args(["-shared", "-fPIC"])
        .arg(paths::sources().join(format!("{}.c", variant.source)));
    in_place(output, |output| run(command.arg("-o").arg(output), "gcc"))
}

/// With the C of its ledger linked in.
fn rustc(output: &Path, name: &str) -> Result<PathBuf> {
    let directory = output.parent().context("a program without a directory")?;
    let sources = paths::sources();
    let mut objects = Vec::new();
    for part in ["ledger", "chain_shadow"] {
        let object = directory.join(format!("{part}.o"));
        let mut command = Command::new("gcc");
        command
            .args(FRAMELESS)
            .arg("-c")
            .arg(sources.join(format!("{part}.c")));
        objects.push(in_place(&object, |output| {
            run(command.arg("-o").arg(output), "gcc")
        })?);
    }
    let mut command = Command::new("rustc");
    command
        .args(["-O", "-g", "--edition", "2024"])
        .args(["-C", "force-frame-pointers=no"])
        .args(["-C", "symbol-mangling-version=v0"]);
    for object in &objects {
        command
            .arg("-C")
            .arg(format!("link-arg={}", object.display()));
    }
    command.arg(sources.join(format!("{name}.rs")));
    in_place(output, |output| run(command.arg("-o").arg(output), "rustc"))
}

/// Go compiles its own library once for each way of building.
fn go(output: &Path, name: &str, build: GoBuild) -> Result<PathBuf> {
    let directory = output.parent().context("a program without a directory")?;
    let arguments: &[&str] = match build {
        GoBuild::Plain => &[],
        GoBuild::Stripped => &["-ldflags=-s -w"],
        GoBuild::PieStripped => &["-ldflags=-s -w", "-buildmode=pie"],
    };
    let mut command = Command::new("go");
    command
        .arg("build")
        .args(arguments)
        .env("GO111MODULE", "off")
        .env("GOCACHE", directory.join("go"));
    let source = paths::sources().join(format!("{name}.go"));
    in_place(output, |output| {
        run(command.arg("-o").arg(output).arg(source), "golang-go")
    })
}

/// In a target directory of its own: its features and flags are of no use to any other package.
fn cargo(output: &Path, feature: &str) -> Result<PathBuf> {
    static TURN: Mutex<()> = Mutex::new(());
    // The three variants are one executable of one target directory.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let target = output.with_file_name("rust");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--features",
            feature,
            "--manifest-path",
        ])
        .arg(paths::sources().join("rust-ledger/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C force-frame-pointers=yes");
    run(&mut command, "cargo")?;
    in_place(output, |output| {
        std::fs::copy(target.join("release/rust-ledger"), output)
            .map(drop)
            .with_context(|| format!("copying the program to {}", output.display()))
    })
}

/// Makes a file under another name and renames it: one that runs is not written to.
fn in_place(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    make(&temporary)?;
    std::fs::rename(&temporary, path).with_context(|| format!("renaming to {}", path.display()))?;
    Ok(path.to_owned())
}

fn run(command: &mut Command, package: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!("{name} does not run: install {package} (apt-get install {package}, or cargo xtask setup)")
    })?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
