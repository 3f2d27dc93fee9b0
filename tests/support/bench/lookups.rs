//! What an operation on a map costs an eBPF program.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use unfreed_common::alloc::{Block, BlockKey};
use unfreed_common::thread::Thread;
use unfreed_tests::system_call::{owned, succeeded};

use crate::assembled::{
    self, Instruction, R0, R1, R2, R3, R4, R10, add, call, copy, exit, map, set, write_u32,
};
use crate::numbers::Spread;

/// How often it is measured, how often the program runs each time, and how often it does it.
const ROUNDS: usize = 15;
const RUNS: u32 = 100_000;
const TIMES: u32 = 20;

/// Kinds of maps (`include/uapi/linux/bpf.h`).
const HASH: u32 = 1;
const ARRAY: u32 = 2;

/// A map that takes its memory element by element.
const NO_PREALLOC: u32 = 1;

/// The only key: this, and zeros.
const KEY: i32 = 1;

/// What a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Finds the state of a thread in a hash map.
    StateInHash,
    /// The same in an array.
    StateInArray,
    /// Finds the entry of a block.
    FindBlock,
    /// Inserts one and removes it.
    InsertAndRemoveBlock,
}

impl Operation {
    /// The map that it is done on.
    const fn map(self) -> Create {
        let (kind, key, value) = match self {
            Self::StateInHash => (HASH, size_of::<u32>(), size_of::<Thread>()),
            Self::StateInArray => (ARRAY, size_of::<u32>(), size_of::<Thread>()),
            Self::FindBlock | Self::InsertAndRemoveBlock => {
                (HASH, size_of::<BlockKey>(), size_of::<Block>())
            }
        };
        Create {
            kind,
            key: key as u32,
            value: value as u32,
            entries: 1 << 10,
            flags: if kind == HASH { NO_PREALLOC } else { 0 },
        }
    }

    /// Does it once; without a map, only what else it takes.
    fn instructions(self, on: Option<&OwnedFd>) -> Vec<Instruction> {
        const LOOK_UP: i32 = 1;
        const UPDATE: i32 = 2;
        const DELETE: i32 = 3;
        let calls: &[i32] = match self {
            Self::InsertAndRemoveBlock => &[UPDATE, DELETE],
            _ => &[LOOK_UP],
        };
        let mut instructions = Vec::new();
        for &function in calls {
            instructions.extend([copy(R2, R10), add(R2, KEY_AT.into())]);
            if function == UPDATE {
                instructions.extend([copy(R3, R10), add(R3, VALUE_AT.into()), set(R4, 0)]);
            }
            if let Some(on) = on {
                instructions.extend(map(R1, on.as_raw_fd()));
                instructions.push(call(function));
            }
        }
        instructions
    }
}

/// Where key and value are on the program's stack.
const KEY_AT: i16 = -(size_of::<BlockKey>() as i16);
const VALUE_AT: i16 = KEY_AT - size_of::<Block>() as i16;

/// Nanoseconds that it takes.
pub fn measure(operation: Operation) -> Result<Spread> {
    let map = create(operation).context("making a map")?;
    let doing = program(operation, Some(&map))?;
    let empty = program(operation, None)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push((run(&doing)? - run(&empty)?) / f64::from(TIMES));
    }
    Spread::of(times).context("nothing was measured")
}

fn program(operation: Operation, on: Option<&OwnedFd>) -> Result<OwnedFd> {
    let zeros = (VALUE_AT..0).step_by(size_of::<u32>());
    let mut instructions: Vec<_> = zeros.map(|at| write_u32(R10, at, 0)).collect();
    instructions.push(write_u32(R10, KEY_AT, KEY));
    for _ in 0..TIMES {
        instructions.extend(operation.instructions(on));
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

/// With an element, unless it is to be inserted.
fn create(operation: Operation) -> io::Result<OwnedFd> {
    const MAP_CREATE: libc::c_int = 0;
    let create = operation.map();
    // SAFETY: the kernel reads the attributes, which live until then.
    let map = owned(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_CREATE,
            &raw const create,
            size_of::<Create>(),
        )
    })?;
    if operation != Operation::InsertAndRemoveBlock {
        insert(&map, create.value)?;
    }
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

fn insert(map: &OwnedFd, size: u32) -> io::Result<()> {
    const UPDATE: libc::c_int = 2;
    let (key, value) = ([KEY, 0, 0, 0], vec![0_u8; size as usize]);
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
