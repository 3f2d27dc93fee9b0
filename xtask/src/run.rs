//! Running other programs: announced, checked, and found where cargo puts them.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// Makes what `cargo install` installs findable, for this process and its children.
///
/// Debian's cargo does not put its bin directory on `PATH`, and bpf-linker is installed there.
pub fn put_cargo_bin_on_path() {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let Some(bin) = cargo_home.map(|home| home.join("bin")) else {
        return;
    };
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|dir| dir == bin) {
        return;
    }
    // Last, so that nothing already found changes.
    if let Ok(path) = env::join_paths(env::split_paths(&path).chain([bin])) {
        // SAFETY: called first in main, before any other thread exists.
        unsafe { env::set_var("PATH", path) };
    }
}

/// The workspace's root directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// The cargo that runs this task, started in the workspace's root.
pub fn cargo() -> Command {
    program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program started in the workspace's root, without standard input.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The target directory, whichever way it was chosen: this program is in its `debug` directory.
pub fn target_dir() -> Result<PathBuf> {
    let this = env::current_exe().context("finding this program's own path")?;
    this.ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .with_context(|| format!("{} is not in a target directory", this.display()))
}

/// Builds every crate for the host with its tests, and with them the eBPF object.
///
/// All targets in one go: `cargo test` then finds everything built with the same features.
pub fn build_debug() -> Result<()> {
    run(cargo().args(["build", "--all-targets"]))
}

/// Where [`build_debug`] leaves a binary.
pub fn debug_binary(name: &str) -> Result<PathBuf> {
    Ok(target_dir()?.join("debug").join(name))
}

/// Prints the command, runs it, and fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command
        .status()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "`{}`: {status}", shown(command));
    Ok(())
}

/// Runs the command silently; its exit status may be anything.
pub fn output(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("starting {}", command.get_program().display()))
}

/// Whether the command can be started and succeeds; its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Prints the command as a person would type it.
pub fn announce(command: &Command) {
    eprintln!("+ {}", shown(command));
}

/// The command as a person would type it: changed variables, program, arguments.
pub fn shown(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), quoted(value?))));
    let program = Path::new(command.get_program());
    // A toolchain's own cargo has a long path; its name is what a person would type.
    let program = program.file_name().unwrap_or(program.as_os_str());
    variables
        .chain([quoted(program)])
        .chain(command.get_args().map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut command = Command::new("/long/way/to/cargo");
        command.env("RUSTFLAGS", "-D warnings").env_remove("GONE");
        command.args(["doc", "--no-deps", "it's"]);
        assert_eq!(
            shown(&command),
            r"RUSTFLAGS='-D warnings' cargo doc --no-deps 'it'\''s'"
        );
    }
}
