//! What systemd makes of `SystemCallFilter`, as instructions for the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Bytes of the structure that a filter reads: the system call's number, and the machine that it is of.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;

/// `AUDIT_ARCH_*` of the only system calls that `SystemCallArchitectures=native` lets through.
const NATIVE: u32 = if cfg!(target_arch = "aarch64") {
    0xC000_00B7
} else {
    0xC000_003E
};

/// Lets these system calls through, and answers all others with EPERM, as the unit's `SystemCallErrorNumber` says.
/// Names of other machines' calls are passed over. The text of a file for `filtered`.
pub fn instructions(calls: &BTreeSet<String>) -> Result<Vec<u8>> {
    let refuse = (libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()).to_ne_bytes();
    let allow = libc::SECCOMP_RET_ALLOW.to_ne_bytes();
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let give = libc::BPF_RET | libc::BPF_K;
    let numbers = numbers()?;
    let mut filter = Vec::new();
    let mut put = |code: u32, (then, or_else): (u8, u8), operand: [u8; 4]| -> Result<()> {
        filter.extend(u16::try_from(code)?.to_ne_bytes());
        filter.extend([then, or_else]);
        filter.extend(operand);
        Ok(())
    };
    put(load, (0, 0), MACHINE.to_ne_bytes())?;
    put(equal, (1, 0), NATIVE.to_ne_bytes())?;
    put(give, (0, 0), refuse)?;
    put(load, (0, 0), NUMBER.to_ne_bytes())?;
    let mut known = 0;
    for number in calls.iter().filter_map(|call| numbers.get(call)) {
        put(equal, (0, 1), number.to_ne_bytes())?;
        put(give, (0, 0), allow)?;
        known += 1;
    }
    put(give, (0, 0), refuse)?;
    ensure!(known > 100, "only {known} of the system calls are known");
    Ok(filter)
}

/// The numbers of this machine's system calls, from the C library's headers.
fn numbers() -> Result<BTreeMap<String, u32>> {
    let output = Command::new("gcc")
        .args(["-E", "-dM", "-include", "sys/syscall.h", "-x", "c"])
        .arg("/dev/null")
        .output()
        .context("running gcc")?;
    ensure!(output.status.success(), "gcc: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    Ok(text.lines().filter_map(number).collect())
}
