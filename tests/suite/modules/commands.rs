//! Commands of every kind, recorded from their first instruction: as if unfreed were not there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use unfreed_tests::build::{self, Linkage};

use crate::recorded::{self, check_sites, run};
use crate::session::{self, Session};
use crate::toolchain;

/// What `endings.c` keeps.
const KEPT: (&str, u64, u64) = ("site_kept", 300 * 1999, 300);

/// Runs this build of `endings.c`.
fn check_program(program: &Path, environment: &[(&str, &str)]) -> Result<Value> {
    let program = program.to_string_lossy();
    let finished = run(&[&program, "at-once"], environment, &[])?;
    ensure!(
        finished.stdout == "ready\ndone\n",
        "stdout: {}",
        finished.stdout
    );
    ensure!(
        finished.result["ended"] == "the target exited with status 7",
        "{}",
        finished.result["ended"]
    );
    check_sites(&finished.result, &[KEPT])?;
    Ok(finished.result)
}

#[test]
fn a_static_command() -> Result<()> {
    check_program(&build::program("endings", Linkage::Static)?, &[]).map(drop)
}

#[test]
fn a_static_position_independent_command() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("static-pie");
    toolchain::compile("endings.c", &program, &["-static-pie"])?;
    check_program(&program, &[]).map(drop)
}

#[test]
fn a_musl_command() -> Result<()> {
    check_program(&build::program("endings", Linkage::Musl)?, &[]).map(drop)
}

#[test]
fn a_static_musl_command() -> Result<()> {
    check_program(&build::program("endings", Linkage::MuslStatic)?, &[]).map(drop)
}

#[test]
fn a_command_with_a_preloaded_allocator() -> Result<()> {
    let program = build::program("endings", Linkage::Dynamic)?;
    let result = check_program(&program, &[("LD_PRELOAD", "libjemalloc.so.2")])?;
    let kept = recorded::frames(&result, KEPT.1)?;
    let module = kept[0]["module"].as_str().unwrap_or_default();
    ensure!(module.contains("libjemalloc"), "taken from {module}");
    Ok(())
}

#[test]
fn a_script_with_its_arguments_environment_and_input() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let script = directory.path().join("script");
    std::fs::write(
        &script,
        "#!/bin/sh\necho \"$#:$1:$2:$UNFREED_TEST\"\nread -r line\necho \"read $line\"\nexit 3\n",
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let path = script.to_string_lossy();
    let finished = run(
        &[&path, "one two", "-d"],
        &[("UNFREED_TEST", "passed  on")],
        &["a line"],
    )?;
    ensure!(
        finished.stdout == "2:one two:-d:passed  on\nread a line\n",
        "stdout: {}",
        finished.stdout
    );
    let Value::Object(target) = &finished.result["target"] else {
        anyhow::bail!("no target");
    };
    ensure!(target["comm"] == "script", "{target:?}");
    ensure!(
        finished.result["ended"] == "the target exited with status 3",
        "{}",
        finished.result["ended"]
    );
    // A shell allocates.
    let taken = recorded::report(&finished.result)?.totals.taken;
    ensure!(taken.count > 0, "taken: {taken}");
    Ok(())
}

#[test]
fn a_command_keeps_the_limits_that_unfreed_was_started_with() -> Result<()> {
    // unfreed raises its own limit of open files for the sake of its probes.
    let unfreed = session::unfreed(&["heap", "-q", "--", "sh", "-c", "ulimit -Sn"])?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -Sn 256; exec \"$@\"", "sh"])
        .arg(unfreed.get_program())
        .args(unfreed.get_args());
    let ended = Session::start(&mut command)?.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let first = ended.stdout.lines().next();
    ensure!(
        first == Some("256"),
        "the command's limit: {}",
        ended.stdout
    );
    Ok(())
}

#[test]
fn what_a_commands_children_do_is_theirs() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("mod_forking");
    toolchain::compile::<&str>("mod_forking.c", &program, &[])?;
    let finished = run(&[&program.to_string_lossy()], &[], &[])?;
    ensure!(
        finished.result["ended"] == "the target exited with status 0",
        "{}",
        finished.result["ended"]
    );
    check_sites(&finished.result, &[("site_parent", 90 * 1999, 90)])
}

#[test]
fn constructors_are_counted() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("mod_constructors");
    let library = directory.path().join("mod_constructing.so");
    toolchain::library("mod_constructing.c", &library, &[])?;
    toolchain::compile(
        "mod_constructors.cc",
        &program,
        &["-Wl,--no-as-needed".as_ref(), library.as_os_str()],
    )?;
    let finished = run(&[&program.to_string_lossy()], &[], &[])?;
    check_sites(
        &finished.result,
        &[
            ("site_library", 40 * 907, 40),
            ("site_early", 30 * 701, 30),
            ("site_object", 70 * 1009, 70),
            ("site_main", 503, 1),
        ],
    )
}

/// A program for 32-bit processors, without any library; it exits with 7.
fn program_of_32_bits(directory: &Path) -> Result<std::path::PathBuf> {
    let source = directory.join("small.c");
    let program = directory.join("small");
    let code = r#"
        static int call(int number, int first, const void *second, int third) {
            __asm__ volatile("int $0x80" : "+a"(number)
                             : "b"(first), "c"(second), "d"(third) : "memory");
            return number;
        }
        void _start(void) {
            volatile char byte = 0;
            call(4, 1, "ready\n", 6);
            while (byte != '\n' && call(3, 0, (const void *)&byte, 1) == 1) {
            }
            call(1, 7, 0, 0);
        }"#;
    std::fs::write(&source, code)?;
    toolchain::succeed(
        Command::new("gcc")
            .args(["-m32", "-O1", "-nostdlib", "-static", "-ffreestanding"])
            .arg("-fno-stack-protector")
            .arg("-o")
            .args([&program, &source]),
    )?;
    Ok(program)
}

#[test]
fn a_32_bit_process_is_refused_and_unharmed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = program_of_32_bits(directory.path())?;
    let mut target = Session::ready(&mut Command::new(program))?;
    let ended = session::run(&["heap", "-p", &target.pid().to_string()])?;
    refused(&ended, "32-bit")?;
    target.tell("end")?;
    let status = target.end()?.status;
    ensure!(status.code() == Some(7), "the target ended with {status}");
    Ok(())
}

#[test]
fn a_32_bit_command_is_refused_and_does_not_run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = program_of_32_bits(directory.path())?;
    let ended = session::run(&["heap", "--", &program.to_string_lossy()])?;
    refused(&ended, "32-bit")?;
    ensure!(ended.stdout.is_empty(), "it ran: {}", ended.stdout);
    Ok(())
}

#[test]
fn a_command_without_an_allocator_is_refused_and_does_not_run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("stripped");
    std::fs::copy(build::program("endings", Linkage::Static)?, &program)?;
    toolchain::strip(&program)?;
    let ended = session::run(&["heap", "--", &program.to_string_lossy(), "at-once"])?;
    refused(&ended, "no allocator found")?;
    // Running on, unrecorded, with nobody waiting for it, it would surprise.
    ensure!(ended.stdout.is_empty(), "it ran: {}", ended.stdout);
    Ok(())
}

fn refused(ended: &session::Ended, why: &str) -> Result<()> {
    let said = &ended.stderr;
    ensure!(ended.status.code() == Some(1), "{}: {said}", ended.status);
    ensure!(said.contains(why), "{why:?} is not in: {said}");
    // Programs wait for this line.
    let announced = said.lines().any(|line| line.starts_with("recording"));
    ensure!(!announced, "announced as recording: {said}");
    Ok(())
}
