//! What unfreed cannot do is refused with words that name the lack, before anything is touched; what it
//! can make up for itself it does.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::mount::umount;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::compare::{Side, compare};
use unfreed_tests::ledger::Ledger;
use unfreed_tests::matrix::{Allocator, Case};
use unfreed_tests::paths;
use unfreed_tests::unfreed::{Recording, Unfreed};

/// User and group id of nobody.
const NOBODY: u32 = 65534;

/// Capabilities that have to do with profiling, by number (the kernel's
/// include/uapi/linux/capability.h), and what a refusal may name in their place.
const CAPABILITIES: &[(&str, libc::c_ulong, &str)] = &[
    ("CAP_SYS_PTRACE", 19, "CAP_SYS_PTRACE"),
    ("CAP_SYS_ADMIN", 21, "CAP_SYS_ADMIN"),
    ("CAP_SYS_RESOURCE", 24, "ulimit -l"),
    ("CAP_PERFMON", 38, "CAP_PERFMON"),
    ("CAP_BPF", 39, "CAP_BPF"),
];

/// The system call by which a function with a return probe returns, x86-64, Linux 6.11 and later.
const URETPROBE: i64 = 335;

const FUNCTIONS: Case = Case {
    program: "functions",
    allocator: Allocator::Glibc,
};

const SECCOMP: Case = Case {
    program: "seccomp",
    allocator: Allocator::Glibc,
};

/// Fails unless unfreed ended with status 1 and said all of this, in few words: what the kernel's
/// verifier says has hundreds of lines.
pub fn check_refused(output: &Output, parts: &[&str]) -> Result<()> {
    let said = [&*output.stdout, &*output.stderr]
        .map(String::from_utf8_lossy)
        .join("\n");
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    for part in parts {
        ensure!(said.contains(part), "{part:?} is not in: {said}");
    }
    ensure!(said.lines().count() < 25, "that many words: {said}");
    for foreign in ["verifier", "processed", "insn", "panicked"] {
        ensure!(!said.contains(foreign), "{foreign:?} is in: {said}");
    }
    Ok(())
}

/// Runs `unfreed heap` under what `restrict` does to it; it must be refused and the target unharmed.
pub fn check_heap_refused(restrict: impl FnOnce(&mut Command), parts: &[&str]) -> Result<()> {
    let mut program = FUNCTIONS.start()?;
    let mut unfreed = Command::new(paths::unfreed()?);
    unfreed
        .args(["heap", "-p", &program.pid().to_string()])
        .stdin(Stdio::null());
    restrict(&mut unfreed);
    check_refused(&unfreed.output().context("running unfreed")?, parts)?;
    program.run()?;
    program.finish()
}

/// Takes capabilities away from what this thread executes from now on, for good.
fn drop_capabilities(capabilities: impl IntoIterator<Item = libc::c_ulong>) -> std::io::Result<()> {
    for capability in capabilities {
        // SAFETY: a system call that takes numbers.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        Errno::result(result)?;
    }
    Ok(())
}

fn check_exact(ledger: &Ledger, recording: &Recording) -> Result<()> {
    let wrong = compare(ledger, &recording.report, Side::Outstanding);
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    ensure!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
    Ok(())
}

/// Records a program that has all privileges, by an unfreed that root started without these
/// capabilities: exactly, or with the words of the refusal, the target unharmed.
fn refusal(dropped: Vec<libc::c_ulong>) -> Result<Option<String>> {
    let record = || {
        let mut program = FUNCTIONS.start()?;
        drop_capabilities(dropped)?;
        let unfreed = Unfreed::heap(program.pid(), &[]);
        let ledger = program.run()?;
        let refusal = match unfreed {
            Ok(unfreed) => {
                check_exact(&ledger, &unfreed.stop()?)?;
                None
            }
            Err(error) => Some(format!("{error:#}")),
        };
        program.finish()?;
        Ok(refusal)
    };
    // Capabilities are a thread's.
    let result = std::thread::scope(|scope| scope.spawn(record).join());
    result.ok().context("the thread panicked")?
}

#[test]
fn nobody_may_not_and_is_told_what_he_lacks() -> Result<()> {
    let parts = ["lacks CAP_", "CAP_SYS_PTRACE", "sudo", "setcap"];
    let become_nobody = |unfreed: &mut Command| {
        unfreed.uid(NOBODY).gid(NOBODY);
    };
    check_heap_refused(become_nobody, &parts)
}

#[test]
fn root_without_a_capability_is_told_which() -> Result<()> {
    // CAP_SYS_ADMIN stands for those that follow.
    for (name, number, also) in &CAPABILITIES[..3] {
        if let Some(said) = refusal(vec![*number])? {
            ensure!(
                said.contains("exit status 1 ") && (said.contains(name) || said.contains(also)),
                "without {name}: {said}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_capabilities_that_are_named_suffice() -> Result<()> {
    let mut check = Command::new(paths::unfreed()?);
    check.arg("check").uid(NOBODY).gid(NOBODY);
    let said = check.output().context("running unfreed check")?.stdout;
    let said = String::from_utf8_lossy(&said);
    let is_named = |number| {
        let mut all = CAPABILITIES.iter();
        all.any(|(name, other, _)| *other == number && said.contains(name))
    };
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
    let last: libc::c_ulong = last.trim().parse().context("the last capability")?;
    let refusal = refusal((0..=last).filter(|number| !is_named(*number)).collect())?;
    ensure!(
        refusal.is_none(),
        "named: {said}; with only these: {refusal:?}"
    );
    Ok(())
}

/// Whether a seccomp filter is asked about return probes, which then kills: the system call is there,
/// and a filter that does not list it sees it.
fn filters_see_return_probes() -> Result<bool> {
    let calls = |filtered: &str| {
        let path = build::program("seccomp", Linkage::Dynamic)?;
        let status = Command::new(path)
            .args([filtered, &URETPROBE.to_string()])
            .status()
            .context("running seccomp")?;
        anyhow::Ok(status)
    };
    // Called by anything but a return probe it ends the program, where it is there.
    let is_there = calls("unfiltered")?.signal() == Some(libc::SIGILL);
    let is_seen = match calls("filtered")?.signal() {
        Some(libc::SIGSYS) => true,
        Some(libc::SIGILL) => false,
        other => bail!("seccomp ended by {other:?}"),
    };
    Ok(is_there && is_seen)
}

#[test]
fn a_target_under_a_seccomp_filter_is_recorded_unless_that_would_kill_it() -> Result<()> {
    let deadly = filters_see_return_probes()?;
    let mut program = SECCOMP.start()?;
    let unfreed = Unfreed::heap(program.pid(), &[]);
    let ledger = program.run()?;
    match unfreed {
        Ok(unfreed) => check_exact(&ledger, &unfreed.stop()?)?,
        Err(error) => {
            let said = format!("{error:#}");
            ensure!(deadly, "refused, although it does no harm here: {said}");
            ensure!(
                said.contains("exit status 1 ") && said.contains("seccomp filter"),
                "{said}"
            );
        }
    }
    program.finish().context("the target was harmed")
}

#[test]
fn tracefs_is_mounted_where_it_is_not() -> Result<()> {
    let events = Path::new("/sys/kernel/tracing/events");
    umount("/sys/kernel/tracing").context("unmounting tracefs")?;
    ensure!(!events.exists(), "tracefs is still mounted");
    let (ledger, recording) = FUNCTIONS.record(&[])?;
    check_exact(&ledger, &recording)?;
    ensure!(events.exists(), "tracefs was not mounted");
    Ok(())
}
