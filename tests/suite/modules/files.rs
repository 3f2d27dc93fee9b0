//! Files that are hidden in namespaces, deleted, replaced, or stripped.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use unfreed_tests::build::{self, Linkage};

use crate::recorded::{self, Recorded, check_sites, in_namespaces};
use crate::session::{self, Session};
use crate::toolchain;

/// What `endings.c` keeps.
const KEPT: (&str, u64, u64) = ("site_kept", 300 * 1999, 300);

#[test]
fn a_program_in_namespaces_of_its_own_is_recorded_and_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = build::program("endings", Linkage::Dynamic)?;
    // The only copy of the program that runs is in a file system that nobody else sees.
    let script = r#"mount -t tmpfs none "$1"; cp "$2" "$1/hidden"; exec "$1/hidden" exit"#;
    let (target, pid) = in_namespaces(script, &[directory.path(), &program])?;
    ensure!(
        !directory.path().join("hidden").exists(),
        "it is not hidden"
    );
    let mut case = Recorded::attach(target, pid, &[])?;
    case.work()?;
    let result = case.stop()?;
    check_sites(&result, &[KEPT])?;
    let exe = directory.path().join("hidden");
    ensure!(
        result["target"]["exe"] == *exe.to_string_lossy(),
        "exe: {}",
        result["target"]
    );
    Ok(())
}

#[test]
fn a_static_program_in_a_changed_root_is_recorded_and_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = build::program("endings", Linkage::Static)?;
    let script = r#"mount -t tmpfs none "$1"; cp "$2" "$1/hidden"; exec chroot "$1" /hidden exit"#;
    let (target, pid) = in_namespaces(script, &[directory.path(), &program])?;
    let mut case = Recorded::attach(target, pid, &[])?;
    case.work()?;
    check_sites(&case.stop()?, &[KEPT])
}

/// A program and a library of its own, with other builds of both.
struct Linked {
    directory: tempfile::TempDir,
}

impl Linked {
    fn build() -> Result<Self> {
        let linked = Self {
            directory: tempfile::tempdir()?,
        };
        for (program, library, defines) in [
            ("program", "library.so", [""; 2]),
            (
                "other",
                "other.so",
                ["site_other_program", "site_other_library"],
            ),
        ] {
            let define = |site: &str| match site {
                "" => "-DUNCHANGED".to_owned(),
                site => format!("-DSITE={site}"),
            };
            let library = linked.path(library);
            toolchain::library("mod_library.c", &library, &[&define(defines[1])])?;
            let define = define(defines[0]);
            let options = [define.as_ref(), library.as_os_str()];
            toolchain::compile("mod_linked.c", &linked.path(program), &options)?;
        }
        Ok(linked)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the program, lets `change` do its work on the files, and then records.
    fn check(&self, change: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let target = Session::ready(&mut Command::new(self.path("program")))?;
        change(self)?;
        let pid = target.pid();
        let mut case = Recorded::attach(target, pid, &[])?;
        case.work()?;
        check_sites(
            &case.stop()?,
            &[
                ("site_in_program", 300 * 1999, 300),
                ("site_in_library", 200 * 2003, 200),
            ],
        )
    }
}

#[test]
fn a_deleted_program_and_library_keep_their_names() -> Result<()> {
    Linked::build()?.check(|linked| {
        std::fs::remove_file(linked.path("program"))?;
        std::fs::remove_file(linked.path("library.so"))?;
        Ok(())
    })
}

#[test]
fn a_replaced_program_and_library_keep_the_old_ones_names() -> Result<()> {
    Linked::build()?.check(|linked| {
        std::fs::rename(linked.path("other"), linked.path("program"))?;
        std::fs::rename(linked.path("other.so"), linked.path("library.so"))?;
        Ok(())
    })
}

/// `endings`, static, with and without its symbols.
struct Stripped {
    directory: tempfile::TempDir,
    unstripped: PathBuf,
}

impl Stripped {
    fn build() -> Result<Self> {
        let unstripped = build::program("endings", Linkage::Static)?;
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("stripped");
        std::fs::copy(&unstripped, &path)?;
        toolchain::strip(&path)?;
        Ok(Self {
            directory,
            unstripped,
        })
    }

    fn start(&self) -> Result<Session> {
        Session::ready(Command::new(self.directory.path().join("stripped")).arg("exit"))
    }

    fn check(&self, target: Session) -> Result<()> {
        let pid = target.pid();
        let copy = self.unstripped.to_string_lossy();
        let mut case = Recorded::attach(target, pid, &["--allocator", &copy])?;
        case.work()?;
        let result = case.stop()?;
        let totals = recorded::report(&result)?.totals;
        let (taken, unfreed) = (totals.taken, totals.unfreed);
        ensure!(
            (unfreed.bytes, unfreed.count) == (KEPT.1, KEPT.2),
            "unfreed: {unfreed}"
        );
        ensure!(taken.count == 500, "taken: {taken}");
        // The copy also has the names.
        check_sites(&result, &[KEPT])
    }
}

#[test]
fn a_stripped_static_program_is_exact_with_its_unstripped_copy() -> Result<()> {
    let stripped = Stripped::build()?;
    stripped.check(stripped.start()?)
}

#[test]
fn the_unstripped_copy_of_a_deleted_program_is_used() -> Result<()> {
    let stripped = Stripped::build()?;
    let target = stripped.start()?;
    std::fs::remove_file(stripped.directory.path().join("stripped"))?;
    stripped.check(target)
}

#[test]
fn a_copy_of_another_program_is_refused() -> Result<()> {
    let stripped = Stripped::build()?;
    let mut target = stripped.start()?;
    let other = build::program("functions", Linkage::Static)?;
    let pid = target.pid().to_string();
    let ended = session::run(&["heap", "-p", &pid, "--allocator", &other.to_string_lossy()])?;
    let said = &ended.stderr;
    ensure!(ended.status.code() == Some(1), "{}: {said}", ended.status);
    for part in ["--allocator", "not an unstripped copy", "same build"] {
        ensure!(said.contains(part), "{part:?} is not in: {said}");
    }
    ensure!(!said.contains("recording"), "{said}");
    // The target is unharmed.
    target.tell("go")?;
    target.expect("done")?;
    target.tell("end")?;
    let status = target.end()?.status;
    ensure!(status.success(), "the target ended with {status}");
    Ok(())
}
