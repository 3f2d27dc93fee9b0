//! `/init` of a guest of `cargo xtask vm-test`: runs the tests of `/guest/plan`, says on the console how
//! each of them ended, and ends the machine.
//!
//! The plan has a line for each test: `BINARY<TAB>TEST<TAB>SECONDS`. The console gets
//!
//! ```text
//! @@ kernel RELEASE
//! @@ begin BINARY TEST
//! @@ ok BINARY TEST SECONDS        or FAILED, or TIMEOUT, then
//! @@ | LINE                        for each line that says why
//! @@ end PASSED FAILED
//! ```
//!
//! and the machine ends by QEMU's `isa-debug-exit`: exit status 33 when all passed, 35 when not. When init itself fails, it says why with `@@ | `
//! and ends the machine as failed, without `@@ end`.

use std::fs;
use std::io::stdout;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::utsname::uname;
use unfreed_tests::guest::console::Console;
use unfreed_tests::guest::machine::{self, End};
use unfreed_tests::guest::plan;
use unfreed_tests::guest::run::{self, Verdict};

const PLAN: &str = "/guest/plan";

fn run(console: &mut Console) -> Result<End> {
    machine::mount_all()?;
    machine::raise_loopback()?;
    machine::lock_down()?;
    let kernel = uname().context("asking for the kernel's release")?;
    console.say(format_args!("kernel {}", kernel.release().display()))?;
    let text = fs::read_to_string(PLAN).with_context(|| format!("reading {PLAN}"))?;
    let (mut passed, mut failed) = (0, 0);
    for test in plan::parse(&text)? {
        console.say(format_args!("begin {test}"))?;
        let outcome = run::run(&test)?;
        let seconds = outcome.took.as_secs_f64();
        console.say(format_args!(
            "{} {test} {seconds:.1}",
            outcome.verdict.word()
        ))?;
        console.quote(&outcome.said)?;
        if outcome.verdict == Verdict::Passed {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    console.say(format_args!("end {passed} {failed}"))?;
    Ok(if failed == 0 {
        End::Passed
    } else {
        End::Failed
    })
}

/// Returns only on errors; the kernel then panics, as its first process must not end.
fn main() -> Result<()> {
    ensure!(
        std::process::id() == 1,
        "this is the first process of a guest of `cargo xtask vm-test`, and of no use elsewhere"
    );
    machine::open_exit()?;
    let mut console = Console::of(stdout().as_fd())?;
    let how = run(&mut console).or_else(|error| {
        console.quote(format!("init failed: {error:#}").as_bytes())?;
        anyhow::Ok(End::Failed)
    })?;
    machine::end(how);
    bail!("there is no isa-debug-exit to end this machine")
}
