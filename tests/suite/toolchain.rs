//! Compiles test programs in unusual ways, and takes their symbols away.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::build::FLAGS;
use unfreed_tests::paths;

/// Makes `output` of `programs/SOURCE`, with more options or files.
pub fn compile<S: AsRef<OsStr>>(source: &str, output: &Path, more: &[S]) -> Result<()> {
    let is_cplusplus = Path::new(source)
        .extension()
        .is_some_and(|extension| extension == "cc");
    let compiler = if is_cplusplus { "g++" } else { "gcc" };
    let source = paths::sources().join(source);
    let mut command = Command::new(compiler);
    command.args(FLAGS).arg(source).args(more);
    succeed(command.arg("-o").arg(output))
}

/// Makes a shared library.
pub fn library(source: &str, output: &Path, more: &[&str]) -> Result<()> {
    let options = ["-shared", "-fPIC"];
    compile(source, output, &[&options, more].concat())
}

/// Makes a program of a Rust source, with `legacy` or `v0` names.
pub fn rust(source: &str, output: &Path, mangling: &str) -> Result<()> {
    let mangling = format!("symbol-mangling-version={mangling}");
    let mut command = Command::new("rustc");
    command
        .args(["-O", "-g", "--edition", "2024", "-Z", "unstable-options"])
        .args(["-C", &mangling, "-C", "force-frame-pointers=yes", "-o"])
        .arg(output)
        .arg(paths::sources().join(source))
        // A stable compiler chooses between manglings only when told that it is not one.
        .env("RUSTC_BOOTSTRAP", "1");
    succeed(&mut command)
}

/// Takes the symbols and the debug information out of the file.
pub fn strip(path: &Path) -> Result<()> {
    succeed(Command::new("strip").arg(path))
}

/// Writes the debug information of `path`, and its symbols, to `debug`.
pub fn split(path: &Path, debug: &Path) -> Result<()> {
    let mut command = Command::new("objcopy");
    command.arg("--only-keep-debug").arg(path).arg(debug);
    succeed(&mut command)
}

/// Names the file with the debug information in `path`.
pub fn link_debug(path: &Path, debug: &Path) -> Result<()> {
    let mut option = std::ffi::OsString::from("--add-gnu-debuglink=");
    option.push(debug);
    succeed(Command::new("objcopy").arg(option).arg(path))
}

/// Runs a tool that is part of gcc, binutils or Rust.
pub fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("{name} does not run; cargo xtask setup installs it"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
