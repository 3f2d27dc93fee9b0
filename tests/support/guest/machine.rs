//! What init does as the first process: what tests expect to be mounted, and the machine's end.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};

/// Kind, place and options, in this order.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("devtmpfs", "/dev", ""),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("tmpfs", "/tmp", "mode=1777"),
    ("securityfs", "/sys/kernel/security", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("bpf", "/sys/fs/bpf", "mode=700"),
];

/// The port of QEMU's `isa-debug-exit`, with `iobase=0xf4,iosize=0x4`: writing N ends QEMU with the exit
/// status 2 * N + 1.
const EXIT_PORT: u16 = 0xf4;

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every test passed: QEMU's exit status is 33.
    Passed,
    /// A test failed, or init did: 35.
    Failed,
}

/// Mounts what a system has mounted.
pub fn mount_all() -> Result<()> {
    for (kind, place, options) in MOUNTS {
        mount_one(kind, place, options).with_context(|| format!("mounting {kind} on {place}"))?;
    }
    Ok(())
}

/// Has processes reach each other over the loopback interface.
pub fn raise_loopback() -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("opening a socket")?;
    // SAFETY: integers, an array of them and a union of such: all zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the kernel reads the request, which lives until then.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(done)
        .map(drop)
        .context("raising the loopback interface")
}

fn mount_one(kind: &str, place: &str, options: &str) -> io::Result<()> {
    if !Path::new(place).exists() {
        fs::create_dir_all(place)?;
    }
    let (flags, options) = (MsFlags::MS_NOSUID, Some(options));
    mount(Some(kind), place, Some(kind), flags, options).map_err(io::Error::from)
}

/// Makes [`end`] possible; once, before [`lock_down`].
pub fn open_exit() -> Result<()> {
    ensure!(std::process::id() == 1, "only init may end the machine");
    // SAFETY: one system call, which has no effect on memory.
    Errno::result(unsafe { libc::iopl(3) })
        .map(drop)
        .context("asking for the port that ends the machine")
}

/// Locks the kernel down if its command line has `guest_lockdown=MODE`, which the kernel hands on in
/// init's environment. Not `lockdown=MODE`: then nobody could use ports from the beginning.
pub fn lock_down() -> Result<()> {
    let Some(mode) = std::env::var_os("guest_lockdown") else {
        return Ok(());
    };
    fs::write("/sys/kernel/security/lockdown", mode.as_encoded_bytes())
        .with_context(|| format!("locking the kernel down ({})", mode.display()))
}

/// Ends the machine. Returns only when there is no `isa-debug-exit`. [`open_exit`] must have been
/// called, or the process is ended instead.
pub fn end(how: End) {
    let value: u8 = match how {
        End::Passed => 0x10,
        End::Failed => 0x11,
    };
    // SAFETY: the instruction touches no memory; where it is not permitted, it ends the process.
    unsafe {
        std::arch::asm!(
            "out dx, al",
            in("dx") EXIT_PORT,
            in("al") value,
            options(nomem, nostack, preserves_flags)
        );
    }
}
