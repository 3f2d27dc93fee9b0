//! Hands out the test programs. They are built, each once per run, into `target/programs`; where
//! there is no compiler, `UNFREED_TEST_PROGRAMS` names a directory with what was built beforehand.

pub mod beforehand;
mod compile;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};

use crate::paths;
pub use compile::{FLAGS, FRAMELESS};

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

/// A shared library that is one of several of the same source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The library's name, without its extension.
    pub name: &'static str,
    /// The source's, too.
    pub source: &'static str,
    /// More arguments for the compiler.
    pub options: &'static [&'static str],
}

/// What is to be built. Names are those of sources, without their extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// The executable of `programs/NAME.c` or `programs/NAME.cc`.
    Program(&'static str, Linkage),
    /// The shared library of `programs/NAME.c`.
    Plugin(&'static str, Linkage),
    /// The executable of `programs/rust-ledger` with this feature; none when it is empty.
    Rust(&'static str),
    /// The executable of `programs/NAME.c` or `programs/NAME.cc`, without frame pointers and with
    /// what it needs to know its chains of callers.
    Frameless(&'static str, Linkage),
    /// The same of `programs/NAME.rs`.
    FramelessRust(&'static str),
    /// A shared library without frame pointers.
    FramelessLibrary(Variant),
    /// The executable of `programs/NAME.go`.
    Go(&'static str, GoBuild),
}

/// How Go builds a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoBuild {
    /// As it does without being told.
    Plain,
    /// Without symbols and debug information.
    Stripped,
    /// Position-independent, and the same.
    PieStripped,
}

type Built = Arc<OnceLock<Result<PathBuf, String>>>;

impl Recipe {
    /// The file, built unless it was before.
    pub fn file(self) -> Result<PathBuf> {
        static BUILT: OnceLock<Mutex<HashMap<Recipe, Built>>> = OnceLock::new();
        let built = BUILT
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(self)
            .or_default()
            .clone();
        // Outside of the map's lock: different programs are built at the same time.
        let result =
            built.get_or_init(|| self.find_or_make().map_err(|error| format!("{error:#}")));
        result.clone().map_err(|error| anyhow!(error))
    }

    /// The file's name, which is no other recipe's.
    pub fn file_name(self) -> String {
        match self {
            Self::Program(name, linkage) | Self::Frameless(name, linkage) => {
                format!("{name}{}", linkage.suffix())
            }
            Self::Plugin(name, linkage) => format!("{name}{}.so", linkage.suffix()),
            Self::Rust("") => "rust-system".to_owned(),
            Self::Rust(feature) => format!("rust-{feature}"),
            Self::FramelessRust(name) => name.to_owned(),
            Self::FramelessLibrary(variant) => format!("{}.so", variant.name),
            Self::Go(name, build) => format!("{name}{}", build.suffix()),
        }
    }

    fn find_or_make(self) -> Result<PathBuf> {
        if let Some(directory) = std::env::var_os("UNFREED_TEST_PROGRAMS") {
            return self.find(Path::new(&directory));
        }
        let directory = paths::target()?.join("programs");
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        self.make(&directory)
    }

    fn find(self, directory: &Path) -> Result<PathBuf> {
        let path = directory.join(self.file_name());
        ensure!(
            path.exists(),
            "{} was not built beforehand (UNFREED_TEST_PROGRAMS is set, so nothing is built now): \
             name {self:?} in tests/support/build/beforehand.rs",
            path.display()
        );
        Ok(path)
    }
}

impl GoBuild {
    fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "-go",
            Self::Stripped => "-go-stripped",
            Self::PieStripped => "-go-pie-stripped",
        }
    }
}

impl Linkage {
    fn suffix(self) -> &'static str {
        match self {
            Self::Dynamic => "",
            Self::Static => "-static",
            Self::Musl => "-musl",
            Self::MuslStatic => "-musl-static",
        }
    }
}

/// See [`Recipe::Program`].
pub fn program(name: &'static str, linkage: Linkage) -> Result<PathBuf> {
    Recipe::Program(name, linkage).file()
}

/// See [`Recipe::Frameless`].
pub fn frameless(name: &'static str, linkage: Linkage) -> Result<PathBuf> {
    Recipe::Frameless(name, linkage).file()
}

/// See [`Recipe::FramelessRust`].
pub fn frameless_rust(name: &'static str) -> Result<PathBuf> {
    Recipe::FramelessRust(name).file()
}

/// See [`Recipe::FramelessLibrary`].
pub fn frameless_library(variant: Variant) -> Result<PathBuf> {
    Recipe::FramelessLibrary(variant).file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_built_beforehand_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let recipe = Recipe::Program("endings", Linkage::Musl);
        let error = recipe.find(directory.path()).unwrap_err().to_string();
        assert!(error.contains("endings-musl was not built"), "{error}");
        assert!(error.contains("Program(\"endings\", Musl)"), "{error}");
        let file = directory.path().join("endings-musl");
        std::fs::write(&file, "").unwrap();
        assert_eq!(recipe.find(directory.path()).unwrap(), file);
    }
}
