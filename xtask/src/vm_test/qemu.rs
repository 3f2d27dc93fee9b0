//! The emulator: how it is called, and one that runs.

use std::fmt;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::kernels::Guest;
use crate::run;

const QEMU: &str = "qemu-system-x86_64";

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The emulator itself.
    Tcg,
    /// The processor, by the host's kernel.
    Kvm,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcg => "the software emulator (TCG)",
            Self::Kvm => "KVM",
        })
    }
}

/// The command that boots a kernel with an initramfs. The console is its standard output.
pub fn command(guest: &Guest, vmlinuz: &Path, image: &Path, accelerator: Accelerator) -> Command {
    let accelerator = match accelerator {
        // With a thread for each processor the emulator mishandles code that the kernel patches: of
        // qemu 7.2's guests 5 in 96 crashed so, with one thread 0 in 108, which took no longer.
        Accelerator::Tcg => "tcg,thread=single",
        Accelerator::Kvm => "kvm",
    };
    // A panic restarts at once, which ends the emulator. Without expedited RCU each probe's removal
    // waits for many clock ticks, half of the time of a test.
    let line = format!(
        "console=ttyS0 quiet panic=-1 rcupdate.rcu_expedited=1 {}",
        guest.append
    );
    let mut command = run::program(QEMU);
    command
        .args(["-accel", accelerator, "-cpu", "max"])
        .args(["-smp", &guest.cpus.to_string(), "-m", &guest.memory])
        .arg("-kernel")
        .arg(vmlinuz)
        .arg("-initrd")
        .arg(image)
        .args(["-append", line.trim_end()])
        .args(["-nodefaults", "-no-reboot", "-display", "none"])
        .args(["-serial", "stdio"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]);
    command
}

/// What comes next from a running emulator.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line of the console or of the emulator's own complaints.
    Line(String),
    /// Its output has ended.
    Ended,
    /// Nothing came in time.
    Late,
}

/// An emulator that runs. It ends with this value, and with the thread that started it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts the emulator, or another command that writes lines.
    pub fn start(mut command: Command) -> Result<Self> {
        let (console, output) = io::pipe().context("creating a pipe")?;
        command.stdout(output.try_clone()?).stderr(output);
        command.stdin(Stdio::null());
        let die_with_parent = || Ok(prctl::set_pdeathsig(Signal::SIGKILL)?);
        // SAFETY: runs between fork and exec, and makes one system call, which is allowed there.
        unsafe { command.pre_exec(die_with_parent) };
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| {
            format!(
                "starting {}: `cargo xtask setup` installs it",
                program.display()
            )
        })?;
        // It has the pipe's other end, without which the console would never come to an end.
        drop(command);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || read(console, &sender));
        Ok(Self { child, lines })
    }

    /// Waits for the next line, at most until then.
    pub fn next(&self, until: Instant) -> Next {
        let patience = until.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(patience) {
            Ok(line) => Next::Line(line),
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
            Err(RecvTimeoutError::Timeout) => Next::Late,
        }
    }

    /// Waits for its end, which comes after [`Next::Ended`]; its status, none after a signal.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        let status = self.child.wait().context("waiting for the emulator")?;
        Ok(status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended already, which is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends each line without its end, which a serial line has twice, until either side goes away.
fn read(console: PipeReader, lines: &mpsc::Sender<String>) {
    let mut console = BufReader::new(console);
    let mut bytes = Vec::new();
    while console
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|size| size > 0)
    {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if lines.send(line).is_err() {
            return;
        }
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shell(script: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start(command).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn lines_of_both_outputs_come_in_order_and_then_the_end() {
        let mut running = shell("printf 'one\\r\\n'; echo two >&2; printf three; exit 33");
        for line in ["one", "two", "three"] {
            assert_eq!(running.next(soon()), Next::Line(line.into()));
        }
        assert_eq!(running.next(soon()), Next::Ended);
        assert_eq!(running.wait().unwrap(), Some(33));
    }

    #[test]
    fn one_that_is_silent_is_late_and_does_not_outlive_this() {
        let running = shell("echo $$; exec sleep 1000");
        let Next::Line(pid) = running.next(soon()) else {
            panic!("no line");
        };
        let until = Instant::now() + Duration::from_millis(50);
        assert_eq!(running.next(until), Next::Late);
        let process = Path::new("/proc").join(&pid);
        assert!(process.exists());
        drop(running);
        assert!(!process.exists());
    }

    #[test]
    fn one_ends_with_its_thread_even_if_nobody_ends_it() {
        let starting = thread::spawn(|| {
            let running = shell("echo; exec sleep 1000");
            running.next(soon());
            let pid = running.child.id();
            // As when this process is killed.
            std::mem::forget(running);
            pid
        });
        let status = format!("/proc/{}/stat", starting.join().unwrap());
        let until = soon();
        // Nobody waits for it: it stays a zombie.
        while !std::fs::read_to_string(&status).unwrap().contains(") Z ") {
            assert!(Instant::now() < until, "it still runs");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_kernels_line_has_what_the_guest_adds() {
        let guest: Guest = toml::from_str(
            "name = 'a'\nkernel = 'k'\ncpus = 4\nmemory = '2G'\nall = ['all']\nappend = 'preempt=full'",
        )
        .unwrap();
        let command = command(&guest, Path::new("/k"), Path::new("/i"), Accelerator::Tcg);
        let shown = run::shown(&command);
        assert!(
            shown.contains("-smp 4 -m 2G -kernel /k -initrd /i"),
            "{shown}"
        );
        assert!(shown.contains("rcu_expedited=1 preempt=full'"), "{shown}");
    }
}
