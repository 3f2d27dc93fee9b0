//! Probes that do nothing: what no tracing of the same functions can be cheaper than.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use procfs::process::{MMapPath, Process};
use unfreed::allocator::{self, Function, Hints};

/// `malloc` and `free` of the C library that a process has mapped, as unfreed would probe them.
pub struct Sites {
    path: PathBuf,
    malloc: Function,
    free: Function,
}

/// Empty probes on the entry and the return of `malloc`, and on the entry of `free`. Dropping it removes
/// them.
pub struct Floor(#[expect(dead_code, reason = "what they hold is in the kernel")] Vec<OwnedFd>);

impl Sites {
    /// Where probes go in the process `pid`. `at_entry`: to the functions' first instructions.
    pub fn of(pid: u32, at_entry: bool) -> Result<Self> {
        let maps = Process::new(pid.cast_signed())?.maps()?;
        let path = maps.iter().find_map(|map| match &map.pathname {
            MMapPath::Path(path) if path.ends_with("libc.so.6") => Some(path.clone()),
            _ => None,
        });
        let path = path.context("the process has no libc.so.6")?;
        let hints = Hints {
            at_entry,
            ..Hints::default()
        };
        let plan = allocator::plan(&fs::read(&path)?, &hints)?;
        let function = |name: &str| {
            let function = plan.functions.iter().find(|it| it.symbol == name);
            function.cloned().with_context(|| format!("no {name}"))
        };
        Ok(Self {
            malloc: function("malloc")?,
            free: function("free")?,
            path,
        })
    }

    /// Puts empty probes there.
    pub fn probe(&self, pid: u32) -> Result<Floor> {
        let program = empty_program().context("loading an empty eBPF program")?;
        let (malloc, free) = (self.malloc.site.offset, self.free.site.offset);
        let probes = [(malloc, true), (malloc, false), (free, false)];
        let probes = probes.map(|(offset, returns)| {
            attach(&program, &self.path, offset, returns, pid)
                .with_context(|| format!("an empty probe at {offset:#x}"))
        });
        Ok(Floor(probes.into_iter().collect::<Result<_>>()?))
    }
}

/// `bpf(2)`'s attributes for loading a program, as far as they are used (`include/uapi/linux/bpf.h`).
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

/// `return 0`
fn empty_program() -> io::Result<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    const KPROBE: u32 = 2;
    // r0 = 0; exit
    const INSTRUCTIONS: [u64; 2] = [0xb7, 0x95];
    let load = Load {
        kind: KPROBE,
        count: INSTRUCTIONS.len() as u32,
        instructions: INSTRUCTIONS.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    // SAFETY: the kernel reads the attributes, the instructions and the licence, which live until then.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
    owned(fd)
}

/// `struct perf_event_attr` in its second version (`include/uapi/linux/perf_event.h`).
#[repr(C)]
#[derive(Default)]
struct Event {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample: u64,
    read: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    path: u64,
    offset: u64,
}

fn attach(program: &OwnedFd, path: &Path, offset: u64, returns: bool, pid: u32) -> Result<OwnedFd> {
    const TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";
    /// `PERF_EVENT_IOC_SET_BPF` and `PERF_EVENT_IOC_ENABLE`.
    const SET_BPF: libc::Ioctl = 0x4004_2408;
    const ENABLE: libc::Ioctl = 0x2400;
    const ANY: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let event = Event {
        kind: fs::read_to_string(TYPE)?.trim().parse()?,
        size: size_of::<Event>() as u32,
        config: u64::from(returns),
        path: path.as_ptr() as u64,
        offset,
        ..Event::default()
    };
    // SAFETY: the kernel reads `size` bytes of the attributes and the path, which live until then.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const event,
            pid,
            ANY,
            ANY,
            CLOSE_ON_EXEC,
        )
    };
    let fd = owned(fd)?;
    // SAFETY: both take an integer, and the descriptors are open.
    unsafe {
        succeeded(libc::ioctl(fd.as_raw_fd(), SET_BPF, program.as_raw_fd()))?;
        succeeded(libc::ioctl(fd.as_raw_fd(), ENABLE, 0))?;
    }
    Ok(fd)
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    succeeded(i32::try_from(fd).unwrap_or(-1))?;
    // SAFETY: a system call has just returned it, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

fn succeeded(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
