//! Starts a command and holds it until its first modules are probed.
//!
//! The command is traced (ptrace) only until its dynamic loader is done: it stops at exec, then after
//! every system call that may have mapped a file, so that each allocator is probed before any of its
//! code has run. At the program's entry point, or for a static program at exec, tracing ends for
//! good, and the command is an ordinary process.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use anyhow::{Context as _, bail};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use object::Object as _;
use procfs::process::{MMapPath, Process as ProcFs};
use thiserror::Error;

/// Why a command could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// exec failed.
    #[error("cannot start {command}: {source}; is the name right, and is it executable?")]
    Exec {
        /// The command's name.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It ended before it could be probed.
    #[error("{command} ended before its first instruction ({how}); does it run without unfreed?")]
    EndedAtOnce {
        /// The command's name.
        command: String,
        /// Its exit status or signal.
        how: String,
    },
}

/// A command that has been started and is stopped, or was let go.
pub struct Started {
    child: Child,
    command: String,
    let_go: bool,
}

/// Starts the command; it is stopped after its exec, before its first instruction.
pub fn start(command: &[OsString]) -> anyhow::Result<Started> {
    let [program, arguments @ ..] = command else {
        bail!("no command after `--`");
    };
    let name = program.to_string_lossy().into_owned();
    let mut builder = Command::new(program);
    builder.args(arguments);
    // SAFETY: ptrace(PTRACE_TRACEME) is async-signal-safe, it only sets a flag of the new process.
    unsafe {
        builder.pre_exec(|| ptrace::traceme().map_err(std::io::Error::from));
    }
    let child = builder.spawn().map_err(|source| SpawnError::Exec {
        command: name.clone(),
        source,
    })?;
    let started = Started {
        child,
        command: name,
        let_go: false,
    };
    started.wait_for_stop()?;
    // Should unfreed be killed meanwhile, the command must not run into the breakpoint.
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(started.pid(), options).context("tracing the command's start")?;
    Ok(started)
}

impl Drop for Started {
    fn drop(&mut self) {
        // A command that cannot be recorded is not run either; one that was let go is on its own.
        if !self.let_go {
            let _ended = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

impl Started {
    /// Process id.
    pub fn id(&self) -> NonZeroU32 {
        NonZeroU32::new(self.child.id()).unwrap_or(NonZeroU32::MIN)
    }

    /// Lets the dynamic loader work. Calls `mapped` each time it may have mapped another file, while
    /// the command is stopped. Returns with the command stopped at its entry point.
    pub fn run_loader(&self, mut mapped: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
        mapped()?;
        let Some(entry) = self.entry_behind_loader()? else {
            return Ok(());
        };
        let address = entry as ptrace::AddressType;
        let original = ptrace::read(self.pid(), address).context("reading the entry point")?;
        // int3 over the first byte of the entry point.
        ptrace::write(self.pid(), address, (original & !0xff) | 0xcc)
            .context("setting a breakpoint at the entry point")?;
        let mut signal = None;
        loop {
            ptrace::syscall(self.pid(), signal).context("tracing the command's start")?;
            signal = None;
            match self.wait_for_stop()? {
                // A system call, at its entry or its exit.
                None => mapped()?,
                Some(Signal::SIGTRAP) => {
                    let mut registers =
                        ptrace::getregs(self.pid()).context("reading the registers")?;
                    if registers.rip == entry + 1 {
                        ptrace::write(self.pid(), address, original)
                            .context("removing the breakpoint")?;
                        registers.rip = entry;
                        ptrace::setregs(self.pid(), registers).context("going back")?;
                        return Ok(());
                    }
                }
                // Somebody else's signal: it is the command's.
                Some(other) => signal = Some(other),
            }
        }
    }

    /// Lets the command run on, untraced.
    pub fn let_go(&mut self) -> anyhow::Result<()> {
        ptrace::detach(self.pid(), None).context("letting the command run")?;
        self.let_go = true;
        Ok(())
    }

    /// How the command ended, once its pidfd says that it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Waits for the next stop: `None` at a system call, else the signal.
    fn wait_for_stop(&self) -> anyhow::Result<Option<Signal>> {
        let ended = |how: String| SpawnError::EndedAtOnce {
            command: self.command.clone(),
            how,
        };
        match waitpid(self.pid(), Some(WaitPidFlag::__WALL)).context("waiting for the command")? {
            WaitStatus::Stopped(_, signal) | WaitStatus::PtraceEvent(_, signal, _) => {
                Ok(Some(signal))
            }
            WaitStatus::PtraceSyscall(_) => Ok(None),
            WaitStatus::Exited(_, status) => Err(ended(format!("exit status {status}")).into()),
            WaitStatus::Signaled(_, signal, _) => Err(ended(signal.to_string()).into()),
            other => bail!("unexpected state of the command: {other:?}"),
        }
    }

    /// Address of the program's entry point when a dynamic loader runs first; `None` for static ones.
    fn entry_behind_loader(&self) -> anyhow::Result<Option<u64>> {
        let process = ProcFs::new(self.child.id().cast_signed())?;
        let exe = process.exe().context("reading the command's executable")?;
        let bytes = std::fs::read(format!("/proc/{}/exe", self.child.id()))
            .context("reading the command's executable")?;
        let file = object::File::parse(&*bytes).context("the command is not an ELF executable")?;
        let has_loader = match &file {
            object::File::Elf64(elf) => elf
                .elf_program_headers()
                .iter()
                .any(|header| header.p_type.get(file.endianness()) == object::elf::PT_INTERP),
            _ => false,
        };
        if !has_loader {
            return Ok(None);
        }
        let position_independent = file.kind() == object::ObjectKind::Dynamic;
        let base = if position_independent {
            let maps = process.maps().context("reading the command's mappings")?;
            maps.iter()
                .find(|map| map.pathname == MMapPath::Path(exe.clone()))
                .map_or(0, |map| map.address.0 - map.offset)
        } else {
            0
        };
        Ok(Some(base + file.entry()))
    }
}
