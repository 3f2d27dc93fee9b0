//! Stripped programs: with their debug information in another file, or with none at all.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{INLINED, check_inlined, function};
use crate::recorded::{Recorded, frames, in_namespaces};
use crate::toolchain;

/// `sym_inlined.cc`, stripped.
struct Stripped {
    directory: tempfile::TempDir,
    /// As it was before.
    unstripped: PathBuf,
    program: PathBuf,
}

impl Stripped {
    fn build(more: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let unstripped = directory.path().join("before/program");
        let program = directory.path().join("program");
        std::fs::create_dir(directory.path().join("before"))?;
        toolchain::compile("sym_inlined.cc", &unstripped, more)?;
        std::fs::copy(&unstripped, &program)?;
        toolchain::strip(&program)?;
        Ok(Self {
            directory,
            unstripped,
            program,
        })
    }

    /// Writes the debug information to this file.
    fn debug(&self, file: &Path) -> Result<()> {
        std::fs::create_dir_all(file.parent().context("a file in no directory")?)?;
        toolchain::split(&self.unstripped, file)
    }

    /// The same, named in the program.
    fn linked(&self, file: &Path) -> Result<()> {
        self.debug(file)?;
        toolchain::link_debug(&self.program, file)
    }

    fn start(&self) -> Result<Recorded> {
        // Nothing but what the test is about.
        std::fs::remove_file(&self.unstripped)?;
        let mut case = Recorded::start(&mut Command::new(&self.program), &[])?;
        case.work()?;
        Ok(case)
    }
}

#[test]
fn a_debug_file_beside_the_program_is_used() -> Result<()> {
    let stripped = Stripped::build(&[])?;
    stripped.linked(&stripped.directory.path().join("program.debug"))?;
    check_inlined(&stripped.start()?.stop()?)
}

#[test]
fn a_debug_file_in_a_directory_for_them_is_used_even_when_the_process_is_gone() -> Result<()> {
    let stripped = Stripped::build(&[])?;
    stripped.linked(&stripped.directory.path().join(".debug/program.debug"))?;
    check_inlined(&stripped.start()?.kill()?)
}

/// Removes a file that a test had to put where everybody looks, and its directory if nobody else
/// has anything there.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // The next run of the test would only replace it.
        let _ = std::fs::remove_file(&self.0);
        if let Some(directory) = self.0.parent() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

#[test]
fn a_debug_file_is_found_by_the_build_id_alone() -> Result<()> {
    // One that no other build has.
    let unique = format!("{:08x}{:032x}", std::process::id(), 0xfeed_u32);
    let stripped = Stripped::build(&[&format!("-Wl,--build-id=0x{unique}")])?;
    let (directory, rest) = unique.split_at(2);
    let place = Path::new("/usr/lib/debug/.build-id").join(directory);
    let file = Removed(place.join(format!("{rest}.debug")));
    stripped.debug(&file.0)?;
    check_inlined(&stripped.start()?.stop()?)
}

#[test]
fn a_debug_file_in_the_targets_own_file_system_is_used_even_when_that_is_gone() -> Result<()> {
    let stripped = Stripped::build(&[])?;
    let debug = stripped.directory.path().join("program.debug");
    stripped.linked(&debug)?;
    let hidden = stripped.directory.path().join("hidden");
    std::fs::create_dir(&hidden)?;
    let script = r#"mount -t tmpfs none "$1"; mkdir "$1/.debug"; cp "$2" "$1"; cp "$3" "$1/.debug"
        exec "$1/program""#;
    let (target, pid) = in_namespaces(script, &[&hidden, &stripped.program, &debug])?;
    std::fs::remove_file(&debug)?;
    let mut case = Recorded::attach(target, pid, &[])?;
    case.work()?;
    // Its first process is gone, and with it the namespaces and the file system.
    check_inlined(&case.kill()?)
}

#[test]
fn a_debug_file_of_another_build_is_not_used() -> Result<()> {
    let stripped = Stripped::build(&[])?;
    let file = stripped.directory.path().join("program.debug");
    stripped.linked(&file)?;
    // Under the same name.
    toolchain::compile("sym_names.cc", &stripped.unstripped, &[""; 0])?;
    stripped.debug(&file)?;
    let result = stripped.start()?.stop()?;
    for frame in &frames(&result, INLINED)?[1..4] {
        let module = frame["module"].as_str().unwrap_or_default();
        let ours = module.ends_with("/program");
        ensure!(!ours || function(frame).is_empty(), "invented: {frame}");
    }
    Ok(())
}

#[test]
fn without_debug_information_an_offset_is_given_that_addr2line_takes() -> Result<()> {
    let stripped = Stripped::build(&[])?;
    let kept = stripped.directory.path().join("kept");
    std::fs::copy(&stripped.unstripped, &kept)?;
    let folded = stripped.directory.path().join("heap.folded");
    std::fs::remove_file(&stripped.unstripped)?;
    let more = ["-o", &folded.to_string_lossy()];
    let mut case = Recorded::start(&mut Command::new(&stripped.program), &more)?;
    case.work()?;
    let result = case.stop()?;
    let frames = frames(&result, INLINED)?;
    let folded = std::fs::read_to_string(&folded)?;
    for (frame, expected) in frames[1..].iter().zip(["deep::holder()", "main"]) {
        ensure!(frame.get("function").is_none(), "{frame}");
        let module = stripped.program.to_string_lossy();
        ensure!(frame["module"] == *module, "{frame}");
        let offset = frame["offset"].as_u64().context("no offset")?;
        let label = format!("[program]+{offset:#x}");
        ensure!(folded.contains(&label), "no {label} in {folded}");
        // The address that a call returns to may already belong to what comes next.
        let mut addr2line = Command::new("addr2line");
        addr2line
            .arg("-fCe")
            .arg(&kept)
            .arg(format!("{:#x}", offset - 1));
        let said = addr2line.output().context("running addr2line")?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(said.lines().next() == Some(expected), "{frame}: {said}");
    }
    Ok(())
}
