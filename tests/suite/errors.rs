//! Every refusal names the lack, its effect and the remedy, comes before anything is recorded, and
//! has the right exit status.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::paths;

use crate::session::{self, Session};

/// Runs unfreed; it must fail with this status and say all of this on stderr, and nothing on stdout.
fn refused(arguments: &[&str], status: i32, parts: &[&str]) -> Result<()> {
    check(&session::run(arguments)?, status, parts)
}

fn check(ended: &session::Ended, status: i32, parts: &[&str]) -> Result<()> {
    let said = &ended.stderr;
    ensure!(
        ended.status.code() == Some(status),
        "{}: {said}",
        ended.status
    );
    ensure!(ended.stdout.is_empty(), "on stdout: {}", ended.stdout);
    for part in parts {
        ensure!(said.contains(part), "{part:?} is not in: {said}");
    }
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

#[test]
fn no_such_pid() -> Result<()> {
    // Larger than any pid can be (PID_MAX_LIMIT is 2^22).
    refused(
        &["heap", "-p", "99999999"],
        1,
        &["no process 99999999", "pgrep"],
    )
}

#[test]
fn a_thread_is_not_a_process() -> Result<()> {
    let thread = std::thread::spawn(|| {
        let tid = nix::unistd::gettid().as_raw().to_string();
        session::run(&["heap", "-p", &tid])
    });
    let ended = thread.join().ok().context("the thread panicked")??;
    let process = format!("-p {}", std::process::id());
    check(&ended, 1, &["is a thread of process", &process])
}

#[test]
fn a_kernel_thread_has_no_memory() -> Result<()> {
    refused(&["heap", "-p", "2"], 1, &["kernel thread"])
}

#[test]
fn neither_pid_nor_command() -> Result<()> {
    refused(&["heap"], 2, &["--pid", "Usage"])
}

#[test]
fn pid_and_command() -> Result<()> {
    refused(
        &["heap", "-p", "1", "--", "true"],
        2,
        &["cannot be used with"],
    )
}

#[test]
fn a_time_that_is_none() -> Result<()> {
    refused(&["heap", "-p", "1", "-d", "soon"], 2, &["soon", "500ms"])
}

#[test]
fn an_output_directory_that_is_not_there() -> Result<()> {
    let arguments = ["heap", "-o", "/nowhere/heap.svg", "--", "/bin/false"];
    refused(&arguments, 1, &["/nowhere"])
}

#[test]
fn an_output_directory_that_is_not_writable() -> Result<()> {
    // Nobody can create files in proc, not even root.
    refused(
        &["heap", "-o", "/proc/heap.svg", "--", "/bin/false"],
        1,
        &["/proc"],
    )
}

#[test]
fn an_extension_that_tells_no_format() -> Result<()> {
    refused(
        &["heap", "-p", "1", "-o", "/tmp/heap.xyz"],
        1,
        &["heap.xyz", ".svg"],
    )
}

#[test]
fn a_command_that_is_not_there() -> Result<()> {
    refused(
        &["heap", "--", "/nowhere/program"],
        1,
        &["cannot start /nowhere/program", "executable"],
    )
}

#[test]
fn a_command_that_ends_before_it_can_be_probed() -> Result<()> {
    // Its loader finds no library of this name, and gives up.
    let directory = tempfile::tempdir()?;
    let library = directory.path().join("libgone.so");
    let source = directory.path().join("main.c");
    let program = directory.path().join("program");
    std::fs::write(&source, "int gone(void); int main(void) { return gone(); }")?;
    let code = "int gone(void) { return 0; }";
    let library_source = directory.path().join("gone.c");
    std::fs::write(&library_source, code)?;
    let compile = |command: &mut Command| -> Result<()> {
        let status = command.status().context("running gcc")?;
        ensure!(status.success(), "gcc: {status}");
        Ok(())
    };
    compile(
        Command::new("gcc")
            .args(["-shared", "-o"])
            .arg(&library)
            .arg(&library_source),
    )?;
    compile(
        Command::new("gcc")
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .arg(&library),
    )?;
    std::fs::remove_file(&library)?;
    let ended = session::run(&["heap", "--", &program.to_string_lossy()])?;
    check(
        &ended,
        1,
        &["ended before its first instruction", "exit status 127"],
    )
}

#[test]
fn a_static_stripped_program_has_no_allocator_to_be_found() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let stripped = directory.path().join("stripped");
    std::fs::copy(build::program("endings", Linkage::Static)?, &stripped)?;
    let status = Command::new("strip")
        .arg(&stripped)
        .status()
        .context("running strip")?;
    ensure!(status.success(), "strip: {status}");
    let target = Session::ready(Command::new(&stripped).arg("exit"))?;
    let pid = target.pid().to_string();
    let parts = [
        "no allocator found",
        "stripped",
        "unfreed pages",
        "--allocator",
    ];
    refused(&["heap", "-p", &pid], 1, &parts)?;
    // The target is unharmed.
    let ended = target.end()?;
    ensure!(
        ended.status.success(),
        "the target ended with {}",
        ended.status
    );
    Ok(())
}

#[test]
fn without_privileges_the_capabilities_are_named() -> Result<()> {
    let nobody = 65534;
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("unfreed");
    std::fs::copy(paths::unfreed()?, &copy)?;
    std::fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let pid = std::process::id().to_string();
    let mut command = Command::new(&copy);
    command.args(["heap", "-p", &pid]).uid(nobody).gid(nobody);
    let ended = Session::start(&mut command)?.end()?;
    check(
        &ended,
        1,
        &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "sudo", "setcap"],
    )
}

#[test]
fn a_pid_namespace_of_its_own_is_refused() -> Result<()> {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(paths::unfreed()?)
        .args(["heap", "-p", "1"]);
    let ended = Session::start(&mut command)?.end()?;
    check(&ended, 1, &["pid namespace", "--pid=host"])
}

#[test]
fn check_says_ok_here_and_names_what_is_not() -> Result<()> {
    let ended = session::run(&["check"])?;
    ensure!(ended.status.success(), "{}", ended.stdout);
    ensure!(
        ended.stdout.lines().all(|line| line.starts_with("ok ")),
        "{}",
        ended.stdout
    );
    let ended = session::run(&["check", "-p", "99999999"])?;
    ensure!(ended.status.code() == Some(1), "{}", ended.stdout);
    ensure!(
        ended.stdout.contains("no process 99999999"),
        "{}",
        ended.stdout
    );
    Ok(())
}
