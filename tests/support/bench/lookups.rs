//! What looking something up costs an eBPF program, by the kind of map.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use unfreed_common::thread::Thread;
use unfreed_tests::system_call::{owned, succeeded};

use crate::assembled::{self, R0, R1, R2, R10, add, call, copy, exit, map, set, write_u32};
use crate::numbers::Spread;

/// How often it is measured, how often the program runs each time, and how many searches it makes.
const ROUNDS: usize = 15;
const RUNS: u32 = 100_000;
const SEARCHES: u32 = 20;

/// Kinds of maps (`include/uapi/linux/bpf.h`).
pub const HASH: u32 = 1;
pub const ARRAY: u32 = 2;

/// The only key.
const KEY: i32 = 1;

/// Nanoseconds of a search that finds the state of a thread.
pub fn measure(kind: u32) -> Result<Spread> {
    let map = create(kind).context("making a map")?;
    let searching = program(Some(&map))?;
    let empty = program(None)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let both = run(&searching)? - run(&empty)?;
        times.push(both / f64::from(SEARCHES));
    }
    Spread::of(times).context("nothing was measured")
}

/// One that searches, or one that only does what else that one does.
fn program(searched: Option<&OwnedFd>) -> Result<OwnedFd> {
    const LOOK_UP: i32 = 1;
    const KEY_AT: i16 = -8;
    let mut instructions = vec![write_u32(R10, KEY_AT, KEY)];
    for _ in 0..SEARCHES {
        instructions.extend([copy(R2, R10), add(R2, i32::from(KEY_AT))]);
        if let Some(searched) = searched {
            instructions.extend(map(R1, searched.as_raw_fd()));
            instructions.push(call(LOOK_UP));
        }
    }
    instructions.extend([set(R0, 0), exit()]);
    assembled::load(assembled::XDP, &instructions).context("loading a program")
}

/// `bpf(2)`'s attributes for making a map, as far as they are used.
#[repr(C)]
#[derive(Default)]
struct Create {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

/// With an element, as large as the state of a thread.
fn create(kind: u32) -> io::Result<OwnedFd> {
    const MAP_CREATE: libc::c_int = 0;
    const NO_PREALLOC: u32 = 1;
    let create = Create {
        kind,
        key: size_of::<i32>() as u32,
        value: size_of::<Thread>() as u32,
        entries: 1 << 10,
        flags: if kind == HASH { NO_PREALLOC } else { 0 },
    };
    // SAFETY: the kernel reads the attributes, which live until then.
    let map = owned(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_CREATE,
            &raw const create,
            size_of::<Create>(),
        )
    })?;
    insert(&map)?;
    Ok(map)
}

/// `bpf(2)`'s attributes for an element of a map.
#[repr(C)]
#[derive(Default)]
struct Element {
    map: u64,
    key: u64,
    value: u64,
    flags: u64,
}

fn insert(map: &OwnedFd) -> io::Result<()> {
    const UPDATE: libc::c_int = 2;
    let (key, value) = (KEY, vec![0_u8; size_of::<Thread>()]);
    let element = Element {
        map: u64::try_from(map.as_raw_fd()).map_err(io::Error::other)?,
        key: (&raw const key) as u64,
        value: value.as_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads the attributes, the key and the value, which live until then.
    let updated = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            UPDATE,
            &raw const element,
            size_of::<Element>(),
        )
    };
    succeeded(updated as libc::c_int).map(drop)
}

/// `bpf(2)`'s attributes for running a program, as far as they are used.
#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    returned: u32,
    size: u32,
    size_out: u32,
    data: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// Nanoseconds of each run.
fn run(program: &OwnedFd) -> Result<f64> {
    const TEST_RUN: libc::c_int = 10;
    // None is shorter than its header.
    let packet = [0_u8; 64];
    let mut run = Run {
        program: u32::try_from(program.as_raw_fd())?,
        size: packet.len() as u32,
        data: packet.as_ptr() as u64,
        repeat: RUNS,
        ..Run::default()
    };
    // SAFETY: the kernel reads the attributes and the packet, and writes to the attributes; both live until then.
    let done = unsafe { libc::syscall(libc::SYS_bpf, TEST_RUN, &raw mut run, size_of::<Run>()) };
    succeeded(done as libc::c_int).context("running a program")?;
    Ok(f64::from(run.duration))
}
