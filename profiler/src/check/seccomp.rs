//! Whether return probes are safe in a process with a seccomp filter: tried on a child of our own.
//!
//! Since Linux 6.11 (commit ff474a78cef5) a function with a return probe returns, on x86-64, through
//! a system call of its own, which filters written before do not know: most kill the process for it.
//! Linux 6.14 (cf6cb56ef244) does not ask filters about that call any more, and stable kernels took
//! that over at different times; so this is asked of the kernel itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, bail};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::uprobe;

/// `__NR_uretprobe`, `arch/x86/entry/syscalls/syscall_64.tbl`.
const URETPROBE: u32 = 335;

/// Whether a process lives on whose seccomp filter kills it for every system call it does not know,
/// when a function of it has a return probe. Takes about as long as it takes to remove a probe.
pub fn spares_return_probes(sysfs: &Path) -> anyhow::Result<bool> {
    if !cfg!(target_arch = "x86_64") {
        // Other machines return by a breakpoint.
        return Ok(true);
    }
    survives(sysfs, URETPROBE).context("trying whether seccomp filters and return probes get along")
}

/// Whether a process that is killed for the system call `denied` survives
/// [`uprobe::probed`] with a return probe on it.
fn survives(sysfs: &Path, denied: u32) -> anyhow::Result<bool> {
    let (go, told) = nix::unistd::pipe().context("making a pipe")?;
    let (mut go, mut told) = (File::from(go), File::from(told));
    // SAFETY: the child makes system calls until it ends, and nothing else: no allocation, no lock.
    match unsafe { fork() }.context("starting a process for it")? {
        ForkResult::Child => {
            let mut byte = [0];
            // At the end of the pipe, too: then it ends without being waited for.
            let _ = go.read(&mut byte);
            let filtered = install_filter(denied);
            if filtered {
                uprobe::probed();
            }
            // SAFETY: ends the process at once, as a forked child must.
            unsafe { libc::_exit(i32::from(!filtered)) }
        }
        ForkResult::Parent { child } => {
            let probe = uprobe::returns(sysfs, child.as_raw());
            // The child waits for this byte, whether there is a probe or not.
            told.write_all(&[1]).context("telling it to go on")?;
            let end = waitpid(child, None).context("waiting for it")?;
            let hits = hits(probe.context("setting a return probe")?)?;
            match end {
                WaitStatus::Exited(_, 0) if hits == 0 => bail!("its return probe was not hit"),
                WaitStatus::Exited(_, 0) => Ok(true),
                WaitStatus::Signaled(..) => Ok(false),
                other => bail!("it installed no filter: {other:?}"),
            }
        }
    }
}

/// How often an event has happened.
fn hits(event: OwnedFd) -> anyhow::Result<u64> {
    let mut count = [0; 8];
    File::from(event)
        .read_exact(&mut count)
        .context("reading the probe's count")?;
    Ok(u64::from_ne_bytes(count))
}

/// Has the process killed for the system call `denied`; true when that is so now. Only system calls.
fn install_filter(denied: u32) -> bool {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let instruction = |code, k, jt| libc::sock_filter { code, jt, jf: 0, k };
    let mut program = [
        // The number is the first word of struct seccomp_data.
        instruction(LOAD_WORD, 0, 0),
        instruction(JUMP_IF_EQUAL, denied, 1),
        instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0),
        instruction(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until after the calls.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_asked_kills() {
        // The call that the function makes by itself, which no kernel hides from filters.
        assert!(!survives(Path::new("/sys"), libc::SYS_getppid as u32).unwrap());
    }

    #[test]
    fn a_filter_that_is_not_asked_does_not() {
        // No such call is made.
        assert!(survives(Path::new("/sys"), libc::SYS_reboot as u32).unwrap());
    }

    #[test]
    fn this_kernel_answers() {
        spares_return_probes(Path::new("/sys")).unwrap();
    }
}
