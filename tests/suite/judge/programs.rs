//! The programs that gdb judges: without frame pointers, optimized.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use unfreed_tests::paths;

use crate::toolchain::succeed;

/// No debug information: what gdb then knows of frames is unwind information alone.
const FLAGS: &[&str] = &[
    "-O2",
    "-g0",
    "-fomit-frame-pointer",
    "-pthread",
    "-Wall",
    "-Wextra",
    "-Werror",
];

/// What the programs are written in.
#[derive(Debug, Clone, Copy)]
pub enum Language {
    C,
    Cplusplus,
    Rust,
}

/// Makes a program of `judge_NAME` and `judge.c`.
pub fn program(name: &str, language: Language, directory: &Path) -> Result<PathBuf> {
    let sources = paths::sources();
    let object = directory.join("judge.o");
    let mut judge = Command::new("gcc");
    judge.args(FLAGS).arg("-c").arg(sources.join("judge.c"));
    succeed(judge.arg("-o").arg(&object))?;

    let source = |extension| sources.join(format!("judge_{name}.{extension}"));
    let mut command = match language {
        Language::C => {
            let mut command = Command::new("gcc");
            command.args(FLAGS).arg(source("c")).arg(&object);
            command
        }
        Language::Cplusplus => {
            let mut command = Command::new("g++");
            command.args(FLAGS).arg(source("cc")).arg(&object);
            command
        }
        Language::Rust => {
            let mut command = Command::new("rustc");
            command
                .args(["-C", "opt-level=3", "--edition", "2024"])
                .args(["-C", "force-frame-pointers=no", "-C"])
                .arg(format!("link-arg={}", object.display()))
                .arg(source("rs"));
            command
        }
    };
    let output = directory.join(name);
    succeed(command.arg("-o").arg(&output))?;
    Ok(output)
}

/// Makes a shared library of `judge_NAME.c`.
pub fn library(name: &str, directory: &Path) -> Result<PathBuf> {
    let output = directory.join(format!("{name}.so"));
    let mut command = Command::new("gcc");
    command
        .args(FLAGS)
        .args(["-shared", "-fPIC", "-o"])
        .arg(&output)
        .arg(paths::sources().join(format!("judge_{name}.c")));
    succeed(&mut command)?;
    Ok(output)
}
