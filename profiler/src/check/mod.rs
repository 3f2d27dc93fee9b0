//! Can this host do it? Each answer names the lack, its effect and the remedy. Asked before anything
//! is attached, so that what follows may assume it. What differs between kernels is asked here, too, and
//! of the kernel itself ([`Kernel`], [`seccomp_spares_return_probes`]); only what cannot be asked for is
//! told from its version ([`traps()`]).

mod kernel;
mod seccomp;
mod traps;
mod uprobe;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
pub use kernel::Kernel;
use procfs::process::Process as ProcFs;
pub use uprobe::own_offset;

use crate::bpf;
use crate::perf;
use crate::site::emulation::Emulation;

/// Something that profiling needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Privileges.
    Capabilities,
    /// Process ids that mean the same to us and to the kernel.
    PidNamespace,
    /// eBPF not restricted by kernel lockdown.
    NoLockdown,
    /// Uprobes as perf events.
    Uprobes,
    /// Perf events of every process.
    PerfEvents,
    /// Kernel type information.
    Btf,
    /// tracefs with the scheduler's and signals' tracepoints.
    Tracepoints,
    /// A ring buffer for stacks, the youngest of the things that every recording needs.
    RingBuffer,
}

/// Everything that profiling needs, in the order in which to ask.
pub const NEEDS: &[Need] = &[
    Need::Capabilities,
    Need::PidNamespace,
    Need::NoLockdown,
    Need::Uprobes,
    Need::PerfEvents,
    Need::Btf,
    Need::Tracepoints,
    Need::RingBuffer,
];

/// Capability numbers, include/uapi/linux/capability.h.
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
/// These two stand for `CAP_SYS_ADMIN` since Linux 5.8, but not where uprobes are for the latter only
/// (6.16, commit ba677dbe77af, and stable kernels that took it over): [`Need::Uprobes`] tells.
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The first pid namespace: `PROC_PID_INIT_INO` in the kernel's sources.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// What a host answers. A field of its own for everything that is read, so that answers can be tested
/// for hosts that are not here.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Effective capabilities, one bit each.
    pub capabilities: u64,
    /// Inode of our pid namespace.
    pub pid_namespace: u64,
}

impl Host {
    /// This one.
    pub fn this() -> anyhow::Result<Self> {
        let status = ProcFs::myself()
            .and_then(|process| process.status())
            .context("reading /proc/self/status: is proc mounted?")?;
        let namespace = Path::new("/proc/self/ns/pid")
            .metadata()
            .context("reading /proc/self/ns/pid: is proc mounted?")?;
        Ok(Self {
            sysfs: PathBuf::from("/sys"),
            capabilities: status.capeff,
            pid_namespace: namespace.ino(),
        })
    }

    /// Fails with the lack, its effect and the remedy.
    pub fn ask(&self, need: Need) -> anyhow::Result<()> {
        match need {
            Need::Capabilities => self.capabilities(),
            Need::PidNamespace => self.pid_namespace(),
            Need::NoLockdown => self.lockdown(),
            Need::Uprobes => self.uprobes(),
            Need::PerfEvents => perf_events(),
            Need::Btf => self.exists(
                "kernel/btf/vmlinux",
                "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF), so the eBPF programs cannot be \
                 checked against it; boot a kernel that has it, as every distribution's since 2020",
            ),
            Need::Tracepoints => self.tracepoints(),
            Need::RingBuffer => ring_buffer(),
        }
    }

    fn capabilities(&self) -> anyhow::Result<()> {
        let has = |bit: u32| self.capabilities >> bit & 1 == 1;
        let mut lacking = Vec::new();
        if !(has(CAP_SYS_ADMIN) || has(CAP_BPF) && has(CAP_PERFMON)) {
            lacking.push("CAP_SYS_ADMIN (to load eBPF programs and to attach probes)");
        }
        if !has(CAP_SYS_PTRACE) {
            lacking.push("CAP_SYS_PTRACE (to read the target's mappings)");
        }
        if lacking.is_empty() {
            return Ok(());
        }
        bail!(
            "not permitted: unfreed lacks {}; run it as root (`sudo unfreed ...`), or give the \
             binary these capabilities with setcap (before Linux 5.11 CAP_SYS_RESOURCE, too, as \
             eBPF maps are locked memory there)",
            lacking.join(", ")
        )
    }

    fn pid_namespace(&self) -> anyhow::Result<()> {
        if self.pid_namespace == FIRST_PID_NAMESPACE {
            return Ok(());
        }
        bail!(
            "unfreed runs in a pid namespace of its own, where it does not know the kernel's \
             process ids, so it would not see the target's exec; run it on the host, or in a \
             container with the host's process ids (docker run --pid=host, hostPID: true)"
        )
    }

    fn lockdown(&self) -> anyhow::Result<()> {
        let mode = std::fs::read_to_string(self.sysfs.join("kernel/security/lockdown"));
        if mode.is_ok_and(|mode| mode.contains("[confidentiality]")) {
            bail!(
                "the kernel is locked down (confidentiality), so eBPF may not read another \
                 process's memory; boot with lockdown=integrity or without"
            );
        }
        Ok(())
    }

    fn exists(&self, path: &str, lack: &str) -> anyhow::Result<()> {
        if self.sysfs.join(path).exists() {
            return Ok(());
        }
        bail!("{lack}")
    }

    fn uprobes(&self) -> anyhow::Result<()> {
        self.exists(
            "bus/event_source/devices/uprobe/type",
            "this kernel has no uprobes (CONFIG_UPROBE_EVENTS), so no function of a program can \
             be probed; boot a kernel that has them, as every distribution's has",
        )?;
        uprobe::on_ourselves(&self.sysfs).context(
            "no function of a program can be probed: the kernel refused a uprobe, as those of \
             Linux 6.16 and many before do to all without CAP_SYS_ADMIN; run unfreed as root, or \
             give it that capability",
        )?;
        Ok(())
    }

    fn tracepoints(&self) -> anyhow::Result<()> {
        let places = ["kernel/tracing", "kernel/debug/tracing"].map(|place| self.sysfs.join(place));
        let mounted = |place: &PathBuf| place.join("events/sched/sched_process_exit/id").exists();
        if places.iter().any(mounted) {
            return Ok(());
        }
        let [place, _] = &places;
        if let Err(error) = mount_tracefs(place) {
            bail!(
                "tracefs is not mounted and cannot be mounted here ({error}), so the end of the \
                 target would not be seen; run `mount -t tracefs tracefs {}` as root",
                place.display()
            );
        }
        if mounted(place) {
            return Ok(());
        }
        bail!(
            "this kernel has no scheduler tracepoints (CONFIG_FTRACE), so the end of the target \
             would not be seen; boot a kernel that has them, as every distribution's has"
        )
    }
}

/// Fails with the first need that this host does not meet; else what its kernel can do.
pub fn host() -> anyhow::Result<Kernel> {
    let host = Host::this()?;
    NEEDS.iter().try_for_each(|&need| host.ask(need))?;
    Kernel::probe(&host.sysfs)
}

/// What the running kernel emulates under a probe.
pub fn emulation() -> Emulation {
    traps::version(Path::new("/proc")).map_or(Emulation::Everywhere, Emulation::of)
}

/// Mistakes of this kernel that a user should know of before anything is attached, a sentence each.
pub fn traps() -> Vec<&'static str> {
    traps::of_this_kernel(Path::new("/proc"))
}

/// Whether return probes are safe in a process with a seccomp filter. Takes a fraction of a second.
pub fn seccomp_spares_return_probes() -> anyhow::Result<bool> {
    seccomp::spares_return_probes(&Host::this()?.sysfs)
}

/// Asked by opening one: distributions' kernels differ in what they want for it.
fn perf_events() -> anyhow::Result<()> {
    let Err(error) = perf::open(&perf::Attributes::dummy(), -1, 0) else {
        return Ok(());
    };
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    bail!(
        "the kernel does not let unfreed open perf events ({error}; kernel.perf_event_paranoid is {}), \
         without which nothing can be probed; run it as root, or set that to 2 \
         (`sysctl kernel.perf_event_paranoid=2`): above it, the kernels of Debian and Ubuntu ask \
         for CAP_SYS_ADMIN even where CAP_PERFMON is there",
        level.as_deref().map_or("unknown", str::trim)
    )
}

fn ring_buffer() -> anyhow::Result<()> {
    if bpf::has_ring_buffer().context(
        "the kernel does not let unfreed make a BPF ring buffer, so nothing can be recorded; run it \
         as root",
    )? {
        return Ok(());
    }
    bail!(
        "this kernel has no BPF ring buffer (Linux 5.8), through which stacks would leave it, so \
         nothing can be recorded; boot Linux 5.10 or later"
    )
}

/// Many files at a time are open: two for each probe.
pub fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // When this fails, attaching says which limit was hit.
        let _unchanged = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn mount_tracefs(place: &Path) -> nix::Result<()> {
    use nix::mount::{MsFlags, mount};
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tracefs"), place, Some("tracefs"), flags, None::<&str>)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let sysfs = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = sysfs.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let host = Host {
            sysfs: sysfs.path().to_owned(),
            capabilities: u64::MAX,
            pid_namespace: FIRST_PID_NAMESPACE,
        };
        (sysfs, host)
    }

    fn message(host: &Host, need: Need) -> String {
        format!("{:#}", host.ask(need).unwrap_err())
    }

    #[test]
    fn missing_capabilities_are_named_with_the_remedy() {
        let (_sysfs, mut host) = host_with(&[]);
        host.capabilities = 0;
        let message = message(&host, Need::Capabilities);
        for part in ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "sudo", "setcap"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }

    #[test]
    fn bpf_and_perfmon_stand_for_sys_admin_but_not_for_ptrace() {
        let (_sysfs, mut host) = host_with(&[]);
        host.capabilities = 1 << CAP_BPF | 1 << CAP_PERFMON;
        let lack = message(&host, Need::Capabilities);
        assert!(!lack.contains("CAP_SYS_ADMIN"), "{lack}");
        assert!(lack.contains("CAP_SYS_PTRACE"), "{lack}");
        host.capabilities |= 1 << CAP_SYS_PTRACE;
        host.ask(Need::Capabilities).unwrap();
        host.capabilities &= !(1 << CAP_BPF);
        let lack = message(&host, Need::Capabilities);
        assert!(lack.contains("CAP_SYS_ADMIN"), "{lack}");
        host.capabilities |= 1 << CAP_SYS_ADMIN;
        host.ask(Need::Capabilities).unwrap();
    }

    #[test]
    fn lockdown_is_an_error_only_when_confidential() {
        let lockdown = "kernel/security/lockdown";
        let (_a, host) = host_with(&[(lockdown, "none integrity [confidentiality]\n")]);
        let message = message(&host, Need::NoLockdown);
        assert!(message.contains("lockdown=integrity"), "{message}");
        let (_b, host) = host_with(&[(lockdown, "none [integrity] confidentiality\n")]);
        host.ask(Need::NoLockdown).unwrap();
        let (_c, host) = host_with(&[]);
        host.ask(Need::NoLockdown).unwrap();
    }

    #[test]
    fn a_kernel_without_uprobes_is_named() {
        let (_a, host) = host_with(&[]);
        let message = message(&host, Need::Uprobes);
        assert!(message.contains("CONFIG_UPROBE_EVENTS"), "{message}");
        // This host has them, and lets root set one.
        Host::this().unwrap().ask(Need::Uprobes).unwrap();
    }

    #[test]
    fn a_kernel_without_btf_is_named() {
        let (_a, host) = host_with(&[]);
        let message = message(&host, Need::Btf);
        assert!(message.contains("CONFIG_DEBUG_INFO_BTF"), "{message}");
        let (_b, host) = host_with(&[("kernel/btf/vmlinux", "")]);
        host.ask(Need::Btf).unwrap();
    }

    #[test]
    fn tracefs_that_cannot_be_mounted_is_named_with_the_command() {
        // There is no directory to mount it on.
        let (_sysfs, host) = host_with(&[]);
        let message = message(&host, Need::Tracepoints);
        assert!(message.contains("mount -t tracefs"), "{message}");
    }
}
