//! Builds the test programs, each once per run, into `target/programs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, bail};

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

/// How a C or C++ program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linkage {
    /// Against the system's shared C library.
    Dynamic,
    /// Against its static one.
    Static,
    /// Against musl's shared library.
    Musl,
    /// Against musl's static one.
    MuslStatic,
}

/// What is to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Recipe {
    Program(&'static str, Linkage),
    Plugin(&'static str, Linkage),
    Rust(&'static str),
    Frameless(&'static str, Linkage),
    FramelessRust(&'static str),
}

type Built = Arc<OnceLock<Result<PathBuf, String>>>;

/// The executable of `programs/NAME.c` or `programs/NAME.cc`.
pub fn program(name: &'static str, linkage: Linkage) -> Result<PathBuf> {
    once(Recipe::Program(name, linkage))
}

/// The shared library of `programs/NAME.c`.
pub fn plugin(name: &'static str, linkage: Linkage) -> Result<PathBuf> {
    once(Recipe::Plugin(name, linkage))
}

/// The executable of `programs/rust-ledger` with this feature; none when it is empty.
pub fn rust(feature: &'static str) -> Result<PathBuf> {
    once(Recipe::Rust(feature))
}

/// The executable of `programs/NAME.c` or `programs/NAME.cc`, without frame pointers and with what
/// it needs to know its chains of callers.
pub fn frameless(name: &'static str, linkage: Linkage) -> Result<PathBuf> {
    once(Recipe::Frameless(name, linkage))
}

/// The same of `programs/NAME.rs`.
pub fn frameless_rust(name: &'static str) -> Result<PathBuf> {
    once(Recipe::FramelessRust(name))
}

fn once(recipe: Recipe) -> Result<PathBuf> {
    static BUILT: OnceLock<Mutex<HashMap<Recipe, Built>>> = OnceLock::new();
    let built = BUILT
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(recipe)
        .or_default()
        .clone();
    // Outside of the map's lock: different programs are built at the same time.
    let result = built.get_or_init(|| build(recipe).map_err(|error| format!("{error:#}")));
    result.clone().map_err(|error| anyhow!(error))
}

fn build(recipe: Recipe) -> Result<PathBuf> {
    let directory = paths::target()?.join("programs");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    match recipe {
        Recipe::Program(name, linkage) => compile(&directory, name, linkage, Kind::Program),
        Recipe::Plugin(name, linkage) => compile(&directory, name, linkage, Kind::Plugin),
        Recipe::Frameless(name, linkage) => compile(&directory, name, linkage, Kind::Frameless),
        Recipe::FramelessRust(name) => rustc(&directory, name),
        Recipe::Rust(feature) => cargo(&directory, feature),
    }
}

/// What a C or C++ source becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    Plugin,
    Frameless,
}

fn compile(directory: &Path, name: &str, linkage: Linkage, kind: Kind) -> Result<PathBuf> {
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
    let suffix = match linkage {
        Linkage::Dynamic => "",
        Linkage::Static => "-static",
        Linkage::Musl => "-musl",
        Linkage::MuslStatic => "-musl-static",
    };
    let extension = if kind == Kind::Plugin { ".so" } else { "" };
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
    in_place(
        &directory.join(format!("{name}{suffix}{extension}")),
        |output| run(command.arg("-o").arg(output), package),
    )
}

/// With the C of its ledger linked in.
fn rustc(directory: &Path, name: &str) -> Result<PathBuf> {
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
    in_place(&directory.join(name), |output| {
        run(command.arg("-o").arg(output), "rustc")
    })
}

/// In a target directory of its own: its features and flags are of no use to any other package.
fn cargo(directory: &Path, feature: &str) -> Result<PathBuf> {
    static TURN: Mutex<()> = Mutex::new(());
    // The three variants are one executable of one target directory.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let target = directory.join("rust");
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
    let name = if feature.is_empty() {
        "system"
    } else {
        feature
    };
    in_place(&directory.join(format!("rust-{name}")), |output| {
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
